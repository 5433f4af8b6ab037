//! Ethernet II, up to the EtherType of what it carries.

use super::emit::Cursor;
use super::vlan;
use crate::{DropReason, Link, MacAddr};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// EtherType of IPv4.
pub(super) const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub(super) const IPV6: u16 = 0x86dd;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Addresses {
    destination: [u8; 6],
    source: [u8; 6],
}

/// Reads addresses and VLAN tags; returns the way back, the EtherType behind the tags, and what follows.
pub(super) fn parse(frame: &[u8]) -> Result<(Link, u16, &[u8]), DropReason> {
    let (addresses, rest) = Addresses::ref_from_prefix(frame).map_err(|_| DropReason::FrameTooShort)?;
    let ([outer, inner], rest) = vlan::parse(rest)?;
    let (ether_type, rest) = U16::read_from_prefix(rest).map_err(|_| DropReason::FrameTooShort)?;
    let link = Link { local: MacAddr(addresses.destination), remote: MacAddr(addresses.source), outer, inner };
    Ok((link, ether_type.get(), rest))
}

/// Writes addresses, tags and EtherType of a frame to `link.remote`.
pub(super) fn write(out: &mut Cursor<'_>, link: &Link, ether_type: u16) {
    out.put(&Addresses { destination: link.remote.0, source: link.local.0 });
    vlan::write(out, [link.outer, link.inner]);
    out.put(&U16::new(ether_type));
}

/// Refuses frames to a group, which no TCP answers (MUST-57), and those that would be answered to one.
pub(super) fn check_addresses(link: &Link) -> Result<(), DropReason> {
    if is_group(link.local) {
        return Err(DropReason::MartianDestination);
    }
    if is_group(link.remote) {
        return Err(DropReason::MartianSource);
    }
    Ok(())
}

/// Whether an address is multicast or broadcast (the individual/group bit of IEEE 802).
const fn is_group(MacAddr([first, ..]): MacAddr) -> bool {
    first & 1 != 0
}
