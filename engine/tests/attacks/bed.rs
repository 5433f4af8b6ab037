//! An engine that listens, and the wire to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use synward_engine::{EngineConfig, Gauges, ListenConfig, ListenerId, Secrets, SocketCore};
use synward_proto::{Counter, DropReason, Endpoint, Flags};
use synward_testkit::engine::Host;
use synward_testkit::play::MACS;
use synward_testkit::wire::{IpFields, WireOption, WireSegment, decode, encode};

/// Where the engine listens.
pub const SERVER: Endpoint = Endpoint::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 80);
/// The same over IPv6.
pub const SERVER_V6: Endpoint = Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 80);

/// Frames that are put on the wire at once: fewer than the rings hold.
const BATCH: usize = 64;

/// A small engine whose secrets are known.
pub fn config() -> EngineConfig {
    EngineConfig {
        max_connections: 1024,
        max_time_waits: 1024,
        secrets: Some(Secrets::from_seed(6)),
        ..EngineConfig::default()
    }
}

/// The end of an honest client with number `n`, each in a network of its own.
pub fn client(n: u32) -> Endpoint {
    let [_, a, b, c] = n.to_be_bytes();
    Endpoint::new(IpAddr::V4(Ipv4Addr::new(20 + a, b, c, 7)), 40_000)
}

/// What an ordinary SYN offers, without timestamps.
pub fn usual() -> Vec<WireOption> {
    vec![WireOption::Mss(1460), WireOption::SackPermitted, WireOption::WindowScale(7)]
}

/// A segment between `from` and the server of its family.
pub fn segment(from: Endpoint, flags: Flags, seq: u32, ack: u32) -> WireSegment {
    WireSegment {
        source: from,
        destination: if from.addr.is_ipv4() { SERVER } else { SERVER_V6 },
        flags,
        seq,
        ack,
        window: 64_240,
        urgent: 0,
        options: Vec::new(),
        payload: Vec::new(),
        ip: IpFields::default(),
        vlans: Vec::new(),
    }
}

/// An ordinary SYN.
pub fn syn(from: Endpoint, seq: u32) -> WireSegment {
    WireSegment { options: usual(), ..segment(from, Flags::SYN, seq, 0) }
}

/// The third segment that answers `syn_ack`.
pub fn third(syn_ack: &WireSegment) -> WireSegment {
    segment(syn_ack.destination, Flags::ACK, syn_ack.ack, syn_ack.seq.wrapping_add(1))
}

/// The frame of a segment.
pub fn frame(segment: &WireSegment) -> Vec<u8> {
    encode(MACS, segment, false)
}

/// What a frame of the engine says.
pub fn read(frame: &[u8]) -> WireSegment {
    decode(frame).expect("the engine sends what can be read").1
}

/// Bytes on the wire, without the frame check sequence: Ethernet pads to 60.
pub fn on_the_wire(frame: &[u8]) -> usize {
    frame.len().max(60)
}

/// An engine with a listener in each family.
pub struct Bed {
    pub host: Host,
    pub listener: ListenerId,
    pub listener_v6: ListenerId,
    pub now: Duration,
}

impl Bed {
    pub fn new(config: EngineConfig) -> Self {
        Self::with_backlog(config, 1024)
    }

    pub fn with_backlog(config: EngineConfig, backlog: u32) -> Self {
        let mut host = Host::new(config).expect("the engine is built");
        let sockets = host.sockets().expect("it has sockets");
        let mut listen =
            |local| sockets.listen(ListenConfig { backlog, ..ListenConfig::new(local) }).expect("it listens");
        let (listener, listener_v6) = (listen(SERVER), listen(SERVER_V6));
        host.rest(Duration::ZERO);
        Self { host, listener, listener_v6, now: Duration::ZERO }
    }

    pub fn sockets(&mut self) -> &mut SocketCore {
        self.host.sockets().expect("it has sockets")
    }

    /// Puts frames on the wire; what comes back at once, and with it whatever was waiting to be sent.
    pub fn exchange(&mut self, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.host.rest(self.now);
        let mut answers: Vec<_> = std::iter::from_fn(|| self.host.take_sent()).collect();
        for batch in frames.chunks(BATCH) {
            for frame in batch {
                assert!(self.host.receive(frame), "the rings of this bed are never full");
            }
            self.host.rest(self.now);
            answers.extend(std::iter::from_fn(|| self.host.take_sent()));
        }
        answers
    }

    /// Sends one segment; what comes back at once.
    pub fn send(&mut self, segment: &WireSegment) -> Vec<WireSegment> {
        self.exchange(&[frame(segment)]).iter().map(|frame| read(frame)).collect()
    }

    /// Sends a SYN that is answered.
    pub fn syn_ack(&mut self, syn: &WireSegment) -> WireSegment {
        let answers = self.send(syn);
        let [syn_ack] = &answers[..] else { panic!("{answers:?} for {syn:?}") };
        assert_eq!((syn_ack.flags - Flags::ECE, syn_ack.ack), (Flags::SYN | Flags::ACK, syn.seq.wrapping_add(1)));
        syn_ack.clone()
    }

    /// A whole handshake, accepted; false when it was not.
    pub fn connects(&mut self, from: Endpoint) -> bool {
        let answers = self.send(&syn(from, 1_000));
        let [syn_ack] = &answers[..] else { return false };
        if syn_ack.flags != Flags::SYN | Flags::ACK || !self.send(&third(syn_ack)).is_empty() {
            return false;
        }
        let listener = if from.addr.is_ipv4() { self.listener } else { self.listener_v6 };
        let accepted = self.sockets().accept(listener);
        accepted.is_ok_and(|accepted| {
            let gone = self.sockets().abort(accepted.socket).is_ok();
            self.exchange(&[]);
            accepted.peer == from && gone
        })
    }

    /// Lets time pass, stopping at every deadline; what was sent on the way.
    pub fn pass(&mut self, span: Duration) -> Vec<Vec<u8>> {
        let (end, mut sent) = (self.now + span, Vec::new());
        loop {
            self.host.rest(self.now);
            sent.extend(std::iter::from_fn(|| self.host.take_sent()));
            match self.host.next_deadline(self.now) {
                Some(next) if next <= end => self.now = next.max(self.now + Duration::from_nanos(1)),
                _ => break,
            }
        }
        self.now = end;
        self.host.rest(end);
        sent.extend(std::iter::from_fn(|| self.host.take_sent()));
        sent
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.host.observer().counter(counter)
    }

    pub fn drops(&self, reason: DropReason) -> u64 {
        self.host.observer().drops(reason)
    }

    pub fn gauges(&self) -> Gauges {
        self.host.observer().snapshot().gauges
    }

    /// Every received frame became one thing, and nothing is left once time has passed.
    pub fn assert_drains(mut self) {
        let outcomes = self.host.observer().snapshot().outcomes;
        assert!(outcomes.is_balanced(), "{outcomes:?}");
        assert_eq!(self.host.drain(self.now), Ok(()));
    }
}
