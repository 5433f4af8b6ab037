//! By a hash of the connection (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
//! section 3.4).

use super::{BackendIndex, MAX_BACKENDS, TableSize};
use siphasher::sip128::SipHasher13;
use synward_proto::{Endpoint, Tuple};

/// Fixed, so that front ends that know nothing of each other choose alike. Whoever knows it can find source ports that lead
/// to one backend, as any client of a consistent hash can by trying; every backend has to stand its clients anyway.
const CONNECTION_KEY: (u64, u64) = (0x7379_6e77_6172_6420, 0x636f_6e6e_6563_7420);
/// Another one for the backends' permutations, so that what lands where is not tied to a backend's own address.
const BACKEND_KEY: (u64, u64) = (0x7379_6e77_6172_6420, 0x6261_636b_656e_6420);
/// Entries of the table that a connection looks at before its choice is made among the usable backends directly.
const PROBES: u32 = 64;

/// A lookup table in which each backend has a share of the entries by its weight, and most entries stay where they are when
/// a backend comes or goes. The same backends give the same table in whatever order they are listed.
#[derive(Clone, Debug)]
pub struct Maglev {
    /// Each entry is the index of a backend; empty where no backend has a weight.
    table: Box<[u8]>,
    size: u64,
    /// The backends with a weight, in the order of their addresses.
    ordered: Box<[(BackendIndex, u16)]>,
}

/// A backend's way through the table: all entries in an order of its own.
struct Permutation {
    next: u64,
    skip: u64,
}

impl Maglev {
    /// The table for backends with these addresses and weights, the first [`MAX_BACKENDS`] of them; one of weight 0 gets no
    /// share. Takes time in proportion to the table.
    pub fn new(backends: &[(Endpoint, u16)], size: TableSize) -> Self {
        let mut ordered: Vec<(BackendIndex, Endpoint, u16)> = BackendIndex::first(MAX_BACKENDS)
            .zip(backends)
            .map(|(index, &(address, weight))| (index, address, weight))
            .filter(|&(_, _, weight)| weight > 0)
            .collect();
        ordered.sort_by_key(|&(_, address, _)| address);
        Self {
            table: populate(&ordered, size),
            size: size.get().into(),
            ordered: ordered.into_iter().map(|(index, _, weight)| (index, weight)).collect(),
        }
    }

    /// The backend of a connection, among those that are usable.
    ///
    /// Where the connection's own entry leads to one that is not, the connection goes on through the table by a stride of its
    /// own: those of a lost backend are spread over all others by weight, and nobody else's connections move.
    pub fn pick(&self, connection: &Tuple, usable: impl Fn(BackendIndex) -> bool) -> Option<BackendIndex> {
        if self.table.is_empty() {
            return None;
        }
        let (hash, second) = hash(CONNECTION_KEY, &connection.key());
        let (mut entry, stride) = (hash % self.size, second % (self.size - 1) + 1);
        for _ in 0..PROBES {
            let backend = self.entry(entry);
            if usable(backend) {
                return Some(backend);
            }
            entry = (entry + stride) % self.size;
        }
        self.among_usable(second, usable)
    }

    /// The backend of each entry of the table.
    #[cfg(test)]
    pub(super) fn entries(&self) -> impl Iterator<Item = BackendIndex> {
        self.table.iter().map(|&index| BackendIndex(index))
    }

    /// By weight among the few that are usable.
    fn among_usable(&self, hash: u64, usable: impl Fn(BackendIndex) -> bool) -> Option<BackendIndex> {
        let candidates = || self.ordered.iter().filter(|(backend, _)| usable(*backend));
        let weights: u64 = candidates().map(|&(_, weight)| u64::from(weight)).sum();
        let mut place = hash.checked_rem(weights)?;
        for &(backend, weight) in candidates() {
            match place.checked_sub(weight.into()) {
                Some(behind) => place = behind,
                None => return Some(backend),
            }
        }
        None
    }

    fn entry(&self, entry: u64) -> BackendIndex {
        // Less than the table's length, which is a u32.
        BackendIndex(self.table[usize::try_from(entry).unwrap_or_default()])
    }
}

/// The paper's `Populate`: in turn each backend takes the next entry of its permutation that is free. A backend with half the
/// greatest weight takes every second turn, and so on.
fn populate(ordered: &[(BackendIndex, Endpoint, u16)], size: TableSize) -> Box<[u8]> {
    let Some(greatest) = ordered.iter().map(|&(_, _, weight)| u32::from(weight)).max() else { return Box::default() };
    let mut table: Vec<Option<u8>> = vec![None; size.get() as usize];
    let mut free = table.len();
    let mut ways: Vec<Permutation> = ordered.iter().map(|(_, address, _)| permutation(*address, size)).collect();
    let mut credits = vec![0_u32; ordered.len()];
    while free > 0 {
        for ((way, credit), &(index, _, weight)) in ways.iter_mut().zip(&mut credits).zip(ordered) {
            *credit += u32::from(weight);
            if *credit < greatest || free == 0 {
                continue;
            }
            *credit -= greatest;
            while table[way.next as usize].is_some() {
                way.step(size);
            }
            table[way.next as usize] = Some(index.0);
            free -= 1;
        }
    }
    table.into_iter().flatten().collect()
}

fn permutation(address: Endpoint, size: TableSize) -> Permutation {
    let mut key = [0; 18];
    key[..16].copy_from_slice(&address.addr_bytes());
    key[16..].copy_from_slice(&address.port.to_be_bytes());
    let (first, second) = hash(BACKEND_KEY, &key);
    let size = u64::from(size.get());
    Permutation { next: first % size, skip: second % (size - 1) + 1 }
}

impl Permutation {
    /// The size is a prime, so that every entry is met before one is met again.
    fn step(&mut self, size: TableSize) {
        self.next = (self.next + self.skip) % u64::from(size.get());
    }
}

fn hash((k0, k1): (u64, u64), bytes: &[u8]) -> (u64, u64) {
    let hash = SipHasher13::new_with_keys(k0, k1).hash(bytes);
    (hash.h1, hash.h2)
}
