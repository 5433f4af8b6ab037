//! Source ports of connections that we open: which are free towards a peer, found at once however many are in use.
//!
//! RFC 6056, section 3.3.4: ports towards one peer are taken in order from a place that a keyed hash gives, so that neither
//! peers nor strangers learn from some ports which come next elsewhere. A port is used towards many peers at once; what must be unique is
//! the whole tuple, and a shard uses only ports whose tuples it owns.

use crate::SocketError;
use crate::connections::Slot;
use crate::crossing::Crossing;
use crate::shard::Shard;
use hashbrown::HashMap;
use siphasher::sip::SipHasher13;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use synward_proto::connection::Reuse;
use synward_proto::{Counter, Endpoint, Instant, Tuple};

/// Peers towards which ports can be in use at once. Each costs about 8 KiB.
const MOST_PEERS: usize = 4096;
/// Ports that share a word.
const WORD: u16 = 64;
/// Words of a pool.
const WORDS: usize = (1 << 16) / WORD as usize;
/// Names of ports in TIME-WAIT that are kept, stale ones included; past it, the oldest has to wait until it is free.
const MOST_LINGERING: usize = 2 << 16;
/// Names of ports in TIME-WAIT that are looked at per attempt, stale ones included.
const LOOKS: usize = 64;

/// The source ports of a shard.
#[derive(Debug)]
pub(crate) struct SourcePorts {
    range: RangeInclusive<u16>,
    hasher: SipHasher13,
    /// By our address and the peer's end. The operator chooses the peers, and so the keys.
    pools: HashMap<(IpAddr, Endpoint), Pool, std::hash::RandomState>,
    /// Ports in use, towards all peers together, those in TIME-WAIT included.
    used: u64,
    /// The rule of ownership that they go by.
    epoch: u8,
}

/// The ports towards one peer.
#[derive(Debug)]
struct Pool {
    /// By port: whether it is in the range, its tuple is ours, and it is not in use. Words are filled in when they are first
    /// looked at.
    free: Box<[u64; WORDS]>,
    /// By word: whether it was filled in.
    known: [u64; WORDS / 64],
    /// By word: whether it may have a free port.
    open: [u64; WORDS / 64],
    /// Where the search for the next port begins.
    next: u16,
    used: u32,
    /// Ports whose tuples entered TIME-WAIT, the oldest first; some may have left it since.
    lingering: VecDeque<u16>,
}

impl SourcePorts {
    /// Ports of `range`, taken in an order that hangs on `key`.
    pub(crate) fn new(range: RangeInclusive<u16>, key: &[u8; 16]) -> Self {
        Self { range, hasher: SipHasher13::new_with_key(key), pools: HashMap::default(), used: 0, epoch: 0 }
    }

    /// Begins new books when ownership goes by another rule than before: which ports are ours has changed.
    fn go_by(&mut self, epoch: u8) {
        if std::mem::replace(&mut self.epoch, epoch) != epoch {
            self.pools.clear();
            self.used = 0;
        }
    }

    /// Takes the next free port towards the peer of `tuple`.
    fn take(&mut self, tuple: &Tuple, crossing: &Crossing) -> Result<Option<u16>, SocketError> {
        let range = self.range.clone();
        let Some(pool) = self.pool(tuple) else { return Err(SocketError::NoBuffers) };
        let owns = |port| range.contains(&port) && crossing.owns(&with_port(tuple, port));
        let taken = pool.take(&owns);
        self.used += u64::from(taken.is_some());
        Ok(taken)
    }

    /// Takes the port of `tuple`, which was chosen elsewhere. Outside of the range nobody keeps books.
    pub(crate) fn claim(&mut self, tuple: &Tuple, crossing: &Crossing) {
        let range = self.range.clone();
        if !range.contains(&tuple.local.port) {
            return;
        }
        if let Some(pool) = self.pool(tuple) {
            let owns = |port| range.contains(&port) && crossing.owns(&with_port(tuple, port));
            self.used += u64::from(pool.claim(tuple.local.port, &owns));
        }
    }

    /// The tuple stands for nothing any more.
    pub(crate) fn release(&mut self, tuple: &Tuple) {
        let released = self.pool_of(tuple).is_some_and(|pool| pool.release(tuple.local.port));
        self.used -= u64::from(released);
    }

    /// The tuple enters TIME-WAIT.
    pub(crate) fn linger(&mut self, tuple: &Tuple) {
        let Some(pool) = self.pool_of(tuple).filter(|pool| pool.is_used(tuple.local.port)) else { return };
        if pool.lingering.len() >= MOST_LINGERING {
            pool.lingering.pop_front();
        }
        pool.lingering.push_back(tuple.local.port);
    }

    /// The ports towards the peer of `tuple` that entered TIME-WAIT, the oldest first.
    fn lingering(&mut self, tuple: &Tuple) -> Option<&mut VecDeque<u16>> {
        self.pools.get_mut(&(tuple.local.addr, tuple.remote)).map(|pool| &mut pool.lingering)
    }

    /// The tuple has left TIME-WAIT, and its port stays in use.
    fn forget_lingering(&mut self, tuple: &Tuple) {
        if let Some(ports) = self.lingering(tuple) {
            ports.pop_front_if(|port| *port == tuple.local.port);
        }
    }

    /// Ports in use, towards all peers together, those in TIME-WAIT included.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// The pool that the port of `tuple` is of, if there is one.
    fn pool_of(&mut self, tuple: &Tuple) -> Option<&mut Pool> {
        if self.pools.is_empty() || !self.range.contains(&tuple.local.port) {
            return None;
        }
        self.pools.get_mut(&(tuple.local.addr, tuple.remote))
    }

    /// The pool towards the peer of `tuple`, made if need be; `None` when there are too many.
    fn pool(&mut self, tuple: &Tuple) -> Option<&mut Pool> {
        let key = (tuple.local.addr, tuple.remote);
        if self.pools.len() >= MOST_PEERS && !self.pools.contains_key(&key) {
            self.pools.retain(|_, pool| pool.used > 0);
            if self.pools.len() >= MOST_PEERS {
                return None;
            }
        }
        let (range, hasher) = (&self.range, &self.hasher);
        Some(self.pools.entry(key).or_insert_with(|| Pool::new(range, hasher.hash(&with_port(tuple, 0).key()))))
    }
}

fn with_port(tuple: &Tuple, port: u16) -> Tuple {
    Tuple { local: Endpoint::new(tuple.local.addr, port), remote: tuple.remote }
}

impl Pool {
    /// A pool over `range` whose first port is where `hash` says.
    fn new(range: &RangeInclusive<u16>, hash: u64) -> Self {
        let count = u64::from(range.end() - range.start()) + 1;
        // Below the count, which fits as it is the length of a range of ports.
        let next = range.start() + (hash % count) as u16;
        let mut open = [0; WORDS / 64];
        for word in usize::from(range.start() / WORD)..=usize::from(range.end() / WORD) {
            set(&mut open, word, true);
        }
        Self { free: Box::new([0; WORDS]), known: [0; WORDS / 64], open, next, used: 0, lingering: VecDeque::new() }
    }

    fn take(&mut self, owns: &impl Fn(u16) -> bool) -> Option<u16> {
        let port = self.find_from(self.next, owns).or_else(|| self.find_from(0, owns))?;
        self.mark_used(port);
        self.next = port.wrapping_add(1);
        Some(port)
    }

    /// The first free port that is not below `start`.
    fn find_from(&mut self, start: u16, owns: &impl Fn(u16) -> bool) -> Option<u16> {
        let mut word = usize::from(start / WORD);
        // In the first word, ports below the start do not count.
        let mut mask = u64::MAX << (start % WORD);
        loop {
            self.fill_in(word, owns);
            let bits = self.free[word] & mask;
            if bits != 0 {
                return Some(word as u16 * WORD + bits.trailing_zeros() as u16);
            }
            mask = u64::MAX;
            word = next_set(&self.open, word + 1)?;
        }
    }

    /// Looks which ports of a word are ours, once.
    fn fill_in(&mut self, word: usize, owns: &impl Fn(u16) -> bool) {
        if is_set(&self.known, word) {
            return;
        }
        set(&mut self.known, word, true);
        let first = word as u16 * WORD;
        self.free[word] = (0..WORD).filter(|bit| owns(first + bit)).fold(0, |bits, bit| bits | 1 << bit);
        set(&mut self.open, word, self.free[word] != 0);
    }

    /// Takes this port; false when it is not ours or in use.
    fn claim(&mut self, port: u16, owns: &impl Fn(u16) -> bool) -> bool {
        self.fill_in(usize::from(port / WORD), owns);
        let is_free = !self.is_used(port);
        if is_free {
            self.mark_used(port);
        }
        is_free
    }

    /// Whether a port that is ours is in use.
    fn is_used(&self, port: u16) -> bool {
        is_set(&self.known, usize::from(port / WORD)) && !is_set(&self.free[..], usize::from(port))
    }

    fn mark_used(&mut self, port: u16) {
        let word = usize::from(port / WORD);
        self.free[word] &= !(1 << (port % WORD));
        set(&mut self.open, word, self.free[word] != 0);
        self.used += 1;
    }

    /// Makes this port free; false when it was.
    fn release(&mut self, port: u16) -> bool {
        if !self.is_used(port) {
            return false;
        }
        let word = usize::from(port / WORD);
        self.free[word] |= 1 << (port % WORD);
        set(&mut self.open, word, true);
        self.used -= 1;
        while self.lingering.front().is_some_and(|&port| !self.is_used(port)) {
            self.lingering.pop_front();
        }
        true
    }
}

/// Both ends of a connection to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claim {
    /// They stand for nothing.
    Fresh(Tuple),
    /// They were a connection's in TIME-WAIT, whose numbers go on.
    Again(Reuse),
}

impl Shard {
    /// Ends towards the peer of `wanted` whose port was free; or, when none is, those that have been in TIME-WAIT longest, if they
    /// may be used again already.
    pub(crate) fn choose_source_port(&mut self, now: Instant, wanted: &Tuple) -> Result<Claim, SocketError> {
        self.source_ports.go_by(self.crossing.steering_epoch());
        while let Some(port) = self.source_ports.take(wanted, &self.crossing)? {
            let tuple = with_port(wanted, port);
            // Taken before ownership changed, it is not in the books.
            if self.connections.find(&tuple).is_none() {
                return Ok(Claim::Fresh(tuple));
            }
        }
        for _ in 0..LOOKS {
            let Some(ports) = self.source_ports.lingering(wanted) else { break };
            let Some(&port) = ports.front() else { break };
            match self.connections.find(&with_port(wanted, port)) {
                Some(Slot::TimeWait(index)) => match self.take_over(now, index) {
                    Some(reuse) => return Ok(Claim::Again(reuse)),
                    // An older name of a port that has entered TIME-WAIT again may be the first: others may be ripe.
                    None => {
                        if let Some(ports) = self.source_ports.lingering(wanted) {
                            ports.rotate_left(1);
                        }
                    }
                },
                Some(Slot::Connection(_)) | None => drop(ports.pop_front()),
            }
        }
        self.stats.count(Counter::SourcePortsExhausted);
        Err(SocketError::AddressNotAvailable)
    }

    /// Ends an entry in TIME-WAIT for a new connection of ours between the same ends, if that is safe; the port stays in use.
    pub(crate) fn take_over(&mut self, now: Instant, index: u32) -> Option<Reuse> {
        let reuse = self.connections.time_wait_mut(index)?.state.reuse(now)?;
        let tuple = self.remove_time_wait(index)?;
        self.source_ports.forget_lingering(&tuple);
        Some(reuse)
    }
}

fn is_set(bits: &[u64], index: usize) -> bool {
    bits[index / 64] & (1 << (index % 64)) != 0
}

fn set(bits: &mut [u64], index: usize, value: bool) {
    let mask = 1 << (index % 64);
    if value { bits[index / 64] |= mask } else { bits[index / 64] &= !mask }
}

/// The first index from `start` on that is set.
fn next_set(bits: &[u64], start: usize) -> Option<usize> {
    let mut place = start / 64;
    let mut word = bits.get(place)? & (u64::MAX << (start % 64));
    while word == 0 {
        place += 1;
        word = *bits.get(place)?;
    }
    Some(place * 64 + word.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::{Pool, SourcePorts, with_port};
    use std::collections::{HashSet, VecDeque};
    use synward_proto::{Endpoint, Tuple};

    fn tuple(peer: u8) -> Tuple {
        Tuple { local: Endpoint::new([192, 0, 2, 1].into(), 0), remote: Endpoint::new([198, 51, 100, peer].into(), 80) }
    }

    #[test]
    fn every_port_of_ours_is_taken_once_and_no_other() {
        for (range, seed) in [(1..=u16::MAX, 0), (20_000..=59_999, 12_345), (40_000..=40_000, 7), (63..=64, 9)] {
            let mut pool = Pool::new(&range, seed);
            let owns = |port: u16| range.contains(&port) && port % 3 != 1;
            let mut seen = HashSet::new();
            while let Some(port) = pool.take(&owns) {
                assert!(owns(port) && seen.insert(port), "{port}");
            }
            assert_eq!(seen.len(), range.clone().filter(|&port| owns(port)).count(), "{range:?}");
            assert_eq!(pool.used as usize, seen.len());
            assert_eq!(pool.take(&owns), None);
        }
    }

    #[test]
    fn a_freed_port_is_found_again_when_it_is_the_only_one() {
        let range = 20_000..=59_999;
        let mut pool = Pool::new(&range, 99);
        let owns = |port: u16| range.contains(&port);
        while pool.take(&owns).is_some() {}
        for port in [20_000, 20_063, 20_064, 41_234, 59_999] {
            assert!(pool.release(port) && !pool.release(port));
            assert_eq!(pool.take(&owns), Some(port));
            assert_eq!(pool.take(&owns), None);
        }
        assert_eq!(pool.used, 40_000);
    }

    #[test]
    fn ports_go_round_before_one_is_used_again() {
        let range = 100..=199;
        let mut pool = Pool::new(&range, 3);
        let mut last = VecDeque::new();
        for _ in 0..1_000 {
            let port = pool.take(&|port| range.contains(&port)).expect("one of them is free");
            assert!(!last.contains(&port));
            last.push_back(port);
            if last.len() == 99 {
                last.pop_front();
            }
            pool.release(port);
        }
    }

    #[test]
    fn peers_begin_at_places_of_their_own() {
        let ports = SourcePorts::new(20_000..=59_999, &[1; 16]);
        let first = |ports: &SourcePorts, peer| ports.hasher.hash(&with_port(&tuple(peer), 0).key()) % 40_000;
        let starts: HashSet<_> = (0..100).map(|peer| first(&ports, peer)).collect();
        assert!(starts.len() > 95, "{}", starts.len());
        let other = SourcePorts::new(20_000..=59_999, &[2; 16]);
        assert_ne!(first(&ports, 1), first(&other, 1));
    }
}
