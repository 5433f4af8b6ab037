//! A receiver that acknowledges what it has not got, or in slices, to make the sender fast.

use crate::bed::{Bed, PLAIN, Peer, config};
use std::time::Duration;
use synward_proto::{Counter, Flags};
use synward_testkit::wire::WireSegment;

fn payload(sent: &[WireSegment]) -> u32 {
    sent.iter().map(|segment| segment.payload.len() as u32).sum()
}

/// RFC 5961, section 5: nothing beyond SND.NXT is believed. Ten segments are out, and no more follow.
#[test]
fn acknowledging_what_was_never_sent_is_challenged_and_opens_nothing() {
    let mut bed = Bed::new(config());
    let (peer, socket) = bed.open(0, PLAIN);
    bed.write(socket, &vec![1; 200_000]);
    let first = bed.taken();
    assert_eq!((first.len(), payload(&first)), (10, 14_600));
    let mut challenges = 0;
    for step in 1..=100 {
        let ahead = Peer { ack: peer.ack.wrapping_add(14_600 + step * 1_460), ..peer.clone() };
        let answers = bed.send(&ahead.acks());
        assert_eq!(payload(&answers), 0, "{step} segments ahead");
        challenges += answers.len();
    }
    assert_eq!((challenges, bed.count(Counter::TCPChallengeACK)), (1, 1));
    // What was sent counts as sent, and the window grows by what is acknowledged: 20 segments.
    let acks = Peer { ack: peer.ack.wrapping_add(14_600), ..peer };
    let next = bed.send(&acks.acks());
    assert!(payload(&next) <= 20 * 1_460, "{}", payload(&next));
    bed.end();
}

/// RFC 3465: what counts is bytes, not acknowledgments. One of each seven bytes opens the window as far as one of them all.
#[test]
fn acknowledging_in_slices_gains_nothing() {
    let sent_after = |slice: u32| {
        let mut bed = Bed::new(config());
        let (mut peer, socket) = bed.open(0, PLAIN);
        bed.write(socket, &vec![1; 200_000]);
        let first = payload(&bed.taken());
        let mut sent = 0;
        for _ in 0..first / slice {
            peer.ack = peer.ack.wrapping_add(slice);
            sent += payload(&bed.send(&peer.acks()));
        }
        sent += payload(&bed.pass(Duration::from_millis(100)));
        bed.send(&peer.says(Flags::RST, b""));
        bed.end();
        sent
    };
    let (whole, slices) = (sent_after(1_460), sent_after(7));
    assert!(slices <= whole + 1_460, "{slices} bytes after slices, {whole} after whole segments");
}

/// A receiver that acknowledges all that is in flight as soon as it leaves: no faster than the window it says, one window for each
/// acknowledgment, and a reply never outgrows the send buffer.
#[test]
fn acknowledging_at_once_gets_no_more_than_the_window_for_each_acknowledgment() {
    let mut bed = Bed::new(config());
    let (mut peer, socket) = bed.open(0, PLAIN);
    peer.window = 20_000;
    for _ in 0..2_000 {
        bed.write(socket, &vec![1; 100_000]);
        let sent = bed.send(&peer.acks());
        let sent = payload(&sent) + payload(&bed.taken());
        assert!(sent <= 20_000 + 64_240, "{sent} bytes for one acknowledgment");
        peer.ack = peer.ack.wrapping_add(sent);
        bed.now += Duration::from_millis(1);
    }
    bed.send(&peer.says(Flags::RST, b""));
    bed.end();
}
