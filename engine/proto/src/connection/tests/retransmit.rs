//! Loss: RFC 6298, RFC 5681 section 3.2, RFC 6582, RFC 3042.

use super::bench::*;
use crate::connection::rtt;
use crate::connection::{ConnectionConfig, Events, Failure, State};
use crate::half_open::{Clock, Negotiated};
use crate::{Counter, Flags};
use alloc::vec::Vec;
use core::time::Duration;

/// A connection that has measured a round trip of 100 ms and has ten segments in flight.
fn in_flight() -> Bench {
    let mut bench = Bench::established();
    bench.send(stream(0, 100_000));
    assert_eq!(bench.sent().len(), 10);
    bench.wait(ms(100));
    bench
}

/// RFC 6298, sections 5.1 to 5.6, and Linux's `tcp_retries2`.
#[test]
fn the_timer_sends_the_oldest_segment_again_with_back_off_until_it_gives_up() {
    let mut bench = Bench::established();
    bench.send(stream(0, 3000));
    bench.sent();
    let mut intervals = Vec::new();
    let end = loop {
        let (waited, decision) = bench.tick_next();
        intervals.push(waited.as_secs());
        if decision.events != Events::empty() {
            break decision;
        }
        assert_eq!(bench.sent_ranges(), [(0, 1000)], "one segment: the window is down to it");
    };
    assert_eq!(end.events, Events::FAILED | Events::CLOSED);
    assert_eq!(intervals, [3, 6, 12, 24, 48, 96, 120, 120, 120, 120, 120, 120, 120]);
    assert!(Duration::from_secs(intervals[1..].iter().sum()) >= rtt::time_of(15), "given up by time");
    assert_eq!((bench.connection.failure(), bench.connection.state()), (Some(Failure::TimedOut), State::Closed));
    assert_eq!((bench.count_of(Counter::TCPTimeouts), bench.count_of(Counter::RetransSegs)), (13, 12));
    assert_eq!(bench.count_of(Counter::TCPAbortOnTimeout), 1);
    assert_eq!((bench.connection.deadline(), bench.sent()), (None, Vec::new()));
}

#[test]
fn an_acknowledgment_of_new_data_restarts_the_timer_and_of_all_data_stops_it() {
    let mut bench = in_flight();
    let _ = bench.arrive(&ack(0, 1000));
    assert_eq!(bench.connection.deadline(), Some(bench.now + ms(300)), "SRTT 100 + 200");
    bench.wait(ms(50));
    let _ = bench.arrive(&ack(0, 1000));
    assert_eq!(bench.connection.deadline(), Some(bench.now + ms(250)), "a duplicate changes nothing");
    bench.connection.shutdown(bench.now);
    let mut idle = Bench::established();
    idle.send(stream(0, 10));
    idle.sent();
    let _ = idle.arrive(&ack(0, 10));
    assert_eq!(idle.connection.deadline(), None);
}

/// After a timeout the next acknowledgment lets new data out, to see whether the timeout was needed (RFC 5682); a duplicate
/// says that it was, and slow start sends again what was outstanding, then goes on (RFC 5681, section 3.1).
#[test]
fn after_a_timeout_everything_outstanding_goes_again_in_slow_start() {
    let mut bench = in_flight();
    let _ = bench.tick_next();
    assert_eq!(bench.sent_ranges(), [(0, 1000)]);
    let _ = bench.arrive(&ack(0, 1000));
    assert_eq!(bench.sent_ranges(), [(10_000, 1000), (11_000, 1000)]);
    let _ = bench.arrive(&ack(0, 1000));
    assert_eq!(bench.sent_ranges(), [(1000, 1000)], "one of the two has arrived");
    let _ = bench.arrive(&ack(0, 2000));
    assert_eq!(bench.sent_ranges(), [(2000, 1000)]);
    let _ = bench.arrive(&ack(0, 3000));
    assert_eq!(bench.sent_ranges(), [(3000, 1000), (4000, 1000)]);
    let _ = bench.arrive(&ack(0, 10_000));
    let new = bench.sent_ranges();
    assert_eq!(
        (new[0], new.len()),
        ((12_000, 1000), 4),
        "two are on their way; slow start ends at half of what was lost"
    );
    assert_eq!(bench.count_of(Counter::TCPSlowStartRetrans), 4, "the timer's own not counted, as in Linux");
}

/// RFC 5681, section 3.2 and RFC 3042.
#[test]
fn three_duplicates_send_the_first_segment_again() {
    let mut bench = in_flight();
    let _ = bench.arrive(&ack(0, 1000));
    assert_eq!(bench.sent().len(), 2);
    for limited_transmit in [(12_000, 1000), (13_000, 1000)] {
        let _ = bench.arrive(&ack(0, 1000));
        assert_eq!(bench.sent_ranges(), [limited_transmit]);
    }
    let _ = bench.arrive(&ack(0, 1000));
    bench.wait(ms(50));
    assert_eq!(bench.sent_ranges(), [(1000, 1000)]);
    assert_eq!(bench.connection.deadline(), Some(bench.now + ms(300)), "the second copy has its own time");
    let info = bench.connection.info(bench.now);
    assert_eq!((info.ssthresh, info.cwnd), (5500, 10_000), "half of 11 segments; 9 are in flight, and one may go");
    assert_eq!((bench.count_of(Counter::TCPFastRetrans), bench.count_of(Counter::TCPRenoRecovery)), (1, 1));
    for _ in 0..5 {
        let _ = bench.arrive(&ack(0, 1000));
    }
    assert_eq!(bench.sent_ranges(), [], "five segments are in flight, as many as ssthresh allows");
    let _ = bench.arrive(&ack(0, 1000));
    assert_eq!(bench.sent_ranges(), [(14_000, 1000)]);
    let _ = bench.arrive(&ack(0, 15_000));
    assert!(bench.connection.info(bench.now).cwnd <= 5500, "recovery ends at ssthresh");
}

/// RFC 6582: each partial acknowledgment sends the next hole, without another timeout or three duplicates.
#[test]
fn new_reno_repairs_one_hole_per_partial_acknowledgment() {
    let mut bench = in_flight();
    for _ in 0..7 {
        let _ = bench.arrive(&ack(0, 0));
    }
    assert_eq!(bench.sent_ranges().first(), Some(&(0, 1000)));
    let _ = bench.arrive(&ack(0, 4000));
    assert_eq!(bench.sent_ranges().first(), Some(&(4000, 1000)));
    let _ = bench.arrive(&ack(0, 7000));
    assert_eq!(bench.sent_ranges().first(), Some(&(7000, 1000)));
    assert_eq!((bench.count_of(Counter::TCPFastRetrans), bench.count_of(Counter::TCPTimeouts)), (3, 0));
}

/// RFC 5681, section 2: what is a duplicate acknowledgment and what is not.
#[test]
fn data_and_window_updates_are_not_duplicates() {
    let mut bench = in_flight();
    for offset in 0..5 {
        let _ = bench.arrive(&data(offset, 0, 1));
    }
    for window in 50_001..50_006 {
        let _ = bench.arrive(&ack(5, 0).window(window));
    }
    assert_eq!(bench.count_of(Counter::TCPRenoRecovery), 0);
    let mut idle = Bench::established();
    for _ in 0..5 {
        let _ = idle.arrive(&ack(0, 0));
    }
    assert_eq!(idle.sent(), []);
}

/// Acknowledgments that come together leave no time for limited transmit (RFC 3042) between them. What it would have sent then
/// goes with the first lost segment, so that one loss more does not leave everything to the timer.
#[test]
fn duplicates_that_come_together_send_as_much_as_one_by_one() {
    for together in [false, true] {
        let mut bench = Bench::with_sack();
        bench.send(stream(0, 20_000));
        let first = bench.sent_ranges().len() as u32;
        let mut sent = Vec::new();
        for duplicate in 1..=3 {
            let _ = bench.arrive(&ack(0, 0).sack(1000, 1000 + 1000 * duplicate));
            if !together {
                sent.extend(bench.sent_ranges());
            }
        }
        sent.extend(bench.sent_ranges());
        let new = |count: u32| (0..count).map(|number| (1000 * (first + number), 1000));
        assert!(sent.contains(&(0, 1000)), "{sent:?}");
        let fresh: Vec<_> = sent.iter().copied().filter(|&range| range != (0, 1000)).collect();
        assert_eq!(fresh, new(fresh.len() as u32).collect::<Vec<_>>(), "together: {together}");
        assert!(!fresh.is_empty(), "together: {together}");
    }
}

/// RFC 6675, section 2: a receiver that widens its window meanwhile, as Linux does, still reports the loss, by its blocks.
#[test]
fn with_sack_a_duplicate_may_move_the_window() {
    for (agreed, recoveries) in [(true, 1), (false, 0)] {
        let mut bench = if agreed { Bench::with_sack() } else { Bench::established() };
        bench.send(stream(0, 10_000));
        bench.sent();
        for index in 1..4 {
            let _ = bench.arrive(&ack(0, 0).window(50_000 + index).sack(1000, 2000 + 1000 * u32::from(index)));
        }
        assert_eq!(bench.count_of(Counter::TCPSackRecovery), recoveries, "SACK agreed: {agreed}");
    }
}

/// Karn's rule, and RTTM where it says nothing (RFC 7323, section 4).
#[test]
fn what_was_sent_again_is_measured_only_by_timestamps() {
    let mut plain = Bench::established();
    plain.send(stream(0, 10));
    plain.sent();
    let _ = plain.tick_next();
    plain.sent();
    plain.wait(ms(5));
    let _ = plain.arrive(&ack(0, 10));
    let info = plain.connection.info(plain.now);
    assert_eq!((info.srtt, info.rto), (None, ms(6000)), "the back-off stays until there is a measurement");

    let mut fast = in_flight();
    for _ in 0..3 {
        let _ = fast.arrive(&ack(0, 0));
    }
    fast.sent();
    let _ = fast.arrive(&ack(0, 10_000));
    assert_eq!(fast.connection.info(fast.now).srtt, None);

    let mut stamped = Bench::with_timestamps();
    stamped.send(stream(0, 10));
    stamped.sent();
    let _ = stamped.tick_next();
    let value = stamped.sent()[0].timestamps().expect("negotiated").value;
    stamped.wait(ms(5));
    let _ = stamped.arrive(&ack(0, 10).stamp(2, value));
    assert_eq!(stamped.connection.info(stamped.now).srtt, Some(ms(5)));
}

/// The FIN is retransmitted like a byte, with and without data before it.
#[test]
fn a_lost_fin_is_sent_again() {
    for bytes in [0, 10] {
        let mut bench = Bench::established();
        bench.send(stream(0, bytes));
        bench.connection.shutdown(bench.now);
        for round in 0..3 {
            let sent = bench.sent();
            assert_eq!((sent.len(), sent[0].seq, sent[0].len), (1, 0, bytes), "round {round}");
            let push = if bytes > 0 { Flags::PSH } else { Flags::empty() };
            assert_eq!(sent[0].flags, Flags::FIN | Flags::ACK | push);
            let _ = bench.tick_next();
        }
        let _ = bench.arrive(&ack(0, bytes));
        assert_eq!(bench.connection.state(), State::FinWait1);
        let _ = bench.arrive(&ack(0, bytes + 1));
        let _ = bench.tick_next();
        assert_eq!((bench.connection.state(), bench.connection.deadline()), (State::FinWait2, None));
    }
}

/// Retransmission cuts anew: what went out as many small segments comes again as few large ones.
#[test]
fn retransmissions_are_cut_anew() {
    let mut bench = Bench::with(&ConnectionConfig { nagle: false, ..config() }, negotiated());
    for position in 0..5 {
        bench.send(stream(100 * position, 100));
        bench.sent();
    }
    let _ = bench.tick_next();
    let again = bench.sent();
    assert_eq!((again.len(), again[0].seq, again[0].len), (1, 0, 500));
    assert_eq!(again[0].flags, Flags::PSH | Flags::ACK, "the end of what was written");
    bench.send(stream(500, 1));
    let _ = bench.tick_next();
    assert_eq!(bench.sent()[0].flags, Flags::ACK, "no longer the end");
}

/// MUST-35: a window that was taken back turns retransmission into probing, and an answering peer is not given up.
#[test]
fn a_window_taken_back_to_zero_is_probed_with_the_first_segment() {
    let mut bench = in_flight();
    let _ = bench.arrive(&ack(1, 0).window(0));
    for _ in 0..50 {
        let (_, decision) = bench.tick_next();
        assert_eq!(decision.events, Events::empty());
        assert_eq!(bench.sent_ranges(), [(0, 1000)]);
        let _ = bench.arrive(&ack(1, 0).window(0));
    }
    let _ = bench.arrive(&ack(1, 1000).window(50_000));
    assert_eq!(bench.sent_ranges(), [(10_000, 1000), (11_000, 1000)], "F-RTO");
    let _ = bench.arrive(&ack(1, 1000).window(50_000));
    assert_eq!(bench.sent_ranges(), [(1000, 1000)]);
}

/// A retransmission does not run over the edge of a window that shrank.
#[test]
fn retransmissions_keep_within_the_window() {
    let mut bench = in_flight();
    let _ = bench.arrive(&ack(1, 0).window(700));
    let _ = bench.tick_next();
    assert_eq!(bench.sent_ranges(), [(0, 700)]);
}

#[test]
fn hostile_echoes_do_not_break_the_estimate() {
    for echo in [0, 1, u32::MAX, 0x8000_0000, 999_999] {
        let mut bench =
            Bench::with(&config(), Negotiated { timestamps: Some(Clock { recent: 1, offset: 0 }), ..negotiated() });
        bench.send(stream(0, 10));
        bench.sent();
        let _ = bench.tick_next();
        bench.sent();
        let _ = bench.arrive(&ack(0, 10).stamp(2, echo));
        let rto = bench.connection.info(bench.now).rto;
        assert!(rto >= ms(200) && rto <= ms(120_000), "{rto:?}");
    }
}

/// The peer takes its window back behind what is on its way: the user timeout ends that when its time has come, and the timer that
/// brings it is never due twice at the same time.
#[test]
fn a_user_timeout_ends_probes_of_a_window_that_was_taken_back() {
    let limit = Duration::from_secs(10);
    let mut bench = Bench::with(&ConnectionConfig { user_timeout: Some(limit), ..config() }, negotiated());
    bench.send(stream(0, 1_000));
    assert_eq!(bench.sent().len(), 1);
    let _ = bench.arrive(&data(0, 0, 1));
    let _ = bench.arrive(&ack(1, 0).window(0));
    bench.sent_after_delay();
    let mut resent = None;
    while bench.connection.state() != State::Closed {
        let (waited, _) = bench.tick_next();
        assert!(!waited.is_zero(), "due once more at the same time");
        // Its answers keep it alive, but not for longer than the application wants.
        let _ = bench.arrive(&ack(1, 0).window(0));
        let first = *resent.get_or_insert(bench.now);
        assert!(bench.now - first <= limit);
        bench.sent();
    }
}

/// Somebody who knows the numbers acknowledges what has not arrived, and closes the window. What the peer itself says from then on
/// is old, and does not keep the connection: it ends after two of the longest timeouts, as with Linux.
#[test]
fn old_acknowledgments_do_not_keep_alive_what_a_forged_one_has_parted() {
    let mut bench = Bench::established();
    bench.send(stream(0, 1_000));
    bench.sent();
    let _ = bench.arrive(&ack(1, 500).window(0));
    bench.sent_after_delay();
    let mut resent = None;
    while bench.connection.state() != State::Closed {
        let _ = bench.tick_next();
        let first = *resent.get_or_insert(bench.now);
        assert!(bench.now - first <= Duration::from_secs(10 * 60), "kept alive by what is old");
        let _ = bench.arrive(&ack(1, 0));
        bench.sent();
    }
}
