//! A head and its payload become a frame, in one pass over the bytes.

use super::checksum::Sum;
use super::{ethernet, ipv4, ipv6, tcp};
use crate::{Head, Link, Tuple};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::{Immutable, IntoBytes};

/// The most bytes that headers take: Ethernet, two VLAN tags, IPv6, TCP with 40 bytes of options.
pub const HEADROOM: usize = 14 + 8 + 40 + 60;

/// The longest IP packet, whatever the frame would hold.
const MAX_PACKET: usize = u16::MAX as usize;

/// Writes one segment into a frame: headers first, then payload piece by piece (each piece is copied and checksummed in
/// one pass), then lengths and checksums.
///
/// Every header byte is written, so the frame may be the one that asked.
#[derive(Debug)]
pub struct SegmentWriter<'a> {
    frame: &'a mut [u8],
    addresses: Addresses,
    /// Where the IP header starts.
    network: usize,
    /// Where the TCP header starts.
    transport: usize,
    /// Where the payload starts.
    payload: usize,
    /// Where the payload ends, so far.
    end: usize,
    payload_sum: Sum,
}

/// The addresses of a packet: one family for both.
#[derive(Clone, Copy, Debug)]
enum Addresses {
    V4 { source: Ipv4Addr, destination: Ipv4Addr },
    V6 { source: Ipv6Addr, destination: Ipv6Addr },
}

impl Addresses {
    fn of(tuple: &Tuple) -> Self {
        match (tuple.local.addr, tuple.remote.addr) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Self::V4 { source, destination },
            (source, destination) => Self::V6 { source: as_v6(source), destination: as_v6(destination) },
        }
    }
}

/// A [`Tuple`] has one family; should it ever have two, the packet is IPv6 and goes nowhere.
const fn as_v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

impl<'a> SegmentWriter<'a> {
    /// Writes the headers. `frame` must hold [`HEADROOM`] bytes and the payload.
    ///
    /// # Panics
    /// When `frame` is shorter than [`HEADROOM`]: a frame pool cut too small, never a peer's doing.
    pub fn new(frame: &'a mut [u8], link: &Link, head: &Head) -> Self {
        let addresses = Addresses::of(&head.tuple);
        let (headers, _) = frame.split_first_chunk_mut().expect("a frame holds HEADROOM bytes");
        let mut out = Cursor { headers, len: 0 };
        let ether_type = match addresses {
            Addresses::V4 { .. } => ethernet::IPV4,
            Addresses::V6 { .. } => ethernet::IPV6,
        };
        ethernet::write(&mut out, link, ether_type);
        let network = out.len;
        match addresses {
            Addresses::V4 { source, destination } => ipv4::write(&mut out, source, destination, head.marking),
            Addresses::V6 { source, destination } => ipv6::write(&mut out, source, destination, head.marking),
        }
        let transport = out.len;
        tcp::write(&mut out, head);
        let payload = out.len;
        Self { frame, addresses, network, transport, payload, end: payload, payload_sum: Sum::ZERO }
    }

    /// Copies payload; what does not fit in the frame is left out, and the number of bytes taken is returned.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let limit = self.frame.len().min(self.network + MAX_PACKET);
        let room = self.frame.get_mut(self.end..limit).unwrap_or_default();
        let sum = Sum::copy(bytes, room);
        let after_odd = (self.end - self.payload) % 2 == 1;
        self.payload_sum = self.payload_sum.plus(if after_odd { sum.shifted() } else { sum });
        let taken = bytes.len().min(room.len());
        self.end += taken;
        taken
    }

    /// Fills in lengths and checksums, and returns the length of the frame.
    pub fn finish(self) -> usize {
        let Self { frame, addresses, network, transport, payload, end, payload_sum } = self;
        // `append` keeps the packet within MAX_PACKET.
        let packet_len = (end - network) as u16;
        let segment_len = (end - transport) as u16;
        let packet = frame.get_mut(network..end).unwrap_or_default();
        let pseudo_header = match addresses {
            Addresses::V4 { source, destination } => {
                ipv4::finish(packet, packet_len);
                Sum::pseudo_header_v4(source, destination, segment_len)
            }
            Addresses::V6 { source, destination } => {
                ipv6::finish(packet, segment_len);
                Sum::pseudo_header_v6(source, destination, segment_len)
            }
        };
        let header = frame.get_mut(transport..payload).unwrap_or_default();
        tcp::finish(header, pseudo_header.plus(payload_sum));
        end
    }
}

/// Writes a segment without payload; returns the length of the frame.
///
/// # Panics
/// As [`SegmentWriter::new`].
pub fn write_segment(frame: &mut [u8], link: &Link, head: &Head) -> usize {
    SegmentWriter::new(frame, link, head).finish()
}

/// Where the next header goes.
pub(super) struct Cursor<'a> {
    headers: &'a mut [u8; HEADROOM],
    len: usize,
}

impl Cursor<'_> {
    /// Writes the next bytes of the headers.
    #[inline]
    pub(super) fn put(&mut self, header: &(impl IntoBytes + Immutable + ?Sized)) {
        let bytes = header.as_bytes();
        if let Some(slot) = self.headers.get_mut(self.len..self.len + bytes.len()) {
            slot.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}
