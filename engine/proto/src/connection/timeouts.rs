//! What happens when a timer fires.

use super::closing::Stage;
use super::config::Settings;
use super::keepalive::Silence;
use super::persist::{Due, ORPHAN_RETRIES};
use super::rtt;
use super::synchronised::{Context, Synchronised};
use super::timers::{SLOTS, Timer};
use super::{Decision, Events, Failure};
use crate::{Counter, Instant, Verdict};
use core::mem;
use core::time::Duration;

impl Synchronised {
    /// When something is to be done next.
    pub fn deadline(&self) -> Option<Instant> {
        let timer = self.timers.next().map(|(_, at)| at);
        let paced = self.sender.paced_at().filter(|_| !self.stage.is_over());
        timer.into_iter().chain(paced).min()
    }

    /// Runs the timers that are due. A reply in the verdict is a reset to send.
    pub fn on_timer(&mut self, context: &Context<'_>) -> Decision {
        let (mut verdict, mut events) = (Verdict::CONSUMED, Events::empty());
        for slot in 0..SLOTS {
            let Some(timer) = self.timers.take_due(slot, context.now) else { continue };
            match timer {
                Timer::Retransmit => events = self.on_retransmit(context),
                Timer::Probe => self.sender.on_probe_timer(),
                Timer::Reorder => {
                    let counts = self.sender.on_reorder_timer(context.now);
                    self.counts = self.counts.and(counts);
                }
                Timer::Forget => self.sender.forget_recovery(),
                Timer::Persist => self.on_persist(context),
                Timer::DelayedAck => {
                    self.count(&[Counter::DelayedACKs]);
                    self.receiver.acks.on_timer(self.sender.rtt().rto());
                }
                Timer::Keepalive => verdict = self.on_keepalive_timer(context),
                Timer::FinWait2 => verdict = self.on_fin_wait_2(context),
            }
        }
        self.arm_timers(context.now, context.settings);
        Decision { verdict: verdict.counting(mem::take(&mut self.counts)), events: events | self.ending() }
    }

    /// RFC 6298, sections 5.4 to 5.6; Linux: `tcp_retransmit_timer`.
    fn on_retransmit(&mut self, context: &Context<'_>) -> Events {
        if !self.sender.outstanding() {
            return Events::empty();
        }
        // A window that was taken back turns retransmissions into probes.
        let probing = self.sender.window() == 0 && !self.detached;
        if !probing {
            self.count(&[Counter::TCPTimeouts]);
        }
        if self.is_futile(context, probing) {
            self.give_up();
            return Events::empty();
        }
        let events = self.review_path(context);
        self.sender.on_timeout(context.now);
        events
    }

    /// Whether the peer has been silent long enough (R2 of RFC 9293, section 3.8.3; Linux: `retransmits_timed_out`): for the time
    /// that so many retransmissions take, or for the user timeout (RFC 5482).
    fn is_futile(&self, context: &Context<'_>, probing: bool) -> bool {
        let (now, settings) = (context.now, context.settings);
        let Some(first) = self.sender.first_resent().filter(|_| self.sender.timeouts() > 0) else { return false };
        let user_timeout = settings.user_timeout.map(Duration::from);
        if probing {
            // While the peer answers it is alive (MUST-35, MUST-36; Linux: `tcp_rtx_probe0_timed_out`), but the application may
            // set a limit to that.
            let patience = user_timeout.map_or(2 * rtt::MAX, |limit| limit.min(2 * rtt::MAX));
            let silent = now - self.heard > patience && now - first > patience;
            return silent || user_timeout.is_some_and(|limit| now - first >= limit);
        }
        now - first >= user_timeout.unwrap_or_else(|| rtt::time_of(self.retries(settings)))
    }

    /// A retransmission timer that the user timeout cuts short (Linux: `tcp_clamp_rto_to_user_timeout`).
    pub(super) fn within_user_timeout(&self, at: Instant, now: Instant, settings: &Settings) -> Instant {
        match (settings.user_timeout, self.sender.first_resent()) {
            (Some(limit), Some(first)) if self.sender.timeouts() > 0 => at.min((first + limit.into()).max(now)),
            (Some(_) | None, _) => at,
        }
    }

    fn on_persist(&mut self, context: &Context<'_>) {
        let settings = context.settings;
        let since = self.sender.probing_since(context.now);
        let expired = settings.user_timeout.is_some_and(|limit| context.now - since >= limit.into());
        if expired || !self.persist.on_timer(self.sender.window(), settings.retries, self.detached) {
            return self.give_up();
        }
        if self.persist.due == Due::Probe {
            self.count(&[Counter::TCPWinProbe]);
        }
    }

    /// The peer had its time to end its stream. With none at all (TCP_LINGER2 below zero in Linux) it is told.
    fn on_fin_wait_2(&mut self, context: &Context<'_>) -> Verdict {
        let at_once = context.settings.linger.is_some_and(|linger| Duration::from(linger).is_zero());
        let head = at_once.then(|| self.reset(context));
        if at_once {
            self.count(&[Counter::TCPAbortOnLinger]);
        }
        self.end(Stage::Closed(None));
        Verdict { reply: head, ..Verdict::CONSUMED }
    }

    fn on_keepalive_timer(&mut self, context: &Context<'_>) -> Verdict {
        match self.on_keepalive(context.now, context.settings) {
            Silence::Short => Verdict::CONSUMED,
            Silence::Probe => {
                self.count(&[Counter::TCPKeepAlive]);
                Verdict::CONSUMED
            }
            Silence::Dead => {
                let head = self.reset(context);
                self.give_up();
                Verdict::CONSUMED.reply(head)
            }
        }
    }

    /// Retransmissions before the connection is given up: fewer when nobody waits for it, and none any more when the RTO cannot
    /// grow (Linux: `tcp_orphan_retries`).
    fn retries(&self, settings: &Settings) -> u8 {
        match self.detached {
            false => settings.retries,
            true if self.sender.rtt().rto() < rtt::MAX => settings.retries.min(ORPHAN_RETRIES),
            true => 0,
        }
    }

    /// Nobody answers. If a router said why, the application learns that (RFC 9293, section 3.9.2.2; Linux:
    /// `tcp_write_err`).
    fn give_up(&mut self) {
        self.count(&[Counter::TCPAbortOnTimeout]);
        self.end(Stage::Closed(Some(self.soft_error.unwrap_or(Failure::TimedOut))));
    }
}
