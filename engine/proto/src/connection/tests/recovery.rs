//! Loss recovery with SACK: RFC 6675, RFC 8985, RFC 9937, RFC 5682, RFC 2883; bursts, and the send buffer.

use super::bench::*;
use crate::Counter;
use crate::connection::{CaState, ConnectionConfig};
use crate::half_open::{Clock, Negotiated};
use alloc::vec::Vec;

/// A connection with SACK that has measured a round trip of 100 ms and has sent ten segments just now.
fn in_flight() -> Bench {
    let mut bench = Bench::with_sack();
    bench.send(stream(0, 10));
    bench.sent();
    bench.wait(ms(100));
    let _ = bench.arrive(&ack(0, 10));
    bench.send(stream(10, 100_000));
    assert_eq!(bench.sent().len(), 10);
    bench
}

/// Where the segment `index` of [`in_flight`] begins.
const fn at(index: u32) -> u32 {
    10 + 1000 * index
}

/// RFC 8985, section 6.2: what was sent before a segment that has arrived, and had its time, is lost; here three segments beyond
/// the gap end the wait.
#[test]
fn holes_are_sent_again_and_nothing_else() {
    let mut bench = in_flight();
    bench.wait(ms(100));
    let _ = bench.arrive(&ack(0, at(0)).sack(at(1), at(2)).sack(at(3), at(4)));
    assert_eq!(bench.connection.info(bench.now).ca_state, CaState::Disorder);
    let _ = bench.arrive(&ack(0, at(0)).sack(at(3), at(6)).sack(at(1), at(2)));
    let info = bench.connection.info(bench.now);
    assert_eq!((info.ca_state, info.sacked, info.lost), (CaState::Recovery, 4, 2));
    let mut again = bench.sent_ranges();
    again.retain(|&(seq, _)| seq < at(10));
    assert_eq!(again.first(), Some(&(at(0), 1000)));
    let _ = bench.arrive(&ack(0, at(2)).sack(at(3), at(9)));
    again.extend(bench.sent_ranges().into_iter().filter(|&(seq, _)| seq < at(10)));
    assert_eq!(again, [(at(0), 1000), (at(2), 1000)]);
    assert_eq!((bench.count_of(Counter::TCPSackRecovery), bench.count_of(Counter::TCPTimeouts)), (1, 0));
}

/// The timer of the reordering window, and what it finds.
#[test]
fn a_late_segment_has_a_quarter_of_the_round_trip() {
    let mut bench = in_flight();
    bench.wait(ms(100));
    let _ = bench.arrive(&ack(0, at(0)).sack(at(1), at(2)));
    let new = bench.sent_ranges();
    assert!(new.iter().all(|&(seq, _)| seq >= at(10)), "limited transmit only: {new:?}");
    let (waited, _) = bench.tick_next();
    assert_eq!(waited, ms(27), "100 ms / 4, and 2 ms");
    assert_eq!(bench.sent_ranges().first(), Some(&(at(0), 1000)));
    assert_eq!(bench.connection.info(bench.now).ca_state, CaState::Recovery);
}

/// RFC 8985, section 7: the probe is new data, here; and the retransmission timer runs after it.
#[test]
fn silence_brings_a_probe_before_the_timeout() {
    let mut bench = in_flight();
    let (waited, _) = bench.tick_next();
    assert_eq!(waited, ms(202), "two round trips, and 2 ms");
    assert_eq!(bench.sent_ranges(), [(at(10), 1000)], "the window allows none: the probe goes all the same");
    let (waited, _) = bench.tick_next();
    assert_eq!(waited, ms(300), "no second probe");
    assert_eq!(bench.sent_ranges(), [(at(0), 1000)]);
    assert_eq!((bench.count_of(Counter::TCPLossProbes), bench.count_of(Counter::TCPTimeouts)), (1, 1));
}

/// RFC 8985, section 6.3: a timeout believes lost what has had a round trip's time, not what was sent just before.
#[test]
fn a_timeout_spares_what_was_sent_of_late() {
    let mut bench = in_flight();
    let _ = bench.tick_next();
    assert_eq!(bench.sent_ranges(), [(at(10), 1000)]);
    let _ = bench.arrive(&ack(0, at(1)));
    bench.wait(ms(299));
    bench.sent();
    let _ = bench.tick_next();
    let info = bench.connection.info(bench.now);
    assert!(info.lost < info.unacked, "{} of {} lost", info.lost, info.unacked);
}

/// RFC 5682, with SACK: new data first, and an original that arrives after it takes the timeout back.
#[test]
fn a_spurious_timeout_is_taken_back() {
    let mut bench = in_flight();
    let before = bench.connection.info(bench.now);
    let _ = bench.tick_next();
    let _ = bench.sent();
    let _ = bench.tick_next();
    assert_eq!(bench.sent_ranges(), [(at(0), 1000)]);
    let _ = bench.arrive(&ack(0, at(1)));
    assert!(bench.sent_ranges().iter().all(|&(seq, _)| seq > at(10)), "new data");
    let _ = bench.arrive(&ack(0, at(3)));
    let after = bench.connection.info(bench.now);
    assert_eq!((bench.count_of(Counter::TCPSpuriousRTOs), after.ca_state, after.lost), (1, CaState::Open, 0));
    assert!(after.cwnd >= before.cwnd && after.ssthresh == before.ssthresh);
}

/// RFC 2883 and RFC 3708: every copy was one too many.
#[test]
fn a_recovery_that_was_for_nothing_is_taken_back_even_when_all_is_acknowledged() {
    let mut bench = in_flight();
    bench.wait(ms(100));
    let before = bench.connection.info(bench.now);
    let _ = bench.arrive(&ack(0, at(0)).sack(at(1), at(5)));
    let nxt = bench.sent().iter().map(|sent| sent.seq + sent.len).max().expect("sent");
    assert!(bench.connection.info(bench.now).ssthresh < before.ssthresh);
    let _ = bench.arrive(&ack(0, nxt));
    let _ = bench.arrive(&ack(0, nxt).sack(at(0), at(1)));
    let after = bench.connection.info(bench.now);
    assert_eq!((bench.count_of(Counter::TCPDSACKUndo), after.ssthresh), (1, before.ssthresh));
}

/// RFC 3522: the echo is older than the copy.
#[test]
fn timestamps_tell_the_original_from_the_copy() {
    let negotiated = Negotiated { sack: true, timestamps: Some(Clock { recent: 1, offset: 0 }), ..negotiated() };
    let mut bench = Bench::with(&config(), negotiated);
    bench.send(stream(0, 10));
    bench.sent();
    bench.wait(ms(100));
    let _ = bench.arrive(&ack(0, 10).stamp(2, 1_000_000));
    bench.send(stream(10, 9880));
    assert_eq!(bench.sent().len(), 10);
    bench.wait(ms(100));
    let _ = bench.arrive(&ack(0, 10).stamp(3, 1_000_000).sack(10 + 988, 10 + 988 * 5));
    assert_eq!(bench.sent_ranges(), [(10, 988)]);
    bench.wait(ms(5));
    let _ = bench.arrive(&ack(0, 10 + 9880).stamp(4, 1_000_100));
    assert_eq!(bench.count_of(Counter::TCPFullUndo), 1);
}

/// CVE-2019-11477: the smallest segments, a full queue, and blocks all over it.
#[test]
fn the_smallest_segments_with_hostile_blocks_are_harmless() {
    let negotiated = Negotiated { sack: true, send_mss: mss(48), ..negotiated() };
    let mut bench = Bench::with(&config(), negotiated);
    let space = bench.connection.send_space();
    bench.send(stream(0, space));
    for round in 0..2000u32 {
        bench.sent();
        let nxt = 48 * (round % 300 + 4);
        let says = ack(0, 0).sack(nxt, nxt + 17).sack(nxt / 2, nxt / 2 + 96).sack(1, nxt);
        let _ = bench.arrive(&says);
        bench.wait(ms(3));
        let _ = bench.tick();
    }
    let info = bench.connection.info(bench.now);
    assert!(info.unacked <= space / 48 + 1 + 2000, "{} segments", info.unacked);
}

/// What the window allows at once leaves over the round trip, after a burst of ten segments.
#[test]
fn a_large_window_is_spread_over_the_round_trip() {
    let mut bench = Bench::with(&config(), Negotiated { sack: true, scales: scales(7, 7), ..negotiated() });
    bench.send(stream(0, 900_000));
    let mut position = bench.drain(ms(0));
    for _ in 0..4 {
        bench.wait(ms(100));
        let _ = bench.arrive(&ack(0, position));
        position = bench.drain(ms(90));
    }
    bench.wait(ms(100));
    let _ = bench.arrive(&ack(0, position));
    let burst = bench.sent().len();
    assert!((10..20).contains(&burst), "{burst} segments at once");
    let paced = bench.connection.deadline().expect("the rest waits");
    assert!(paced - bench.now < ms(10) && !bench.connection.wants_transmit(bench.now));
    bench.now = paced;
    assert!(bench.connection.wants_transmit(bench.now), "one more");
}

/// A segment that waited for its time does not leave a timer behind that is due for ever: the poll loop would not rest as long as a
/// peer keeps its window closed.
#[test]
fn a_window_that_closes_on_what_is_paced_leaves_only_the_persist_timer() {
    let mut bench = Bench::with(&config(), Negotiated { sack: true, scales: scales(7, 7), ..negotiated() });
    bench.send(stream(0, 900_000));
    let mut position = bench.drain(ms(0));
    for _ in 0..4 {
        bench.wait(ms(100));
        let _ = bench.arrive(&ack(0, position));
        position = bench.drain(ms(90));
    }
    bench.wait(ms(100));
    let _ = bench.arrive(&ack(0, position));
    position += 1000 * bench.sent().len() as u32;
    let paced = bench.connection.deadline().expect("the rest waits");
    let _ = bench.arrive(&ack(0, position).window(0));
    let probed = bench.connection.deadline().expect("a probe is due");
    assert!(probed > paced + ms(100), "{:?}", probed - paced);
}

/// Linux: `tcp_sndbuf_expand`.
#[test]
fn the_send_buffer_grows_with_the_window_where_it_held_the_sender_back() {
    let small = ConnectionConfig { send_buffer: 12_000, send_buffer_max: 100_000, ..config() };
    let mut bench = Bench::with(&small, negotiated());
    let (mut position, mut largest) = (0, 0);
    for _ in 0..6 {
        let space = bench.connection.send_space();
        largest = largest.max(space);
        bench.send(stream(position, space));
        position += space;
        assert_eq!(bench.connection.send_space(), 0);
        let sent = bench.drain(ms(10));
        let _ = bench.arrive(&ack(0, sent));
        let _ = bench.connection.take_acked();
    }
    assert!(largest > 24_000, "{largest}");
    let mut limited = Bench::with(&ConnectionConfig { send_buffer_max: 12_000, ..small }, negotiated());
    limited.send(stream(0, 12_000));
    limited.sent();
    let _ = limited.arrive(&ack(0, 10_000));
    assert_eq!(limited.connection.send_space(), 10_000, "no more than the maximum");
}

/// What exists only in flight goes when nothing is in flight.
#[test]
fn an_idle_connection_has_no_flight() {
    let mut bench = in_flight();
    let mut sent: Vec<_> = Vec::new();
    let mut position = at(10);
    while bench.connection.info(bench.now).send_queue > 0 {
        bench.wait(ms(20));
        let _ = bench.tick();
        let _ = bench.arrive(&ack(0, position));
        sent.extend(bench.sent_ranges());
        position = bench.nxt();
    }
    assert!(!bench.has_flight());
    assert_eq!((bench.connection.deadline(), position), (None, 100_010));
}
