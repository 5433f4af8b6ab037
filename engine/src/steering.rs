//! Which shard of an interface owns a connection.

use crate::table_hash::TupleHasher;
use std::ops::Range;
use synward_proto::Tuple;

/// The shards of one interface, and who of them owns which tuple: the one that a keyed hash names, so that nobody outside can
/// aim at a shard.
#[derive(Debug)]
pub(crate) struct Steering {
    shards: Range<u16>,
    hasher: TupleHasher,
}

impl Steering {
    /// Steering among shards with these numbers, at least one.
    pub(crate) fn new(shards: Range<u16>, key: &[u8; 16]) -> Self {
        debug_assert!(!shards.is_empty(), "an interface has a shard");
        Self { shards, hasher: TupleHasher::new(key) }
    }

    /// The numbers of the shards.
    pub(crate) fn shards(&self) -> Range<u16> {
        self.shards.clone()
    }

    /// The number of the shard that owns a tuple.
    pub(crate) fn owner(&self, tuple: &Tuple) -> u16 {
        let count = self.shards.len() as u64;
        if count <= 1 {
            return self.shards.start;
        }
        // The upper half of a product spreads evenly over any number of shards.
        let hash = self.hasher.hash(tuple) & u64::from(u32::MAX);
        self.shards.start + ((hash * count) >> 32) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::Steering;
    use synward_proto::{Endpoint, Tuple};

    #[test]
    fn owners_are_spread_evenly_and_hang_on_the_key() {
        let tuple = |n: u32| Tuple {
            local: Endpoint::new([192, 0, 2, 1].into(), 80),
            remote: Endpoint::new([198, 51, 100, (n >> 14) as u8].into(), (n & 0x3fff) as u16 + 1024),
        };
        let (one, other) = (Steering::new(2..6, &[1; 16]), Steering::new(2..6, &[2; 16]));
        let mut counts = [0_u32; 4];
        let mut moved = 0;
        for n in 0..40_000 {
            let owner = one.owner(&tuple(n));
            counts[usize::from(owner) - 2] += 1;
            moved += u32::from(other.owner(&tuple(n)) != owner);
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        assert!((29_000..31_000).contains(&moved), "{moved}");
        assert_eq!(Steering::new(3..4, &[1; 16]).owner(&tuple(0)), 3);
    }
}
