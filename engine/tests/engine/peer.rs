//! A peer made by hand, at the far end of a wire.

use crate::bed::{CLIENT_LINK, Host, SERVER, client, small_budget};
use std::sync::Arc;
use synward_engine::{EngineConfig, Shield};
use synward_nic::{FrameBudget, MemoryPort, MemoryPortConfig, MemoryWire};
use synward_proto::segment::{Mss, SynOptions, WindowScale};
use synward_proto::wire::{ChecksumPolicy, HEADROOM, SegmentWriter, parse};
use synward_proto::{Flags, Head, Instant, Marking, Options, Segment, SeqNum, Tuple};

/// An engine, and the wire to it.
pub struct Wire {
    pub host: Host,
    pub wire: MemoryWire,
    pub now: Instant,
}

impl Wire {
    pub fn new(config: EngineConfig, budget: FrameBudget) -> Self {
        let (port, wire) = MemoryPort::with_wire(MemoryPortConfig { budget, ..MemoryPortConfig::default() })
            .expect("memory for a port");
        Self { host: Host::new(config, port), wire, now: Instant::from_millis(1_000) }
    }

    /// A wire to an engine with a shield in front of it.
    pub fn behind(shield: Arc<dyn Shield>, config: EngineConfig) -> Self {
        let (port, wire) = MemoryPort::with_wire(MemoryPortConfig { budget: small_budget(), ..Default::default() })
            .expect("memory for a port");
        Self { host: Host::behind(shield, config, port), wire, now: Instant::from_millis(1_000) }
    }

    /// Sends frames and gives what comes back.
    pub fn exchange<'a>(&mut self, frames: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        for frame in frames {
            assert!(self.wire.push(frame), "{:?}", self.wire.statistics());
        }
        while self.host.turn(self.now) {}
        std::iter::from_fn(|| self.wire.take()).collect()
    }
}

/// The frame of a segment from the client with this number.
pub fn frame(n: u32, seq: u32, ack: u32, flags: Flags, options: Options, payload: &[u8]) -> Vec<u8> {
    let tuple = Tuple { local: client(n), remote: SERVER };
    let head =
        Head { tuple, seq: SeqNum(seq), ack: SeqNum(ack), flags, window: 0xffff, options, marking: Marking::DEFAULT };
    let mut bytes = vec![0; HEADROOM + payload.len()];
    let mut writer = SegmentWriter::new(&mut bytes, &CLIENT_LINK, &head);
    writer.append(payload);
    let len = writer.finish();
    bytes.truncate(len);
    bytes
}

/// A SYN with Linux's usual options, but for timestamps.
pub fn syn(n: u32, seq: u32) -> Vec<u8> {
    let options = SynOptions {
        mss: Mss::announced(1460),
        window_scale: Some(WindowScale::clamped(7)),
        sack_permitted: true,
        timestamps: None,
    };
    frame(n, seq, 0, Flags::SYN, Options::Syn(options), b"")
}

/// What a frame from the engine says.
pub fn read(frame: &[u8]) -> Segment {
    parse(frame, ChecksumPolicy::Full).expect("the engine sends what can be read")
}

/// Completes a handshake; gives the sequence number that the engine expects next, and the one it sends next.
pub fn establish(wire: &mut Wire, n: u32) -> (u32, u32) {
    let answers = wire.exchange([syn(n, 1_000).as_slice()]);
    let syn_ack = read(answers.first().expect("a SYN-ACK"));
    assert_eq!(syn_ack.flags, Flags::SYN | Flags::ACK);
    let next = syn_ack.seq.0.wrapping_add(1);
    let answers = wire.exchange([frame(n, 1_001, next, Flags::ACK, Options::NONE, b"").as_slice()]);
    assert!(answers.is_empty(), "{answers:?}");
    (1_001, next)
}
