//! The answer of nobody: which segment gets which RST (RFC 9293, section 3.5.2).

use crate::{Flags, Head, Marking, Options, Segment, SeqNum};

/// The RST that answers a segment for which there is no connection; `None` for a segment with RST.
///
/// How many of them leave is the caller's to limit. A segment to or from a group address never comes this far:
/// [`parse`](crate::wire::parse()) refuses it (MUST-57), at the link layer too.
pub fn answer(segment: &Segment) -> Option<Head> {
    // "An incoming segment containing a RST is discarded" (section 3.10.7.1): no reset answers a reset.
    if segment.flags.contains(Flags::RST) {
        return None;
    }
    let (seq, ack, flags) = if segment.flags.contains(Flags::ACK) {
        // "If the ACK bit is on, <SEQ=SEG.ACK><CTL=RST>".
        (segment.ack, SeqNum(0), Flags::RST)
    } else {
        // "If the ACK bit is off, sequence number zero is used, <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>".
        (SeqNum(0), segment.seq + segment.seq_len(), Flags::RST | Flags::ACK)
    };
    Some(Head { tuple: segment.tuple, seq, ack, flags, window: 0, options: Options::NONE, marking: Marking::DEFAULT })
}

#[cfg(test)]
mod tests {
    use super::answer;
    use crate::segment::SynOptions;
    use crate::{Codepoint, Endpoint, Flags, Head, Link, Marking, Options, Segment, SeqNum, Span, Tuple};
    use core::net::{IpAddr, Ipv4Addr};

    const TUPLE: Tuple = Tuple {
        local: Endpoint::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 80),
        remote: Endpoint::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), 40000),
    };

    fn segment(flags: Flags, seq: u32, payload: u16) -> Segment {
        let is_syn = flags.contains(Flags::SYN);
        Segment {
            link: Link::default(),
            tuple: TUPLE,
            seq: SeqNum(seq),
            ack: SeqNum(777),
            flags,
            window: 1000,
            ecn: Codepoint::NotEct,
            options: if is_syn { Options::Syn(SynOptions::default()) } else { Options::NONE },
            payload: Span { start: 54, len: payload },
            unfinished_checksum: false,
        }
    }

    #[test]
    fn which_segment_gets_which_reset() {
        const NONE: Flags = Flags::empty();
        const PUSH: Flags = Flags::PSH;
        // Control bits beside ACK and RST, sequence number, payload; what a reset without ACK acknowledges.
        let table = [
            (NONE, 1000, 0, 1000),
            (PUSH, 1000, 10, 1010),
            (Flags::SYN, 1000, 0, 1001),
            (Flags::SYN, 1000, 10, 1011),
            (Flags::FIN, 1000, 0, 1001),
            (Flags::FIN.union(Flags::URG), 1000, 1460, 2461),
            (Flags::SYN, u32::MAX, 0, 0),
            (Flags::FIN, u32::MAX - 5, 10, 5),
        ];
        for (flags, seq, payload, acknowledged) in table {
            let head = |seq, ack, flags| {
                Some(Head {
                    tuple: TUPLE,
                    seq: SeqNum(seq),
                    ack: SeqNum(ack),
                    flags,
                    window: 0,
                    options: Options::NONE,
                    marking: Marking::DEFAULT,
                })
            };
            let rst_ack = head(0, acknowledged, Flags::RST | Flags::ACK);
            assert_eq!(answer(&segment(flags, seq, payload)), rst_ack, "{flags:?}");
            let rst = head(777, 0, Flags::RST);
            assert_eq!(answer(&segment(flags | Flags::ACK, seq, payload)), rst, "{flags:?} with ACK");
            for with in [Flags::RST, Flags::RST | Flags::ACK] {
                assert_eq!(answer(&segment(flags | with, seq, payload)), None, "{flags:?} with {with:?}");
            }
        }
    }
}
