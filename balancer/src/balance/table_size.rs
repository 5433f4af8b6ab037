//! Sizes that a lookup table may have.

use std::fmt;

/// A prime, so that every stride through the table visits every entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TableSize(u32);

impl TableSize {
    /// The smallest.
    pub const MIN: Self = Self(2);
    /// The largest, 5 MB of table: as in Envoy's Maglev.
    pub const MAX: Self = Self(5_000_011);

    /// `size`, if it is a prime from [`MIN`](Self::MIN) to [`MAX`](Self::MAX).
    pub fn new(size: u32) -> Option<Self> {
        ((Self::MIN.0..=Self::MAX.0).contains(&size) && is_prime(size)).then_some(Self(size))
    }

    /// The smallest size that is not less than `size`.
    pub fn at_least(size: u32) -> Option<Self> {
        (size.max(Self::MIN.0)..=Self::MAX.0).find_map(Self::new)
    }

    /// The number of entries.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for TableSize {
    /// 65537, the smaller of the two sizes that the paper measures (section 5.3): enough for some hundred backends.
    fn default() -> Self {
        Self(65_537)
    }
}

impl fmt::Display for TableSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// By trial: a few thousand divisions at most for the sizes here.
fn is_prime(number: u32) -> bool {
    let root = number.isqrt();
    number >= 2 && (2..=root).all(|factor| !number.is_multiple_of(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_in_range_and_nothing_else() {
        let small: Vec<u32> = (0..60).filter(|&size| TableSize::new(size).is_some()).collect();
        assert_eq!(small, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59]);
        for known in [TableSize::MIN, TableSize::MAX, TableSize::default()] {
            assert_eq!(TableSize::new(known.get()), Some(known));
        }
        // 65521 squared is no u32; 5000011 is the last size although there are primes above it.
        for no_size in [0, 1, 65_536, 65_535, 5_000_077, u32::MAX, 4_292_870_399] {
            assert_eq!(TableSize::new(no_size), None, "{no_size}");
        }
    }

    #[test]
    fn the_next_size() {
        let next = |size| TableSize::at_least(size).map(TableSize::get);
        assert_eq!([next(0), next(65_536), next(65_537), next(65_538)], [2, 65_537, 65_537, 65_539].map(Some));
        assert_eq!(next(5_000_012), None);
    }
}
