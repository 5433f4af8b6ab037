//! What the engine tells those who stand in front of it.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use synward_proto::segment::Mss;
use synward_proto::{Endpoint, Instant, Tuple};

/// How much [`Shield::last_cookie`] may lag behind.
pub const SHIELD_GRAIN: Duration = Duration::from_secs(1);

/// What stands in front of the poll loops of one interface, knows their flows, and may answer SYNs in their name: with
/// cookies under [the keys of their engine](crate::Secrets::cookie_keys).
///
/// Poll loops and workers call it from their threads, on the way of a segment: nothing here may block.
pub trait Shield: Send + Sync + Debug {
    /// A flow begins: a half-open connection that is remembered, a connection, or one that waits in TIME-WAIT. When one becomes
    /// the other, the new one is opened before the old one is closed, so a tuple may be open more than once; but always
    /// before a segment of it leaves.
    fn flow_opened(&self, tuple: &Tuple);

    /// A flow is over, at the end of the turn that ended it: exactly once for each [`flow_opened`](Self::flow_opened). The
    /// end of a poll loop ends all its flows.
    fn flow_closed(&self, tuple: &Tuple);

    /// The poll loop of this queue has turned and has taken what waited for it, as far as its budget goes. `now` is what its
    /// caller's clock said: CLOCK_MONOTONIC in [`PollLoop::run`](crate::PollLoop::run).
    fn turned(&self, queue: u32, now: Instant);

    /// The accept queue of the listener at `local`, as it was given to [`listen`](crate::SocketCore::listen), is full or no
    /// longer full: a handshake with it could not be completed. It may be said twice; what was said last is true.
    fn set_accept_queue_full(&self, local: &Endpoint, full: bool);

    /// Somebody begins to listen at `local`, or nobody listens there any more: then SYNs are the engine's to answer, with RST.
    fn set_listening(&self, local: &Endpoint, listening: bool);

    /// The interface has another MTU: SYN-ACKs announce these segment sizes from now on, over IPv4 and over IPv6, whatever a
    /// listener's own options say. Each poll loop of the interface says so.
    fn set_mss(&self, v4: Mss, v6: Mss);

    /// When a SYN for the listener at `local` was last answered here, on the poll loops' clock, to within [`SHIELD_GRAIN`].
    fn last_cookie(&self, local: &Endpoint) -> Option<Instant>;
}

/// The shield in front of a shard.
#[derive(Debug)]
pub(crate) struct ShieldLink {
    pub(crate) shield: Arc<dyn Shield>,
    /// The number of the shard's queue within the interface.
    pub(crate) queue: u32,
}

/// Tells the shield, if there is one, of flows. What is over is told at the end of the turn: whatever takes its place has
/// begun by then.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    shield: Option<Arc<dyn Shield>>,
    over: Vec<Tuple>,
}

impl Flows {
    /// No flows yet.
    pub(crate) fn new(shield: Option<Arc<dyn Shield>>) -> Self {
        Self { shield, over: Vec::new() }
    }

    /// A flow begins.
    pub(crate) fn open(&self, tuple: &Tuple) {
        if let Some(shield) = &self.shield {
            shield.flow_opened(tuple);
        }
    }

    /// A flow is over.
    pub(crate) fn close(&mut self, tuple: &Tuple) {
        if self.shield.is_some() {
            self.over.push(*tuple);
        }
    }

    /// Tells what is over.
    pub(crate) fn end_turn(&mut self) {
        let Self { shield: Some(shield), over } = self else { return };
        over.drain(..).for_each(|tuple| shield.flow_closed(&tuple));
    }
}

#[cfg(test)]
mod tests;
