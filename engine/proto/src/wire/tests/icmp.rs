//! ICMP errors: what is read of them, and every reason for which one is refused.

use super::frames::{self, INNER, LINK, OUTER, V4, V6, icmp_v4, icmp_v6, packet, set_sum};
use crate::icmp::{IcmpKind, Unreachable};
use crate::wire::checksum::Sum;
use crate::wire::{ChecksumPolicy, parse, parse_icmp_error};
use crate::{DropReason, IcmpError, Link, MacAddr};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;

/// Where the ICMP header starts in an untagged frame.
const ICMP4: usize = 14 + 20;
const ICMP6: usize = 14 + 40;

/// Type, code and the rest of the header of a closed port.
const PORT_V4: (u8, u8, [u8; 4]) = (3, 3, [0; 4]);
const PORT_V6: (u8, u8, [u8; 4]) = (1, 4, [0; 4]);

fn refused(frame: &[u8]) -> Option<DropReason> {
    parse_icmp_error(frame).err()
}

/// A good quote after `edit`.
fn quoting(tuple: crate::Tuple, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut quoted = packet(tuple);
    edit(&mut quoted);
    if tuple.is_ipv6() { icmp_v6(PORT_V6, &quoted) } else { icmp_v4(PORT_V4, &quoted) }
}

#[test]
fn what_is_read_of_it() {
    for (frame, tuple) in [(icmp_v4(PORT_V4, &packet(V4)), V4), (icmp_v6(PORT_V6, &packet(V6)), V6)] {
        // The way back is that of the frame; the quoted source is our end.
        let link = Link { local: LINK.local, remote: LINK.remote, ..Link::default() };
        let kind = IcmpKind::Unreachable(Unreachable::Port);
        assert_eq!(parse_icmp_error(&frame), Ok(IcmpError { link, tuple, seq: frames::data(tuple).seq, kind }));
        assert_eq!(parse(&frame, ChecksumPolicy::Full), Err(DropReason::NotTcp), "no segment");
    }
    let too_big = parse_icmp_error(&icmp_v4((3, 4, [0xff, 0xff, 0x05, 0x14]), &packet(V4))).unwrap();
    assert_eq!(too_big.kind, IcmpKind::PacketTooBig { mtu: 1300 });
    let too_big = parse_icmp_error(&icmp_v6((2, 0, [0, 1, 0x05, 0x14]), &packet(V6))).unwrap();
    assert_eq!(too_big.kind, IcmpKind::PacketTooBig { mtu: 0x1_0514 });
}

#[test]
fn behind_tags_and_extension_headers() {
    let mut tagged = icmp_v4(PORT_V4, &packet(V4));
    tagged.splice(12..12, [0x88, 0xa8, 0x20, 0x64, 0x81, 0x00, 0x00, 0x07]);
    let link = parse_icmp_error(&tagged).unwrap().link;
    assert_eq!((link.outer, link.inner), (Some(OUTER), Some(INNER)));
    let mut extended = icmp_v6(PORT_V6, &packet(V6));
    extended.splice(ICMP6..ICMP6, [58, 0, 1, 4, 0, 0, 0, 0]);
    extended[14 + 6] = 60;
    extended[14 + 5] += 8;
    assert_eq!(parse_icmp_error(&extended).unwrap().tuple, V6);
}

/// The least that routers quote (RFC 792), and what may have changed on the way.
#[test]
fn quotes_as_they_come_back() {
    for (frame, tuple) in [
        (quoting(V4, |quoted| quoted.truncate(28)), V4),
        (quoting(V6, |quoted| quoted.truncate(48)), V6),
        // Options that a router has added, fifteen words of header in all.
        (
            quoting(V4, |quoted| {
                quoted[0] = 0x4f;
                quoted.splice(20..20, [1; 40]);
            }),
            V4,
        ),
        // Time to live, type of service and checksum.
        (quoting(V4, |quoted| [1, 8, 10].into_iter().for_each(|at| quoted[at] ^= 0x5a)), V4),
        // A length that is not that of the quote.
        (quoting(V4, |quoted| quoted[2..4].fill(0xff)), V4),
        (quoting(V6, |quoted| quoted[4..6].fill(0xff)), V6),
    ] {
        assert_eq!(
            parse_icmp_error(&frame).map(|error| (error.tuple, error.seq)),
            Ok((tuple, frames::data(tuple).seq))
        );
    }
}

#[test]
fn icmp_truncated() {
    for (headers, message) in [(28, &icmp_v4 as &dyn Fn(_, &[u8]) -> Vec<u8>), (48, &icmp_v6)] {
        let (port, quoted) = if headers == 28 { (PORT_V4, packet(V4)) } else { (PORT_V6, packet(V6)) };
        for len in 0..headers {
            assert_eq!(refused(&message(port, &quoted[..len])), Some(DropReason::IcmpTruncated), "{len}");
        }
        assert_eq!(refused(&message(port, &quoted[..headers])), None);
    }
    // The IP length ends within the ICMP header, whatever the frame holds after it.
    let mut frame = icmp_v4(PORT_V4, &packet(V4));
    frame[14 + 2..14 + 4].copy_from_slice(&[0, 27]);
    set_sum(&mut frame[14..ICMP4], 10, Sum::ZERO);
    assert_eq!(refused(&frame), Some(DropReason::IcmpTruncated));
    let options_missing = quoting(V4, |quoted| {
        quoted[0] = 0x4f;
        quoted.truncate(59);
    });
    assert_eq!(refused(&options_missing), Some(DropReason::IcmpTruncated));
}

#[test]
fn icmp_checksum() {
    for (good, start) in [(icmp_v4(PORT_V4, &packet(V4)), ICMP4), (icmp_v6(PORT_V6, &packet(V6)), ICMP6)] {
        for at in start..good.len() {
            let mut frame = good.clone();
            frame[at] ^= 0x01;
            assert_eq!(refused(&frame), Some(DropReason::IcmpChecksum), "byte {at}");
        }
    }
    // ICMPv6 covers the addresses; ICMP leaves them to the IP header.
    let mut frame = icmp_v6(PORT_V6, &packet(V6));
    frame[14 + 8 + 15] ^= 1;
    assert_eq!(refused(&frame), Some(DropReason::IcmpChecksum));
}

#[test]
fn icmp_unknown() {
    for icmp_type in 0..=u8::MAX {
        let wanted = (![3, 11, 12].contains(&icmp_type)).then_some(DropReason::IcmpUnknown);
        assert_eq!(refused(&icmp_v4((icmp_type, 0, [0; 4]), &packet(V4))), wanted, "ICMP type {icmp_type}");
        let wanted = (![1, 2, 3, 4].contains(&icmp_type)).then_some(DropReason::IcmpUnknown);
        assert_eq!(refused(&icmp_v6((icmp_type, 0, [0; 4]), &packet(V6))), wanted, "ICMPv6 type {icmp_type}");
    }
}

#[test]
fn icmp_quote() {
    let v4 = |at: usize, bytes: &[u8]| quoting(V4, |quoted| quoted[at..at + bytes.len()].copy_from_slice(bytes));
    let v6 = |at: usize, bytes: &[u8]| quoting(V6, |quoted| quoted[at..at + bytes.len()].copy_from_slice(bytes));
    for frame in [
        // Another version, a header too short, another protocol.
        v4(0, &[0x65]),
        v4(0, &[0x44]),
        v4(9, &[17]),
        v6(0, &[0x45]),
        v6(6, &[17]),
        // The other family's packet, in whole.
        icmp_v4(PORT_V4, &packet(V6)),
        icmp_v6(PORT_V6, &packet(V4)),
        // First and last fragment; an extension header.
        v4(6, &[0x20, 0x00]),
        v4(6, &[0x00, 0x01]),
        v6(6, &[60]),
        v6(6, &[44]),
        // From nobody, to a group, to itself.
        v4(12, &[127, 0, 0, 1]),
        v4(16, &[224, 0, 0, 1]),
        quoting(V4, |quoted| quoted.copy_within(12..16, 16)),
        v6(8, &Ipv6Addr::LOCALHOST.octets()),
        v6(24, &Ipv4Addr::new(198, 51, 100, 2).to_ipv6_mapped().octets()),
        // Ports that nobody has.
        v4(20, &[0, 0]),
        v4(22, &[0, 0]),
        v6(40, &[0, 0]),
        v6(42, &[0, 0]),
    ] {
        assert_eq!(refused(&frame), Some(DropReason::IcmpQuote), "{frame:02x?}");
    }
}

/// The outer headers are judged as those of segments are.
#[test]
fn outer_headers() {
    let good = icmp_v4(PORT_V4, &packet(V4));
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[14 + at..14 + at + bytes.len()].copy_from_slice(bytes);
        set_sum(&mut frame[14..ICMP4], 10, Sum::ZERO);
        refused(&frame)
    };
    assert_eq!(with(8, &[1]), None);
    assert_eq!(with(2, &[0xff, 0xff]), Some(DropReason::IpLength));
    assert_eq!(with(6, &[0x20, 0x00]), Some(DropReason::IpFragment));
    assert_eq!(with(6, &[0x00, 0x01]), Some(DropReason::IpFragment));
    assert_eq!(with(0, &[0x46]), Some(DropReason::IpOptions));
    assert_eq!(with(9, &[58]), Some(DropReason::NotTcp), "ICMPv6 over IPv4");
    assert_eq!(with(12, &[127, 0, 0, 1]), Some(DropReason::MartianSource));
    let mut frame = good.clone();
    frame[14 + 10] ^= 1;
    assert_eq!(refused(&frame), Some(DropReason::IpChecksum));
    let mut frame = good;
    frame[..6].copy_from_slice(&MacAddr([0xff; 6]).0);
    assert_eq!(refused(&frame), Some(DropReason::MartianDestination));
    let mut frame = icmp_v6(PORT_V6, &packet(V6));
    frame[14 + 6] = 1;
    assert_eq!(refused(&frame), Some(DropReason::NotTcp), "ICMP over IPv6");
    frame[14 + 6] = 44;
    assert_eq!(refused(&frame), Some(DropReason::IpFragment));
}

#[test]
fn ethernet_padding_is_no_part_of_the_quote() {
    let mut frame = icmp_v4(PORT_V4, &packet(V4)[..27]);
    frame.resize(80, 0);
    assert_eq!(refused(&frame), Some(DropReason::IcmpTruncated));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Any quote, behind checksums that are right: whatever is taken is about two ends that can have talked.
    #[test]
    fn any_quote(
        icmp_type in prop_oneof![Just(3u8), Just(1), Just(11), any::<u8>()],
        code: u8, rest: [u8; 4], edits in proptest::collection::vec((0usize..80, any::<u8>()), 0..6),
        len in 0usize..80, ipv6: bool,
    ) {
        let mut quoted = packet(if ipv6 { V6 } else { V4 });
        quoted.resize(80, 0xa5);
        for (at, byte) in edits {
            quoted[at] = byte;
        }
        let message = if ipv6 { icmp_v6 } else { icmp_v4 };
        if let Ok(error) = parse_icmp_error(&message((icmp_type, code, rest), &quoted[..len])) {
            let (local, remote) = (error.tuple.local, error.tuple.remote);
            prop_assert!(local.port != 0 && remote.port != 0 && local.addr != remote.addr);
            prop_assert_eq!((local.addr.is_ipv6(), remote.addr.is_ipv6()), (ipv6, ipv6));
            prop_assert!(!local.addr.is_multicast() && !remote.addr.is_multicast());
        }
    }
}
