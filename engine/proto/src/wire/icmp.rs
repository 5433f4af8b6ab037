//! ICMP errors: RFC 792 and, for IPv6, RFC 4443. Both have the same header, and the packet that they are about follows.

use super::checksum::Sum;
use super::{Packet, Quoted, ipv4, ipv6, tcp};
use crate::icmp::{IcmpError, IcmpKind};
use crate::{DropReason, Endpoint, Link, Tuple};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The protocol number of ICMP, over IPv4.
pub(super) const PROTOCOL_V4: u8 = 1;
/// The protocol number of ICMPv6.
pub(super) const PROTOCOL_V6: u8 = 58;

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    icmp_type: u8,
    code: u8,
    checksum: [u8; 2],
    rest: [u8; 4],
}

/// Reads the ICMP message that `packet` carries. What is to be believed of it is for the connection to say.
pub(super) fn parse(link: Link, packet: &Packet<'_>) -> Result<IcmpError, DropReason> {
    let (header, quote) = Header::ref_from_prefix(packet.payload).map_err(|_| DropReason::IcmpTruncated)?;
    if !packet.pseudo_header.plus(Sum::of(packet.payload)).is_intact() {
        return Err(DropReason::IcmpChecksum);
    }
    let Header { icmp_type, code, rest, .. } = *header;
    let is_ipv6 = packet.source.is_ipv6();
    let kind = if is_ipv6 { IcmpKind::of_v6(icmp_type, code, rest) } else { IcmpKind::of_v4(icmp_type, code, rest) };
    let kind = kind.ok_or(DropReason::IcmpUnknown)?;
    let Quoted { source, destination, payload } = if is_ipv6 { ipv6::quoted(quote)? } else { ipv4::quoted(quote)? };
    let start = tcp::quoted(payload)?;
    Ok(IcmpError {
        link,
        tuple: Tuple {
            local: Endpoint::new(source, start.source.get()),
            remote: Endpoint::new(destination, start.destination.get()),
        },
        seq: start.seq(),
        kind,
    })
}
