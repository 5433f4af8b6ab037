//! What happens when a timer fires.

use super::closing::Stage;
use super::config::Settings;
use super::keepalive::Silence;
use super::persist::{Due, ORPHAN_RETRIES};
use super::rtt;
use super::synchronised::{Context, Synchronised};
use super::timers::{SLOTS, Timer};
use super::{Decision, Events, Failure};
use crate::{Counter, Verdict};
use core::mem;

impl Synchronised {
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
                Timer::Persist => self.on_persist(context.settings),
                Timer::DelayedAck => {
                    self.count(&[Counter::DelayedACKs]);
                    self.receiver.acks.on_timer(self.sender.rtt().rto());
                }
                Timer::Keepalive => verdict = self.on_keepalive_timer(context),
                Timer::FinWait2 => self.end(Stage::Closed(None)),
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
        // A window that was taken back turns retransmissions into probes: while the peer answers them it is alive
        // (MUST-35, MUST-36; Linux: `tcp_rtx_probe0_timed_out`).
        let probing = self.sender.window() == 0 && !self.detached && context.now - self.heard <= 2 * rtt::MAX;
        if self.sender.timeouts() >= self.retries(context.settings) && !probing {
            self.give_up();
            return Events::empty();
        }
        self.count(&[Counter::TCPTimeouts]);
        let events = self.review_path(context);
        self.sender.on_timeout(context.now);
        events
    }

    fn on_persist(&mut self, settings: &Settings) {
        if !self.persist.on_timer(self.sender.window(), settings.retries, self.detached) {
            return self.give_up();
        }
        if self.persist.due == Due::Probe {
            self.count(&[Counter::TCPWinProbe]);
        }
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

    /// Retransmissions in a row before the connection is given up: fewer when nobody waits for it (Linux:
    /// `tcp_orphan_retries`).
    fn retries(&self, settings: &Settings) -> u8 {
        if self.detached { settings.retries.min(ORPHAN_RETRIES) } else { settings.retries }
    }

    /// Nobody answers. If a router said why, the application learns that (RFC 9293, section 3.9.2.2; Linux:
    /// `tcp_write_err`).
    fn give_up(&mut self) {
        self.count(&[Counter::TCPAbortOnTimeout]);
        self.end(Stage::Closed(Some(self.soft_error.unwrap_or(Failure::TimedOut))));
    }
}
