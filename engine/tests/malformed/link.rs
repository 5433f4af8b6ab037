//! What stands before IP: tags, other protocols, and frames that are longer than a chunk.

use crate::bed::{Base, Bed, FORGED, Fate, Reply, assert_dropped};
use crate::frames::{IP, put};
use crate::server::{Family, PSH_ACK, V4, V6, frame};
use synward_proto::DropReason;

/// Type fields that lead to no IP: ARP and its reverse, 802.3 lengths, PPPoE, MPLS, LLDP, MACsec, and tags of no standard.
const OTHERS: [u16; 14] =
    [0, 1, 46, 1500, 1501, 0x0806, 0x8035, 0x8847, 0x8863, 0x8864, 0x88cc, 0x88e5, 0x9100, 0xffff];

#[test]
fn other_protocols() {
    for family in Family::ALL {
        for kind in OTHERS {
            assert_dropped(&format!("{kind:#06x}"), family, DropReason::NotIp, |frame| {
                put(frame, 12, &kind.to_be_bytes());
            });
        }
    }
}

/// 802.3 with LLC and SNAP, which says that IP follows: what stands at IP's place is none.
#[test]
fn llc_with_ip_inside() {
    for (family, kind) in [(V4, [8, 0]), (V6, [0x86, 0xdd])] {
        assert_dropped("SNAP", family, DropReason::NotIp, |frame| {
            let len = (frame.len() - IP + 8) as u16;
            put(frame, 12, &len.to_be_bytes());
            frame.splice(IP..IP, [&[0xaa, 0xaa, 3, 0, 0, 0][..], &kind].concat());
        });
        // The same behind a tag.
        assert_dropped("tagged SNAP", family, DropReason::NotIp, |frame| {
            let len = (frame.len() - IP + 8) as u16;
            put(frame, 12, &len.to_be_bytes());
            frame.splice(IP..IP, [&[0xaa, 0xaa, 3, 0, 0, 0][..], &kind].concat());
            frame.splice(12..12, [0x81, 0, 0, 7]);
        });
    }
}

/// The kernel's, were they not sent here: of no length, of the usual one, and far too long.
#[test]
fn arp_of_any_size() {
    for len in [0, 8, 28, 46, 1_500] {
        assert_dropped(&format!("{len} bytes"), V4, DropReason::NotIp, |frame| {
            frame.truncate(12);
            frame.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
            frame.resize(IP + len, 0xff);
        });
    }
}

/// One tag or two of either protocol, priority and drop bits included: the answer carries the same.
#[test]
fn tags_are_taken_and_given_back() {
    let tags: [&[u8]; 7] = [
        &[0x81, 0, 0, 7],
        &[0x81, 0, 0, 0],
        &[0x81, 0, 0xff, 0xff],
        &[0x88, 0xa8, 0, 7],
        &[0x88, 0xa8, 0x10, 5, 0x81, 0, 0x20, 7],
        &[0x81, 0, 0, 5, 0x81, 0, 0, 7],
        &[0x88, 0xa8, 0, 5, 0x88, 0xa8, 0, 7],
    ];
    for family in Family::ALL {
        for tags in tags {
            let mut bed = Bed::new(family);
            let tagged = |mut frame: Vec<u8>| {
                frame.splice(12..12, tags.iter().copied());
                frame
            };
            let wanted = (Fate::Answered, Reply::SynAck(bed.stranger().seq + 1));
            assert_eq!(bed.judge(&tagged(bed.base(Base::Syn))), wanted, "{tags:x?}");
            let data = tagged(bed.base(Base::Data));
            bed.live.seq += FORGED.len() as u32;
            assert_eq!(bed.judge(&data), (Fate::Delivered, Reply::Ack(bed.live.seq)), "{tags:x?}");
            assert_eq!(bed.server.read(bed.socket), FORGED);
            bed.end();
        }
    }
}

#[test]
fn three_tags() {
    for family in Family::ALL {
        for third in [[0x81, 0], [0x88, 0xa8]] {
            assert_dropped(&format!("third {third:x?}"), family, DropReason::VlanDepth, |frame| {
                let tags = [&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 7][..], &third, &[0, 9]].concat();
                frame.splice(12..12, tags);
            });
        }
    }
}

/// What fits in a chunk is a frame like others, though longer than the MTU; what does not is lost below the engine, as a driver
/// loses it, and counted there.
#[test]
fn frames_up_to_the_chunk_and_beyond() {
    const CHUNK: usize = 2048 - 256;
    for family in Family::ALL {
        let mut bed = Bed::new(family);
        let payload = vec![9; CHUNK - family.tcp() - 20];
        let whole = frame(&bed.live.says(PSH_ACK, &payload));
        assert_eq!(whole.len(), CHUNK);
        for (lost, len) in (1..).zip([CHUNK + 1, 3_000, 9_014, 65_535]) {
            assert_eq!(bed.server.lose(&[&whole[..], &vec![9; len - CHUNK]].concat()), lost, "{len} bytes");
        }
        bed.live.seq += payload.len() as u32;
        assert_eq!(bed.judge(&whole), (Fate::Delivered, Reply::Ack(bed.live.seq)));
        assert_eq!(bed.server.read(bed.socket), payload);
        bed.end();
    }
}
