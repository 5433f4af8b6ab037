//! SYN-RECEIVED of an open of ours, after the peer's SYN has crossed it: RFC 9293, section 3.10.7.4 and figure 5.

use super::bench::*;
use crate::connection::answer_limit::INTERVAL;
use crate::connection::{Connection, Events, Failure, State, Terms};
use crate::{Counter, DropReason, Fate, Flags};
use alloc::vec;
use core::time::Duration;

const SA: Flags = Flags::SYN.union(Flags::ACK);

/// Our SYN-ACK is on its way.
fn crossed() -> Bench {
    let mut bench = Bench::accepted(&config(), negotiated());
    bench.connection = Connection::connect(bench.now, TUPLE, ISS, 5, &Terms::from(&config()));
    assert_eq!(bench.sent()[0].flags, Flags::SYN);
    let _ = bench.arrive(&ack(u32::MAX, 0).flags(Flags::SYN));
    assert_eq!(bench.sent()[0].flags, SA);
    bench
}

/// What a segment does, and what is answered.
#[derive(PartialEq, Debug)]
enum Does {
    Opens,
    Refuses,
    /// An ACK of what we have.
    Challenge(DropReason),
    Reset,
    Nothing(DropReason),
}

#[test]
fn each_segment() {
    use DropReason::{BlindRst, RstOutOfWindow, SynSentUnacceptable};
    let window = BUFFER;
    for (says, does) in [
        (ack(0, 0), Does::Opens),
        (data(0, 0, 10), Does::Opens),
        (ack(0, 0).fin(), Does::Opens),
        (ack(u32::MAX, 0).flags(SA), Does::Opens),
        (data(10, 0, 10), Does::Opens),
        (ack(0, 0).flags(Flags::empty()), Does::Nothing(SynSentUnacceptable)),
        (ack(0, 1), Does::Reset),
        (ack(0, u32::MAX), Does::Reset),
        (ack(0, 1).flags(Flags::ACK | Flags::FIN), Does::Reset),
        (ack(u32::MAX, 0), Does::Challenge(SynSentUnacceptable)),
        (ack(window, 0), Does::Challenge(SynSentUnacceptable)),
        (ack(u32::MAX, 0).flags(Flags::SYN), Does::Challenge(SynSentUnacceptable)),
        (ack(0, 0).flags(Flags::SYN), Does::Challenge(SynSentUnacceptable)),
        (ack(0, 0).flags(SA), Does::Challenge(SynSentUnacceptable)),
        (ack(u32::MAX, 1).flags(SA), Does::Challenge(SynSentUnacceptable)),
        (ack(0, 0).flags(Flags::RST), Does::Refuses),
        (ack(0, 9).flags(Flags::RST | Flags::ACK), Does::Refuses),
        (ack(1, 0).flags(Flags::RST), Does::Challenge(BlindRst)),
        (ack(window - 1, 0).flags(Flags::RST), Does::Challenge(BlindRst)),
        (ack(window, 0).flags(Flags::RST), Does::Nothing(RstOutOfWindow)),
        (ack(u32::MAX, 0).flags(Flags::RST | Flags::ACK), Does::Nothing(RstOutOfWindow)),
    ] {
        let mut bench = crossed();
        let decision = bench.arrive(&says);
        let reply =
            decision.verdict.reply.map(|head| Sent::of_head(&head)).map(|sent| (sent.flags, sent.seq, sent.ack));
        let did = match (bench.connection.state(), decision.verdict.fate, reply) {
            (State::Closed, Fate::Consumed, None) => Does::Refuses,
            (State::SynSent, Fate::Dropped(reason), Some((Flags::ACK, 0, 0))) => Does::Challenge(reason),
            (State::SynSent, Fate::Dropped(SynSentUnacceptable), Some((Flags::RST, ..))) => Does::Reset,
            (State::SynSent, Fate::Dropped(reason), None) => Does::Nothing(reason),
            (State::Established | State::CloseWait, ..) => Does::Opens,
            other => panic!("{other:?} after {says:?}"),
        };
        assert_eq!(did, does, "{says:?}");
        assert_eq!(decision.events.contains(Events::CONNECTED), does == Does::Opens);
        if does == Does::Refuses {
            assert_eq!(bench.connection.failure(), Some(Failure::Refused));
        }
    }
}

/// CVE-2016-5696: for each open by itself.
#[test]
fn challenges_are_limited() {
    let mut bench = crossed();
    let syn = ack(u32::MAX, 0).flags(Flags::SYN);
    assert!(bench.arrive(&syn).verdict.reply.is_some());
    for _ in 0..9 {
        assert_eq!(bench.arrive(&syn).verdict.reply, None);
    }
    assert_eq!(bench.count_of(Counter::TCPACKSkippedSynRecv), 9);
    bench.wait(INTERVAL);
    assert!(bench.arrive(&syn).verdict.reply.is_some());
}

/// The SYN-ACK is sent again, as the SYN would be, and given up like it.
#[test]
fn the_answer_is_sent_again_until_it_is_given_up() {
    let mut bench = crossed();
    let mut sent = 0;
    while bench.connection.state() == State::SynSent {
        let _ = bench.tick_next();
        sent += bench.sent().iter().filter(|segment| segment.flags == SA).count();
    }
    assert_eq!((sent, bench.connection.failure()), (10, Some(Failure::TimedOut)));
}

/// Figure 5: SYN-RECEIVED, CLOSE, FIN-WAIT-1. Our FIN follows the handshake (RFC 9293, section 3.10.4).
#[test]
fn an_application_that_leaves_is_followed_by_a_fin() {
    for completing in [ack(0, 0), ack(u32::MAX, 0).flags(SA)] {
        for closes in [true, false] {
            let mut bench = crossed();
            if closes {
                assert_eq!(bench.connection.close(bench.now), None);
            } else {
                bench.connection.shutdown(bench.now);
            }
            assert_eq!((bench.connection.state(), bench.sent()), (State::SynSent, vec![]));
            let _ = bench.arrive(&completing);
            assert_eq!(bench.connection.state(), State::FinWait1);
            assert!(bench.sent().iter().any(|segment| segment.flags.contains(Flags::FIN) && segment.seq == 0));
            let data_comes = bench.arrive(&data(0, 1, 5));
            assert_eq!(data_comes.verdict.reply.is_some_and(|head| head.flags == Flags::RST), closes);
        }
    }
    let mut abandoned = crossed();
    let _ = abandoned.connection.close(abandoned.now);
    abandoned.wait(Duration::from_secs(600));
    for _ in 0..20 {
        let _ = abandoned.tick();
        abandoned.sent();
        abandoned.wait(Duration::from_secs(600));
    }
    assert_eq!(abandoned.connection.state(), State::Closed, "it does not wait for ever");
}

/// RFC 9293, section 3.10.5.
#[test]
fn an_abort_tells_the_peer() {
    let mut bench = crossed();
    let reset = Sent::of_head(&bench.connection.abort().expect("a reset"));
    assert_eq!((reset.flags, reset.seq, reset.ack), (Flags::RST | Flags::ACK, 0, 0));
    assert_eq!(bench.connection.state(), State::Closed);
}
