//! Any frame.

use crate::packet::{frame as written, repair_checksums, swapped};
use crate::{naive, packet};
use synward_proto::wire::{ChecksumPolicy, parse, parse_icmp_error};
use synward_proto::{DropReason, Flags, Head, Marking, Segment, SeqNum};

/// In the first byte of an input: take the unfinished checksums of virtual devices.
const UNFINISHED: u8 = 0x01;
/// In the first byte of an input: leave its checksums as they are, for three values in four.
const REPAIR: u8 = 0x06;

/// A frame is read as a plain reading reads it, to the field and to the reason; bytes behind the IP packet say nothing; and
/// what was read can be written and read again.
///
/// The first byte of the input chooses the policy and whether checksums are made right; the frame follows, and one byte
/// more, the last, says where it is cut for a second look.
pub fn wire_parse(data: &[u8]) {
    let [choice, rest @ .., cut] = data else { return };
    let policy = if choice & UNFINISHED == 0 { ChecksumPolicy::Full } else { ChecksumPolicy::AllowUnfinished };
    let mut frame = rest.to_vec();
    if choice & REPAIR != 0 {
        repair_checksums(&mut frame);
    }
    agree(&frame, policy);
    agree(&frame[..frame.len() * usize::from(*cut) / 256], policy);
    if let Ok(segment) = parse(&frame, policy) {
        padding_says_nothing(&frame, policy, &segment);
        survives_writing(&frame, &segment);
    }
}

fn agree(frame: &[u8], policy: ChecksumPolicy) {
    let (segment, error) = (parse(frame, policy), parse_icmp_error(frame));
    assert_eq!(segment, naive::segment(frame, policy), "{frame:02x?}");
    assert_eq!(error, naive::icmp_error(frame), "{frame:02x?}");
    match (segment, error) {
        (Ok(_), error) => assert_eq!(error, Err(DropReason::NotTcp), "one frame, one meaning"),
        (segment, Ok(_)) => assert_eq!(segment, Err(DropReason::NotTcp), "one frame, one meaning"),
        (Err(_), Err(_)) => {}
    }
}

/// The IP length counts: without what stands behind it the frame means the same, and with one byte less, nothing.
fn padding_says_nothing(frame: &[u8], policy: ChecksumPolicy, segment: &Segment) {
    let end = usize::from(segment.payload.start) + usize::from(segment.payload.len);
    assert!(end <= frame.len());
    assert_eq!(segment.payload.of(frame).len(), usize::from(segment.payload.len));
    assert_eq!(parse(&frame[..end], policy).as_ref(), Ok(segment));
    let padded = [&frame[..end], &[0xaa; 7]].concat();
    assert_eq!(parse(&padded, policy).as_ref(), Ok(segment));
    let short = parse(&frame[..end - 1], policy);
    assert!(matches!(short, Err(DropReason::IpLength | DropReason::FrameTooShort)), "{short:?}");
}

/// Written by its own sender, the segment means the same.
fn survives_writing(frame: &[u8], segment: &Segment) {
    let Segment { link, tuple, seq, ack, flags, window, ecn, options, payload, unfinished_checksum: _ } = *segment;
    let head = Head {
        tuple: tuple.reversed(),
        seq,
        ack,
        flags,
        window,
        options,
        marking: Marking { service: 0xb8, ecn, hop_limit: 3 },
    };
    let again = written(&swapped(&link), &head, payload.of(frame));
    assert_eq!(packet::ether_type_at(&again), packet::ether_type_at(frame), "the same tags");
    let read = parse(&again, ChecksumPolicy::Full).expect("what we write can be read");
    let acknowledged = if flags.contains(Flags::ACK) { ack } else { SeqNum(0) };
    let wanted = Segment { ack: acknowledged, payload: read.payload, unfinished_checksum: false, ..*segment };
    assert_eq!(read, wanted);
    assert_eq!(read.payload.of(&again), payload.of(frame));
}
