//! The TCP header (RFC 9293, section 3.1).

use super::checksum::Sum;
use super::emit::Cursor;
use super::options::{self, Encoded};
use crate::{DropReason, Flags, Head, Options, SeqNum};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The protocol number.
pub(super) const PROTOCOL: u8 = 6;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub source: U16,
    pub destination: U16,
    sequence: U32,
    acknowledgment: U32,
    /// Data offset in words of four bytes (4 bits), reserved (3), control bits (9).
    offset_and_flags: U16,
    window: U16,
    pub checksum: [u8; 2],
    /// Urgent data is delivered in line; where it ends interests nobody here.
    urgent: U16,
}

/// The length of the header without options.
pub(super) const HEADER_LEN: usize = size_of::<Header>();

/// Splits a segment into header, options and payload.
pub(super) fn split(segment: &[u8]) -> Result<(&Header, &[u8], &[u8]), DropReason> {
    let (header, rest) = Header::ref_from_prefix(segment).map_err(|_| DropReason::IpLength)?;
    let header_len = 4 * usize::from(header.offset_and_flags.get() >> 12);
    let options_len = header_len.checked_sub(HEADER_LEN).ok_or(DropReason::TcpDataOffset)?;
    let (options, payload) = rest.split_at_checked(options_len).ok_or(DropReason::TcpDataOffset)?;
    Ok((header, options, payload))
}

/// The first eight bytes of a header: as much as an ICMP error must quote (RFC 792).
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Start {
    pub source: U16,
    pub destination: U16,
    sequence: U32,
}

/// Reads the start of a segment that we sent.
pub(super) fn quoted(bytes: &[u8]) -> Result<&Start, DropReason> {
    let (start, _) = Start::ref_from_prefix(bytes).map_err(|_| DropReason::IcmpTruncated)?;
    if start.source.get() == 0 || start.destination.get() == 0 {
        return Err(DropReason::IcmpQuote);
    }
    Ok(start)
}

impl Start {
    pub(super) const fn seq(&self) -> SeqNum {
        SeqNum(self.sequence.get())
    }
}

impl Header {
    pub(super) const fn seq(&self) -> SeqNum {
        SeqNum(self.sequence.get())
    }

    pub(super) const fn ack(&self) -> SeqNum {
        SeqNum(self.acknowledgment.get())
    }

    pub(super) const fn window(&self) -> u16 {
        self.window.get()
    }

    /// The control bits, in a combination that makes sense. The reserved bits "must be ignored in received segments"
    /// (RFC 9293, section 3.1).
    pub(super) fn flags(&self) -> Result<Flags, DropReason> {
        let flags = Flags::from_bits_truncate(self.offset_and_flags.get());
        // RST wins: in every state Linux asks for it before SYN and FIN. Here it is the last that is heard of them.
        if flags.contains(Flags::RST) {
            return Ok(flags - Flags::SYN - Flags::FIN);
        }
        if flags.is_empty() || flags.contains(Flags::SYN | Flags::FIN) {
            return Err(DropReason::TcpFlags);
        }
        Ok(flags)
    }
}

/// Reads the options of a segment with these control bits.
pub(super) fn options(flags: Flags, bytes: &[u8]) -> Options {
    if flags.contains(Flags::SYN) {
        Options::Syn(options::parse_syn(bytes))
    } else {
        Options::Data(options::parse_data(bytes))
    }
}

/// Writes header and options; [`finish`] fills in the checksum.
pub(super) fn write(out: &mut Cursor<'_>, head: &Head) {
    let Head { tuple, seq, ack, flags, window, options, marking: _ } = head;
    let options = Encoded::new(options);
    let options = options.as_bytes();
    let words = ((HEADER_LEN + options.len()) / 4) as u16;
    let ack = if flags.contains(Flags::ACK) { ack.0 } else { 0 };
    out.put(&Header {
        source: U16::new(tuple.local.port),
        destination: U16::new(tuple.remote.port),
        sequence: U32::new(seq.0),
        acknowledgment: U32::new(ack),
        offset_and_flags: U16::new(words << 12 | flags.bits()),
        window: U16::new(*window),
        checksum: [0; 2],
        urgent: U16::ZERO,
    });
    out.put(options);
}

/// Fills in the checksum of the header that `header` starts with; `header` ends with the options, and `rest` is the sum
/// of pseudo-header and payload.
pub(super) fn finish(header: &mut [u8], rest: Sum) {
    let sum = rest.plus(Sum::of(header));
    if let Ok((header, _)) = Header::mut_from_prefix(header) {
        header.checksum = sum.finished();
    }
}
