//! Blind attacks: RFC 5961, with answers limited per connection (CVE-2016-5696).

use super::bench::*;
use crate::connection::{Events, Failure, State};
use crate::{Counter, DropReason, Fate, Flags};

/// RFC 5961, section 3.2, over a sweep of the window: only the exact number kills.
#[test]
fn a_reset_counts_only_at_the_left_edge() {
    let window = BUFFER;
    let table: [(u32, Result<(), DropReason>, bool); 5] = [
        (u32::MAX, Err(DropReason::RstOutOfWindow), false),
        (0, Ok(()), false),
        (1, Err(DropReason::BlindRst), true),
        (window - 1, Err(DropReason::BlindRst), true),
        (window, Err(DropReason::RstOutOfWindow), false),
    ];
    for (offset, outcome, challenged) in table {
        for flags in [Flags::RST, Flags::RST | Flags::ACK] {
            let mut bench = Bench::established();
            let decision = bench.arrive(&ack(offset, 0).flags(flags));
            assert_eq!(decision.verdict.reply.is_some(), challenged, "{offset}");
            match outcome {
                Ok(()) => {
                    assert_eq!(decision.events, Events::FAILED | Events::CLOSED);
                    assert_eq!(bench.connection.failure(), Some(Failure::Reset));
                    assert_eq!((bench.connection.state(), bench.connection.deadline()), (State::Closed, None));
                    assert_eq!(bench.count_of(Counter::EstabResets), 1);
                }
                Err(reason) => {
                    assert_eq!(decision.verdict.fate, Fate::Dropped(reason), "{offset}");
                    assert_eq!((bench.connection.state(), decision.events), (State::Established, Events::empty()));
                }
            }
            assert_eq!(bench.count_of(Counter::TCPChallengeACK), usize::from(challenged));
        }
    }
}

/// RFC 5961, section 4.2: whatever its sequence number.
#[test]
fn a_syn_is_challenged_wherever_it_lies() {
    for offset in [0, 1, u32::MAX, BUFFER - 1, BUFFER, 0x7fff_ffff, 0x8000_0000] {
        for flags in [Flags::SYN, Flags::SYN | Flags::ACK] {
            let mut bench = Bench::established();
            let decision = bench.arrive(&ack(offset, 0).flags(flags));
            assert_eq!(decision.verdict.fate, Fate::Dropped(DropReason::BlindSyn));
            let challenge = Sent::of_head(&decision.verdict.reply.unwrap());
            assert_eq!((challenge.seq, challenge.ack, challenge.flags), (0, 0, Flags::ACK));
            assert_eq!(bench.connection.state(), State::Established);
            assert_eq!((bench.count_of(Counter::TCPSYNChallenge), bench.count_of(Counter::TCPChallengeACK)), (1, 1));
        }
    }
}

/// A connection of which `acknowledged` bytes have reached the peer, and a hundred more are on their way.
fn with_acknowledged(acknowledged: u32) -> Bench {
    let mut bench = Bench::established();
    bench.send(stream(0, acknowledged));
    while let Some((at, len)) = bench.sent_ranges().last() {
        let _ = bench.arrive(&ack(0, at + len));
    }
    bench.send(stream(acknowledged, 100));
    bench.sent();
    assert_eq!(bench.connection.info(bench.now).send_queue, 100);
    bench
}

/// What becomes of a data segment that acknowledges everything up to `number`, when SND.UNA is `una`.
fn check_ack(una: u32, number: u32, reason: Option<DropReason>) {
    let mut bench = with_acknowledged(una);
    let decision = bench.arrive(&data(0, number, 10));
    match reason {
        None => assert!(matches!(decision.verdict.fate, Fate::Delivered(_)), "{number} of {una}"),
        Some(reason) => {
            assert_eq!(decision.verdict.fate, Fate::Dropped(reason), "{number} of {una}");
            let challenge = Sent::of_head(&decision.verdict.reply.unwrap());
            assert_eq!((challenge.seq, challenge.ack), (una + 100, 0));
        }
    }
}

/// RFC 5961, section 5.2: `[SND.UNA - MAX.SND.WND, SND.NXT]`, both edges. The largest window was 50,000.
#[test]
fn the_acknowledgment_must_be_one_that_the_peer_can_have_sent() {
    let una = 80_000u32;
    for (number, reason) in [
        (una, None),
        (una + 1, None),
        (una + 100, None),
        (una + 101, Some(DropReason::AckUnsent)),
        (una + 0x7000_0000, Some(DropReason::AckUnsent)),
        (una - 50_000, None),
        (una - 50_001, Some(DropReason::AckTooOld)),
        (una.wrapping_sub(0x7000_0000), Some(DropReason::AckTooOld)),
    ] {
        check_ack(una, number, reason);
    }
}

/// Nothing before our first byte was ever there to acknowledge, however large the window (Linux: `bytes_acked` in
/// `tcp_ack`).
#[test]
fn no_acknowledgment_lies_before_our_first_byte() {
    for una in [0u32, 1, 30_000, 50_000] {
        for (number, reason) in [(una, None), (0, None), (0u32.wrapping_sub(1), Some(DropReason::AckTooOld))] {
            check_ack(una, number, reason);
        }
    }
}

/// Our FIN is acknowledged, too: what was before it remains an old acknowledgment.
#[test]
fn an_acknowledged_fin_counts() {
    let mut bench = with_acknowledged(0);
    bench.connection.shutdown(bench.now);
    bench.sent();
    let _ = bench.arrive(&ack(0, 101));
    assert_eq!(bench.connection.state(), State::FinWait2);
    assert!(matches!(bench.arrive(&data(0, 0, 10)).verdict.fate, Fate::Delivered(_)));
    let before = bench.arrive(&data(10, 0u32.wrapping_sub(1), 10));
    assert_eq!(before.verdict.fate, Fate::Dropped(DropReason::AckTooOld));
}

/// RFC 5961, section 7, per connection.
#[test]
fn challenges_are_limited_on_each_connection_alone() {
    let (mut attacked, mut other) = (Bench::established(), Bench::established());
    let syn = ack(5, 0).flags(Flags::SYN);
    let replies = (0..100).filter(|_| attacked.arrive(&syn).verdict.reply.is_some()).count();
    assert_eq!((replies, attacked.count_of(Counter::TCPACKSkippedChallenge)), (1, 99));
    assert!(other.arrive(&syn).verdict.reply.is_some());
    attacked.wait(ms(499));
    assert_eq!(attacked.arrive(&syn).verdict.reply, None);
    attacked.wait(ms(1));
    assert!(attacked.arrive(&syn).verdict.reply.is_some());
}

/// An optimistic acknowledgment gains nothing.
#[test]
fn acknowledging_ahead_does_not_open_the_congestion_window() {
    let mut bench = Bench::established();
    bench.send(stream(0, 100_000));
    bench.sent();
    let before = bench.connection.info(bench.now);
    for number in [10_001, 20_000, 60_000] {
        let _ = bench.arrive(&ack(0, number));
    }
    assert_eq!(bench.connection.info(bench.now), before);
}

/// Two ends that each believe the other wrong must not answer each other for ever.
#[test]
fn desynchronised_ends_fall_silent() {
    let mut bench = Bench::established();
    let answers = (0..1000)
        .filter(|_| {
            bench.wait(ms(1));
            bench.arrive(&ack(70_000, 0)).verdict.reply.is_some()
        })
        .count();
    assert_eq!(answers, 2, "one each 500 ms");
}
