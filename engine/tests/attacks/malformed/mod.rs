//! Malformed and odd frames: each with the one reason for which it dies and the answer that it gets, and none that changes
//! anything else.

mod handshakes;
mod headers;
mod storeys;

use crate::bed::{Bed, client, config, frame, segment, syn};
use std::time::Duration;
use synward_engine::SocketId;
use synward_proto::{DropReason, Flags};
use synward_testkit::heap;
use synward_testkit::wire::{WireSegment, resum};

/// Where the headers of an untagged frame begin.
const IP: usize = 14;
const TCP_V4: usize = IP + 20;
const TCP_V6: usize = IP + 40;

/// An ordinary SYN over IPv4 after a change, with checksums that are right.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = frame(&syn(client(1), 1));
    change(&mut bytes);
    resum(&mut bytes, IP, TCP_V4);
    bytes
}

/// A bed with one connection, which has to outlive whatever comes, and with a half-open entry.
struct Attacked {
    bed: Bed,
    socket: SocketId,
    /// What the connection's peer sends next.
    peer: WireSegment,
}

impl Attacked {
    fn new() -> Self {
        let mut bed = Bed::new(config());
        let syn_ack = bed.syn_ack(&syn(client(0), 1_000));
        let third = crate::bed::third(&syn_ack);
        assert!(bed.send(&third).is_empty());
        let listener = bed.listener;
        let socket = bed.sockets().accept(listener).expect("accepted").socket;
        Self { bed, socket, peer: third }
    }

    /// The frame dies for this reason, without an answer, an entry, a connection or a byte of heap.
    fn dies(&mut self, reason: DropReason, frame: &[u8], what: &str) {
        let before = (self.bed.drops(reason), self.dropped(), self.state());
        let answers = self.bed.exchange(&[frame.to_vec()]);
        assert!(answers.is_empty(), "{what}: {answers:x?}");
        let after = (self.bed.drops(reason), self.dropped(), self.state());
        assert_eq!(after, (before.0 + 1, before.1 + 1, before.2), "{what}: {}", reason.name());
    }

    fn dropped(&self) -> u64 {
        self.bed.host.observer().snapshot().outcomes.dropped
    }

    fn state(&self) -> (u64, u64, u64) {
        let gauges = self.bed.gauges();
        (gauges.half_open, gauges.connections, gauges.frames_lent)
    }

    /// The connection still takes what its peer sends, and nothing else has come to it.
    fn ends_well(mut self) {
        let data = WireSegment { payload: b"alive".to_vec(), flags: Flags::ACK | Flags::PSH, ..self.peer.clone() };
        self.bed.send(&data);
        let mut bytes = [0; 100];
        assert_eq!(self.bed.sockets().recv(self.socket, &mut bytes), Ok(5));
        assert_eq!(&bytes[..5], b"alive");
        self.bed.sockets().abort(self.socket).expect("it lives");
        self.bed.pass(Duration::from_secs(1));
        self.bed.assert_drains();
    }
}

/// Nothing that dies at the door leaves anything behind: ten thousand fragments that are never completed.
#[test]
fn fragments_are_not_kept() {
    let mut attacked = Attacked::new();
    let mut before = 0;
    for n in 0..10_000_u16 {
        let fragment = changed(|bytes| {
            // First ones with more to come, and others at any offset, overlapping.
            bytes[IP + 4..IP + 6].copy_from_slice(&n.to_be_bytes());
            bytes[IP + 6..IP + 8].copy_from_slice(&(0x2000 | n % 7).to_be_bytes());
        });
        attacked.dies(DropReason::IpFragment, &fragment, "a fragment");
        if n == 100 {
            before = heap::live();
        }
    }
    let growth = heap::live() - before;
    assert!(growth < 4 * 1024, "{growth} bytes");
    attacked.ends_well();
}

/// Control bits that no standard knows, at a listener, at a half-open entry and at a connection.
#[test]
fn odd_control_bits() {
    let all = Flags::SYN | Flags::FIN | Flags::RST | Flags::PSH | Flags::ACK | Flags::URG | Flags::ECE | Flags::CWR;
    let xmas = Flags::FIN | Flags::PSH | Flags::URG;
    let none = Flags::empty();
    let syn_fin = Flags::SYN | Flags::FIN;
    use DropReason::{BlindRst, HalfOpenBadAck, HalfOpenNoAck, NoAck, NotASyn, StrayRst, TcpFlags};
    for (flags, at_listener, at_connection) in [
        (none, TcpFlags, TcpFlags),
        (syn_fin, TcpFlags, TcpFlags),
        (syn_fin | Flags::ACK, TcpFlags, TcpFlags),
        (syn_fin | xmas, TcpFlags, TcpFlags),
        (xmas, NotASyn, NoAck),
        (Flags::FIN, NotASyn, NoAck),
        (Flags::PSH | Flags::URG, NotASyn, NoAck),
        (Flags::SYN | Flags::RST, StrayRst, BlindRst),
        (all, StrayRst, BlindRst),
    ] {
        let mut attacked = Attacked::new();
        attacked.dies(at_listener, &frame(&segment(client(1), flags, 5, 6)), "at the listener");
        // Ten bytes past what is awaited, so that a reset in it is a blind one.
        let blind = WireSegment { seq: attacked.peer.seq.wrapping_add(10), flags, ..attacked.peer.clone() };
        let drops = attacked.bed.drops(at_connection);
        let answers = attacked.bed.send(&blind);
        assert!(answers.iter().all(|answer| answer.flags == Flags::ACK), "{flags:?}: {answers:?}");
        assert_eq!(answers.len(), usize::from(at_connection == BlindRst), "{flags:?}");
        assert_eq!(attacked.bed.drops(at_connection), drops + 1, "{flags:?}");
        attacked.ends_well();
    }
    for (flags, reason) in [(none, TcpFlags), (syn_fin, TcpFlags), (xmas, HalfOpenNoAck)] {
        let mut attacked = Attacked::new();
        let entry = attacked.bed.syn_ack(&syn(client(2), 1_000));
        attacked.dies(reason, &frame(&segment(client(2), flags, 1_001, 0)), "at a half-open entry");
        let wrong = segment(client(2), Flags::ACK | xmas, 1_001, entry.seq);
        let answers = attacked.bed.send(&wrong);
        assert_eq!(answers.iter().map(|answer| answer.flags).collect::<Vec<_>>(), [Flags::RST], "an ACK of nothing");
        assert_eq!(attacked.bed.drops(HalfOpenBadAck), 1);
        assert_eq!(attacked.bed.gauges().half_open, 1);
        attacked.ends_well();
    }
}

/// An urgent pointer past the data, one without data, and one at each edge: bytes are delivered in line, and nothing else happens.
#[test]
fn urgent_pointers_that_point_nowhere() {
    let mut attacked = Attacked::new();
    let mut wanted = Vec::new();
    for (urgent, payload) in [(0, &b"a"[..]), (1, b"b"), (2, b"c"), (u16::MAX, b"d"), (u16::MAX, b""), (0, b"")] {
        let flags = Flags::URG | Flags::ACK | Flags::PSH;
        let peer = &mut attacked.peer;
        let segment = WireSegment { urgent, payload: payload.to_vec(), flags, ..peer.clone() };
        peer.seq = peer.seq.wrapping_add(payload.len() as u32);
        wanted.extend_from_slice(payload);
        let answers = attacked.bed.send(&segment);
        assert!(answers.iter().all(|answer| answer.flags == Flags::ACK), "{answers:?}");
    }
    let mut bytes = [0; 100];
    let read = attacked.bed.sockets().recv(attacked.socket, &mut bytes).expect("bytes");
    assert_eq!(bytes[..read], wanted);
    attacked.ends_well();
}

/// The padding of a short frame is nobody's data.
#[test]
fn trailing_bytes_are_not_data() {
    for trailing in [1, 4, 6, 1_000] {
        let mut attacked = Attacked::new();
        let data = WireSegment { payload: b"ab".to_vec(), flags: Flags::ACK | Flags::PSH, ..attacked.peer.clone() };
        let mut padded = frame(&data);
        padded.extend(std::iter::repeat_n(b'!', trailing));
        attacked.bed.exchange(&[padded]);
        let mut bytes = [0; 2_000];
        assert_eq!(attacked.bed.sockets().recv(attacked.socket, &mut bytes), Ok(2), "{trailing} bytes behind it");
        assert_eq!(&bytes[..2], b"ab");
        attacked.peer.seq = attacked.peer.seq.wrapping_add(2);
        attacked.ends_well();
    }
}
