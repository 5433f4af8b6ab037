//! Closing: RFC 9293, sections 3.6, 3.10.4, 3.10.5 and 3.10.7.4; RFC 2525, section 2.17.

use super::bench::*;
use crate::connection::persist::ORPHAN_RETRIES;
use crate::connection::rtt;
use crate::connection::{Events, Failure, State};
use crate::{Counter, DropReason, Fate, Flags};
use alloc::vec;
use core::time::Duration;

/// A connection in `state`, with our FIN (if sent) at 0 and the peer's (if sent) at 0.
fn in_state(state: State) -> Bench {
    let mut bench = Bench::established();
    match state {
        State::Established => {}
        State::FinWait1 => bench.connection.shutdown(bench.now),
        State::FinWait2 => {
            bench.connection.shutdown(bench.now);
            bench.sent();
            let _ = bench.arrive(&ack(0, 1));
        }
        State::CloseWait => drop(bench.arrive(&ack(0, 0).fin())),
        State::Closing => {
            bench.connection.shutdown(bench.now);
            bench.sent();
            let _ = bench.arrive(&ack(0, 0).fin());
        }
        State::LastAck => {
            let _ = bench.arrive(&ack(0, 0).fin());
            bench.connection.shutdown(bench.now);
        }
        State::SynSent | State::Closed => unreachable!("not synchronised"),
    }
    bench.sent();
    assert_eq!(bench.connection.state(), state);
    bench
}

const STATES: [State; 6] =
    [State::Established, State::FinWait1, State::FinWait2, State::CloseWait, State::Closing, State::LastAck];

/// RFC 9293, figure 12.
#[test]
fn the_active_closer_goes_through_time_wait() {
    let mut bench = Bench::established();
    assert_eq!(bench.connection.close(bench.now), None);
    let sent = bench.sent();
    assert_eq!((sent.len(), sent[0].seq, sent[0].flags), (1, 0, Flags::FIN | Flags::ACK));
    assert_eq!(bench.arrive(&ack(0, 1)).events, Events::empty());
    assert_eq!(bench.connection.state(), State::FinWait2);
    let last = bench.arrive(&ack(0, 1).fin());
    assert_eq!(last.events, Events::PEER_CLOSED | Events::TIME_WAIT);
    let reply = Sent::of_head(&last.verdict.reply.unwrap());
    assert_eq!((reply.seq, reply.ack, reply.flags), (1, 1, Flags::ACK));
    assert_eq!((bench.sent(), bench.connection.deadline()), (vec![], None), "TIME-WAIT takes over");
    assert_eq!((bench.connection.failure(), bench.count_of(Counter::TW)), (None, 1));
    let deadline = bench.connection.time_wait(bench.now).deadline();
    assert_eq!(deadline - bench.now, Duration::from_secs(60));
}

#[test]
fn the_passive_closer_goes_through_last_ack() {
    let mut bench = Bench::established();
    let decision = bench.arrive(&data(0, 0, 10).fin());
    assert_eq!(decision.verdict.fate, Fate::Delivered(crate::Span { start: 54, len: 10 }));
    assert_eq!((decision.events, bench.connection.state()), (Events::PEER_CLOSED, State::CloseWait));
    assert_eq!(bench.sent()[0].ack, 11);
    bench.send(stream(0, 10));
    bench.connection.consumed(bench.now, 10);
    assert_eq!(bench.connection.close(bench.now), None);
    let last = bench.sent().pop().expect("data and FIN");
    assert_eq!((last.len, last.flags), (10, Flags::FIN | Flags::PSH | Flags::ACK));
    assert_eq!(bench.connection.state(), State::LastAck);
    let last = bench.arrive(&ack(11, 11));
    assert_eq!(last.events, Events::SENT | Events::CLOSED);
    assert_eq!((bench.connection.state(), bench.connection.failure()), (State::Closed, None));
}

/// RFC 9293, figure 13.
#[test]
fn simultaneous_close_goes_through_closing() {
    let mut bench = in_state(State::Closing);
    let last = bench.arrive(&ack(1, 1));
    assert_eq!((last.events, last.verdict.reply), (Events::TIME_WAIT, None));
}

/// Whatever is owed when TIME-WAIT begins is acknowledged in the reply: nobody will be asked to transmit any more.
#[test]
fn the_peers_fin_is_acknowledged_before_time_wait() {
    let mut again = in_state(State::Closing);
    assert_eq!(again.reply_to(&ack(0, 1).fin()).ack, 1, "its FIN came again with the acknowledgment of ours");
    let mut due = in_state(State::FinWait1);
    let _ = due.arrive(&data(0, 0, 10).fin());
    assert_eq!(due.connection.state(), State::Closing);
    assert_eq!(due.reply_to(&ack(11, 1)).ack, 11, "our acknowledgment had not gone out yet");
    let mut last_ack = in_state(State::LastAck);
    assert_eq!(last_ack.arrive(&ack(0, 1).fin()).verdict.reply, None, "CLOSED answers nothing");
}

#[test]
fn what_waited_for_a_gap_is_forgotten_by_close() {
    let mut bench = Bench::with_sack();
    assert_eq!(bench.reply_to(&data(100, 0, 10)).sack(), [(100, 110)]);
    assert_eq!(bench.connection.close(bench.now), None);
    assert_eq!(bench.sent()[0].sack(), []);
}

#[test]
fn the_acknowledgment_of_our_fin_may_come_with_the_peers() {
    let mut bench = in_state(State::FinWait1);
    let decision = bench.arrive(&ack(0, 1).fin());
    assert_eq!(decision.events, Events::PEER_CLOSED | Events::TIME_WAIT);
    assert_eq!(Sent::of_head(&decision.verdict.reply.unwrap()).ack, 1);
}

/// A frame cannot both be delivered and carry the last acknowledgment: the payload is copied out.
#[test]
fn data_with_the_last_fin_is_read_and_acknowledged() {
    for gap in [false, true] {
        let mut bench = in_state(State::FinWait2);
        if gap {
            let _ = bench.arrive(&data(10, 1, 10).fin());
        }
        let decision = bench.arrive(&if gap { data(0, 1, 10) } else { data(0, 1, 20).fin() });
        assert_eq!(decision.verdict.fate, Fate::Consumed);
        assert_eq!(decision.events, Events::REASSEMBLED | Events::PEER_CLOSED | Events::TIME_WAIT);
        assert_eq!(Sent::of_head(&decision.verdict.reply.unwrap()).ack, 21);
        let bytes: alloc::vec::Vec<u8> =
            core::iter::from_fn(|| bench.connection.take_reassembled()).flatten().collect();
        assert_eq!(bytes, stream(0, 20));
    }
}

#[test]
fn after_shutdown_the_peer_may_go_on_sending() {
    let mut bench = in_state(State::FinWait2);
    let decision = bench.arrive(&data(0, 1, 10));
    assert!(matches!(decision.verdict.fate, Fate::Delivered(_)));
    assert_eq!((bench.sent()[0].ack, bench.connection.state()), (10, State::FinWait2));
}

#[test]
fn after_the_peers_shutdown_we_may_go_on_sending() {
    let mut bench = in_state(State::CloseWait);
    bench.send(stream(0, 3000));
    assert_eq!(bench.sent().len(), 3);
    let _ = bench.arrive(&ack(1, 3000));
    assert_eq!((bench.connection.state(), bench.connection.take_acked()), (State::CloseWait, 3000));
}

/// RFC 2525, section 2.17: the peer must learn that its bytes were not read.
#[test]
fn close_with_unread_data_resets() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&data(0, 0, 10));
    bench.sent();
    let reset = Sent::of_head(&bench.connection.close(bench.now).expect("a reset"));
    assert_eq!((reset.seq, reset.ack, reset.flags), (0, 10, Flags::RST | Flags::ACK));
    assert_eq!((bench.connection.state(), bench.connection.deadline()), (State::Closed, None));
    let counts = bench.connection.take_counts();
    assert!(counts.iter().any(|counter| counter == Counter::TCPAbortOnClose));
    let mut read = Bench::established();
    let _ = read.arrive(&data(0, 0, 10));
    read.connection.consumed(read.now, 10);
    assert_eq!(read.connection.close(read.now), None);
}

/// RFC 9293, section 3.6.1: data for an application that has closed is answered with a reset; what was there before is
/// not.
#[test]
fn data_after_close_resets() {
    for after_fin_acked in [false, true] {
        let mut bench = Bench::established();
        let _ = bench.arrive(&data(0, 0, 10));
        bench.connection.consumed(bench.now, 10);
        assert_eq!(bench.connection.close(bench.now), None);
        bench.sent();
        let acked = u32::from(after_fin_acked);
        let old = bench.arrive(&data(0, acked, 10));
        assert_eq!(old.verdict.fate, Fate::Dropped(DropReason::DuplicateData));
        let new = bench.arrive(&data(0, acked, 11));
        assert_eq!(new.verdict.fate, Fate::Dropped(DropReason::DataAfterClose));
        let reset = Sent::of_head(&new.verdict.reply.unwrap());
        assert_eq!((reset.seq, reset.flags), (acked, Flags::RST));
        assert_eq!((new.events, bench.connection.state()), (Events::CLOSED, State::Closed));
        assert_eq!(bench.count_of(Counter::TCPAbortOnData), 1);
    }
}

/// RFC 9293, section 3.10.5.
#[test]
fn abort_resets_where_the_peer_does_not_know_yet() {
    for state in STATES {
        let mut bench = in_state(state);
        let head = bench.connection.abort();
        let agreed = matches!(state, State::Closing | State::LastAck);
        assert_eq!(head.is_none(), agreed, "{state:?}");
        if let Some(head) = head {
            assert!(head.flags.contains(Flags::RST));
        }
        assert_eq!((bench.connection.state(), bench.connection.deadline()), (State::Closed, None));
        assert_eq!((bench.connection.abort(), bench.connection.close(bench.now)), (None, None));
    }
    let mut unsent = Bench::established();
    let _ = unsent.arrive(&ack(0, 0).fin().window(0));
    unsent.send(stream(0, 10));
    unsent.connection.shutdown(unsent.now);
    assert!(unsent.connection.abort().is_some(), "the peer still waits for these bytes");
}

#[test]
fn a_reset_ends_every_state() {
    for state in STATES {
        let mut bench = in_state(state);
        let nxt = u32::from(matches!(state, State::CloseWait | State::Closing | State::LastAck));
        let decision = bench.arrive(&ack(nxt, 0).flags(Flags::RST));
        assert_eq!(decision.events, Events::FAILED | Events::CLOSED, "{state:?}");
        let failure = if state == State::CloseWait { Failure::BrokenPipe } else { Failure::Reset };
        assert_eq!(bench.connection.failure(), Some(failure));
    }
}

/// Abandon the peer in each state, and every state drains. FreeBSD once left connections in LAST-ACK for ever.
#[test]
fn every_closing_state_ends_by_itself() {
    for state in STATES {
        let mut bench = in_state(state);
        let start = bench.now;
        let _ = bench.connection.close(bench.now);
        bench.sent();
        let mut retransmissions = 0;
        while bench.connection.state() != State::Closed {
            let (_, decision) = bench.tick_next();
            retransmissions += bench.sent().len();
            assert!(decision.events.is_empty() || decision.events.contains(Events::CLOSED));
        }
        let lasted = (bench.now - start).as_secs();
        if state == State::FinWait2 {
            assert_eq!((lasted, retransmissions), (60, 0));
        } else {
            // The time that eight retransmissions take from 200 ms on, which these reach with fewer.
            assert_eq!((lasted, retransmissions), (3 + 6 + 12 + 24 + 48 + 96, 5));
            assert!(Duration::from_secs(lasted - 3) >= rtt::time_of(ORPHAN_RETRIES));
        }
    }
}

#[test]
fn without_close_fin_wait_2_has_no_limit() {
    let bench = in_state(State::FinWait2);
    assert_eq!(bench.connection.deadline(), None);
}

#[test]
fn a_retransmitted_fin_is_acknowledged_again() {
    for state in [State::CloseWait, State::Closing, State::LastAck] {
        let mut bench = in_state(state);
        let reply = bench.reply_to(&ack(0, 0).fin());
        assert_eq!((reply.ack, bench.connection.state()), (1, state));
    }
}

#[test]
fn what_comes_after_the_end_is_answered_as_by_nobody() {
    let mut bench = Bench::established();
    let _ = bench.connection.abort();
    let decision = bench.arrive(&data(0, 0, 10));
    assert_eq!(decision.verdict.fate, Fate::Dropped(DropReason::NoListener));
    assert_eq!(Sent::of_head(&decision.verdict.reply.unwrap()).flags, Flags::RST);
    assert_eq!(bench.sent(), []);
}

#[test]
fn an_idle_connection_runs_no_timer() {
    assert_eq!(Bench::established().connection.deadline(), None);
}
