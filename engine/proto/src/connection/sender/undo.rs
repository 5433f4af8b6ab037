//! Reactions to losses that prove wrong are taken back: Eifel (RFC 3522, RFC 4015), D-SACK (RFC 3708) and F-RTO (RFC 5682);
//! Linux: `tcp_try_undo_*`, `tcp_process_loss`.

use super::Sender;
use super::acks::Walk;
use super::flight::Flight;
use crate::Counter;
use crate::connection::recovery::CaState;
use crate::connection::scoreboard::Findings;

impl Sender {
    /// A timeout is being recovered from (Linux: `tcp_process_loss`).
    pub(super) fn recover_from_timeout(&mut self, flight: &mut Flight, walk: &Walk, findings: &mut Findings) {
        if findings.advanced && self.may_undo(flight, walk) {
            return self.undo_timeout(flight);
        }
        let recovered = !self.una.before(flight.recovery.high);
        if flight.recovery.frto {
            // RFC 5682, section 3.1, step 3b: something that was sent before the timeout and not since has arrived.
            if findings.original_arrived {
                flight.count(Counter::TCPSpuriousRTOs);
                self.undo_timeout(flight);
                flight.recovery.state = CaState::Open;
                return;
            }
            if self.nxt.after(flight.recovery.high) {
                // Step 3a: what was new has arrived before what was outstanding.
                flight.recovery.frto = !findings.sacks && !findings.is_duplicate();
            } else if findings.advanced && !recovered {
                // Step 2b: new data instead of what is outstanding, to see which is acknowledged.
                flight.recovery.high = self.nxt;
                flight.recovery.holds_back = true;
                return;
            }
        }
        if recovered {
            self.finish_recovery(flight, walk);
        } else if !self.sack {
            // A duplicate tells of what was sent since, in step 2b.
            if self.nxt.after(flight.recovery.high) && findings.is_duplicate() {
                self.note_duplicate(flight, findings);
            } else if findings.advanced {
                flight.board.forget_duplicates();
            }
        }
    }

    /// RFC 5682, section 3.1, step 2b: where no new data can go, recovery is the conventional one.
    pub(super) fn give_up_frto(&self, flight: &mut Flight) {
        let can_send = self.next_new(flight, self.mss.into(), super::Patience::NoDelay).is_some();
        if flight.recovery.frto && flight.recovery.holds_back && !can_send {
            flight.recovery.frto = false;
            flight.recovery.holds_back = false;
        }
    }

    /// Everything is acknowledged that was outstanding when recovery began (Linux: `tcp_try_undo_recovery`). True when the state
    /// stays as it is: without SACK until something newer is acknowledged, so that echoes of what was sent twice begin no
    /// other recovery (RFC 6582, section 4).
    pub(super) fn finish_recovery(&mut self, flight: &mut Flight, walk: &Walk) -> bool {
        if self.may_undo(flight, walk) {
            let timed_out = flight.recovery.state == CaState::Loss;
            flight.count(if timed_out { Counter::TCPLossUndo } else { Counter::TCPFullUndo });
            self.undo(flight);
        } else {
            self.reordering.on_recovered();
        }
        if !self.sack && self.una == flight.recovery.high {
            flight.forget_old_copies();
            return true;
        }
        flight.recovery.state = CaState::Open;
        false
    }

    /// A partial acknowledgment during fast recovery, of something that was only delayed (Linux: `tcp_try_undo_partial`). True
    /// when nothing is to be sent again for now: copies are on their way that were not needed.
    pub(super) fn undo_partial(&mut self, flight: &mut Flight, walk: &Walk) -> bool {
        let delayed = flight.recovery.is_delayed(walk.echoed, self.una, self.sack);
        if flight.recovery.undo_marker().is_none() || !delayed {
            return false;
        }
        self.note_reordering(flight, walk.prior, Counter::TCPTSReorder);
        if flight.board.resent() > 0 {
            flight.recovery.holds_back = true;
            return true;
        }
        flight.forget_old_copies();
        flight.board.unmark_losses();
        self.undo(flight);
        flight.count(Counter::TCPPartialUndo);
        self.keep_open(flight);
        false
    }

    /// D-SACK has reported every copy as unneeded (Linux: `tcp_try_undo_dsack`).
    pub(super) fn undo_by_dsack(&mut self, flight: &mut Flight) -> bool {
        let unneeded = flight.recovery.all_unneeded();
        if unneeded {
            self.reordering.on_undone();
            self.undo(flight);
            flight.count(Counter::TCPDSACKUndo);
        }
        unneeded
    }

    fn may_undo(&self, flight: &Flight, walk: &Walk) -> bool {
        flight.recovery.may_undo(flight.recovery.is_delayed(walk.echoed, self.una, self.sack))
    }

    /// The timeout was for nothing (Linux: `tcp_try_undo_loss`).
    fn undo_timeout(&mut self, flight: &mut Flight) {
        flight.board.unmark_losses();
        self.undo(flight);
        flight.count(Counter::TCPLossUndo);
        flight.timeouts = 0;
        if self.sack {
            flight.recovery.state = CaState::Open;
        }
    }

    /// Linux: `tcp_undo_cwnd_reduction`.
    fn undo(&mut self, flight: &mut Flight) {
        if let Some(before) = flight.recovery.take_undo() {
            self.congestion.undo(&mut flight.growth, &before, self.mss.into());
            self.cwr = false;
        }
        flight.rack.look_again();
    }
}
