//! Socket options, as `tcp(7)` and `ip(7)` describe them.

use super::bench::*;
use crate::connection::{Connection, ConnectionConfig, Failure, Keepalive, MAX_LINGER, SocketOption, State, Terms};
use crate::half_open::Offer;
use crate::segment::{Marking, SynOptions, WindowScale};
use crate::wire::{ChecksumPolicy, parse};
use crate::{Codepoint, DropReason, Fate, Flags, Link, Options};
use alloc::sync::Arc;
use alloc::vec;
use core::time::Duration;

/// TCP_CORK: full-sized segments go, a rest waits for more and for nothing else.
#[test]
fn a_cork_holds_back_what_fills_no_segment() {
    let mut bench = Bench::with(&ConnectionConfig { nagle: false, ..config() }, negotiated());
    bench.connection.set(bench.now, SocketOption::Cork(true));
    bench.send(stream(0, 2500));
    assert_eq!(bench.sent_ranges(), [(0, 1000), (1000, 1000)]);
    let _ = bench.arrive(&ack(0, 2000));
    assert_eq!(bench.sent_ranges(), [], "not even with nothing on its way");
    bench.send(stream(2500, 500));
    assert_eq!(bench.sent_ranges(), [(2000, 1000)]);
    bench.send(stream(3000, 10));
    bench.connection.set(bench.now, SocketOption::Cork(false));
    assert_eq!(bench.sent_ranges(), [(3000, 10)], "taken off, it goes");
}

#[test]
fn a_cork_holds_for_200_ms_at_most_and_never_a_fin() {
    let mut bench = Bench::established();
    // A round trip of 10 ms: the retransmission timeout is at its least.
    bench.send(stream(0, 1000));
    bench.sent();
    bench.wait(ms(10));
    let _ = bench.arrive(&ack(0, 1000));
    bench.connection.set(bench.now, SocketOption::Cork(true));
    bench.send(stream(1000, 10));
    assert_eq!(bench.sent_ranges(), []);
    let waited = bench.tick_next().0;
    assert!(waited <= ms(210), "{waited:?}");
    assert_eq!(bench.sent_ranges(), [(1000, 10)]);
    bench.send(stream(1010, 10));
    assert_eq!(bench.sent_ranges(), []);
    bench.connection.shutdown(bench.now);
    assert_eq!(bench.sent_ranges(), [(1010, 10)], "with its FIN");
}

/// `tcp(7)`: TCP_NODELAY "overrides TCP_CORK for the currently queued data" and is remembered.
#[test]
fn nodelay_on_a_corked_connection_sends_what_is_queued_once() {
    let mut bench = Bench::established();
    bench.connection.set(bench.now, SocketOption::Cork(true));
    bench.send(stream(0, 10));
    assert_eq!(bench.sent_ranges(), []);
    bench.connection.set(bench.now, SocketOption::NoDelay(true));
    assert_eq!(bench.sent_ranges(), [(0, 10)]);
    bench.send(stream(10, 10));
    assert_eq!(bench.sent_ranges(), []);
}

#[test]
fn quickack_sends_what_waits_and_lasts_until_the_next_answer() {
    let mut bench = Bench::established();
    bench.connection.set(bench.now, SocketOption::QuickAck(false));
    let _ = bench.arrive(&data(0, 0, 10));
    assert_eq!(bench.sent(), [], "an answer will carry it");
    bench.connection.consumed(bench.now, 10);
    bench.connection.set(bench.now, SocketOption::QuickAck(true));
    assert_eq!(bench.sent()[0].ack, 10);
    let _ = bench.arrive(&data(10, 0, 10));
    assert_eq!(bench.sent()[0].ack, 20);
}

#[test]
fn what_stands_in_the_ip_header_is_an_option() {
    let mut bench = Bench::established();
    let marking = |bench: &mut Bench| {
        bench.send(stream(0, 1));
        let mut frame = vec![0; 2048];
        let len = bench.connection.poll_transmit(bench.now, &Link::default(), &mut frame).expect("a segment");
        assert_eq!(parse(&frame[..len], ChecksumPolicy::Full).expect("one of ours").ecn, Codepoint::NotEct);
        (frame[15], frame[22])
    };
    bench.connection.set(bench.now, SocketOption::TypeOfService(0xbb));
    bench.connection.set(bench.now, SocketOption::HopLimit(1));
    assert_eq!(marking(&mut bench), (0xb8, 1), "the ECN bits are not the application's");
}

/// A listener's SYN-ACK offers the window that its connections begin with.
#[test]
fn what_a_listener_offers_is_what_its_connections_have() {
    let options = [
        SocketOption::ReceiveBuffer(5000),
        SocketOption::WindowClamp(3000),
        SocketOption::MaxSegment(mss(500)),
        SocketOption::TypeOfService(0x1c),
        SocketOption::HopLimit(7),
    ];
    for count in 0..=options.len() {
        let options = &options[..count];
        let config = config();
        let terms = Terms::from(&config).with(options);
        let offer = Offer { mss_v4: config.mss, window: BUFFER as u16, ..Offer::default() }.with(options);
        assert_eq!(u32::from(offer.window), terms.0.first_window(), "{options:?}");
        assert_eq!((offer.mss_v4, offer.marking), (terms.0.mss, terms.0.marking), "{options:?}");
    }
}

#[test]
fn connections_share_what_they_have_in_common() {
    let terms = Terms::from(&config());
    assert!(Arc::ptr_eq(&terms.0, &terms.with(&[]).0));
    assert!(Arc::ptr_eq(&terms.0, &terms.with(&[SocketOption::NoDelay(false), SocketOption::Keepalive(None)]).0));
    let other = terms.with(&[SocketOption::NoDelay(true)]);
    assert!(!Arc::ptr_eq(&terms.0, &other.0) && terms.0.nagle && !other.0.nagle);
}

#[test]
fn values_that_linux_refuses() {
    let keepalive = Keepalive { idle: Duration::from_secs(1), interval: Duration::from_secs(1), probes: 1 };
    for (option, valid) in [
        (SocketOption::HopLimit(0), false),
        (SocketOption::HopLimit(1), true),
        (SocketOption::MaxSegment(mss(87)), false),
        (SocketOption::MaxSegment(mss(88)), true),
        (SocketOption::MaxSegment(mss(32_767)), true),
        (SocketOption::MaxSegment(mss(32_768)), false),
        (SocketOption::WindowClamp(0), false),
        (SocketOption::WindowClamp(1), true),
        (SocketOption::Keepalive(Some(keepalive)), true),
        (SocketOption::Keepalive(Some(Keepalive { probes: 0, ..keepalive })), false),
        (SocketOption::Keepalive(Some(Keepalive { idle: Duration::ZERO, ..keepalive })), false),
        (SocketOption::TypeOfService(0xff), true),
    ] {
        assert_eq!(option.is_valid(), valid, "{option:?}");
    }
}

#[test]
fn values_out_of_range_count_as_the_nearest() {
    let set = |option| Terms::from(&config()).with(&[option]).0;
    assert_eq!(set(SocketOption::HopLimit(0)).marking, Marking { hop_limit: 1, ..Marking::DEFAULT });
    assert_eq!(set(SocketOption::ReceiveBuffer(0)).receive_buffer_max, 1152);
    assert_eq!(set(SocketOption::SendBuffer(u32::MAX)).send_buffer, 1 << 30);
    assert_eq!(set(SocketOption::Linger2(Some(2 * MAX_LINGER))).linger, Some(MAX_LINGER.into()));
}

/// `tcp(7)`: TCP_USER_TIMEOUT overrides the number of probes.
#[test]
fn the_user_timeout_governs_keepalive() {
    let second = Duration::from_secs(1);
    let keepalive = Keepalive { idle: 10 * second, interval: second, probes: 9 };
    for (limit, probes) in [(None, 9), (Some(12 * second), 2), (Some(second), 1)] {
        let mut bench = Bench::established();
        bench.connection.set(bench.now, SocketOption::UserTimeout(limit));
        bench.connection.set(bench.now, SocketOption::Keepalive(Some(keepalive)));
        let mut sent = 0;
        while bench.connection.state() == State::Established {
            let (_, decision) = bench.tick_next();
            assert_eq!(decision.verdict.reply.is_some(), bench.connection.state() == State::Closed, "a reset");
            sent += bench.sent().len();
        }
        assert_eq!((sent, bench.connection.failure()), (probes, Some(Failure::TimedOut)), "{limit:?}");
    }
}

/// Linux: TCP_LINGER2 below zero.
#[test]
fn without_time_to_linger_fin_wait_2_ends_with_a_reset() {
    for (linger, waits, resets) in [(None, 60, false), (Some(5), 5, false), (Some(0), 0, true)] {
        let mut bench = Bench::established();
        bench.connection.set(bench.now, SocketOption::Linger2(linger.map(Duration::from_secs)));
        assert_eq!(bench.connection.close(bench.now), None);
        bench.sent();
        let _ = bench.arrive(&ack(0, 1));
        let (waited, decision) = bench.tick_next();
        assert_eq!((waited.as_secs(), decision.verdict.reply.is_some()), (waits, resets), "{linger:?}");
        assert_eq!(bench.connection.state(), State::Closed);
    }
}

/// What the SYN has said of the scale holds, though the buffer is another by the time of the answer.
#[test]
fn a_buffer_that_is_changed_during_an_open_does_not_change_the_scale() {
    let (mut bench, syn) = changed_during_an_open();
    let Options::Syn(offered) = syn.options else { panic!("a SYN has the options of one") };
    let third = bench.sent_one().expect("the third segment");
    assert_eq!(offered.window_scale, Some(WindowScale::clamped(7)));
    assert_eq!(u32::from(third.window), 60_000 >> 7);
}

/// And what it has said of the window holds until another is said.
#[test]
fn a_buffer_that_is_changed_during_an_open_lets_in_no_more_than_was_offered() {
    let (mut bench, syn) = changed_during_an_open();
    let beyond = bench.arrive(&data(30_000, 0, 1)).verdict;
    assert_eq!(beyond.fate, Fate::Dropped(DropReason::OutOfWindow), "of {}", syn.window);
}

/// An open whose buffer becomes larger between the SYN, which is given, too, and its answer.
fn changed_during_an_open() -> (Bench, Sent) {
    let mut bench = Bench::accepted(&config(), negotiated());
    let terms = Terms::from(&ConnectionConfig { receive_buffer: 20_000, receive_buffer_max: 6 << 20, ..config() });
    bench.connection = Connection::connect(bench.now, TUPLE, ISS, 5, &terms);
    let syn = bench.sent_one().expect("a SYN");
    let Options::Syn(offered) = syn.options else { panic!("a SYN has the options of one") };
    bench.connection.set(bench.now, SocketOption::ReceiveBuffer(60_000));
    let (mut answer, frame) = ack(u32::MAX, 0).with(Flags::SYN).segment();
    answer.options = Options::Syn(SynOptions { window_scale: offered.window_scale, ..SynOptions::default() });
    let _ = bench.connection.on_segment(bench.now, &answer, &frame);
    (bench, syn)
}
