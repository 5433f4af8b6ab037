//! Urgent pointers that point anywhere. Urgent data is delivered in line (RFC 6093, section 4).

use crate::bed::{Bed, Fate, Reply};
use crate::server::{Family, frame};
use synward_proto::Flags;
use synward_testkit::wire::WireSegment;

/// At the data, at its end, beyond it, as far as it goes; with the bit and without; with data and without.
#[test]
fn a_pointer_takes_nothing_and_adds_nothing() {
    for family in Family::ALL {
        let mut bed = Bed::new(family);
        for flag in [Flags::URG, Flags::empty()] {
            for urgent in [0, 1, 4, 5, 6, 1_000, 0x7fff, 0x8000, 0xffff] {
                for payload in [&b"hello"[..], b""] {
                    let segment = WireSegment { urgent, ..bed.live.says(Flags::ACK | Flags::PSH | flag, payload) };
                    bed.live.seq = bed.live.seq.wrapping_add(payload.len() as u32);
                    let (fate, reply) = bed.judge(&frame(&segment));
                    let wanted = if payload.is_empty() { Fate::Consumed } else { Fate::Delivered };
                    assert_eq!(fate, wanted, "pointer {urgent}, {} bytes", payload.len());
                    // Whether it is acknowledged at once does not depend on the pointer; what is acknowledged is exact.
                    assert!([Reply::Silence, Reply::Ack(bed.live.seq)].contains(&reply), "{reply:?}");
                    assert_eq!(bed.server.read(bed.socket), payload, "pointer {urgent}");
                }
                bed.assert_undisturbed();
            }
        }
        bed.end();
    }
}

/// On a SYN, and on the last segment of a stream: the pointer stays behind when the sequence ends.
#[test]
fn a_pointer_beyond_the_end_of_the_stream() {
    let mut bed = Bed::new(Family::V4);
    let syn = WireSegment { urgent: 0xffff, ..bed.stranger().says(Flags::SYN | Flags::URG, b"") };
    assert_eq!(bed.judge(&frame(&syn)), (Fate::Answered, Reply::SynAck(bed.stranger().seq + 1)));
    let fin = Flags::FIN | Flags::ACK | Flags::URG;
    let last = WireSegment { urgent: 0xffff, ..bed.live.says(fin, b"bye") };
    assert_eq!(bed.judge(&frame(&last)), (Fate::Delivered, Reply::Ack(bed.live.seq + 4)));
    assert_eq!(bed.server.read(bed.socket), b"bye");
    assert_eq!(bed.server.read(bed.socket), b"", "the end, and no byte that was pointed at");
    bed.server.end();
}
