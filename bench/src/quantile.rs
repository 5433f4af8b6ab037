//! Exact quantiles, for runs small enough to keep every value.

use std::time::Duration;

/// Durations in the order they came.
#[derive(Clone, Debug, Default)]
pub struct Quantiles {
    values: Vec<Duration>,
}

impl Quantiles {
    /// Adds a value.
    pub fn add(&mut self, value: Duration) {
        self.values.push(value);
    }

    /// The smallest value that is at least as large as the share `q` (0 to 1) of all values, in milliseconds; zero when
    /// there are none.
    pub fn millis(&mut self, q: f64) -> f64 {
        self.values.sort_unstable();
        let rank = (q * self.values.len() as f64).ceil() as usize;
        self.values.get(rank.saturating_sub(1)).map_or(0.0, |value| value.as_secs_f64() * 1e3)
    }
}

/// The middle one, or the mean of the two in the middle; not a number where there is none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => f64::NAN,
        (half, 0) => f64::midpoint(values[half - 1], values[half]),
        (half, _) => values[half],
    }
}

/// Their median, the least and the greatest, for a table.
pub fn median_and_range(values: impl Iterator<Item = f64> + Clone) -> String {
    let least = values.clone().min_by(f64::total_cmp).unwrap_or(f64::NAN);
    let greatest = values.clone().max_by(f64::total_cmp).unwrap_or(f64::NAN);
    format!("{:.2} ({least:.2} to {greatest:.2})", median(values))
}

#[cfg(test)]
mod tests {
    use super::{Quantiles, median};
    use std::time::Duration;

    #[test]
    fn quantiles_are_values_of_the_set() {
        let mut times = Quantiles::default();
        assert_eq!(times.millis(0.5), 0.0);
        for ms in (1..=100).rev() {
            times.add(Duration::from_millis(ms));
        }
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|q| times.millis(q)), [1.0, 50.0, 99.0, 100.0]);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert!(median([].into_iter()).is_nan());
    }
}
