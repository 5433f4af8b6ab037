//! What a connection is doing about losses: the states of Linux's `enum tcp_ca_state`, where each ends, and what must be known
//! to take a reaction back that proves wrong.

use super::congestion::{Prr, Snapshot};
use crate::{Instant, SeqNum};

/// What a connection is doing about losses and congestion (Linux: `tcpi_ca_state`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum CaState {
    /// Nothing is amiss.
    #[default]
    Open,
    /// Something is reported missing that is not believed lost yet.
    Disorder,
    /// The window comes down after an ECN echo (RFC 3168, section 6.1.2) or a loss that a tail loss probe repaired.
    Cwr,
    /// Fast recovery.
    Recovery,
    /// The retransmission timer fired.
    Loss,
}

/// Why a segment is sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// It was found lost by what was acknowledged.
    FastRetransmit,
    /// It was found lost by a timeout.
    SlowStart,
    /// The retransmission timer fired for it.
    Timeout,
    /// It is the tail loss probe.
    Probe,
}

/// What is known of a reaction to losses in case it was for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Undo {
    /// SND.UNA when it began (Linux: `undo_marker`).
    marker: SeqNum,
    /// Copies sent since that D-SACK has not reported as unneeded; `None` while none was sent (Linux: `undo_retrans`).
    copies: Option<u32>,
    /// What it changed; `None` where there was congestion anyway.
    before: Option<Snapshot>,
}

/// The state of loss recovery.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    /// The state.
    pub state: CaState,
    /// SND.NXT when the state was entered: where it ends (RFC 6582, section 3.2, "recover"; Linux: `high_seq`).
    pub high: SeqNum,
    /// How the window comes down, in [`CaState::Cwr`] and [`CaState::Recovery`].
    pub prr: Prr,
    /// Whether the last timeout may have been spurious (RFC 5682).
    pub frto: bool,
    /// Until the next acknowledgment nothing is sent again, whatever is lost.
    pub holds_back: bool,
    /// When something was first sent again (Linux: `retrans_stamp`).
    first_resent: Option<Instant>,
    undo: Option<Undo>,
}

impl Recovery {
    /// Nothing sent, nothing lost.
    pub fn new(nxt: SeqNum) -> Self {
        Self {
            state: CaState::Open,
            high: nxt,
            prr: Prr::new(0),
            frto: false,
            holds_back: false,
            first_resent: None,
            undo: None,
        }
    }

    /// Whether the window follows [`Prr`] (Linux: `tcp_in_cwnd_reduction`).
    pub fn is_reducing(&self) -> bool {
        matches!(self.state, CaState::Cwr | CaState::Recovery)
    }

    /// Whether something is to be remembered though nothing is in flight: a D-SACK may yet come, or the state goes on until
    /// something newer is acknowledged.
    pub fn lingers(&self) -> bool {
        self.state != CaState::Open || self.undo.is_some()
    }

    /// When something was first sent again in this episode.
    pub fn first_resent(&self) -> Option<Instant> {
        self.first_resent
    }

    /// Everything that was sent again has been acknowledged.
    pub fn forget_first_resent(&mut self) {
        self.first_resent = None;
    }

    /// A segment was sent again.
    pub fn on_resent(&mut self, now: Instant) {
        self.first_resent.get_or_insert(now);
        if let Some(undo) = &mut self.undo {
            undo.copies = Some(undo.copies.unwrap_or(0).saturating_add(1));
        }
    }

    /// A reaction begins at `una`, which changes what `before` says, while `copies` are on their way that were sent before
    /// (Linux: `tcp_init_undo`).
    pub fn begin(&mut self, una: SeqNum, copies: u32, before: Option<Snapshot>) {
        self.undo = Some(Undo { marker: una, copies: (copies > 0).then_some(copies), before });
    }

    /// There was congestion: the reduction stands.
    pub fn keep_reduction(&mut self) {
        if let Some(undo) = &mut self.undo {
            undo.before = None;
        }
    }

    /// The last reaction cannot be taken back any more.
    pub fn forget_undo(&mut self) {
        self.undo = None;
    }

    /// Where the last reaction began, while it may be taken back.
    pub fn undo_marker(&self) -> Option<SeqNum> {
        self.undo.map(|undo| undo.marker)
    }

    /// What the reaction changed, which is now taken back.
    pub fn take_undo(&mut self) -> Option<Snapshot> {
        self.undo.take().and_then(|undo| undo.before)
    }

    /// D-SACK reports that `segments` ending at `end` were sent once too often.
    pub fn on_unneeded(&mut self, end: SeqNum, segments: u32) {
        if let Some(undo) = &mut self.undo
            && end.after(undo.marker)
        {
            undo.copies = undo.copies.map(|copies| copies.saturating_sub(segments));
        }
    }

    /// Whether every copy that was sent proved unneeded.
    pub fn all_unneeded(&self) -> bool {
        self.undo.is_some_and(|undo| undo.copies == Some(0))
    }

    /// Whether the reaction was for nothing: all copies were unneeded, or what arrived was `delayed` (Linux: `tcp_may_undo`).
    pub fn may_undo(&self, delayed: bool) -> bool {
        self.undo.is_some() && (delayed || self.all_unneeded())
    }

    /// Whether what was acknowledged now was sent before anything was sent again, by its timestamp `echoed` (RFC 3522; Linux:
    /// `tcp_packet_delayed`). With nothing sent again it was, unless without SACK that is forgotten at the end.
    pub fn is_delayed(&self, echoed: Option<u64>, una: SeqNum, sack: bool) -> bool {
        match self.first_resent {
            Some(first) => echoed.is_some_and(|echoed| echoed < first.as_millis()),
            None => sack || una.before(self.high),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Instant = Instant::from_millis(5000);

    fn seq(offset: u32) -> SeqNum {
        SeqNum(u32::MAX - 100) + offset
    }

    /// Linux: `undo_retrans`.
    #[test]
    fn a_reaction_is_for_nothing_once_every_copy_was_unneeded() {
        let mut recovery = Recovery::new(seq(1000));
        recovery.begin(seq(0), 0, None);
        assert!(!recovery.all_unneeded(), "no copy was sent");
        recovery.on_resent(AT);
        recovery.on_resent(AT);
        recovery.on_unneeded(seq(0), 5);
        assert!(!recovery.all_unneeded(), "that was before the reaction");
        recovery.on_unneeded(seq(100), 1);
        assert!(!recovery.may_undo(false));
        recovery.on_unneeded(seq(200), 9);
        assert!(recovery.may_undo(false));
        assert_eq!((recovery.take_undo(), recovery.may_undo(true)), (None, false), "once");
        recovery.begin(seq(0), 1, None);
        recovery.on_unneeded(seq(100), 1);
        assert!(recovery.all_unneeded(), "a copy that was on its way already");
    }

    /// RFC 3522, section 3.2; Linux: `tcp_packet_delayed`.
    #[test]
    fn what_was_sent_before_the_first_copy_was_delayed() {
        let mut recovery = Recovery::new(seq(1000));
        assert!(recovery.is_delayed(None, seq(1000), true), "nothing was sent again");
        assert!(!recovery.is_delayed(None, seq(1000), false), "forgotten, without SACK");
        recovery.on_resent(AT);
        for (echoed, delayed) in [(None, false), (Some(4999), true), (Some(5000), false)] {
            assert_eq!(recovery.is_delayed(echoed, seq(0), true), delayed, "{echoed:?}");
        }
    }
}
