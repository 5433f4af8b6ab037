//! Bytes to [`Segment`](crate::Segment) and [`Head`](crate::Head) to bytes.
//!
//! One file per header, each holding its layout, how it is read and how it is written; [`parse()`] and
//! [`SegmentWriter`] walk them in order. Nothing here can panic on what a peer sends: headers are views that exist only
//! where the bytes do.

pub mod checksum;
mod emit;
mod ethernet;
mod ipv4;
mod ipv6;
mod options;
mod parse;
mod tcp;
#[cfg(test)]
mod tests;
mod vlan;

pub use emit::{HEADROOM, SegmentWriter, write_segment};
pub use parse::{ChecksumPolicy, parse};

use checksum::Sum;
use core::net::IpAddr;

/// What both IP headers lead to.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    /// Bytes before the payload, extension headers included.
    header_len: usize,
    /// What the IP length says, without trailing link-layer padding.
    payload: &'a [u8],
    /// The sum of TCP's pseudo-header.
    pseudo_header: Sum,
}
