//! Which segments are on their way, and what is known of each: a scoreboard (RFC 6675, section 3) with the times that RACK
//! needs (RFC 8985, section 5.1).
//!
//! One record per transmitted segment, in the order of sequence space. What an acknowledgment costs depends on what it tells
//! for the first time, not on how much is in flight: sacked runs are stepped over whole (`runs`), and what was sent once
//! is in the order of its sending already, so that the search for losses goes on where it stopped (`losses`).

mod findings;
mod losses;
mod runs;
mod sacks;
#[cfg(test)]
mod tests;

pub(super) use findings::{Findings, Newest, Reading};
pub(super) use losses::Overdue;
pub(super) use sacks::is_valid;

use crate::{Instant, SeqNum};
use alloc::collections::VecDeque;
use bitflags::bitflags;
use runs::Runs;

bitflags! {
    /// What is known of a segment.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Marks: u8 {
        /// The peer has reported it.
        const SACKED = 0x01;
        /// It counts as lost.
        const LOST = 0x02;
        /// The copy sent last is one more copy, and not known to be lost.
        const RESENT = 0x04;
        /// It was sent more than once.
        const AGAIN = 0x08;
    }
}

impl Marks {
    /// Lost, and not sent again since.
    const fn waits(self) -> bool {
        self.contains(Self::LOST) && !self.contains(Self::RESENT)
    }
}

/// A transmitted segment. It begins where the one before it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sent {
    /// The sequence number after it.
    end: SeqNum,
    /// Its place among all transmissions. It decides what was sent after what where the clock does not: one turn of the
    /// loop sends many segments at the same time.
    order: u32,
    /// When it was last sent.
    at: Instant,
    marks: Marks,
}

const _: () = assert!(size_of::<Sent>() <= 24);

/// A copy of a segment, when it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Copied {
    start: SeqNum,
    order: u32,
}

/// How many segments have which marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Tally {
    sacked: u32,
    lost: u32,
    resent: u32,
    waiting: u32,
}

impl Tally {
    fn of(marks: Marks) -> Self {
        Self {
            sacked: marks.contains(Marks::SACKED).into(),
            lost: marks.contains(Marks::LOST).into(),
            resent: marks.contains(Marks::RESENT).into(),
            waiting: marks.waits().into(),
        }
    }

    fn add(&mut self, marks: Marks) {
        let Self { sacked, lost, resent, waiting } = Self::of(marks);
        self.sacked += sacked;
        self.lost += lost;
        self.resent += resent;
        self.waiting += waiting;
    }

    fn remove(&mut self, marks: Marks) {
        let Self { sacked, lost, resent, waiting } = Self::of(marks);
        self.sacked -= sacked;
        self.lost -= lost;
        self.resent -= resent;
        self.waiting -= waiting;
    }
}

/// The segments in `[SND.UNA, SND.NXT)`.
#[derive(Clone, Debug)]
pub(super) struct Scoreboard {
    segments: VecDeque<Sent>,
    /// SND.UNA.
    start: SeqNum,
    next_order: u32,
    tally: Tally,
    /// Without SACK: segments that duplicate acknowledgments say have arrived, whichever they are.
    duplicates: u32,
    runs: Runs,
    /// Whatever begins before is sacked, lost, or was sent more than once.
    examined: SeqNum,
    /// Whatever waits to be sent again for the first time lies in `[resend_from, examined)`, the first of it here.
    resend_from: SeqNum,
    /// What waits to be sent once more. Some of it may have arrived meanwhile.
    again: VecDeque<SeqNum>,
    /// What was sent more than once, in the order of sending. Some of it may have arrived meanwhile.
    copies: VecDeque<Copied>,
    work: Work,
}

/// Records looked at, which tests count: the work of an acknowledgment.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    #[cfg(test)]
    records: u64,
}

impl Work {
    /// A record is looked at.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "only tests count"))]
    fn note(&mut self) {
        #[cfg(test)]
        {
            self.records += 1;
        }
    }
}

impl Scoreboard {
    /// Nothing is on its way; SND.NXT is `start`.
    pub fn new(start: SeqNum) -> Self {
        Self {
            segments: VecDeque::new(),
            start,
            next_order: 0,
            tally: Tally::default(),
            duplicates: 0,
            runs: Runs::default(),
            examined: start,
            resend_from: start,
            again: VecDeque::new(),
            copies: VecDeque::new(),
            work: Work::default(),
        }
    }

    /// Segments that are not acknowledged (Linux: `packets_out`).
    pub fn outstanding(&self) -> u32 {
        self.segments.len() as u32
    }

    /// Segments that were reported beyond SND.UNA (Linux: `sacked_out`).
    pub fn sacked(&self) -> u32 {
        self.tally.sacked + self.duplicates
    }

    /// Segments that count as lost (Linux: `lost_out`).
    pub fn lost(&self) -> u32 {
        self.tally.lost
    }

    /// Segments that were sent again and are on their way (Linux: `retrans_out`).
    pub fn resent(&self) -> u32 {
        self.tally.resent
    }

    /// Segments that the network holds (pipe of RFC 6675, section 2; Linux: `tcp_packets_in_flight`).
    pub fn in_flight(&self) -> u32 {
        (self.outstanding() + self.tally.resent).saturating_sub(self.sacked() + self.tally.lost)
    }

    /// Segments that are not known to have arrived.
    pub fn missing(&self) -> u32 {
        self.outstanding().saturating_sub(self.sacked())
    }

    /// When the oldest was last sent.
    pub fn head_sent(&self) -> Option<Instant> {
        self.segments.front().map(|sent| sent.at)
    }

    /// Whether the oldest was sent more than once, or anything is on its way again (Linux: `tcp_any_retrans_done`).
    pub fn any_resent(&self) -> bool {
        self.tally.resent > 0 || self.segments.front().is_some_and(|sent| sent.marks.contains(Marks::AGAIN))
    }

    /// Whether the oldest was reported received.
    pub fn is_head_sacked(&self) -> bool {
        self.segments.front().is_some_and(|sent| sent.marks.contains(Marks::SACKED))
    }

    /// Where the oldest ends.
    pub fn head_end(&self) -> Option<SeqNum> {
        self.segments.front().map(|sent| sent.end)
    }

    /// The last segment: where it begins and ends.
    pub fn last(&self) -> Option<(SeqNum, SeqNum)> {
        let index = self.segments.len().checked_sub(1)?;
        Some((self.start_of(index), self.segments[index].end))
    }

    /// The end of the highest segment that was reported, or SND.UNA (Linux: `tcp_highest_sack_seq`).
    pub fn highest_sacked(&self) -> SeqNum {
        self.runs.highest().unwrap_or(self.start)
    }

    /// New data up to `end` was sent.
    pub fn transmitted(&mut self, now: Instant, end: SeqNum) {
        let order = self.take_order();
        self.segments.push_back(Sent { end, order, at: now, marks: Marks::empty() });
    }

    /// Everything before `una` is acknowledged; `highest` is what blocks had reported before this acknowledgment.
    pub fn acknowledge(&mut self, una: SeqNum, highest: SeqNum, reading: &Reading, findings: &mut Findings) {
        while let Some(sent) = self.segments.pop_front_if(|sent| !sent.end.after(una)) {
            self.work.note();
            findings.on_acked(self.start, &sent, highest, reading);
            self.tally.remove(sent.marks);
            self.start = sent.end;
        }
        self.start = una;
        self.runs.acknowledge(una);
        self.examined = self.examined.latest(una);
        self.resend_from = self.resend_from.latest(una);
        findings.reneged = self.is_head_sacked();
        if let Some(front) = self.segments.front() {
            // The rest of one that was acknowledged in part begins elsewhere than it did.
            if front.marks.waits() && self.resend_from != una {
                self.again.push_front(una);
            }
        }
        self.settle();
    }

    fn take_order(&mut self) -> u32 {
        let order = self.next_order;
        self.next_order = order.wrapping_add(1);
        order
    }

    /// The first segment that ends after `seq`.
    fn index_of(&self, seq: SeqNum) -> usize {
        self.segments.partition_point(|sent| !sent.end.after(seq))
    }

    fn start_of(&self, index: usize) -> SeqNum {
        match index.checked_sub(1).and_then(|before| self.segments.get(before)) {
            Some(before) => before.end,
            None => self.start,
        }
    }

    fn mark(&mut self, index: usize, marks: Marks) {
        if let Some(sent) = self.segments.get_mut(index) {
            self.tally.remove(sent.marks);
            sent.marks = marks;
            self.tally.add(marks);
        }
    }
}

/// Whether the transmission `order` came after `other`.
const fn is_later(order: u32, other: u32) -> bool {
    (other.wrapping_sub(order) as i32) < 0
}
