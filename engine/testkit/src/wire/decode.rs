//! Frames are read.

use super::{
    ETHERNET, EcnMark, IPV4, IPV6, IpFields, Macs, SERVICE_VLAN, TCP, VLAN, WireError, WireOption, WireSegment,
    add_bytes, array, fold, pseudo_header_sum,
};
use std::net::IpAddr;
use synward_proto::{Endpoint, Flags};

/// Reads an Ethernet frame.
///
/// # Errors
/// When it is not TCP, or any length or checksum in it is wrong.
pub fn decode(frame: &[u8]) -> Result<(Macs, WireSegment), WireError> {
    let (ethernet, packet) = frame.split_at_checked(ETHERNET).ok_or(WireError::Malformed("shorter than Ethernet"))?;
    let macs = Macs { destination: array(ethernet, 0), source: array(ethernet, 6) };
    let (kind, vlans, packet) = vlan_tags(u16::from_be_bytes(array(ethernet, 12)), packet)?;
    let Packet { source, destination, ip, tcp } = match kind {
        IPV4 => ipv4(packet)?,
        IPV6 => ipv6(packet)?,
        _ => return Err(WireError::NotTcp),
    };
    if fold(add_bytes(pseudo_header_sum(source, destination, TCP, tcp.len()), tcp)) != 0xffff {
        return Err(WireError::Malformed("wrong TCP checksum"));
    }
    if tcp.len() < 20 {
        return Err(WireError::Malformed("shorter than a TCP header"));
    }
    let control = u16::from_be_bytes(array(tcp, 12));
    let header = usize::from(control >> 12) * 4;
    if header < 20 || header > tcp.len() {
        return Err(WireError::Malformed("TCP data offset"));
    }
    let flags = Flags::from_bits(control & 0x0fff).ok_or(WireError::Malformed("reserved control bits are set"))?;
    let segment = WireSegment {
        source: Endpoint::new(source, u16::from_be_bytes(array(tcp, 0))),
        destination: Endpoint::new(destination, u16::from_be_bytes(array(tcp, 2))),
        flags,
        seq: u32::from_be_bytes(array(tcp, 4)),
        ack: u32::from_be_bytes(array(tcp, 8)),
        window: u16::from_be_bytes(array(tcp, 14)),
        urgent: u16::from_be_bytes(array(tcp, 18)),
        options: read_options(&tcp[20..header])?,
        payload: tcp[header..].to_vec(),
        ip,
        vlans,
    };
    Ok((macs, segment))
}

/// An IP packet that carries TCP.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    ip: IpFields,
    tcp: &'a [u8],
}

/// Takes the VLAN tags, at most two, off what follows the link addresses; what the frame then carries is the first value.
fn vlan_tags(mut kind: u16, mut rest: &[u8]) -> Result<(u16, Vec<u16>, &[u8]), WireError> {
    let mut vlans = Vec::new();
    while matches!(kind, VLAN | SERVICE_VLAN) {
        let (tag, after) = rest.split_at_checked(4).ok_or(WireError::Malformed("shorter than its VLAN tag"))?;
        if kind == SERVICE_VLAN && !vlans.is_empty() {
            return Err(WireError::Malformed("an outer VLAN tag inside another"));
        }
        vlans.push(u16::from_be_bytes(array(tag, 0)));
        (kind, rest) = (u16::from_be_bytes(array(tag, 2)), after);
    }
    if vlans.len() > 2 { Err(WireError::Malformed("more than two VLAN tags")) } else { Ok((kind, vlans, rest)) }
}

fn ipv4(packet: &[u8]) -> Result<Packet<'_>, WireError> {
    if packet.len() < 20 || packet[0] >> 4 != 4 {
        return Err(WireError::Malformed("not an IPv4 header"));
    }
    let header = usize::from(packet[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes(array(packet, 2)));
    if header < 20 || total < header || total > packet.len() {
        return Err(WireError::Malformed("IPv4 lengths"));
    }
    if packet[9] != TCP {
        return Err(WireError::NotTcp);
    }
    if fold(add_bytes(0, &packet[..header])) != 0xffff {
        return Err(WireError::Malformed("wrong IPv4 checksum"));
    }
    if u16::from_be_bytes(array(packet, 6)) & 0x3fff != 0 {
        return Err(WireError::Malformed("a fragment"));
    }
    let source: [u8; 4] = array(packet, 12);
    let destination: [u8; 4] = array(packet, 16);
    let ip = IpFields {
        tos: packet[1] & !3,
        ecn: EcnMark::of(packet[1]),
        ttl: packet[8],
        id: u16::from_be_bytes(array(packet, 4)),
        options: packet[20..header].to_vec(),
        fragment: false,
    };
    Ok(Packet { source: source.into(), destination: destination.into(), ip, tcp: &packet[header..total] })
}

fn ipv6(packet: &[u8]) -> Result<Packet<'_>, WireError> {
    if packet.len() < 40 || packet[0] >> 4 != 6 {
        return Err(WireError::Malformed("not an IPv6 header"));
    }
    if packet[6] != TCP {
        return Err(WireError::NotTcp);
    }
    let length = usize::from(u16::from_be_bytes(array(packet, 4)));
    let payload = packet[40..].get(..length).ok_or(WireError::Malformed("IPv6 payload length"))?;
    let source: [u8; 16] = array(packet, 8);
    let destination: [u8; 16] = array(packet, 24);
    let traffic_class = packet[0] << 4 | packet[1] >> 4;
    let ip = IpFields {
        tos: traffic_class & !3,
        ecn: EcnMark::of(traffic_class),
        ttl: packet[7],
        id: 0,
        options: Vec::new(),
        fragment: false,
    };
    Ok(Packet { source: source.into(), destination: destination.into(), ip, tcp: payload })
}

fn read_options(mut bytes: &[u8]) -> Result<Vec<WireOption>, WireError> {
    let mut options = Vec::new();
    while let Some(&kind) = bytes.first() {
        match kind {
            // What is behind the end of the list is padding, and zero (RFC 9293, section 3.1: MUST-69).
            0 if bytes.iter().any(|byte| *byte != 0) => return Err(WireError::Malformed("padding that is not zero")),
            0 => break,
            1 => bytes = &bytes[1..],
            _ => {
                let length = bytes.get(1).copied().map_or(0, usize::from);
                if length < 2 || length > bytes.len() {
                    return Err(WireError::Malformed("length of a TCP option"));
                }
                let (option, rest) = bytes.split_at(length);
                options.push(read_option(option)?);
                bytes = rest;
            }
        }
    }
    Ok(options)
}

fn read_option(option: &[u8]) -> Result<WireOption, WireError> {
    Ok(match (option[0], option.len()) {
        (2, 4) => WireOption::Mss(u16::from_be_bytes(array(option, 2))),
        (3, 3) => WireOption::WindowScale(option[2]),
        (4, 2) => WireOption::SackPermitted,
        (5, length) if length > 2 && (length - 2) % 8 == 0 => WireOption::SackBlocks(
            option[2..]
                .chunks(8)
                .map(|block| (u32::from_be_bytes(array(block, 0)), u32::from_be_bytes(array(block, 4))))
                .collect(),
        ),
        (8, 10) => WireOption::Timestamps(u32::from_be_bytes(array(option, 2)), u32::from_be_bytes(array(option, 6))),
        (2..=5 | 8, _) => return Err(WireError::Malformed("length of a known TCP option")),
        _ => WireOption::Raw(option.to_vec()),
    })
}
