//! Real time, read once per turn, and a time that never steps back.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use synward_proto::Instant;

/// The kernel's monotonic clock (CLOCK_MONOTONIC): nobody can set it, and it stands still while the machine is
/// suspended, so that a suspended machine does not find every connection timed out.
pub fn monotonic() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The time that a shard lives in. Whatever clock the caller reads, it goes on from where it was when that steps back:
/// else timers would stand still until the clock has caught up, and so would the timestamps on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SteadyTime {
    latest: Instant,
    /// How far it is ahead of the caller's clock.
    ahead: Duration,
}

impl SteadyTime {
    /// Goes on to the time when the caller's clock says `now`.
    pub(crate) fn tick(&mut self, now: Instant) -> Instant {
        let time = now + self.ahead;
        self.ahead += self.latest.since(time);
        self.latest = self.latest.max(time);
        self.latest
    }

    /// The time when the caller's clock says `now`, which is not earlier than at the last tick.
    pub(crate) fn at(&self, now: Instant) -> Instant {
        self.latest.max(now + self.ahead)
    }

    /// What the caller's clock says at `time`.
    pub(crate) fn on_callers_clock(&self, time: Instant) -> Instant {
        let ahead = u64::try_from(self.ahead.as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(time.as_nanos().saturating_sub(ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::{SteadyTime, monotonic};
    use synward_proto::Instant;

    #[test]
    fn steady_time_goes_on_when_the_clock_steps_back() {
        let mut time = SteadyTime::default();
        let mut tick = |millis| {
            let now = time.tick(Instant::from_millis(millis));
            assert_eq!(time.on_callers_clock(now), Instant::from_millis(millis));
            now.as_millis()
        };
        assert_eq!([1_000, 1_000, 3_000].map(&mut tick), [1_000, 1_000, 3_000]);
        assert_eq!([500, 700].map(&mut tick), [3_000, 3_200]);
        assert_eq!([0, 10].map(&mut tick), [3_200, 3_210]);
        assert_eq!([5_000].map(&mut tick), [8_200]);
    }

    #[test]
    fn goes_forward() {
        let first = monotonic();
        let mut reads = 0_u64;
        while monotonic() == first {
            reads += 1;
            assert!(reads < 1 << 32, "the clock stands still");
        }
        assert!(monotonic() > first);
    }
}
