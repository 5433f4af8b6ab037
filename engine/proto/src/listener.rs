//! LISTEN and SYN-RECEIVED (RFC 9293, sections 3.10.7.2 and 3.10.7.4).

use crate::half_open::HalfOpen;
use crate::{Counts, Verdict};

/// Room in the accept queue of a listener, shared among shards.
pub trait AcceptRoom {
    /// Whether *more than* the limit wait already (Linux: `sk_acceptq_is_full`).
    fn is_full(&self) -> bool;
    /// Takes one place for a completed handshake; false when the queue is full.
    fn reserve(&self) -> bool;
}

/// What a listener decided about a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// The segment is dealt with.
    Settled(Verdict),
    /// The handshake is complete and a place in the accept queue is reserved: make the connection, and let it see the
    /// same segment (it may carry data).
    Open(HalfOpen, Counts),
}
