//! Segments from clients, of any shape, with checksums.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use synward_proto::wire::checksum::Sum;

use crate::bench::{PORT, V4, V6};

/// A segment from a client, of any shape that the arguments make.
pub struct Raw {
    pub tags: Vec<u16>,
    pub source: IpAddr,
    pub source_port: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u16,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Raw {
    /// The frame, with its checksums.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for tag in &self.tags {
            frame.extend(tag.to_be_bytes());
            frame.extend([0x20, 7]);
        }
        let mut tcp = Vec::new();
        tcp.extend(self.source_port.to_be_bytes());
        tcp.extend(PORT.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        let words = u16::try_from(5 + self.options.len() / 4).unwrap();
        tcp.extend((words << 12 | self.flags).to_be_bytes());
        tcp.extend([0xfa, 0xf0, 0, 0, 0, 0]);
        tcp.extend(&self.options);
        tcp.extend(&self.payload);
        let length = u16::try_from(tcp.len()).unwrap();
        let pseudo = match self.source {
            IpAddr::V4(source) => {
                frame.extend([0x08, 0]);
                let mut ip = vec![0x45, 0x10];
                ip.extend((20 + length).to_be_bytes());
                ip.extend([0x12, 0x34, 0x40, 0, 57, 6, 0, 0]);
                ip.extend(source.octets());
                let local: Ipv4Addr = V4.parse().unwrap();
                ip.extend(local.octets());
                let checksum = Sum::of(&ip).finished();
                ip[10..12].copy_from_slice(&checksum);
                frame.extend(ip);
                Sum::pseudo_header_v4(source, local, length)
            }
            IpAddr::V6(source) => {
                frame.extend([0x86, 0xdd, 0x60, 1, 2, 3]);
                frame.extend(length.to_be_bytes());
                frame.extend([6, 57]);
                frame.extend(source.octets());
                let local: Ipv6Addr = V6.parse().unwrap();
                frame.extend(local.octets());
                Sum::pseudo_header_v6(source, local, length)
            }
        };
        let checksum = pseudo.plus(Sum::of(&tcp)).finished();
        tcp[16..18].copy_from_slice(&checksum);
        frame.extend(tcp);
        // Ethernet's least.
        frame.resize(frame.len().max(60), 0);
        frame
    }
}

/// Options in any order, with padding and nonsense between them, in whole words.
pub fn any_options(random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut byte = |below: usize| u8::try_from(random(below)).unwrap();
    let mut options = Vec::new();
    for _ in 0..byte(7) {
        match byte(12) {
            0..2 => options.extend([2, 4, byte(40), byte(256)]),
            2..4 => options.extend([3, 3, byte(18)]),
            4..6 => options.extend([4, 2]),
            6..8 => options.extend([8, 10, byte(256), byte(256), byte(256), byte(256), 0, 0, 0, byte(2)]),
            8 => options.push(1),
            9 => options.extend([byte(256), byte(12), byte(256), byte(256)]),
            10 => options.extend([2, 4, 0, byte(2)]),
            _ => options.extend([byte(10), byte(6)]),
        }
    }
    if byte(3) == 0 {
        // As Linux sends them.
        options = vec![2, 4, byte(40), byte(256), 4, 2, 8, 10, 1, 2, 3, byte(256), 0, 0, 0, 0, 1, 3, 3, byte(18)];
    }
    options.truncate(40);
    while !options.len().is_multiple_of(4) {
        options.push(byte(2));
    }
    options
}

fn any_source(random: &mut impl FnMut(usize) -> usize) -> IpAddr {
    let bits =
        |random: &mut dyn FnMut(usize) -> usize| (0..4).fold(0_u128, |bits, _| bits << 32 | random(1 << 32) as u128);
    match random(2) {
        0 => IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | bits(random) as u32 & 0x00ff_ffff)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(0x2001 << 112 | bits(random) >> 16)),
    }
}

pub fn any_syn(random: &mut impl FnMut(usize) -> usize) -> Raw {
    const TAGS: [&[u16]; 4] = [&[], &[], &[0x8100], &[0x88a8, 0x8100]];
    let flags = [0x02, 0x02, 0x02, 0xc2, 0x1c2, 0x2a][random(6)];
    Raw {
        tags: TAGS[random(4)].to_vec(),
        source: any_source(random),
        source_port: u16::try_from(1 + random(65_535)).unwrap(),
        seq: random(1 << 32) as u32,
        ack: random(2) as u32 * random(1 << 32) as u32,
        flags,
        options: any_options(random),
        payload: vec![0x5a; if random(8) == 0 { random(1400) } else { 0 }],
    }
}

/// A segment with any control bits, or a SYN.
pub fn any_segment(random: &mut impl FnMut(usize) -> usize) -> Raw {
    let syn = any_syn(random);
    match random(3) {
        0 => syn,
        _ => Raw { flags: random(512) as u16, ..syn },
    }
}

/// Makes the checksums of an IPv4 or IPv6 packet without options or extension headers right, as far as its headers are there
/// and say how long it is.
pub fn repair_checksums(frame: &mut [u8]) {
    let mut network = 12;
    while matches!(frame.get(network..network + 2), Some([0x81, 0] | [0x88, 0xa8])) {
        network += 4;
    }
    network += 2;
    let Some(packet) = frame.get_mut(network..) else { return };
    let (length, start, pseudo) = match packet {
        [0x45, ..] if packet.len() >= 20 => {
            packet[10..12].fill(0);
            let checksum = Sum::of(&packet[..20]).finished();
            packet[10..12].copy_from_slice(&checksum);
            let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            let Some(length) = total.checked_sub(20) else { return };
            let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
            (length, 20, Sum::pseudo_header_v4(address(12), address(16), length as u16))
        }
        [0x60..=0x6f, ..] if packet.len() >= 40 => {
            let length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
            let address = |at: usize| {
                let octets: [u8; 16] = packet[at..at + 16].try_into().unwrap();
                Ipv6Addr::from(octets)
            };
            (length, 40, Sum::pseudo_header_v6(address(8), address(24), length as u16))
        }
        _ => return,
    };
    let Some(segment) = packet.get_mut(start..start + length).filter(|segment| segment.len() >= 18) else { return };
    segment[16..18].fill(0);
    let checksum = pseudo.plus(Sum::of(segment)).finished();
    segment[16..18].copy_from_slice(&checksum);
}
