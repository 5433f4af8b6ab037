//! TIME-WAIT: RFC 9293, section 3.10.7.4; RFC 1337; RFC 6191.

use super::bench::*;
use crate::connection::{TimeWait, TimeWaitOutcome};
use crate::half_open::{Clock, Negotiated};
use crate::segment::{SynOptions, Timestamps};
use crate::{DropReason, Fate, Flags, Instant, Options, Verdict};
use core::time::Duration;

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
