//! TCP options that no good peer sends, on a SYN and on a connection: MUST-5, MUST-6, MUST-7, MUST-64, MUST-68, MUST-69.

use crate::bed::{Bed, Fate, Reply};
use crate::server::{Family, PSH_ACK, Peer, Server, V4, config, frame};
use synward_proto::Flags;
use synward_testkit::wire::{WireOption, WireSegment};

/// What a SYN with odd options comes to: the segments we may send, the shift of the peer's windows, SACK, the timestamp to echo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Agreed {
    mss: u16,
    scale: Option<u8>,
    sack: bool,
    timestamp: Option<u32>,
}

/// A SYN without options (MUST-15).
const NOTHING: Agreed = Agreed { mss: 536, scale: None, sack: false, timestamp: None };

const fn mss(mss: u16) -> Agreed {
    Agreed { mss, ..NOTHING }
}

const fn scale(shift: u8) -> Agreed {
    Agreed { scale: Some(shift), ..NOTHING }
}

const fn timestamp(value: u32) -> Agreed {
    Agreed { timestamp: Some(value), ..NOTHING }
}

/// MSS 1000 and 700 as they stand in a header.
const MSS_1000: [u8; 4] = [2, 4, 0x03, 0xe8];
const MSS_700: [u8; 4] = [2, 4, 0x02, 0xbc];

/// What the options are, their bytes, and what they come to. The header is filled up with no-operations.
fn cases() -> Vec<(&'static str, Vec<u8>, Agreed)> {
    let stamp = [8, 10, 0, 0, 0, 77, 0, 0, 0, 0];
    let all = Agreed { mss: 1000, scale: Some(3), sack: true, timestamp: Some(77) };
    let everything = [&MSS_1000[..], &[4, 2], &stamp, &[3, 3, 3]].concat();
    vec![
        ("none", vec![], NOTHING),
        ("the usual ones", everything.clone(), all),
        // A length that is none ends the list: what stood before it counts (MUST-7).
        ("length 0", [&MSS_1000[..], &[0xfd, 0, 3, 3, 3]].concat(), mss(1000)),
        ("length 1", [&MSS_1000[..], &[0xfd, 1, 3, 3, 3]].concat(), mss(1000)),
        ("MSS of length 0", vec![2, 0, 3, 0xe8, 3, 3, 3], NOTHING),
        ("MSS of length 1", vec![2, 1, 3, 0xe8, 3, 3, 3], NOTHING),
        ("length beyond the header", [&[3, 3, 3], &[0xfd, 200][..], &MSS_1000].concat(), scale(3)),
        ("one byte beyond the header", vec![1, 2, 4, 3], NOTHING),
        ("timestamps cut off", [&[3, 3, 3, 1], &stamp[..8]].concat(), scale(3)),
        ("a kind and no length", vec![1, 1, 1, 2], NOTHING),
        ("a kind at the fortieth byte", [&MSS_1000[..], &[1; 35], &[3]].concat(), mss(1000)),
        // A length that is not this option's skips it (MUST-68).
        ("MSS of length 3", [&[2, 3, 9], &[3, 3, 3][..]].concat(), scale(3)),
        ("MSS of length 5", vec![2, 5, 3, 0xe8, 0, 3, 3, 3], scale(3)),
        ("scale of length 2", [&[3, 2][..], &MSS_1000].concat(), mss(1000)),
        ("scale of length 4", [&[3, 4, 7, 7][..], &MSS_1000].concat(), mss(1000)),
        ("SACK permitted of length 3", [&[4, 3, 0][..], &MSS_1000].concat(), mss(1000)),
        ("timestamps of length 9", [&[8, 9, 0, 0, 0, 7, 0, 0, 0][..], &MSS_1000].concat(), mss(1000)),
        ("timestamps of length 12", [&[8, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0][..], &MSS_1000].concat(), mss(1000)),
        // Options begin on any octet (MUST-64).
        ("MSS at one", [&[1][..], &MSS_1000].concat(), mss(1000)),
        ("MSS at three", [&[1; 3][..], &MSS_1000].concat(), mss(1000)),
        ("timestamps at zero", stamp.to_vec(), timestamp(77)),
        ("timestamps at one", [&[1], &stamp[..]].concat(), timestamp(77)),
        ("all, each misaligned", [&[3, 3, 3, 4, 2], &stamp[..], &MSS_1000].concat(), all),
        // Unknown ones are skipped by their length (MUST-6): experiments, TCP-MD5, TCP-AO, MPTCP, fast open, kind 255.
        ("unknown of length 2", [&[0xfd, 2][..], &MSS_1000].concat(), mss(1000)),
        ("unknown of length 36", [&[0xfe, 36], &[2; 34][..], &MSS_1000].concat(), mss(1000)),
        ("unknown of length 40", [&[255, 40], &[3; 38][..]].concat(), NOTHING),
        ("MD5", [&[19, 18], &[2; 16][..], &MSS_1000].concat(), mss(1000)),
        ("AO", [&[29, 16], &[2; 14][..], &MSS_1000].concat(), mss(1000)),
        ("MPTCP", [&[30, 4, 0, 0x81][..], &MSS_1000].concat(), mss(1000)),
        ("fast open, asking for a cookie", [&[34, 2][..], &MSS_1000].concat(), mss(1000)),
        ("fast open, with a cookie", [&[34, 10, 1, 2, 3, 4, 5, 6, 7, 8][..], &MSS_1000].concat(), mss(1000)),
        ("SACK blocks, which no SYN has", [&[5, 10], &[7; 8][..], &MSS_1000].concat(), mss(1000)),
        // What stands behind the end is padding (MUST-69).
        ("the end, then garbage", [&MSS_1000[..], &[0, 3, 3, 3, 0xff, 0xff, 0xff, 0xff]].concat(), mss(1000)),
        ("the end at once, then options", [&[0], &everything[..]].concat(), NOTHING),
        ("forty ends", vec![0; 40], NOTHING),
        ("forty no-operations", vec![1; 40], NOTHING),
        // Of two the later counts, as in Linux.
        ("MSS twice", [MSS_1000, MSS_700].concat(), mss(700)),
        ("MSS, then MSS zero", [&MSS_1000[..], &[2, 4, 0, 0]].concat(), mss(1000)),
        ("scale twice", vec![3, 3, 3, 3, 3, 5], scale(5)),
        ("SACK permitted twice", vec![4, 2, 4, 2], Agreed { sack: true, ..NOTHING }),
        ("timestamps twice", [&stamp[..], &[8, 10, 0, 0, 0, 78, 0, 0, 0, 0]].concat(), timestamp(78)),
        (
            "timestamps thrice, and MSS and scale",
            { [&stamp[..], &stamp, &stamp, &MSS_1000, &[3, 3, 3, 1, 1, 1]].concat() },
            Agreed { sack: false, ..all },
        ),
        ("ten times MSS", [&MSS_1000.repeat(9)[..], &MSS_700].concat(), mss(700)),
        ("all, and unknown ones up to forty bytes", [&everything[..], &[0xfd, 21], &[9; 19]].concat(), all),
        // More than is allowed, and less than is sane.
        ("scale 14", vec![3, 3, 14], scale(14)),
        ("scale 15", vec![3, 3, 15], scale(14)),
        ("scale 255", vec![3, 3, 255], scale(14)),
        ("MSS 0", vec![2, 4, 0, 0], NOTHING),
        ("MSS 1", vec![2, 4, 0, 1], mss(48)),
        ("MSS 65535", vec![2, 4, 0xff, 0xff], mss(1460)),
    ]
}

/// The SYN-ACK answers what was offered and nothing else; then the sizes of what is sent tell the MSS, and the window its shift.
#[test]
fn on_a_syn() {
    for (what, bytes, wanted) in cases() {
        assert!(bytes.len() <= 40, "{what}");
        assert_eq!(agreed(V4, bytes), wanted, "{what}");
    }
    // Without the option the default is the family's.
    assert_eq!(agreed(Family::V6, vec![2, 0, 3, 0xe8]), Agreed { mss: 1220, ..NOTHING });
    assert_eq!(agreed(Family::V6, MSS_1000.to_vec()), mss(1000));
}

/// Opens with these options, and lets the engine write.
fn agreed(family: Family, options: Vec<u8>) -> Agreed {
    let mut server = Server::new(family, config());
    let mut peer = Peer::new(family, 1);
    // The window of a SYN is never scaled, the next one is.
    peer.window = 20_000;
    let (socket, syn_ack) = server.open(&mut peer, &[WireOption::Raw(options)]);
    let find = |wanted: fn(&WireOption) -> Option<u32>| syn_ack.options.iter().find_map(wanted);
    let timestamp = find(|option| if let WireOption::Timestamps(_, echo) = option { Some(*echo) } else { None });
    let scaled = find(|option| if let WireOption::WindowScale(ours) = option { Some(u32::from(*ours)) } else { None });
    let sack = find(|option| if let WireOption::SackPermitted = option { Some(1) } else { None });
    let row = server.row(&peer).expect("it stands");
    let shift = (row.send_window / u32::from(peer.window)).trailing_zeros() as u8;
    assert_eq!(u32::from(peer.window) << shift, row.send_window);
    let (_, sent) = server.write(socket, &[1; 4_000]);
    let longest = sent.iter().map(|segment| segment.payload.len()).max().expect("segments");
    let stamps = if timestamp.is_some() { 12 } else { 0 };
    assert!(scaled.is_some() || shift == 0);
    server.send(&WireSegment { seq: peer.seq, ..peer.says(Flags::RST, b"") });
    server.end();
    Agreed { mss: longest as u16 + stamps, scale: scaled.map(|_| shift), sack: sack.is_some(), timestamp }
}

/// The same bytes on a segment of a connection, with SACK agreed and without: whatever they are, the data is taken, once and whole,
/// and nothing of ours is thought lost or received.
#[test]
fn on_data() {
    let blocks: [(&str, Vec<u8>, Agreed); 5] = [
        ("SACK of length 2", vec![5, 2], NOTHING),
        ("SACK of length 9", [&[5, 9], &[9; 7][..]].concat(), NOTHING),
        ("SACK of what was never sent", [&[5, 34], &[0x5a; 32][..]].concat(), NOTHING),
        ("SACK that ends before it begins", vec![5, 10, 0, 0, 0, 9, 0, 0, 0, 1], NOTHING),
        ("SACK of the whole circle", vec![5, 10, 0, 0, 0, 0, 255, 255, 255, 255], NOTHING),
    ];
    for agreed in [&[][..], &[WireOption::SackPermitted]] {
        let mut bed = Bed::opened(V4, config(), agreed);
        for (what, bytes, _) in cases().into_iter().chain(blocks.clone()) {
            let options = vec![WireOption::Raw(bytes)];
            let data = WireSegment { options, ..bed.live.says(PSH_ACK, b"hello") };
            bed.live.seq = bed.live.seq.wrapping_add(5);
            let (fate, reply) = bed.judge(&frame(&data));
            assert_eq!((fate, bed.server.read(bed.socket)), (Fate::Delivered, b"hello".to_vec()), "{what}");
            assert!([Reply::Silence, Reply::Ack(bed.live.seq)].contains(&reply), "{what}: {reply:?}");
            bed.assert_undisturbed();
        }
        assert_eq!(bed.server.row(&bed.live).expect("it stands").retransmits, 0);
        bed.end();
    }
}

/// MSS, scale and SACK permitted are heard on a SYN only.
#[test]
fn options_of_a_syn_on_later_segments_are_ignored() {
    let mut bed = Bed::new(V4);
    let before = bed.server.row(&bed.live).expect("it stands");
    assert_eq!(before.mss, 1460);
    let options = vec![WireOption::Mss(100), WireOption::WindowScale(9), WireOption::SackPermitted];
    let ack = WireSegment { options, ..bed.live.says(Flags::ACK, b"") };
    assert_eq!(bed.judge(&frame(&ack)), (Fate::Consumed, Reply::Silence));
    let after = bed.server.row(&bed.live).expect("it stands");
    assert_eq!((after.mss, after.peer_scale, after.sack), (1460, 0, false));
    assert_eq!(after.send_window, before.send_window);
    let (_, sent) = bed.server.write(bed.socket, &[1; 1460]);
    assert_eq!(sent.iter().map(|segment| segment.payload.len()).collect::<Vec<_>>(), [1460]);
    bed.live.ack = bed.live.ack.wrapping_add(1460);
    bed.server.send(&bed.live.says(Flags::ACK, b""));
    bed.end();
}
