//! The listeners of one shard, by local address.

use crate::accept_queue::AcceptQueue;
use crate::socket::ListenerId;
use crate::table_hash::LocalHasher;
use hashbrown::HashTable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use synward_proto::Endpoint;
use synward_proto::listener::Listener;

/// The most listeners of one worker. Each has a slot from the start.
pub(crate) const MAX_LISTENERS: u32 = 1024;

/// A listener and where its connections wait.
#[derive(Debug)]
pub(crate) struct ListenerEntry {
    pub(crate) id: ListenerId,
    pub(crate) listener: Listener,
    pub(crate) queue: Arc<AcceptQueue>,
}

/// Listeners in the slots that their worker chose.
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

    /// Adds a listener in the slot that its name says. The worker sees to it that slot and address are free.
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

    /// Removes a listener.
    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<ListenerEntry> {
        let place = self.slots.get_mut(id.index as usize)?;
        let entry = place.take_if(|entry| entry.id == id)?;
        let local = entry.listener.local();
        self.wildcards -= u32::from(local.addr.is_unspecified());
        if let Ok(found) = self.by_local.find_entry(self.hasher.hash(&local), |&slot| slot == id.index) {
            found.remove();
        }
        Some(entry)
    }

    /// Slots, taken or not.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The names of all listeners.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ListenerId> {
        self.slots.iter().flatten().map(|entry| entry.id)
    }

    fn find_exact(&self, local: &Endpoint) -> Option<u32> {
        let is_it = |&slot: &u32| self.get(slot).is_some_and(|entry| entry.listener.local() == *local);
        self.by_local.find(self.hasher.hash(local), is_it).copied()
    }
}
