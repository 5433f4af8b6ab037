//! Frames, written and read by hand.
//!
//! The judge does not borrow from the judged: nothing here uses `synward_proto::wire`. Every checksum and length of what
//! comes out is checked, and options keep the order in which they stood.

mod decode;
mod encode;
mod icmp;
mod show;

#[cfg(test)]
mod tests;

pub use decode::decode;
pub use encode::encode;
pub use icmp::{IcmpError, encode_icmp};

use std::fmt;
use std::net::IpAddr;
use synward_proto::{Endpoint, Flags};

const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// IEEE 802.1Q, the only or the inner tag.
const VLAN: u16 = 0x8100;
/// IEEE 802.1ad, the outer of two tags.
const SERVICE_VLAN: u16 = 0x88a8;
const TCP: u8 = 6;

/// A TCP segment with its addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireSegment {
    /// The sender.
    pub source: Endpoint,
    /// The receiver.
    pub destination: Endpoint,
    /// Control bits.
    pub flags: Flags,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number, as it stands in the header even without ACK.
    pub ack: u32,
    /// Window field.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options in order, without NOP and end-of-options.
    pub options: Vec<WireOption>,
    /// Payload.
    pub payload: Vec<u8>,
    /// What its IP header says besides.
    pub ip: IpFields,
    /// VLAN identifiers of its frame, outer first.
    pub vlans: Vec<u16>,
}

/// Fields of the IP header that a conversation may speak of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IpFields {
    /// The Diffserv codepoint in its place: type of service or traffic class without the two bits of ECN.
    pub tos: u8,
    /// The two bits of ECN (RFC 3168, section 5).
    pub ecn: EcnMark,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Identification of IPv4; zero in IPv6.
    pub id: u16,
    /// Options of IPv4, padded to words. Only written: what comes out has none.
    pub options: Vec<u8>,
    /// The first fragment of more. Only written, as are fragment headers of IPv6.
    pub fragment: bool,
}

impl Default for IpFields {
    /// As in every segment of a connection for which nothing was set.
    fn default() -> Self {
        Self { tos: 0, ecn: EcnMark::NotEct, ttl: 64, id: 0, options: Vec::new(), fragment: false }
    }
}

/// What the two ECN bits of an IP header say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EcnMark {
    /// The sender does not do ECN.
    NotEct = 0,
    /// ECT(1)
    Ect1 = 1,
    /// ECT(0)
    Ect0 = 2,
    /// Congestion experienced.
    Ce = 3,
}

impl EcnMark {
    /// All of them, by their bits.
    const ALL: [Self; 4] = [Self::NotEct, Self::Ect1, Self::Ect0, Self::Ce];

    /// What a type of service or traffic class says.
    pub const fn of(octet: u8) -> Self {
        Self::ALL[(octet & 3) as usize]
    }

    /// Its word in a script.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotEct => "not_ect",
            Self::Ect1 => "ect1",
            Self::Ect0 => "ect0",
            Self::Ce => "ce",
        }
    }
}

/// A TCP option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WireOption {
    /// Maximum segment size.
    Mss(u16),
    /// SACK permitted.
    SackPermitted,
    /// SACK blocks.
    SackBlocks(Vec<(u32, u32)>),
    /// Window scale.
    WindowScale(u8),
    /// Timestamps: value and echo.
    Timestamps(u32, u32),
    /// No operation: only written, to place what follows.
    Nop,
    /// Anything else, from kind to end.
    Raw(Vec<u8>),
}

/// Link addresses of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Macs {
    /// The receiver's.
    pub destination: [u8; 6],
    /// The sender's.
    pub source: [u8; 6],
}

impl Macs {
    /// The addresses of the answer.
    pub const fn reversed(self) -> Self {
        Self { destination: self.source, source: self.destination }
    }
}

/// What is wrong with a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WireError {
    /// It is not TCP over IPv4 or IPv6: something else, such as neighbour discovery.
    NotTcp,
    /// It is meant to be TCP and is not well formed.
    Malformed(&'static str),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTcp => f.write_str("not TCP"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
        }
    }
}

/// `N` bytes from `at`, which the caller has checked to be there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The checksum's sum over the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1).
fn pseudo_header_sum(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u64 {
    let addresses = [source, destination].into_iter().fold(0, |sum, address| match address {
        IpAddr::V4(v4) => add_bytes(sum, &v4.octets()),
        IpAddr::V6(v6) => add_bytes(sum, &v6.octets()),
    });
    addresses + u64::from(protocol) + length as u64
}

fn add_bytes(sum: u64, bytes: &[u8]) -> u64 {
    bytes.chunks(2).fold(sum, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        sum + u64::from(u16::from_be_bytes([pair[0], low]))
    })
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
