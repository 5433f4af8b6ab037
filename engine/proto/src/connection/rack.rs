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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1000);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rtt(sample: Duration) -> Rtt {
        Rtt::of_handshake(NOW, Some(sample))
    }

    fn dsack(rack: &mut Rack, reordering: &mut Reordering, una: u32, nxt: u32) {
        rack.on_ack(&Findings { dsacks: true, ..Findings::default() }, reordering, SeqNum(una), SeqNum(nxt));
    }

    /// RFC 8985, section 6.2, step 4: RACK_update_reo_wnd.
    #[test]
    fn without_reordering_three_segments_or_a_recovery_end_the_wait() {
        let rtt = rtt(ms(100));
        let window = |reordering: &Reordering, recovering, sacked| Rack::window(reordering, &rtt, recovering, sacked);
        let mut reordering = Reordering::NONE;
        for (recovering, sacked, expected) in [(false, 2, 25), (false, 3, 0), (true, 0, 0)] {
            assert_eq!(window(&reordering, recovering, sacked), ms(expected), "{recovering}, {sacked}");
        }
        reordering.on_overtaken(1);
        assert_eq!((window(&reordering, true, 9), reordering.degree()), (ms(25), DUPLICATE_THRESHOLD));
    }

    #[test]
    fn the_window_widens_once_a_round_trip_and_narrows_after_sixteen_recoveries() {
        let rtt = rtt(ms(100));
        let (mut rack, mut reordering) = (Rack::default(), Reordering::NONE);
        dsack(&mut rack, &mut reordering, 0, 100);
        assert_eq!(reordering.steps, 1, "nothing was reordered: the copy was a mistake of another kind");
        reordering.on_overtaken(5);
        dsack(&mut rack, &mut reordering, 0, 100);
        dsack(&mut rack, &mut reordering, 50, 150);
        assert_eq!(reordering.window(&rtt), ms(50));
        for una in 1..10 {
            dsack(&mut rack, &mut reordering, 100 * una, 100 * una + 100);
        }
        assert_eq!(reordering.window(&rtt), ms(100), "no more than SRTT");
        for _ in 0..PERSISTS {
            rack.on_ack(&Findings::default(), &mut reordering, SeqNum(2000), SeqNum(2000));
            assert!(reordering.steps > 1);
            reordering.on_recovered();
        }
        rack.on_ack(&Findings::default(), &mut reordering, SeqNum(2000), SeqNum(2000));
        assert_eq!(reordering.window(&rtt), ms(25));
    }

    #[test]
    fn a_probe_received_twice_is_no_reordering() {
        let (mut rack, mut reordering) = (Rack::default(), Reordering::NONE);
        reordering.on_overtaken(5);
        let findings = Findings { dsacks: true, dsacks_probe: true, ..Findings::default() };
        rack.on_ack(&findings, &mut reordering, SeqNum(0), SeqNum(100));
        assert_eq!(reordering.steps, 1);
    }

    #[test]
    fn the_degree_has_a_limit_and_a_timeout_corrects_it() {
        let mut reordering = Reordering::NONE;
        reordering.on_overtaken(u32::MAX);
        assert_eq!(reordering.degree(), MAX_REORDERING);
        reordering.on_timeout(2);
        assert!(reordering.is_high());
        reordering.on_timeout(3);
        assert!(!reordering.is_high());
    }
}
