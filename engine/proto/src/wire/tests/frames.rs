//! Frames for the tests of this folder.

use crate::segment::{DataOptions, Mss, SackBlock, SackBlocks, SynOptions, Timestamps, VlanTag, WindowScale};
use crate::wire::checksum::Sum;
use crate::wire::{HEADROOM, SegmentWriter};
use crate::{Codepoint, Endpoint, Flags, Head, Link, MacAddr, Marking, Options, SeqNum, Tuple};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const V4: Tuple = Tuple {
    local: Endpoint::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40000),
    remote: Endpoint::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), 80),
};

pub const V6: Tuple = Tuple {
    local: Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1)), 40000),
    remote: Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 2)), 80),
};

pub const LINK: Link =
    Link { local: MacAddr([2, 0, 0, 0, 0, 1]), remote: MacAddr([2, 0, 0, 0, 0, 2]), outer: None, inner: None };

pub const OUTER: VlanTag = VlanTag { protocol: 0x88a8, control: 0x2064 };
pub const INNER: VlanTag = VlanTag { protocol: 0x8100, control: 0x0007 };

/// A Linux client's SYN.
pub fn syn(tuple: Tuple) -> Head {
    Head {
        tuple,
        seq: SeqNum(1000),
        ack: SeqNum(0),
        flags: Flags::SYN,
        window: 64240,
        options: Options::Syn(SynOptions {
            mss: Mss::announced(1460),
            window_scale: Some(WindowScale::clamped(7)),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 0x1122_3344, echo: 0 }),
        }),
        marking: Marking::DEFAULT,
    }
}

/// A data segment's head.
pub fn data(tuple: Tuple) -> Head {
    let mut sack = SackBlocks::NONE;
    sack.push(SackBlock { start: SeqNum(u32::MAX - 9), end: SeqNum(10) });
    let timestamps = Some(Timestamps { value: 7, echo: 9 });
    Head {
        tuple,
        seq: SeqNum(u32::MAX),
        ack: SeqNum(77),
        flags: Flags::ACK | Flags::PSH,
        window: 0xffff,
        options: Options::Data(DataOptions { timestamps, sack }),
        marking: Marking { service: 0xb8, ecn: Codepoint::Ect0, hop_limit: 3 },
    }
}

/// The frame of a segment.
pub fn frame(link: &Link, head: &Head, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xee; HEADROOM + payload.len()];
    let mut writer = SegmentWriter::new(&mut frame, link, head);
    assert_eq!(writer.append(payload), payload.len());
    let len = writer.finish();
    frame.truncate(len);
    frame
}

/// The IP packet of a segment that `tuple`'s local end sent.
pub fn packet(tuple: Tuple) -> Vec<u8> {
    frame(&LINK, &data(tuple), b"GET / HTTP/1.1\r\n\r\n").split_off(14)
}

pub const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
pub const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 3, 0, 0, 0, 9);

/// A router's ICMP message over IPv4 to the local end of [`V4`], checksums right. Given are type, code and the last four
/// bytes of the ICMP header.
pub fn icmp_v4((icmp_type, code, rest): (u8, u8, [u8; 4]), quoted: &[u8]) -> Vec<u8> {
    let message = [&[icmp_type, code, 0, 0], &rest[..], quoted].concat();
    let IpAddr::V4(to) = V4.local.addr else { unreachable!() };
    let [high, low] = (20 + message.len() as u16).to_be_bytes();
    let mut ip = [&[0x45, 0, high, low, 0, 0, 0, 0, 64, 1, 0, 0][..], &ROUTER_V4.octets(), &to.octets()].concat();
    set_sum(&mut ip, 10, Sum::ZERO);
    carried([8, 0], &ip, message, Sum::ZERO)
}

/// The same over IPv6, to the local end of [`V6`].
pub fn icmp_v6((icmp_type, code, rest): (u8, u8, [u8; 4]), quoted: &[u8]) -> Vec<u8> {
    let message = [&[icmp_type, code, 0, 0], &rest[..], quoted].concat();
    let IpAddr::V6(to) = V6.local.addr else { unreachable!() };
    let len = message.len() as u16;
    let [high, low] = len.to_be_bytes();
    let ip = [&[0x60, 0, 0, 0, high, low, 58, 64][..], &ROUTER_V6.octets(), &to.octets()].concat();
    carried([0x86, 0xdd], &ip, message, Sum::pseudo_header_icmpv6(ROUTER_V6, to, len))
}

fn carried(ether_type: [u8; 2], ip: &[u8], mut message: Vec<u8>, pseudo_header: Sum) -> Vec<u8> {
    set_sum(&mut message, 2, pseudo_header);
    [&LINK.local.0[..], &LINK.remote.0, &ether_type, ip, &message].concat()
}

/// Makes the checksum at `at` right.
pub fn set_sum(bytes: &mut [u8], at: usize, pseudo_header: Sum) {
    bytes[at..at + 2].fill(0);
    let sum = pseudo_header.plus(Sum::of(bytes)).finished();
    bytes[at..at + 2].copy_from_slice(&sum);
}
