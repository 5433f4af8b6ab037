//! ICMP errors: RFC 5927, sections 4 and 5; RFC 9293, section 3.9.2.2.

use super::bench::*;
use crate::connection::{Connection, ConnectionConfig, Events, Failure, State, Terms};
use crate::half_open::Negotiated;
use crate::icmp::{IcmpError, IcmpKind, Unreachable};
use crate::{Counter, DropReason, Endpoint, Fate, Flags, Link, SeqNum, Tuple, Verdict};
use alloc::vec;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

const V6: Tuple = Tuple {
    local: Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 40000),
    remote: Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)), 80),
};

const PORT: IcmpKind = IcmpKind::Unreachable(Unreachable::Port);

fn error(seq: SeqNum, kind: IcmpKind) -> IcmpError {
    IcmpError { link: Link::default(), tuple: TUPLE, seq, kind }
}

/// An open whose SYN is on its way.
fn connecting() -> Bench {
    let mut bench = Bench::accepted(&config(), negotiated());
    bench.connection = Connection::connect(bench.now, TUPLE, ISS, 5, &Terms::from(&config()));
    assert_eq!(bench.sent().len(), 1);
    bench
}

/// The tables of Linux, `icmp_err_convert` and `icmpv6_err_convert`, as seen on kernel 6.18.
#[test]
fn how_an_open_fails() {
    use Unreachable::*;
    let unreachable = IcmpKind::Unreachable;
    for (kind, v4, v6) in [
        (unreachable(Network), Some(Failure::NetworkUnreachable), Some(Failure::NetworkUnreachable)),
        (unreachable(Host), Some(Failure::HostUnreachable), Some(Failure::HostUnreachable)),
        (unreachable(Protocol), Some(Failure::NoProtocol), Some(Failure::NoProtocol)),
        (unreachable(Port), Some(Failure::Refused), Some(Failure::Refused)),
        (unreachable(SourceRoute), Some(Failure::SourceRoute), Some(Failure::SourceRoute)),
        (unreachable(HostUnknown), Some(Failure::HostUnknown), Some(Failure::HostUnknown)),
        (unreachable(Isolated), Some(Failure::Isolated), Some(Failure::Isolated)),
        (unreachable(Prohibited), Some(Failure::HostUnreachable), Some(Failure::Prohibited)),
        (unreachable(Other(99)), None, Some(Failure::NotUnderstood)),
        (IcmpKind::TimeExceeded, Some(Failure::HostUnreachable), Some(Failure::HostUnreachable)),
        (IcmpKind::ReassemblyTimeExceeded, None, Some(Failure::HostUnreachable)),
        (IcmpKind::ParameterProblem, Some(Failure::NotUnderstood), Some(Failure::NotUnderstood)),
        (IcmpKind::PacketTooBig { mtu: 68 }, None, None),
    ] {
        for (tuple, failure) in [(TUPLE, v4), (V6, v6)] {
            let mut bench = connecting();
            bench.connection = Connection::connect(bench.now, tuple, ISS, 5, &Terms::from(&config()));
            let mut frame = [0; 2048];
            bench.connection.poll_transmit(bench.now, &Link::default(), &mut frame).expect("a SYN");
            let decision = bench.connection.on_icmp_error(bench.now, &IcmpError { tuple, ..error(ISS, kind) });
            assert_eq!(bench.connection.failure(), failure, "{kind:?}, {tuple:?}");
            assert_eq!(decision.verdict.reply, None);
            let (state, events, fate) = match failure {
                Some(_) => (State::Closed, Events::FAILED | Events::CLOSED, Fate::Consumed),
                None => (State::SynSent, Events::empty(), Fate::Dropped(DropReason::IcmpIgnored)),
            };
            assert_eq!((bench.connection.state(), decision.events, decision.verdict.fate), (state, events, fate));
            assert_eq!(decision.verdict.counts.contains(Counter::AttemptFails), failure.is_some());
            assert_eq!(bench.connection.deadline().is_some(), failure.is_none(), "an open that goes on is tried again");
        }
    }
}

/// RFC 5927, section 4: SND.UNA <= SEQ < SND.NXT.
#[test]
fn an_open_fails_only_when_its_syn_is_quoted() {
    for (seq, fails) in [(ISS, true), (ISS - 1, false), (ISS + 1, false), (ISS + 0x8000_0000, false)] {
        let mut bench = connecting();
        let decision = bench.connection.on_icmp_error(bench.now, &error(seq, PORT));
        assert_eq!(bench.connection.failure().is_some(), fails, "{seq:?}");
        let out_of_window = decision.verdict.fate == Fate::Dropped(DropReason::IcmpOutOfWindow);
        assert_eq!(out_of_window, !fails);
        assert_eq!(decision.verdict.counts.contains(Counter::OutOfWindowIcmps), !fails);
    }
    let mut unsent = Bench::accepted(&config(), negotiated());
    unsent.connection = Connection::connect(unsent.now, TUPLE, ISS, 5, &Terms::from(&config()));
    let decision = unsent.connection.on_icmp_error(unsent.now, &error(ISS, PORT));
    assert_eq!(decision.verdict.fate, Fate::Dropped(DropReason::IcmpOutOfWindow), "nothing is on its way yet");
}

/// Also after it was sent again, and after it has crossed the peer's.
#[test]
fn an_open_that_lasts_fails_too() {
    let mut bench = connecting();
    let _ = bench.tick_next();
    assert_eq!(bench.sent().len(), 1);
    let _ = bench.connection.on_icmp_error(bench.now, &error(ISS, PORT));
    assert_eq!(bench.connection.failure(), Some(Failure::Refused));
    let mut crossed = connecting();
    let _ = crossed.arrive(&ack(u32::MAX, 0).flags(Flags::SYN));
    assert_eq!(crossed.sent()[0].flags, Flags::SYN | Flags::ACK);
    let _ = crossed.connection.on_icmp_error(crossed.now, &error(ISS, PORT));
    assert_eq!(crossed.connection.failure(), Some(Failure::Refused));
}

/// RFC 5927, section 5.2: an established connection is not torn down by what anybody can send.
#[test]
fn every_error_is_soft_once_synchronised() {
    let kinds = [
        PORT,
        IcmpKind::Unreachable(Unreachable::Protocol),
        IcmpKind::Unreachable(Unreachable::Host),
        IcmpKind::Unreachable(Unreachable::Other(99)),
        IcmpKind::PacketTooBig { mtu: 0 },
        IcmpKind::TimeExceeded,
        IcmpKind::ReassemblyTimeExceeded,
        IcmpKind::ParameterProblem,
    ];
    for kind in kinds {
        let mut bench = Bench::established();
        bench.send(stream(0, 300));
        bench.sent();
        let _ = bench.arrive(&ack(0, 100));
        let before = bench.connection.info(bench.now);
        for (offset, is_outstanding) in [(99, false), (100, true), (299, true), (300, false)] {
            let Verdict { fate, reply, .. } = bench.told(offset, kind).verdict;
            let out_of_window = fate == Fate::Dropped(DropReason::IcmpOutOfWindow);
            assert_eq!((out_of_window, reply), (!is_outstanding, None), "{kind:?}, {offset}");
        }
        assert_eq!((bench.connection.info(bench.now), bench.sent()), (before, vec![]));
        assert_eq!(bench.count_of(Counter::OutOfWindowIcmps), 2);
    }
}

/// RFC 9293, section 3.9.2.2; Linux: `sk_err_soft`.
#[test]
fn what_an_error_said_is_the_reason_when_nobody_answers() {
    for (said, answered, reason) in [
        (IcmpKind::Unreachable(Unreachable::Host), false, Failure::HostUnreachable),
        (IcmpKind::Unreachable(Unreachable::Network), false, Failure::NetworkUnreachable),
        (PORT, false, Failure::Refused),
        (IcmpKind::ParameterProblem, false, Failure::NotUnderstood),
        (IcmpKind::ReassemblyTimeExceeded, false, Failure::TimedOut),
        (IcmpKind::PacketTooBig { mtu: 1400 }, false, Failure::TimedOut),
        (IcmpKind::Unreachable(Unreachable::Host), true, Failure::TimedOut),
    ] {
        let mut bench = Bench::with(&ConnectionConfig { retries: 2, ..config() }, negotiated());
        bench.send(stream(0, 300));
        bench.sent();
        let decision = bench.told(0, said);
        assert_eq!((decision.events, bench.connection.failure()), (Events::empty(), None));
        if answered {
            let _ = bench.arrive(&ack(0, 100));
        }
        while bench.connection.failure().is_none() {
            let _ = bench.tick_next();
            bench.sent();
        }
        assert_eq!(bench.connection.failure(), Some(reason), "{said:?}");
    }
}

/// With an MSS of 1000, three segments; the path takes no more than 700 bytes.
#[test]
fn what_is_too_big_is_sent_again_at_once_in_smaller_segments() {
    let mut bench = Bench::established();
    bench.send(stream(0, 3000));
    assert_eq!(bench.sent_ranges(), [(0, 1000), (1000, 1000), (2000, 1000)]);
    let decision = bench.told(1000, IcmpKind::PacketTooBig { mtu: 700 });
    assert_eq!((decision.verdict, decision.events), (Verdict::CONSUMED, Events::PATH_MTU));
    assert_eq!((bench.connection.path_mtu(), bench.connection.info(bench.now).mss), (Some(700), 660));
    let window = bench.connection.info(bench.now).cwnd;
    assert_eq!(bench.sent_ranges(), [(0, 660), (660, 660), (1320, 660), (1980, 660), (2640, 360)]);
    let after = bench.connection.info(bench.now);
    assert_eq!((after.cwnd, after.mss), (window, 660), "no sign of congestion");
    assert_eq!((bench.count_of(Counter::RetransSegs), bench.count_of(Counter::TCPTimeouts)), (5, 0));
    let repeated = bench.told(0, IcmpKind::PacketTooBig { mtu: 700 });
    assert_eq!(repeated.verdict.fate, Fate::Dropped(DropReason::IcmpIgnored), "what is known already");
    let _ = bench.arrive(&ack(0, 3000));
    bench.send(stream(3000, 2000));
    assert_eq!(bench.sent_ranges()[0], (3000, 660));
}

/// What is in flight fits already: nothing is sent again, and nothing is changed but the size.
#[test]
fn what_is_small_enough_stays_in_flight() {
    let mut bench = Bench::with(&ConnectionConfig { nagle: false, ..config() }, negotiated());
    for start in [0, 300, 600] {
        bench.send(stream(start, 300));
        assert_eq!(bench.sent_ranges(), [(start, 300)]);
    }
    let before = bench.connection.info(bench.now);
    let _ = bench.told(0, IcmpKind::PacketTooBig { mtu: 600 });
    let after = bench.connection.info(bench.now);
    assert_eq!((after.mss, after.ca_state, after.lost), (560, before.ca_state, 0));
    assert_eq!(bench.sent_ranges(), []);
}

/// Timestamps count: the packet is to fit with them.
#[test]
fn options_are_part_of_the_packet() {
    let mut bench = Bench::with_timestamps();
    bench.send(stream(0, 2000));
    assert_eq!(bench.sent_ranges(), [(0, 988), (988, 988), (1976, 24)]);
    let _ = bench.told(0, IcmpKind::PacketTooBig { mtu: 700 });
    assert_eq!(bench.sent_ranges()[0], (0, 700 - 40 - 12));
}

/// RFC 5927, section 7.2: segments of this size have arrived, so that the error may be forged.
#[test]
fn an_error_against_what_is_known_waits_for_the_timer() {
    let doubted = || {
        let mut bench = Bench::established();
        bench.send(stream(0, 4000));
        assert_eq!(bench.sent_ranges().len(), 4);
        let _ = bench.arrive(&ack(0, 2000));
        let decision = bench.told(2000, IcmpKind::PacketTooBig { mtu: 600 });
        assert_eq!((decision.verdict, decision.events), (Verdict::CONSUMED, Events::empty()));
        assert_eq!((bench.connection.path_mtu(), bench.sent_ranges()), (None, vec![]));
        bench
    };
    let mut true_after_all = doubted();
    let (_, decision) = true_after_all.tick_next();
    assert_eq!((decision.events, true_after_all.connection.path_mtu()), (Events::PATH_MTU, Some(600)));
    assert_eq!(true_after_all.sent_ranges(), [(2000, 560)]);

    let mut forged = doubted();
    let _ = forged.arrive(&ack(0, 3000));
    let (_, decision) = forged.tick_next();
    assert_eq!((decision.events, forged.connection.path_mtu()), (Events::empty(), None));
    assert_eq!(forged.sent_ranges(), [(3000, 1000)]);
}

/// RFC 1191, section 6.3.
#[test]
fn after_ten_minutes_large_segments_are_tried_again() {
    let mut bench = Bench::established();
    bench.connection.begin_with_path_mtu(bench.now, 600);
    for (start, waited, len) in [(0, 0, 560), (1000, 600, 560), (2000, 60, 1000)] {
        bench.wait(Duration::from_secs(waited));
        bench.send(stream(start, 1000));
        assert_eq!(bench.sent_ranges()[0], (start, len), "after {waited} s");
        let _ = bench.arrive(&ack(0, start + 1000));
    }
}

/// RFC 4821, section 7.7: nobody says that the packets are too big; they are lost.
#[test]
fn a_black_hole_is_noticed_by_its_timeouts() {
    let config = ConnectionConfig { mss: mss(1460), ..config() };
    let mut bench = Bench::with(&config, Negotiated { send_mss: mss(1460), ..negotiated() });
    bench.send(stream(0, 2920));
    assert_eq!(bench.sent_ranges(), [(0, 1460), (1460, 1460)]);
    for wanted in [1460, 1024] {
        let (_, decision) = bench.tick_next();
        assert_eq!((decision.events, bench.sent_ranges()), (Events::empty(), vec![(0, wanted)]));
    }
    assert_eq!((bench.count_of(Counter::TCPMTUPFail), bench.connection.path_mtu()), (1, Some(1064)));
    let _ = bench.arrive(&ack(0, 1024));
    assert!(bench.sent_ranges().iter().all(|&(_, len)| len <= 1024), "and so do the others");
    let _ = bench.arrive(&ack(0, 2920));
    bench.wait(Duration::from_secs(660));
    bench.send(stream(2920, 1460));
    assert_eq!(bench.sent_ranges(), [(2920, 1460)], "tried again");
    let _ = bench.arrive(&ack(0, 4380));
    assert_eq!((bench.count_of(Counter::TCPMTUPSuccess), bench.connection.path_mtu()), (1, None));
}

/// A connection of either side may begin with what others have learnt about the path.
#[test]
fn the_path_is_known_from_the_start() {
    let mut accepted = Bench::accepted(&config(), negotiated());
    accepted.connection.begin_with_path_mtu(accepted.now, 700);
    let _ = accepted.arrive(&ack(0, 0));
    accepted.send(stream(0, 2000));
    assert_eq!(accepted.sent_ranges()[0], (0, 660));

    let mut opened = connecting();
    opened.connection.begin_with_path_mtu(opened.now, 552);
    assert_eq!(opened.connection.path_mtu(), Some(552));
    let _ = opened.arrive(&ack(u32::MAX, 0).with(Flags::SYN));
    opened.sent();
    opened.send(stream(0, 2000));
    assert_eq!(opened.sent_ranges()[0].1, 512, "less than the 536 bytes that a SYN-ACK without options announces");
}

#[test]
fn a_connection_that_is_over_takes_none() {
    let mut reset = Bench::established();
    let _ = reset.arrive(&ack(0, 0).flags(Flags::RST));
    let mut refused = connecting();
    let _ = refused.connection.on_icmp_error(refused.now, &error(ISS, PORT));
    for mut bench in [reset, refused] {
        let failure = bench.connection.failure();
        let decision = bench.connection.on_icmp_error(bench.now, &error(ISS, IcmpKind::TimeExceeded));
        assert_eq!(decision.verdict, Verdict::dropped(DropReason::IcmpNoConnection));
        assert_eq!((decision.events, bench.connection.failure()), (Events::empty(), failure));
    }
}
