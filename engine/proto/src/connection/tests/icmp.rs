//! ICMP errors: RFC 5927, sections 4 and 5; RFC 9293, section 3.9.2.2.

use super::bench::*;
use crate::connection::{Connection, Events, Failure, State, Terms};
use crate::icmp::{IcmpError, IcmpKind, Unreachable};
use crate::{Counter, DropReason, Endpoint, Fate, Flags, Link, SeqNum, Tuple, Verdict};
use alloc::vec;
use core::net::{IpAddr, Ipv6Addr};

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
            let decision = bench.connection.on_icmp_error(&IcmpError { tuple, ..error(ISS, kind) });
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
        let decision = bench.connection.on_icmp_error(&error(seq, PORT));
        assert_eq!(bench.connection.failure().is_some(), fails, "{seq:?}");
        let out_of_window = decision.verdict.fate == Fate::Dropped(DropReason::IcmpOutOfWindow);
        assert_eq!(out_of_window, !fails);
        assert_eq!(decision.verdict.counts.contains(Counter::OutOfWindowIcmps), !fails);
    }
    let mut unsent = Bench::accepted(&config(), negotiated());
    unsent.connection = Connection::connect(unsent.now, TUPLE, ISS, 5, &Terms::from(&config()));
    let decision = unsent.connection.on_icmp_error(&error(ISS, PORT));
    assert_eq!(decision.verdict.fate, Fate::Dropped(DropReason::IcmpOutOfWindow), "nothing is on its way yet");
}

/// Also after it was sent again, and after it has crossed the peer's.
#[test]
fn an_open_that_lasts_fails_too() {
    let mut bench = connecting();
    let _ = bench.tick_next();
    assert_eq!(bench.sent().len(), 1);
    let _ = bench.connection.on_icmp_error(&error(ISS, PORT));
    assert_eq!(bench.connection.failure(), Some(Failure::Refused));
    let mut crossed = connecting();
    let _ = crossed.arrive(&ack(u32::MAX, 0).flags(Flags::SYN));
    assert_eq!(crossed.sent()[0].flags, Flags::SYN | Flags::ACK);
    let _ = crossed.connection.on_icmp_error(&error(ISS, PORT));
    assert_eq!(crossed.connection.failure(), Some(Failure::Refused));
}

/// RFC 5927, section 5.2: an established connection is not torn down by what anybody can send.
#[test]
fn every_error_is_soft_once_synchronised() {
    let kinds = [
        PORT,
        IcmpKind::Unreachable(Unreachable::Protocol),
        IcmpKind::Unreachable(Unreachable::Host),
        IcmpKind::PacketTooBig { mtu: 0 },
        IcmpKind::TimeExceeded,
        IcmpKind::ParameterProblem,
    ];
    for kind in kinds {
        let mut bench = Bench::established();
        bench.send(stream(0, 300));
        bench.sent();
        let _ = bench.arrive(&ack(0, 100));
        let before = bench.connection.info(bench.now);
        for (offset, reason) in [
            (99, DropReason::IcmpOutOfWindow),
            (100, DropReason::IcmpIgnored),
            (299, DropReason::IcmpIgnored),
            (300, DropReason::IcmpOutOfWindow),
        ] {
            let decision = bench.connection.on_icmp_error(&error(ISS + 1 + offset, kind));
            assert_eq!(decision.verdict.fate, Fate::Dropped(reason), "{kind:?}, {offset}");
            assert_eq!((decision.verdict.reply, decision.events), (None, Events::empty()));
        }
        assert_eq!((bench.connection.info(bench.now), bench.sent()), (before, vec![]));
    }
}

#[test]
fn a_connection_that_is_over_takes_none() {
    let mut reset = Bench::established();
    let _ = reset.arrive(&ack(0, 0).flags(Flags::RST));
    let mut refused = connecting();
    let _ = refused.connection.on_icmp_error(&error(ISS, PORT));
    for mut bench in [reset, refused] {
        let failure = bench.connection.failure();
        let decision = bench.connection.on_icmp_error(&error(ISS, IcmpKind::TimeExceeded));
        assert_eq!(decision.verdict, Verdict::dropped(DropReason::IcmpNoConnection));
        assert_eq!((decision.events, bench.connection.failure()), (Events::empty(), failure));
    }
}
