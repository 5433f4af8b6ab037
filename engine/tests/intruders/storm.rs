//! Two ends that no longer agree about what was sent: each answers the other, and nobody the other's answers.

use crate::bed::{SERVER, client, config};
use std::time::Duration;
use synward_engine::{ConnectConfig, ListenConfig};
use synward_proto::{Counter, Endpoint, Flags, MacAddr, segment::Link};
use synward_testkit::engine::Host;
use synward_testkit::play::MACS;
use synward_testkit::wire::{WireSegment, decode, encode};

/// Both ends, what each has sent last, and how many frames crossed.
struct Pair {
    ends: [Host; 2],
    last: [Option<WireSegment>; 2],
    crossed: u64,
    now: Duration,
}

impl Pair {
    /// Carries frames until neither says anything more at this instant.
    fn settle(&mut self) {
        loop {
            self.ends.iter_mut().for_each(|end| end.rest(self.now));
            let mut quiet = true;
            for from in 0..2 {
                while let Some(frame) = self.ends[from].take_sent() {
                    quiet = false;
                    self.crossed += 1;
                    assert!(self.crossed < 100_000, "a storm");
                    self.last[from] = decode(&frame).ok().map(|(_, segment)| segment);
                    assert!(self.ends[1 - from].receive(&frame));
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        self.settle();
        let end = self.now + span;
        let next = |pair: &Self| pair.ends.iter().filter_map(|end| end.next_deadline(pair.now)).min();
        while let Some(at) = next(self).filter(|&at| at <= end) {
            self.now = at.max(self.now + Duration::from_nanos(1));
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// Somebody who sees the connection sends `bytes` to one end in the name of the other.
    fn inject(&mut self, to: usize, bytes: u32) {
        let seen = self.last[1 - to].clone().expect("it has said something");
        let payload = vec![0x66; bytes as usize];
        let next = seen.seq.wrapping_add(seen.payload.len() as u32);
        let next = next.wrapping_add(u32::from(seen.flags.contains(Flags::SYN)));
        let forged = WireSegment { seq: next, payload, flags: Flags::ACK | Flags::PSH, options: vec![], ..seen };
        assert!(self.ends[to].receive(&encode(MACS, &forged, false)));
    }
}

/// Both were told something that the other has never sent: from then on each acknowledges what is unknown to the other.
#[test]
fn ends_out_of_step_exchange_four_packets_a_second_at_most() {
    let ends = [(); 2].map(|()| Host::new(config()).expect("the engine is built"));
    let mut pair = Pair { ends, last: [None, None], crossed: 0, now: Duration::ZERO };
    let local = Endpoint { port: 30_000, ..client(0) };
    let link = Link { local: MacAddr(MACS.source), remote: MacAddr(MACS.destination), outer: None, inner: None };
    let listener = {
        let server = pair.ends[1].sockets().expect("sockets");
        server.listen(ListenConfig::new(SERVER)).expect("listens")
    };
    pair.settle();
    let near = {
        let sockets = pair.ends[0].sockets().expect("sockets");
        sockets.connect(ConnectConfig::new(local, SERVER, link)).expect("connects")
    };
    pair.settle();
    let far = pair.ends[1].sockets().and_then(|sockets| sockets.accept(listener).ok()).expect("accepted").socket;
    pair.pass(Duration::from_secs(1));
    for (end, socket) in [(0, near), (1, far)] {
        let sockets = pair.ends[end].sockets().expect("sockets");
        sockets.send(socket, b"hello").expect("sends");
        pair.settle();
    }
    pair.pass(Duration::from_secs(1));

    pair.inject(0, 700);
    pair.inject(1, 900);
    pair.settle();
    for (end, socket) in [(0, near), (1, far)] {
        let sockets = pair.ends[end].sockets().expect("sockets");
        sockets.send(socket, b"nobody will ever acknowledge this").expect("sends");
    }
    let before = pair.crossed;
    pair.pass(Duration::from_secs(60));
    let crossed = pair.crossed - before;
    // In 60 s each end sends its bytes nine times at most, and answers what is not its own twice a second at most.
    assert!(crossed >= 10, "they do talk: {crossed}");
    assert!(crossed <= 2 * (9 + 120), "{crossed} packets in a minute");
    let withheld = |end: &Host| end.observer().counter(Counter::TCPChallengeACK);
    assert!(pair.ends.iter().map(withheld).sum::<u64>() > 0, "they are out of step");
    for end in &mut pair.ends {
        assert_eq!(end.drain(pair.now), Ok(()));
    }
}
