//! The SYN queue: half-open connections in a table of fixed size (RFC 4987, section 3.5).
//!
//! A SYN costs one slot of 64 bytes and a tag of two. The table is a number of buckets of eight slots, chosen by a
//! keyed hash of the tuple; a full bucket gives up its oldest entry. Nothing is allocated, moved or rehashed after the
//! start. A lookup compares eight tags in one cache line and then, nearly always, at most one slot. Where the networks of
//! peers have a limit, each slot has two bytes more for their counts.

mod link_table;
mod prefixes;
mod queues;
mod slot;
#[cfg(test)]
mod tests;
mod timers;

use crate::half_open::{HalfOpen, Negotiated, Offer};
use crate::isn::Secrets;
use crate::{Counter, Counts, Head, Instant, Link, Tuple};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use link_table::{LinkTable, Way};
use prefixes::Prefixes;
use queues::Queues;
pub use queues::{ListenerId, SynQueue};
use siphasher::sip::SipHasher13;
use slot::{Slot, millis};
use timers::Waits;

/// Slots of a bucket.
const WAYS: usize = 8;

/// The tags of a bucket: a part of each entry's hash, or [`EMPTY`].
type Tags = [u16; WAYS];

/// The tag of no entry.
const EMPTY: u16 = 0;

/// How large a [`SynTable`] is, and how patient. Everything is allocated at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SynTableConfig {
    /// Entries that must fit, rounded up to a power of two. Four times the sum of the listeners' SYN queue limits makes a
    /// full bucket rare: even with every queue at its limit, about one SYN in a thousand finds one.
    pub capacity: u32,
    /// Distinct ways (local address, neighbour, VLAN tags) that entries may come by at the same time, at most 65,534.
    pub links: u16,
    /// How often a SYN-ACK is sent again (Linux: `tcp_synack_retries`, 5), at most [`SynTable::MAX_RETRIES`].
    pub synack_retries: u8,
    /// Entries that the peers of one network, an IPv4 /24 or an IPv6 /64, may have together: a flood from there leaves the
    /// rest to others. `None` sets no limit, as Linux.
    pub per_prefix: Option<u16>,
}

impl Default for SynTableConfig {
    fn default() -> Self {
        Self { capacity: 16_384, links: 1_024, synack_retries: 5, per_prefix: None }
    }
}

/// Half-open connections.
#[derive(Debug)]
pub struct SynTable {
    hasher: SipHasher13,
    tags: Vec<Tags>,
    slots: Vec<Slot>,
    links: LinkTable,
    prefixes: Option<Prefixes>,
    waits: Waits,
    queues: Queues,
    synack_retries: u8,
    len: u32,
    /// What changed, when somebody wants to know.
    changes: Option<Changes>,
}

/// Tuples that got an entry and those that lost theirs, since these were last taken.
#[derive(Debug, Default)]
struct Changes {
    entered: Vec<Tuple>,
    left: Vec<Tuple>,
}

/// An entry of the table, until the table changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryId(u32);

/// Where a tuple that has no entry would get one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vacancy {
    bucket: u32,
    tag: u16,
}

/// A half-open connection on its way into the table.
#[derive(Clone, Copy, Debug)]
pub struct Newcomer<'a> {
    /// The listener that it belongs to.
    pub listener: ListenerId,
    /// Who talks to whom.
    pub tuple: &'a Tuple,
    /// The way back to the neighbour.
    pub link: &'a Link,
    /// What the SYNs agreed on.
    pub negotiated: &'a Negotiated,
}

/// How a tuple got its entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// In a free slot.
    Free,
    /// In the slot of the oldest entry of a full bucket, which is gone.
    Evicting,
}

/// Why nothing is inserted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// All the rows for distinct [`Link`]s and local addresses are in use by other entries.
    LinksExhausted,
    /// The peer's network has as many entries as it [may have](SynTableConfig::per_prefix).
    PrefixFull,
}

/// What happened to an entry whose SYN-ACK was not answered in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Expired {
    /// Send the SYN-ACK again.
    Resend {
        /// The way to the neighbour.
        link: Link,
        /// The SYN-ACK.
        head: Head,
        /// Counters to raise by one.
        counts: Counts,
    },
    /// The entry is gone: its peer never answered.
    Forgotten {
        /// Counters to raise by one.
        counts: Counts,
    },
}

/// A half-open connection, as `ss` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SynReceived {
    /// The listener it belongs to.
    pub listener: ListenerId,
    /// Who talks to whom.
    pub tuple: Tuple,
    /// How often its SYN-ACK timed out so far.
    pub timeouts: u8,
    /// Until the next timeout.
    pub expires_in: Duration,
}

impl SynTable {
    /// The most that a SYN-ACK may be sent again; the last wait is then 64 s.
    pub const MAX_RETRIES: u8 = 6;

    /// An empty table.
    pub fn new(config: &SynTableConfig, secrets: &Secrets) -> Self {
        let buckets = (config.capacity as usize).div_ceil(WAYS).next_power_of_two();
        let hasher = secrets.table_hasher();
        Self {
            hasher,
            tags: vec![[EMPTY; WAYS]; buckets],
            slots: vec![Slot::EMPTY; buckets * WAYS],
            links: LinkTable::new(config.links, hasher),
            prefixes: config.per_prefix.map(|limit| Prefixes::new(limit, buckets * WAYS, hasher)),
            waits: Waits::new(),
            queues: Queues::new(),
            synack_retries: config.synack_retries.min(Self::MAX_RETRIES),
            len: 0,
            changes: None,
        }
    }

    /// Half-open connections of all listeners.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Half-open connections that fit.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Adds a listener with a SYN queue of its own; `None` when 65,536 exist already.
    pub fn add_listener(&mut self, limit: u32, offer: &Offer) -> Option<ListenerId> {
        self.queues.add(limit, offer)
    }

    /// Removes a listener and forgets its entries; returns how many. Walks the whole table once.
    pub(crate) fn remove_listener(&mut self, listener: ListenerId) -> u32 {
        let mut forgotten = 0;
        for index in 0..self.slots.len() {
            if self.is_used(index) && self.slots[index].listener == listener.0 {
                self.remove(EntryId(index as u32));
                forgotten += 1;
            }
        }
        self.queues.remove(listener);
        forgotten
    }

    /// Begins to note which tuples get an entry and which lose theirs. Whoever calls this takes the notes from time to time.
    pub fn watch(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// The tuples that got an entry since this was last asked, if they are [watched](Self::watch).
    pub fn take_entered(&mut self) -> impl Iterator<Item = Tuple> {
        self.changes.iter_mut().flat_map(|changes| changes.entered.drain(..))
    }

    /// The tuples whose entry went, for whatever reason, since this was last asked: each once for every time that it entered.
    pub fn take_left(&mut self) -> impl Iterator<Item = Tuple> {
        self.changes.iter_mut().flat_map(|changes| changes.left.drain(..))
    }

    /// The SYN queue of a listener.
    pub fn queue(&self, listener: ListenerId) -> SynQueue {
        self.queues.get(listener)
    }

    /// What a listener's SYN-ACKs offer.
    pub fn offer(&self, listener: ListenerId) -> &Offer {
        self.queues.offer(listener)
    }

    /// A listener's SYN-ACKs offer this from now on, also those that are sent again.
    pub fn set_offer(&mut self, listener: ListenerId, offer: &Offer) {
        self.queues.set_offer(listener, offer);
    }

    /// The entry of `tuple`, or where it would get one.
    ///
    /// # Errors
    /// The tuple has no entry.
    pub fn find(&self, tuple: &Tuple) -> Result<EntryId, Vacancy> {
        let hash = self.hash(tuple);
        let bucket = hash as usize & (self.tags.len() - 1);
        let tag = (hash >> 48) as u16 | 1;
        for (way, _) in self.tags[bucket].iter().enumerate().filter(|(_, have)| **have == tag) {
            let index = bucket * WAYS + way;
            let slot = &self.slots[index];
            if slot.is_of(tuple) && self.links.way(slot.way).local == tuple.local.addr {
                return Ok(EntryId(index as u32));
            }
        }
        Err(Vacancy { bucket: bucket as u32, tag })
    }

    /// Adds an entry whose SYN-ACK is sent now. A full bucket gives up its oldest entry.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn insert(&mut self, now: Instant, vacancy: Vacancy, newcomer: &Newcomer<'_>) -> Result<Inserted, Refused> {
        let Newcomer { listener, tuple, link, negotiated } = *newcomer;
        if self.prefixes.as_ref().is_some_and(|prefixes| prefixes.is_full(tuple.remote.addr)) {
            return Err(Refused::PrefixFull);
        }
        let way = self.links.acquire(&Way { local: tuple.local.addr, link: *link }).ok_or(Refused::LinksExhausted)?;
        let bucket = vacancy.bucket as usize;
        let free = self.tags[bucket].iter().position(|&tag| tag == EMPTY);
        let inserted = if free.is_some() { Inserted::Free } else { Inserted::Evicting };
        let place = free.unwrap_or_else(|| self.evict_oldest(bucket, now));

        let index = bucket * WAYS + place;
        self.tags[bucket][place] = vacancy.tag;
        let slot = Slot::pack(now, tuple, negotiated, way, listener.0);
        self.waits.push(&mut self.slots, index as u32, slot, now);
        self.queues.entered(listener);
        if let Some(prefixes) = &mut self.prefixes {
            prefixes.entered(tuple.remote.addr);
        }
        self.len += 1;
        if let Some(changes) = &mut self.changes {
            changes.entered.push(*tuple);
        }
        Ok(inserted)
    }

    /// Forgets the oldest entry of a full bucket and returns its place.
    fn evict_oldest(&mut self, bucket: usize, now: Instant) -> usize {
        let first = bucket * WAYS;
        let age = |way: &usize| millis(now).wrapping_sub(self.slots[first + way].created);
        let place = (0..WAYS).max_by_key(age).unwrap_or(0);
        self.remove(EntryId((first + place) as u32));
        place
    }

    /// Removes an entry that is acknowledged now, and returns what it stood for.
    pub fn complete(&mut self, entry: EntryId, now: Instant) -> HalfOpen {
        let round_trip = self.slots[entry.0 as usize].round_trip(millis(now));
        HalfOpen { round_trip, ..self.remove(entry) }
    }

    /// Removes an entry and returns what it stood for.
    pub fn remove(&mut self, entry: EntryId) -> HalfOpen {
        let index = entry.0 as usize;
        let slot = self.waits.remove(&mut self.slots, entry.0);
        self.tags[index / WAYS][index % WAYS] = EMPTY;
        let tuple = slot.tuple(self.links.way(slot.way).local);
        if let Some(changes) = &mut self.changes {
            changes.left.push(tuple);
        }
        if let Some(prefixes) = &mut self.prefixes {
            prefixes.left(tuple.remote.addr);
        }
        self.links.release(slot.way);
        self.queues.left(ListenerId(slot.listener), slot.timeouts());
        self.len -= 1;
        slot.half_open()
    }

    /// What an entry stands for.
    pub fn half_open(&self, entry: EntryId) -> HalfOpen {
        self.slots[entry.0 as usize].half_open()
    }

    /// The listener that an entry belongs to.
    pub fn listener(&self, entry: EntryId) -> ListenerId {
        ListenerId(self.slots[entry.0 as usize].listener)
    }

    /// Whether an invalid segment for an entry may be answered now: one in 500 ms is (Linux: `tcp_oow_rate_limited`).
    /// Taking the permission uses it up.
    pub fn may_answer(&mut self, entry: EntryId, now: Instant) -> bool {
        self.slots[entry.0 as usize].may_answer(millis(now))
    }

    /// Starts the wait of an entry again, after its SYN-ACK was sent out of turn.
    pub fn restart_wait(&mut self, entry: EntryId, now: Instant) {
        let mut slot = self.waits.remove(&mut self.slots, entry.0);
        slot.repeated();
        self.waits.push(&mut self.slots, entry.0, slot, now);
    }

    /// When the first SYN-ACK of an entry was sent, on the wrapping millisecond clock.
    pub fn first_sent_millis(&self, entry: EntryId) -> u32 {
        self.slots[entry.0 as usize].created
    }

    /// Every half-open connection.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = SynReceived> {
        let used = (0..self.slots.len()).filter(|&index| self.is_used(index));
        used.map(move |index| {
            let slot = &self.slots[index];
            SynReceived {
                listener: ListenerId(slot.listener),
                tuple: slot.tuple(self.links.way(slot.way).local),
                timeouts: slot.timeouts(),
                expires_in: timers::remaining(slot, now),
            }
        })
    }

    /// When [`poll_expired`](Self::poll_expired) next has something to do.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.waits.until_due(&self.slots, now).map(|left| now + left)
    }

    /// Takes one entry whose time has come: its SYN-ACK is due again, or it is forgotten (Linux: `reqsk_timer_handler`).
    /// Call it until `None` or until the turn's budget is used up.
    pub fn poll_expired(&mut self, now: Instant) -> Option<Expired> {
        let index = self.waits.due(&self.slots, now)?;
        let slot = &self.slots[index as usize];
        let listener = ListenerId(slot.listener);
        if slot.timeouts() >= self.queues.retries(listener, self.synack_retries) {
            self.remove(EntryId(index));
            return Some(Expired::Forgotten { counts: Counts::of(&[Counter::TCPTimeouts]) });
        }
        let mut slot = self.waits.remove(&mut self.slots, index);
        self.queues.timed_out(listener, slot.timeouts());
        slot.count_timeout();
        let way = self.links.way(slot.way);
        let head = slot.half_open().negotiated.syn_ack(now, &slot.tuple(way.local), self.queues.offer(listener));
        let link = way.link;
        self.waits.push(&mut self.slots, index, slot, now);
        let counts = Counts::of(&[Counter::TCPTimeouts, Counter::RetransSegs, Counter::TCPSynRetrans]);
        Some(Expired::Resend { link, head, counts })
    }

    fn is_used(&self, index: usize) -> bool {
        self.tags[index / WAYS][index % WAYS] != EMPTY
    }

    fn hash(&self, tuple: &Tuple) -> u64 {
        crate::isn::Message::of(tuple).hash(|bytes| self.hasher.hash(bytes))
    }
}
