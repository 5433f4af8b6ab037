//! ECN: RFC 3168, section 6.1.

use super::bench::*;
use crate::connection::{CaState, Connection, ConnectionConfig, Ecn, Terms};
use crate::half_open::Negotiated;
use crate::{Codepoint, Flags};

fn agreed() -> Bench {
    Bench::with(&config(), Negotiated { ecn: true, ..negotiated() })
}

/// An open of ours whose SYN is not answered, and the control bits of that SYN.
fn opening(ecn: Ecn) -> (Bench, Flags) {
    let mut bench = Bench::accepted(&config(), negotiated());
    let terms = Terms::from(&ConnectionConfig { ecn, ..config() });
    bench.connection = Connection::connect(bench.now, TUPLE, ISS, 5, &terms);
    let syn = bench.sent_one().expect("a SYN");
    assert_eq!(syn.ecn, Codepoint::NotEct, "a SYN is not ECN-capable");
    (bench, syn.flags)
}

/// Whether new data is ECN-capable.
fn is_capable(bench: &mut Bench) -> bool {
    bench.send(stream(0, 10));
    bench.sent().iter().any(|sent| sent.ecn == Codepoint::Ect0)
}

#[test]
fn an_open_asks_and_the_answer_decides() {
    const ASKS: Flags = Flags::ECE.union(Flags::CWR);
    for (ecn, answer, agrees) in [
        (Ecn::Always, Flags::ECE, true),
        (Ecn::Always, Flags::empty(), false),
        (Ecn::Always, Flags::CWR, false),
        (Ecn::Always, ASKS, false),
        (Ecn::Always, Flags::ECE.union(Flags::AE), true),
        (Ecn::WhenAsked, Flags::ECE, false),
        (Ecn::Off, Flags::ECE, false),
    ] {
        let (mut bench, syn) = opening(ecn);
        assert_eq!(syn, if ecn == Ecn::Always { Flags::SYN | ASKS } else { Flags::SYN });
        let _ = bench.arrive(&ack(u32::MAX, 0).with(Flags::SYN | answer));
        assert_eq!(is_capable(&mut bench), agrees, "{ecn:?}, answered with {answer:?}");
    }
}

/// RFC 3168, section 6.1.1.1: somebody on the way may drop SYNs that ask.
#[test]
fn a_syn_that_is_sent_again_does_not_ask() {
    let (mut bench, _) = opening(Ecn::Always);
    let _ = bench.tick_next();
    assert_eq!(bench.sent()[0].flags, Flags::SYN);
}

#[test]
fn two_that_open_at_once_agree_when_both_ask() {
    for (flags, agrees) in [(Flags::ECE | Flags::CWR, true), (Flags::ECE, false), (Flags::empty(), false)] {
        let (mut bench, _) = opening(Ecn::Always);
        let _ = bench.arrive(&ack(u32::MAX, 0).flags(Flags::SYN | flags));
        let syn_ack = bench.sent_one().expect("a SYN-ACK").flags;
        assert_eq!(syn_ack.contains(Flags::ECE) && !syn_ack.contains(Flags::CWR), agrees, "{flags:?}");
        let _ = bench.arrive(&ack(0, 0));
        assert_eq!(is_capable(&mut bench), agrees, "{flags:?}");
    }
}

/// Sections 6.1.4 to 6.1.6.
#[test]
fn new_data_alone_is_capable() {
    let mut bench = agreed();
    bench.send(stream(0, 2000));
    assert!(bench.sent().iter().all(|sent| sent.ecn == Codepoint::Ect0));
    let _ = bench.tick_next();
    let again = bench.sent();
    assert_eq!((again[0].seq, again[0].ecn), (0, Codepoint::NotEct), "what is sent again may be a copy");
    let _ = bench.arrive(&data(0, 2000, 10));
    assert_eq!(bench.sent()[0].ecn, Codepoint::NotEct, "a bare acknowledgment");
    bench.connection.shutdown(bench.now);
    let fin = bench.sent();
    assert_eq!((fin[0].flags, fin[0].ecn), (Flags::FIN | Flags::ACK, Codepoint::NotEct));
}

/// Section 6.1.3.
#[test]
fn what_a_router_marked_is_echoed_on_everything_until_the_peer_has_heard() {
    let mut bench = agreed();
    let _ = bench.arrive(&data(0, 0, 10).ecn(Codepoint::Ect0));
    assert!(!bench.sent()[0].flags.contains(Flags::ECE));
    let _ = bench.arrive(&data(10, 0, 10).ecn(Codepoint::Ce));
    assert!(bench.sent()[0].flags.contains(Flags::ECE));
    bench.send(stream(0, 10));
    assert!(bench.sent()[0].flags.contains(Flags::ECE), "data too");
    let _ = bench.arrive(&data(20, 10, 10).with(Flags::CWR).ecn(Codepoint::Ce));
    assert!(bench.sent()[0].flags.contains(Flags::ECE), "marked again");
    let _ = bench.arrive(&data(30, 10, 10).with(Flags::CWR).ecn(Codepoint::Ect0));
    assert!(!bench.sent()[0].flags.contains(Flags::ECE));
}

/// Section 6.1.5: marks on what lies outside of the window, or was here before, say nothing.
#[test]
fn marks_on_what_is_of_no_use_say_nothing() {
    let mut bench = agreed();
    let _ = bench.arrive(&data(0, 0, 10).ecn(Codepoint::Ect0));
    bench.sent();
    for useless in [data(0, 0, 10), data(5, 0, 5), data(200_000, 0, 10)] {
        let reply = bench.reply_to(&useless.ecn(Codepoint::Ce));
        assert!(!reply.flags.contains(Flags::ECE));
    }
    let _ = bench.arrive(&ack(10, 0).ecn(Codepoint::Ce));
    let _ = bench.arrive(&data(10, 0, 10).ecn(Codepoint::Ect0));
    assert!(!bench.sent()[0].flags.contains(Flags::ECE), "nor on a bare acknowledgment");
}

/// Section 6.1.2: once in a round trip, and the peer is told.
#[test]
fn an_echo_brings_the_window_down_once_in_a_round_trip() {
    let mut bench = agreed();
    bench.send(stream(0, 20_000));
    assert_eq!(bench.sent().len(), 10);
    let first = bench.connection.info(bench.now).cwnd;
    for position in 1..=10 {
        let _ = bench.arrive(&ack(0, 1000 * position).with(Flags::ECE));
        let info = bench.connection.info(bench.now);
        assert_eq!((info.ca_state, info.ssthresh), (CaState::Cwr, first / 2), "once");
    }
    assert!(bench.connection.info(bench.now).cwnd <= first / 2);
    let told: usize = bench.sent().iter().filter(|sent| sent.flags.contains(Flags::CWR)).count();
    assert_eq!(told, 1, "the first new data tells that the window was reduced");
}

#[test]
fn without_agreement_there_is_neither_mark_nor_echo() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&data(0, 0, 10).ecn(Codepoint::Ce).with(Flags::ECE | Flags::CWR));
    bench.send(stream(0, 10));
    let sent = bench.sent();
    assert_eq!((sent[0].ecn, sent[0].flags), (Codepoint::NotEct, Flags::ACK | Flags::PSH));
}
