//! A connection between its SYN and its third segment.

use crate::SeqNum;
use crate::segment::{Mss, WindowScale};

/// What the two SYNs agreed on: the same whether a table entry remembered it or a cookie carried it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Negotiated {
    /// Our initial sequence number.
    pub iss: SeqNum,
    /// The peer's initial sequence number.
    pub irs: SeqNum,
    /// The largest segment that we may send: what the peer announced, or its family's default.
    pub send_mss: Mss,
    /// Window scaling, when both SYNs carried it.
    pub scales: Option<Scales>,
    /// Whether both SYNs permitted SACK.
    pub sack: bool,
    /// Timestamps, when both SYNs carried them.
    pub timestamps: Option<Clock>,
}

/// The window scales of both directions (RFC 7323, section 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scales {
    /// Applies to windows that the peer sends.
    pub peer: WindowScale,
    /// Applies to windows that we send.
    pub ours: WindowScale,
}

/// The timestamp state of a connection (RFC 7323, section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// TS.Recent: the peer's value to echo.
    pub recent: u32,
    /// What is added to the millisecond clock to make our TSval.
    pub offset: u32,
}

/// A half-open connection. The SYN table stores it (packed, beside its addresses and links); a valid cookie ACK decodes
/// to it; a connection is made from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HalfOpen {
    /// What the SYNs agreed on.
    pub negotiated: Negotiated,
    /// How often our SYN-ACK timed out and was sent again; zero for a cookie, which is never sent again. A lost SYN-ACK
    /// shrinks the first congestion window to one segment (RFC 5681, section 3.1).
    pub timeouts: u8,
}

const _: () = assert!(size_of::<HalfOpen>() <= 64);
