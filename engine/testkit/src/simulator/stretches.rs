//! Which parts of a stream there are.

use std::collections::BTreeMap;

/// Stretches of a stream, apart from each other: start and end, the end not included.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretches {
    ends: BTreeMap<u32, u32>,
}

impl Stretches {
    /// The first bytes.
    pub fn from_start(end: u32) -> Self {
        Self { ends: BTreeMap::from([(0, end)]) }
    }

    /// There is one more; it may overlap others.
    pub fn add(&mut self, mut start: u32, mut end: u32) {
        if start >= end {
            return;
        }
        while let Some((&first, &last)) = self.ends.range(..=end).next_back().filter(|(_, last)| **last >= start) {
            (start, end) = (start.min(first), end.max(last));
            self.ends.remove(&first);
        }
        self.ends.insert(start, end);
    }

    /// Where the first byte is missing.
    pub fn first_gap(&self) -> u32 {
        self.ends.get(&0).copied().unwrap_or(0)
    }

    /// Whether all from `start` to `end`, which is behind it, is there.
    pub fn contains(&self, start: u32, end: u32) -> bool {
        start < end && self.ends.range(..=start).next_back().is_some_and(|(_, last)| *last >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::Stretches;

    #[test]
    fn stretches_grow_together() {
        let mut stretches = Stretches::from_start(1);
        for (start, end) in [(5, 7), (9, 10), (3, 4)] {
            stretches.add(start, end);
        }
        assert_eq!((stretches.first_gap(), stretches.contains(5, 7), stretches.contains(4, 6)), (1, true, false));
        stretches.add(4, 9);
        assert!(stretches.contains(3, 10) && !stretches.contains(2, 10) && !stretches.contains(3, 11));
        assert!(!stretches.contains(5, 5), "what is empty is nowhere");
        stretches.add(1, 3);
        stretches.add(2, 2);
        assert_eq!(stretches.first_gap(), 10);
    }
}
