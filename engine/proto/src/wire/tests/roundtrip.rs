//! The law: parsing undoes writing.

use super::frames;
use crate::segment::{DataOptions, Mss, SackBlock, SackBlocks, SynOptions, Timestamps, VlanTag, WindowScale};
use crate::wire::{ChecksumPolicy, HEADROOM, SegmentWriter, parse, write_segment};
use crate::{Codepoint, Endpoint, Flags, Head, Link, MacAddr, Marking, Options, Segment, SeqNum, Tuple};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(|mut octets| {
        octets[0] &= !1;
        MacAddr(octets)
    })
}

fn tag() -> impl Strategy<Value = VlanTag> {
    (prop_oneof![Just(0x8100), Just(0x88a8)], any::<u16>())
        .prop_map(|(protocol, control)| VlanTag { protocol, control })
}

fn link() -> impl Strategy<Value = Link> {
    (mac(), mac(), tag(), tag(), 0..3).prop_map(|(local, remote, outer, inner, tags)| Link {
        local,
        remote,
        outer: (tags > 0).then_some(outer),
        inner: (tags > 1).then_some(inner),
    })
}

/// Hosts of one network, so that none is a martian, and two different ones.
fn tuple() -> impl Strategy<Value = Tuple> {
    (any::<bool>(), any::<[u8; 15]>(), 1..=u8::MAX, any::<u8>(), 1..=u16::MAX, 1..=u16::MAX).prop_map(
        |(is_v6, prefix, step, last, local_port, remote_port)| {
            let addr = |last: u8| -> IpAddr {
                if is_v6 {
                    let mut octets = [0x20; 16];
                    octets[1..].copy_from_slice(&prefix);
                    octets[15] = last;
                    Ipv6Addr::from(octets).into()
                } else {
                    Ipv4Addr::new(10, prefix[0], prefix[1], last).into()
                }
            };
            Tuple {
                local: Endpoint::new(addr(last), local_port),
                remote: Endpoint::new(addr(last.wrapping_add(step)), remote_port),
            }
        },
    )
}

fn timestamps() -> impl Strategy<Value = Option<Timestamps>> {
    proptest::option::of((any::<u32>(), any::<u32>()).prop_map(|(value, echo)| Timestamps { value, echo }))
}

fn options(is_syn: bool) -> BoxedStrategy<Options> {
    let mss = proptest::option::of((48..=u16::MAX).prop_map(|mss| Mss::announced(mss).expect("not zero")));
    let window_scale = proptest::option::of((0..=14u8).prop_map(WindowScale::clamped));
    if is_syn {
        (mss, window_scale, any::<bool>(), timestamps())
            .prop_map(|(mss, window_scale, sack_permitted, timestamps)| {
                Options::Syn(SynOptions { mss, window_scale, sack_permitted, timestamps })
            })
            .boxed()
    } else {
        (timestamps(), proptest::collection::vec((any::<u32>(), any::<u32>()), 0..=4))
            .prop_map(|(timestamps, edges)| {
                let mut sack = SackBlocks::NONE;
                for (start, end) in edges {
                    sack.push(SackBlock { start: SeqNum(start), end: SeqNum(end) });
                }
                Options::Data(DataOptions { timestamps, sack })
            })
            .boxed()
    }
}

/// Control bits that the door lets through unchanged.
fn flags() -> impl Strategy<Value = Flags> {
    (1..0x200u16).prop_map(Flags::from_bits_truncate).prop_filter("no sense", |flags| {
        let (syn, fin, rst) = (flags.contains(Flags::SYN), flags.contains(Flags::FIN), flags.contains(Flags::RST));
        !(syn && fin || rst && (syn || fin))
    })
}

fn marking() -> impl Strategy<Value = Marking> {
    (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(service, ecn, hop_limit)| Marking {
        service,
        ecn: Codepoint::of(ecn),
        hop_limit,
    })
}

fn head() -> impl Strategy<Value = Head> {
    flags().prop_flat_map(|flags| {
        let options = options(flags.contains(Flags::SYN));
        (tuple(), any::<u32>(), any::<u32>(), any::<u16>(), options, marking()).prop_map(
            move |(tuple, seq, ack, window, options, marking)| Head {
                tuple,
                seq: SeqNum(seq),
                ack: SeqNum(ack),
                flags,
                window,
                options,
                marking,
            },
        )
    })
}

/// What the peer must read: the same, seen from the other side; no acknowledgment without ACK; and three SACK blocks
/// beside timestamps.
fn expected(link: &Link, head: &Head, frame_len: usize, payload_len: usize) -> Segment {
    let options = match head.options {
        Options::Data(DataOptions { timestamps: Some(timestamps), sack }) => {
            let mut three = SackBlocks::NONE;
            for block in sack.as_slice().iter().take(3) {
                three.push(*block);
            }
            Options::Data(DataOptions { timestamps: Some(timestamps), sack: three })
        }
        options => options,
    };
    Segment {
        link: Link { local: link.remote, remote: link.local, ..*link },
        tuple: head.tuple.reversed(),
        seq: head.seq,
        ack: if head.flags.contains(Flags::ACK) { head.ack } else { SeqNum(0) },
        flags: head.flags,
        window: head.window,
        ecn: head.marking.ecn,
        options,
        payload: crate::Span { start: (frame_len - payload_len) as u16, len: payload_len as u16 },
        unfinished_checksum: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn parse_undoes_emit(
        link in link(),
        head in head(),
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
        padding in 0usize..20,
    ) {
        let payload = pieces.concat();
        let mut frame = vec![0xee; HEADROOM + payload.len() + padding];
        let mut writer = SegmentWriter::new(&mut frame, &link, &head);
        for piece in &pieces {
            prop_assert_eq!(writer.append(piece), piece.len());
        }
        let len = writer.finish();
        let wanted = expected(&link, &head, len, payload.len());
        prop_assert_eq!(wanted.payload.of(&frame), &payload[..]);
        for policy in [ChecksumPolicy::Full, ChecksumPolicy::AllowUnfinished] {
            // One checksum in 65,536 looks like an unfinished one, where that is allowed.
            let read = |frame: &[u8]| match (parse(frame, policy), policy) {
                (Ok(segment), ChecksumPolicy::AllowUnfinished) => Ok(Segment { unfinished_checksum: false, ..segment }),
                (read, _) => read,
            };
            prop_assert_eq!(read(&frame[..len]), Ok(wanted));
            // Whatever pads the frame is nobody's data.
            prop_assert_eq!(read(&frame[..len + padding]), Ok(wanted));
        }
    }
}

#[test]
fn a_reply_is_written_over_the_frame_that_asked() {
    for tuple in [frames::V4, frames::V6] {
        let mut buffer = vec![0xdd; 2048];
        let asked = frames::frame(&frames::LINK, &frames::data(tuple), &[0x55; 1000]);
        buffer[..asked.len()].copy_from_slice(&asked);
        let segment = parse(&buffer[..asked.len()], ChecksumPolicy::Full).unwrap();
        let reply = frames::syn(segment.tuple);
        let len = write_segment(&mut buffer, &segment.link, &reply);
        assert_eq!(buffer[..len], frames::frame(&segment.link, &reply, &[])[..]);
    }
}

#[test]
fn payload_that_does_not_fit_is_left_out() {
    let mut frame = vec![0; HEADROOM + 10];
    let mut writer = SegmentWriter::new(&mut frame, &frames::LINK, &frames::data(frames::V6));
    let room = HEADROOM + 10 - (14 + 40 + 20 + 24);
    assert_eq!(writer.append(&[1; 5]), 5);
    assert_eq!(writer.append(&[2; 100]), room - 5);
    assert_eq!(writer.append(&[3; 100]), 0);
    assert_eq!(writer.finish(), HEADROOM + 10);
    let segment = parse(&frame, ChecksumPolicy::Full).unwrap();
    let wanted: Vec<u8> = [vec![1; 5], vec![2; room - 5]].concat();
    assert_eq!(segment.payload.of(&frame), wanted);
}

#[test]
fn a_packet_is_never_longer_than_ip_can_say() {
    for (tuple, headers) in [(frames::V4, 20 + 20 + 24), (frames::V6, 40 + 20 + 24)] {
        let mut frame = vec![0; 70_000];
        let mut writer = SegmentWriter::new(&mut frame, &frames::LINK, &frames::data(tuple));
        assert_eq!(writer.append(&vec![9; 70_000]), 65535 - headers);
        assert_eq!(writer.finish(), 14 + 65535);
    }
}
