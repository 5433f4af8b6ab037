//! Lines that clients could cause come now and then only.

use std::time::Duration;
use synward_proto::Instant;

/// The least time between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lets one line through every ten seconds.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    last: Option<Instant>,
    suppressed: u64,
}

impl LogLimit {
    /// Whether a line may be written now, and how many were not since the last one.
    pub(crate) fn allows(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.since(last) < INTERVAL) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::LogLimit;
    use synward_proto::Instant;

    #[test]
    fn one_line_in_ten_seconds_says_how_many_it_stands_for() {
        let mut limit = LogLimit::default();
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        let allowed = [0, 1, 9, 10, 11, 30].map(|seconds| limit.allows(at(seconds)));
        assert_eq!(allowed, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
