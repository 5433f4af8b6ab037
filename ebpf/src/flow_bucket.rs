//! A bucket of fingerprints, which many threads change at once while the program reads it.

use crate::sync::atomic::{AtomicU16, Ordering};

/// Places in a bucket.
pub(crate) const FINGERPRINTS: usize = 15;

/// `struct flow_bucket`.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Bucket {
    /// Flows of this bucket that have no place in it.
    pub(crate) overflowed: AtomicU16,
    /// Zero is free.
    pub(crate) fingerprints: [AtomicU16; FINGERPRINTS],
}

/// Where a flow is that has been inserted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inserted {
    /// In a place.
    Placed,
    /// Counted, for no place was free.
    Counted,
}

impl Bucket {
    /// Puts a fingerprint, which is not zero, into a free place.
    pub(crate) fn insert(&self, fingerprint: u16) -> Inserted {
        let claim = |place: &AtomicU16| {
            place.load(Ordering::Relaxed) == 0
                && place.compare_exchange(0, fingerprint, Ordering::Release, Ordering::Relaxed).is_ok()
        };
        if self.fingerprints.iter().any(claim) {
            return Inserted::Placed;
        }
        self.overflowed.fetch_add(1, Ordering::Release);
        Inserted::Counted
    }

    /// Takes one such fingerprint away; false when there was none.
    pub(crate) fn remove(&self, fingerprint: u16) -> bool {
        // Acquire: who has taken this flow's place was counted among the overflowed before, and that is seen below.
        let free = |place: &AtomicU16| {
            place.load(Ordering::Acquire) == fingerprint
                && place.compare_exchange(fingerprint, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
        };
        // Else it is among the overflowed. One that never was inserted must not make the count wrap.
        let less = |count: u16| count.checked_sub(1);
        self.fingerprints.iter().any(free)
            || self.overflowed.try_update(Ordering::Release, Ordering::Relaxed, less).is_ok()
    }

    /// How many flows are in it.
    pub(crate) fn count(&self) -> u64 {
        let used = self.fingerprints.iter().filter(|place| place.load(Ordering::Relaxed) != 0).count();
        used as u64 + u64::from(self.overflowed.load(Ordering::Relaxed))
    }
}
