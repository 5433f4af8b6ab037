//! How a sender reacts to what an acknowledgment reveals: RFC 6675, RFC 8985 and RFC 6582 in the states of Linux
//! (`tcp_fastretrans_alert`).

use super::Sender;
use super::acks::Walk;
use super::flight::{Flight, Rearm};
use crate::Counter;
use crate::connection::congestion::Prr;
use crate::connection::rack::Rack;
use crate::connection::recovery::CaState;
use crate::connection::scoreboard::{Findings, Overdue};
use core::mem;
use core::time::Duration;

/// How long at least a peer that seems to have dropped what it had reported may take to say otherwise (Linux:
/// `tcp_check_sack_reneging`).
const RENEGING: Duration = Duration::from_millis(10);

/// Segments that limited transmit may send (RFC 3042, section 2).
const LIMITED_TRANSMIT: u32 = 2;

impl Sender {
    /// Reacts to an acknowledgment that is not just one more.
    pub(super) fn react(&mut self, flight: &mut Flight, walk: &Walk, findings: &mut Findings) {
        if findings.ece {
            flight.recovery.keep_reduction();
        }
        if findings.reneged && findings.advanced {
            // Wait for the hole to be filled after all, but not for the whole RTO (RFC 2018, section 8).
            let patience = self.rtt.smoothed().unwrap_or_default() / 2;
            flight.rearm = Rearm::Suspect(patience.max(RENEGING));
            return;
        }
        if self.reaches_end(flight, walk) {
            return;
        }
        match flight.recovery.state {
            CaState::Recovery => self.recover(flight, walk, findings),
            CaState::Loss => {
                self.recover_from_timeout(flight, walk, findings);
                self.find_losses(flight, walk, findings);
                // A timeout that was for nothing, or copies that were lost: what follows is ordinary recovery.
                if flight.recovery.state == CaState::Open || findings.lost_again {
                    self.watch(flight, walk, findings);
                }
            }
            CaState::Open | CaState::Disorder | CaState::Cwr => self.watch(flight, walk, findings),
        }
    }

    /// Whether the state's end is reached and nothing remains to be done.
    fn reaches_end(&mut self, flight: &mut Flight, walk: &Walk) -> bool {
        match flight.recovery.state {
            CaState::Open => flight.recovery.forget_first_resent(),
            _ if self.una.before(flight.recovery.high) => {}
            // Held until something above is acknowledged: CWR has reached the receiver then.
            CaState::Cwr if self.una != flight.recovery.high => {
                self.end_reduction(flight);
                flight.recovery.state = CaState::Open;
            }
            CaState::Recovery => {
                if !self.sack {
                    flight.board.forget_duplicates();
                }
                if self.finish_recovery(flight, walk) {
                    return true;
                }
                self.end_reduction(flight);
            }
            CaState::Cwr | CaState::Disorder | CaState::Loss => {}
        }
        false
    }

    /// Fast recovery goes on.
    fn recover(&mut self, flight: &mut Flight, walk: &Walk, findings: &mut Findings) {
        if !findings.advanced {
            self.note_duplicate(flight, findings);
        } else if self.undo_partial(flight, walk) {
            return;
        }
        if self.undo_by_dsack(flight) {
            self.try_to_open(flight, findings);
        }
        self.find_losses(flight, walk, findings);
        // Where recovery was taken back and losses are evident all the same, another one begins.
        if flight.recovery.state != CaState::Recovery && flight.board.lost() > 0 {
            self.enter_recovery(flight, findings);
        }
    }

    /// Nothing was believed lost so far.
    fn watch(&mut self, flight: &mut Flight, walk: &Walk, findings: &mut Findings) {
        if !self.sack && findings.advanced {
            flight.board.forget_duplicates();
        }
        self.note_duplicate(flight, findings);
        if flight.recovery.state <= CaState::Disorder {
            self.undo_by_dsack(flight);
        }
        self.find_losses(flight, walk, findings);
        if flight.board.lost() > 0 {
            self.enter_recovery(flight, findings);
        } else {
            self.try_to_open(flight, findings);
        }
    }

    /// Without SACK a duplicate acknowledgment stands for a segment that has arrived (Linux: `tcp_add_reno_sack`).
    pub(super) fn note_duplicate(&mut self, flight: &mut Flight, findings: &mut Findings) {
        if !self.sack && findings.is_duplicate() && !flight.board.on_duplicate(findings) {
            self.note_reno_reordering(flight, flight.board.outstanding());
        }
    }

    /// More duplicates than can be: reordering.
    pub(super) fn note_reno_reordering(&mut self, flight: &mut Flight, segments: u32) {
        self.reordering.on_overtaken(segments);
        flight.count(Counter::TCPRenoReorder);
    }

    /// Marks what is lost (Linux: `tcp_identify_packet_loss`).
    fn find_losses(&mut self, flight: &mut Flight, walk: &Walk, findings: &mut Findings) {
        if flight.board.outstanding() == 0 {
            return;
        }
        if self.sack {
            if flight.rack.take_advanced() {
                let found = self.find_overdue(flight, walk.now);
                findings.lost += found.lost;
                findings.lost_again |= found.lost_again > 0;
            }
            return;
        }
        // RFC 6582, section 3.2, steps 2 and 3: the first after three duplicates, the next with each partial acknowledgment.
        let state = flight.recovery.state;
        let three = state < CaState::Recovery && flight.board.sacked() >= self.reordering.degree().into();
        if three || state == CaState::Recovery && findings.advanced {
            findings.lost += flight.board.mark_head_lost();
        }
    }

    /// Marks what RACK finds overdue, and sees to it that the rest is looked at again.
    pub(super) fn find_overdue(&mut self, flight: &mut Flight, now: crate::Instant) -> Overdue {
        let recovering = flight.recovery.state >= CaState::Recovery;
        let window = Rack::window(&self.reordering, &self.rtt, recovering, flight.board.sacked());
        let (found, again) = flight.rack.detect(now, &mut flight.board, window);
        if let Some(at) = again {
            flight.rearm = Rearm::Reorder(at);
        }
        if found.lost_again > 0 {
            flight.count(Counter::TCPLostRetransmit);
        }
        found
    }

    /// Something is lost: fast recovery begins (Linux: `tcp_enter_recovery`).
    pub(super) fn enter_recovery(&mut self, flight: &mut Flight, findings: &Findings) {
        flight.count(if self.sack { Counter::TCPSackRecovery } else { Counter::TCPRenoRecovery });
        flight.forget_old_copies();
        let reducing = flight.recovery.is_reducing();
        let before = (!reducing && !findings.ece).then(|| self.congestion.snapshot(&flight.growth));
        let copies = flight.board.resent() + u32::from(flight.probe.is_some_and(|probe| probe.is_copy));
        flight.recovery.begin(self.una, copies, before);
        if !reducing {
            self.reduce(flight);
        }
        flight.recovery.state = CaState::Recovery;
        flight.recovery.holds_back = false;
    }

    /// The window is to come down to what congestion control allows (Linux: `tcp_init_cwnd_reduction`).
    pub(super) fn reduce(&mut self, flight: &mut Flight) {
        let mss = self.mss.into();
        flight.recovery.high = self.nxt;
        let unanswered = mem::take(&mut flight.unanswered).min(LIMITED_TRANSMIT);
        let held = flight.before + unanswered;
        flight.recovery.prr = Prr::new(held.saturating_mul(mss)).owing(unanswered.saturating_mul(mss));
        flight.probe = None;
        // As in Linux, from the window, not from what is in flight: a window that is not used does not grow.
        self.congestion.on_congestion(&mut flight.growth, self.congestion.window(), mss);
        self.cwr = true;
    }

    /// The window has come down, unless that was taken back (Linux: `tcp_end_cwnd_reduction`).
    pub(super) fn end_reduction(&mut self, flight: &mut Flight) {
        if flight.recovery.state == CaState::Cwr || flight.recovery.undo_marker().is_some() {
            self.congestion.set_window(self.congestion.threshold(), self.mss.into());
        }
    }

    /// Whether all is well again, or an ECN echo begins a reduction (Linux: `tcp_try_to_open`).
    fn try_to_open(&mut self, flight: &mut Flight, findings: &Findings) {
        flight.forget_old_copies();
        // RFC 3168, section 6.1.2: once per window of data.
        if findings.ece && flight.recovery.state < CaState::Cwr {
            flight.recovery.forget_undo();
            self.reduce(flight);
            flight.recovery.state = CaState::Cwr;
        }
        if flight.recovery.state != CaState::Cwr {
            self.keep_open(flight);
        }
    }

    /// Open, or disordered while something is reported missing (Linux: `tcp_try_keep_open`).
    pub(super) fn keep_open(&mut self, flight: &mut Flight) {
        let board = &flight.board;
        let disordered = board.sacked() + board.lost() > 0 || board.any_resent();
        let state = if disordered { CaState::Disorder } else { CaState::Open };
        if flight.recovery.state != state {
            flight.recovery.state = state;
            flight.recovery.high = self.nxt;
        }
    }
}
