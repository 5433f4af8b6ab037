//! Fresh cookie keys, in time.

use siphasher::sip::SipHasher24;
use std::time::Duration;
use synward_proto::Instant;
use synward_proto::isn::Key;

/// Draws a sequence of keys from one secret, one for each span of `life` since the clock began, so that all shards of an engine
/// change keys at once. Whoever learns a key learns nothing of the others.
#[derive(Debug)]
pub(crate) struct CookieKeys {
    root: SipHasher24,
    life: Duration,
    /// The span whose key is in force; unknown until time is, when the first key is, which is of no span.
    span: Option<u64>,
}

impl CookieKeys {
    /// Keys that live for `life` each; the first in force is not one of them.
    pub(crate) fn new(root: &Key, life: Duration) -> Self {
        Self { root: SipHasher24::new_with_key(root), life, span: None }
    }

    /// When the next key is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Some(Instant::from_nanos((self.span? + 1).saturating_mul(self.nanos())))
    }

    /// A fresh key, when one is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Key> {
        let span = now.as_nanos() / self.nanos();
        if self.span.replace(span).is_none_or(|known| known >= span) {
            return None;
        }
        let half = |which: u64| self.root.hash(&[span, which].map(u64::to_le_bytes).concat()).to_le_bytes();
        let mut key = Key::default();
        key[..8].copy_from_slice(&half(0));
        key[8..].copy_from_slice(&half(1));
        Some(key)
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.life.as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::CookieKeys;
    use std::time::Duration;
    use synward_proto::Instant;

    #[test]
    fn a_key_lives_its_life_and_no_two_are_equal() {
        let mut keys = CookieKeys::new(&[7; 16], Duration::from_secs(600));
        assert_eq!((keys.deadline(), keys.poll(Instant::from_millis(1_000))), (None, None));
        assert_eq!(keys.deadline(), Some(Instant::from_millis(600_000)));
        assert_eq!(keys.poll(Instant::from_millis(599_999)), None);
        let first = keys.poll(Instant::from_millis(600_000)).expect("due");
        assert_eq!(keys.poll(Instant::from_millis(600_000)), None);
        let second = keys.poll(Instant::from_millis(9_000_000)).expect("due");
        assert_ne!(first, second);
        assert_ne!(first[..8], first[8..]);
        assert_eq!(keys.poll(Instant::from_millis(9_000_001)), None, "a long stall draws one key, not many");
    }

    #[test]
    fn those_who_began_at_other_times_change_at_the_same() {
        let started = |millis| {
            let mut keys = CookieKeys::new(&[7; 16], Duration::from_secs(10));
            assert_eq!(keys.poll(Instant::from_millis(millis)), None);
            keys
        };
        let (mut early, mut late) = (started(1), started(9_999));
        for seconds in [10, 20, 50] {
            let (one, other) =
                (early.poll(Instant::from_millis(seconds * 1_000)), late.poll(Instant::from_millis(seconds * 1_000)));
            assert!(one.is_some() && one == other);
        }
    }
}
