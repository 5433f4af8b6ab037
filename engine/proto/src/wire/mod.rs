//! Bytes to [`Segment`](crate::Segment) or [`IcmpError`](crate::IcmpError), and [`Head`](crate::Head) to bytes.
//!
//! One file per header, each holding its layout, how it is read and how it is written; [`parse()`],
//! [`parse_icmp_error`] and [`SegmentWriter`] walk them in order. Nothing here can panic on what a peer sends: headers are views that exist only
//! where the bytes do.

pub mod checksum;
mod emit;
mod ethernet;
mod icmp;
mod ipv4;
mod ipv6;
mod options;
mod parse;
mod tcp;
#[cfg(test)]
mod tests;
mod vlan;

pub use emit::{HEADROOM, SegmentWriter, write_segment};
pub use parse::{ChecksumPolicy, parse, parse_icmp_error};

use crate::segment::Codepoint;
use checksum::Sum;
use core::net::IpAddr;

/// What both IP headers lead to.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    ecn: Codepoint,
    /// Where the payload starts in the frame.
    payload_start: usize,
    /// What the IP length says, without trailing link-layer padding.
    payload: &'a [u8],
    /// The sum of the pseudo-header that the checksum of the payload covers: none for ICMP over IPv4.
    pseudo_header: Sum,
}

/// What an IP packet is to carry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upper {
    Tcp,
    /// ICMP over IPv4, ICMPv6 over IPv6.
    Icmp,
}

/// The packet that an ICMP error quotes: one that we sent.
struct Quoted<'a> {
    source: IpAddr,
    destination: IpAddr,
    /// As much of its payload as is there.
    payload: &'a [u8],
}
