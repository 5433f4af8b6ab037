//! Bytes out of order, to be kept at our expense: SegmentSmack (CVE-2018-5390), and overlaps that contradict each other.

use crate::bed::{Bed, PLAIN, Peer, config};
use std::time::Duration;
use synward_engine::EngineConfig;
use synward_proto::{Counter, Flags};
use synward_testkit::heap;

const PSH_ACK: Flags = Flags::PSH.union(Flags::ACK);

/// One connection that sends every other byte: it has so many pieces, whose cost is known, and the rest is dropped.
#[test]
fn alternating_bytes_are_kept_up_to_a_limit() {
    let mut bed = Bed::new(config());
    let (peer, socket) = bed.open(0, PLAIN);
    let before = heap::live();
    let (mut replies, mut most) = (0, 0);
    for round in 0..4 {
        for byte in 0..30_000 {
            // From the far end, then from the near one: both ways of growing a list.
            let offset = if round % 2 == 0 { 60_000 - 2 * byte } else { 2 * byte + 1 };
            let calls = heap::calls();
            let frame = bed.prepare(&peer.forges(PSH_ACK, offset, b"x"));
            let prepared = heap::calls() - calls;
            bed.deliver(&frame);
            most = most.max(heap::calls() - calls - prepared);
            replies += bed.frames().len();
        }
    }
    let grown = heap::live() - before;
    assert!(grown < 48 * 1024, "{grown} bytes for one connection");
    assert!(bed.gauges().buffered <= 256 * (64 + 256), "{}", bed.gauges().buffered);
    assert!(most <= 32, "{most} allocations for one byte");
    assert!(replies <= 120_000, "no more replies than segments");
    assert!(bed.count(Counter::TCPOFODrop) > 0);
    // What it sends in order still counts.
    assert_eq!(bed.send(&peer.says(PSH_ACK, b"honest")).len(), 1);
    assert!(bed.read(socket).expect("reads").starts_with(b"honest"));
    bed.end();
}

/// Hundreds of them at once: together they hold no more than the shard allows, whoever keeps a gap open the longest loses what
/// lies beyond it, and one that only reorders a little notices nothing.
#[test]
fn all_connections_together_have_a_limit_and_the_honest_do_not_notice() {
    const LIMIT: u64 = 1 << 20;
    let mut bed = Bed::new(EngineConfig { buffer_memory: LIMIT, ..config() });
    let (mut honest, socket) = bed.open(0, PLAIN);
    let attackers: Vec<Peer> = (1..=400).map(|n| bed.open(n, PLAIN).0).collect();
    let before = heap::live();
    let (mut sent, mut read, mut most) = (Vec::new(), Vec::new(), 0);
    for round in 0..120_u32 {
        for attacker in &attackers {
            // 64 bytes of state for each of its pieces: 400 times 120 of them would be three times the limit.
            bed.send(&attacker.forges(PSH_ACK, 2 * round + 1, b"x"));
            most = most.max(bed.gauges().buffered);
        }
        // Two segments of the honest one, the second first.
        let (one, two) = (vec![round as u8; 700], vec![!round as u8; 700]);
        bed.send(&honest.forges(PSH_ACK, 700, &two));
        bed.send(&honest.says(PSH_ACK, &one));
        honest.seq = honest.seq.wrapping_add(1_400);
        sent.extend([one, two].concat());
        read.extend(bed.read(socket).expect("the honest one is served"));
        bed.now += Duration::from_millis(1);
    }
    assert!(read == sent, "{} bytes of {}", read.len(), sent.len());
    // Between the steps of a turn it may be more by what one turn brought.
    assert!(most <= LIMIT, "{most} bytes held");
    let grown = heap::live() - before;
    assert!(grown < 2 * LIMIT as isize, "{grown} bytes of heap");
    assert!(bed.count(Counter::OfoPruned) > 0, "there was too much");
    assert_eq!((bed.count(Counter::TCPAbortOnMemory), bed.gauges().connections), (0, 401));
    bed.end();
}

/// The first copy of a byte is what the reader gets, whichever way the second comes.
#[test]
fn of_overlapping_bytes_the_first_copy_counts() {
    let mut bed = Bed::new(config());
    /// Offset, byte, length.
    type Segments = &'static [(u32, u8, usize)];
    // Segments, and the stream that must come of them.
    let cases: [(Segments, &str); 6] = [
        (&[(0, b'a', 4), (0, b'b', 4), (2, b'c', 4)], "aaaacc"),
        (&[(4, b'a', 4), (2, b'b', 8), (0, b'c', 12)], "ccbbaaaabbcc"),
        (&[(2, b'a', 2), (6, b'b', 2), (0, b'c', 10)], "ccaaccbbcc"),
        (&[(1, b'a', 1), (3, b'b', 1), (0, b'c', 5), (0, b'd', 6)], "cacbcd"),
        (&[(4, b'a', 2), (4, b'b', 2), (3, b'c', 4), (0, b'd', 4)], "dddcaac"),
        (&[(0, b'a', 1), (0, b'b', 2), (0, b'c', 3), (0, b'd', 4)], "abcd"),
    ];
    for (n, (segments, stream)) in (0..).zip(cases) {
        let (peer, socket) = bed.open(n, PLAIN);
        let mut read = Vec::new();
        for &(offset, byte, length) in segments {
            bed.send(&peer.forges(PSH_ACK, offset, &vec![byte; length]));
            read.extend(bed.read(socket).expect("reads"));
        }
        assert_eq!(String::from_utf8_lossy(&read), stream, "{segments:?}");
    }
    bed.end();
}
