//! All combinations of control bits, against a listener, a connection and nobody: NULL, FIN, XMAS, SYN+FIN, SYN+RST and all the
//! others, with nothing beside them and with data.

use crate::bed::{Bed, Fate, Reply};
use crate::server::{Family, V4, frame};
use std::time::Duration;
use synward_proto::{DropReason, Flags};
use synward_testkit::wire::WireSegment;

const SEQ: u32 = 1_000_000;
const ACK: u32 = 123_456;
const HELLO: &[u8] = b"hello";

/// All 512, in the order of their bits.
fn combinations() -> impl Iterator<Item = Flags> {
    (0..0x200).map(Flags::from_bits_retain)
}

/// What decides, in the order in which it does; PSH, URG, ECE, CWR and AE beside them decide nothing, but that a segment has any.
fn deciding(flags: Flags) -> [bool; 4] {
    [Flags::RST, Flags::SYN, Flags::ACK, Flags::FIN].map(|flag| flags.contains(flag))
}

const fn dropped(reason: DropReason, reply: Reply) -> (Fate, Reply) {
    (Fate::Dropped(reason), reply)
}

/// RFC 9293, section 3.10.7.2. Data makes no difference.
fn at_listener(flags: Flags) -> (Fate, Reply) {
    match deciding(flags) {
        [true, ..] => dropped(DropReason::StrayRst, Reply::Silence),
        [_, true, _, true] => dropped(DropReason::TcpFlags, Reply::Silence),
        [_, true, true, _] => dropped(DropReason::NotASyn, Reply::Reset(ACK)),
        [_, true, ..] => (Fate::Answered, Reply::SynAck(SEQ + 1)),
        [_, _, true, _] => dropped(DropReason::BadCookie, Reply::Reset(ACK)),
        [..] if flags.is_empty() => dropped(DropReason::TcpFlags, Reply::Silence),
        [..] => dropped(DropReason::NotASyn, Reply::Silence),
    }
}

/// RFC 9293, section 3.10.7.1: what a segment with so many bytes draws where nobody is.
fn at_nobody(flags: Flags, len: u32) -> (Fate, Reply) {
    match deciding(flags) {
        [true, ..] => dropped(DropReason::StrayRst, Reply::Silence),
        [_, true, _, true] => dropped(DropReason::TcpFlags, Reply::Silence),
        [_, _, true, _] => dropped(DropReason::NoListener, Reply::Reset(ACK)),
        [..] if flags.is_empty() => dropped(DropReason::TcpFlags, Reply::Silence),
        [_, syn, _, fin] => {
            dropped(DropReason::NoListener, Reply::ResetAck(SEQ + len + u32::from(syn) + u32::from(fin)))
        }
    }
}

/// RFC 9293, section 3.10.7.4, and RFC 5961: what a segment does to a connection whose numbers it has exactly. A reset ends it
/// without a word, whatever stands beside.
fn at_connection(flags: Flags, seq: u32, len: u32) -> (Fate, Reply) {
    match deciding(flags) {
        [true, ..] => (Fate::Consumed, Reply::Silence),
        [_, true, _, true] => dropped(DropReason::TcpFlags, Reply::Silence),
        [_, true, ..] => dropped(DropReason::BlindSyn, Reply::Ack(seq)),
        [..] if flags.is_empty() => dropped(DropReason::TcpFlags, Reply::Silence),
        [_, _, false, _] => dropped(DropReason::NoAck, Reply::Silence),
        [_, _, true, fin] => match (len, fin) {
            (0, false) => (Fate::Consumed, Reply::Silence),
            (0, true) => (Fate::Consumed, Reply::Ack(seq + 1)),
            (len, fin) => (Fate::Delivered, Reply::Ack(seq + len + u32::from(fin))),
        },
    }
}

fn stranger(bed: &Bed, flags: Flags, payload: &[u8]) -> WireSegment {
    WireSegment { seq: SEQ, ack: ACK, ..bed.stranger().says(flags, payload) }
}

#[test]
fn against_a_listener() {
    let mut bed = Bed::new(V4);
    for payload in [b"", HELLO] {
        for flags in combinations() {
            // The strangers' resets are limited.
            bed.server.pass(Duration::from_secs(1));
            let segment = stranger(&bed, flags, payload);
            assert_eq!(bed.judge(&frame(&segment)), at_listener(flags), "{flags:?} {payload:?}");
            if matches!(at_listener(flags).1, Reply::SynAck(_)) {
                assert_eq!(bed.server.snapshot().gauges.half_open, 1);
                let reset = WireSegment { seq: SEQ + 1, ..stranger(&bed, Flags::RST, b"") };
                bed.server.send(&reset);
            }
            assert_eq!(bed.server.snapshot().gauges.half_open, 0, "{flags:?} {payload:?}");
        }
        bed.assert_undisturbed();
    }
    bed.end();
}

#[test]
fn against_nobody() {
    let mut bed = Bed::new(V4);
    for payload in [b"", HELLO] {
        for flags in combinations() {
            bed.server.pass(Duration::from_secs(1));
            let mut segment = stranger(&bed, flags, payload);
            segment.destination.port += 1;
            let wanted = at_nobody(flags, payload.len() as u32);
            assert_eq!(bed.judge(&frame(&segment)), wanted, "{flags:?} {payload:?}");
        }
        bed.assert_undisturbed();
    }
    bed.end();
}

#[test]
fn against_a_connection() {
    for payload in [b"", HELLO] {
        for flags in combinations() {
            let mut bed = Bed::new(V4);
            let wanted = at_connection(flags, bed.live.seq, payload.len() as u32);
            let segment = WireSegment { ack: bed.live.ack, ..bed.live.says(flags, payload) };
            assert_eq!(bed.judge(&frame(&segment)), wanted, "{flags:?} {payload:?}");
            let is_over = flags.contains(Flags::RST);
            assert_eq!(bed.server.row(&bed.live).is_none(), is_over, "{flags:?}");
            if is_over {
                continue;
            }
            let read = if wanted.0 == Fate::Delivered { payload } else { b"" };
            assert_eq!(bed.server.read(bed.socket), read, "{flags:?} {payload:?}");
            if let (Fate::Delivered | Fate::Consumed, Reply::Ack(next)) = wanted {
                bed.live.seq = next;
            }
            if matches!(wanted.0, Fate::Dropped(_)) || !flags.contains(Flags::FIN) {
                bed.assert_undisturbed();
            }
        }
    }
}

/// "Must be ignored in received segments" (RFC 9293, section 3.1): each of the three reserved bits, beside every SYN and data.
#[test]
fn reserved_bits_change_nothing() {
    for family in Family::ALL {
        for reserved in (1..8).map(|bits| bits << 9) {
            let mut bed = Bed::new(family);
            let with = |segment: WireSegment| {
                let flags = Flags::from_bits_retain(segment.flags.bits() | reserved);
                frame(&WireSegment { flags, ..segment })
            };
            let syn = with(bed.stranger().says(Flags::SYN, b""));
            assert_eq!(bed.judge(&syn), (Fate::Answered, Reply::SynAck(SEQ + 1)), "{reserved:#x}");
            let data = with(bed.live.says(Flags::ACK, HELLO));
            bed.live.seq += 5;
            assert_eq!(bed.judge(&data), (Fate::Delivered, Reply::Ack(bed.live.seq)), "{reserved:#x}");
            assert_eq!(bed.server.read(bed.socket), HELLO);
            let nothing = with(bed.live.says(Flags::empty(), b""));
            assert_eq!(bed.judge(&nothing), dropped(DropReason::TcpFlags, Reply::Silence), "{reserved:#x}");
            bed.end();
        }
    }
}
