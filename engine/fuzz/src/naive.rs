//! A second reading of frames, in the plainest way: by offsets, without views, with what the wire module's documentation
//! promises and nothing of its code.

use crate::packet::{sum, u16_at, u32_at};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use synward_proto::DropReason::{self, *};
use synward_proto::icmp::{IcmpError, IcmpKind, Unreachable};
use synward_proto::segment::{DataOptions, Mss, SackBlock, SackBlocks, SynOptions, Timestamps, VlanTag, WindowScale};
use synward_proto::wire::ChecksumPolicy;
use synward_proto::{Codepoint, Endpoint, Flags, Link, MacAddr, Options, Segment, SeqNum, Span, Tuple};

/// An IP packet within a frame.
struct Packet {
    source: IpAddr,
    destination: IpAddr,
    traffic_class: u8,
    /// Where its payload starts and ends in the frame.
    payload: std::ops::Range<usize>,
}

/// What a frame that carries TCP says, or the one reason for which it is dead.
pub fn segment(frame: &[u8], policy: ChecksumPolicy) -> Result<Segment, DropReason> {
    let (link, packet) = network(frame, [6, 6])?;
    let bytes = &frame[packet.payload.clone()];
    let offset = u16_at(bytes, 12).filter(|_| bytes.len() >= 20).ok_or(IpLength)?;
    let header = 4 * usize::from(offset >> 12);
    if header < 20 || header > bytes.len() {
        return Err(TcpDataOffset);
    }
    let pseudo = pseudo_header(&packet, 6, bytes.len());
    let is_unfinished = policy == ChecksumPolicy::AllowUnfinished && u16_at(bytes, 16) == Some(pseudo);
    if !is_unfinished && sum(&[&pseudo.to_be_bytes(), bytes]) != 0xffff {
        return Err(TcpChecksum);
    }
    let (source, destination) = (u16_at(bytes, 0).unwrap_or(0), u16_at(bytes, 2).unwrap_or(0));
    if source == 0 || destination == 0 {
        return Err(PortZero);
    }
    let flags = control_bits(offset)?;
    if packet.payload.end > usize::from(u16::MAX) {
        return Err(IpLength);
    }
    Ok(Segment {
        link,
        tuple: Tuple {
            local: Endpoint::new(packet.destination, destination),
            remote: Endpoint::new(packet.source, source),
        },
        seq: SeqNum(u32_at(bytes, 4).unwrap_or(0)),
        ack: SeqNum(u32_at(bytes, 8).unwrap_or(0)),
        flags,
        window: u16_at(bytes, 14).unwrap_or(0),
        ecn: Codepoint::of(packet.traffic_class),
        options: options(flags.contains(Flags::SYN), &bytes[20..header]),
        payload: Span { start: (packet.payload.start + header) as u16, len: (bytes.len() - header) as u16 },
        unfinished_checksum: is_unfinished,
    })
}

/// What a frame that carries an ICMP error says, or the one reason for which it is dead.
pub fn icmp_error(frame: &[u8]) -> Result<IcmpError, DropReason> {
    let (link, packet) = network(frame, [1, 58])?;
    let message = &frame[packet.payload.clone()];
    if message.len() < 8 {
        return Err(IcmpTruncated);
    }
    let is_v6 = packet.source.is_ipv6();
    let pseudo = if is_v6 { pseudo_header(&packet, 58, message.len()) } else { 0 };
    if sum(&[&pseudo.to_be_bytes(), message]) != 0xffff {
        return Err(IcmpChecksum);
    }
    let rest = u32_at(message, 4).unwrap_or(0);
    let kind = if is_v6 { kind_v6(message[0], message[1], rest) } else { kind_v4(message[0], message[1], rest) };
    let kind = kind.ok_or(IcmpUnknown)?;
    let quote = &message[8..];
    let (local, remote, quoted) = if is_v6 { quoted_v6(quote)? } else { quoted_v4(quote)? };
    if quoted.len() < 8 {
        return Err(IcmpTruncated);
    }
    let (from, to) = (u16_at(quoted, 0).unwrap_or(0), u16_at(quoted, 2).unwrap_or(0));
    if from == 0 || to == 0 {
        return Err(IcmpQuote);
    }
    let tuple = Tuple { local: Endpoint::new(local, from), remote: Endpoint::new(remote, to) };
    Ok(IcmpError { link, tuple, seq: SeqNum(u32_at(quoted, 4).unwrap_or(0)), kind })
}

/// What these option bytes say on a segment with or without SYN.
pub fn options(is_syn: bool, bytes: &[u8]) -> Options {
    let (mut syn, mut data) = (SynOptions::default(), DataOptions::default());
    let mut at = 0;
    while at < bytes.len() && bytes[at] != 0 {
        if bytes[at] == 1 {
            at += 1;
            continue;
        }
        let Some(&len) = bytes.get(at + 1) else { break };
        let end = at + usize::from(len);
        if len < 2 || end > bytes.len() {
            break;
        }
        let stamps =
            || Timestamps { value: u32_at(bytes, at + 2).unwrap_or(0), echo: u32_at(bytes, at + 6).unwrap_or(0) };
        match (bytes[at], len) {
            (2, 4) if u16_at(bytes, at + 2) != Some(0) => {
                syn.mss = Mss::announced(u16_at(bytes, at + 2).unwrap_or(0).max(48));
            }
            (3, 3) => syn.window_scale = Some(WindowScale::clamped(bytes[at + 2].min(14))),
            (4, 2) => syn.sack_permitted = true,
            (8, 10) => (syn.timestamps, data.timestamps) = (Some(stamps()), Some(stamps())),
            (5, 10 | 18 | 26 | 34) => data.sack = blocks(&bytes[at + 2..end]),
            _ => {}
        }
        at = end;
    }
    if is_syn { Options::Syn(syn) } else { Options::Data(data) }
}

fn blocks(bytes: &[u8]) -> SackBlocks {
    let mut blocks = SackBlocks::NONE;
    for at in (0..bytes.len()).step_by(8) {
        let edge = |at| SeqNum(u32_at(bytes, at).unwrap_or(0));
        assert!(blocks.push(SackBlock { start: edge(at), end: edge(at + 4) }), "four blocks at most fit");
    }
    blocks
}

/// RST wins over SYN and FIN; nothing at all, and SYN with FIN, make no sense.
fn control_bits(offset: u16) -> Result<Flags, DropReason> {
    let bits = offset & 0x01ff;
    match bits {
        _ if bits & 0x04 != 0 => Ok(Flags::from_bits_truncate(bits & !0x03)),
        0 => Err(TcpFlags),
        _ if bits & 0x03 == 0x03 => Err(TcpFlags),
        _ => Ok(Flags::from_bits_truncate(bits)),
    }
}

/// The packet in a frame, if it carries the first of these protocols over IPv4 or the second over IPv6.
fn network(frame: &[u8], [v4, v6]: [u8; 2]) -> Result<(Link, Packet), DropReason> {
    if frame.len() < 14 {
        return Err(FrameTooShort);
    }
    let mut tags = Vec::new();
    let mut at = 12;
    let ether_type = loop {
        let ether_type = u16_at(frame, at).ok_or(FrameTooShort)?;
        if !matches!(ether_type, 0x8100 | 0x88a8) {
            break ether_type;
        }
        let control = u16_at(frame, at + 2).ok_or(FrameTooShort)?;
        if tags.len() == 2 {
            return Err(VlanDepth);
        }
        tags.push(VlanTag { protocol: ether_type, control });
        at += 4;
    };
    let packet = match ether_type {
        0x0800 => packet_v4(frame, at + 2, v4)?,
        0x86dd => packet_v6(frame, at + 2, v6)?,
        _ => return Err(NotIp),
    };
    if frame[0] & 1 == 1 {
        return Err(MartianDestination);
    }
    if frame[6] & 1 == 1 {
        return Err(MartianSource);
    }
    let mac = |at: usize| MacAddr(std::array::from_fn(|byte| frame[at + byte]));
    let link = Link { local: mac(0), remote: mac(6), outer: tags.first().copied(), inner: tags.get(1).copied() };
    Ok((link, packet))
}

fn packet_v4(frame: &[u8], start: usize, protocol: u8) -> Result<Packet, DropReason> {
    let bytes = &frame[start..];
    if bytes.len() < 20 {
        return Err(FrameTooShort);
    }
    if bytes[0] >> 4 != 4 {
        return Err(IpVersion);
    }
    let header = 4 * usize::from(bytes[0] & 15);
    if header < 20 || header > bytes.len() {
        return Err(IpHeaderLength);
    }
    if header > 20 {
        return Err(IpOptions);
    }
    if sum(&[&bytes[..20]]) != 0xffff {
        return Err(IpChecksum);
    }
    let total = usize::from(u16_at(bytes, 2).unwrap_or(0));
    if !(20..=bytes.len()).contains(&total) {
        return Err(IpLength);
    }
    // More fragments, or an offset.
    if u16_at(bytes, 6).unwrap_or(0) & 0x3fff != 0 {
        return Err(IpFragment);
    }
    if bytes[9] != protocol {
        return Err(NotTcp);
    }
    let (source, destination) = addresses_v4(bytes);
    check(source.into(), destination.into())?;
    Ok(Packet {
        source: source.into(),
        destination: destination.into(),
        traffic_class: bytes[1],
        payload: start + 20..start + total,
    })
}

fn addresses_v4(header: &[u8]) -> (Ipv4Addr, Ipv4Addr) {
    let address = |at| Ipv4Addr::from_bits(u32_at(header, at).unwrap_or(0));
    (address(12), address(16))
}

fn packet_v6(frame: &[u8], start: usize, protocol: u8) -> Result<Packet, DropReason> {
    let bytes = &frame[start..];
    if bytes.len() < 40 {
        return Err(FrameTooShort);
    }
    if bytes[0] >> 4 != 6 {
        return Err(IpVersion);
    }
    let end = 40 + usize::from(u16_at(bytes, 4).unwrap_or(0));
    if end > bytes.len() {
        return Err(IpLength);
    }
    let payload = behind_extensions(&bytes[..end], protocol)?;
    let (source, destination) = addresses_v6(bytes);
    check(source.into(), destination.into())?;
    Ok(Packet {
        source: source.into(),
        destination: destination.into(),
        traffic_class: bytes[0] << 4 | bytes[1] >> 4,
        payload: start + payload..start + end,
    })
}

fn addresses_v6(header: &[u8]) -> (Ipv6Addr, Ipv6Addr) {
    let address = |at: usize| Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|byte| header[at + byte]));
    (address(8), address(24))
}

/// Where the upper layer starts, at most four extension headers further on.
fn behind_extensions(packet: &[u8], protocol: u8) -> Result<usize, DropReason> {
    let (mut next, mut at) = (packet[6], 40);
    for walked in 0..5 {
        if next == protocol {
            return Ok(at);
        }
        match next {
            0 if walked > 0 => return Err(Ipv6Extension),
            0 | 43 | 60 => {}
            44 => return Err(IpFragment),
            50 | 51 | 135 | 139 | 140 => return Err(Ipv6Extension),
            _ => return Err(NotTcp),
        }
        let len = 8 + 8 * usize::from(*packet.get(at + 1).ok_or(IpLength)?);
        let header = packet.get(at..at + len).ok_or(IpLength)?;
        let is_harmless = if next == 43 { header[3] == 0 } else { skips_all(&header[2..]) };
        if !is_harmless {
            return Err(Ipv6Extension);
        }
        (next, at) = (header[0], at + len);
    }
    Err(Ipv6Extension)
}

/// Whether these are at most eight options, each of a kind that is skipped by who does not know it.
fn skips_all(options: &[u8]) -> bool {
    let (mut at, mut count) = (0, 0);
    while at < options.len() {
        count += 1;
        match (options[at], options.get(at + 1)) {
            (0, _) => at += 1,
            (1..64, Some(len)) => at += 2 + usize::from(*len),
            _ => return false,
        }
    }
    at == options.len() && count <= 8
}

fn check(source: IpAddr, destination: IpAddr) -> Result<(), DropReason> {
    if is_nobody(source) {
        return Err(MartianSource);
    }
    if is_nobody(destination) {
        return Err(MartianDestination);
    }
    if source == destination { Err(Land) } else { Ok(()) }
}

fn is_nobody(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => [0, 127].contains(&v4.octets()[0]) || v4.octets()[0] >= 224,
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            bits <= 1 || bits >> 120 == 0xff || bits >> 32 == 0xffff
        }
    }
}

/// The sum of the pseudo-header.
fn pseudo_header(packet: &Packet, protocol: u8, len: usize) -> u16 {
    let len = (len as u32).to_be_bytes();
    match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            sum(&[&source.octets(), &destination.octets(), &len, &[0, protocol]])
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            sum(&[&source.octets(), &destination.octets(), &len, &[0, protocol]])
        }
        _ => unreachable!("a packet has one family"),
    }
}

type Quote<'a> = (IpAddr, IpAddr, &'a [u8]);

fn quoted_v4(quote: &[u8]) -> Result<Quote<'_>, DropReason> {
    if quote.len() < 20 {
        return Err(IcmpTruncated);
    }
    let header = 4 * usize::from(quote[0] & 15);
    let is_fragment = u16_at(quote, 6).unwrap_or(0) & 0x3fff != 0;
    if quote[0] >> 4 != 4 || header < 20 || quote[9] != 6 || is_fragment {
        return Err(IcmpQuote);
    }
    let rest = quote.get(header..).ok_or(IcmpTruncated)?;
    let (source, destination) = addresses_v4(quote);
    check(source.into(), destination.into()).map_err(|_| IcmpQuote)?;
    Ok((source.into(), destination.into(), rest))
}

fn quoted_v6(quote: &[u8]) -> Result<Quote<'_>, DropReason> {
    if quote.len() < 40 {
        return Err(IcmpTruncated);
    }
    if quote[0] >> 4 != 6 || quote[6] != 6 {
        return Err(IcmpQuote);
    }
    let (source, destination) = addresses_v6(quote);
    check(source.into(), destination.into()).map_err(|_| IcmpQuote)?;
    Ok((source.into(), destination.into(), &quote[40..]))
}

fn kind_v4(icmp_type: u8, code: u8, rest: u32) -> Option<IcmpKind> {
    use Unreachable as U;
    let why = match code {
        0 | 6 | 9 | 11 => U::Network,
        1 | 10 | 12 => U::Host,
        2 => U::Protocol,
        3 => U::Port,
        5 => U::SourceRoute,
        7 => U::HostUnknown,
        8 => U::Isolated,
        13..=15 => U::Prohibited,
        other => U::Other(other),
    };
    match icmp_type {
        3 if code == 4 => Some(IcmpKind::PacketTooBig { mtu: rest & 0xffff }),
        3 => Some(IcmpKind::Unreachable(why)),
        11 => Some(time_exceeded(code)),
        12 => Some(IcmpKind::ParameterProblem),
        _ => None,
    }
}

fn kind_v6(icmp_type: u8, code: u8, rest: u32) -> Option<IcmpKind> {
    use Unreachable as U;
    let why = match code {
        0 => U::Network,
        1 | 5 | 6 => U::Prohibited,
        2 | 3 => U::Host,
        4 => U::Port,
        other => U::Other(other),
    };
    match icmp_type {
        1 => Some(IcmpKind::Unreachable(why)),
        2 => Some(IcmpKind::PacketTooBig { mtu: rest }),
        3 => Some(time_exceeded(code)),
        4 => Some(IcmpKind::ParameterProblem),
        _ => None,
    }
}

fn time_exceeded(code: u8) -> IcmpKind {
    if code == 1 { IcmpKind::ReassemblyTimeExceeded } else { IcmpKind::TimeExceeded }
}
