//! Addresses and ports that nobody has. They are discarded and never answered: MUST-57, MUST-63; RFC 1122, section 3.2.1.3.
//! The engine listens on every address here, so that none is refused only because nobody listens there.

use crate::bed::{Base, Bed, Fate, Reply, assert_dropped};
use crate::frames::{IP, put, seal};
use crate::server::{Family, V4, V6};
use std::net::IpAddr;
use synward_proto::DropReason;

const MARTIANS: [&str; 19] = [
    // "This host on this network", loopback.
    "0.0.0.0",
    "0.0.0.1",
    "0.255.255.255",
    "127.0.0.1",
    "127.255.255.255",
    // Multicast.
    "224.0.0.1",
    "232.1.2.3",
    "239.255.255.255",
    // Reserved, and the limited broadcast.
    "240.0.0.1",
    "250.1.2.3",
    "255.255.255.254",
    "255.255.255.255",
    "::",
    "::1",
    // Multicast of the link and of the world.
    "ff02::1",
    "ff0e::101",
    "ff00::",
    // IPv4, mapped: never on a wire.
    "::ffff:198.51.100.1",
    "::ffff:127.0.0.1",
];

/// Where the addresses stand, and the address in bytes.
fn place(address: &str) -> (Family, [usize; 2], Vec<u8>) {
    match address.parse().expect("an address") {
        IpAddr::V4(v4) => (V4, [IP + 12, IP + 16], v4.octets().to_vec()),
        IpAddr::V6(v6) => (V6, [IP + 8, IP + 24], v6.octets().to_vec()),
    }
}

#[test]
fn martians_at_either_end() {
    for martian in MARTIANS {
        let (family, ends, bytes) = place(martian);
        for (at, reason) in ends.into_iter().zip([DropReason::MartianSource, DropReason::MartianDestination]) {
            assert_dropped(martian, family, reason, |frame| {
                put(frame, at, &bytes);
                seal(frame, family.tcp());
            });
        }
    }
}

/// Their neighbours in the address space are hosts, and are answered.
#[test]
fn hosts_next_to_martians_are_answered() {
    for host in ["1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "::2", "fe80::1", "::fffe:0:1"] {
        let (family, [source, _], bytes) = place(host);
        let mut bed = Bed::new(family);
        let mut syn = bed.base(Base::Syn);
        put(&mut syn, source, &bytes);
        seal(&mut syn, family.tcp());
        assert_eq!(bed.judge(&syn), (Fate::Answered, Reply::SynAck(bed.stranger().seq + 1)), "{host}");
        bed.end();
    }
}

/// LAND: whoever answers it talks to himself. Whatever the ports are.
#[test]
fn a_source_that_is_the_destination() {
    for family in Family::ALL {
        let (source, destination, len) = if family == V4 { (IP + 12, IP + 16, 4) } else { (IP + 8, IP + 24, 16) };
        for same_port in [true, false] {
            assert_dropped(&format!("same port {same_port}"), family, DropReason::Land, |frame| {
                frame.copy_within(destination..destination + len, source);
                if same_port {
                    frame.copy_within(family.tcp() + 2..family.tcp() + 4, family.tcp());
                }
                seal(frame, family.tcp());
            });
        }
    }
}

#[test]
fn port_zero_at_either_end_or_both() {
    for family in Family::ALL {
        let tcp = family.tcp();
        for ports in [tcp..tcp + 2, tcp + 2..tcp + 4, tcp..tcp + 4] {
            assert_dropped(&format!("{ports:?}"), family, DropReason::PortZero, |frame| {
                frame[ports.clone()].fill(0);
                seal(frame, tcp);
            });
        }
    }
}

/// A packet to a host in a frame to all: who answers it helps to find hosts, or to flood one (RFC 1122, section 3.3.6). An address
/// of a broadcast in somebody's subnet looks like a host's, but its frames are to all.
#[test]
fn groups_of_the_link_layer() {
    let groups = [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1], [1, 0x80, 0xc2, 0, 0, 0]];
    for family in Family::ALL {
        for group in groups {
            assert_dropped(&format!("to {group:x?}"), family, DropReason::MartianDestination, |frame| {
                put(frame, 0, &group);
            });
            assert_dropped(&format!("from {group:x?}"), family, DropReason::MartianSource, |frame| {
                put(frame, 6, &group);
            });
        }
    }
}
