//! SYNs that ask for ECN in any way there is: each is accepted, and the answer agrees to what RFC 3168 knows or to nothing (RFC 9768,
//! section 3.1.2, has a server without accurate ECN do the same).

use crate::server::{Family, PSH_ACK, Peer, Server, config};
use synward_proto::Flags;
use synward_testkit::wire::{EcnMark, WireOption, WireSegment};

#[test]
fn every_combination_on_a_syn_is_accepted() {
    use EcnMark::{Ce, Ect0, Ect1, NotEct};
    for family in Family::ALL {
        for bits in 0..8_u16 {
            let asked = Flags::from_bits_retain(bits << 6);
            for mark in [NotEct, Ect0, Ect1, Ce] {
                // ECE and CWR together ask for the classic form; a SYN of that form is not ECN-capable itself.
                let asks = asked.contains(Flags::ECE | Flags::CWR) && (mark == NotEct || asked.contains(Flags::AE));
                for reserved in [0, 0x200, 0x400, 0x800, 0xe00] {
                    let with = Flags::from_bits_retain(asked.bits() | reserved);
                    assert_eq!(agrees(family, with, mark), asks, "{asked:?} {mark:?} {reserved:#x}");
                }
            }
        }
    }
}

/// Opens with these bits beside SYN, and exchanges bytes; whether the engine agreed to ECN.
fn agrees(family: Family, bits: Flags, mark: EcnMark) -> bool {
    let mut server = Server::new(family, config());
    let mut peer = Peer::new(family, 1);
    let mut syn = peer.syn(&[WireOption::Mss(1000)]);
    (syn.flags, syn.ip.ecn) = (syn.flags | bits, mark);
    let answers = server.send(&syn);
    let [WireSegment { flags, seq, ack, ip, .. }] = answers.as_slice() else { panic!("{bits:?}: {answers:?}") };
    assert_eq!((*ack, ip.ecn), (peer.seq + 1, EcnMark::NotEct));
    let agreed = flags.contains(Flags::ECE);
    assert_eq!(*flags - Flags::ECE, Flags::SYN | Flags::ACK, "{bits:?} {mark:?}");
    (peer.seq, peer.ack) = (*ack, seq.wrapping_add(1));
    server.send(&peer.says(Flags::ACK, b""));
    let socket = server.accept();
    server.send(&peer.says(PSH_ACK, b"hello"));
    assert_eq!(server.read(socket), b"hello");
    // Only who agreed sends ECN-capable data.
    let (written, sent) = server.write(socket, b"world");
    let last = sent.last().expect("a segment");
    assert_eq!((written, last.payload.as_slice()), (5, &b"world"[..]));
    assert_eq!(last.ip.ecn, if agreed { EcnMark::Ect0 } else { EcnMark::NotEct }, "{bits:?} {mark:?}");
    server.end();
    agreed
}
