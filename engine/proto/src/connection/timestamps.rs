//! Timestamps and PAWS: RFC 7323, sections 3 to 5.

use crate::Instant;
use crate::half_open::Clock;
use crate::segment::Timestamps;
use core::time::Duration;

/// After this long TS.Recent says nothing: the peer's clock may have gone half around (RFC 7323, section 5.5; Linux:
/// `TCP_PAWS_24DAYS`).
pub(super) const OUTDATED: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// The timestamp state of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TimestampClock {
    clock: Clock,
    /// When TS.Recent was set, in whole seconds.
    recent_at: u32,
}

/// Whole seconds since the epoch: they last for 136 years.
const fn seconds(at: Instant) -> u32 {
    (at.as_millis() / 1000) as u32
}

impl TimestampClock {
    /// The state after the handshake.
    pub fn new(now: Instant, clock: Clock) -> Self {
        Self { clock, recent_at: seconds(now) }
    }

    /// What is added to the millisecond clock to make our TSval.
    pub fn offset(&self) -> u32 {
        self.clock.offset
    }

    /// The option of a segment sent at `now`.
    pub fn option(&self, now: Instant) -> Timestamps {
        self.clock.stamp(now)
    }

    /// PAWS: whether a segment with this TSval is too old (RFC 7323, section 5.3, R1).
    pub fn rejects(&self, now: Instant, value: u32) -> bool {
        let age = seconds(now).saturating_sub(self.recent_at);
        self.is_older(value) && u64::from(age) < OUTDATED.as_secs()
    }

    /// By how many ticks `value` is older than TS.Recent.
    pub fn lag(&self, value: u32) -> u32 {
        self.clock.recent.wrapping_sub(value)
    }

    /// Records the TSval of a segment that starts no later than what we acknowledged last (RFC 7323, section 4.3; R3).
    pub fn refresh(&mut self, now: Instant, value: u32) {
        if !self.rejects(now, value) {
            self.clock.recent = value;
            self.recent_at = seconds(now);
        }
    }

    /// Whether `value` is newer than TS.Recent (RFC 6191).
    pub fn is_newer(&self, value: u32) -> bool {
        (self.clock.recent.wrapping_sub(value) as i32) < 0
    }

    /// How long ago `echo` was our clock (RFC 7323, section 4); `None` for an echo of nothing or from the future.
    pub fn age(&self, now: Instant, echo: u32) -> Option<Duration> {
        let age = self.clock.stamp(now).value.wrapping_sub(echo);
        (echo != 0 && age <= i32::MAX as u32).then(|| Duration::from_millis(age.into()))
    }

    /// A TS.Recent of zero is one that was never set (Linux: `tcp_paws_check`), so nothing is older than it.
    fn is_older(&self, value: u32) -> bool {
        self.clock.recent != 0 && (value.wrapping_sub(self.clock.recent) as i32) < 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(recent: u32) -> TimestampClock {
        TimestampClock::new(Instant::ZERO, Clock { recent, offset: u32::MAX })
    }

    #[test]
    fn older_values_are_rejected_across_the_wrap() {
        for (recent, value, rejected) in [
            (100, 99, true),
            (100, 100, false),
            (100, 101, false),
            (0, u32::MAX, false),
            (1, u32::MAX, true),
            (u32::MAX, 0, false),
            (0, 1 << 31, false),
            (1, (1 << 31) + 1, true),
            (1, 1 << 31, false),
        ] {
            assert_eq!(clock(recent).rejects(Instant::ZERO, value), rejected, "{value} after {recent}");
        }
    }

    /// RFC 7323, section 5.5.
    #[test]
    fn after_24_days_anything_is_taken() {
        let almost = Instant::ZERO + (OUTDATED - Duration::from_nanos(1));
        let mut clock = clock(100);
        assert!(clock.rejects(almost, 99));
        clock.refresh(almost, 99);
        assert_eq!(clock.clock.recent, 100);
        assert!(!clock.rejects(Instant::ZERO + OUTDATED, 99));
        clock.refresh(Instant::ZERO + OUTDATED, 99);
        assert_eq!(clock.clock.recent, 99);
    }

    #[test]
    fn the_age_of_an_echo() {
        let clock = clock(0);
        let now = Instant::from_millis(50);
        assert_eq!(clock.option(now).value, 49);
        assert_eq!(clock.age(now, 9), Some(Duration::from_millis(40)));
        assert_eq!(clock.age(now, 50), None, "from the future");
        assert_eq!(clock.age(now, 0), None, "no echo");
        assert_eq!(clock.age(Instant::ZERO, u32::MAX), Some(Duration::ZERO));
    }
}
