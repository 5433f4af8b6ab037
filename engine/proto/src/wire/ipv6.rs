//! The IPv6 header and the extension headers that the engine walks (RFC 8200).

use super::checksum::Sum;
use super::emit::Cursor;
use super::{Packet, Quoted, Upper, icmp, tcp};
use crate::DropReason;
use crate::segment::{Codepoint, Marking};
use core::net::Ipv6Addr;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    version_class_flow: U32,
    payload_length: U16,
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

/// The length of the fixed header.
pub(super) const HEADER_LEN: usize = size_of::<Header>();

/// Where the traffic class stands in the first word.
const CLASS_SHIFT: u32 = 20;

/// The most extension headers: hop-by-hop options, destination options, routing, destination options, which is every
/// one that RFC 8200, section 4.1, places before an upper layer and that we walk.
const MAX_EXTENSIONS: usize = 4;

/// The most options in one extension header, padding included (Linux: `max_hbh_opts_number`, `max_dst_opts_number`).
const MAX_OPTIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ENCAPSULATING_SECURITY: u8 = 50;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Reads the headers of the packet that `bytes` start with, `start` bytes into the frame.
#[inline(always)]
pub(super) fn parse(bytes: &[u8], start: usize, upper: Upper) -> Result<Packet<'_>, DropReason> {
    let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| DropReason::FrameTooShort)?;
    let version_class_flow = header.version_class_flow.get();
    if version_class_flow >> 28 != 6 {
        return Err(DropReason::IpVersion);
    }
    // As in IPv4, the IP length counts and not the frame's. A jumbogram has none (RFC 2675) and ends here.
    let rest = rest.get(..usize::from(header.payload_length.get())).ok_or(DropReason::IpLength)?;
    let (source, destination) = (Ipv6Addr::from(header.source), Ipv6Addr::from(header.destination));
    let protocol = match upper {
        Upper::Tcp => tcp::PROTOCOL,
        Upper::Icmp => icmp::PROTOCOL_V6,
    };
    let payload = walk_extensions(header.next_header, rest, protocol)?;
    check_addresses(source, destination)?;
    // Not above the payload length, which was a u16.
    let len = payload.len() as u16;
    Ok(Packet {
        source: source.into(),
        destination: destination.into(),
        ecn: Codepoint::of((version_class_flow >> CLASS_SHIFT) as u8),
        payload_start: start + HEADER_LEN + (rest.len() - payload.len()),
        payload,
        pseudo_header: match upper {
            Upper::Tcp => Sum::pseudo_header_v6(source, destination, len),
            Upper::Icmp => Sum::pseudo_header_icmpv6(source, destination, len),
        },
    })
}

/// Reads the header that an ICMP error quotes. It is one that we wrote, without extension headers, and nobody may add any
/// on the way (RFC 8200, section 4). What it says of its length is more than what is quoted.
pub(super) fn quoted(bytes: &[u8]) -> Result<Quoted<'_>, DropReason> {
    let (header, payload) = Header::ref_from_prefix(bytes).map_err(|_| DropReason::IcmpTruncated)?;
    if header.version_class_flow.get() >> 28 != 6 || header.next_header != tcp::PROTOCOL {
        return Err(DropReason::IcmpQuote);
    }
    let (source, destination) = (Ipv6Addr::from(header.source), Ipv6Addr::from(header.destination));
    check_addresses(source, destination).map_err(|_| DropReason::IcmpQuote)?;
    Ok(Quoted { source: source.into(), destination: destination.into(), payload })
}

/// Walks from extension header to extension header until `protocol`.
fn walk_extensions(mut next_header: u8, bytes: &[u8], protocol: u8) -> Result<&[u8], DropReason> {
    let mut rest = bytes;
    for position in 0..=MAX_EXTENSIONS {
        if next_header == protocol {
            return Ok(rest);
        }
        match next_header {
            // "restricted to appear immediately after an IPv6 header only" (RFC 8200, section 4.1).
            HOP_BY_HOP if position > 0 => return Err(DropReason::Ipv6Extension),
            HOP_BY_HOP | DESTINATION_OPTIONS => {
                let extension = Extension::split(rest)?;
                check_options(extension.body)?;
                (next_header, rest) = (extension.next_header, extension.rest);
            }
            ROUTING => {
                let extension = Extension::split(rest)?;
                // "If Segments Left is zero, the node must ignore the Routing header" (RFC 8200, section 4.4). We are
                // nobody's waypoint, and type 0 counts as unknown (RFC 5095).
                let [_type, 0, ..] = extension.body else { return Err(DropReason::Ipv6Extension) };
                (next_header, rest) = (extension.next_header, extension.rest);
            }
            FRAGMENT => return Err(DropReason::IpFragment),
            ENCAPSULATING_SECURITY | AUTHENTICATION | MOBILITY | HOST_IDENTITY | SHIM6 => {
                return Err(DropReason::Ipv6Extension);
            }
            _ => return Err(DropReason::NotTcp),
        }
    }
    Err(DropReason::Ipv6Extension)
}

/// An extension header of the common layout: next header, length in words of eight bytes beyond the first, body.
struct Extension<'a> {
    next_header: u8,
    body: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Extension<'a> {
    fn split(bytes: &'a [u8]) -> Result<Self, DropReason> {
        let &[next_header, words, ref after @ ..] = bytes else { return Err(DropReason::IpLength) };
        let len = 8 * (usize::from(words) + 1) - 2;
        let (body, rest) = after.split_at_checked(len).ok_or(DropReason::IpLength)?;
        Ok(Self { next_header, body, rest })
    }
}

/// Checks hop-by-hop or destination options: none means anything to us, and those whose type says that a node which
/// does not know them must discard the packet are obeyed (RFC 8200, section 4.2).
fn check_options(body: &[u8]) -> Result<(), DropReason> {
    const PAD1: u8 = 0;
    /// The two bits of an option's type that say what to do about an unknown one; zero means skip.
    const ACTION: u8 = 0xc0;
    let mut rest = body;
    for _ in 0..MAX_OPTIONS {
        rest = match *rest {
            [] => return Ok(()),
            [PAD1, ref after @ ..] => after,
            [kind, len, ref after @ ..] if kind & ACTION == 0 => {
                after.get(usize::from(len)..).ok_or(DropReason::Ipv6Extension)?
            }
            [..] => return Err(DropReason::Ipv6Extension),
        };
    }
    if rest.is_empty() { Ok(()) } else { Err(DropReason::Ipv6Extension) }
}

/// Refuses addresses that no host on a network has.
fn check_addresses(source: Ipv6Addr, destination: Ipv6Addr) -> Result<(), DropReason> {
    if is_martian(source) {
        return Err(DropReason::MartianSource);
    }
    if is_martian(destination) {
        return Err(DropReason::MartianDestination);
    }
    if source == destination {
        return Err(DropReason::Land);
    }
    Ok(())
}

/// Unspecified, loopback, multicast, and the mapped form of IPv4, which never stands in a packet (RFC 4038,
/// section 4.2) and would pass for a flow of the other family.
const fn is_martian(addr: Ipv6Addr) -> bool {
    addr.is_unspecified() || addr.is_loopback() || addr.is_multicast() || addr.to_ipv4_mapped().is_some()
}

/// Writes a header whose length [`finish`] fills in.
pub(super) fn write(out: &mut Cursor<'_>, source: Ipv6Addr, destination: Ipv6Addr, marking: Marking) {
    out.put(&Header {
        version_class_flow: U32::new(6 << 28 | u32::from(marking.traffic_class()) << CLASS_SHIFT),
        payload_length: U16::ZERO,
        next_header: tcp::PROTOCOL,
        hop_limit: marking.hop_limit,
        source: source.octets(),
        destination: destination.octets(),
    });
}

/// Fills in the length of the header that `packet` starts with, for `len` bytes after it.
pub(super) fn finish(packet: &mut [u8], len: u16) {
    if let Ok((header, _)) = Header::mut_from_prefix(packet) {
        header.payload_length = U16::new(len);
    }
}
