//! Losses by time: RACK (RFC 8985, section 6; Linux: `tcp_recovery.c`).

use super::rtt::Rtt;
use super::scoreboard::{Findings, Newest, Overdue, Scoreboard};
use crate::{Instant, SeqNum};
use core::time::Duration;

/// Segments beyond a gap that mean a loss while nothing was ever reordered (RFC 5681, section 3.2; Linux: `tcp_reordering`).
pub(super) const DUPLICATE_THRESHOLD: u16 = 3;
/// The most that reordering is believed to come to, segments (Linux: `tcp_max_reordering`).
const MAX_REORDERING: u16 = 300;
/// Recoveries without D-SACK after which the reordering window is what it was (RFC 8985, section 6.2, step 4).
const PERSISTS: u8 = 16;
/// Added to the time that a late segment is still given, so that the timer does not fire for nothing (Linux:
/// `TCP_TIMEOUT_MIN_US`).
const SLACK: Duration = Duration::from_millis(2);

/// What is known of reordering on this path. It outlasts idleness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reordering {
    /// Segments by which one was overtaken (Linux: `tp->reordering`).
    degree: u16,
    /// RACK.reordering_seen.
    seen: bool,
    /// RACK.reo_wnd_mult.
    steps: u8,
    /// RACK.reo_wnd_persist.
    persist: u8,
}

impl Reordering {
    /// None was ever seen.
    pub const NONE: Self = Self { degree: DUPLICATE_THRESHOLD, seen: false, steps: 1, persist: 0 };

    /// Segments beyond a gap that mean a loss.
    pub fn degree(&self) -> u16 {
        self.degree
    }

    /// Whether more was seen than duplicate acknowledgments tell from a loss.
    pub fn is_high(&self) -> bool {
        self.degree > DUPLICATE_THRESHOLD
    }

    /// A segment was overtaken by `segments` others.
    pub fn on_overtaken(&mut self, segments: u32) {
        self.seen = true;
        self.degree = self.degree.max(u16::try_from(segments).unwrap_or(MAX_REORDERING).min(MAX_REORDERING));
    }

    /// A timeout after so many duplicates that they should have been enough: the degree was overestimated (Linux:
    /// `tcp_enter_loss`).
    pub fn on_timeout(&mut self, sacked: u32) {
        if sacked >= DUPLICATE_THRESHOLD.into() {
            self.degree = self.degree.min(DUPLICATE_THRESHOLD);
        }
    }

    /// A recovery is over that was needed.
    pub fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
    }

    /// A recovery was taken back because of D-SACK: it does not count (Linux: `tcp_try_undo_dsack`).
    pub fn on_undone(&mut self) {
        self.persist = (self.persist + 1).min(PERSISTS);
    }

    /// RFC 8985, section 6.2, step 4: the window grows by a quarter of the least round trip where D-SACK says that a recovery was
    /// for nothing.
    fn widen(&mut self) {
        self.steps = self.steps.saturating_add(1);
        self.persist = PERSISTS;
    }

    fn settle(&mut self) {
        if self.persist == 0 {
            self.steps = 1;
        }
    }

    fn window(&self, rtt: &Rtt) -> Duration {
        let (least, smoothed) = (rtt.least().unwrap_or_default(), rtt.smoothed().unwrap_or_default());
        (least / 4 * u32::from(self.steps)).min(smoothed)
    }
}

/// RACK's state while something is in flight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rack {
    /// RACK.segment, RACK.xmit_ts and RACK.rtt.
    newest: Option<Newest>,
    /// Whether that has changed since losses were last looked for.
    advanced: bool,
    /// RACK.dsack_round: the reordering window does not grow again before this is acknowledged.
    dsack_round: Option<SeqNum>,
}

impl Rack {
    /// RFC 8985, section 6.2, steps 2 and 4, for an acknowledgment of `una`.
    pub fn on_ack(&mut self, findings: &Findings, reordering: &mut Reordering, una: SeqNum, nxt: SeqNum) {
        if let Some(newest) = findings.newest {
            self.advanced = true;
            let is_newer = self.newest.is_none_or(|known| newest.is_after(&known));
            self.newest = match self.newest {
                Some(known) if !is_newer => Some(Newest { rtt: newest.rtt, ..known }),
                Some(_) | None => Some(newest),
            };
        }
        self.dsack_round = self.dsack_round.filter(|&round| una.before(round));
        // A D-SACK of a probe says nothing of reordering, nor does one where none was seen (Linux: `tcp_dsack_seen`).
        if findings.dsacks && reordering.seen && !findings.dsacks_probe && self.dsack_round.is_none() {
            self.dsack_round = Some(nxt);
            reordering.widen();
        } else {
            reordering.settle();
        }
    }

    /// Losses are to be looked for anew.
    pub fn look_again(&mut self) {
        self.advanced = true;
    }

    /// Whether there is anything new by which to look for losses.
    pub fn take_advanced(&mut self) -> bool {
        core::mem::take(&mut self.advanced)
    }

    /// RFC 8985, section 6.2, step 5: marks what is overdue, when a segment may be late by `window`. Returns what was found, and
    /// when to look again if something may still be late.
    pub fn detect(&self, now: Instant, board: &mut Scoreboard, window: Duration) -> (Overdue, Option<Instant>) {
        let Some(newest) = self.newest else { return (Overdue::default(), None) };
        let patience = newest.rtt + window;
        let found = board.mark_overdue(newest.order, |sent| now - sent >= patience);
        // By then everything is overdue that was sent before the newest.
        let again = found.waits.then(|| (newest.at + patience).max(now) + SLACK);
        (found, again)
    }

    /// Whether a segment sent at `sent` may still arrive by RACK's measure without reordering (RFC 8985, section 6.3).
    pub fn may_arrive(&self, now: Instant, sent: Instant) -> bool {
        now - sent < self.newest.map_or(Duration::ZERO, |newest| newest.rtt)
    }

    /// RACK_update_reo_wnd: how late a segment may be. While nothing was ever reordered there is no such window once as many
    /// segments are `sacked` as mean a loss, nor while losses are being repaired.
    pub fn window(reordering: &Reordering, rtt: &Rtt, recovering: bool, sacked: u32) -> Duration {
        if !reordering.seen && (recovering || sacked >= reordering.degree.into()) {
            Duration::ZERO
        } else {
            reordering.window(rtt)
        }
    }
}
