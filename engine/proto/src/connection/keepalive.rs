//! Keepalive: RFC 9293, section 3.8.4; Linux: `tcp_keepalive_timer`.

use super::config::Settings;
use super::synchronised::Synchronised;
use super::timers::Timer;
use crate::Instant;
use core::num::NonZeroU8;
use core::time::Duration;

/// The state of keepalive probing.
#[derive(Clone, Debug)]
pub(super) struct KeepaliveState {
    /// Whether a probe is to be sent now.
    pub due: bool,
    /// Probes since the peer last sent something.
    unanswered: u8,
}

impl KeepaliveState {
    /// Not probing.
    pub const IDLE: Self = Self { due: false, unanswered: 0 };
}

/// What the keepalive timer found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Silence {
    /// There was none, or too little.
    Short,
    /// A probe is due.
    Probe,
    /// As many probes as are allowed went unanswered (MUST-26).
    Dead,
}

impl Synchronised {
    /// Starts, restarts or stops the timer as `settings` say.
    pub fn start_keepalive(&mut self, now: Instant, settings: &Settings) {
        self.keepalive = KeepaliveState::IDLE;
        match settings.keepalive {
            Some(times) if !self.stage.is_over() => self.timers.set(Timer::Keepalive, now + Duration::from(times.idle)),
            Some(_) | None => self.timers.clear(Timer::Keepalive),
        }
    }

    /// The peer sent something acceptable.
    pub fn on_heard(&mut self, now: Instant) {
        self.heard = now;
        self.soft_error = None;
        self.keepalive = KeepaliveState::IDLE;
        self.persist.on_answer();
    }

    /// The timer fired. It is not restarted by each segment: only here is it seen how long the silence has lasted. While
    /// data is on its way the retransmission and persist timers watch the peer.
    pub fn on_keepalive(&mut self, now: Instant, settings: &Settings) -> Silence {
        let Some(times) = settings.keepalive else { return Silence::Short };
        let (idle, silent) = (Duration::from(times.idle), now - self.heard);
        let (verdict, next) = if self.sender.busy() {
            (Silence::Short, now + idle)
        } else if silent < idle {
            (Silence::Short, self.heard + idle)
        } else if self.is_dead(silent, times.probes, settings) {
            return Silence::Dead;
        } else {
            (Silence::Probe, now + Duration::from(times.interval))
        };
        if verdict == Silence::Probe {
            self.keepalive.due = true;
            self.keepalive.unanswered += 1;
        }
        self.timers.set(Timer::Keepalive, next);
        verdict
    }

    /// Whether enough probes went unanswered, or one did and the user timeout is over, which counts instead (`tcp(7)`).
    fn is_dead(&self, silent: Duration, probes: NonZeroU8, settings: &Settings) -> bool {
        match settings.user_timeout {
            Some(limit) => self.keepalive.unanswered > 0 && silent >= limit.into(),
            None => self.keepalive.unanswered >= probes.get(),
        }
    }
}
