//! Windows of one byte, and windows that are taken back.

use crate::bed::{Bed, PLAIN, config};
use std::time::Duration;
use synward_proto::Flags;

/// MUST-38: a window of one byte draws no stream of one-byte segments: the sender waits, and sends what fits only when its timer
/// overrides, at intervals that grow.
#[test]
fn a_window_of_one_byte_draws_few_segments() {
    let mut bed = Bed::new(config());
    let (mut peer, socket) = bed.open(0, PLAIN);
    peer.window = 1;
    bed.send(&peer.acks());
    bed.write(socket, &[7; 20_000]);
    let (mut segments, mut bytes) = (0, 0);
    for _ in 0..600 {
        let mut sent = bed.pass(Duration::from_millis(100));
        while let Some(last) = sent.last() {
            (segments, bytes) = (segments + sent.len(), bytes + sent.iter().map(|s| s.payload.len()).sum::<usize>());
            peer.ack = last.seq.wrapping_add(last.payload.len() as u32);
            sent = bed.send(&peer.acks());
        }
    }
    assert!(bytes >= 1, "the timer overrides");
    assert!(segments <= 310, "{segments} segments of {bytes} bytes in a minute: one in 200 ms at most");
    bed.send(&peer.says(Flags::RST, b""));
    bed.end();
}

/// MUST-34: a window that shrinks below what is in flight makes nothing go wrong: no new bytes beyond its edge but probes, and
/// all of them in order when it opens.
#[test]
fn a_window_that_shrinks_below_the_flight_is_borne() {
    let mut bed = Bed::new(config());
    let (mut peer, socket) = bed.open(0, PLAIN);
    let stream: Vec<u8> = (0..60_000_u32).map(|n| (n / 7) as u8).collect();
    assert_eq!(bed.write(socket, &stream), stream.len());
    let first = bed.taken();
    let in_flight: u32 = first.iter().map(|segment| segment.payload.len() as u32).sum();
    let base = first[0].seq;
    // Half of it has arrived, and the window ends there.
    (peer.ack, peer.window) = (base.wrapping_add(in_flight / 2), 0);
    bed.send(&peer.acks());
    for segment in bed.pass(Duration::from_secs(20)) {
        let end = segment.seq.wrapping_add(segment.payload.len() as u32).wrapping_sub(base);
        assert!(end <= in_flight, "nothing new: up to {end} of {in_flight}");
        bed.send(&peer.acks());
    }
    peer.window = 64_240;
    let mut got = stream[..(in_flight / 2) as usize].to_vec();
    let mut sent = bed.send(&peer.acks());
    for _ in 0..2_000 {
        for segment in sent {
            let at = segment.seq.wrapping_sub(base) as usize;
            if at <= got.len() && at + segment.payload.len() > got.len() {
                got.extend_from_slice(&segment.payload[got.len() - at..]);
            }
        }
        if got.len() == stream.len() {
            break;
        }
        peer.ack = base.wrapping_add(got.len() as u32);
        sent = bed.send(&peer.acks());
        sent.extend(bed.pass(Duration::from_millis(50)));
    }
    assert!(got == stream, "{} of {} bytes", got.len(), stream.len());
    bed.send(&peer.says(Flags::RST, b""));
    bed.end();
}
