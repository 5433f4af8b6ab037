//! Hashes of the tables that a received segment is looked up in.

use siphasher::sip::SipHasher13;
use std::net::IpAddr;
use synward_proto::{Endpoint, Tuple};

/// A keyed hash of tuples: the peer chooses the keys of the table, so it must not foresee their places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TupleHasher(SipHasher13);

impl TupleHasher {
    /// A hash under a secret.
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(key))
    }

    /// The hash of a tuple: over 12 bytes for IPv4 and 36 for IPv6, so that the families never meet.
    pub(crate) fn hash(&self, tuple: &Tuple) -> u64 {
        let Tuple { local, remote } = tuple;
        match (local.addr, remote.addr) {
            (IpAddr::V4(here), IpAddr::V4(there)) => {
                let mut key = [0; 12];
                key[..4].copy_from_slice(&here.octets());
                key[4..8].copy_from_slice(&there.octets());
                key[8..10].copy_from_slice(&local.port.to_be_bytes());
                key[10..].copy_from_slice(&remote.port.to_be_bytes());
                self.0.hash(&key)
            }
            (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => self.0.hash(&tuple.key()),
        }
    }
}

/// A cheap hash of local ends. The operator chooses the keys of the table; a peer chooses only which of them it asks for,
/// and so cannot make one search longer than the table is crowded. The factors are secret all the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalHasher {
    first: u64,
    second: u64,
}

impl LocalHasher {
    /// A hash under a secret.
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        // Drawn from the key rather than cut from it: the key has another use.
        let hasher = SipHasher13::new_with_key(key);
        Self { first: hasher.hash(b"first"), second: hasher.hash(b"second") }
    }

    /// The hash of a local end.
    pub(crate) fn hash(&self, local: &Endpoint) -> u64 {
        let addr = match local.addr {
            IpAddr::V4(addr) => addr.to_bits().into(),
            IpAddr::V6(addr) => addr.to_bits(),
        };
        let (high, low) = ((addr >> 64) as u64, addr as u64);
        let mixed = fold(low ^ self.first, high ^ u64::from(local.port) ^ self.second);
        fold(mixed ^ u64::from(local.port), self.second | 1)
    }
}

/// Both halves of a product.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::{LocalHasher, TupleHasher};
    use std::collections::HashSet;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use synward_proto::{Endpoint, Tuple};

    /// Ends that differ in one place each.
    fn ends() -> Vec<Endpoint> {
        let mut ends: Vec<_> = (0..1_000).map(|port| Endpoint::new(Ipv4Addr::new(10, 0, 0, 1).into(), port)).collect();
        ends.extend((0..1_000).map(|n| Endpoint::new(IpAddr::V4(Ipv4Addr::from_bits(n << 8)), 80)));
        ends.extend((0..128).map(|bit| Endpoint::new(IpAddr::V6(Ipv6Addr::from_bits(1 << bit)), 80)));
        ends
    }

    /// No two of the values share all of their low or all of their high bits, by which tables choose places and tags.
    fn assert_spread(hashes: &[u64]) {
        let bits = 2 * (hashes.len().ilog2() + 1);
        for shift in [0, 57] {
            let seen: HashSet<_> = hashes.iter().map(|hash| hash >> shift & ((1 << bits) - 1)).collect();
            let wanted = if shift == 0 { hashes.len() * 9 / 10 } else { 100 };
            assert!(seen.len() >= wanted, "{} of {} from bit {shift}", seen.len(), hashes.len());
        }
    }

    #[test]
    fn neighbours_land_far_apart() {
        let (local, tuples) = (LocalHasher::new(&[1; 16]), TupleHasher::new(&[1; 16]));
        let ends = ends();
        assert_spread(&ends.iter().map(|end| local.hash(end)).collect::<Vec<_>>());
        let tuple = |end: &Endpoint| Tuple { local: *end, remote: Endpoint { port: 1, ..*end } };
        assert_spread(&ends.iter().map(|end| tuples.hash(&tuple(end))).collect::<Vec<_>>());
    }

    #[test]
    fn both_directions_and_other_keys_are_other_hashes() {
        for end in ends().into_iter().skip(1) {
            let tuple = Tuple { local: end, remote: Endpoint { port: end.port ^ 1, ..end } };
            let hasher = TupleHasher::new(&[1; 16]);
            assert_ne!(hasher.hash(&tuple), hasher.hash(&tuple.reversed()));
            assert_ne!(hasher.hash(&tuple), TupleHasher::new(&[2; 16]).hash(&tuple));
            assert_ne!(LocalHasher::new(&[1; 16]).hash(&end), LocalHasher::new(&[2; 16]).hash(&end));
        }
    }
}
