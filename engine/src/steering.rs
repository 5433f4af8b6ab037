//! Which shard of an interface owns a connection.

use crate::Rss;
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::table_hash::TupleHasher;
use std::ops::Range;
use synward_proto::Tuple;

/// The shards of one interface, and who of them owns which tuple: the one on whose queue the device puts it by RSS, where the
/// device says how and the first segment proved it right; else the one that a keyed hash names, so that nobody outside can
/// aim at a shard.
#[derive(Debug)]
pub(crate) struct Steering {
    shards: Range<u16>,
    hasher: TupleHasher,
    rss: Option<Rss>,
    /// A [`Rule`]. It changes once at most, and then before any connection exists whose segments have arrived; opens of ours
    /// that are under way then fail.
    rule: AtomicU8,
}

/// What ownership goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Rule {
    Hash,
    /// RSS, as the device says; no segment has shown it yet.
    RssUnproven,
    Rss,
}

impl Steering {
    /// Steering among shards with these numbers, at least one, by RSS where it is given.
    pub(crate) fn new(shards: Range<u16>, key: &[u8; 16], rss: Option<Rss>) -> Self {
        debug_assert!(!shards.is_empty(), "an interface has a shard");
        // What does not tell ports apart, or leaves queues out, would leave shards without a source port of their own.
        let rss = rss.filter(|rss| rss.tells_ports_apart() && rss.reaches(shards.len()));
        let rule = if rss.is_some() { Rule::RssUnproven } else { Rule::Hash };
        Self { shards, hasher: TupleHasher::new(key), rss, rule: AtomicU8::new(rule as u8) }
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
        match &self.rss {
            Some(rss) if self.rule() != Rule::Hash => self.shards.start + rss.queue_of(tuple) as u16,
            _ => {
                // The upper half of a product spreads evenly over any number of shards.
                let hash = self.hasher.hash(tuple) & u64::from(u32::MAX);
                self.shards.start + ((hash * count) >> 32) as u16
            }
        }
    }

    /// Changes when ownership does: from RSS, unproven, to the hash.
    pub(crate) fn epoch(&self) -> u8 {
        u8::from(self.rule() == Rule::Hash)
    }

    /// A segment of `tuple` has arrived on the queue of a shard: the first one shows whether RSS is as the device says.
    pub(crate) fn prove(&self, tuple: &Tuple, shard: u16) {
        if self.rule() != Rule::RssUnproven {
            return;
        }
        let found = if self.owner(tuple) == shard { Rule::Rss } else { Rule::Hash };
        let unproven = Rule::RssUnproven as u8;
        let first = self.rule.compare_exchange(unproven, found as u8, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if first && found == Rule::Hash {
            tracing::warn!("RSS is not as the device says: connections are spread by a hash of our own instead");
        }
    }

    fn rule(&self) -> Rule {
        match self.rule.load(Ordering::Relaxed) {
            rule if rule == Rule::Rss as u8 => Rule::Rss,
            rule if rule == Rule::RssUnproven as u8 => Rule::RssUnproven,
            _ => Rule::Hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Steering;
    use crate::{HashedFields, Rss};
    use synward_proto::{Endpoint, Tuple};

    fn tuple(n: u32) -> Tuple {
        Tuple {
            local: Endpoint::new([192, 0, 2, 1].into(), 80),
            remote: Endpoint::new([198, 51, 100, (n >> 14) as u8].into(), (n & 0x3fff) as u16 + 1024),
        }
    }

    #[test]
    fn owners_are_spread_evenly_and_hang_on_the_key() {
        let (one, other) = (Steering::new(2..6, &[1; 16], None), Steering::new(2..6, &[2; 16], None));
        let mut counts = [0_u32; 4];
        let mut moved = 0;
        for n in 0..40_000 {
            let owner = one.owner(&tuple(n));
            counts[usize::from(owner) - 2] += 1;
            moved += u32::from(other.owner(&tuple(n)) != owner);
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        assert!((29_000..31_000).contains(&moved), "{moved}");
        assert_eq!(Steering::new(3..4, &[1; 16], None).owner(&tuple(0)), 3);
    }

    #[test]
    fn rss_is_believed_until_the_first_segment_shows_otherwise() {
        let fields = HashedFields::AddressesAndPorts;
        let rss = || Rss::new(&[0x6d; Rss::KEY_LEN], vec![0, 1, 2, 3], fields, fields).expect("a device");
        let (right, wrong) = (Steering::new(4..8, &[1; 16], Some(rss())), Steering::new(4..8, &[1; 16], Some(rss())));
        let hash = Steering::new(4..8, &[1; 16], None);
        let owner = 4 + rss().queue_of(&tuple(0)) as u16;
        assert_eq!(right.owner(&tuple(0)), owner);
        right.prove(&tuple(0), owner);
        right.prove(&tuple(0), (owner + 1) % 4 + 4);
        wrong.prove(&tuple(0), if owner == 4 { 5 } else { 4 });
        wrong.prove(&tuple(0), owner);
        assert!(right.epoch() == 0 && wrong.epoch() == 1);
        let partial = Rss::new(&[0x6d; Rss::KEY_LEN], vec![0, 1], fields, fields);
        let coarse = Rss::new(&[0x6d; Rss::KEY_LEN], vec![0, 1, 2, 3], HashedFields::Addresses, fields);
        for unfit in [partial, coarse] {
            let steering = Steering::new(4..8, &[1; 16], unfit);
            assert!((0..1_000).all(|n| steering.owner(&tuple(n)) == hash.owner(&tuple(n))), "it leaves shards out");
        }
        for n in 0..1_000 {
            assert_eq!(right.owner(&tuple(n)), 4 + rss().queue_of(&tuple(n)) as u16);
            assert_eq!(wrong.owner(&tuple(n)), hash.owner(&tuple(n)));
        }
    }
}
