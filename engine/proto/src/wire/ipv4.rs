//! The IPv4 header (RFC 791) and the addresses that may stand in it (RFC 1122, section 3.2.1.3).

use super::checksum::Sum;
use super::emit::Cursor;
use super::{Packet, Quoted, Upper, icmp, tcp};
use crate::DropReason;
use crate::segment::{Codepoint, Marking};
use core::net::Ipv4Addr;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    version_and_length: u8,
    traffic_class: u8,
    total_length: U16,
    identification: U16,
    fragment: U16,
    time_to_live: u8,
    protocol: u8,
    checksum: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
}

/// The length of a header without options, the only one that the engine takes or sends.
pub(super) const HEADER_LEN: usize = size_of::<Header>();

/// Version 4, and [`HEADER_LEN`] in words of four bytes.
const VERSION_AND_LENGTH: u8 = 0x45;
const _: () = assert!(HEADER_LEN == 4 * (VERSION_AND_LENGTH & 0x0f) as usize);

/// Don't fragment.
const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments, and the fragment offset: not zero in any fragment.
const FRAGMENT: u16 = 0x3fff;

/// Reads the header of the packet that `bytes` start with, `start` bytes into the frame.
#[inline(always)]
pub(super) fn parse(bytes: &[u8], start: usize, upper: Upper) -> Result<Packet<'_>, DropReason> {
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| DropReason::FrameTooShort)?;
    check_header_length(header, bytes)?;
    if !Sum::of(header.as_bytes()).is_intact() {
        return Err(DropReason::IpChecksum);
    }
    // The IP length counts, not the frame's: a short frame is padded to 60 bytes, and the padding is nobody's data.
    let total = usize::from(header.total_length.get());
    let payload = bytes.get(HEADER_LEN..total).ok_or(DropReason::IpLength)?;
    if header.fragment.get() & FRAGMENT != 0 {
        return Err(DropReason::IpFragment);
    }
    let protocol = match upper {
        Upper::Tcp => tcp::PROTOCOL,
        Upper::Icmp => icmp::PROTOCOL_V4,
    };
    if header.protocol != protocol {
        return Err(DropReason::NotTcp);
    }
    let (source, destination) = (Ipv4Addr::from(header.source), Ipv4Addr::from(header.destination));
    check_addresses(source, destination)?;
    let len = header.total_length.get() - HEADER_LEN as u16;
    Ok(Packet {
        source: source.into(),
        destination: destination.into(),
        ecn: Codepoint::of(header.traffic_class),
        payload_start: start + HEADER_LEN,
        payload,
        pseudo_header: match upper {
            Upper::Tcp => Sum::pseudo_header_v4(source, destination, len),
            Upper::Icmp => Sum::ZERO,
        },
    })
}

/// Reads the header that an ICMP error quotes. It is one that we wrote, but for what happens on the way: time to live,
/// checksum and options are not judged, and what it says of its length is more than what is quoted.
pub(super) fn quoted(bytes: &[u8]) -> Result<Quoted<'_>, DropReason> {
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| DropReason::IcmpTruncated)?;
    let len = 4 * usize::from(header.version_and_length & 0x0f);
    let is_ours = header.version_and_length >> 4 == 4
        && len >= HEADER_LEN
        && header.protocol == tcp::PROTOCOL
        && header.fragment.get() & FRAGMENT == 0;
    if !is_ours {
        return Err(DropReason::IcmpQuote);
    }
    let payload = bytes.get(len..).ok_or(DropReason::IcmpTruncated)?;
    let (source, destination) = (Ipv4Addr::from(header.source), Ipv4Addr::from(header.destination));
    check_addresses(source, destination).map_err(|_| DropReason::IcmpQuote)?;
    Ok(Quoted { source: source.into(), destination: destination.into(), payload })
}

fn check_header_length(header: &Header, bytes: &[u8]) -> Result<(), DropReason> {
    if header.version_and_length == VERSION_AND_LENGTH {
        return Ok(());
    }
    if header.version_and_length >> 4 != 4 {
        return Err(DropReason::IpVersion);
    }
    let len = 4 * usize::from(header.version_and_length & 0x0f);
    if len < HEADER_LEN || len > bytes.len() {
        return Err(DropReason::IpHeaderLength);
    }
    Err(DropReason::IpOptions)
}

/// Refuses addresses that no host on a network has.
fn check_addresses(source: Ipv4Addr, destination: Ipv4Addr) -> Result<(), DropReason> {
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

/// 0.0.0.0/8, 127.0.0.0/8, and everything from 224.0.0.0 up: multicast, reserved, limited broadcast.
const fn is_martian(addr: Ipv4Addr) -> bool {
    matches!(addr.octets(), [0 | 127 | 224.., ..])
}

/// Writes a header whose length and checksum [`finish`] fills in.
pub(super) fn write(out: &mut Cursor<'_>, source: Ipv4Addr, destination: Ipv4Addr, marking: Marking) {
    out.put(&Header {
        version_and_length: VERSION_AND_LENGTH,
        traffic_class: marking.traffic_class(),
        total_length: U16::ZERO,
        // With don't-fragment the identification means nothing (RFC 6864, section 4.1) and tells nothing.
        identification: U16::ZERO,
        fragment: U16::new(DONT_FRAGMENT),
        time_to_live: marking.hop_limit,
        protocol: tcp::PROTOCOL,
        checksum: [0; 2],
        source: source.octets(),
        destination: destination.octets(),
    });
}

/// Fills in length and checksum of the header that `packet` starts with, for a packet of `len` bytes.
pub(super) fn finish(packet: &mut [u8], len: u16) {
    if let Ok((header, _)) = Header::mut_from_prefix(packet) {
        header.total_length = U16::new(len);
        header.checksum = Sum::of(header.as_bytes()).finished();
    }
}
