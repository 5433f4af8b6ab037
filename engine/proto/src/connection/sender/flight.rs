//! What a sender has while something is queued or in flight.

use super::pacing::Pacing;
use super::probe::TailLoss;
use crate::connection::congestion::Growth;
use crate::connection::rack::Rack;
use crate::connection::recovery::Recovery;
use crate::connection::rtt::Round;
use crate::connection::scoreboard::Scoreboard;
use crate::connection::send_queue::SendQueue;
use crate::{Counter, Counts, Instant, SeqNum};
use core::time::Duration;

/// What a timer wants sent, whatever the congestion window says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Forced {
    /// The oldest segment: the retransmission timer fired.
    Oldest,
    /// A tail loss probe.
    Probe,
}

/// What the timer of the send side has to follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Rearm {
    /// Nothing has happened.
    #[default]
    Keep,
    /// New data was sent.
    Sent,
    /// Something was acknowledged.
    Acked,
    /// The retransmission timer starts anew.
    Restart,
    /// The same, with the time counted since the oldest segment was sent.
    Late,
    /// Something may be late: it is to be looked at again then.
    Reorder(Instant),
    /// The peer may have dropped what it reported; this long it may take to say otherwise.
    Suspect(Duration),
}

/// How much of the window a round trip uses: a window that is not used does not grow (RFC 7661; Linux: `tcp_cwnd_validate`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// What ends the round trip once it is acknowledged.
    pub end: SeqNum,
    /// The most segments that were in flight.
    pub peak: u32,
}

/// Everything that exists only while something is queued or in flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub queue: SendQueue,
    pub board: Scoreboard,
    pub rack: Rack,
    pub recovery: Recovery,
    pub probe: Option<TailLoss>,
    pub pacing: Pacing,
    /// When zero-window probing began.
    pub probing_since: Option<Instant>,
    pub growth: Growth,
    pub usage: Usage,
    pub round: Round,
    /// The end of the last short segment sent (Minshall's form of Nagle; Linux: `snd_sml`).
    pub short_end: SeqNum,
    /// Segments that the peer was not known to have before the present acknowledgment or timer: what RFC 9937, section 6.1, takes
    /// RecoverFS from.
    pub before: u32,
    /// Segments reported in disorder that limited transmit (RFC 3042) could have answered by new ones: none were sent, since
    /// the next acknowledgment had come together with that one.
    pub unanswered: u32,
    /// Segments that D-SACK says were received twice.
    pub reported_twice: u32,
    pub forced: Option<Forced>,
    pub rearm: Rearm,
    /// Timeouts in a row without progress.
    pub timeouts: u8,
    /// Counters not handed out yet.
    pub counts: Counts,
}

impl Flight {
    /// Nothing is in flight; SND.NXT is `nxt`.
    pub fn new(nxt: SeqNum) -> Self {
        Self {
            queue: SendQueue::new(),
            board: Scoreboard::new(nxt),
            rack: Rack::default(),
            recovery: Recovery::new(nxt),
            probe: None,
            pacing: Pacing::default(),
            probing_since: None,
            growth: Growth::default(),
            usage: Usage { end: nxt, peak: 0 },
            round: Round::until(nxt),
            short_end: nxt,
            before: 0,
            unanswered: 0,
            reported_twice: 0,
            forced: None,
            rearm: Rearm::Keep,
            timeouts: 0,
            counts: Counts::NONE,
        }
    }

    /// Raises a counter.
    pub fn count(&mut self, counter: Counter) {
        self.counts = self.counts.and(Counts::of(&[counter]));
    }

    /// When something was first sent again is forgotten once no copy is outstanding (Linux: `tcp_retrans_stamp_cleanup`).
    pub fn forget_old_copies(&mut self) {
        if !self.board.any_resent() {
            self.recovery.forget_first_resent();
        }
    }

    /// Whether something is to be remembered though nothing is in flight: what became of a probe or of the last recovery is not
    /// known yet.
    pub fn lingers(&self) -> bool {
        self.probe.is_some() || self.recovery.lingers()
    }

    /// Notes how much of the window is used, now that something up to `nxt` was sent.
    pub fn note_usage(&mut self, una: SeqNum, nxt: SeqNum) {
        let outstanding = self.board.outstanding();
        if !una.before(self.usage.end) || outstanding > self.usage.peak {
            self.usage = Usage { end: nxt, peak: outstanding };
        }
    }
}
