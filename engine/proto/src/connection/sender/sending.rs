//! What happens when something is sent, and when a timer says that it should be.

use super::flight::{Flight, Forced, Rearm};
use super::{Patience, Sender, Slice};
use crate::Instant;
use crate::connection::congestion::Timeout;
use crate::connection::recovery::{CaState, Cause};
use crate::connection::timers::Timer;
use crate::{Counter, Counts};
use core::mem;

/// What is to become of the timer of the send side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::connection) enum SendTimer {
    /// It goes on.
    Keep,
    /// It is this one now.
    Set(Timer, Instant),
    /// None runs.
    Off,
}

impl Sender {
    /// `slice` was sent. Returns the counters to raise.
    pub fn sent(&mut self, now: Instant, slice: &Slice) -> Counts {
        let Some(mut flight) = self.flight.take() else { return Counts::NONE };
        flight.forced = None;
        flight.unanswered = 0;
        match slice.again {
            Some(cause) => self.sent_again(&mut flight, now, slice, cause),
            None => self.sent_new(&mut flight, now, slice),
        }
        self.last_sent = now;
        flight.pacing.spend(now);
        let counts = mem::take(&mut flight.counts);
        self.flight = Some(flight);
        counts
    }

    fn sent_new(&mut self, flight: &mut Flight, now: Instant, slice: &Slice) {
        self.nxt = slice.end();
        flight.board.transmitted(now, self.nxt);
        if slice.len < u32::from(self.mss) {
            flight.short_end = self.nxt;
        }
        flight.note_usage(self.una, self.nxt);
        if flight.recovery.is_reducing() {
            flight.recovery.prr.on_sent(self.mss.into());
        }
        flight.rearm = Rearm::Sent;
        if slice.probe {
            self.on_probe_sent(flight, false);
        }
    }

    fn sent_again(&mut self, flight: &mut Flight, now: Instant, slice: &Slice, cause: Cause) {
        flight.board.retransmitted(now, slice.seq, slice.end());
        flight.recovery.on_resent(now);
        self.retransmits = self.retransmits.saturating_add(1);
        flight.count(Counter::RetransSegs);
        match cause {
            Cause::FastRetransmit => flight.count(Counter::TCPFastRetrans),
            Cause::SlowStart => flight.count(Counter::TCPSlowStartRetrans),
            Cause::Timeout => {}
            Cause::Probe => return self.on_probe_sent(flight, true),
        }
        if flight.recovery.is_reducing() {
            flight.recovery.prr.on_sent(self.mss.into());
        }
        // The timer gives the oldest segment's new copy its own time (Linux: `tcp_xmit_retransmit_queue`).
        if slice.seq == self.una && !matches!(flight.rearm, Rearm::Reorder(_)) {
            flight.rearm = Rearm::Restart;
        }
    }

    /// The retransmission timer fired (RFC 6298, section 5.4 to 5.6; RFC 5681, section 3.1; Linux: `tcp_enter_loss`).
    pub fn on_timeout(&mut self, now: Instant) {
        let Some(mut flight) = self.flight.take() else { return };
        flight.before = flight.board.missing();
        self.enter_loss(&mut flight, now);
        flight.timeouts = flight.timeouts.saturating_add(1);
        self.rtt.back_off();
        flight.forced = Some(Forced::Oldest);
        flight.rearm = Rearm::Restart;
        self.flight = Some(flight);
    }

    fn enter_loss(&mut self, flight: &mut Flight, now: Instant) {
        let (state, mss) = (flight.recovery.state, u32::from(self.mss));
        self.mark_timed_out(flight, now, state);
        let window = self.congestion.window();
        let first = state <= CaState::Disorder
            || !flight.recovery.high.after(self.una)
            || state == CaState::Loss && flight.timeouts == 0;
        if first {
            let before = self.congestion.snapshot(&flight.growth);
            self.congestion.on_timeout(&mut flight.growth, Timeout::First, window, mss);
            flight.recovery.begin(self.una, flight.board.resent(), Some(before));
        } else {
            self.congestion.on_timeout(&mut flight.growth, Timeout::Again, window, mss);
        }
        self.congestion.set_window((flight.board.in_flight() + 1).saturating_mul(mss), mss);
        // RFC 5682, section 3.1, step 1: not in a fast recovery, whose copies would be taken for what was outstanding.
        flight.recovery.frto = state < CaState::Recovery || flight.timeouts > 0;
        flight.recovery.holds_back = false;
        flight.recovery.state = CaState::Loss;
        flight.recovery.high = self.nxt;
        flight.probe = None;
        self.cwr = true;
    }

    /// RFC 8985, section 6.3. When the oldest segment was reported received the peer has dropped it since, and what else it
    /// reported is not believed either (RFC 2018, section 8).
    fn mark_timed_out(&mut self, flight: &mut Flight, now: Instant, state: CaState) {
        if state <= CaState::Disorder {
            self.reordering.on_timeout(flight.board.sacked());
        }
        let reneged = flight.board.is_head_sacked();
        if reneged {
            flight.count(Counter::TCPSACKReneging);
            flight.board.forget_sacks();
        }
        flight.board.forget_duplicates();
        let rack = flight.rack;
        let found = flight.board.mark_timed_out(|sent| self.sack && !reneged && rack.may_arrive(now, sent));
        if found.lost_again > 0 {
            flight.count(Counter::TCPLostRetransmit);
        }
    }

    /// What is in flight and longer than a segment may be from now on cannot arrive: it is sent again, in segments of the present
    /// size. That is no sign of congestion (RFC 1191, section 6.5; Linux: `tcp_simple_retransmit`).
    pub fn resend_in_flight(&mut self) {
        let Some(mut flight) = self.flight.take() else { return };
        if flight.board.mark_oversized(self.mss.into()) > 0 && flight.recovery.state != CaState::Loss {
            flight.recovery.high = self.nxt;
            flight.recovery.forget_undo();
            flight.recovery.state = CaState::Loss;
            flight.recovery.frto = false;
        }
        self.flight = Some(flight);
    }

    /// What was late has had its time (Linux: `tcp_rack_reo_timeout`).
    pub fn on_reorder_timer(&mut self, now: Instant) -> Counts {
        let Some(mut flight) = self.flight.take() else { return Counts::NONE };
        let mss = u32::from(self.mss);
        flight.before = flight.board.missing();
        flight.recovery.holds_back = false;
        let in_flight = flight.board.in_flight();
        let found = self.find_overdue(&mut flight, now);
        // Whatever may still be late now waits for an acknowledgment or the RTO: a reordering timer after another would put that off
        // for ever.
        flight.rearm = Rearm::Late;
        if flight.board.in_flight() != in_flight && flight.recovery.state != CaState::Recovery {
            self.enter_recovery(&mut flight, &Default::default());
            // One segment counts as delivered, so that the first copy goes.
            let delivery = crate::connection::congestion::Delivery {
                bytes: mss,
                in_flight: flight.board.in_flight().saturating_mul(mss),
                is_safe: found.lost == 0,
            };
            if let Some(window) = flight.recovery.prr.on_ack(&delivery, self.congestion.threshold(), mss) {
                self.congestion.set_window(window, mss);
            }
        }
        let counts = mem::take(&mut flight.counts);
        self.flight = Some(flight);
        counts
    }

    /// What the timer of the send side is to do, while `running` runs.
    pub fn send_timer(&mut self, now: Instant, running: Option<Timer>, patience: Patience) -> SendTimer {
        let Some(mut flight) = self.flight.take() else { return SendTimer::Off };
        let rearm = mem::take(&mut flight.rearm);
        let timer = if !self.outstanding() {
            self.idle_timer(&flight, now, running)
        } else {
            self.choose_timer(&flight, rearm, now, running)
        };
        flight.pacing.next = flight.pacing.until(now).filter(|_| self.waits_for_pacing(&flight, patience));
        self.flight = Some(flight);
        timer
    }

    /// While something is outstanding one of three timers runs (Linux: `tcp_set_xmit_timer`, `tcp_rearm_rto`).
    fn choose_timer(&self, flight: &Flight, rearm: Rearm, now: Instant, running: Option<Timer>) -> SendTimer {
        let rto = now + self.rtt.rto();
        let oldest_due = self.oldest_due(flight, now).max(now);
        let after_other = matches!(running, Some(Timer::Probe | Timer::Reorder));
        match rearm {
            Rearm::Restart => SendTimer::Set(Timer::Retransmit, rto),
            Rearm::Suspect(span) => SendTimer::Set(Timer::Retransmit, now + span),
            Rearm::Reorder(at) => SendTimer::Set(Timer::Reorder, at.min(rto)),
            Rearm::Sent if self.may_probe(flight) => {
                SendTimer::Set(Timer::Probe, (now + self.probe_timeout(flight)).min(oldest_due))
            }
            Rearm::Acked if self.may_probe(flight) => {
                SendTimer::Set(Timer::Probe, (now + self.probe_timeout(flight)).min(rto))
            }
            // The time that has passed since the oldest segment was sent counts.
            Rearm::Late => SendTimer::Set(Timer::Retransmit, oldest_due),
            Rearm::Acked if after_other => SendTimer::Set(Timer::Retransmit, oldest_due),
            Rearm::Acked => SendTimer::Set(Timer::Retransmit, rto),
            Rearm::Sent if running == Some(Timer::Probe) => SendTimer::Set(Timer::Retransmit, oldest_due),
            Rearm::Sent | Rearm::Keep => match running {
                Some(Timer::Retransmit | Timer::Probe | Timer::Reorder) => SendTimer::Keep,
                Some(_) | None => SendTimer::Set(Timer::Retransmit, rto),
            },
        }
    }

    /// With nothing outstanding what a recovery left behind is kept for one RTO more.
    fn idle_timer(&self, flight: &Flight, now: Instant, running: Option<Timer>) -> SendTimer {
        match running {
            Some(Timer::Forget) if flight.lingers() => SendTimer::Keep,
            _ if flight.lingers() => SendTimer::Set(Timer::Forget, now + self.rtt.rto()),
            _ => SendTimer::Off,
        }
    }
}
