//! The shield of an interface as the engine sees it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use synward_ebpf::{Heartbeats, KnownFlows, ListenerId, ListenerStates};
use synward_proto::{Endpoint, Instant, Tuple};

/// What the poll loops of an interface and its XDP program know of each other, in memory that both read. Nothing here makes a
/// system call or waits.
#[derive(Debug)]
pub struct EngineShield {
    flows: Arc<KnownFlows>,
    states: Arc<ListenerStates>,
    heartbeats: Arc<Heartbeats>,
    listeners: HashMap<Endpoint, Shielded>,
}

/// A listener that the program guards.
#[derive(Debug)]
struct Shielded {
    id: ListenerId,
    /// When its shield last came down; zero for never.
    lowered: AtomicU64,
}

impl EngineShield {
    /// What a loaded program shares, which guards these listeners.
    pub(crate) fn new(shield: &synward_ebpf::Shield, listeners: &[(Endpoint, ListenerId)]) -> Self {
        let shielded = |&(local, id): &(Endpoint, ListenerId)| (local, Shielded { id, lowered: AtomicU64::new(0) });
        Self {
            flows: shield.flows(),
            states: shield.listeners(),
            heartbeats: shield.heartbeats(),
            listeners: listeners.iter().map(shielded).collect(),
        }
    }

    /// Raises the shield of a listener. Whoever it knows passes, and everybody else must bring a cookie.
    pub(crate) fn raise(&self, local: &Endpoint) {
        if let Some(Shielded { id, .. }) = self.listeners.get(local) {
            self.states.set_up(*id, true);
        }
    }

    /// Lowers the shield of a listener. Cookies that are under way are taken by the engine, which finds the time noted.
    pub(crate) fn lower(&self, local: &Endpoint, now: Instant) {
        if let Some(Shielded { id, lowered }) = self.listeners.get(local) {
            lowered.store(now.as_nanos(), Ordering::Relaxed);
            self.states.set_up(*id, false);
        }
    }

    /// The flows that the program knows.
    pub(crate) fn flows(&self) -> &KnownFlows {
        &self.flows
    }

    fn shielded(&self, local: &Endpoint) -> Option<&Shielded> {
        self.listeners.get(local)
    }
}

impl synward_engine::Shield for EngineShield {
    fn flow_opened(&self, tuple: &Tuple) {
        self.flows.insert(tuple.local.into(), tuple.remote.into());
    }

    fn flow_closed(&self, tuple: &Tuple) {
        self.flows.remove(tuple.local.into(), tuple.remote.into());
    }

    fn turned(&self, queue: u32, now: Instant) {
        self.heartbeats.beat(queue, now.as_nanos());
    }

    fn set_accept_queue_full(&self, local: &Endpoint, full: bool) {
        if let Some(Shielded { id, .. }) = self.shielded(local) {
            self.states.set_accept_queue_full(*id, full);
        }
    }

    /// A shield that is up may be answering at this moment, which no count tells in time: the client's ACK may be here before it
    /// is read.
    fn last_cookie(&self, local: &Endpoint) -> Option<Instant> {
        let Shielded { id, lowered } = self.shielded(local)?;
        if self.states.is_up(*id) {
            return Some(synward_engine::monotonic());
        }
        // It was noted before the shield came down.
        fence(Ordering::Acquire);
        match lowered.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Instant::from_nanos(nanos)),
        }
    }
}
