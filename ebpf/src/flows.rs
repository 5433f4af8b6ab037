//! The flows that the engine knows, published to the program.
//!
//! Flows are kept as 16-bit fingerprints in buckets of fifteen. The filter is a multiset: flows with the same fingerprint and bucket
//! are told apart by number only, so that taking one away never hides another. A flow that finds its bucket full is counted
//! there, and the bucket passes everything until that many flows have gone: a known flow is never taken for unknown.
//!
//! Invariant defended (by the `Shared` implementation): see there.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::flow_bucket::{Bucket, FINGERPRINTS, Inserted};
use crate::mapped::{Mapped, Shared};

/// Keys of the hash.
pub(crate) const KEYS: usize = 10;

const _: () = assert!(size_of::<Bucket>() == 32);
// SAFETY: `repr(C)`, sixteen atomics of two bytes each, 32 bytes in all.
unsafe impl Shared for Bucket {}

/// The flows that pass while the shield is up. For any number of threads: an insertion costs one compare-and-swap, and neither
/// that nor a removal makes a system call or waits for anybody.
#[derive(Debug)]
pub struct KnownFlows {
    buckets: Mapped<Bucket>,
    keys: [u64; KEYS],
    overflows: AtomicU64,
}

/// Where a flow belongs.
struct Place {
    bucket: usize,
    fingerprint: u16,
}

impl KnownFlows {
    /// Buckets for so many flows at once: a power of two, and at most every other place taken (a million flows, in 4 MiB, take
    /// 51 of 100, which is near enough).
    pub(crate) fn buckets_for(flows: u32) -> u32 {
        (19 * u64::from(flows) / (10 * FINGERPRINTS as u64)).next_power_of_two().clamp(1, 1 << 26) as u32
    }

    pub(crate) fn new(buckets: Mapped<Bucket>, keys: [u64; KEYS]) -> Self {
        Self { buckets, keys, overflows: AtomicU64::new(0) }
    }

    /// Makes a flow known, from before this returns. `local` is ours.
    pub fn insert(&self, local: SocketAddr, remote: SocketAddr) {
        let Place { bucket, fingerprint } = self.place(local, remote);
        if self.buckets.values()[bucket].insert(fingerprint) == Inserted::Counted {
            self.overflows.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes back one [`insert`](Self::insert) of this flow.
    pub fn remove(&self, local: SocketAddr, remote: SocketAddr) {
        let Place { bucket, fingerprint } = self.place(local, remote);
        let found = self.buckets.values()[bucket].remove(fingerprint);
        debug_assert!(found, "{local} and {remote} were not known");
    }

    /// How many flows found their bucket full so far.
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    /// How many flows are known now. Reads the whole filter.
    pub fn count(&self) -> u64 {
        self.buckets.values().iter().map(Bucket::count).sum()
    }

    /// `flow_hash_of` and `flow_published` of bpf/flows.h.
    fn place(&self, local: SocketAddr, remote: SocketAddr) -> Place {
        let hash = hash(&self.keys, local, remote);
        let mask = self.buckets.values().len() - 1;
        Place { bucket: hash as usize & mask, fingerprint: ((hash >> 48) as u16).max(1) }
    }
}

/// Multilinear hashing (see bpf/flows.h): words as they lie in the packet, times secret keys.
fn hash(keys: &[u64; KEYS], local: SocketAddr, remote: SocketAddr) -> u64 {
    let (near, far) = (words(local.ip()), words(remote.ip()));
    let [a, b] = local.port().to_be_bytes();
    let [c, d] = remote.port().to_be_bytes();
    let ports = u32::from_ne_bytes([a, b, c, d]);
    let order = [near[0], far[0], ports, near[1], near[2], near[3], far[1], far[2], far[3]];
    let terms = keys[1..].iter().zip(order).map(|(key, word)| key.wrapping_mul(word.into()));
    let sum = terms.fold(keys[0], u64::wrapping_add);
    let mixed = (sum ^ sum >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}

/// An address in words as they lie in the packet, zeros behind IPv4.
fn words(address: IpAddr) -> [u32; 4] {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes = address.octets(),
    }
    let (words, _) = bytes.as_chunks::<4>();
    [0, 1, 2, 3].map(|word: usize| u32::from_ne_bytes(words[word]))
}
