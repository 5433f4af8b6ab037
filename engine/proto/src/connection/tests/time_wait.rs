//! TIME-WAIT: RFC 9293, section 3.10.7.4; RFC 1337; RFC 6191.

use super::bench::*;
use crate::connection::answer_limit::AnswerLimit;
use crate::connection::time_wait::{REUSE_DELAY, REUSE_GAP};
use crate::connection::timestamps::TimestampClock;
use crate::connection::{Connection, Events, State, Terms, TimeWait, TimeWaitOutcome};
use crate::half_open::{Clock, Negotiated};
use crate::segment::{SynOptions, Timestamps};
use crate::wire::{ChecksumPolicy, parse};
use crate::{Counter, DropReason, Fate, Flags, Instant, Link, Options, Segment, SeqNum, Verdict};
use core::time::Duration;
use proptest::prelude::*;

/// TIME-WAIT entered at the returned time, TS.Recent being 1000 where there are timestamps.
fn entered(timestamps: bool) -> (TimeWait, Instant) {
    let timestamps = timestamps.then_some(Clock { recent: 1, offset: 0 });
    let mut bench = Bench::with(&config(), Negotiated { timestamps, ..negotiated() });
    let _ = bench.connection.close(bench.now);
    bench.sent();
    let last = ack(0, 1).fin();
    let _ = bench.arrive(&if timestamps.is_some() { last.stamp(1000, 0) } else { last });
    (bench.connection.time_wait(bench.now), bench.now)
}

fn settled(outcome: TimeWaitOutcome) -> Verdict {
    match outcome {
        TimeWaitOutcome::Settled(verdict) => verdict,
        TimeWaitOutcome::Reopen => panic!("reopened"),
    }
}

fn on(entry: &mut TimeWait, now: Instant, says: &Says) -> TimeWaitOutcome {
    entry.on_segment(now, &says.segment().0)
}

#[test]
fn a_retransmitted_fin_is_acknowledged_and_the_wait_starts_anew() {
    let (mut entry, start) = entered(false);
    assert_eq!(entry.deadline(), start + Duration::from_secs(60));
    let later = start + Duration::from_secs(59);
    let verdict = settled(on(&mut entry, later, &ack(0, 1).fin()));
    let reply = Sent::of_head(&verdict.reply.unwrap());
    assert_eq!((reply.seq, reply.ack, reply.flags), (1, 1, Flags::ACK));
    assert_eq!(entry.deadline(), later + Duration::from_secs(60));
    let soon = settled(on(&mut entry, later + ms(499), &ack(0, 1).fin()));
    assert_eq!(soon.reply, None, "at a limited rate");
    assert!(settled(on(&mut entry, later + ms(500), &ack(0, 1).fin())).reply.is_some());
}

/// RFC 1337.
#[test]
fn a_reset_is_ignored() {
    let (mut entry, start) = entered(false);
    for offset in [0, 1, u32::MAX] {
        let verdict = settled(on(&mut entry, start + ms(1), &ack(offset, 1).flags(Flags::RST)));
        assert_eq!((verdict.fate, verdict.reply), (Fate::Dropped(DropReason::TimeWaitRst), None));
    }
    assert_eq!(entry.deadline(), start + Duration::from_secs(60));
}

#[test]
fn the_last_acknowledgment_needs_no_answer() {
    let (mut entry, start) = entered(false);
    assert_eq!(settled(on(&mut entry, start, &ack(1, 1))), Verdict::CONSUMED);
    let old = settled(on(&mut entry, start, &data(0, 1, 1)));
    assert_eq!(old.fate, Fate::Dropped(DropReason::TimeWaitOldDuplicate));
}

/// RFC 6191, section 2, and Linux's `tcp_timewait_state_process`.
#[test]
fn a_newer_syn_reopens() {
    let fresh = |value| Some(Timestamps { value, echo: 0 });
    for (timestamps, offset, stamp, reopens) in [
        (false, 1, None, false),
        (false, 2, None, true),
        (false, 0x7fff_ffff, None, true),
        (false, 0x8000_0002, None, false),
        (true, 2, fresh(1001), true),
        (true, 0, fresh(1001), true),
        (true, 0, fresh(1000), false),
        (true, 2, fresh(1000), true),
        (true, 2, fresh(999), false),
        (true, 2, None, true),
    ] {
        let (mut entry, start) = entered(timestamps);
        let (mut segment, _) = ack(offset, 0).flags(Flags::SYN).segment();
        segment.options = Options::Syn(SynOptions { timestamps: stamp, ..Default::default() });
        let outcome = entry.on_segment(start, &segment);
        assert_eq!(outcome == TimeWaitOutcome::Reopen, reopens, "offset {offset}, {stamp:?}");
        if !reopens {
            assert!(settled(outcome).reply.is_some(), "the peer learns what we expect, and resets");
        }
    }
}

#[test]
fn a_lone_syn_that_is_not_newer_does_not_prolong_the_wait() {
    let (mut entry, start) = entered(false);
    let _ = on(&mut entry, start + ms(1000), &ack(0, 0).flags(Flags::SYN));
    assert_eq!(entry.deadline(), start + Duration::from_secs(60));
}

/// TS.Recent could otherwise be raised blindly, and keep every newer SYN out.
#[test]
fn only_the_peers_last_acknowledgment_moves_ts_recent() {
    let (mut entry, start) = entered(true);
    for forged in [data(0, 1, 1), ack(0, 1), ack(1, 1).fin(), data(1, 1, 1), ack(2, 1)] {
        let _ = on(&mut entry, start, &forged.stamp(2_000_000, 0));
    }
    let _ = on(&mut entry, start, &ack(1, 1).stamp(1005, 0));
    let mut syn = ack(0, 0).flags(Flags::SYN).segment().0;
    for (value, reopens) in [(1005, false), (1006, true)] {
        syn.options =
            Options::Syn(SynOptions { timestamps: Some(Timestamps { value, echo: 0 }), ..Default::default() });
        assert_eq!(entry.on_segment(start, &syn) == TimeWaitOutcome::Reopen, reopens);
    }
}

#[test]
fn a_syn_ack_never_reopens() {
    let (mut entry, start) = entered(false);
    let verdict = settled(on(&mut entry, start, &ack(5000, 0).flags(Flags::SYN | Flags::ACK)));
    assert_eq!(verdict.fate, Fate::Dropped(DropReason::TimeWaitOldDuplicate));
}

/// Linux: `tcp_twsk_unique`.
#[test]
fn an_open_of_ours_may_take_over_after_a_quiet_second() {
    let (without_timestamps, start) = entered(false);
    assert_eq!(without_timestamps.reuse(start + Duration::from_secs(59)), None);
    let (mut entry, start) = entered(true);
    assert_eq!(entry.reuse(start), None);
    assert_eq!(entry.reuse(start + (REUSE_DELAY - Duration::from_nanos(1))), None);
    let reuse = entry.reuse(start + REUSE_DELAY).expect("reusable");
    assert_eq!(reuse.iss, ISS + 1 + 1 + REUSE_GAP, "beyond our FIN and any unscaled window");
    // The peer's FIN again: it has not heard our last acknowledgment.
    let later = start + Duration::from_secs(30);
    let _ = on(&mut entry, later, &ack(0, 1).fin().stamp(1000, 0));
    assert_eq!(entry.reuse(later + (REUSE_DELAY - Duration::from_nanos(1))), None);
    assert!(entry.reuse(later + REUSE_DELAY).is_some());
}

/// The new connection's numbers and timestamps go on from those of the old one.
#[test]
fn an_open_takes_over() {
    let (entry, start) = entered(true);
    let mut bench = Bench::accepted(&config(), negotiated());
    bench.now = start + Duration::from_secs(2);
    let reuse = entry.reuse(bench.now).expect("reusable");
    bench.connection = Connection::reconnect(bench.now, &reuse, &Terms::from(&config()));
    let syn = bench.sent();
    let first = 1 + REUSE_GAP;
    assert_eq!((syn.len(), syn[0].seq, syn[0].flags), (1, first, Flags::SYN));
    assert_eq!(syn[0].timestamps(), Some(Timestamps { value: bench.now.as_millis() as u32, echo: 1000 }));
    assert_eq!((bench.count_of(Counter::ActiveOpens), bench.count_of(Counter::TWRecycled)), (1, 1));

    // A peer that has not heard the last acknowledgment answers with its own; our reset frees it, and the SYN comes again.
    let half_closed = bench.reply_to(&ack(1, 1).stamp(1000, 0));
    assert_eq!((half_closed.seq, half_closed.flags), (1, Flags::RST));
    let _ = bench.tick_next();
    assert_eq!((bench.sent()[0].seq, bench.connection.state()), (first, State::SynSent));

    let mut syn_ack = ack(5_000_000, first + 1).flags(Flags::SYN | Flags::ACK).segment().0;
    let stamp = Timestamps { value: 9_000, echo: bench.now.as_millis() as u32 };
    syn_ack.options = Options::Syn(SynOptions { timestamps: Some(stamp), ..Default::default() });
    let decision = bench.connection.on_segment(bench.now, &syn_ack, &[]);
    assert_eq!((decision.events, bench.connection.state()), (Events::CONNECTED, State::Established));
    let third = bench.sent();
    assert_eq!((third[0].seq, third[0].ack), (first + 1, 5_000_001));
    assert_eq!(third[0].timestamps().map(|stamp| stamp.echo), Some(9_000));
    // What is left of the old connection is refused by its timestamp.
    let old = bench.arrive(&data(5_000_001, first + 1, 10).stamp(8_999, 0));
    assert_eq!(old.verdict.fate, Fate::Dropped(DropReason::Paws));
}

/// A SYN of the peer's that crosses ours is no old duplicate, unless its timestamp says so.
#[test]
fn a_crossing_syn_is_held_against_what_the_old_connection_has_seen() {
    for (value, reason) in [(999, Some(DropReason::Paws)), (1000, None), (1001, None)] {
        let (entry, start) = entered(true);
        let now = start + REUSE_DELAY;
        let reuse = entry.reuse(now).expect("reusable");
        let mut bench = Bench::accepted(&config(), negotiated());
        bench.now = now;
        bench.connection = Connection::reconnect(now, &reuse, &Terms::from(&config()));
        bench.sent();
        let mut syn = ack(7_000, 0).flags(Flags::SYN).segment().0;
        let timestamps = Some(Timestamps { value, echo: 0 });
        syn.options = Options::Syn(SynOptions { timestamps, ..Default::default() });
        let fate = bench.connection.on_segment(now, &syn, &[]).verdict.fate;
        assert_eq!(fate, reason.map_or(Fate::Consumed, Fate::Dropped), "{value}");
        assert_eq!(bench.sent().len(), usize::from(reason.is_none()), "answered with SYN-ACK or not at all");
    }
}

proptest! {
    /// The peer waits too: whatever the numbers are, it lets the new connection in, by either of its two tests alone (RFC
    /// 6191, section 2).
    #[test]
    fn a_peer_in_time_wait_admits_the_new_connection(
        nxt: u32, offset: u32, waited in 1_000u64..60_000, start in 0u64..1 << 40, timestamps: bool,
    ) {
        let entered_at = Instant::from_millis(start);
        let now = entered_at + ms(waited);
        let clock = |recent, offset| TimestampClock::new(entered_at, Clock { recent, offset });
        let ours = TimeWait {
            tuple: TUPLE,
            snd_nxt: SeqNum(nxt),
            rcv_nxt: SeqNum(77),
            window: 0,
            clock: Some(clock(1, offset)),
            limit: AnswerLimit::NEW,
            length: Duration::from_secs(60).into(),
            expires: entered_at + Duration::from_secs(60),
        };
        // The last that the peer can have seen is a segment sent as the wait began.
        let last_seen = clock(1, offset).option(entered_at).value;
        let theirs = TimeWait {
            tuple: TUPLE.reversed(),
            snd_nxt: ours.rcv_nxt,
            rcv_nxt: ours.snd_nxt,
            clock: timestamps.then_some(clock(last_seen, 0)),
            ..ours
        };
        let syn = first_segment(Connection::reconnect(now, &ours.reuse(now).expect("reusable"), &Terms::from(&config())), now);
        let mut by_both = theirs;
        prop_assert_eq!(by_both.on_segment(now, &syn), TimeWaitOutcome::Reopen);
        if timestamps {
            // Far ahead of where the peer is: its timestamp alone admits it.
            let mut by_timestamp = TimeWait { rcv_nxt: syn.seq + 1, ..theirs };
            prop_assert_eq!(by_timestamp.on_segment(now, &syn), TimeWaitOutcome::Reopen);
        }
        prop_assert!(!syn.seq.in_window(ours.snd_nxt, 65_536), "beyond every byte that an unscaled window let out");
    }
}

/// The segment that `connection` sends first, as its peer reads it.
fn first_segment(mut connection: Connection, now: Instant) -> Segment {
    let mut frame = [0; 2048];
    let len = connection.poll_transmit(now, &Link::default(), &mut frame).expect("a SYN");
    parse(&frame[..len], ChecksumPolicy::Full).expect("what we send can be read")
}
