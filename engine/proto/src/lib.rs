//! The rules of TCP as pure functions: bytes in, verdicts out.
//!
//! Nothing here reads a clock, draws randomness, allocates a frame or sends a packet. Time, secrets and frames are
//! arguments; what should happen is a return value. That is why every behaviour can be played as a conversation in
//! virtual time, and why `no_std` is a compile-time check of purity rather than a target.
//!
//! The walk of a packet: [`wire::parse`] turns a frame into a [`Segment`]; the engine routes it by [`Tuple`] to a
//! [`listener::Listener`], a [`connection::Connection`], a [`connection::TimeWait`] or to nobody ([`reset::answer`]);
//! each returns a [`Verdict`], and the engine's `apply` acts on it. An ICMP error about a segment of ours takes the same
//! way: [`wire::parse_icmp_error`], [`IcmpError`], [`connection::Connection::on_icmp_error`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod connection;
pub mod counter;
pub mod drop_reason;
pub mod flood_guard;
pub mod half_open;
pub mod icmp;
pub mod isn;
pub mod listener;
pub mod reset;
pub mod segment;
pub mod seq;
pub mod syn_cookie;
pub mod syn_table;
pub mod time;
pub mod tuple;
pub mod verdict;
pub mod wire;

pub use counter::{Counter, Counts};
pub use drop_reason::DropReason;
pub use icmp::IcmpError;
pub use segment::{Codepoint, Flags, Head, Link, MacAddr, Marking, Options, Segment, Span};
pub use seq::SeqNum;
pub use time::Instant;
pub use tuple::{Endpoint, Tuple};
pub use verdict::{Fate, Verdict};
