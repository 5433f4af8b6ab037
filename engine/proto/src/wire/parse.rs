//! A frame becomes a segment or an ICMP error, or one reason why not.

use super::checksum::Sum;
use super::{Packet, Upper, ethernet, icmp, ipv4, ipv6, tcp};
use crate::{DropReason, Endpoint, IcmpError, Link, Segment, Span, Tuple};

/// What to do about TCP checksums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChecksumPolicy {
    /// The checksum must be right.
    Full,
    /// As `Full`, but the unfinished form that a sending kernel leaves on a virtual device (the field holds the folded
    /// pseudo-header sum, not complemented) is accepted too and marked in the segment.
    AllowUnfinished,
}

/// Checks a frame that is to carry TCP, from the Ethernet header to the TCP options.
///
/// The order is the order of the headers; within TCP, what the checksum protects is believed only after it.
///
/// # Errors
/// The one reason for which the frame is dead. [`DropReason::NotTcp`] is found before anything behind the IP header is
/// read: such a frame may carry an ICMP error, for [`parse_icmp_error`].
pub fn parse(frame: &[u8], policy: ChecksumPolicy) -> Result<Segment, DropReason> {
    let (link, packet) = network(frame, Upper::Tcp)?;
    let (header, options, payload) = tcp::split(packet.payload)?;
    let unfinished_checksum = check_checksum(&packet, header, policy)?;
    let (source, destination) = (header.source.get(), header.destination.get());
    if source == 0 || destination == 0 {
        return Err(DropReason::PortZero);
    }
    let flags = header.flags()?;
    let payload_start = packet.payload_start + packet.payload.len() - payload.len();
    Ok(Segment {
        link,
        tuple: Tuple {
            local: Endpoint::new(packet.destination, destination),
            remote: Endpoint::new(packet.source, source),
        },
        seq: header.seq(),
        ack: header.ack(),
        flags,
        window: header.window(),
        ecn: packet.ecn,
        options: tcp::options(flags, options),
        payload: span(payload_start, payload.len())?,
        unfinished_checksum,
    })
}

/// Checks a frame that is to carry an ICMP error about a TCP segment, from the Ethernet header to the quoted sequence
/// number. No device finishes the checksum of ICMP, so that it must be right on virtual devices, too.
///
/// # Errors
/// The one reason for which the frame is dead; [`DropReason::NotTcp`] when it carries no ICMP either.
pub fn parse_icmp_error(frame: &[u8]) -> Result<IcmpError, DropReason> {
    let (link, packet) = network(frame, Upper::Icmp)?;
    icmp::parse(link, &packet)
}

/// Checks the headers of link and network. Inlined, so that what each caller wants is a constant and segments do not pay
/// for the question.
#[inline(always)]
fn network(frame: &[u8], upper: Upper) -> Result<(Link, Packet<'_>), DropReason> {
    let (link, ether_type, network) = ethernet::parse(frame)?;
    let start = frame.len() - network.len();
    let packet = match ether_type {
        ethernet::IPV4 => ipv4::parse(network, start, upper)?,
        ethernet::IPV6 => ipv6::parse(network, start, upper)?,
        _ => return Err(DropReason::NotIp),
    };
    ethernet::check_addresses(&link)?;
    Ok((link, packet))
}

/// Checks the checksum (MUST-3); returns whether it was the unfinished form.
fn check_checksum(packet: &Packet<'_>, header: &tcp::Header, policy: ChecksumPolicy) -> Result<bool, DropReason> {
    let allow_unfinished = match policy {
        ChecksumPolicy::Full => false,
        ChecksumPolicy::AllowUnfinished => true,
    };
    // Linux leaves `~tcp_v4_check(len, saddr, daddr, 0)`, which is the folded sum itself, for the length of this very
    // segment, also after segmentation offload in software (`tcp_gso_segment`). Looked at first: it costs no pass over
    // the payload.
    if allow_unfinished && header.checksum == packet.pseudo_header.unfinished() {
        return Ok(true);
    }
    if packet.pseudo_header.plus(Sum::of(packet.payload)).is_intact() {
        return Ok(false);
    }
    Err(DropReason::TcpChecksum)
}

/// A range of the frame whose end is within what a [`Span`] can name; only a frame longer than any device's is not.
fn span(start: usize, len: usize) -> Result<Span, DropReason> {
    if u16::try_from(start + len).is_err() {
        return Err(DropReason::IpLength);
    }
    Ok(Span { start: start as u16, len: len as u16 })
}
