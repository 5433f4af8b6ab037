//! The receive side: RFC 9293, sections 3.8.6 and 3.10.7.4; RFC 7323, section 5; RFC 2018; RFC 5681, section 4.2.

use super::bench::*;
use crate::connection::acknowledge::{DELAY, QUICK};
use crate::connection::reassembly::MAX_PIECES;
use crate::connection::timestamps::OUTDATED;
use crate::connection::{Connection, ConnectionConfig, Events, SocketOption, State};
use crate::half_open::{Clock, Negotiated};
use crate::{Counter, DropReason, Fate, Flags, Span};
use alloc::vec;
use alloc::vec::Vec;

fn delivered(len: u16) -> Fate {
    Fate::Delivered(Span { start: 54, len })
}

/// Everything that waits in order, concatenated.
fn reassembled(connection: &mut Connection) -> Vec<u8> {
    core::iter::from_fn(|| connection.take_reassembled()).flatten().collect()
}

/// A connection past its quick acknowledgments.
fn settled() -> Bench {
    let mut bench = Bench::established();
    for index in 0..u32::from(QUICK) {
        let _ = bench.arrive(&data(index, 0, 1));
        assert_eq!(bench.sent().len(), 1, "at once");
    }
    bench
}

#[test]
fn in_order_data_is_delivered_in_its_frame_and_acknowledged_at_once_at_the_start() {
    let mut bench = Bench::established();
    let decision = bench.arrive(&data(0, 0, 100));
    assert_eq!((decision.verdict.fate, decision.verdict.reply), (delivered(100), None));
    assert_eq!(bench.connection.info(bench.now).recv_queue, 100);
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].seq, sent[0].ack, sent[0].flags, sent[0].len), (0, 100, Flags::ACK, 0));
}

#[test]
fn acknowledgments_are_delayed_and_every_second_full_segment_is_not() {
    let mut bench = settled();
    let start = u32::from(QUICK);
    let _ = bench.arrive(&data(start, 0, 1000));
    assert_eq!(bench.sent(), []);
    let _ = bench.arrive(&data(start + 1000, 0, 1000));
    assert_eq!(bench.sent()[0].ack, start + 2000);
    let _ = bench.arrive(&data(start + 2000, 0, 1000));
    assert_eq!((bench.sent(), bench.tick_next().0), (vec![], DELAY));
    assert_eq!(bench.sent()[0].ack, start + 3000);
    assert_eq!((bench.count_of(Counter::DelayedACKs), bench.connection.deadline()), (1, None));
}

/// Linux: ping-pong mode begins when data follows data within 40 ms.
#[test]
fn once_we_answer_data_with_data_acknowledgments_wait_for_answers() {
    let mut bench = Bench::established();
    for (wait, waits) in [(40, false), (39, true)] {
        let position = u32::from(waits);
        let _ = bench.arrive(&data(position, 2 * position, 1));
        assert_eq!(bench.sent().len(), 1, "at first each segment is acknowledged at once");
        bench.wait(ms(wait));
        bench.send(stream(2 * position, 1));
        assert_eq!(bench.sent().len(), 1);
        let _ = bench.arrive(&ack(position + 1, 2 * position + 1));
        bench.send(stream(2 * position + 1, 1));
        assert_eq!(bench.sent().len(), 1);
    }
    let _ = bench.arrive(&data(2, 4, 1));
    assert_eq!(bench.sent(), []);
}

#[test]
fn an_answer_carries_the_acknowledgment() {
    let mut bench = settled();
    let _ = bench.arrive(&data(16, 0, 10));
    bench.send(stream(0, 5));
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].ack, sent[0].len, sent[0].flags), (26, 5, Flags::ACK | Flags::PSH));
    assert_eq!((bench.sent_after_delay(), bench.count_of(Counter::DelayedACKs)), (vec![], 0));
}

/// RFC 5681, section 4.2: as long as something is missing, what closes a part of the gap is acknowledged at once.
#[test]
fn while_there_is_a_gap_nothing_is_delayed() {
    let mut bench = settled();
    let _ = bench.arrive(&data(50_000, 0, 1000));
    for position in 16..66 {
        let _ = bench.arrive(&data(position, 0, 1));
        assert_eq!(bench.sent()[0].ack, position + 1);
    }
}

/// The gap is reported at once, what fills it too, and the bytes come out once and in order.
#[test]
fn out_of_order_data_waits_for_the_gap_to_close() {
    let mut bench = Bench::established();
    let (first, second, third) = (data(0, 0, 100), data(100, 0, 100), data(200, 0, 100));
    let decision = bench.arrive(&third);
    assert_eq!(decision.verdict.fate, Fate::Consumed);
    assert_eq!(Sent::of_head(&decision.verdict.reply.unwrap()).ack, 0, "a duplicate acknowledgment, at once");
    assert_eq!(bench.reply_to(&second).ack, 0);
    assert_eq!(bench.sent(), []);
    let decision = bench.arrive(&first);
    assert_eq!((decision.verdict.fate, decision.verdict.reply), (delivered(100), None));
    assert!(decision.events.contains(Events::REASSEMBLED));
    assert_eq!(reassembled(&mut bench.connection), stream(100, 200));
    assert_eq!(bench.sent()[0].ack, 300);
    assert_eq!(bench.connection.info(bench.now).recv_queue, 300);
    assert_eq!(bench.count_of(Counter::TCPOFOQueue), 2);
}

#[test]
fn data_that_comes_while_bytes_still_wait_for_the_reader_queues_behind_them() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&data(100, 0, 100));
    let _ = bench.arrive(&data(0, 0, 100));
    let decision = bench.arrive(&data(200, 0, 50));
    assert_eq!((decision.verdict.fate, decision.events), (Fate::Consumed, Events::REASSEMBLED));
    assert_eq!(reassembled(&mut bench.connection), stream(100, 150));
}

/// First copy wins, and no byte is given out twice, whatever a retransmission overlaps and says.
#[test]
fn overlaps_are_cut_on_both_sides() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&data(0, 0, 100));
    let left = bench.arrive(&data(50, 0, 100));
    assert_eq!(left.verdict.fate, Fate::Delivered(Span { start: 54 + 50, len: 50 }));
    let _ = bench.arrive(&data(200, 0, 50));
    let forged = data(150, 0, 150).bytes(&[&stream(150, 50)[..], &[0xee; 50], &stream(250, 50)].concat());
    let over = bench.arrive(&forged);
    assert_eq!((over.verdict.fate, over.events), (delivered(50), Events::REASSEMBLED));
    assert_eq!(reassembled(&mut bench.connection), stream(200, 100));
    let duplicate = bench.arrive(&data(100, 0, 200));
    assert_eq!(duplicate.verdict.fate, Fate::Dropped(DropReason::DuplicateData));
    assert_eq!(Sent::of_head(&duplicate.verdict.reply.unwrap()).ack, 300);
}

#[test]
fn what_lies_beyond_the_window_is_cut_off() {
    let mut bench = Bench::established();
    for index in 0..59 {
        let _ = bench.arrive(&data(1000 * index, 0, 1000));
    }
    bench.sent();
    let _ = bench.arrive(&data(59_000, 0, 400));
    let last = bench.arrive(&data(59_400, 0, 1000).fin());
    assert_eq!((last.verdict.fate, last.events), (delivered(600), Events::empty()), "the FIN is cut off too");
    assert_eq!((bench.sent_after_delay()[0].window, bench.connection.state()), (0, State::Established));
    let probe = bench.arrive(&data(60_000, 0, 1));
    assert_eq!(probe.verdict.fate, Fate::Dropped(DropReason::ZeroWindow));
    assert_eq!(Sent::of_head(&probe.verdict.reply.unwrap()).ack, 60_000);
    assert_eq!((bench.count_of(Counter::TCPZeroWindowDrop), bench.count_of(Counter::TCPToZeroWindowAdv)), (1, 1));
    let fin = bench.arrive(&ack(60_000, 0).fin());
    assert_eq!(fin.events, Events::PEER_CLOSED, "a bare FIN needs no buffer");
}

/// RFC 9293, section 3.8.6.2.2: the edge moves in steps; Linux tells the peer at once when the window doubles.
#[test]
fn the_window_opens_in_steps_as_the_application_reads() {
    let mut bench = Bench::established();
    for index in 0..60 {
        let _ = bench.arrive(&data(1000 * index, 0, 1000));
    }
    assert_eq!(bench.sent()[0].window, 0);
    bench.connection.consumed(bench.now, 999);
    assert_eq!(bench.sent(), [], "less than a segment");
    bench.connection.consumed(bench.now, 1);
    assert_eq!(bench.sent()[0].window, 1000);
    assert_eq!(bench.count_of(Counter::TCPFromZeroWindowAdv), 1);
    bench.connection.consumed(bench.now, 900);
    assert_eq!(bench.sent(), []);
    bench.connection.consumed(bench.now, 100);
    assert_eq!(bench.sent()[0].window, 2000);
    bench.connection.consumed(bench.now, 1000);
    assert_eq!(bench.sent(), [], "3000 is not twice 2000");
    let _ = bench.arrive(&data(60_000, 0, 1));
    assert_eq!(bench.sent_after_delay()[0].window, 2999, "any acknowledgment says it");
    bench.connection.consumed(bench.now, u32::MAX);
    assert_eq!(bench.sent()[0].window, 60_000);
}

/// SHLD-14, and RFC 7323, section 2.4: not even by rounding.
#[test]
fn the_right_edge_never_moves_left() {
    let mut bench = Bench::with(&config(), Negotiated { scales: scales(0, 7), ..negotiated() });
    let (mut position, mut edge) = (0, 60_000);
    for step in 1..400 {
        if position + step > edge {
            break;
        }
        let _ = bench.arrive(&data(position, 0, step));
        position += step;
        if step % 3 == 0 {
            bench.connection.consumed(bench.now, step);
        }
        bench.wait(DELAY);
        let _ = bench.tick();
        for sent in bench.sent() {
            let offered = sent.ack + (u32::from(sent.window) << 7);
            assert!(offered >= edge, "{offered} after {edge}");
            edge = offered;
        }
    }
    assert!(position > 20_000);
}

/// What rounding adds to the window ends an eighth past the buffer, however small the steps that the peer takes.
#[test]
fn a_reader_that_does_not_read_holds_no_more_than_its_buffer() {
    let mut bench = Bench::with(&config(), Negotiated { scales: scales(0, 14), ..negotiated() });
    let taken = (0..2 * BUFFER).find(|&position| {
        let decision = bench.arrive(&data(position, 0, 1));
        bench.sent();
        decision.verdict.fate == Fate::Dropped(DropReason::ZeroWindow)
    });
    assert!(taken.is_some_and(|taken| taken <= BUFFER + BUFFER / 8), "{taken:?}");
}

#[test]
fn unacceptable_segments_are_answered_at_a_limited_rate_unless_they_carry_data() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&data(0, 0, 100));
    bench.sent();
    let old = ack(99, 0);
    assert_eq!(bench.reply_to(&old).ack, 100);
    let second = bench.arrive(&old);
    assert_eq!((second.verdict.fate, second.verdict.reply), (Fate::Dropped(DropReason::OutOfWindow), None));
    assert_eq!(bench.count_of(Counter::TCPACKSkippedSeq), 1);
    bench.wait(ms(500));
    assert_eq!(bench.reply_to(&old).ack, 100);
    for says in [data(200_000, 0, 10), data(0, 0, 50)] {
        let decision = bench.arrive(&says);
        assert_eq!(decision.verdict.fate, Fate::Dropped(DropReason::OutOfWindow));
        assert!(decision.verdict.reply.is_some(), "a retransmission is always answered");
    }
}

/// RFC 9293, section 3.4 would refuse the peer's acknowledgments once it has filled the window; Linux does not.
#[test]
fn acknowledgments_at_the_right_edge_are_taken() {
    let mut bench = Bench::established();
    bench.send(stream(0, 10));
    bench.sent();
    let _ = bench.arrive(&ack(60_000, 10));
    assert_eq!(bench.connection.info(bench.now).send_queue, 0);
    let beyond = bench.arrive(&ack(60_001, 10));
    assert_eq!(beyond.verdict.fate, Fate::Dropped(DropReason::OutOfWindow));
}

#[test]
fn a_segment_without_ack_is_dropped_in_silence() {
    let mut bench = Bench::established();
    let decision = bench.arrive(&data(0, 0, 10).flags(Flags::PSH));
    assert_eq!((decision.verdict.fate, decision.verdict.reply), (Fate::Dropped(DropReason::NoAck), None));
}

/// RFC 7323, section 5.3.
#[test]
fn paws_refuses_old_timestamps_and_a_reset_is_exempt() {
    let mut bench = Bench::with_timestamps();
    let _ = bench.arrive(&data(0, 0, 100).stamp(1000, 0));
    assert_eq!(bench.sent()[0].timestamps().map(|option| option.echo), Some(1000));
    let old = bench.arrive(&data(100, 0, 100).stamp(999, 0));
    assert_eq!(old.verdict.fate, Fate::Dropped(DropReason::Paws));
    assert_eq!(Sent::of_head(&old.verdict.reply.unwrap()).ack, 100);
    assert_eq!(bench.count_of(Counter::PAWSEstab), 1);
    assert_eq!(bench.arrive(&data(100, 0, 100).stamp(1000, 0)).verdict.fate, delivered(100));
    bench.wait(OUTDATED);
    assert_eq!(bench.arrive(&data(200, 0, 100).stamp(5, 0)).verdict.fate, delivered(100), "after 24 days");
    let _ = bench.arrive(&ack(300, 0).stamp(1, 0).flags(Flags::RST));
    assert_eq!(bench.connection.state(), State::Closed);
}

/// A forged TSval may not poison TS.Recent from outside the window or with an impossible acknowledgment, nor
/// from a segment after a gap (RFC 7323, section 4.3).
#[test]
fn only_segments_that_cover_the_last_acknowledgment_set_ts_recent() {
    let mut bench = Bench::with_timestamps();
    let _ = bench.arrive(&data(0, 0, 100).stamp(1000, 0));
    bench.sent();
    for forged in [data(90_000, 0, 1), data(100, 77, 1), data(100, 0x8000_0000, 1), data(200, 0, 1)] {
        let _ = bench.arrive(&forged.stamp(2_000_000, 0));
        assert_eq!(bench.arrive(&ack(100, 0).stamp(1001, 0)).verdict.fate, Fate::Consumed);
    }
    let _ = bench.arrive(&data(100, 0, 100).stamp(1002, 0));
    assert_eq!(bench.sent()[0].timestamps().map(|option| option.echo), Some(1002));
}

/// RFC 2018, section 4.
#[test]
fn gaps_are_reported_by_sack_latest_first() {
    let mut bench = Bench::with_sack();
    assert_eq!(bench.reply_to(&data(100, 0, 100)).sack(), [(100, 200)]);
    assert_eq!(bench.reply_to(&data(300, 0, 100)).sack(), [(300, 400), (100, 200)]);
    assert_eq!(bench.reply_to(&data(200, 0, 50)).sack(), [(100, 250), (300, 400)]);
    bench.send(stream(0, 10));
    assert_eq!(bench.sent()[0].sack(), [(100, 250), (300, 400)], "data carries them too");
    let _ = bench.arrive(&data(0, 10, 100));
    assert_eq!(bench.sent()[0].sack(), [(300, 400)]);
    let mut plain = Bench::established();
    assert_eq!(plain.reply_to(&data(100, 0, 100)).sack(), []);
}

#[test]
fn three_sack_blocks_fit_beside_timestamps_and_four_without() {
    for (timestamps, blocks) in [(None, 4), (Some(crate::half_open::Clock { recent: 1, offset: 0 }), 3)] {
        let mut bench = Bench::with(&config(), Negotiated { sack: true, timestamps, ..negotiated() });
        let replies: Vec<_> = (1..8).map(|index| bench.reply_to(&data(100 * index, 0, 50))).collect();
        assert_eq!(replies[6].sack().len(), blocks);
        bench.send(stream(0, 3000));
        let room = 1000 - if blocks == 4 { 36 } else { 12 + 28 };
        assert_eq!(bench.sent_one().map(|sent| sent.len), Some(room), "options and data share the segment");
    }
}

/// SegmentSmack (CVE-2018-5390): tiny segments with gaps between them cost a bounded amount.
#[test]
fn the_number_of_pieces_that_wait_is_bounded() {
    let mut bench = Bench::established();
    let mut dropped = 0;
    for index in 0..10_000 {
        let decision = bench.arrive(&data(2 * index + 1, 0, 1));
        assert!(decision.verdict.reply.is_some());
        dropped += usize::from(decision.verdict.fate == Fate::Dropped(DropReason::ReassemblyFull));
    }
    assert_eq!((dropped, bench.count_of(Counter::TCPOFODrop)), (10_000 - MAX_PIECES, 10_000 - MAX_PIECES));
    let gap = bench.arrive(&data(0, 0, 1000));
    assert_eq!(gap.verdict.fate, delivered(1), "the stream still continues");
    assert!(gap.events.contains(Events::REASSEMBLED));
    assert_eq!(reassembled(&mut bench.connection), stream(1, 999));
}

#[test]
fn a_fin_before_its_turn_waits_and_the_first_one_counts() {
    let mut bench = Bench::established();
    let early = bench.arrive(&data(100, 0, 100).fin());
    assert_eq!((early.verdict.fate, early.events), (Fate::Consumed, Events::empty()));
    let _ = bench.arrive(&data(150, 0, 100));
    let _ = bench.arrive(&ack(500, 0).fin());
    let decision = bench.arrive(&data(0, 0, 100));
    assert_eq!(decision.events, Events::REASSEMBLED | Events::PEER_CLOSED);
    assert_eq!(reassembled(&mut bench.connection), stream(100, 100), "nothing after the FIN");
    assert_eq!((bench.sent()[0].ack, bench.connection.state()), (201, State::CloseWait));
    let again = bench.arrive(&data(100, 0, 100).fin());
    assert_eq!(again.verdict.fate, Fate::Dropped(DropReason::DuplicateData));
    assert_eq!(Sent::of_head(&again.verdict.reply.unwrap()).ack, 201);
    let _ = bench.arrive(&data(201, 0, 10));
    assert_eq!(bench.connection.info(bench.now).recv_queue, 200, "the stream is complete");
}

#[test]
fn a_fin_before_bytes_that_are_here_already_is_ignored() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&data(200, 0, 100));
    let _ = bench.arrive(&ack(150, 0).fin());
    let decision = bench.arrive(&data(0, 0, 200));
    assert_eq!(decision.events, Events::REASSEMBLED);
    assert_eq!(reassembled(&mut bench.connection), stream(200, 100));
    assert_eq!(bench.connection.state(), State::Established);
}

/// RFC 2883, section 4: what came twice is the first block of the next acknowledgment, and of no other.
#[test]
fn what_came_twice_is_reported_once() {
    let mut bench = Bench::with_sack();
    let _ = bench.arrive(&data(0, 0, 200));
    bench.sent();
    let again = bench.reply_to(&data(50, 0, 100));
    assert_eq!((again.ack, again.sack()), (200, vec![(50, 150)]));
    assert_eq!(bench.count_of(Counter::DelayedACKLost), 1);
    assert_eq!(bench.reply_to(&data(300, 0, 100)).sack(), [(300, 400)]);
    assert_eq!(bench.reply_to(&data(350, 0, 100)).sack(), [(350, 400), (300, 450)]);
    assert_eq!(bench.reply_to(&data(320, 0, 100)).sack(), [(320, 420), (300, 450)]);
    assert_eq!(bench.reply_to(&data(500, 0, 100)).sack(), [(500, 600), (300, 450)], "only once");
    assert_eq!(
        [Counter::TCPDSACKOldSent, Counter::TCPDSACKOfoSent, Counter::TCPOFOMerge].map(|name| bench.count_of(name)),
        [1, 2, 1]
    );
    let _ = bench.arrive(&data(150, 0, 400));
    assert_eq!(bench.sent()[0].sack(), [(150, 200)], "of what came twice in one segment, the first");
    assert_eq!(reassembled(&mut bench.connection).len(), 300);
}

/// Without SACK there is no D-SACK, and nothing is counted as one.
#[test]
fn without_sack_nothing_is_reported() {
    let mut bench = Bench::established();
    let _ = bench.arrive(&data(0, 0, 100));
    assert_eq!(bench.reply_to(&data(0, 0, 100)).sack(), []);
    assert_eq!(bench.count_of(Counter::TCPDSACKOldSent), 0);
}

/// Linux: `tcp_send_dupack`. What lies before the last acknowledgment is outside of the window.
#[test]
fn a_duplicate_outside_of_the_window_is_reported_too() {
    let mut bench = Bench::with_sack();
    let _ = bench.arrive(&data(0, 0, 100));
    bench.sent();
    let reply = bench.reply_to(&data(10, 0, 50));
    assert_eq!((reply.ack, reply.sack()), (100, vec![(10, 60)]));
}

/// A connection whose buffer may grow tenfold, of a round trip of 10 ms.
fn growing() -> Bench {
    let config = ConnectionConfig { receive_buffer_max: 10 * BUFFER, ..config() };
    let clock = Some(Clock { recent: 1, offset: 0 });
    let mut bench = Bench::accepted(&config, Negotiated { scales: scales(0, 7), timestamps: clock, ..negotiated() });
    bench.wait(ms(10));
    let _ = bench.arrive(&ack(0, 0).stamp(1, 999_999_990));
    bench
}

/// What `rounds` round trips bring to a reader that reads it all, or not; the peer fills the window.
fn stream_of(bench: &mut Bench, rounds: u32, reads: bool) -> u32 {
    let (mut position, mut edge) = (0, BUFFER);
    for _ in 0..rounds {
        bench.wait(ms(10));
        let (now, flight) = (bench.now.as_millis() as u32, edge);
        while position + 1000 <= flight {
            let _ = bench.arrive(&data(position, 0, 1000).stamp(1, now - 10));
            position += 1000;
            if reads {
                bench.connection.consumed(bench.now, 1000);
            }
            if let Some(sent) = bench.sent().last() {
                edge = edge.max(sent.ack + (u32::from(sent.window) << 7));
            }
        }
    }
    bench.connection.info(bench.now).receive_window
}

#[test]
fn the_window_of_a_reader_that_keeps_up_grows_to_its_limit() {
    assert_eq!(stream_of(&mut growing(), 40, true).next_multiple_of(2000), 10 * BUFFER);
    let mut fixed = growing();
    fixed.connection.set(fixed.now, SocketOption::ReceiveBuffer(BUFFER));
    assert!(stream_of(&mut fixed, 40, true) <= BUFFER + 128, "fixed by the application");
    let mut clamped = growing();
    clamped.connection.set(clamped.now, SocketOption::WindowClamp(2 * BUFFER));
    assert!(stream_of(&mut clamped, 40, true) <= 2 * BUFFER + 128, "clamped by the application");
}

#[test]
fn the_window_of_a_reader_that_does_not_read_closes() {
    assert_eq!(stream_of(&mut growing(), 40, false) / 1000, 0);
}

/// RFC 7323, section 5.3; Linux: `tcp_disordered_ack_check`.
#[test]
fn late_acknowledgments_are_no_old_duplicates() {
    let mut bench = Bench::with_timestamps();
    let _ = bench.arrive(&data(0, 0, 10).stamp(10_000, 0));
    bench.sent();
    let mut counted = |says: &Says| {
        let decision = bench.arrive(says);
        let counts = decision.verdict.counts;
        (counts.contains(Counter::PAWSOldAck), counts.contains(Counter::PAWSEstab), decision.verdict.reply.is_some())
    };
    assert_eq!(counted(&ack(0, 0).stamp(9_999, 0)), (true, false, false), "late");
    assert_eq!(counted(&ack(10, 0).stamp(10_000, 0)), (false, false, false), "in order");
    assert_eq!(counted(&ack(10, 0).stamp(9_999, 0)), (false, false, false), "overtaken");
    assert_eq!(counted(&ack(10, 0).stamp(1, 0)), (false, true, true), "too late for that");
    assert_eq!(counted(&data(10, 0, 1).stamp(9_999, 0)), (false, true, true), "data");
}
