//! Whatever is sent, reported, lost and sent again, the counts and the searches are what a plain list would give.

use super::*;
use crate::segment::SackBlock;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use proptest::prelude::*;

const START: SeqNum = SeqNum(u32::MAX - 20_000);
const NOW: Instant = Instant::from_millis(10_000);

fn at(offset: u32) -> SeqNum {
    START + offset
}

fn block(start: u32, end: u32) -> SackBlock {
    SackBlock { start: at(start), end: at(end) }
}

fn reading(now: Instant) -> Reading {
    Reading { now, echoed: None, min_rtt: Duration::from_millis(1), high: START }
}

/// `count` segments of 100 bytes, sent a millisecond apart from [`NOW`] on.
fn sent(count: u32) -> Scoreboard {
    let mut board = Scoreboard::new(START);
    for index in 0..count {
        board.transmitted(NOW + Duration::from_millis(index.into()), at(100 * (index + 1)));
    }
    board
}

fn sack(board: &mut Scoreboard, start: u32, end: u32) -> Findings {
    let mut findings = Findings::default();
    board.sack(block(start, end), &reading(NOW + Duration::from_secs(3)), &mut findings);
    findings
}

fn acknowledge(board: &mut Scoreboard, una: u32) -> Findings {
    let mut findings = Findings::default();
    let highest = board.highest_sacked();
    board.acknowledge(at(una), highest, &reading(NOW + Duration::from_secs(3)), &mut findings);
    findings
}

/// Sends everything again that waits; returns where each began and ended.
fn send_lost(board: &mut Scoreboard) -> Vec<(u32, u32)> {
    let most = board.outstanding() as usize;
    core::iter::from_fn(|| {
        let (start, end) = board.next_lost()?;
        board.retransmitted(NOW + Duration::from_secs(2), start, end);
        Some((start.distance_from(START), end.distance_from(START)))
    })
    .take(most)
    .collect()
}

#[test]
fn blocks_mark_whole_segments_once() {
    let mut board = sent(10);
    let findings = sack(&mut board, 250, 555);
    assert_eq!((findings.delivered, board.sacked(), board.in_flight()), (2, 2, 8), "300 to 500");
    assert_eq!(board.highest_sacked(), at(500));
    assert_eq!(sack(&mut board, 200, 600).delivered, 2, "the segments around them");
    assert_eq!(sack(&mut board, 200, 600).delivered, 0, "nothing new");
    assert_eq!(board.highest_sacked(), at(600));
    let findings = acknowledge(&mut board, 600);
    assert_eq!((findings.acked, findings.delivered, board.sacked(), board.in_flight()), (6, 2, 0, 4));
}

#[test]
fn what_arrives_behind_something_sent_later_is_reordered() {
    let mut board = sent(10);
    assert_eq!(sack(&mut board, 300, 500).reordered, None);
    assert_eq!(sack(&mut board, 100, 200).reordered, Some(at(100)));
    assert_eq!(acknowledge(&mut board, 200).reordered, Some(at(0)));
    let mut again = sent(3);
    again.mark_head_lost();
    send_lost(&mut again);
    sack(&mut again, 200, 300);
    assert_eq!(acknowledge(&mut again, 100).reordered, None, "it may be the copy");
}

/// RFC 8985, section 6.2, step 5.
#[test]
fn what_is_overdue_and_was_sent_before_the_newest_is_lost() {
    let mut board = sent(10);
    let newest = sack(&mut board, 700, 800).newest.expect("something arrived");
    let overdue = |limit: u64| move |sent: Instant| sent < NOW + Duration::from_millis(limit);
    assert_eq!(board.mark_overdue(newest.order, overdue(3)), Overdue { lost: 3, lost_again: 0, waits: true });
    assert_eq!(board.mark_overdue(newest.order, overdue(100)), Overdue { lost: 4, lost_again: 0, waits: false });
    assert_eq!(send_lost(&mut board), (0..7).map(|index| (100 * index, 100 * index + 100)).collect::<Vec<_>>());
    assert_eq!((board.lost(), board.resent(), board.in_flight()), (7, 7, 9));
    let later = sack(&mut board, 100, 200).newest.expect("a copy arrived");
    let again = board.mark_overdue(later.order, |_| true);
    assert_eq!(again, Overdue { lost: 2, lost_again: 1, waits: false }, "sent before the copy that arrived");
    assert_eq!(board.next_lost(), Some((at(0), at(100))));
}

#[test]
fn segments_are_cut_and_joined_as_they_are_sent_again() {
    let mut board = sent(5);
    board.mark_timed_out(|_| false);
    assert_eq!((board.end_within(at(0), 250), board.end_within(at(0), 50)), (at(250), at(100)));
    board.retransmitted(NOW, at(0), at(200));
    assert_eq!((board.outstanding(), board.in_flight()), (4, 1));
    board.retransmitted(NOW, at(200), at(240));
    assert_eq!((board.outstanding(), board.in_flight(), board.next_lost()), (5, 2, Some((at(240), at(300)))));
    acknowledge(&mut board, 270);
    assert_eq!(board.next_lost(), Some((at(270), at(300))), "the rest of what was acknowledged in part");
    assert_eq!(send_lost(&mut board), [(270, 300), (300, 400), (400, 500)]);
}

#[test]
fn a_peer_that_drops_what_it_reported_is_not_believed() {
    let mut board = sent(5);
    sack(&mut board, 100, 500);
    let findings = acknowledge(&mut board, 100);
    assert!(findings.reneged && board.is_head_sacked());
    board.forget_sacks();
    assert_eq!((board.sacked(), board.in_flight(), board.highest_sacked()), (0, 4, at(100)));
    board.mark_timed_out(|_| false);
    assert_eq!(send_lost(&mut board).len(), 4);
}

/// Linux: `tcp_limit_reno_sacked`.
#[test]
fn duplicates_stand_for_no_more_segments_than_there_are() {
    let mut board = sent(3);
    let mut findings = Findings::default();
    assert!(board.on_duplicate(&mut findings) && board.on_duplicate(&mut findings));
    assert!(!board.on_duplicate(&mut findings), "one of three is the hole");
    assert_eq!((findings.delivered, board.in_flight()), (2, 1));
    acknowledge(&mut board, 200);
    assert_eq!(board.on_hole_filled(2), (1, false));
    assert_eq!(board.sacked(), 0);
}

/// Acknowledgments of a hostile peer over a flight of `count` segments (CVE-2019-11478, CVE-2019-5599): every other segment is
/// reported, each by an acknowledgment of its own, then the gaps are filled, each block as wide as what it joins, and after each
/// one losses are looked for and one segment is sent again. Returns the most records that one looked at, and how many all did.
fn hostile_work(count: u32) -> (u64, u64) {
    let mut board = sent(count);
    let (mut most, mut total) = (0, 0);
    let odd = (1..count - 1).step_by(2).map(|index| (100 * index, 100 * index + 100));
    let wide = (1..count - 2).step_by(2).map(|index| (100, 100 * index + 300));
    for (start, end) in odd.chain(wide) {
        let before = board.work.records;
        let findings = sack(&mut board, start, end);
        if let Some(newest) = findings.newest {
            board.mark_overdue(newest.order, |_| true);
        }
        if let Some((start, end)) = board.next_lost() {
            board.retransmitted(NOW + Duration::from_secs(2), start, end);
        }
        let work = board.work.records - before;
        (most, total) = (most.max(work), total + work);
    }
    (most, total / u64::from(count))
}

#[test]
fn the_work_of_an_acknowledgment_does_not_grow_with_the_flight() {
    let (most, each) = hostile_work(1000);
    assert!(most <= 8 && each <= 6, "{most} records at once, {each} for each segment");
    assert_eq!(hostile_work(100_000), (most, each));
}

/// A block that begins within what was reported before costs no walk through it.
#[test]
fn sacked_runs_are_stepped_over() {
    let mut board = sent(10_000);
    sack(&mut board, 100, 999_900);
    let before = board.work.records;
    for start in 100..1100 {
        assert_eq!(sack(&mut board, start, 999_900).delivered, 0);
    }
    assert_eq!(board.work.records, before);
}

#[derive(Clone, Debug)]
enum Step {
    Transmit(u32),
    Sack(u32, u32),
    Duplicate(u32, u32),
    Acknowledge(u32),
    Overdue(u32, u64),
    HeadLost,
    TimedOut(u64),
    Undo,
    Renege,
    Resend(u32, u8),
    Probe,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u32..400).prop_map(Step::Transmit),
        6 => (0u32..6000, 1u32..1500).prop_map(|(start, len)| Step::Sack(start, start + len)),
        1 => (0u32..6000, 1u32..500).prop_map(|(start, len)| Step::Duplicate(start, start + len)),
        2 => (0u32..1200).prop_map(Step::Acknowledge),
        4 => (0u32..60, 0u64..60).prop_map(|(order, limit)| Step::Overdue(order, limit)),
        1 => Just(Step::HeadLost),
        1 => (0u64..60).prop_map(Step::TimedOut),
        1 => Just(Step::Undo),
        1 => Just(Step::Renege),
        8 => (1u32..500, 1u8..4).prop_map(|(limit, times)| Step::Resend(limit, times)),
        1 => Just(Step::Probe),
    ]
}

fn apply(board: &mut Scoreboard, step: &Step, clock: &mut u64) {
    *clock += 1;
    let now = Instant::from_millis(*clock);
    let nxt = board.last().map_or(board.start, |(_, end)| end);
    let mut findings = Findings::default();
    match *step {
        Step::Transmit(len) => board.transmitted(now, nxt + len),
        Step::Sack(start, end) => {
            let block = SackBlock { start: board.start + start, end: board.start + end };
            if is_valid(block, board.start, nxt) {
                board.sack(block, &reading(now), &mut findings);
            }
        }
        Step::Duplicate(start, end) => {
            board.duplicate(SackBlock { start: board.start + start, end: board.start + end }, &mut findings);
        }
        Step::Acknowledge(bytes) => {
            let una = board.start + bytes.min(nxt.distance_from(board.start));
            let highest = board.highest_sacked();
            board.acknowledge(una, highest, &reading(now), &mut findings);
        }
        Step::Overdue(order, limit) => {
            let newest = board.next_order.saturating_sub(order);
            board.mark_overdue(newest, |sent| sent <= Instant::from_millis(clock.saturating_sub(limit)));
            let missed = board.segments.iter().any(|sent| {
                let flies = !sent.marks.contains(Marks::SACKED) && !sent.marks.waits();
                flies
                    && !sent.marks.contains(Marks::AGAIN)
                    && is_later(newest, sent.order)
                    && sent.at <= Instant::from_millis(clock.saturating_sub(limit))
            });
            assert!(!missed, "an overdue segment was not found: {board:?}");
        }
        Step::HeadLost => drop(board.mark_head_lost()),
        Step::TimedOut(limit) => {
            board.mark_timed_out(|sent| sent > Instant::from_millis(clock.saturating_sub(limit)));
        }
        Step::Undo => board.unmark_losses(),
        Step::Renege => board.forget_sacks(),
        Step::Resend(limit, times) => {
            for _ in 0..times {
                let Some((start, end)) = board.next_lost() else { return };
                let whole = end.distance_from(start) <= limit;
                let end = if whole { board.end_within(start, limit) } else { start + limit };
                board.retransmitted(now, start, end);
            }
        }
        Step::Probe => {
            if let Some((start, end)) = board.last() {
                board.retransmitted(now, start, end);
            }
        }
    }
}

/// What holds at any time.
fn check(board: &Scoreboard) {
    let mut tally = Tally::default();
    let mut start = board.start;
    for sent in &board.segments {
        assert!(sent.end.after(start), "an empty segment");
        tally.add(sent.marks);
        let skipped = board.runs.skip(start);
        assert_eq!(skipped != start, sent.marks.contains(Marks::SACKED), "{start:?} and the runs: {board:?}");
        start = sent.end;
    }
    assert_eq!(tally, board.tally);
    let next = board.next_lost();
    assert_eq!(next.is_some(), tally.waiting > 0);
    if let Some((start, _)) = next {
        assert!(board.waits(start), "{start:?} does not wait: {board:?}");
    }
    assert!(board.copies.len() + board.again.len() <= 4 * (board.segments.len() + 8) + 200, "bounded");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_board_is_consistent_whatever_happens(steps in proptest::collection::vec(step(), 1..150)) {
        let mut board = Scoreboard::new(START);
        let mut clock = 10_000;
        for step in &steps {
            apply(&mut board, step, &mut clock);
            check(&board);
        }
        // Whatever waits can be sent.
        let waiting = board.tally.waiting;
        let resent = send_lost(&mut board).len() as u32;
        prop_assert_eq!((resent, board.tally.waiting), (waiting, 0));
    }
}
