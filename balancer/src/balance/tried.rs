//! The backends that one connection has tried.

use super::{BackendIndex, MAX_BACKENDS};

const WORDS: usize = MAX_BACKENDS / u64::BITS as usize;

/// A set of backends: 32 bytes, no allocation.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TriedSet([u64; WORDS]);

const _: () = assert!(size_of::<TriedSet>() == 32);

impl TriedSet {
    /// Adds a backend.
    pub fn insert(&mut self, backend: BackendIndex) {
        let (word, bit) = place(backend);
        self.0[word] |= bit;
    }

    /// Whether a backend is in it.
    pub fn contains(&self, backend: BackendIndex) -> bool {
        let (word, bit) = place(backend);
        self.0[word] & bit != 0
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn place(backend: BackendIndex) -> (usize, u64) {
    let (index, bits) = (backend.get(), u64::BITS as usize);
    (index / bits, 1 << (index % bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_what_was_inserted_and_no_other() {
        let all = || BackendIndex::first(MAX_BACKENDS);
        assert_eq!(all().count(), MAX_BACKENDS);
        for one in all() {
            let mut set = TriedSet::default();
            assert!(set.is_empty());
            set.insert(one);
            assert!(!set.is_empty());
            assert_eq!(all().filter(|it| set.contains(*it)).collect::<Vec<_>>(), [one]);
        }
    }
}
