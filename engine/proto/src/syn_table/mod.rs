//! The SYN queue: half-open connections in a table of fixed size.

use crate::listener::Offer;
use crate::{Counts, Head, Instant, Link, Tuple};
use core::time::Duration;

/// Names a listener's SYN queue within one [`SynTable`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId(pub(crate) u16);

/// How large a [`SynTable`] is, and how patient. Everything is allocated at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SynTableConfig {
    /// Entries that must fit. Four times the sum of the listeners' SYN queue limits makes a full bucket rare. Rounded up
    /// to a power of two.
    pub capacity: u32,
    /// Distinct ways (local address, neighbour, VLAN tags) that entries may come over at the same time, at most 65,535.
    pub links: u16,
    /// How often a SYN-ACK is sent again (Linux: `tcp_synack_retries`, 5), at most [`SynTable::MAX_RETRIES`].
    pub synack_retries: u8,
}

impl Default for SynTableConfig {
    fn default() -> Self {
        Self { capacity: 16_384, links: 1_024, synack_retries: 5 }
    }
}

/// Half-open connections.
#[derive(Debug)]
pub struct SynTable {}

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

/// A listener's share of the table, as `ss -l` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SynQueue {
    /// Half-open connections now.
    pub len: u32,
    /// The limit: full means *more than* that many.
    pub limit: u32,
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

    /// The SYN queue of a listener; `None` for a listener that is gone.
    pub fn queue(&self, listener: ListenerId) -> Option<SynQueue> {
        let _ = listener;
        todo!()
    }

    /// Every half-open connection.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = SynReceived> {
        let _ = (now, Offer::default());
        core::iter::empty()
    }

    /// When [`poll_expired`](Self::poll_expired) next has something to do.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let _ = now;
        todo!()
    }

    /// Takes one entry whose time has come: its SYN-ACK is due again, or it is forgotten. Call it until `None` or until
    /// the turn's budget is used up.
    pub fn poll_expired(&mut self, now: Instant) -> Option<Expired> {
        let _ = now;
        todo!()
    }
}
