//! Each rule, by one conversation in which it is broken at the end.

use super::*;
use crate::wire::{IpFields, Macs, encode};

const MACS: Macs = Macs { destination: [2; 6], source: [4; 6] };

fn segment(flags: Flags, seq: u32, ack: u32) -> WireSegment {
    WireSegment {
        source: Endpoint::new([10, 0, 0, 1].into(), 80),
        destination: Endpoint::new([10, 0, 0, 2].into(), 4000),
        flags,
        seq,
        ack,
        window: 1000,
        urgent: 0,
        options: Vec::new(),
        payload: Vec::new(),
        ip: IpFields::default(),
        vlans: Vec::new(),
    }
}

/// The same from the peer.
fn from_peer(segment: WireSegment) -> Vec<u8> {
    let (source, destination) = (segment.destination, segment.source);
    encode(MACS, &WireSegment { source, destination, ..segment }, false)
}

fn with_time(value: u32, echo: u32, segment: WireSegment) -> WireSegment {
    WireSegment { options: vec![WireOption::Timestamps(value, echo)], ..segment }
}

fn with_payload(length: usize, segment: WireSegment) -> WireSegment {
    WireSegment { payload: vec![7; length], ..segment }
}

/// An end that has answered a SYN of sequence number 99, and then heard an ACK that offers it 1,000 bytes from 501 on.
fn established() -> Inspector {
    let mut inspector = Inspector::new(1500);
    inspector.on_delivered(&from_peer(with_time(7, 0, segment(Flags::SYN, 99, 0))));
    inspector.on_sent(&encode(MACS, &with_time(3, 7, segment(Flags::SYN | Flags::ACK, 500, 100)), false));
    inspector.on_delivered(&from_peer(with_time(8, 3, segment(Flags::ACK, 100, 501))));
    inspector
}

/// What is said of a frame that this end sends.
fn said_of(mut inspector: Inspector, frame: &[u8]) -> String {
    assert_eq!((inspector.wrong, inspector.spoiled), (0, 0), "{:?}", inspector.violations);
    assert!(inspector.on_sent(frame));
    inspector.violations.join("\n")
}

#[test]
fn what_is_right_is_not_complained_of() {
    for (segment, what) in [
        (with_payload(1000, segment(Flags::ACK, 501, 100)), "a full window"),
        (with_payload(1, segment(Flags::ACK, 1501, 100)), "a probe"),
        (segment(Flags::ACK | Flags::FIN, 1501, 100), "a FIN behind all"),
        (segment(Flags::RST | Flags::ACK, 501, 100), "a reset"),
    ] {
        assert_eq!(said_of(established(), &encode(MACS, &with_time(9, 8, segment), false)), "", "{what}");
    }
    assert!(!established().on_sent(&[9; 60]), "no TCP");
}

#[test]
fn each_rule_is_told_when_it_is_broken() {
    let late = |segment| with_time(9, 8, segment);
    for (segment, wanted) in [
        (late(with_payload(1001, segment(Flags::ACK, 501, 100))), "payload beyond the window"),
        (late(with_payload(1, segment(Flags::ACK, 1502, 100))), "payload beyond the window"),
        (late(segment(Flags::ACK, 501, 101)), "acknowledges what never came"),
        (with_time(9, 9, segment(Flags::ACK, 501, 100)), "echoes a timestamp that never came"),
        (late(WireSegment { window: 998, ..segment(Flags::ACK, 501, 100) }), "takes back window"),
        (late(with_payload(1460, segment(Flags::ACK, 501, 100))), "larger than the MTU"),
    ] {
        let said = said_of(established(), &encode(MACS, &segment, false));
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn frames_that_are_not_well_formed_are_told_of() {
    let good = with_time(9, 8, segment(Flags::ACK, 501, 100));
    let mut padded = encode(MACS, &good, false);
    padded.push(0);
    assert!(said_of(established(), &padded).contains("bytes behind the packet"));
    assert!(said_of(established(), &encode(MACS, &good, true)).contains("checksum"));
}

#[test]
fn before_the_handshake_no_answer_is_larger_than_its_request() {
    let asked = || {
        let mut inspector = Inspector::new(1500);
        inspector.on_delivered(&from_peer(segment(Flags::SYN, 99, 0)));
        inspector
    };
    let answer = segment(Flags::SYN | Flags::ACK, 500, 100);
    assert_eq!(said_of(asked(), &encode(MACS, &answer, false)), "");
    let larger = WireSegment { options: vec![WireOption::Mss(1460)], ..answer };
    assert!(said_of(asked(), &encode(MACS, &larger, false)).contains("larger than anything"));
    let data = with_payload(10, segment(Flags::ACK, 501, 100));
    let mut asked_by_more = asked();
    asked_by_more.on_delivered(&from_peer(with_payload(100, segment(Flags::ACK, 100, 77))));
    assert!(said_of(asked_by_more, &encode(MACS, &data, false)).contains("payload before the handshake"));
    let nobody = encode(MACS, &segment(Flags::RST, 1, 0), false);
    assert!(said_of(Inspector::new(1500), &nobody).contains("larger than anything"), "nobody asked");
}

/// What is spoiled has not been heard: it must not be acknowledged.
#[test]
fn what_is_spoiled_was_not_heard() {
    let mut inspector = established();
    let data = with_payload(10, segment(Flags::ACK, 100, 501));
    let (source, destination) = (data.destination, data.source);
    inspector.on_delivered(&encode(MACS, &WireSegment { source, destination, ..data.clone() }, true));
    assert_eq!(std::mem::take(&mut inspector.spoiled), 1);
    let acknowledged = encode(MACS, &with_time(9, 8, segment(Flags::ACK, 501, 110)), false);
    assert!(said_of(inspector, &acknowledged).contains("acknowledges what never came"));
    let mut inspector = established();
    inspector.on_delivered(&from_peer(data));
    assert_eq!(said_of(inspector, &acknowledged), "");
}

#[test]
fn windows_are_scaled_once_both_have_asked_for_it() {
    let scaled = |scale, segment| WireSegment { options: vec![WireOption::WindowScale(scale)], ..segment };
    let mut inspector = Inspector::new(1500);
    inspector.on_delivered(&from_peer(scaled(3, segment(Flags::SYN, 99, 0))));
    inspector.on_sent(&encode(MACS, &scaled(7, segment(Flags::SYN | Flags::ACK, 500, 100)), false));
    inspector.on_delivered(&from_peer(segment(Flags::ACK, 100, 501)));
    let last = with_payload(1, segment(Flags::ACK, 501 + 8000 - 1, 100));
    assert!(inspector.on_sent(&encode(MACS, &last, false)));
    assert_eq!(inspector.wrong, 0, "{:?}", inspector.violations);
    let beyond = with_payload(2, segment(Flags::ACK, 501 + 8000 - 1, 100));
    assert!(said_of(inspector, &encode(MACS, &beyond, false)).contains("payload beyond the window"));
}
