//! Fragments, IP options and extension headers.

use crate::bed::{Base, Bed, FORGED, Fate, Reply, assert_dropped};
use crate::frames::{IP, TCP4, TCP6, insert, put, seal_ip};
use crate::server::{V4, V6};
use synward_proto::DropReason;

const MORE: u16 = 0x2000;

/// An IPv4 frame becomes a fragment, which carries `payload` of the packet.
fn fragment_v4(frame: &mut Vec<u8>, flags_and_offset: u16, payload: std::ops::Range<usize>) {
    let kept = frame[TCP4 + payload.start..TCP4 + payload.end].to_vec();
    frame.truncate(TCP4);
    put(frame, IP + 6, &flags_and_offset.to_be_bytes());
    insert(frame, TCP4, &kept);
}

/// An IPv6 frame becomes a fragment at this offset, in units of eight bytes.
fn fragment_v6(frame: &mut Vec<u8>, offset: u16, more: bool) {
    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
    extend(frame, 44, &[6, 0, high, low, 0, 0, 0, 1]);
}

/// Puts extension headers between IPv6 and TCP.
fn extend(frame: &mut Vec<u8>, first: u8, headers: &[u8]) {
    frame[IP + 6] = first;
    insert(frame, TCP6, headers);
}

/// None is put together, whatever its kind: the first that is too small for TCP's header, those that overlap it, a last one alone.
#[test]
fn fragments_of_every_kind() {
    let v4: [(&str, u16, std::ops::Range<usize>); 8] = [
        ("first and whole", MORE, 0..20),
        ("first, eight bytes", MORE, 0..8),
        ("first, one byte", MORE, 0..1),
        ("first, empty", MORE, 0..0),
        ("second, eight bytes in: over the flags", MORE | 1, 8..20),
        ("overlapping: three bytes into the first, as teardrop has it", 2, 5..9),
        ("last, at the far end of what can be addressed", 0x1fff, 0..20),
        ("DF and MF", MORE | 0x4000, 0..20),
    ];
    for (what, field, payload) in v4 {
        assert_dropped(what, V4, DropReason::IpFragment, |frame| fragment_v4(frame, field, payload.clone()));
    }
    for (what, offset, more) in
        [("first", 0, true), ("middle", 1, true), ("last", 0x1fff, false), ("the only one (RFC 6946)", 0, false)]
    {
        assert_dropped(what, V6, DropReason::IpFragment, |frame| fragment_v6(frame, offset, more));
    }
    // Behind other headers, too.
    assert_dropped("behind options", V6, DropReason::IpFragment, |frame| {
        extend(frame, 60, &[44, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 1]);
    });
}

/// A thousand packets that never come whole cost nothing that stays: no frame, no entry, no answer.
#[test]
fn a_flood_of_fragments_leaves_nothing() {
    let mut bed = Bed::new(V4);
    let before = bed.server.snapshot();
    for n in 0..1_000_u16 {
        let mut fragment = bed.base(Base::Data);
        put(&mut fragment, IP + 4, &n.to_be_bytes());
        fragment_v4(&mut fragment, MORE | (n % 64), 0..24);
        assert_eq!(bed.judge(&fragment), (Fate::Dropped(DropReason::IpFragment), Reply::Silence));
    }
    let after = bed.server.snapshot();
    assert_eq!((before.ledger, before.gauges), (after.ledger, after.gauges));
    bed.end();
}

/// "Don't fragment" and the reserved bit make no fragment.
#[test]
fn other_bits_beside_the_offset_are_no_matter() {
    for field in [0_u16, 0x4000, 0x8000, 0xc000] {
        let mut bed = Bed::new(V4);
        let mut data = bed.base(Base::Data);
        put(&mut data, IP + 6, &field.to_be_bytes());
        seal_ip(&mut data);
        bed.live.seq += FORGED.len() as u32;
        assert_eq!(bed.judge(&data), (Fate::Delivered, Reply::Ack(bed.live.seq)), "{field:#x}");
        assert_eq!(bed.server.read(bed.socket), FORGED);
        bed.end();
    }
}

/// A packet with any of them is dropped, so that no source route can lead an answer anywhere (MUST-53).
#[test]
fn ip_options() {
    let options: [(&str, &[u8]); 9] = [
        ("no operation", &[1, 1, 1, 0]),
        ("end of the list, then garbage", &[0, 0x83, 0xff, 0xff]),
        ("loose source route", &[0x83, 7, 4, 203, 0, 113, 1, 0]),
        ("strict source route", &[0x89, 7, 4, 203, 0, 113, 1, 0]),
        ("record route", &[7, 7, 4, 0, 0, 0, 0, 0]),
        ("timestamp", &[68, 8, 5, 0, 0, 0, 0, 0]),
        ("router alert", &[148, 4, 0, 0]),
        ("of length zero", &[0x83, 0, 0, 0]),
        ("forty bytes", &[1; 40]),
    ];
    for (what, options) in options {
        assert_dropped(what, V4, DropReason::IpOptions, |frame| {
            frame[IP] = 0x45 + (options.len() / 4) as u8;
            insert(frame, TCP4, options);
        });
    }
}

/// One header of destination options that hold nothing, before `next`.
const fn padding(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

#[test]
fn extension_headers_that_are_refused() {
    let long: Vec<u8> = (1..=150).flat_map(|n| padding(if n == 150 { 6 } else { 60 })).collect();
    let five: Vec<u8> = (1..=5).flat_map(|n| padding(if n == 5 { 6 } else { 60 })).collect();
    let cases: [(&str, u8, &[u8]); 12] = [
        ("five, one more than there can be", 60, &five),
        ("a hundred and fifty", 60, &long),
        ("a chain that never ends", 60, &padding(60).repeat(5)),
        ("hop-by-hop in second place", 60, &[padding(0), padding(6)].concat()),
        (
            "routing, type 0, with a waypoint left",
            43,
            &[6, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        ("segment routing, with a waypoint left", 43, &[6, 0, 4, 1, 0, 0, 0, 0]),
        ("the length of a jumbogram", 0, &[6, 0, 0xc2, 4, 0, 1, 0, 0]),
        ("an option that must be known", 60, &[6, 0, 0x41, 4, 0, 0, 0, 0]),
        ("an option past its header", 60, &[6, 0, 5, 200, 0, 0, 0, 0]),
        ("encryption", 50, &padding(6)),
        ("authentication", 51, &padding(6)),
        ("mobility", 135, &padding(6)),
    ];
    for (what, first, headers) in cases {
        assert_dropped(what, V6, DropReason::Ipv6Extension, |frame| extend(frame, first, headers));
    }
    assert_dropped("a header past the packet", V6, DropReason::IpLength, |frame| {
        extend(frame, 60, &[6, 255, 1, 4, 0, 0, 0, 0]);
    });
    assert_dropped("no next header", V6, DropReason::NotTcp, |frame| extend(frame, 60, &padding(59)));
}

/// Four headers are walked, and what stands behind them is a segment like others.
#[test]
fn extension_headers_that_are_walked() {
    let routed = [60, 0, 4, 0, 0, 0, 0, 0];
    let mut bed = Bed::new(V6);
    let mut data = bed.base(Base::Data);
    extend(&mut data, 0, &[padding(60), padding(43), routed, padding(6)].concat());
    bed.live.seq += FORGED.len() as u32;
    assert_eq!(bed.judge(&data), (Fate::Delivered, Reply::Ack(bed.live.seq)));
    assert_eq!(bed.server.read(bed.socket), FORGED);
    bed.end();
}

#[test]
fn other_protocols_are_not_tcp() {
    for (family, at, protocols) in
        [(V4, IP + 9, [0, 1, 4, 17, 47, 132, 255]), (V6, IP + 6, [4, 17, 41, 47, 58, 59, 132])]
    {
        for protocol in protocols {
            let is_icmp = protocol == if family == V4 { 1 } else { 58 };
            // What claims to be ICMP is looked at as such.
            let reason = if is_icmp { DropReason::IcmpChecksum } else { DropReason::NotTcp };
            assert_dropped(&format!("protocol {protocol}"), family, reason, |frame| {
                frame[at] = protocol;
                seal_ip(frame);
            });
        }
    }
}
