//! How often a connection answers what is not its own: RFC 5961, section 7, per connection.

use crate::Instant;
use core::time::Duration;

/// The least time between two such answers (Linux: `tcp_invalid_ratelimit`).
pub(super) const INTERVAL: Duration = Duration::from_millis(500);

/// When the last answer was sent. There is no count shared by connections: it would be a side channel (CVE-2016-5696).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AnswerLimit {
    last: Instant,
}

impl AnswerLimit {
    /// Nothing answered yet: the last answer lies in the future, which does not count.
    pub const NEW: Self = Self { last: Instant::from_nanos(u64::MAX) };

    /// Whether an answer may be sent now, which then counts as sent.
    pub fn allows(&mut self, now: Instant) -> bool {
        let recent = now >= self.last && now - self.last < INTERVAL;
        if !recent {
            self.last = now;
        }
        !recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_per_interval_even_when_the_clock_steps_back() {
        let at = Instant::from_millis;
        let mut limit = AnswerLimit::NEW;
        for (now, allowed) in
            [(9_000, true), (9_000, false), (9_499, false), (9_500, true), (1_000, true), (1_001, false)]
        {
            assert_eq!(limit.allows(at(now)), allowed, "at {now} ms");
        }
    }
}
