//! Every reason for which the door refuses a frame, each with a frame that has it. The cases are deviations from one
//! good frame, with checksums made right again, so that nothing but the deviation can be the reason.

use super::frames::{self, INNER, LINK, OUTER, V4, V6, frame};
use crate::wire::checksum::Sum;
use crate::wire::{ChecksumPolicy, parse};
use crate::{DropReason, Flags, Head, Link, MacAddr, Options, Segment, Tuple};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the IP header starts in an untagged frame, and the TCP header after each.
const IP: usize = 14;
const TCP4: usize = IP + 20;
const TCP6: usize = IP + 40;

fn full(frame: &[u8]) -> Result<Segment, DropReason> {
    parse(frame, ChecksumPolicy::Full)
}

fn refused(frame: &[u8]) -> Option<DropReason> {
    full(frame).err()
}

fn v4() -> Vec<u8> {
    frame(&LINK, &frames::data(V4), &[0x61; 100])
}

fn v6() -> Vec<u8> {
    frame(&LINK, &frames::data(V6), &[0x61; 100])
}

/// Makes the checksums of an untagged IPv4 frame right after an edit.
fn resum_v4(frame: &mut [u8]) {
    frame[IP + 10..IP + 12].fill(0);
    let sum = Sum::of(&frame[IP..TCP4]).finished();
    frame[IP + 10..IP + 12].copy_from_slice(&sum);
    let addr = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap());
    let pseudo_header = Sum::pseudo_header_v4(addr(IP + 12), addr(IP + 16), (frame.len() - TCP4) as u16);
    resum_tcp(&mut frame[TCP4..], pseudo_header);
}

/// Makes the checksum of an untagged IPv6 frame right after an edit; TCP starts at `tcp`.
fn resum_v6(frame: &mut [u8], tcp: usize) {
    let addr = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
    let pseudo_header = Sum::pseudo_header_v6(addr(IP + 8), addr(IP + 24), (frame.len() - tcp) as u16);
    resum_tcp(&mut frame[tcp..], pseudo_header);
}

fn resum_tcp(segment: &mut [u8], pseudo_header: Sum) {
    segment[16..18].fill(0);
    let sum = pseudo_header.plus(Sum::of(segment)).finished();
    segment[16..18].copy_from_slice(&sum);
}

/// A good IPv4 frame after `edit`, checksums right again.
fn v4_with(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = v4();
    edit(&mut frame);
    resum_v4(&mut frame);
    frame
}

/// A good IPv6 frame after `edit`, checksum right again.
fn v6_with(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = v6();
    edit(&mut frame);
    resum_v6(&mut frame, TCP6);
    frame
}

/// An IPv6 frame with extension headers between the fixed header and TCP. `first` is the first one's number.
fn v6_extended(first: u8, extensions: &[u8]) -> Vec<u8> {
    let mut frame = v6();
    frame[IP + 6] = first;
    let len = (frame.len() - TCP6 + extensions.len()) as u16;
    frame[IP + 4..IP + 6].copy_from_slice(&len.to_be_bytes());
    frame.splice(TCP6..TCP6, extensions.iter().copied());
    resum_v6(&mut frame, TCP6 + extensions.len());
    frame
}

fn with_flags(bits: u16) -> Vec<u8> {
    v4_with(|frame| {
        let [high, low] = bits.to_be_bytes();
        frame[TCP4 + 12] = frame[TCP4 + 12] & 0xf0 | high;
        frame[TCP4 + 13] = low;
    })
}

#[test]
fn the_frames_to_deviate_from_are_good() {
    assert!(full(&v4()).is_ok() && full(&v6()).is_ok());
    assert!(full(&v4_with(|_| ())).is_ok() && full(&v6_with(|_| ())).is_ok());
    assert!(full(&v6_extended(6, &[])).is_ok());
}

#[test]
fn frame_too_short() {
    let double_tagged = Link { outer: Some(OUTER), inner: Some(INNER), ..LINK };
    let cases = [
        (v4(), TCP4),
        (v6(), TCP6),
        (frame(&double_tagged, &frames::data(V4), &[]), TCP4 + 8),
        (frame(&double_tagged, &frames::data(V6), &[]), TCP6 + 8),
    ];
    for (frame, headers) in cases {
        for len in 0..headers {
            assert_eq!(refused(&frame[..len]), Some(DropReason::FrameTooShort), "{len} bytes");
        }
        // From here the IP length is known, and the frame does not hold it.
        for len in headers..frame.len() {
            assert_eq!(refused(&frame[..len]), Some(DropReason::IpLength), "{len} bytes");
        }
    }
}

#[test]
fn vlan_depth() {
    let mut frame = frame(&Link { outer: Some(OUTER), inner: Some(INNER), ..LINK }, &frames::data(V4), &[]);
    frame.splice(12..12, [0x81, 0x00, 0x00, 0x01]);
    assert_eq!(refused(&frame), Some(DropReason::VlanDepth));
}

#[test]
fn not_ip() {
    // ARP, an 802.3 length, PPPoE, and a tag protocol that no standard has.
    for ether_type in [0x0806u16, 0x0100, 0x8864, 0x9100] {
        let mut frame = v4();
        frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
        assert_eq!(refused(&frame), Some(DropReason::NotIp), "{ether_type:#x}");
    }
}

#[test]
fn ip_version() {
    assert_eq!(refused(&v4_with(|frame| frame[IP] = 0x65)), Some(DropReason::IpVersion));
    assert_eq!(refused(&v6_with(|frame| frame[IP] = 0x45)), Some(DropReason::IpVersion));
    let mut exchanged = v4();
    exchanged[12..14].copy_from_slice(&0x86ddu16.to_be_bytes());
    assert_eq!(refused(&exchanged), Some(DropReason::IpVersion));
}

#[test]
fn ip_header_length() {
    for words in 0..5 {
        assert_eq!(refused(&v4_with(|frame| frame[IP] = 0x40 | words)), Some(DropReason::IpHeaderLength));
    }
    let mut beyond = v4();
    beyond[IP] = 0x4f;
    assert_eq!(refused(&beyond[..IP + 59]), Some(DropReason::IpHeaderLength));
}

#[test]
fn ip_length() {
    let exact = v4().len() - IP;
    let v4_len = |len: u16| refused(&v4_with(|frame| frame[IP + 2..IP + 4].copy_from_slice(&len.to_be_bytes())));
    // Nothing, less than the header, less than a TCP header, more than the frame.
    for len in [0, 19, 20, 39, exact as u16 + 1, u16::MAX] {
        assert_eq!(v4_len(len), Some(DropReason::IpLength), "{len}");
    }
    let exact = v6().len() - TCP6;
    let v6_len = |len: u16| refused(&v6_with(|frame| frame[IP + 4..IP + 6].copy_from_slice(&len.to_be_bytes())));
    for len in [0, 19, exact as u16 + 1, u16::MAX] {
        assert_eq!(v6_len(len), Some(DropReason::IpLength), "{len}");
    }
    // Extension headers that run past the packet.
    assert_eq!(refused(&v6_extended(60, &[6, 255, 1, 4, 0, 0, 0, 0])), Some(DropReason::IpLength));
}

#[test]
fn ip_checksum() {
    for byte in IP + 1..TCP4 {
        let mut frame = v4();
        frame[byte] ^= 0x10;
        assert_eq!(refused(&frame), Some(DropReason::IpChecksum), "byte {byte}");
    }
}

#[test]
fn ip_options() {
    // A loose source route.
    let frame = v4_with(|frame| {
        frame[IP] = 0x47;
        frame.splice(TCP4..TCP4, [131, 7, 4, 203, 0, 113, 1, 0]);
    });
    assert_eq!(refused(&frame), Some(DropReason::IpOptions));
}

#[test]
fn ip_fragment() {
    // First, middle, last; the tiniest offset.
    for field in [0x2000u16, 0x2001, 0x0001, 0x1fff, 0x6000] {
        let frame = v4_with(|frame| frame[IP + 6..IP + 8].copy_from_slice(&field.to_be_bytes()));
        assert_eq!(refused(&frame), Some(DropReason::IpFragment), "{field:#x}");
    }
    // Don't fragment, and the reserved bit, are no fragments.
    for field in [0u16, 0x4000, 0x8000] {
        assert!(full(&v4_with(|frame| frame[IP + 6..IP + 8].copy_from_slice(&field.to_be_bytes()))).is_ok());
    }
    // A real one, and an atomic one (RFC 6946): nobody has reason to send either to a TCP that sends MSS.
    for offset_and_more in [[0, 1], [0, 8], [0, 0]] {
        let [high, low] = offset_and_more;
        let frame = v6_extended(44, &[6, 0, high, low, 1, 2, 3, 4]);
        assert_eq!(refused(&frame), Some(DropReason::IpFragment));
    }
}

#[test]
fn ipv6_extension() {
    let refused = |first, extensions: &[u8]| refused(&v6_extended(first, extensions));
    let bad = Some(DropReason::Ipv6Extension);
    // Encryption, authentication, mobility, host identity, shim6.
    for kind in [50, 51, 135, 139, 140] {
        assert_eq!(refused(kind, &[6, 0, 1, 4, 0, 0, 0, 0]), bad, "{kind}");
    }
    // Routing with segments left, of type 0 and of type 2.
    for kind in [0, 2] {
        assert_eq!(refused(43, &[6, 0, kind, 1, 0, 0, 0, 0]), bad);
    }
    // Hop-by-hop options in second place.
    assert_eq!(refused(60, &[0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0]), bad);
    // An option that demands discarding: a jumbogram's length; a home address.
    assert_eq!(refused(0, &[6, 0, 0xc2, 4, 0, 1, 0, 0]), bad);
    assert_eq!(refused(60, &[6, 0, 0xc9, 4, 0, 0, 0, 0]), bad);
    // An option that runs past its header; more options than eight; more headers than four.
    assert_eq!(refused(60, &[6, 0, 5, 9, 0, 0, 0, 0]), bad);
    assert_eq!(refused(60, &[6, 1, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0, 0]), Some(DropReason::Ipv6Extension));
    let five = [[60, 0, 1, 4, 0, 0, 0, 0]; 5];
    assert_eq!(refused(60, five.as_flattened()), bad);
}

#[test]
fn ipv6_extensions_that_are_walked() {
    let router_alert = [60, 0, 5, 2, 0, 0, 1, 0];
    let padding = [43, 0, 1, 4, 0, 0, 0, 0];
    let routed = [60, 0, 4, 0, 0, 0, 0, 0];
    let pad1 = [6, 0, 0, 0, 0, 0, 0, 0];
    let chain = [router_alert, padding, routed, pad1];
    let frame = v6_extended(0, chain.as_flattened());
    let segment = full(&frame).unwrap();
    assert_eq!(segment.payload.of(&frame), [0x61; 100]);
}

#[test]
fn not_tcp() {
    for protocol in [0, 1, 17, 58, 255] {
        assert_eq!(refused(&v4_with(|frame| frame[IP + 9] = protocol)), Some(DropReason::NotTcp));
    }
    for protocol in [17, 58, 59, 132, 255] {
        assert_eq!(refused(&v6_with(|frame| frame[IP + 6] = protocol)), Some(DropReason::NotTcp));
    }
}

#[test]
fn tcp_data_offset() {
    for words in 0..5 {
        let frame = v4_with(|frame| frame[TCP4 + 12] = words << 4);
        assert_eq!(refused(&frame), Some(DropReason::TcpDataOffset), "{words} words");
    }
    let mut beyond = frame(&LINK, &Head { options: Options::NONE, ..frames::data(V4) }, &[0; 3]);
    beyond[TCP4 + 12] = 6 << 4;
    resum_v4(&mut beyond);
    assert_eq!(refused(&beyond), Some(DropReason::TcpDataOffset));
}

#[test]
fn tcp_checksum() {
    for (good, tcp) in [(v4(), TCP4), (v6(), TCP6)] {
        for byte in tcp..good.len() {
            // The upper half of byte 12 is the data offset, with a reason of its own.
            let mut frame = good.clone();
            frame[byte] ^= 0x01;
            assert_eq!(refused(&frame), Some(DropReason::TcpChecksum), "byte {byte}");
            assert_eq!(parse(&frame, ChecksumPolicy::AllowUnfinished), Err(DropReason::TcpChecksum), "byte {byte}");
        }
    }
}

#[test]
fn the_unfinished_checksum_is_taken_where_allowed_and_only_exactly() {
    for (good, tcp, addrs) in [(v4(), TCP4, IP + 12), (v6(), TCP6, IP + 8)] {
        let len = (good.len() - tcp) as u32;
        let mut frame = good;
        // As Linux computes it: addresses, length and protocol, folded, not complemented.
        let pseudo_header = [&frame[addrs..tcp], &len.to_be_bytes(), &[0, 0, 0, 6]].concat();
        let unfinished = Sum::of(&pseudo_header).unfinished();
        frame[tcp + 16..tcp + 18].copy_from_slice(&unfinished);
        assert_eq!(refused(&frame), Some(DropReason::TcpChecksum));
        let segment = parse(&frame, ChecksumPolicy::AllowUnfinished).unwrap();
        assert!(segment.unfinished_checksum);
        for wrong in [unfinished.map(|byte| !byte), [unfinished[0], unfinished[1] ^ 1], [0, 0], [0xff, 0xff]] {
            frame[tcp + 16..tcp + 18].copy_from_slice(&wrong);
            assert_eq!(parse(&frame, ChecksumPolicy::AllowUnfinished), Err(DropReason::TcpChecksum), "{wrong:x?}");
        }
    }
}

#[test]
fn tcp_flags() {
    const RESERVED: u16 = 0x0e00;
    for bits in [0, RESERVED, 0x003, 0x013, 0x02b] {
        assert_eq!(refused(&with_flags(bits)), Some(DropReason::TcpFlags), "{bits:#x}");
    }
}

/// What the door makes of every combination of SYN, FIN, RST and ACK, whatever the other bits.
#[test]
fn rst_wins_and_other_bits_pass() {
    for bits in 1..0x1000u16 {
        let given = Flags::from_bits_truncate(bits);
        let passed = full(&with_flags(bits)).map(|segment| segment.flags);
        let wanted = match (given.contains(Flags::RST), given.contains(Flags::SYN), given.contains(Flags::FIN)) {
            (true, _, _) => Ok(given.difference(Flags::SYN | Flags::FIN)),
            (false, true, true) => Err(DropReason::TcpFlags),
            (false, _, _) if given.is_empty() => Err(DropReason::TcpFlags),
            (false, _, _) => Ok(given),
        };
        assert_eq!(passed, wanted, "{given:?}");
    }
}

#[test]
fn port_zero() {
    for at in [TCP4, TCP4 + 2] {
        assert_eq!(refused(&v4_with(|frame| frame[at..at + 2].fill(0))), Some(DropReason::PortZero));
    }
}

fn between(source: IpAddr, destination: IpAddr) -> Option<DropReason> {
    let mut head = frames::syn(if source.is_ipv6() { V6 } else { V4 });
    (head.tuple.local.addr, head.tuple.remote.addr) = (source, destination);
    refused(&frame(&LINK, &head, &[]))
}

#[test]
fn martians() {
    let addresses = [
        "0.0.0.0",
        "0.255.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "ff02::1",
        "ff0e::101",
        "::ffff:198.51.100.9",
    ];
    for martian in addresses.map(|addr| addr.parse::<IpAddr>().unwrap()) {
        let Tuple { local, remote } = if martian.is_ipv6() { V6 } else { V4 };
        assert_eq!(between(martian, remote.addr), Some(DropReason::MartianSource), "from {martian}");
        assert_eq!(between(local.addr, martian), Some(DropReason::MartianDestination), "to {martian}");
    }
    for host in ["1.0.0.1", "126.255.255.255", "128.0.0.1", "223.255.255.255", "fe80::1", "fc00::1", "::fffe:0:1"] {
        let host = host.parse::<IpAddr>().unwrap();
        let Tuple { local, remote } = if host.is_ipv6() { V6 } else { V4 };
        assert_eq!((between(host, remote.addr), between(local.addr, host)), (None, None), "{host}");
    }
}

#[test]
fn groups_of_the_link_layer() {
    for group in [MacAddr([0xff; 6]), MacAddr([0x01, 0, 0x5e, 0, 0, 1]), MacAddr([0x33, 0x33, 0, 0, 0, 1])] {
        let to = frame(&Link { remote: group, ..LINK }, &frames::syn(V4), &[]);
        assert_eq!(refused(&to), Some(DropReason::MartianDestination), "to {group:?}");
        let from = frame(&Link { local: group, ..LINK }, &frames::syn(V4), &[]);
        assert_eq!(refused(&from), Some(DropReason::MartianSource), "from {group:?}");
        // What is not TCP says so first: broadcasts of others are no martians.
        let mut arp = to;
        arp[12..14].copy_from_slice(&0x0806u16.to_be_bytes());
        assert_eq!(refused(&arp), Some(DropReason::NotIp));
    }
}

#[test]
fn land() {
    for tuple in [V4, V6] {
        assert_eq!(between(tuple.local.addr, tuple.local.addr), Some(DropReason::Land));
    }
}
