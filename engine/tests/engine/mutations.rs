//! A million broken frames.

use crate::bed::{config, small_budget};
use crate::peer::{Wire, establish, frame, syn};
use synward_engine::EngineConfig;
use synward_nic::Port;
use synward_proto::segment::{DataOptions, SackBlock, SackBlocks, Timestamps};
use synward_proto::{DropReason, Flags, Options, SeqNum};

const FRAMES: u64 = 1_000_000;

/// A small generator: the same seed, the same frames.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Valid frames of every kind, for a connection that expects `seq` and sends `ack` next.
fn templates(seq: u32, ack: u32) -> Vec<Vec<u8>> {
    let stamped = Options::Data(DataOptions {
        timestamps: Some(Timestamps { value: 7, echo: 9 }),
        sack: {
            let mut sack = SackBlocks::NONE;
            sack.push(SackBlock { start: SeqNum(ack), end: SeqNum(ack) + 100 });
            sack
        },
    });
    let mut frames = vec![syn(1, 5), syn(0, 99), frame(2, 1, 1, Flags::ACK, Options::NONE, b"")];
    for flags in [Flags::ACK, Flags::ACK | Flags::PSH, Flags::FIN | Flags::ACK, Flags::RST, Flags::SYN | Flags::ACK] {
        let options = if flags.contains(Flags::SYN) { Options::Syn(Default::default()) } else { stamped };
        frames.push(frame(0, seq, ack, flags, options, b"payload"));
        frames.push(frame(0, seq.wrapping_add(3_000), ack.wrapping_add(1), flags, options, &[3; 1_000]));
    }
    frames
}

/// One of: cut short, bits flipped, a stretch of another frame put in, bytes put between, and left as it is.
fn mutate(rng: &mut Rng, templates: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = templates[rng.below(templates.len())].clone();
    match rng.below(5) {
        0 => bytes.truncate(rng.below(bytes.len())),
        1 => {
            for _ in 0..=rng.below(4) {
                let bit = rng.below(8 * bytes.len().min(90));
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        2 => {
            let other = &templates[rng.below(templates.len())];
            let end = bytes.len().min(other.len());
            let start = rng.below(end);
            let end = start + rng.below(end - start + 1);
            bytes[start..end].copy_from_slice(&other[start..end]);
        }
        3 => {
            let at = 34 + rng.below(bytes.len() - 34);
            let bytes_in: Vec<u8> = (0..rng.below(40)).map(|_| rng.next() as u8).collect();
            bytes.splice(at..at, bytes_in);
        }
        _ => {}
    }
    bytes
}

/// Puts right what a checksum would catch, so that the mutation is seen by what comes behind it.
fn repair(bytes: &mut [u8]) {
    if bytes.len() < 54 {
        return;
    }
    bytes[24..26].fill(0);
    let header = !sum(&bytes[14..34], 0);
    bytes[24..26].copy_from_slice(&header.to_be_bytes());
    let length = usize::from(u16::from_be_bytes([bytes[16], bytes[17]])).saturating_sub(20).min(bytes.len() - 34);
    if length < 20 {
        return;
    }
    bytes[50..52].fill(0);
    let pseudo = u32::from(sum(&bytes[26..34], 0)) + 6 + length as u32;
    let tcp = !sum(&bytes[34..34 + length], pseudo);
    bytes[50..52].copy_from_slice(&tcp.to_be_bytes());
}

fn sum(bytes: &[u8], start: u32) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut total = words.fold(u64::from(start), |total, word| total + u64::from(word));
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

#[test]
fn no_frame_panics_or_is_counted_twice() {
    let server = EngineConfig { max_connections: 64, max_time_waits: 64, ..config(2) };
    let mut wire = Wire::new(server, small_budget());
    let mut listener = Some(wire.host.sockets.listen(synward_engine::ListenConfig::new(crate::bed::SERVER)).unwrap());
    wire.exchange([]);
    let mut rng = Rng(0x5eed);
    let mut sent = 0;
    while sent < FRAMES {
        // A live connection, for as long as the mutations leave it alone, and sockets that come and go.
        let (seq, ack) = establish(&mut wire, 0);
        sent += 2;
        let far = wire.host.sockets.accept(listener.unwrap()).expect("accepted").socket;
        let templates = templates(seq, ack);
        for _ in 0..200 {
            for _ in 0..50 {
                let mut bytes = mutate(&mut rng, &templates);
                if rng.below(4) > 0 {
                    repair(&mut bytes);
                }
                sent += u64::from(wire.wire.push(&bytes));
            }
            wire.now += std::time::Duration::from_millis(rng.below(200) as u64);
            while wire.host.turn(wire.now) {}
            wire.wire.take_with(usize::MAX, |_| ());
            let _ = wire.host.sockets.recv(far, &mut [0; 4096]);
        }
        let outcomes = wire.host.observer.snapshot().outcomes;
        assert!(outcomes.is_balanced() && outcomes.received == sent, "{outcomes:?}, {sent} sent");
        wire.host.sockets.unlisten(listener.take().unwrap()).expect("ends");
        wire.host.sockets.abort(far).expect("aborts");
        listener = Some(wire.host.sockets.listen(synward_engine::ListenConfig::new(crate::bed::SERVER)).unwrap());
        while wire.host.turn(wire.now) {}
        // Past every timer, so that the next round begins with nothing left of this one.
        wire.now += std::time::Duration::from_secs(200);
        while wire.host.turn(wire.now) {}
        wire.wire.take_with(usize::MAX, |_| ());
    }
    let snapshot = wire.host.observer.snapshot();
    assert_eq!(snapshot.gauges.connections, 0);
    wire.host.assert_balanced();
    let ledger = wire.host.poll_loop.port().ledger();
    assert_eq!((ledger.lent, ledger.in_hand), (0, 0));
    // The mutations reach every storey: link, network, transport, connection.
    for reason in [
        DropReason::FrameTooShort,
        DropReason::IpLength,
        DropReason::IpChecksum,
        DropReason::TcpChecksum,
        DropReason::TcpDataOffset,
        DropReason::NoListener,
        DropReason::BlindRst,
        DropReason::BlindSyn,
        DropReason::OutOfWindow,
    ] {
        assert!(wire.host.observer.drops(reason) > 0, "{}: {:?}", reason.name(), snapshot.drops);
    }
    assert!(snapshot.outcomes.consumed > 0 && snapshot.outcomes.answered > 0 && snapshot.outcomes.delivered > 0);
}
