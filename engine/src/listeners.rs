//! The listeners of one shard, by local address.

use crate::accept_queue::{AcceptQueue, Shared};
use crate::shard::FamilyTerms;
use crate::socket::ListenerId;
use crate::table_hash::LocalHasher;
use hashbrown::HashTable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use synward_proto::Endpoint;
use synward_proto::connection::SocketOption;
use synward_proto::listener::Listener;

/// The most listeners of an engine. Each has a slot from the start.
pub(crate) const MAX_LISTENERS: u32 = 1024;

/// A listener, and where its connections wait.
#[derive(Debug)]
pub(crate) struct ListenerEntry {
    pub(crate) id: ListenerId,
    pub(crate) listener: Listener,
    pub(crate) shared: Arc<Shared>,
    /// What its connections are told: the shard's terms, with `options` set.
    pub(crate) terms: FamilyTerms,
    pub(crate) options: Vec<SocketOption>,
    takers: Vec<Taker>,
    /// Where the search for the next taker begins.
    next: usize,
}

/// A worker that takes connections of a listener.
#[derive(Debug)]
struct Taker {
    worker: u16,
    queue: Arc<AcceptQueue>,
}

impl ListenerEntry {
    /// A listener whose connections nobody takes yet, with `options` beside the shard's `terms`.
    pub(crate) fn new(
        id: ListenerId,
        listener: Listener,
        shared: Arc<Shared>,
        terms: &FamilyTerms,
        options: &[SocketOption],
    ) -> Self {
        let (terms, options) = (terms.with(options), options.to_vec());
        Self { id, listener, shared, terms, options, takers: Vec::new(), next: 0 }
    }

    /// Adds a worker that takes connections.
    pub(crate) fn join(&mut self, worker: u16, queue: Arc<AcceptQueue>) {
        self.takers.push(Taker { worker, queue });
    }

    /// Where connections wait.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Arc<AcceptQueue>> {
        self.takers.iter().map(|taker| &taker.queue)
    }

    /// Who gets the next connection: `home` if it listens here, else one at which the fewest wait, in turn, so that a worker that
    /// stalls is given hardly anything more.
    pub(crate) fn next_taker(&mut self, home: Option<u16>) -> Option<(u16, &Arc<AcceptQueue>)> {
        let count = self.takers.len();
        let order = (0..count).map(|step| (self.next + step) % count);
        let chosen = order.min_by_key(|&taker| {
            let taker = &self.takers[taker];
            if Some(taker.worker) == home { 0 } else { 1 + taker.queue.len() }
        })?;
        self.next = chosen + 1;
        self.takers.get(chosen).map(|taker| (taker.worker, &taker.queue))
    }
}

/// Listeners in the slots that the engine gave them.
#[derive(Debug)]
pub(crate) struct Listeners {
    slots: Box<[Option<ListenerEntry>]>,
    /// Slots.
    by_local: HashTable<u32>,
    hasher: LocalHasher,
    /// Listeners on an unspecified address: without any, the second look-up is spared.
    wildcards: u32,
}

impl Listeners {
    /// No listeners.
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self {
            slots: (0..MAX_LISTENERS).map(|_| None).collect(),
            by_local: HashTable::with_capacity(2 * MAX_LISTENERS as usize),
            hasher: LocalHasher::new(key),
            wildcards: 0,
        }
    }

    /// The slot of the listener for `local`: one on exactly that address, else one on every address of its family.
    pub(crate) fn find(&self, local: &Endpoint) -> Option<u32> {
        let exact = self.find_exact(local);
        if exact.is_some() || self.wildcards == 0 {
            return exact;
        }
        let any = match local.addr {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        self.find_exact(&Endpoint::new(any, local.port))
    }

    /// The listener in a slot.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut ListenerEntry> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The listener in a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<&ListenerEntry> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// The shard has other terms for connections from now on.
    pub(crate) fn set_terms(&mut self, terms: &FamilyTerms) {
        for entry in self.slots.iter_mut().flatten() {
            entry.terms = terms.with(&entry.options);
        }
    }

    /// Adds a listener in the slot that its name says. Slot and address are free.
    pub(crate) fn insert(&mut self, entry: ListenerEntry) {
        let (slot, local) = (entry.id.index, entry.listener.local());
        let Some(place) = self.slots.get_mut(slot as usize) else { return };
        debug_assert!(place.is_none(), "slot {slot} is taken");
        *place = Some(entry);
        self.wildcards += u32::from(local.addr.is_unspecified());
        let Self { slots, by_local, hasher, .. } = self;
        let hash_of = |slot: &u32| {
            let entry = slots.get(*slot as usize).and_then(Option::as_ref);
            entry.map_or(0, |entry| hasher.hash(&entry.listener.local()))
        };
        by_local.insert_unique(hasher.hash(&local), slot, hash_of);
    }

    /// Takes a worker from a listener: its queue, and the listener itself when nobody takes its connections any more.
    pub(crate) fn leave(&mut self, id: ListenerId, worker: u16) -> Option<(Arc<AcceptQueue>, Option<ListenerEntry>)> {
        let entry = self.get_mut(id.index).filter(|entry| entry.id == id)?;
        let place = entry.takers.iter().position(|taker| taker.worker == worker)?;
        let Taker { queue, .. } = entry.takers.remove(place);
        let is_last = entry.takers.is_empty();
        Some((queue, if is_last { self.remove(id.index) } else { None }))
    }

    /// Removes the listener in a slot.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<ListenerEntry> {
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        let local = entry.listener.local();
        self.wildcards -= u32::from(local.addr.is_unspecified());
        if let Ok(found) = self.by_local.find_entry(self.hasher.hash(&local), |&other| other == slot) {
            found.remove();
        }
        Some(entry)
    }

    /// The listeners.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ListenerEntry> {
        self.slots.iter().flatten()
    }

    /// Slots, taken or not.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The names of the listeners of a worker.
    pub(crate) fn of_worker(&self, worker: u16) -> impl Iterator<Item = ListenerId> {
        let takes = move |entry: &&ListenerEntry| entry.takers.iter().any(|taker| taker.worker == worker);
        self.slots.iter().flatten().filter(takes).map(|entry| entry.id)
    }

    fn find_exact(&self, local: &Endpoint) -> Option<u32> {
        let is_it = |&slot: &u32| self.get(slot).is_some_and(|entry| entry.listener.local() == *local);
        self.by_local.find(self.hasher.hash(local), is_it).copied()
    }
}
