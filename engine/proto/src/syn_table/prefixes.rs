//! How many half-open connections the networks of peers hold: no single one may have the whole table.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use siphasher::sip::SipHasher13;

/// A count for each of as many classes of networks as the table has slots. A network is an IPv4 /24 or an IPv6 /64, the
/// least that is routed or assigned by itself; its class is a keyed hash, so that nobody can choose with whom to share
/// one. Those that share one share its limit: rare, and then no worse than at the limit.
#[derive(Debug)]
pub(super) struct Prefixes {
    hasher: SipHasher13,
    counts: Vec<u16>,
    limit: u16,
}

impl Prefixes {
    /// Nobody has anything, and each network may have `limit`. `classes` is a power of two.
    pub(super) fn new(limit: u16, classes: usize, hasher: SipHasher13) -> Self {
        debug_assert!(classes.is_power_of_two());
        Self { hasher, counts: vec![0; classes], limit }
    }

    /// Whether the network of `peer` has all that it may have.
    pub(super) fn is_full(&self, peer: IpAddr) -> bool {
        self.counts[self.class(peer)] >= self.limit
    }

    /// An entry of a `peer` whose network is not full came.
    pub(super) fn entered(&mut self, peer: IpAddr) {
        let class = self.class(peer);
        self.counts[class] += 1;
    }

    /// An entry of `peer` went.
    pub(super) fn left(&mut self, peer: IpAddr) {
        let class = self.class(peer);
        self.counts[class] -= 1;
    }

    fn class(&self, peer: IpAddr) -> usize {
        // Of different lengths, so that the families never meet.
        let hash = match peer {
            IpAddr::V4(v4) => self.hasher.hash(&v4.octets()[..3]),
            IpAddr::V6(v6) => self.hasher.hash(&v6.octets()[..8]),
        };
        hash as usize & (self.counts.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Prefixes;
    use core::net::IpAddr;
    use siphasher::sip::SipHasher13;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_is_a_24_or_a_64_and_others_have_their_own_count() {
        for (inside, outside) in [
            (["198.51.100.0", "198.51.100.255"], ["198.51.101.0", "198.50.100.0"]),
            (["2001:db8:0:1::", "2001:db8:0:1:ffff:ffff:ffff:ffff"], ["2001:db8:0:2::", "2001:db8:1:1::"]),
        ] {
            let mut prefixes = Prefixes::new(2, 1 << 16, SipHasher13::new_with_key(&[7; 16]));
            inside.iter().for_each(|peer| prefixes.entered(ip(peer)));
            assert!(inside.iter().all(|peer| prefixes.is_full(ip(peer))));
            assert!(outside.iter().all(|peer| !prefixes.is_full(ip(peer))));
            prefixes.left(ip(inside[0]));
            assert!(!prefixes.is_full(ip(inside[1])));
        }
    }

    /// Sixteen networks at their limit, in as many classes as an engine has by default.
    #[test]
    fn strangers_hardly_ever_share_a_class() {
        let mut prefixes = Prefixes::new(1, 1 << 14, SipHasher13::new_with_key(&[7; 16]));
        (0..16u8).for_each(|n| prefixes.entered(IpAddr::from([10, 0, n, 1])));
        let shared = (0..=u16::MAX).filter(|n| {
            let [a, b] = n.to_be_bytes();
            prefixes.is_full(IpAddr::from([20, a, b, 1]))
        });
        // 2¹⁶ networks, of which one in 2¹⁴ meets any of the sixteen: 64.
        let shared = shared.count();
        assert!((32..128).contains(&shared), "{shared}");
    }

    #[test]
    fn who_meets_whom_hangs_on_the_key() {
        let meets = |key: u8| {
            let mut prefixes = Prefixes::new(1, 16, SipHasher13::new_with_key(&[key; 16]));
            prefixes.entered(ip("10.0.0.1"));
            (1..=255u8).filter(|&n| prefixes.is_full(IpAddr::from([10, 0, n, 1]))).collect::<alloc::vec::Vec<_>>()
        };
        assert_ne!(meets(1), meets(2));
    }
}
