//! The timers of a connection: three slots, no allocation. Timers that share a slot never run together.

use crate::Instant;

/// A timer that a synchronised connection may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// Retransmission (RFC 6298, section 5).
    Retransmit,
    /// Tail loss probe (RFC 8985, section 7).
    Probe,
    /// What is late has had its time (RFC 8985, section 6.2).
    Reorder,
    /// Zero-window probe, or the override of sender SWS avoidance (RFC 9293, sections 3.8.6.1 and 3.8.6.2.1).
    Persist,
    /// What is remembered of a recovery is forgotten.
    Forget,
    /// Delayed acknowledgment (RFC 9293, section 3.8.6.3).
    DelayedAck,
    /// Keepalive (RFC 9293, section 3.8.4).
    Keepalive,
    /// FIN-WAIT-2 after the application has closed (Linux: `tcp_fin_timeout`).
    FinWait2,
}

/// Slots, in the order in which timers that are due together run.
pub(super) const SLOTS: usize = 3;

impl Timer {
    /// The slot of the send side's timers (Linux, too, has one for all of them: `icsk_pending`).
    pub const SEND: usize = 0;

    const fn slot(self) -> usize {
        match self {
            Self::Retransmit | Self::Probe | Self::Reorder | Self::Persist | Self::Forget => Self::SEND,
            Self::DelayedAck => 1,
            Self::Keepalive | Self::FinWait2 => 2,
        }
    }

    /// The name that `ss -o` prints, where it has one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retransmit | Self::Probe | Self::Reorder => "on",
            Self::Persist => "persist",
            Self::Forget => "forget",
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
pub(super) struct Timers {
    at: [Instant; SLOTS],
    /// Which timer a slot is for, if it runs.
    of: [Timer; SLOTS],
}

const _: () = assert!(size_of::<Timers>() <= 32);

impl Timers {
    /// No timer runs.
    pub const OFF: Self = Self { at: [OFF; SLOTS], of: [Timer::Retransmit, Timer::DelayedAck, Timer::Keepalive] };

    /// Starts or restarts `timer`, in place of whichever has its slot.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        self.at[timer.slot()] = at;
        self.of[timer.slot()] = timer;
    }

    /// Starts `timer` unless it runs already.
    pub fn set_if_off(&mut self, timer: Timer, at: Instant) {
        if !self.runs(timer) {
            self.set(timer, at);
        }
    }

    /// Stops `timer`.
    pub fn clear(&mut self, timer: Timer) {
        if self.runs(timer) {
            self.at[timer.slot()] = OFF;
        }
    }

    /// Stops whichever timer runs in `slot`.
    pub fn stop(&mut self, slot: usize) {
        self.at[slot] = OFF;
    }

    /// Stops all timers.
    pub fn clear_all(&mut self) {
        *self = Self::OFF;
    }

    /// Whether `timer` runs.
    pub fn runs(&self, timer: Timer) -> bool {
        self.running(timer.slot()) == Some(timer)
    }

    /// The timer that runs in `slot`.
    pub fn running(&self, slot: usize) -> Option<Timer> {
        (self.at[slot] != OFF).then_some(self.of[slot])
    }

    /// Stops and returns the timer in `slot`, if it is due.
    pub fn take_due(&mut self, slot: usize, now: Instant) -> Option<Timer> {
        let due = self.running(slot).filter(|_| self.at[slot] <= now);
        if due.is_some() {
            self.at[slot] = OFF;
        }
        due
    }

    /// The timer that fires first.
    pub fn next(&self) -> Option<(Timer, Instant)> {
        let slot = (0..SLOTS).min_by_key(|&slot| self.at[slot])?;
        self.running(slot).map(|timer| (timer, self.at[slot]))
    }
}

#[cfg(test)]
mod tests {
    use super::{Timer, Timers};
    use crate::Instant;

    #[test]
    fn the_nearest_timer_is_reported_and_taken_once() {
        let mut timers = Timers::OFF;
        assert_eq!(timers.next(), None);
        timers.set(Timer::Keepalive, Instant::from_millis(9));
        timers.set(Timer::Retransmit, Instant::from_millis(5));
        timers.set_if_off(Timer::Retransmit, Instant::from_millis(1));
        assert_eq!(timers.next(), Some((Timer::Retransmit, Instant::from_millis(5))));
        assert_eq!(timers.take_due(Timer::SEND, Instant::from_millis(4)), None);
        assert_eq!(timers.take_due(Timer::SEND, Instant::from_millis(5)), Some(Timer::Retransmit));
        assert_eq!(timers.take_due(Timer::SEND, Instant::from_millis(5)), None);
        assert_eq!(timers.next(), Some((Timer::Keepalive, Instant::from_millis(9))));
    }

    #[test]
    fn timers_of_one_slot_replace_each_other() {
        let mut timers = Timers::OFF;
        timers.set(Timer::Probe, Instant::from_millis(1));
        timers.set(Timer::Retransmit, Instant::from_millis(5));
        timers.clear(Timer::Probe);
        assert!(timers.runs(Timer::Retransmit) && !timers.runs(Timer::Probe));
        timers.clear(Timer::Retransmit);
        assert_eq!((timers.running(Timer::SEND), timers.next()), (None, None));
    }
}
