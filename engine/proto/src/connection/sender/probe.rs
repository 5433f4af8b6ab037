//! The tail loss probe: RFC 8985, section 7; Linux: `tcp_send_loss_probe`, `tcp_process_tlp_ack`.
//!
//! When a flight's last segments are lost nothing comes back that would tell of it. The probe, one segment more or the last
//! once again, makes the peer say what it has long before the retransmission timer would fire.

use super::Sender;
use super::acks::Walk;
use super::flight::{Flight, Forced, Rearm};
use crate::connection::recovery::CaState;
use crate::connection::rtt;
use crate::connection::scoreboard::Findings;
use crate::{Counter, Instant, SeqNum};
use core::time::Duration;

/// What a probe waits beyond two round trips when more than one segment is in flight (Linux: `TCP_TIMEOUT_MIN_US`).
const SLACK: Duration = Duration::from_millis(2);

/// A probe that is not answered yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TailLoss {
    /// SND.NXT when it was sent (TLP.end_seq).
    pub end: SeqNum,
    /// Whether it was a segment sent again (TLP.is_retrans).
    pub is_copy: bool,
}

impl Sender {
    /// Whether a probe makes sense (RFC 8985, section 7.2): the peer reports what it has, and nothing is amiss.
    pub(super) fn may_probe(&self, flight: &Flight) -> bool {
        self.sack && matches!(flight.recovery.state, CaState::Open | CaState::Cwr)
    }

    /// The probe timeout (RFC 8985, section 7.2): two round trips, and for a single segment the longest that its acknowledgment
    /// may be delayed (Linux: `tcp_schedule_loss_probe`).
    pub(super) fn probe_timeout(&self, flight: &Flight) -> Duration {
        let delay = if flight.board.outstanding() == 1 { rtt::MIN } else { SLACK };
        self.rtt.smoothed().map_or(rtt::INITIAL, |smoothed| 2 * smoothed + delay)
    }

    /// The probe timer fired. At most one probe is outstanding.
    pub fn on_probe_timer(&mut self) {
        if let Some(flight) = &mut self.flight {
            match flight.probe {
                None => flight.forced = Some(Forced::Probe),
                Some(_) => flight.rearm = Rearm::Late,
            }
        }
    }

    /// A probe was sent.
    pub(super) fn on_probe_sent(&mut self, flight: &mut Flight, is_copy: bool) {
        flight.probe = Some(TailLoss { end: self.nxt, is_copy });
        flight.count(Counter::TCPLossProbes);
        flight.rearm = Rearm::Restart;
    }

    /// RFC 8985, section 7.4.2: an acknowledgment of what the probe covers says whether the probe repaired a loss. Then the
    /// window is reduced as by a recovery of one round trip.
    pub(super) fn check_probe(&mut self, flight: &mut Flight, walk: &Walk, findings: &Findings) {
        let Some(TailLoss { end, is_copy }) = flight.probe.filter(|probe| !walk.ack.before(probe.end)) else { return };
        if !is_copy || findings.dsacks_probe {
            // New data, or both copies arrived.
            flight.probe = None;
        } else if walk.ack.after(end) {
            flight.probe = None;
            self.reduce(flight);
            flight.recovery.state = CaState::Cwr;
            self.end_reduction(flight);
            self.keep_open(flight);
            flight.count(Counter::TCPLossProbeRecovery);
        } else if findings.is_duplicate() && !findings.sacks {
            flight.probe = None;
        }
    }

    /// When the retransmission timer would fire for the oldest segment (Linux: `tcp_rto_delta_us`).
    pub(super) fn oldest_due(&self, flight: &Flight, now: Instant) -> Instant {
        flight.board.head_sent().unwrap_or(now) + self.rtt.rto()
    }
}
