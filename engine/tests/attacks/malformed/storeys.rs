//! What stands below and between the headers that are read: tags, other protocols, extension headers, frames too long.

use super::{Attacked, IP, TCP_V4, TCP_V6, changed};
use crate::bed::{client, frame, syn};
use std::net::{IpAddr, Ipv6Addr};
use synward_proto::{DropReason, Endpoint, Flags};
use synward_testkit::wire::{WireSegment, decode, resum};

const BEHIND_ADDRESSES: usize = 12;

fn with_tags(tags: &[[u8; 4]]) -> Vec<u8> {
    let mut bytes = changed(|_| ());
    bytes.splice(BEHIND_ADDRESSES..BEHIND_ADDRESSES, tags.concat());
    bytes
}

#[test]
fn tags() {
    let mut attacked = Attacked::new();
    let (customer, service) = ([0x81, 0x00, 0x20, 0x07], [0x88, 0xa8, 0x00, 0x64]);
    // One tag, and two: taken, and answered with the same tags.
    for (n, vlans) in [(1, vec![0x2007]), (2, vec![0x64, 0x2007])] {
        let answers = attacked.bed.exchange(&[frame(&WireSegment { vlans: vlans.clone(), ..syn(client(n), 1) })]);
        let tagged: Vec<_> = answers.iter().map(|answer| decode(answer).expect("a SYN-ACK").1.vlans).collect();
        assert_eq!(tagged, [vlans]);
    }
    attacked.dies(DropReason::VlanDepth, &with_tags(&[service, customer, customer]), "three tags");
    attacked.dies(DropReason::VlanDepth, &with_tags(&[customer; 100]), "a hundred tags");
    attacked.dies(DropReason::NotIp, &with_tags(&[[0x91, 0x00, 0, 1]]), "a tag of no standard");
    for len in [12, 13, 14, 16, 17] {
        let cut = &with_tags(&[customer])[..len];
        attacked.dies(DropReason::FrameTooShort, cut, &format!("{len} bytes of a tagged frame"));
    }
    attacked.ends_well();
}

/// In front of an interface the XDP program leaves these to the kernel; what comes here in spite of that is dropped.
#[test]
fn other_protocols() {
    let mut attacked = Attacked::new();
    let ethernet = |kind: u16, length: usize| {
        let mut bytes = changed(|_| ());
        bytes[12..14].copy_from_slice(&kind.to_be_bytes());
        bytes.resize(length, 0xaa);
        bytes
    };
    for (what, kind, length) in [
        ("ARP", 0x0806, 60),
        ("ARP, oversized", 0x0806, 1_514),
        ("802.3 with LLC", 0x0026, 60),
        ("802.3, the longest", 0x05dc, 1_514),
        ("PPPoE", 0x8864, 60),
        ("LLDP", 0x88cc, 60),
        ("an EtherType of zero", 0, 60),
    ] {
        attacked.dies(DropReason::NotIp, &ethernet(kind, length), what);
    }
    for protocol in [0, 17, 47, 50, 132, 255] {
        let other = changed(|bytes| bytes[IP + 9] = protocol);
        attacked.dies(DropReason::NotTcp, &other, &format!("IP protocol {protocol}"));
    }
    attacked.ends_well();
}

/// A SYN over IPv6 with extension headers before it; `first` is the kind of the first.
fn extended(first: u8, extensions: &[u8]) -> Vec<u8> {
    let from = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
    let mut bytes = frame(&syn(Endpoint::new(from, 40_000), 1));
    bytes[IP + 6] = first;
    let length = bytes.len() - TCP_V6 + extensions.len();
    bytes[IP + 4..IP + 6].copy_from_slice(&(length as u16).to_be_bytes());
    bytes.splice(TCP_V6..TCP_V6, extensions.iter().copied());
    resum(&mut bytes, IP, TCP_V6 + extensions.len());
    bytes
}

#[test]
fn extension_headers() {
    use DropReason::{IpFragment, IpLength, Ipv6Extension};
    let mut attacked = Attacked::new();
    let padding = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    for (what, reason, first, extensions) in [
        ("a routing header of type 0 with segments left", Ipv6Extension, 43, [6, 0, 0, 1, 0, 0, 0, 0].to_vec()),
        ("hop-by-hop options in second place", Ipv6Extension, 60, [padding(0), padding(6)].concat()),
        ("a jumbogram", Ipv6Extension, 0, [6, 0, 0xc2, 4, 0, 1, 0, 0].to_vec()),
        ("an option that runs past its header", Ipv6Extension, 60, [6, 0, 5, 9, 0, 0, 0, 0].to_vec()),
        ("a header that runs past the packet", IpLength, 60, [6, 255, 1, 4, 0, 0, 0, 0].to_vec()),
        ("five headers", Ipv6Extension, 60, [[padding(60); 4].concat(), padding(6).to_vec()].concat()),
        ("a hundred headers", Ipv6Extension, 60, [[padding(60); 99].concat(), padding(6).to_vec()].concat()),
        ("authentication", Ipv6Extension, 51, padding(6).to_vec()),
        ("a fragment", IpFragment, 44, [6, 0, 0, 1, 0, 0, 0, 9].to_vec()),
        ("an atomic fragment", IpFragment, 44, [6, 0, 0, 0, 0, 0, 0, 9].to_vec()),
    ] {
        attacked.dies(reason, &extended(first, &extensions), what);
    }
    // As many as RFC 8200 places there, in its order: taken.
    let chain = [padding(60), padding(43), [60, 0, 4, 0, 0, 0, 0, 0], padding(6)].concat();
    let answers = attacked.bed.exchange(&[extended(0, &chain)]);
    let flags: Vec<_> = answers.iter().map(|answer| crate::bed::read(answer).flags).collect();
    assert_eq!(flags, [Flags::SYN | Flags::ACK]);
    attacked.ends_well();
}

/// A frame longer than a chunk of the receive memory never gets in, and is counted by the port; the next one does.
#[test]
fn frames_longer_than_a_chunk() {
    let mut attacked = Attacked::new();
    let jumbo = WireSegment { payload: vec![1; 8_000], flags: Flags::ACK, ..attacked.peer.clone() };
    let received = attacked.bed.host.observer().snapshot().outcomes.received;
    for _ in 0..1_000 {
        assert!(!attacked.bed.host.receive(&frame(&jumbo)));
    }
    attacked.bed.exchange(&[]);
    assert_eq!(attacked.bed.host.observer().snapshot().outcomes.received, received);
    assert!(!attacked.bed.exchange(&[changed(|_| ())]).is_empty(), "no frame was lost by it");
    // The largest that does fit, with a length that says more.
    let mut lying = frame(&WireSegment { payload: vec![1; 1_400], ..jumbo });
    lying[IP + 2..IP + 4].copy_from_slice(&9_000_u16.to_be_bytes());
    resum(&mut lying, IP, TCP_V4);
    attacked.dies(DropReason::IpLength, &lying, "a length beyond the frame");
    attacked.ends_well();
}
