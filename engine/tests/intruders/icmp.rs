//! ICMP errors from somebody who only pretends to be a router: RFC 5927.

use crate::bed::{Bed, Peer, SERVER_V6, config};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use synward_engine::SocketId;
use synward_proto::{Counter, Endpoint, Flags};
use synward_testkit::wire::{IcmpError, WireOption, WireSegment};

const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
const ROUTER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1));
const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;
const OPTIONS: &[WireOption] = &[WireOption::Mss(1460), WireOption::SackPermitted];

/// An error about a segment, its sequence number moved by `offset`.
fn about(segment: &WireSegment, offset: u32, kind: u8, code: u8, parameter: u32) -> IcmpError {
    let source = if segment.source.addr.is_ipv4() { ROUTER } else { ROUTER_V6 };
    let about = WireSegment { seq: segment.seq.wrapping_add(offset), ..segment.clone() };
    IcmpError { source, kind, code, parameter, about, short: false }
}

/// A connection with so many bytes in flight, and the first segment of them.
fn in_flight(bed: &mut Bed, n: u32, bytes: usize) -> (Peer, SocketId, WireSegment) {
    let (peer, socket) = bed.open(n, OPTIONS);
    assert_eq!(bed.write(socket, &vec![5; bytes]), bytes);
    let first = bed.taken().into_iter().next().expect("a segment");
    (peer, socket, first)
}

/// Codes 2 (protocol), 3 (port) and 4 (fragmentation needed), and all the others: whatever they quote, what is synchronised lives.
#[test]
fn no_error_resets_a_connection() {
    let mut bed = Bed::new(config());
    let mut number = 0..;
    for (kind, codes) in [(UNREACHABLE, 0..16), (4, 0..1), (5, 0..4), (11, 0..2), (12, 0..3)] {
        for code in codes {
            for offset in [0, 1_459, 1_460, u32::MAX, 100_000, 1 << 31] {
                let (mut peer, socket, first) = in_flight(&mut bed, number.next().expect("another"), 1_460);
                bed.send_icmp(&about(&first, offset, kind, code, 0));
                peer.ack = peer.ack.wrapping_add(1_460);
                bed.send(&peer.acks());
                bed.taken();
                assert!(
                    bed.is_alive(&mut peer, socket),
                    "type {kind}, code {code}, {offset:#x} from what is in flight"
                );
            }
        }
    }
    bed.end();
}

/// What is not in flight is counted and no more.
#[test]
fn an_error_about_what_is_not_in_flight_changes_nothing() {
    let mut bed = Bed::new(config());
    let (_, _, first) = in_flight(&mut bed, 0, 1_460);
    for (count, offset) in (1..).zip([1_461, u32::MAX, 70_000, 1 << 31]) {
        let answers = bed.send_icmp(&about(&first, offset, UNREACHABLE, FRAGMENTATION_NEEDED, 600));
        assert_eq!((answers, bed.count(Counter::OutOfWindowIcmps)), (vec![], count), "at {offset:#x}");
    }
    // Until a second timeout makes the path itself suspect (RFC 4821).
    let again = bed.pass(Duration::from_millis(500));
    assert!(!again.is_empty() && again.iter().all(|segment| segment.payload.len() == 1_460), "{} copies", again.len());
    bed.end();
}

/// Linux's `min_pmtu`, 552 bytes, and IPv6's own 1,280: below that no error brings packets. Each loses all that the first sends.
#[test]
fn no_error_brings_packets_below_the_floor() {
    for (local, kind, code, floor) in
        [(crate::bed::SERVER, UNREACHABLE, FRAGMENTATION_NEEDED, 552 - 40), (SERVER_V6, PACKET_TOO_BIG, 0, 1_280 - 60)]
    {
        let mut bed = Bed::listening(config(), local);
        for (n, mtu) in (1..).zip([0, 1, 68, 296, 551, 552, 576, 1_279, 1_280, 65_535]) {
            let host = match local.addr {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(10, 0, 9, n)),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, n.into())),
            };
            let mut peer = Peer { local: Endpoint::new(host, 40_000), remote: local, ..Peer::new(n.into()) };
            bed.shake(&mut peer, OPTIONS);
            let socket = bed.accept();
            bed.write(socket, &[5; 14_000]);
            let sent = bed.taken();
            let largest = sent[0].payload.len();
            let mut resent = bed.send_icmp(&about(&sent[0], 0, kind, code, mtu));
            resent.extend(bed.pass(Duration::from_millis(500)));
            let first = resent.iter().filter(|segment| segment.seq == sent[0].seq);
            let least = first.map(|segment| segment.payload.len()).min();
            assert!(least.is_some_and(|least| least >= floor), "MTU {mtu}: {least:?} of {largest}");
            if mtu == 65_535 {
                assert_eq!(least, Some(largest), "larger than ours says nothing");
            }
            let answers = bed.send(&peer.says(Flags::RST, b""));
            assert_eq!(answers, []);
        }
        bed.end();
    }
}
