//! Frames are written.

use super::{
    ETHERNET, IPV4, IPV6, IpFields, Macs, SERVICE_VLAN, TCP, VLAN, WireOption, WireSegment, add_bytes, address_bytes,
    fold, pseudo_header_sum,
};
use std::net::IpAddr;

const DO_NOT_FRAGMENT: u8 = 0x40;
const MORE_FRAGMENTS: u8 = 0x20;
/// The fragment header of IPv6, as a protocol.
const FRAGMENT_HEADER: u8 = 44;

/// Writes `segment` as an Ethernet frame; with `bad_checksum` its TCP checksum is off by one bit.
pub fn encode(macs: Macs, segment: &WireSegment, bad_checksum: bool) -> Vec<u8> {
    let mut tcp = tcp_bytes(segment);
    let mut sum = pseudo_header_sum(segment.source.addr, segment.destination.addr, TCP, tcp.len());
    sum = add_bytes(sum, &tcp);
    let checksum = !fold(sum) ^ u16::from(bad_checksum);
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = ethernet(macs, segment);
    frame.extend(ip_header(segment.source.addr, segment.destination.addr, TCP, &segment.ip, tcp.len()));
    frame.extend_from_slice(&tcp);
    frame
}

/// The Ethernet header with the segment's VLAN tags.
fn ethernet(macs: Macs, segment: &WireSegment) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ETHERNET + 80 + segment.payload.len());
    frame.extend_from_slice(&macs.destination);
    frame.extend_from_slice(&macs.source);
    for (index, tag) in segment.vlans.iter().enumerate() {
        let outer = index + 1 < segment.vlans.len();
        frame.extend_from_slice(&(if outer { SERVICE_VLAN } else { VLAN }).to_be_bytes());
        frame.extend_from_slice(&tag.to_be_bytes());
    }
    frame.extend_from_slice(&(if segment.source.addr.is_ipv4() { IPV4 } else { IPV6 }).to_be_bytes());
    frame
}

/// The IP header of `length` bytes of `protocol`. IPv4 is told not to fragment.
pub(super) fn ip_header(source: IpAddr, destination: IpAddr, protocol: u8, ip: &IpFields, length: usize) -> Vec<u8> {
    let traffic_class = ip.tos | ip.ecn as u8;
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut options = ip.options.clone();
            options.resize(options.len().next_multiple_of(4), 0);
            let words = 5 + options.len() / 4;
            let flags = if ip.fragment { MORE_FRAGMENTS } else { DO_NOT_FRAGMENT };
            let mut header = vec![0x40 | words as u8, traffic_class, 0, 0, 0, 0, flags, 0, ip.ttl, protocol, 0, 0];
            header[2..4].copy_from_slice(&((words * 4 + length) as u16).to_be_bytes());
            header[4..6].copy_from_slice(&ip.id.to_be_bytes());
            header.extend_from_slice(&source.octets());
            header.extend_from_slice(&destination.octets());
            header.extend_from_slice(&options);
            let checksum = !fold(add_bytes(0, &header));
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            header
        }
        (source, destination) => {
            // A fragment header (RFC 8200, section 4.5): offset zero, more to come, identification 1.
            let extension: &[u8] = if ip.fragment { &[protocol, 0, 0, 1, 0, 0, 0, 1] } else { &[] };
            let next = if ip.fragment { FRAGMENT_HEADER } else { protocol };
            let mut header = vec![0x60 | traffic_class >> 4, traffic_class << 4, 0, 0];
            header.extend_from_slice(&((extension.len() + length) as u16).to_be_bytes());
            header.extend_from_slice(&[next, ip.ttl]);
            header.extend_from_slice(&address_bytes(source));
            header.extend_from_slice(&address_bytes(destination));
            header.extend_from_slice(extension);
            header
        }
    }
}

/// The TCP header and its payload, without a checksum.
pub(super) fn tcp_bytes(segment: &WireSegment) -> Vec<u8> {
    let mut options = Vec::new();
    for option in &segment.options {
        write_option(option, &mut options);
    }
    options.resize(options.len().next_multiple_of(4), 1);
    let words = 5 + options.len() / 4;
    let mut tcp = Vec::with_capacity(words * 4 + segment.payload.len());
    tcp.extend_from_slice(&segment.source.port.to_be_bytes());
    tcp.extend_from_slice(&segment.destination.port.to_be_bytes());
    tcp.extend_from_slice(&segment.seq.to_be_bytes());
    tcp.extend_from_slice(&segment.ack.to_be_bytes());
    tcp.extend_from_slice(&(((words as u16) << 12) | segment.flags.bits()).to_be_bytes());
    tcp.extend_from_slice(&segment.window.to_be_bytes());
    tcp.extend_from_slice(&[0, 0]);
    tcp.extend_from_slice(&segment.urgent.to_be_bytes());
    tcp.extend_from_slice(&options);
    tcp.extend_from_slice(&segment.payload);
    tcp
}

fn write_option(option: &WireOption, out: &mut Vec<u8>) {
    match option {
        WireOption::Mss(mss) => {
            out.extend_from_slice(&[2, 4]);
            out.extend_from_slice(&mss.to_be_bytes());
        }
        WireOption::SackPermitted => out.extend_from_slice(&[4, 2]),
        WireOption::SackBlocks(blocks) => {
            out.extend_from_slice(&[5, 2 + 8 * blocks.len() as u8]);
            for (start, end) in blocks {
                out.extend_from_slice(&start.to_be_bytes());
                out.extend_from_slice(&end.to_be_bytes());
            }
        }
        WireOption::WindowScale(shift) => out.extend_from_slice(&[3, 3, *shift]),
        WireOption::Timestamps(value, echo) => {
            out.extend_from_slice(&[8, 10]);
            out.extend_from_slice(&value.to_be_bytes());
            out.extend_from_slice(&echo.to_be_bytes());
        }
        WireOption::Nop => out.push(1),
        WireOption::Raw(bytes) => out.extend_from_slice(bytes),
    }
}
