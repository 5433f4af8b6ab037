//! Lengths, checksums and addresses that cannot be.

use super::{Attacked, IP, TCP_V4, TCP_V6, changed};
use crate::bed::{client, frame, segment, syn};
use std::net::{IpAddr, Ipv6Addr};
use synward_proto::{DropReason, Endpoint, Flags};
use synward_testkit::wire::{WireSegment, resum};

fn v6() -> Vec<u8> {
    let from = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
    frame(&syn(Endpoint::new(from, 40_000), 1))
}

/// Cut off at every byte: below 14, 34 and 54 bytes, and everywhere else.
#[test]
fn cut_off_anywhere() {
    let mut attacked = Attacked::new();
    for (whole, headers) in [(changed(|_| ()), TCP_V4), (v6(), TCP_V6)] {
        for len in 0..whole.len() {
            let reason = if len < headers { DropReason::FrameTooShort } else { DropReason::IpLength };
            attacked.dies(reason, &whole[..len], &format!("{len} bytes"));
        }
    }
    attacked.ends_well();
}

#[test]
fn lengths_that_lie() {
    let mut attacked = Attacked::new();
    let set =
        |at: usize, value: u16| move |bytes: &mut Vec<u8>| bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
    let exact = (changed(|_| ()).len() - IP) as u16;
    for total in [0, 19, 20, 39, exact + 1, u16::MAX] {
        attacked.dies(DropReason::IpLength, &changed(set(IP + 2, total)), &format!("IP total length {total}"));
    }
    for words in 0..5_u8 {
        let short = changed(|bytes| bytes[IP] = 0x40 | words);
        attacked.dies(DropReason::IpHeaderLength, &short, &format!("IP header of {words} words"));
        let short = changed(|bytes| bytes[TCP_V4 + 12] = words << 4);
        attacked.dies(DropReason::TcpDataOffset, &short, &format!("TCP header of {words} words"));
    }
    let past = changed(|bytes| bytes[TCP_V4 + 12] = 0xf0);
    attacked.dies(DropReason::TcpDataOffset, &past, "TCP header past its end");
    for length in [0, 19, u16::MAX] {
        let mut bytes = v6();
        set(IP + 4, length)(&mut bytes);
        attacked.dies(DropReason::IpLength, &bytes, &format!("IPv6 payload length {length}"));
    }
    attacked.dies(DropReason::IpVersion, &changed(|bytes| bytes[IP] = 0x55), "IP version 5");
    attacked.ends_well();
}

#[test]
fn checksums_that_are_wrong() {
    let mut attacked = Attacked::new();
    let mut wrong = changed(|_| ());
    wrong[IP + 10] ^= 1;
    attacked.dies(DropReason::IpChecksum, &wrong, "IP");
    for mut wrong in [changed(|_| ()), v6()] {
        let last = wrong.len() - 1;
        wrong[last] ^= 1;
        attacked.dies(DropReason::TcpChecksum, &wrong, "TCP");
    }
    // In the middle of a connection, too: a corrupted segment is as if lost.
    let data = WireSegment { payload: b"alive".to_vec(), flags: Flags::ACK | Flags::PSH, ..attacked.peer.clone() };
    let mut wrong = frame(&data);
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    attacked.dies(DropReason::TcpChecksum, &wrong, "data");
    attacked.ends_well();
}

#[test]
fn addresses_that_nobody_has() {
    let mut attacked = Attacked::new();
    for at in [TCP_V4, TCP_V4 + 2] {
        attacked.dies(DropReason::PortZero, &changed(|bytes| bytes[at..at + 2].fill(0)), "port 0");
    }
    for address in [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [240, 0, 0, 1], [255, 255, 255, 255]] {
        let from = changed(|bytes| bytes[IP + 12..IP + 16].copy_from_slice(&address));
        attacked.dies(DropReason::MartianSource, &from, &format!("from {address:?}"));
        let to = changed(|bytes| bytes[IP + 16..IP + 20].copy_from_slice(&address));
        attacked.dies(DropReason::MartianDestination, &to, &format!("to {address:?}"));
    }
    for address in ["::", "::1", "ff02::1", "::ffff:198.51.100.9"] {
        let octets = address.parse::<Ipv6Addr>().expect("an address").octets();
        for (at, reason) in [(IP + 8, DropReason::MartianSource), (IP + 24, DropReason::MartianDestination)] {
            let mut bytes = v6();
            bytes[at..at + 16].copy_from_slice(&octets);
            resum(&mut bytes, IP, TCP_V6);
            attacked.dies(reason, &bytes, address);
        }
    }
    for group in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
        let to = changed(|bytes| bytes[..6].copy_from_slice(&group));
        attacked.dies(DropReason::MartianDestination, &to, "to a group of the link");
        let from = changed(|bytes| bytes[6..12].copy_from_slice(&group));
        attacked.dies(DropReason::MartianSource, &from, "from a group of the link");
    }
    attacked.ends_well();
}

/// LAND: source and destination the same, also with the same port and to a connection's own tuple.
#[test]
fn from_ourselves() {
    let mut attacked = Attacked::new();
    for flags in [Flags::SYN, Flags::ACK, Flags::SYN | Flags::ACK] {
        for port in [80, 40_000] {
            let from = Endpoint { port, ..crate::bed::SERVER };
            attacked.dies(DropReason::Land, &frame(&segment(from, flags, 1, 1)), "from ourselves");
        }
    }
    attacked.ends_well();
}

/// Source routes, record route, timestamps, router alert, and as many no-operations as fit.
#[test]
fn ip_options() {
    let mut attacked = Attacked::new();
    for option in [
        vec![131, 7, 4, 203, 0, 113, 1, 0],
        vec![137, 7, 4, 203, 0, 113, 1, 0],
        vec![7, 7, 4, 0, 0, 0, 0, 0],
        vec![68, 8, 5, 0, 0, 0, 0, 0],
        vec![148, 4, 0, 0],
        vec![1; 40],
        // An option without a length, and one that runs past the header.
        vec![131, 0, 0, 0],
        vec![131, 255, 4, 0],
    ] {
        let mut with = syn(client(1), 1);
        with.ip.options.clone_from(&option);
        attacked.dies(DropReason::IpOptions, &frame(&with), &format!("{option:?}"));
    }
    attacked.ends_well();
}
