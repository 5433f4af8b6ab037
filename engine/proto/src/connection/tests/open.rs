//! SYN-SENT: RFC 9293, section 3.10.7.3; RFC 6298, section 5.7.

use super::bench::*;
use crate::connection::{Connection, ConnectionConfig, Decision, Events, Failure, State, Terms};
use crate::segment::{SynOptions, Timestamps, WindowScale};
use crate::{Counter, DropReason, Fate, Flags, Instant, Options};
use alloc::vec;
use alloc::vec::Vec;

fn connecting() -> Bench {
    let now = Instant::from_millis(1_000_000);
    let mut bench = Bench::accepted(&config(), negotiated());
    bench.connection = Connection::connect(now, TUPLE, ISS, 5, &Terms::from(&config()));
    bench
}

/// The peer's SYN-ACK with Linux's usual options.
fn syn_ack(bench: &mut Bench, ack_to: u32, options: SynOptions) -> Decision {
    let (mut segment, frame) = ack(u32::MAX, ack_to).flags(Flags::SYN | Flags::ACK).window(65_000).segment();
    segment.options = Options::Syn(options);
    let decision = bench.connection.on_segment(bench.now, &segment, &frame);
    bench.note(decision.verdict.counts);
    decision
}

fn usual() -> SynOptions {
    SynOptions {
        mss: Some(mss(1460)),
        window_scale: Some(WindowScale::clamped(7)),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 500, echo: 1_000_005 }),
    }
}

/// What the first SYN looks like, and the third segment.
#[test]
fn the_handshake() {
    let mut bench = connecting();
    assert_eq!((bench.connection.state(), bench.connection.deadline()), (State::SynSent, None));
    assert_eq!((bench.tick().events, bench.count_of(Counter::TCPTimeouts)), (Events::empty(), 0));
    let syn = bench.sent();
    assert_eq!((syn.len(), syn[0].seq, syn[0].flags, syn[0].window), (1, u32::MAX, Flags::SYN, 60_000));
    let offered = SynOptions {
        mss: Some(mss(MSS)),
        window_scale: Some(WindowScale::clamped(0)),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 1_000_005, echo: 0 }),
    };
    assert_eq!(syn[0].options, Options::Syn(offered));
    bench.wait(ms(40));
    let decision = syn_ack(&mut bench, 0, usual());
    assert_eq!((decision.events, bench.connection.state()), (Events::CONNECTED, State::Established));
    let third = bench.sent();
    assert_eq!((third.len(), third[0].seq, third[0].ack, third[0].flags), (1, 0, 0, Flags::ACK));
    assert_eq!(third[0].timestamps(), Some(Timestamps { value: 1_000_045, echo: 500 }));
    let info = bench.connection.info(bench.now);
    assert_eq!((info.mss, info.send_window, info.srtt, info.cwnd), (988, 65_000, Some(ms(40)), 9880));
    let _ = bench.arrive(&ack(0, 0).window(100).stamp(501, 0));
    assert_eq!(bench.connection.info(bench.now).send_window, 12_800, "only the SYN-ACK's is not scaled");
    assert_eq!((bench.connection.deadline(), bench.count_of(Counter::ActiveOpens)), (None, 1));
}

#[test]
fn options_that_the_peer_leaves_out_are_off() {
    let mut bench = connecting();
    bench.sent();
    let _ = syn_ack(&mut bench, 0, SynOptions::default());
    let third = bench.sent();
    assert_eq!(third[0].timestamps(), None);
    assert_eq!(bench.connection.info(bench.now).mss, 536, "MUST-15");
    let _ = bench.arrive(&ack(0, 0).window(100));
    assert_eq!(bench.connection.info(bench.now).send_window, 100);
    assert_eq!(bench.reply_to(&data(100, 0, 10)).sack(), []);
}

/// As Linux: t = 1, 2, 3, 4, 5, 7, 11, 19 … s (`tcp_syn_linear_timeouts`, `tcp_syn_retries`).
#[test]
fn a_syn_without_answer_is_sent_again_on_linuxs_schedule() {
    let mut bench = connecting();
    let start = bench.now;
    bench.sent();
    let mut times = Vec::new();
    let end = loop {
        let (_, decision) = bench.tick_next();
        if !decision.events.is_empty() {
            break decision;
        }
        assert_eq!(bench.sent()[0].flags, Flags::SYN);
        times.push((bench.now - start).as_secs());
    };
    assert_eq!(times, [1, 2, 3, 4, 5, 7, 11, 19, 35, 67]);
    assert_eq!((bench.now - start).as_secs(), 131);
    assert_eq!(end.events, Events::FAILED | Events::CLOSED);
    assert_eq!((bench.connection.failure(), bench.connection.state()), (Some(Failure::TimedOut), State::Closed));
    assert_eq!((bench.count_of(Counter::TCPSynRetrans), bench.count_of(Counter::AttemptFails)), (10, 1));
    assert_eq!((bench.sent(), bench.connection.deadline()), (vec![], None));
}

#[test]
fn a_reset_refuses_only_when_it_acknowledges_our_syn() {
    for (flags, number, refused) in [
        (Flags::RST | Flags::ACK, 0, true),
        (Flags::RST | Flags::ACK, 1, false),
        (Flags::RST | Flags::ACK, u32::MAX, false),
        (Flags::RST, 0, false),
    ] {
        let mut bench = connecting();
        bench.sent();
        let decision = bench.arrive(&ack(7, number).flags(flags));
        assert_eq!(decision.verdict.reply, None, "no reset answers a reset");
        assert_eq!(bench.connection.failure(), refused.then_some(Failure::Refused));
        assert_eq!(decision.events.contains(Events::FAILED), refused);
    }
}

/// RFC 9293, section 3.10.7.3, first check.
#[test]
fn an_unacceptable_acknowledgment_is_reset() {
    for flags in [Flags::ACK, Flags::SYN | Flags::ACK] {
        let mut bench = connecting();
        bench.sent();
        let decision = bench.arrive(&ack(0, 77).flags(flags));
        let reset = Sent::of_head(&decision.verdict.reply.unwrap());
        assert_eq!((reset.seq, reset.flags), (77, Flags::RST));
        assert_eq!(decision.verdict.fate, Fate::Dropped(DropReason::SynSentUnacceptable));
        assert_eq!(bench.connection.state(), State::SynSent);
    }
}

/// A peer in TIME-WAIT, or one that has missed the end of an earlier connection, forgets it by that reset.
#[test]
fn the_syn_follows_the_reset_that_clears_its_way_but_only_once() {
    let mut bench = connecting();
    bench.sent();
    bench.wait(ms(10));
    let _ = bench.arrive(&ack(0, 77));
    assert_eq!(bench.connection.deadline(), Some(bench.now + ms(2)));
    let _ = bench.tick_next();
    assert_eq!(bench.sent().len(), 1);
    let later = bench.now + ms(1_000);
    assert_eq!(bench.connection.deadline(), Some(later));
    let _ = bench.arrive(&ack(0, 77));
    assert_eq!(bench.connection.deadline(), Some(later), "a second one draws no third SYN");

    let mut reset = connecting();
    reset.sent();
    let _ = reset.arrive(&ack(0, 77).flags(Flags::RST | Flags::ACK));
    assert_eq!(reset.connection.deadline(), Some(reset.now + ms(1_000)), "a reset has cleared nothing");
}

#[test]
fn what_does_not_answer_is_dropped() {
    for says in [ack(0, 0), ack(0, 0).flags(Flags::FIN)] {
        let mut bench = connecting();
        bench.sent();
        let decision = bench.arrive(&says);
        assert_eq!((decision.verdict.reply, bench.connection.state()), (None, State::SynSent));
        assert_eq!(decision.verdict.fate, Fate::Dropped(DropReason::SynSentUnacceptable));
    }
}

/// RFC 6298, section 5.7, and Linux's initial window after a lost SYN.
#[test]
fn a_lost_syn_is_remembered() {
    let without = SynOptions { timestamps: None, ..usual() };
    for (lost, options, rto, cwnd) in [(0, without, 240, 10), (1, without, 3000, 10), (2, without, 3000, 1)] {
        let mut bench = connecting();
        bench.sent();
        for _ in 0..lost {
            let _ = bench.tick_next();
            bench.sent();
        }
        bench.wait(ms(40));
        let _ = syn_ack(&mut bench, 0, options);
        let info = bench.connection.info(bench.now);
        assert_eq!((info.rto, info.cwnd), (ms(rto), cwnd * 1000), "{lost} lost");
    }
    let mut stamped = connecting();
    stamped.sent();
    let _ = stamped.tick_next();
    stamped.sent();
    stamped.wait(ms(40));
    let echo = Timestamps { value: 500, echo: 1_001_005 };
    let _ = syn_ack(&mut stamped, 0, SynOptions { timestamps: Some(echo), ..usual() });
    assert_eq!(stamped.connection.info(stamped.now).srtt, Some(ms(40)), "the timestamp says which SYN was answered");
}

#[test]
fn a_repeated_syn_ack_is_acknowledged_again() {
    let mut bench = connecting();
    bench.sent();
    let _ = syn_ack(&mut bench, 0, usual());
    bench.sent();
    let again = syn_ack(&mut bench, 0, usual());
    let reply = Sent::of_head(&again.verdict.reply.unwrap());
    assert_eq!((reply.seq, reply.ack, reply.flags), (0, 0, Flags::ACK));
}

/// RFC 9293, section 3.5, figure 8 (MUST-10). The peer's SYN is answered once at once, then on the schedule of our own.
#[test]
fn both_ends_may_open_at_once() {
    let mut bench = connecting();
    bench.sent();
    let cross = |bench: &mut Bench| {
        let (mut segment, frame) = ack(u32::MAX, 0).flags(Flags::SYN).window(65_000).segment();
        segment.options = Options::Syn(SynOptions { sack_permitted: false, ..usual() });
        bench.connection.on_segment(bench.now, &segment, &frame).verdict.fate
    };
    assert_eq!((cross(&mut bench), bench.connection.state()), (Fate::Consumed, State::SynSent));
    assert_eq!(cross(&mut bench), Fate::Dropped(DropReason::SynSentUnacceptable));
    let mut answer = bench.sent();
    assert_eq!(bench.tick_next().0, ms(1000), "the schedule goes on");
    answer.extend(bench.sent());
    for sent in answer {
        assert_eq!((sent.seq, sent.ack, sent.flags), (u32::MAX, 0, Flags::SYN | Flags::ACK));
        let Options::Syn(options) = sent.options else { panic!("a SYN's options") };
        assert_eq!((options.sack_permitted, options.timestamps.map(|option| option.echo)), (false, Some(500)));
    }
    assert_eq!(bench.count_of(Counter::TCPSynRetrans), 1);
    let (mut forged, frame) = ack(70_000, 0).segment();
    forged.options = Options::NONE;
    let _ = bench.connection.on_segment(bench.now, &forged, &frame);
    assert_eq!(bench.connection.state(), State::SynSent, "outside the window");
    let decision = bench.arrive(&data(0, 0, 10).stamp(501, 0).window(100));
    assert_eq!((decision.events, bench.connection.state()), (Events::CONNECTED, State::Established));
    assert!(matches!(decision.verdict.fate, Fate::Delivered(_)));
    let info = bench.connection.info(bench.now);
    assert_eq!((info.mss, info.send_window, info.rto), (988, 12_800, ms(3000)));
}

#[test]
fn two_syn_acks_complete_a_simultaneous_open() {
    let mut bench = connecting();
    bench.sent();
    let _ = bench.arrive(&ack(u32::MAX, 0).flags(Flags::SYN));
    bench.sent();
    assert_eq!(syn_ack(&mut bench, 0, usual()).events, Events::CONNECTED);
    assert_eq!(bench.sent()[0].flags, Flags::ACK);
    let mut refused = connecting();
    refused.sent();
    let _ = refused.arrive(&ack(u32::MAX, 0).flags(Flags::SYN));
    let _ = refused.arrive(&ack(1, 0).flags(Flags::RST));
    assert_eq!(refused.connection.failure(), None);
    let _ = refused.arrive(&ack(0, 0).flags(Flags::RST));
    assert_eq!(refused.connection.failure(), Some(Failure::Refused));
}

#[test]
fn an_open_may_be_abandoned() {
    let acts: [fn(&mut Bench); 3] = [
        |bench| assert_eq!(bench.connection.close(bench.now), None),
        |bench| assert_eq!(bench.connection.abort(), None),
        |bench| bench.connection.shutdown(bench.now),
    ];
    for act in acts {
        let mut bench = connecting();
        bench.sent();
        act(&mut bench);
        assert_eq!((bench.connection.state(), bench.connection.failure()), (State::Closed, None));
        assert_eq!((bench.sent(), bench.connection.deadline()), (vec![], None));
    }
}

/// Whoever has bytes for the peer, or soon will, sends them with the acknowledgment of its SYN.
#[test]
fn the_third_segment_can_wait_for_the_first_bytes() {
    let patient = || {
        let mut bench = connecting();
        let config = ConnectionConfig { quick_acks: false, ..config() };
        bench.connection = Connection::connect(bench.now, TUPLE, ISS, 5, &Terms::from(&config));
        bench.sent();
        let decision = syn_ack(&mut bench, 0, usual());
        assert_eq!((decision.events, bench.sent().len()), (Events::CONNECTED, 0));
        bench
    };
    let mut with_bytes = patient();
    with_bytes.connection.send(with_bytes.now, stream(0, 10));
    let sent = with_bytes.sent();
    assert_eq!((sent.len(), sent[0].seq, sent[0].ack), (1, 0, 0));
    assert!(sent[0].flags.contains(Flags::ACK));

    let mut without = patient();
    without.connection.acknowledge_syn();
    assert_eq!(without.sent().len(), 1, "none will come");
    without.connection.acknowledge_syn();
    assert_eq!(without.sent().len(), 0, "nothing is owed");

    let mut silent = patient();
    let (waited, _) = silent.tick_next();
    assert_eq!((waited, silent.sent().len()), (ms(40), 1));
    let decision = silent.arrive(&data(0, 0, 100));
    silent.connection.acknowledge_syn();
    assert_eq!((decision.verdict.reply, silent.sent().len()), (None, 1), "no answer came in time before");
}
