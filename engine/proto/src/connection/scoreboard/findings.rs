//! What one acknowledgment reveals.

use super::{Marks, Sent};
use crate::{Instant, SeqNum};
use core::time::Duration;

/// By what an acknowledgment is judged.
#[derive(Clone, Copy, Debug)]
pub(in crate::connection) struct Reading {
    /// When it came.
    pub now: Instant,
    /// The millisecond at which we sent what it echoes, with timestamps.
    pub echoed: Option<u64>,
    /// The least round trip of late.
    pub min_rtt: Duration,
    /// Where the present recovery ends (Linux: `high_seq`).
    pub high: SeqNum,
}

/// The segment sent last of those that are known to have arrived (RFC 8985, section 6.2, step 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::connection) struct Newest {
    /// Its place among all transmissions.
    pub order: u32,
    /// When it was sent.
    pub at: Instant,
    /// The round trip that it took.
    pub rtt: Duration,
}

impl Newest {
    /// Whether it was sent after `other`.
    pub fn is_after(&self, other: &Self) -> bool {
        super::is_later(self.order, other.order)
    }
}

/// When the first and the last of some segments were sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::connection) struct Times {
    pub first: Instant,
    pub last: Instant,
}

/// What an acknowledgment revealed (Linux: the flags of `tcp_ack` and `struct tcp_sacktag_state`).
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::connection) struct Findings {
    /// It acknowledges something for the first time.
    pub advanced: bool,
    /// It carries something else than an acknowledgment: it is no duplicate.
    pub has_news: bool,
    /// It echoes that congestion was experienced.
    pub ece: bool,
    /// Segments acknowledged by its number.
    pub acked: u32,
    /// Segments that are known for the first time to have arrived, by number or by block; what D-SACK reports included.
    pub delivered: u32,
    /// Segments found lost for the first time.
    pub lost: u32,
    /// A block reports something new.
    pub sacks: bool,
    /// Its first block is a D-SACK that was believed.
    pub dsacks: bool,
    /// That D-SACK reports the tail loss probe.
    pub dsacks_probe: bool,
    /// Its number covers something that was sent more than once.
    pub covers_resent: bool,
    /// Something sent once, before the present recovery, has arrived.
    pub original_arrived: bool,
    /// What was sent again has been lost again.
    pub lost_again: bool,
    /// The oldest outstanding segment was reported as received: the peer has dropped it since.
    pub reneged: bool,
    /// The lowest segment that has arrived after one that was sent later.
    pub reordered: Option<SeqNum>,
    /// When what it acknowledges was sent, of segments that were sent once.
    pub acked_times: Option<Times>,
    /// When what its blocks report for the first time was sent, of segments that were sent once.
    pub sacked_times: Option<Times>,
    /// The segment sent last of all that it delivers.
    pub newest: Option<Newest>,
}

impl Findings {
    /// Whether something arrived, in order or not (Linux: `FLAG_FORWARD_PROGRESS`).
    pub const fn progress(&self) -> bool {
        self.advanced || self.sacks
    }

    /// Whether it is a duplicate acknowledgment that tells of a segment that has left the network (RFC 5681, section 2;
    /// Linux: `num_dupack`).
    pub const fn is_duplicate(&self) -> bool {
        !self.advanced && !self.has_news && !self.dsacks
    }

    /// `sent` was acknowledged by number; `highest` is what blocks had reported before.
    pub(super) fn on_acked(&mut self, start: SeqNum, sent: &Sent, highest: SeqNum, reading: &Reading) {
        self.acked += 1;
        let sacked = sent.marks.contains(Marks::SACKED);
        if sent.marks.contains(Marks::AGAIN) {
            self.covers_resent = true;
        } else if !sacked {
            note(&mut self.acked_times, sent.at);
            self.on_original(start, sent, highest, reading);
        }
        if !sacked {
            self.delivered += 1;
            self.advance(sent, reading);
        }
    }

    /// `sent` was reported by a block.
    pub(super) fn on_sacked(&mut self, start: SeqNum, sent: &Sent, highest: SeqNum, reading: &Reading) {
        self.sacks = true;
        self.delivered += 1;
        if !sent.marks.contains(Marks::AGAIN) {
            note(&mut self.sacked_times, sent.at);
            self.on_original(start, sent, highest, reading);
        }
        self.advance(sent, reading);
    }

    /// A segment that was sent once has arrived. When one sent after it came first, that is reordering (RFC 8985, section
    /// 6.2, step 3).
    fn on_original(&mut self, start: SeqNum, sent: &Sent, highest: SeqNum, reading: &Reading) {
        if start.before(highest) {
            self.reordered = Some(self.reordered.map_or(start, |lowest| lowest.earliest(start)));
        }
        self.original_arrived |= !sent.end.after(reading.high);
    }

    /// RFC 8985, section 6.2, step 2: what was sent again counts only when it cannot be the first copy that has arrived.
    fn advance(&mut self, sent: &Sent, reading: &Reading) {
        let rtt = reading.now - sent.at;
        let may_be_first_copy =
            rtt < reading.min_rtt || reading.echoed.is_some_and(|echoed| echoed < sent.at.as_millis());
        if sent.marks.contains(Marks::AGAIN) && may_be_first_copy {
            return;
        }
        if self.newest.is_none_or(|newest| super::is_later(sent.order, newest.order)) {
            self.newest = Some(Newest { order: sent.order, at: sent.at, rtt });
        }
    }
}

fn note(times: &mut Option<Times>, at: Instant) {
    let first = times.map_or(at, |times| times.first);
    *times = Some(Times { first, last: at });
}
