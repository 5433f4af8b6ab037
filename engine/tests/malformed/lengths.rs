//! Lengths that contradict each other, and bytes behind the packet.

use crate::bed::{Base, Bed, Fate, Reply, assert_dropped};
use crate::frames::{IP, TCP4, TCP6, insert, put, seal, seal_ip};
use crate::server::{Family, PSH_ACK, V4, V6, frame};
use synward_proto::{DropReason, Flags};

/// From nothing at all to one byte less than the packet says.
#[test]
fn a_frame_cut_short_at_any_byte() {
    for family in Family::ALL {
        let mut bed = Bed::new(family);
        for base in Base::ALL {
            let whole = bed.base(base);
            for len in 0..whole.len() {
                let reason = if len < family.tcp() { DropReason::FrameTooShort } else { DropReason::IpLength };
                let judged = bed.judge(&whole[..len]);
                assert_eq!(judged, (Fate::Dropped(reason), Reply::Silence), "{len} bytes, {family:?} {base:?}");
            }
            bed.assert_undisturbed();
        }
        bed.end();
    }
}

#[test]
fn a_tagged_frame_cut_short_at_any_byte() {
    let mut bed = Bed::new(V4);
    for tags in 1..=2 {
        let mut segment = bed.live.says(PSH_ACK, b"tagged");
        segment.vlans = vec![7; tags];
        let whole = frame(&segment);
        for len in 0..whole.len() {
            let reason = if len < TCP4 + 4 * tags { DropReason::FrameTooShort } else { DropReason::IpLength };
            let judged = bed.judge(&whole[..len]);
            assert_eq!(judged, (Fate::Dropped(reason), Reply::Silence), "{len} bytes, {tags} tags");
        }
    }
    bed.end();
}

#[test]
fn an_ip_length_beyond_the_frame_or_below_the_headers() {
    // Within IPv4 the length counts the IP header, in IPv6 not.
    for (family, at, lengths) in [(V4, IP + 2, [0, 19, 20, 39]), (V6, IP + 4, [0, 1, 18, 19])] {
        for len in lengths {
            assert_dropped(&format!("length {len}"), family, DropReason::IpLength, |frame| {
                put(frame, at, &u16::to_be_bytes(len));
                seal_ip(frame);
            });
        }
        for more in [1, 2, 1_000] {
            assert_dropped(&format!("{more} beyond the frame"), family, DropReason::IpLength, |frame| {
                let len = u16::from_be_bytes([frame[at], frame[at + 1]]) + more;
                put(frame, at, &len.to_be_bytes());
                seal_ip(frame);
            });
        }
        assert_dropped("the longest length", family, DropReason::IpLength, |frame| {
            put(frame, at, &[0xff; 2]);
            seal_ip(frame);
        });
    }
}

#[test]
fn an_ip_header_of_a_length_or_version_that_there_is_not() {
    for words in 0..5 {
        assert_dropped(&format!("{words} words"), V4, DropReason::IpHeaderLength, |frame| {
            frame[IP] = 0x40 | words;
            seal_ip(frame);
        });
    }
    assert_dropped("a header beyond the frame", V4, DropReason::IpHeaderLength, |frame| {
        frame.truncate(IP + 59);
        frame[IP] = 0x4f;
        seal_ip(frame);
    });
    for (family, other) in [(V4, [0x86, 0xdd]), (V6, [8, 0])] {
        assert_dropped("the other family's type", family, DropReason::IpVersion, |frame| {
            // Enough bytes for either header.
            frame.resize(100, 0);
            put(frame, 12, &other);
        });
        for version in (0..16_u8).filter(|&version| version != if family == V4 { 4 } else { 6 }) {
            assert_dropped(&format!("version {version}"), family, DropReason::IpVersion, |frame| {
                frame[IP] = version << 4 | frame[IP] & 0x0f;
                seal_ip(frame);
            });
        }
    }
}

#[test]
fn a_data_offset_below_the_header_or_past_the_end() {
    for family in Family::ALL {
        let tcp = family.tcp();
        for words in 0..5 {
            assert_dropped(&format!("{words} words"), family, DropReason::TcpDataOffset, |frame| {
                frame[tcp + 12] = words << 4;
                seal(frame, tcp);
            });
        }
        assert_dropped("one word past the end", family, DropReason::TcpDataOffset, |frame| {
            let words = (frame.len() - tcp) / 4 + 1;
            frame[tcp + 12] = (words as u8) << 4;
            seal(frame, tcp);
        });
        // The header goes on where the packet ends and the padding begins.
        assert_dropped("into the padding", family, DropReason::TcpDataOffset, |frame| {
            frame[tcp + 12] = 15 << 4;
            seal(frame, tcp);
            frame.extend_from_slice(&[1; 40]);
        });
    }
}

/// "Trust the IP length, not the frame's": what a driver or a switch adds to a short frame never becomes data.
#[test]
fn bytes_behind_the_packet_are_nobodys() {
    for family in Family::ALL {
        let mut bed = Bed::new(family);
        for padding in [1, 2, 6, 46, 1_000] {
            let padded = |mut frame: Vec<u8>| {
                frame.resize(frame.len() + padding, b'!');
                frame
            };
            let data = padded(frame(&bed.live.says(PSH_ACK, b"hello")));
            bed.live.seq += 5;
            let (fate, _) = bed.judge(&data);
            assert_eq!((fate, bed.server.read(bed.socket)), (Fate::Delivered, b"hello".to_vec()), "{padding}");
            let bare = padded(frame(&bed.live.says(Flags::ACK, b"")));
            assert_eq!(bed.judge(&bare), (Fate::Consumed, Reply::Silence), "{padding} behind a bare acknowledgment");
            assert_eq!(bed.server.read(bed.socket), b"", "{padding}");
            let mut stranger = bed.stranger();
            stranger.local.port += padding as u16;
            let syn = padded(frame(&stranger.says(Flags::SYN, b"")));
            let wanted = (Fate::Answered, Reply::SynAck(stranger.seq + 1));
            assert_eq!(bed.judge(&syn), wanted, "{padding} behind a SYN");
            bed.assert_undisturbed();
        }
        bed.end();
    }
}

/// A FIN that stands behind the padding of the segment before it: the padding takes no place in the sequence.
#[test]
fn padding_takes_no_sequence_numbers() {
    let mut bed = Bed::new(V4);
    let mut padded = frame(&bed.live.says(PSH_ACK, b"a"));
    padded.resize(60, 0);
    bed.judge(&padded);
    bed.live.seq += 1;
    let fin = frame(&bed.live.says(Flags::FIN | Flags::ACK, b""));
    assert_eq!(bed.judge(&fin), (Fate::Consumed, Reply::Ack(bed.live.seq + 1)));
    assert_eq!(bed.server.read(bed.socket), b"a");
    bed.server.end();
}

/// The control of the edits of this folder: an insertion that the headers count is data like other data.
#[test]
fn what_the_headers_count_is_data() {
    let mut bed = Bed::new(V4);
    let mut data = bed.base(Base::Data);
    insert(&mut data, TCP4 + 20, b"and ");
    seal(&mut data, TCP4);
    assert_eq!(bed.judge(&data).0, Fate::Delivered);
    assert!(bed.server.read(bed.socket).starts_with(b"and "));
    let mut bed = Bed::new(V6);
    let mut data = bed.base(Base::Data);
    insert(&mut data, TCP6 + 20, b"and ");
    seal(&mut data, TCP6);
    assert_eq!(bed.judge(&data).0, Fate::Delivered);
    assert!(bed.server.read(bed.socket).starts_with(b"and "));
}
