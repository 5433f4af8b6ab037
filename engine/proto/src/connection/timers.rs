//! The timers of a connection: one small array, no allocation.

use crate::Instant;

/// A timer that a synchronised connection may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// Retransmission (RFC 6298, section 5). Runs exactly while something is unacknowledged.
    Retransmit,
    /// Zero-window probe, or the override of sender SWS avoidance (RFC 9293, sections 3.8.6.1 and 3.8.6.2.1).
    Persist,
    /// Delayed acknowledgment (RFC 9293, section 3.8.6.3).
    DelayedAck,
    /// Keepalive (RFC 9293, section 3.8.4).
    Keepalive,
    /// FIN-WAIT-2 after the application has closed (Linux: `tcp_fin_timeout`).
    FinWait2,
}

impl Timer {
    /// Every timer, in the order in which those that are due together run.
    pub const ALL: [Self; 5] = [Self::Retransmit, Self::Persist, Self::DelayedAck, Self::Keepalive, Self::FinWait2];

    /// The name that `ss -o` prints, where it has one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retransmit => "on",
            Self::Persist => "persist",
            Self::DelayedAck => "delayed_ack",
            Self::Keepalive => "keepalive",
            Self::FinWait2 => "fin_wait_2",
        }
    }
}

/// A deadline that never comes.
const OFF: Instant = Instant::from_nanos(u64::MAX);

/// When each timer fires.
#[derive(Clone, Debug)]
pub(super) struct Timers([Instant; Timer::ALL.len()]);

impl Timers {
    /// No timer runs.
    pub const OFF: Self = Self([OFF; Timer::ALL.len()]);

    /// Starts or restarts `timer`.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = at;
    }

    /// Starts `timer` unless it runs already.
    pub fn set_if_off(&mut self, timer: Timer, at: Instant) {
        if !self.runs(timer) {
            self.set(timer, at);
        }
    }

    /// Stops `timer`.
    pub fn clear(&mut self, timer: Timer) {
        self.set(timer, OFF);
    }

    /// Stops all timers.
    pub fn clear_all(&mut self) {
        *self = Self::OFF;
    }

    /// Whether `timer` runs.
    pub fn runs(&self, timer: Timer) -> bool {
        self.0[timer as usize] != OFF
    }

    /// Stops `timer` and says so when it is due.
    pub fn take_due(&mut self, timer: Timer, now: Instant) -> bool {
        let due = self.runs(timer) && self.0[timer as usize] <= now;
        if due {
            self.clear(timer);
        }
        due
    }

    /// The timer that fires first.
    pub fn next(&self) -> Option<(Timer, Instant)> {
        let nearest = Timer::ALL.into_iter().min_by_key(|&timer| self.0[timer as usize])?;
        self.runs(nearest).then(|| (nearest, self.0[nearest as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::{Timer, Timers};
    use crate::Instant;

    #[test]
    fn indices_match_the_list() {
        for (index, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, index);
        }
    }

    #[test]
    fn the_nearest_timer_is_reported_and_taken_once() {
        let mut timers = Timers::OFF;
        assert_eq!(timers.next(), None);
        timers.set(Timer::Keepalive, Instant::from_millis(9));
        timers.set(Timer::Retransmit, Instant::from_millis(5));
        timers.set_if_off(Timer::Retransmit, Instant::from_millis(1));
        assert_eq!(timers.next(), Some((Timer::Retransmit, Instant::from_millis(5))));
        assert!(!timers.take_due(Timer::Retransmit, Instant::from_millis(4)));
        assert!(timers.take_due(Timer::Retransmit, Instant::from_millis(5)));
        assert!(!timers.take_due(Timer::Retransmit, Instant::from_millis(5)));
        assert_eq!(timers.next(), Some((Timer::Keepalive, Instant::from_millis(9))));
    }
}
