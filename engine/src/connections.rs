//! The connections of one shard: where each is, and how to find it by its tuple.

use crate::outbox::Outbox;
use crate::shield_link::{Flows, Shield};
use crate::socket::SocketId;
use crate::table_hash::TupleHasher;
use crate::time_waits::{TimeWaitEntry, TimeWaits};
use crate::timer_wheel::TimerId;
use hashbrown::HashTable;
use slab::Slab;
use std::sync::Arc;
use synward_proto::connection::Connection;
use synward_proto::{Link, Tuple};

/// Names a connection within its shard. An index is used again; the pair of index and generation only after 2³² others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ConnId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A socket of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reader {
    pub(crate) worker: u16,
    pub(crate) socket: SocketId,
}

/// Who reads and writes a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// Nobody yet: it waits in a listener's accept queue for this worker.
    Queue(u16),
    /// A worker.
    Socket(Reader),
    /// Another connection of this shard, by this splice.
    Spliced(u32),
    /// Nobody any more: the application closed it, and it lives until the peer has seen that.
    Nobody,
}

/// A connection and what surrounds it.
#[derive(Debug)]
pub(crate) struct Entry {
    generation: u32,
    /// The way to the peer, refreshed by valid segments only.
    pub(crate) link: Link,
    pub(crate) connection: Connection,
    pub(crate) owner: Owner,
    /// What its worker has not been told yet.
    pub(crate) outbox: Outbox,
    /// Received frames that hold unread payload, here or with the worker.
    pub(crate) frames_held: u32,
    pub(crate) timer: Option<TimerId>,
}

impl Entry {
    /// What tells it from others at the same index.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }
}

/// What a tuple stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    /// The index of an [`Entry`].
    Connection(u32),
    /// The index of a [`TimeWaitEntry`].
    TimeWait(u32),
}

/// A [`Slot`] as the tuple table keeps it, in half the room: there are several places for each connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place(u32);

impl Place {
    /// Set for TIME-WAIT. Indices stay below it: the limits of both kinds do.
    const TIME_WAIT: u32 = 1 << 31;
}

impl From<Slot> for Place {
    fn from(slot: Slot) -> Self {
        match slot {
            Slot::Connection(index) => Self(index),
            Slot::TimeWait(index) => Self(index | Self::TIME_WAIT),
        }
    }
}

impl From<Place> for Slot {
    fn from(Place(place): Place) -> Self {
        let index = place & !Place::TIME_WAIT;
        if place == index { Self::Connection(index) } else { Self::TimeWait(index) }
    }
}

fn tuple_of<'a>(entries: &'a Slab<Entry>, time_waits: &'a TimeWaits, slot: Slot) -> Option<&'a Tuple> {
    match slot {
        Slot::Connection(index) => entries.get(index as usize).map(|entry| entry.connection.tuple()),
        Slot::TimeWait(index) => time_waits.get(index).map(|entry| &entry.tuple),
    }
}

/// How many places the tuple table has for so many entries. Removals leave tombstones where places are crowded, and when
/// tombstones have used up the room, the table rehashes in place (1–2 ms). With four places for each entry, two million
/// removals from a full table use up less than a hundredth of the room; with two, all of it (see the test).
const fn places_for(entries: usize) -> usize {
    (entries * 4).next_power_of_two()
}

/// A tuple table with room for so many entries that lives long without rehashing.
fn roomy_table<T>(entries: usize) -> HashTable<T> {
    // hashbrown fills up to seven of eight places, and rounds up to a power of two itself.
    HashTable::with_capacity(places_for(entries) / 8 * 7)
}

/// All connections of a shard, those in TIME-WAIT included. Everything is allocated at the start.
#[derive(Debug)]
pub(crate) struct Connections {
    entries: Slab<Entry>,
    time_waits: TimeWaits,
    /// The peer chooses its keys: hashed under a secret.
    by_tuple: HashTable<Place>,
    hasher: TupleHasher,
    limit: usize,
    next_generation: u32,
    /// Every tuple that stands for something.
    flows: Flows,
}

impl Connections {
    /// No connections, and room for so many. The shield is told what tuples stand for something.
    pub(crate) fn new(limit: usize, time_wait_limit: usize, key: &[u8; 16], shield: Option<Arc<dyn Shield>>) -> Self {
        Self {
            entries: Slab::with_capacity(limit),
            time_waits: TimeWaits::new(time_wait_limit),
            by_tuple: roomy_table(limit + time_wait_limit),
            hasher: TupleHasher::new(key),
            limit,
            next_generation: 0,
            flows: Flows::new(shield),
        }
    }

    /// What `tuple` stands for.
    pub(crate) fn find(&self, tuple: &Tuple) -> Option<Slot> {
        let hash = self.hasher.hash(tuple);
        self.by_tuple.find(hash, |&place| self.tuple_of(place.into()) == Some(tuple)).map(|&place| place.into())
    }

    /// Whether one more would be too many.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.limit
    }

    /// Adds a connection whose tuple stands for nothing yet. `None` when the table is full.
    pub(crate) fn insert(&mut self, link: Link, connection: Connection, owner: Owner) -> Option<ConnId> {
        if self.is_full() {
            return None;
        }
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let tuple = *connection.tuple();
        let outbox = Outbox::default();
        let entry = Entry { generation, link, connection, owner, outbox, frames_held: 0, timer: None };
        let index = self.entries.insert(entry) as u32;
        self.map(tuple, Slot::Connection(index));
        Some(ConnId { index, generation })
    }

    /// The connection at an index.
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Entry> {
        self.entries.get_mut(index as usize)
    }

    /// Two connections at once; `None` unless both exist and are not the same.
    pub(crate) fn pair_mut(&mut self, a: u32, b: u32) -> Option<(&mut Entry, &mut Entry)> {
        if a == b { None } else { self.entries.get2_mut(a as usize, b as usize) }
    }

    /// The index of a connection that still exists.
    pub(crate) fn resolve(&self, id: ConnId) -> Option<u32> {
        self.entries.get(id.index as usize).filter(|entry| entry.generation == id.generation).map(|_| id.index)
    }

    /// Makes the tuple of a connection stand for nothing: it is over, though its worker may not know yet.
    pub(crate) fn unmap(&mut self, index: u32) {
        if let Some(tuple) = self.entries.get(index as usize).map(|entry| *entry.connection.tuple()) {
            self.unmap_slot(&tuple, Slot::Connection(index));
        }
    }

    /// Removes a connection that was [unmapped](Self::unmap).
    pub(crate) fn remove(&mut self, index: u32) -> Option<Entry> {
        self.entries.try_remove(index as usize)
    }

    /// The oldest entry in TIME-WAIT when there is no room for one more: remove it first.
    pub(crate) fn time_wait_to_evict(&self) -> Option<u32> {
        self.time_waits.is_full().then(|| self.time_waits.oldest()).flatten()
    }

    /// Adds an entry in TIME-WAIT whose tuple stands for nothing.
    pub(crate) fn insert_time_wait(&mut self, entry: TimeWaitEntry) -> u32 {
        let tuple = entry.tuple;
        let index = self.time_waits.insert(entry);
        self.map(tuple, Slot::TimeWait(index));
        index
    }

    /// The entry in TIME-WAIT at an index.
    pub(crate) fn time_wait_mut(&mut self, index: u32) -> Option<&mut TimeWaitEntry> {
        self.time_waits.get_mut(index)
    }

    /// Removes an entry in TIME-WAIT.
    pub(crate) fn remove_time_wait(&mut self, index: u32) -> Option<TimeWaitEntry> {
        if let Some(tuple) = self.time_waits.get(index).map(|entry| entry.tuple) {
            self.unmap_slot(&tuple, Slot::TimeWait(index));
        }
        self.time_waits.remove(index)
    }

    /// Connections.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The most there can be; every index is below it.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Entries in TIME-WAIT.
    pub(crate) fn time_waits(&self) -> &TimeWaits {
        &self.time_waits
    }

    /// The connection at an index.
    pub(crate) fn get(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index as usize)
    }

    /// Every tuple that stands for something.
    pub(crate) fn tuples(&self) -> impl Iterator<Item = &Tuple> {
        self.by_tuple.iter().filter_map(|&place| self.tuple_of(place.into()))
    }

    /// Tells the shield which tuples have ceased to stand for something in this turn.
    pub(crate) fn end_turn(&mut self) {
        self.flows.end_turn();
    }

    fn tuple_of(&self, slot: Slot) -> Option<&Tuple> {
        tuple_of(&self.entries, &self.time_waits, slot)
    }

    fn map(&mut self, tuple: Tuple, slot: Slot) {
        debug_assert_eq!(self.find(&tuple).filter(|&found| found != slot), None, "{tuple:?} is taken");
        let Self { entries, time_waits, by_tuple, hasher, .. } = self;
        let hash_of =
            |place: &Place| tuple_of(entries, time_waits, (*place).into()).map_or(0, |tuple| hasher.hash(tuple));
        by_tuple.insert_unique(hasher.hash(&tuple), slot.into(), hash_of);
        self.flows.open(&tuple);
    }

    fn unmap_slot(&mut self, tuple: &Tuple, slot: Slot) {
        let hash = self.hasher.hash(tuple);
        if let Ok(found) = self.by_tuple.find_entry(hash, |&place| place == slot.into()) {
            found.remove();
            self.flows.close(tuple);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{places_for, roomy_table};
    use crate::table_hash::TupleHasher;
    use hashbrown::HashTable;
    use siphasher::sip::SipHasher13;
    use synward_proto::{Endpoint, Tuple};

    /// A number of entries for which nothing is rounded up: it leaves the fewest places free.
    const WORST: usize = (1 << 18) / 4;
    const _: () = assert!(places_for(WORST) == 1 << 18 && places_for(WORST + 1) == 1 << 19);

    /// Tuples that share their place under a hash without a key, as an attacker would choose them.
    fn colliding(key: &[u8; 16], count: usize) -> Vec<Tuple> {
        let known = TupleHasher::new(key);
        let tuple = |n: u32| Tuple {
            local: Endpoint::new([192, 0, 2, 1].into(), 80),
            remote: Endpoint::new(n.to_be_bytes().into(), 40_000),
        };
        (0..).map(tuple).filter(|tuple| known.hash(tuple).trailing_zeros() >= 8).take(count).collect()
    }

    /// Entries compared by look-ups of all `tuples` in a table that holds each under a number.
    fn compared(tuples: &[Tuple], hasher: &TupleHasher) -> u64 {
        let mut table: HashTable<u32> = roomy_table(tuples.len());
        for (number, tuple) in (0..).zip(tuples) {
            table.insert_unique(hasher.hash(tuple), number, |&number| hasher.hash(&tuples[number as usize]));
        }
        let mut compared = 0;
        for tuple in tuples {
            let found = table.find(hasher.hash(tuple), |&number| {
                compared += 1;
                tuples[number as usize] == *tuple
            });
            assert!(found.is_some());
        }
        compared
    }

    /// A look-up compares about one entry, however the peers choose their tuples; who knew the key could make it hundreds.
    #[test]
    fn chosen_tuples_cost_no_more_than_others() {
        const COUNT: usize = 4_096;
        let (known, secret) = ([0; 16], TupleHasher::new(&[9; 16]));
        let chosen = colliding(&known, COUNT);
        let looked_at = compared(&chosen, &secret);
        assert!(looked_at < COUNT as u64 * 21 / 20, "{looked_at} entries for {COUNT} look-ups");
        let known = compared(&chosen, &TupleHasher::new(&known));
        assert!(known > looked_at, "{known}: the choice has an effect where the key is known");
    }

    #[test]
    fn a_full_table_that_lives_long_keeps_its_room() {
        let mut table: HashTable<u64> = roomy_table(WORST);
        let hasher = SipHasher13::new_with_key(&[1; 16]);
        let mut random = (0_u64..).map(|n| hasher.hash(&n.to_le_bytes()));
        let mut random = || random.next().expect("there is no last one");
        let mut hashes: Vec<u64> = (0..WORST).map(|_| random()).collect();
        for &hash in &hashes {
            table.insert_unique(hash, hash, |&hash| hash);
        }
        let (capacity, mut least) = (table.capacity(), usize::MAX);
        for _ in 0..2_000_000 {
            let place = random() as usize % WORST;
            let old = std::mem::replace(&mut hashes[place], random());
            table.find_entry(old, |&hash| hash == old).expect("it is there").remove();
            table.insert_unique(hashes[place], hashes[place], |&hash| hash);
            // Every tombstone takes one from what the table says it could hold.
            least = least.min(table.capacity());
        }
        let tombstones = capacity - least;
        assert!(tombstones < (capacity - WORST) / 100, "{tombstones} tombstones of {}", capacity - WORST);
    }
}
