//! SYNs that come again, changed or crossed: never two entries.

use crate::bed::{Bed, client, config, read, segment, syn, third, usual};
use std::time::Duration;
use synward_proto::{Counter, DropReason, Flags};
use synward_testkit::wire::{WireOption, WireSegment};

#[test]
fn the_same_syn_ten_times() {
    let mut bed = Bed::new(config());
    let first = bed.syn_ack(&syn(client(0), 1_000));
    let mut answers = 0;
    for _ in 0..10 {
        for syn_ack in bed.send(&syn(client(0), 1_000)) {
            assert_eq!(syn_ack, first, "the same initial sequence number");
            answers += 1;
        }
        assert_eq!(bed.gauges().half_open, 1);
        bed.pass(Duration::from_millis(100));
    }
    // One in 500 ms is answered.
    assert_eq!((answers, bed.drops(DropReason::DuplicateSyn)), (2, 8));
    assert!(bed.send(&third(&first)).is_empty());
    assert_eq!(bed.gauges().connections, 1);
    bed.assert_drains();
}

/// Another SYN of the same tuple: outside of the window it is challenged, within it ends the handshake with a reset; it never
/// makes a second entry, and its options change nothing.
#[test]
fn changed_syns() {
    for (offset, ends) in
        [(1_u32, true), (30_000, true), (65_535, true), (65_537, false), (1 << 31, false), (u32::MAX, false)]
    {
        let mut bed = Bed::new(config());
        let first = bed.syn_ack(&syn(client(0), 1_000));
        let other = WireSegment {
            options: vec![WireOption::Mss(100), WireOption::WindowScale(14)],
            ..segment(client(0), Flags::SYN, 1_000_u32.wrapping_add(offset), 0)
        };
        let answers = bed.send(&other);
        let flags: Vec<_> = answers.iter().map(|answer| answer.flags).collect();
        let wanted = if ends { Flags::RST | Flags::ACK } else { Flags::ACK };
        assert_eq!((flags, bed.gauges().half_open), (vec![wanted], u64::from(!ends)), "{offset} away");
        assert_eq!(bed.send(&third(&first)).len(), usize::from(ends), "the first one's, if it is still there");
        assert_eq!(bed.gauges().connections, u64::from(!ends));
        bed.assert_drains();
    }
    // The same number with other options is the same SYN.
    let mut bed = Bed::new(config());
    let first = bed.syn_ack(&syn(client(0), 1_000));
    let again = bed.send(&WireSegment { options: usual().split_off(2), ..syn(client(0), 1_000) });
    assert!(again.iter().all(|answer| *answer == first) && bed.gauges().half_open == 1);
    bed.assert_drains();
}

/// What crosses our SYN-ACK, as in a simultaneous open towards a listener, is refused as RFC 9293 has it for a passive open.
#[test]
fn crossing_syn_acks() {
    let mut bed = Bed::new(config());
    let first = bed.syn_ack(&syn(client(0), 1_000));
    let crossing = segment(client(0), Flags::SYN | Flags::ACK, 1_000, first.seq.wrapping_add(1));
    // Also with data behind the SYN, which would be in the window.
    for payload in [Vec::new(), b"data".to_vec()] {
        let answers = bed.send(&WireSegment { payload, ..crossing.clone() });
        assert_eq!(answers.iter().map(|answer| answer.flags).collect::<Vec<_>>(), [Flags::ACK]);
        assert_eq!((bed.gauges().half_open, bed.gauges().connections), (1, 0));
        bed.pass(Duration::from_millis(500));
    }
    assert!(bed.send(&third(&first)).is_empty());
    assert_eq!((bed.gauges().half_open, bed.gauges().connections), (0, 1));
    bed.assert_drains();
}

/// A thousand invalid segments for one entry draw two answers a second at most.
#[test]
fn invalid_segments_for_an_entry_draw_few_answers() {
    let mut bed = Bed::new(config());
    let first = bed.syn_ack(&syn(client(0), 1_000));
    let far = segment(client(0), Flags::ACK, 1_000_000, first.seq.wrapping_add(1));
    let mut answers = 0;
    for _ in 0..1_000 {
        answers += bed.send(&far).len();
        let sent = bed.pass(Duration::from_millis(1));
        assert!(sent.iter().all(|frame| read(frame).flags.contains(Flags::SYN)), "its SYN-ACK, which is due");
    }
    assert_eq!((answers as u64, bed.count(Counter::TCPACKSkippedSynRecv)), (2, 998));
    bed.assert_drains();
}
