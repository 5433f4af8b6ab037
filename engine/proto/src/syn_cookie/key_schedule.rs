//! Which key is in force when: a function of a secret and the clock, so that all who share the two agree without a word.

use super::{TICK, tick};
use crate::Instant;
use crate::isn::Key;
use core::fmt;
use core::time::Duration;
use siphasher::sip::SipHasher24;

/// One cookie key for each span of ticks since the clock began. Whoever learns a key learns nothing of the others.
#[derive(Clone)]
pub struct KeySchedule {
    root: SipHasher24,
    ticks_per_key: u32,
}

impl fmt::Debug for KeySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySchedule").field("ticks_per_key", &self.ticks_per_key).finish_non_exhaustive()
    }
}

impl KeySchedule {
    /// The keys that grow from `root`, each in force for `life`, rounded up to whole [ticks](TICK) and at least one: a cookie is
    /// checked in its own tick or in the next, and so never needs more than two keys.
    pub fn new(root: &Key, life: Duration) -> Self {
        let ticks = life.as_nanos().div_ceil(TICK.as_nanos()).max(1);
        Self { root: SipHasher24::new_with_key(root), ticks_per_key: u32::try_from(ticks).unwrap_or(u32::MAX) }
    }

    /// For how many ticks a key is in force.
    pub const fn ticks_per_key(&self) -> u32 {
        self.ticks_per_key
    }

    /// The epoch that `now` falls in: the number of the [tick] divided by that of ticks per key.
    pub fn epoch(&self, now: Instant) -> u32 {
        self.epoch_of(tick(now))
    }

    /// The key of an epoch.
    pub fn key(&self, epoch: u32) -> Key {
        let half = |which: u64| self.root.hash(&[u64::from(epoch), which].map(u64::to_le_bytes).concat()).to_le_bytes();
        let mut key = Key::default();
        key[..8].copy_from_slice(&half(0));
        key[8..].copy_from_slice(&half(1));
        key
    }

    /// The epoch that a tick falls in.
    pub(super) const fn epoch_of(&self, tick: u32) -> u32 {
        tick / self.ticks_per_key
    }
}

#[cfg(test)]
mod tests {
    use super::{KeySchedule, TICK};
    use crate::Instant;
    use alloc::collections::BTreeSet;
    use core::time::Duration;

    #[test]
    fn a_life_is_rounded_up_to_whole_ticks() {
        for (life, ticks) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (TICK, 1),
            (TICK + Duration::from_nanos(1), 2),
            (Duration::from_secs(600), 38),
            (Duration::MAX, u32::MAX),
        ] {
            assert_eq!(KeySchedule::new(&[7; 16], life).ticks_per_key(), ticks, "{life:?}");
        }
    }

    #[test]
    fn an_epoch_lasts_as_long_as_its_key() {
        let keys = KeySchedule::new(&[7; 16], 3 * TICK);
        for (millis, epoch) in [(0, 0), (47_999, 0), (48_000, 1), (95_999, 1), (4_800_000, 100)] {
            assert_eq!(keys.epoch(Instant::from_millis(millis)), epoch, "{millis}");
        }
    }

    #[test]
    fn no_two_keys_nor_halves_are_equal() {
        let halves: BTreeSet<[u8; 8]> = [[7; 16], [8; 16]]
            .iter()
            .flat_map(|root| (0..100).map(|epoch| KeySchedule::new(root, TICK).key(epoch)))
            .flat_map(|key| [0, 8].map(|from| core::array::from_fn(|byte| key[from + byte])))
            .collect();
        assert_eq!(halves.len(), 400);
    }

    #[test]
    fn a_schedule_does_not_print_its_secret() {
        let shown = alloc::format!("{:?}", KeySchedule::new(&[7; 16], TICK));
        assert_eq!(shown, "KeySchedule { ticks_per_key: 1, .. }");
    }
}
