//! What is lost and sent again: fast retransmit (RFC 5681, section 3.2), NewReno (RFC 6582), and the go-back-N that
//! follows a timeout (RFC 6298, section 5.4).
//!
//! A loss becomes a range of sequence space to send again; nothing is stored but its two ends. A scoreboard (RFC 6675)
//! or RACK (RFC 8985) would replace how that range is found, not how it is sent.

use crate::SeqNum;

/// Duplicate acknowledgments that mean a loss (RFC 5681, section 3.2).
pub(super) const DUPLICATE_THRESHOLD: u32 = 3;

/// What is known about losses. `recover` is SND.NXT when the loss was noticed (RFC 6582, section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing seems lost.
    Open,
    /// Duplicate acknowledgments come, too few yet. `sent` is what SND.NXT was at the first.
    Doubtful { sent: SeqNum },
    /// Fast recovery.
    Fast { recover: SeqNum },
    /// The retransmission timer fired: everything before `recover` counts as lost.
    Loss { recover: SeqNum },
    /// Everything before `recover` is acknowledged, nothing after it: duplicate acknowledgments may still be echoes of
    /// what was sent twice (RFC 6582, section 4).
    Settling { recover: SeqNum },
}

/// What a duplicate acknowledgment means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Duplicate {
    /// Nothing more than that a segment left the network (RFC 3042 may use it).
    Counted,
    /// The third: fast recovery begins, and the first unacknowledged segment is to be sent again.
    EntersRecovery {
        /// FlightSize, without what limited transmit has added (RFC 5681, section 3.2, step 2).
        flight: u32,
    },
    /// Fast recovery goes on: the window inflates.
    Inflates,
    /// An echo of what was sent twice.
    Ignored,
}

/// What an acknowledgment of new data means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Advance {
    /// The congestion window may grow.
    Ordinary,
    /// Fast recovery goes on: the next segment is lost too (RFC 6582, section 3.2, step 3).
    Partial,
    /// Fast recovery is over.
    Recovered,
}

/// Why a segment is sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// Duplicate acknowledgments.
    FastRetransmit,
    /// A timeout.
    Timeout,
}

/// The state of loss recovery.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    phase: Phase,
    /// Duplicate acknowledgments in a row.
    duplicates: u32,
    /// `[from, until)` is to be sent again.
    from: SeqNum,
    until: SeqNum,
}

impl Recovery {
    /// Nothing sent, nothing lost.
    pub fn new(nxt: SeqNum) -> Self {
        Self { phase: Phase::Open, duplicates: 0, from: nxt, until: nxt }
    }

    /// Where to begin to send again, and why; `None` when nothing is lost. After a timeout that goes on to SND.NXT; after
    /// duplicate acknowledgments one segment is meant, whatever its length comes to.
    pub fn pending(&self) -> Option<(SeqNum, Cause)> {
        let cause = match self.phase {
            Phase::Open | Phase::Doubtful { .. } | Phase::Settling { .. } => return None,
            Phase::Fast { .. } => Cause::FastRetransmit,
            Phase::Loss { .. } => Cause::Timeout,
        };
        self.from.before(self.until).then_some((self.from, cause))
    }

    /// Bytes assumed in flight: after a timeout only what was sent again since, while there is more to send again.
    pub fn in_flight(&self, una: SeqNum, nxt: SeqNum) -> u32 {
        match self.pending() {
            Some((from, Cause::Timeout)) => from.distance_from(una),
            Some((_, Cause::FastRetransmit)) | None => nxt.distance_from(una),
        }
    }

    /// Segments that limited transmit allows beyond the congestion window (RFC 3042): one for each of the first two
    /// duplicate acknowledgments.
    pub fn limited_transmit(&self) -> u32 {
        match self.phase {
            Phase::Doubtful { .. } => self.duplicates.min(DUPLICATE_THRESHOLD - 1),
            Phase::Open | Phase::Fast { .. } | Phase::Loss { .. } | Phase::Settling { .. } => 0,
        }
    }

    /// A duplicate acknowledgment of `una` (RFC 5681, section 2) while data up to `nxt` is outstanding, in segments of
    /// `mss` bytes.
    pub fn on_duplicate(&mut self, una: SeqNum, nxt: SeqNum, mss: u32) -> Duplicate {
        self.duplicates = self.duplicates.saturating_add(1);
        match self.phase {
            Phase::Open => {
                self.phase = Phase::Doubtful { sent: nxt };
                Duplicate::Counted
            }
            Phase::Doubtful { .. } if self.duplicates < DUPLICATE_THRESHOLD => Duplicate::Counted,
            Phase::Doubtful { sent } => {
                self.phase = Phase::Fast { recover: nxt };
                self.resend_first(una);
                Duplicate::EntersRecovery { flight: sent.distance_from(una) }
            }
            // More segments than were outstanding cannot have left: the rest are made up (RFC 5681, section 3.2).
            Phase::Fast { .. } if self.duplicates > nxt.distance_from(una).div_ceil(mss.max(1)) => Duplicate::Ignored,
            Phase::Fast { .. } => Duplicate::Inflates,
            Phase::Loss { .. } | Phase::Settling { .. } => Duplicate::Ignored,
        }
    }

    /// New data is acknowledged up to `una`.
    pub fn on_advance(&mut self, una: SeqNum) -> Advance {
        self.duplicates = 0;
        self.from = self.from.latest(una);
        match self.phase {
            Phase::Open | Phase::Doubtful { .. } => {
                self.phase = Phase::Open;
                Advance::Ordinary
            }
            Phase::Fast { recover } if una.before(recover) => {
                self.resend_first(una);
                Advance::Partial
            }
            Phase::Fast { recover } => {
                self.phase = Self::after(recover, una);
                Advance::Recovered
            }
            Phase::Loss { recover } | Phase::Settling { recover } => {
                if !una.before(recover) {
                    self.phase = Self::after(recover, una);
                }
                Advance::Ordinary
            }
        }
    }

    /// The retransmission timer fired: everything outstanding is to be sent again, oldest first.
    pub fn on_timeout(&mut self, una: SeqNum, nxt: SeqNum) {
        self.phase = Phase::Loss { recover: nxt };
        self.duplicates = 0;
        self.from = una;
        self.until = nxt;
    }

    /// The range was sent again up to `end`.
    pub fn resent(&mut self, end: SeqNum) {
        self.from = self.from.latest(end);
        if let Phase::Fast { .. } = self.phase {
            // One segment for each third duplicate or partial acknowledgment, whatever its length came to.
            self.until = self.from;
        }
    }

    fn after(recover: SeqNum, una: SeqNum) -> Phase {
        if una.after(recover) { Phase::Open } else { Phase::Settling { recover } }
    }

    /// One segment from `una`: whatever is sent first ends the range.
    fn resend_first(&mut self, una: SeqNum) {
        self.from = una;
        self.until = una + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(offset: u32) -> SeqNum {
        SeqNum(u32::MAX - 1000) + offset
    }

    fn after_three_duplicates() -> Recovery {
        let mut recovery = Recovery::new(seq(0));
        assert_eq!(recovery.on_duplicate(seq(0), seq(5000), 1000), Duplicate::Counted);
        assert_eq!(recovery.limited_transmit(), 1);
        assert_eq!(recovery.on_duplicate(seq(0), seq(5000), 1000), Duplicate::Counted);
        assert_eq!((recovery.limited_transmit(), recovery.pending()), (2, None));
        let third = recovery.on_duplicate(seq(0), seq(7000), 1000);
        assert_eq!(third, Duplicate::EntersRecovery { flight: 5000 }, "the two of limited transmit not included");
        let mut plain = Recovery::new(seq(0));
        for _ in 0..DUPLICATE_THRESHOLD {
            let _ = plain.on_duplicate(seq(0), seq(5000), 1000);
        }
        plain
    }

    #[test]
    fn the_third_duplicate_sends_one_segment_again() {
        let mut recovery = after_three_duplicates();
        assert_eq!(recovery.pending(), Some((seq(0), Cause::FastRetransmit)));
        recovery.resent(seq(1000));
        assert_eq!(recovery.pending(), None);
        assert_eq!(recovery.on_duplicate(seq(0), seq(5000), 1000), Duplicate::Inflates);
        assert_eq!(recovery.on_duplicate(seq(0), seq(5000), 1000), Duplicate::Inflates);
        assert_eq!(recovery.on_duplicate(seq(0), seq(5000), 1000), Duplicate::Ignored, "a sixth of five segments");
        assert_eq!(recovery.pending(), None);
        assert_eq!(recovery.in_flight(seq(0), seq(5000)), 5000);
    }

    /// RFC 6582, section 3.2, step 3.
    #[test]
    fn a_partial_acknowledgment_sends_the_next_hole_and_a_full_one_ends_recovery() {
        let mut recovery = after_three_duplicates();
        recovery.resent(seq(1000));
        assert_eq!(recovery.on_advance(seq(3000)), Advance::Partial);
        assert_eq!(recovery.pending(), Some((seq(3000), Cause::FastRetransmit)));
        recovery.resent(seq(4000));
        assert_eq!(recovery.on_advance(seq(5000)), Advance::Recovered);
        assert_eq!(recovery.pending(), None);
    }

    /// RFC 6582, section 4: duplicates of exactly `recover` do not begin another recovery.
    #[test]
    fn echoes_after_recovery_are_ignored_until_something_newer_is_acknowledged() {
        let mut recovery = after_three_duplicates();
        assert_eq!(recovery.on_advance(seq(5000)), Advance::Recovered);
        for _ in 0..5 {
            assert_eq!(recovery.on_duplicate(seq(5000), seq(6000), 1000), Duplicate::Ignored);
        }
        assert_eq!(recovery.on_advance(seq(5001)), Advance::Ordinary);
        assert_eq!(recovery.on_duplicate(seq(5001), seq(6000), 1000), Duplicate::Counted);
        let mut beyond = after_three_duplicates();
        assert_eq!(beyond.on_advance(seq(5500)), Advance::Recovered);
        assert_eq!(beyond.on_duplicate(seq(5500), seq(6000), 1000), Duplicate::Counted);
    }

    #[test]
    fn a_timeout_goes_back_to_the_oldest_and_counts_only_what_is_sent_again() {
        let mut recovery = after_three_duplicates();
        recovery.on_timeout(seq(0), seq(5000));
        assert_eq!(recovery.pending(), Some((seq(0), Cause::Timeout)));
        assert_eq!(recovery.in_flight(seq(0), seq(5000)), 0);
        recovery.resent(seq(1000));
        assert_eq!(recovery.in_flight(seq(0), seq(5000)), 1000);
        assert_eq!(recovery.on_duplicate(seq(0), seq(5000), 1000), Duplicate::Ignored);
        assert_eq!(recovery.on_advance(seq(2500)), Advance::Ordinary, "the peer had more than we sent again");
        assert_eq!(recovery.pending(), Some((seq(2500), Cause::Timeout)));
        assert_eq!(recovery.on_advance(seq(5000)), Advance::Ordinary);
        assert_eq!((recovery.pending(), recovery.in_flight(seq(5000), seq(7000))), (None, 2000));
    }
}
