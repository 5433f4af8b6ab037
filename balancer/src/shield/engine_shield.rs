//! The shield of an interface as the engine sees it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use synward_ebpf::{Heartbeats, KnownFlows, ListenerId, ListenerStates};
use synward_proto::segment::Mss;
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
    /// Nobody listens any more: SYNs are the engine's to refuse, and its shield stays down.
    closed: AtomicBool,
}

impl Shielded {
    fn new(id: ListenerId) -> Self {
        Self { id, lowered: AtomicU64::new(0), closed: AtomicBool::new(false) }
    }
}

impl EngineShield {
    /// What a loaded program shares, which guards these listeners.
    pub(crate) fn new(shield: &synward_ebpf::Shield, listeners: &[(Endpoint, ListenerId)]) -> Self {
        let shielded = |&(local, id): &(Endpoint, ListenerId)| (local, Shielded::new(id));
        Self {
            flows: shield.flows(),
            states: shield.listeners(),
            heartbeats: shield.heartbeats(),
            listeners: listeners.iter().map(shielded).collect(),
        }
    }

    /// Raises the shield of a listener. Whoever it knows passes, and everybody else must bring a cookie.
    pub(crate) fn raise(&self, local: &Endpoint) {
        let Some(Shielded { id, closed, .. }) = self.shielded(local) else { return };
        self.states.set_up(*id, true);
        // Looked at last: whoever closes it meanwhile either finds the shield up and lowers it, or is seen here.
        if closed.load(Ordering::SeqCst) {
            self.states.set_up(*id, false);
        }
    }

    /// Lowers the shield of a listener. Cookies that are under way are taken by the engine, which finds the time noted.
    pub(crate) fn lower(&self, local: &Endpoint, now: Instant) {
        if let Some(Shielded { id, lowered, .. }) = self.shielded(local) {
            lowered.store(now.as_nanos(), Ordering::Relaxed);
            self.states.set_up(*id, false);
        }
    }

    /// Whether the shield of a listener is up.
    pub(crate) fn is_up(&self, local: &Endpoint) -> bool {
        self.shielded(local).is_some_and(|Shielded { id, .. }| self.states.is_up(*id))
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

    fn set_listening(&self, local: &Endpoint, listening: bool) {
        let Some(shielded) = self.shielded(local) else { return };
        shielded.closed.store(!listening, Ordering::SeqCst);
        if !listening && self.states.is_up(shielded.id) {
            self.lower(local, synward_engine::monotonic());
        }
    }

    fn set_mss(&self, v4: Mss, v6: Mss) {
        self.listeners.values().for_each(|Shielded { id, .. }| self.states.set_mss(*id, v4.get(), v6.get()));
    }

    /// A shield that is up may be answering at this moment, which no count tells in time: the client's ACK may be here before it
    /// is read.
    fn last_cookie(&self, local: &Endpoint) -> Option<Instant> {
        let Shielded { id, lowered, .. } = self.shielded(local)?;
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
