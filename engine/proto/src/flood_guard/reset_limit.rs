//! A limit on resets for segments that belong to nothing.

use crate::Instant;
use crate::isn::Secrets;
use alloc::boxed::Box;
use core::net::IpAddr;
use siphasher::sip::SipHasher13;

/// One token bucket for each of 256 classes of peers.
///
/// A flood of forged segments draws a bounded number of resets, and one source cannot use up what the others need. The
/// class of a peer is a keyed hash of its address, so nobody can aim at the bucket of somebody else, nor learn from his
/// own what happens there.
#[derive(Debug)]
pub struct ResetLimit {
    hasher: SipHasher13,
    buckets: Box<[Bucket; CLASSES]>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a reset.
    tokens: u32,
    /// Milliseconds: when `tokens` was right.
    filled: u32,
}

const CLASSES: usize = 256;

/// A token, in thousandths.
const RESET: u32 = 1_000;

impl ResetLimit {
    /// Resets that one class of peers draws in a second, and the burst that it may draw at once.
    pub const PER_SECOND: u32 = 50;

    /// Full buckets.
    pub fn new(secrets: &Secrets) -> Self {
        let full = Bucket { tokens: Self::PER_SECOND * RESET, filled: 0 };
        Self { hasher: secrets.table_hasher(), buckets: Box::new([full; CLASSES]) }
    }

    /// Whether a reset may be sent to `peer` now. Taking the permission uses it up.
    pub fn allow(&mut self, now: Instant, peer: IpAddr) -> bool {
        let hash = match peer {
            IpAddr::V4(v4) => self.hasher.hash(&v4.octets()),
            IpAddr::V6(v6) => self.hasher.hash(&v6.octets()),
        };
        let bucket = &mut self.buckets[hash as usize % CLASSES];
        let now = now.as_millis() as u32;
        // PER_SECOND tokens a second are as many thousandths a millisecond. A clock that wraps or steps back fills the
        // bucket, no more.
        let earned = now.wrapping_sub(bucket.filled).saturating_mul(Self::PER_SECOND);
        bucket.tokens = bucket.tokens.saturating_add(earned).min(Self::PER_SECOND * RESET);
        bucket.filled = now;
        let allowed = bucket.tokens >= RESET;
        bucket.tokens -= if allowed { RESET } else { 0 };
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::ResetLimit;
    use crate::Instant;
    use crate::isn::Secrets;
    use core::net::IpAddr;

    fn limit() -> ResetLimit {
        ResetLimit::new(&Secrets::from_seed(&[3; Secrets::SEED_LEN]))
    }

    #[test]
    fn a_burst_then_a_steady_rate() {
        let (mut limit, peer) = (limit(), IpAddr::from([192, 0, 2, 1]));
        let mut draw = |from: u64, millis: u64| {
            let attempts = (from..from + millis).flat_map(|ms| [ms; 100]);
            attempts.filter(|&ms| limit.allow(Instant::from_millis(ms), peer)).count()
        };
        assert_eq!(draw(0, 1), 50);
        assert_eq!(draw(1, 10_000), 500);
        assert_eq!(draw(3_600_000, 1), 50, "an hour of rest fills the bucket, no more");
        assert_eq!(draw(u64::from(u32::MAX) + 1, 1), 50, "and so does the wrap of the clock");
        assert_eq!(draw(0, 1), 0, "which read the same millisecond again");
        assert_eq!(draw(500, 1), 25);
        assert_eq!(draw(499, 1), 50, "a clock that steps back does not close the bucket for weeks");
    }

    #[test]
    fn a_source_has_a_bucket_of_its_own_nearly_always() {
        let mut limit = limit();
        let (loud, now) = (IpAddr::from([192, 0, 2, 1]), Instant::ZERO);
        while limit.allow(now, loud) {}
        let peers = (0..=255u8).flat_map(|a| [IpAddr::from([198, 51, 100, a]), IpAddr::from([a; 16])]);
        let refused = peers.filter(|&peer| !limit.allow(now, peer)).count();
        assert!(refused < 10, "{refused} of 512 fell into the empty bucket; about 2 should");
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded() {
        let mut limit = limit();
        let allowed = (0..1_000_000u32).filter(|&a| limit.allow(Instant::ZERO, IpAddr::from(a.to_be_bytes()))).count();
        assert_eq!(allowed, 256 * 50);
    }
}
