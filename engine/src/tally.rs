//! A number that one thread counts and anyone reads.

use crate::sync::atomic::{AtomicU64, Ordering};

/// A number with one writer: a load and a store, no locked instruction. Where two threads write, counts are lost.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Counts so many more; goes on from zero past the largest. The writer's.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Puts another number in its place. The writer's.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What was written last, or a little earlier.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
