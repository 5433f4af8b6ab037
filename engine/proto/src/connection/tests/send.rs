//! The send side without loss: RFC 9293, sections 3.7 and 3.8.6; RFC 5681, section 3.1.

use super::bench::*;
use crate::connection::persist::ORPHAN_RETRIES;
use crate::connection::{Connection, ConnectionConfig, Events, Failure, SocketOption, State, Terms};
use crate::half_open::{Clock, Negotiated};
use crate::wire::HEADROOM;
use crate::{Counter, Flags, Link};
use alloc::vec;
use alloc::vec::Vec;

/// RFC 6928: ten segments, then two more for each one acknowledged.
#[test]
fn ten_segments_at_first_then_slow_start() {
    let mut bench = Bench::established();
    bench.send(stream(0, 40_000));
    let first = bench.sent_ranges();
    assert_eq!(first, (0..10).map(|index| (1000 * index, 1000)).collect::<Vec<_>>());
    let decision = bench.arrive(&ack(0, 2000));
    assert_eq!((decision.events, bench.connection.take_acked()), (Events::SENT, 2000));
    assert_eq!(bench.sent_ranges(), [(10_000, 1000), (11_000, 1000), (12_000, 1000), (13_000, 1000)]);
    assert_eq!(bench.connection.info(bench.now).cwnd, 12_000);
}

#[test]
fn segments_are_cut_by_the_smaller_mss_less_the_options() {
    let timestamps = Some(Clock { recent: 1, offset: 0 });
    for (theirs, clock, expected) in [
        (1460, None, 1000),
        (500, None, 500),
        (500, timestamps, 488),
        (1460, timestamps, 988),
        (48, timestamps, 36),
        (1, None, 48),
    ] {
        let mut bench = Bench::with(&config(), Negotiated { send_mss: mss(theirs), timestamps: clock, ..negotiated() });
        bench.send(stream(0, 20_000));
        let sent = bench.sent();
        assert_eq!((sent.len(), sent[0].len), (10, expected), "MSS {theirs}");
        assert_eq!(u32::from(bench.connection.info(bench.now).mss), expected);
    }
}

/// CVE-2019-11479.
#[test]
fn a_small_mss_gets_a_small_send_buffer() {
    for (bytes, small) in [(48, true), (215, true), (216, false)] {
        let mut bench = Bench::with(&config(), Negotiated { send_mss: mss(bytes), ..negotiated() });
        assert_eq!(bench.connection.send_space(), if small { 16 * 1024 } else { 1 << 20 });
        assert_eq!(bench.count_of(Counter::SmallMss), usize::from(small));
        bench.send(stream(0, 1000));
        assert_eq!(bench.sent()[0].len, u32::from(bytes));
    }
}

#[test]
fn chunks_are_joined_into_segments_and_push_marks_the_end() {
    let mut bench = Bench::established();
    for position in (0..2500).step_by(500) {
        bench.send(stream(position, 500));
    }
    let sent = bench.sent();
    let seen: Vec<_> = sent.iter().map(|sent| (sent.seq, sent.len, sent.flags.contains(Flags::PSH))).collect();
    assert_eq!(seen, [(0, 1000, false), (1000, 1000, false), (2000, 500, true)]);
}

/// RFC 9293, section 3.7.4, in Minshall's form as in Linux.
#[test]
fn nagle_lets_one_short_segment_out_at_a_time() {
    let mut bench = Bench::established();
    bench.send(stream(0, 10));
    assert_eq!(bench.sent_ranges(), [(0, 10)]);
    bench.send(stream(10, 10));
    assert_eq!(bench.sent_ranges(), []);
    bench.send(stream(20, 995));
    assert_eq!(bench.sent_ranges(), [(10, 1000)], "a full segment goes at once");
    let _ = bench.arrive(&ack(0, 10));
    assert_eq!(bench.sent_ranges(), [(1010, 5)], "no short one is outstanding any more");
    bench.send(stream(1015, 5));
    bench.connection.shutdown(bench.now);
    assert_eq!(bench.sent_ranges(), [(1015, 5)], "FIN does not wait");
}

#[test]
fn without_nagle_every_write_goes_at_once() {
    let mut bench = Bench::with(&ConnectionConfig { nagle: false, ..config() }, negotiated());
    for position in 0..5 {
        bench.send(stream(position, 1));
        assert_eq!(bench.sent_ranges(), [(position, 1)]);
    }
    bench.connection.set(bench.now, SocketOption::NoDelay(false));
    bench.send(stream(5, 1));
    assert_eq!(bench.sent_ranges(), []);
    bench.connection.set(bench.now, SocketOption::NoDelay(true));
    assert_eq!(bench.sent_ranges(), [(5, 1)]);
}

/// RFC 9293, section 3.8.6.2.1: a window that opens a little is not filled a little at a time.
#[test]
fn silly_windows_are_avoided_until_the_timer_overrides() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&ack(0, 0));
    bench.send(stream(0, 10_000));
    bench.sent();
    let _ = bench.arrive(&ack(0, 10_000).window(500));
    bench.send(stream(10_000, 3000));
    assert_eq!(bench.sent_ranges(), [], "500 of a window that was 50,000");
    let (waited, _) = bench.tick_next();
    assert!(waited <= ms(1000), "SHLD-15: 0.1 to 1 s");
    assert_eq!(bench.sent_ranges(), [(10_000, 500)]);
    let _ = bench.arrive(&ack(0, 10_500).window(2000));
    assert_eq!(bench.sent_ranges(), [(10_500, 1000), (11_500, 1000)]);
}

#[test]
fn half_of_a_small_window_is_worth_a_segment() {
    let mut bench = Bench::accepted(&config(), negotiated());
    let _ = bench.arrive(&ack(0, 0).window(300));
    bench.send(stream(0, 1000));
    assert_eq!(bench.sent_ranges(), [(0, 300)]);
    let _ = bench.arrive(&ack(0, 300).window(150));
    assert_eq!(bench.sent_ranges(), [(300, 150)]);
    let _ = bench.arrive(&ack(0, 450).window(149));
    assert_eq!(bench.sent_ranges(), []);
}

/// RFC 9293, section 3.8.6.1: probes with back-off for as long as the peer answers, and no byte is lost.
#[test]
fn a_closed_window_is_probed_and_reopens() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&ack(0, 0).window(0));
    bench.send(stream(0, 3000));
    let mut intervals = Vec::new();
    for _ in 0..40 {
        let (waited, decision) = bench.tick_next();
        assert_eq!(decision.events, Events::empty());
        intervals.push(waited.as_secs());
        let sent = bench.sent();
        assert_eq!((sent[0].seq, sent[0].len, sent.len()), (u32::MAX, 0, 1));
        let _ = bench.arrive(&ack(0, 0).window(0));
    }
    assert_eq!(intervals[..9], [3, 6, 12, 24, 48, 96, 120, 120, 120]);
    assert_eq!((bench.count_of(Counter::TCPWinProbe), bench.count_of(Counter::TCPTimeouts)), (40, 0));
    let _ = bench.arrive(&ack(0, 0).window(5000));
    assert_eq!(bench.sent_ranges(), [(0, 1000), (1000, 1000), (2000, 1000)]);
    assert_eq!(bench.connection.info(bench.now).timer.map(|(name, _)| name), Some("on"));
}

/// The FIN needs a place in the window as a byte does.
#[test]
fn a_fin_waits_for_the_window_too() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&ack(0, 0).window(0));
    bench.connection.shutdown(bench.now);
    assert_eq!(bench.sent(), []);
    let _ = bench.tick_next();
    let probe = bench.sent();
    assert_eq!((probe.len(), probe[0].seq, probe[0].flags), (1, u32::MAX, Flags::ACK));
    let _ = bench.arrive(&ack(0, 0).window(1));
    let fin = bench.sent();
    assert_eq!((fin.len(), fin[0].seq, fin[0].flags), (1, 0, Flags::FIN | Flags::ACK));
    let mut full = Bench::established();
    full.send(stream(0, 10));
    full.connection.shutdown(full.now);
    let _ = full.arrive(&ack(1, 0).window(10));
    let sent = full.sent();
    assert_eq!((sent[0].len, sent[0].flags), (10, Flags::PSH | Flags::ACK), "the window ends before the FIN");
}

/// A frame that is too short is left alone; in one that just holds the headers, what needs no more is written.
#[test]
fn the_frame_limits_the_segment() {
    let transmit = |bench: &mut Bench, room: usize| {
        bench.connection.poll_transmit(bench.now, &Link::default(), &mut vec![0; HEADROOM + room - 1])
    };
    let mut bench = Bench::established();
    bench.send(stream(0, 3000));
    assert_eq!((transmit(&mut bench, 0), transmit(&mut bench, 1)), (None, None));
    assert_eq!(transmit(&mut bench, 101), Some(54 + 100));
    let mut open = Connection::connect(bench.now, TUPLE, ISS, 0, &Terms::from(&config()));
    let mut write = |len: usize| open.poll_transmit(bench.now, &Link::default(), &mut vec![0; len]).is_some();
    assert_eq!((write(HEADROOM - 1), write(HEADROOM)), (false, true));
}

#[test]
fn probes_without_answer_end_the_connection() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&ack(0, 0).window(0));
    bench.send(stream(0, 10));
    let probes = core::iter::from_fn(|| (bench.tick_next().1.events == Events::empty()).then(|| bench.sent())).count();
    assert_eq!((probes, bench.connection.failure()), (15, Some(Failure::TimedOut)));
}

/// Sockstress: a peer that answers every probe with a closed window does not hold a closed connection for ever.
#[test]
fn a_closed_connection_gives_up_on_a_closed_window() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&ack(0, 0).window(0));
    bench.send(stream(0, 10));
    assert_eq!(bench.connection.close(bench.now), None);
    let mut probes = 0;
    while bench.tick_next().1.events == Events::empty() {
        assert_eq!(bench.sent().len(), 1);
        let _ = bench.arrive(&ack(0, 0).window(0));
        probes += 1;
    }
    assert_eq!((probes, bench.connection.state()), (usize::from(ORPHAN_RETRIES), State::Closed));
}

/// MUST-34: what is in flight stays in flight when the window shrinks; nothing new goes beyond the new edge.
#[test]
fn a_window_that_shrinks_stops_new_data_only() {
    let mut bench = Bench::established();
    bench.send(stream(0, 20_000));
    assert_eq!(bench.sent().len(), 10);
    let _ = bench.arrive(&ack(1, 0).window(3000));
    assert_eq!((bench.sent(), bench.connection.info(bench.now).send_window), (vec![], 3000));
    let _ = bench.arrive(&ack(1, 10_000).window(3000));
    assert_eq!(bench.sent_ranges(), [(10_000, 1000), (11_000, 1000), (12_000, 1000)]);
}

/// RFC 9293, section 3.10.7.4: an older segment does not set the window.
#[test]
fn the_newest_segment_sets_the_window() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&data(0, 0, 10).window(51_000));
    let window = |bench: &Bench| bench.connection.info(bench.now).send_window;
    assert_eq!(window(&bench), 51_000);
    let _ = bench.arrive(&data(0, 0, 20).window(1));
    assert_eq!(window(&bench), 51_000, "the same sequence number, a smaller window");
    let _ = bench.arrive(&ack(10, 0).window(100));
    assert_eq!(window(&bench), 100);
    let _ = bench.arrive(&data(5, 0, 20).window(30_000));
    assert_eq!(window(&bench), 100, "older");
}

#[test]
fn the_peers_window_is_scaled() {
    let mut bench = Bench::accepted(&config(), Negotiated { scales: scales(3, 0), ..negotiated() });
    let _ = bench.arrive(&ack(0, 0).window(1000));
    assert_eq!(bench.connection.info(bench.now).send_window, 8000);
    let mut widest = Bench::accepted(&config(), Negotiated { scales: scales(14, 0), ..negotiated() });
    let _ = widest.arrive(&ack(0, 0).window(u16::MAX));
    assert_eq!(widest.connection.info(widest.now).send_window, 65_535 << 14);
}

/// RFC 5681, section 4.1.
#[test]
fn after_idleness_sending_starts_slowly_again() {
    let mut bench = Bench::established();
    let mut position = 0;
    for _ in 0..4 {
        bench.send(stream(position, 20_000));
        while let Some(last) = bench.sent().last() {
            position = last.seq + last.len;
            bench.wait(ms(10));
            let _ = bench.arrive(&ack(0, position));
        }
    }
    let cwnd = bench.connection.info(bench.now).cwnd;
    assert!(cwnd > 15_000, "{cwnd}");
    bench.wait(ms(10_000));
    bench.send(stream(position, 40_000));
    assert_eq!(bench.sent().len(), 10);
}

#[test]
fn send_space_is_what_the_buffer_has_left() {
    let mut bench =
        Bench::with(&ConnectionConfig { send_buffer: 5000, send_buffer_max: 5000, ..config() }, negotiated());
    bench.send(stream(0, 3000));
    bench.sent();
    assert_eq!(bench.connection.send_space(), 2000);
    let _ = bench.arrive(&ack(0, 1000));
    assert_eq!((bench.connection.send_space(), bench.connection.take_acked()), (3000, 1000));
    assert_eq!(bench.connection.take_acked(), 0);
    bench.connection.shutdown(bench.now);
    assert_eq!(bench.connection.send_space(), 0);
    bench.send(stream(3000, 10));
    assert_eq!(bench.connection.info(bench.now).send_queue, 2000, "ignored after shutdown");
}

/// RFC 7323, section 4.1: the third segment echoes the SYN-ACK.
#[test]
fn the_handshake_is_measured_by_timestamps() {
    let clock = Clock { recent: 1, offset: 0 };
    for (echo, srtt, rto) in [(999_970, Some(ms(30)), 230), (1_000_000, None, 3000), (0, None, 3000)] {
        let mut bench = Bench::accepted(&config(), Negotiated { timestamps: Some(clock), ..negotiated() });
        let _ = bench.arrive(&ack(0, 0).stamp(1, echo));
        bench.wait(ms(500));
        let _ = bench.arrive(&data(0, 0, 1).stamp(1, echo));
        let info = bench.connection.info(bench.now);
        assert_eq!((info.srtt, info.rto), (srtt, ms(rto)), "echo {echo}");
    }
}

/// RFC 7323, section 3.2: timestamps on everything once they are negotiated.
#[test]
fn timestamps_run_with_the_clock() {
    let clock = Clock { recent: 77, offset: 5 };
    let mut bench = Bench::accepted(&config(), Negotiated { timestamps: Some(clock), ..negotiated() });
    let _ = bench.arrive(&ack(0, 0).stamp(78, 0));
    bench.send(stream(0, 10));
    let option = bench.sent()[0].timestamps().expect("negotiated");
    assert_eq!((option.value, option.echo), (1_000_005, 78));
    bench.wait(ms(30));
    let _ = bench.arrive(&ack(0, 10).stamp(79, 1_000_005));
    let info = bench.connection.info(bench.now);
    assert_eq!((info.srtt, info.rto), (Some(ms(30)), ms(230)));
}

/// What fills a segment goes at once; when the interface's MTU grows before it has gone, it is a short one, and waits for its
/// timer like any other.
#[test]
fn what_a_larger_mtu_makes_short_has_a_timer() {
    let of = |bytes| ConnectionConfig { mss: mss(bytes), ..config() };
    let mut bench = Bench::with(&of(300), negotiated());
    let _ = bench.arrive(&data(0, 0, 1));
    let _ = bench.arrive(&ack(1, 0).window(300));
    bench.sent_after_delay();
    bench.send(stream(0, 1_000));
    assert!(bench.connection.wants_transmit(bench.now));
    bench.connection.on_interface_mtu(bench.now, &Terms::from(&of(300)), &Terms::from(&of(1_000)));
    assert!(
        !bench.connection.wants_transmit(bench.now),
        "a third of a segment, and less than half of the largest window"
    );
    assert!(bench.connection.deadline().is_some(), "nothing would ever send it");
}
