//! Fresh cookie keys, in time.

use siphasher::sip::SipHasher24;
use std::time::Duration;
use synward_proto::Instant;
use synward_proto::isn::Key;

/// Draws a sequence of keys from one secret. Whoever learns a key learns nothing of the others.
#[derive(Debug)]
pub(crate) struct CookieKeys {
    root: SipHasher24,
    drawn: u64,
    life: Duration,
    /// When the next key is due; unknown until time is.
    due: Option<Instant>,
}

impl CookieKeys {
    /// Keys that live for `life` each; the first in force is not one of them.
    pub(crate) fn new(root: &Key, life: Duration) -> Self {
        Self { root: SipHasher24::new_with_key(root), drawn: 0, life, due: None }
    }

    /// When the next key is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// A fresh key, when one is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Key> {
        let due = *self.due.get_or_insert(now + self.life);
        if now < due {
            return None;
        }
        self.due = Some(now + self.life);
        self.drawn += 1;
        let half = |which: u64| self.root.hash(&[self.drawn, which].map(u64::to_le_bytes).concat()).to_le_bytes();
        let mut key = Key::default();
        key[..8].copy_from_slice(&half(0));
        key[8..].copy_from_slice(&half(1));
        Some(key)
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
        assert_eq!(keys.poll(Instant::from_millis(1_000)), None);
        assert_eq!(keys.deadline(), Some(Instant::from_millis(601_000)));
        assert_eq!(keys.poll(Instant::from_millis(600_999)), None);
        let first = keys.poll(Instant::from_millis(601_000)).expect("due");
        assert_eq!(keys.poll(Instant::from_millis(601_000)), None);
        let second = keys.poll(Instant::from_millis(9_000_000)).expect("due");
        assert_ne!(first, second);
        assert_ne!(first[..8], first[8..]);
        assert_eq!(keys.poll(Instant::from_millis(9_000_001)), None, "a long stall draws one key, not many");
    }
}
