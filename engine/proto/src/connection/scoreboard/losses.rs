//! What is lost, and what of that is to be sent again next.

use super::{Copied, Marks, Scoreboard, Sent, is_later};
use crate::{Instant, SeqNum};

/// What the search for losses came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::connection) struct Overdue {
    /// Segments found lost that were not before.
    pub lost: u32,
    /// Copies found lost.
    pub lost_again: u32,
    /// Something is late, and not late enough.
    pub waits: bool,
}

impl Scoreboard {
    /// RFC 8985, section 6.2, step 5: marks as lost what was sent before the transmission `newest` and is overdue. Both the
    /// segments sent once and the copies are walked in the order of sending, as far as they are overdue.
    pub fn mark_overdue(&mut self, newest: u32, is_overdue: impl Fn(Instant) -> bool) -> Overdue {
        let mut found = Overdue::default();
        self.mark_overdue_originals(newest, &is_overdue, &mut found);
        self.mark_overdue_copies(newest, &is_overdue, &mut found);
        self.settle();
        found
    }

    /// The oldest segment is lost, if it was not before (RFC 6582, section 3.2; Linux: `tcp_newreno_mark_lost`).
    pub fn mark_head_lost(&mut self) -> u32 {
        let Some(&head) = self.segments.front() else { return 0 };
        if head.marks.intersects(Marks::LOST | Marks::SACKED) {
            return 0;
        }
        self.mark(0, head.marks | Marks::LOST);
        if self.segments[0].marks.waits() {
            self.again.push_front(self.start);
        }
        self.settle();
        1
    }

    /// The retransmission timer fired (RFC 8985, section 6.3): lost is the oldest segment, and whatever was not sent so recently
    /// that it may still arrive.
    pub fn mark_timed_out(&mut self, may_arrive: impl Fn(Instant) -> bool) -> Overdue {
        let mut found = Overdue::default();
        for index in 0..self.segments.len() {
            let Sent { at, marks, .. } = self.segments[index];
            if marks.contains(Marks::SACKED) || index > 0 && may_arrive(at) {
                continue;
            }
            found.lost += u32::from(!marks.contains(Marks::LOST));
            found.lost_again += u32::from(marks.contains(Marks::RESENT));
            self.mark(index, (marks | Marks::LOST) - Marks::RESENT);
        }
        self.search_anew();
        found
    }

    /// What is longer than `mss` cannot arrive any more. Returns how many segments that is.
    pub fn mark_oversized(&mut self, mss: u32) -> u32 {
        let mut start = self.start;
        let mut marked = 0;
        for index in 0..self.segments.len() {
            let Sent { end, marks, .. } = self.segments[index];
            if end.distance_from(start) > mss && !marks.contains(Marks::SACKED) {
                marked += 1;
                self.mark(index, (marks | Marks::LOST) - Marks::RESENT);
            }
            start = end;
        }
        self.search_anew();
        marked
    }

    /// Nothing is lost after all (Linux: `tcp_undo_cwnd_reduction` with `unmark_loss`).
    pub fn unmark_losses(&mut self) {
        for index in 0..self.segments.len() {
            let marks = self.segments[index].marks;
            self.mark(index, marks - Marks::LOST);
        }
        self.search_anew();
    }

    /// What is to be sent again next: where it begins and ends.
    pub fn next_lost(&self) -> Option<(SeqNum, SeqNum)> {
        if self.tally.waiting == 0 {
            return None;
        }
        let start = self.again.front().copied().unwrap_or(self.resend_from);
        self.segments.get(self.index_of(start)).map(|sent| (start, sent.end))
    }

    /// How far a segment of `limit` bytes can go that begins at `start` and holds the whole of what was sent from there: over
    /// the segments after it that were not reported (Linux: `tcp_retrans_try_collapse`), and into one that is lost as well.
    pub fn end_within(&self, start: SeqNum, limit: u32) -> SeqNum {
        let first = self.index_of(start);
        let mut end = self.segments.get(first).map_or(start, |sent| sent.end);
        for sent in self.segments.iter().skip(first + 1) {
            if sent.marks.contains(Marks::SACKED) {
                break;
            }
            if sent.end.distance_from(start) > limit {
                return if sent.marks.waits() { end.latest(start + limit) } else { end };
            }
            end = sent.end;
        }
        end
    }

    /// `[start, end)` was sent again, in one segment. It is the first one of those that begin there, or a part of it, or several.
    pub fn retransmitted(&mut self, now: Instant, start: SeqNum, end: SeqNum) {
        self.split(start);
        self.split(end);
        let index = self.index_of(start);
        let Some(&first) = self.segments.get(index) else { return };
        self.join(index, end);
        let order = self.take_order();
        self.mark(index, first.marks | Marks::RESENT | Marks::AGAIN);
        if let Some(sent) = self.segments.get_mut(index) {
            (sent.order, sent.at) = (order, now);
        }
        self.copies.push_back(Copied { start, order });
        self.settle();
    }

    /// Whether a segment begins at `seq` that is lost and waits.
    pub(super) fn waits(&self, seq: SeqNum) -> bool {
        let index = self.index_of(seq);
        self.start_of(index) == seq && self.segments.get(index).is_some_and(|sent| sent.marks.waits())
    }

    /// Cuts the segment that holds `seq` there, unless it begins there.
    fn split(&mut self, seq: SeqNum) {
        let index = self.index_of(seq);
        if self.start_of(index) == seq {
            return;
        }
        let Some(sent) = self.segments.get_mut(index) else { return };
        let rest = *sent;
        sent.end = seq;
        self.tally.add(rest.marks);
        self.segments.insert(index + 1, rest);
        if rest.marks.waits() {
            self.again.push_front(seq);
        } else if rest.marks.contains(Marks::AGAIN) {
            self.copies.push_back(Copied { start: seq, order: rest.order });
        }
    }

    /// Joins the segment `index` with those after it up to `end`.
    fn join(&mut self, index: usize, end: SeqNum) {
        let last = self.segments.partition_point(|sent| !sent.end.after(end));
        if last <= index + 1 {
            return;
        }
        for sent in self.segments.drain(index + 1..last) {
            self.tally.remove(sent.marks);
        }
        self.segments[index].end = end;
    }

    fn mark_overdue_originals(&mut self, newest: u32, is_overdue: &impl Fn(Instant) -> bool, found: &mut Overdue) {
        let mut index = self.index_of(self.examined);
        while let Some(&sent) = self.segments.get(index) {
            self.work.note();
            if sent.marks.contains(Marks::SACKED) {
                self.examined = self.runs.skip(sent.end);
                index = self.index_of(self.examined);
                continue;
            }
            if !sent.marks.intersects(Marks::LOST | Marks::AGAIN) {
                if !is_later(newest, sent.order) {
                    break;
                }
                if !is_overdue(sent.at) {
                    found.waits = true;
                    break;
                }
                self.mark(index, sent.marks | Marks::LOST);
                found.lost += 1;
            }
            self.examined = sent.end;
            index += 1;
        }
    }

    fn mark_overdue_copies(&mut self, newest: u32, is_overdue: &impl Fn(Instant) -> bool, found: &mut Overdue) {
        while let Some(&copied) = self.copies.front() {
            self.work.note();
            let index = self.index_of(copied.start);
            let on_its_way =
                |sent: &Sent| sent.order == copied.order && !sent.marks.contains(Marks::SACKED) && !sent.marks.waits();
            if let Some(&sent) = self.segments.get(index).filter(|sent| on_its_way(sent)) {
                if !is_later(newest, sent.order) {
                    break;
                }
                if !is_overdue(sent.at) {
                    found.waits = true;
                    break;
                }
                found.lost += u32::from(!sent.marks.contains(Marks::LOST));
                found.lost_again += 1;
                self.mark(index, (sent.marks | Marks::LOST) - Marks::RESENT);
                self.again.push_back(self.start_of(index));
            }
            self.copies.pop_front();
        }
    }

    /// Whatever waits is found again from the start, and so is whatever may be lost.
    pub(super) fn search_anew(&mut self) {
        (self.examined, self.resend_from) = (self.start, self.start);
        self.again.clear();
        let mut start = self.start;
        let mut examining = true;
        for sent in &self.segments {
            let is_original = !sent.marks.intersects(Marks::SACKED | Marks::LOST | Marks::AGAIN);
            examining &= !is_original;
            if examining {
                self.examined = sent.end;
            } else if sent.marks.waits() {
                self.again.push_back(start);
            }
            let is_copy = sent.marks & (Marks::AGAIN | Marks::SACKED | Marks::LOST | Marks::RESENT) == Marks::AGAIN;
            if is_copy {
                self.copies.push_back(Copied { start, order: sent.order });
            }
            start = sent.end;
        }
        self.settle();
    }

    /// Steps over what no longer waits.
    pub(super) fn settle(&mut self) {
        if self.tally.waiting == 0 {
            self.again.clear();
            self.resend_from = self.examined;
            return;
        }
        while self.again.front().is_some_and(|&seq| !self.waits(seq)) {
            self.again.pop_front();
        }
        let mut index = self.index_of(self.resend_from);
        while self.resend_from.before(self.examined)
            && let Some(sent) = self.segments.get(index)
            && !sent.marks.waits()
        {
            self.work.note();
            if sent.marks.contains(Marks::SACKED) {
                self.resend_from = self.runs.skip(sent.end);
                index = self.index_of(self.resend_from);
            } else {
                self.resend_from = sent.end;
                index += 1;
            }
        }
    }
}
