//! Whether a backend is believed to work, by what came of the connections to it.

use crate::config::Backoff;
use std::time::{Duration, Instant};

/// What is believed of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// It works, or nothing is known yet.
    Up,
    /// It failed. Until this moment it is left alone; after it, one connection may try.
    Backoff {
        /// When it may be tried.
        until: Instant,
        /// Failures in a row that counted, at least one.
        failures: u32,
    },
    /// It failed, and one connection is trying whether it works again.
    Trial {
        /// Failures in a row that counted, at least one.
        failures: u32,
        /// When it was free to be tried.
        since: Instant,
    },
}

impl Health {
    /// Whether a connection may be sent to it.
    pub(super) fn is_usable(self, now: Instant) -> bool {
        match self {
            Self::Up => true,
            Self::Backoff { until, .. } => until <= now,
            Self::Trial { .. } => false,
        }
    }

    /// When it may be tried again, or might have been; `None` where it is up.
    pub(super) fn retry_at(self) -> Option<Instant> {
        match self {
            Self::Up => None,
            Self::Backoff { until, .. } => Some(until),
            Self::Trial { since, .. } => Some(since),
        }
    }

    /// After a connection was sent to it.
    pub(super) fn picked(self, now: Instant) -> Self {
        match self {
            Self::Backoff { until, failures } if until <= now => Self::Trial { failures, since: until },
            other => other,
        }
    }

    /// After a connection failed. Of many that fail together the first counts: those that were on their way already say
    /// nothing new of a backend in backoff.
    pub(super) fn failed(self, now: Instant, backoff: Backoff) -> Self {
        let failures = match self {
            Self::Backoff { until, .. } if now < until => return self,
            Self::Up => 1,
            Self::Backoff { failures, .. } | Self::Trial { failures, .. } => failures.saturating_add(1),
        };
        Self::Backoff { until: now + delay(failures, backoff), failures }
    }

    /// After the client of a connection went away before the backend said anything: whoever comes next may try.
    pub(super) fn abandoned(self) -> Self {
        match self {
            Self::Trial { failures, since } => Self::Backoff { until: since, failures },
            other => other,
        }
    }
}

/// How long a backend is left alone after so many failures in a row.
fn delay(failures: u32, backoff: Backoff) -> Duration {
    let doublings = failures.saturating_sub(1).min(u32::BITS - 1);
    backoff.first.saturating_mul(1 << doublings).min(backoff.longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

    #[test]
    fn delays_double_up_to_the_longest() {
        let delays = (1..=8).map(|failures| delay(failures, BACKOFF).as_secs()).collect::<Vec<_>>();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(delay(u32::MAX, BACKOFF), BACKOFF.longest);
        let once = Backoff { first: Duration::from_secs(3600), longest: Duration::from_secs(3600) };
        assert_eq!(delay(40, once), once.longest);
    }

    #[test]
    fn one_trial_after_each_backoff() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let down = Health::Up.failed(start, BACKOFF);
        assert_eq!(down, Health::Backoff { until: at(1), failures: 1 });
        assert!(!down.is_usable(start) && down.is_usable(at(1)));
        let trial = down.picked(at(5));
        assert_eq!(trial, Health::Trial { failures: 1, since: at(1) });
        assert!(!trial.is_usable(at(1000)));
        assert_eq!(trial.failed(at(6), BACKOFF), Health::Backoff { until: at(8), failures: 2 });
        assert_eq!(trial.abandoned(), down);
    }

    #[test]
    fn failures_of_connections_that_were_on_their_way_do_not_count_twice() {
        let start = Instant::now();
        let down = Health::Up.failed(start, BACKOFF);
        assert_eq!(down.failed(start + Duration::from_millis(999), BACKOFF), down);
        assert_eq!(down.picked(start), down, "picked for want of another");
    }
}
