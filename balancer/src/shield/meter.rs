//! How fast counts grow, over the last second.

use crate::control::report::Rate;
use std::collections::VecDeque;
use std::time::Duration;
use synward_proto::Instant;

/// Over how long a rate is taken.
const SPAN: Duration = Duration::from_secs(1);

/// Readings of several counts that grow together.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    /// The oldest is the youngest that is a span old, or the first.
    readings: VecDeque<(Instant, Vec<u64>)>,
}

impl Meter {
    /// Takes a reading; there are always as many counts.
    pub(super) fn read(&mut self, now: Instant, counts: Vec<u64>) {
        self.readings.push_back((now, counts));
        while let Some((second, _)) = self.readings.get(1)
            && now.since(*second) >= SPAN
        {
            self.readings.pop_front();
        }
    }

    /// How fast each count grew over the last span before the last reading; nothing before the first.
    pub(super) fn per_second(&self) -> Vec<u64> {
        let (Some((from, before)), Some((to, now))) = (self.readings.front(), self.readings.back()) else {
            return Vec::new();
        };
        let millis = u64::try_from(to.since(*from).as_millis()).unwrap_or(u64::MAX).max(1);
        before.iter().zip(now).map(|(before, now)| now.saturating_sub(*before).saturating_mul(1000) / millis).collect()
    }

    /// What the counts are now, and how fast they grew.
    pub(super) fn rates(&self, now: &[u64]) -> Vec<Rate> {
        let per_second = self.per_second();
        let rate = |(index, total): (usize, &u64)| Rate {
            total: *total,
            per_second: per_second.get(index).copied().unwrap_or_default(),
        };
        now.iter().enumerate().map(rate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Meter, Rate};
    use synward_proto::Instant;

    #[test]
    fn the_last_second_counts() {
        let mut meter = Meter::default();
        let total = |total| Rate { total, per_second: 0 };
        assert_eq!(meter.rates(&[100, 7]), [total(100), total(7)]);
        meter.read(Instant::from_millis(5000), vec![100, 7]);
        assert_eq!(meter.per_second(), [0, 0]);
        // Ten a tick, then a hundred.
        for tick in 1..=10 {
            meter.read(Instant::from_millis(5000 + 100 * tick), vec![100 + 10 * tick, 7]);
        }
        assert_eq!(meter.rates(&[201, 7]), [Rate { total: 201, per_second: 100 }, total(7)]);
        for tick in 1..=30 {
            meter.read(Instant::from_millis(6000 + 100 * tick), vec![200 + 100 * tick, 7]);
        }
        assert_eq!(meter.per_second(), [1000, 0]);
        assert_eq!(meter.readings.len(), 11);
    }
}
