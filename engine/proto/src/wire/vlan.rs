//! VLAN tags (IEEE 802.1Q and 802.1ad), which stand before the EtherType.

use super::emit::Cursor;
use crate::DropReason;
use crate::segment::VlanTag;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The tag protocol of a customer tag.
const CUSTOMER: u16 = 0x8100;
/// The tag protocol of a service tag.
const SERVICE: u16 = 0x88a8;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Tag {
    protocol: U16,
    control: U16,
}

/// Reads up to two tags, outermost first; returns them and what follows, which starts with an EtherType.
pub(super) fn parse(bytes: &[u8]) -> Result<([Option<VlanTag>; 2], &[u8]), DropReason> {
    let mut tags = [None; 2];
    let mut rest = bytes;
    for slot in &mut tags {
        let Some(tagged) = next(rest)? else { return Ok((tags, rest)) };
        (*slot, rest) = (Some(tagged.0), tagged.1);
    }
    match next(rest)? {
        Some(_) => Err(DropReason::VlanDepth),
        None => Ok((tags, rest)),
    }
}

/// The tag that `bytes` start with, and what follows it.
fn next(bytes: &[u8]) -> Result<Option<(VlanTag, &[u8])>, DropReason> {
    let (ether_type, _) = U16::ref_from_prefix(bytes).map_err(|_| DropReason::FrameTooShort)?;
    if !matches!(ether_type.get(), CUSTOMER | SERVICE) {
        return Ok(None);
    }
    let (tag, rest) = Tag::ref_from_prefix(bytes).map_err(|_| DropReason::FrameTooShort)?;
    Ok(Some((VlanTag { protocol: tag.protocol.get(), control: tag.control.get() }, rest)))
}

/// Writes the tags that are there.
pub(super) fn write(out: &mut Cursor<'_>, tags: [Option<VlanTag>; 2]) {
    for tag in tags.into_iter().flatten() {
        out.put(&Tag { protocol: U16::new(tag.protocol), control: U16::new(tag.control) });
    }
}
