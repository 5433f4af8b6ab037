//! Real time, read once per turn.

use rustix::time::{ClockId, clock_gettime};
use synward_proto::Instant;

/// The kernel's monotonic clock (CLOCK_MONOTONIC): nobody can set it, and it stands still while the machine is
/// suspended, so that a suspended machine does not find every connection timed out.
pub(crate) fn monotonic() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::monotonic;

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
