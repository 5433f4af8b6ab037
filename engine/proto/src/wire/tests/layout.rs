//! Bytes that must be exactly so: as Linux writes them, and what it makes of odd ones.

use super::frames::{self, INNER, LINK, OUTER, V4, V6, frame};
use crate::segment::{DataOptions, Mss, SackBlock, SackBlocks, SynOptions, Timestamps, WindowScale};
use crate::wire::options::{Encoded, parse_data, parse_syn};
use crate::wire::{ChecksumPolicy, HEADROOM, parse, write_segment};
use crate::{Head, Link, Marking, Options, Segment, SeqNum};
use alloc::vec::Vec;

const MSS_1460: [u8; 4] = [2, 4, 0x05, 0xb4];
const TIMESTAMPS: Timestamps = Timestamps { value: 0x0102_0304, echo: 0x0506_0708 };
const VALUES: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn encoded(options: Options) -> Vec<u8> {
    Encoded::new(&options).as_bytes().to_vec()
}

fn syn_options(mss: bool, sack: bool, timestamps: bool, scale: bool) -> Options {
    Options::Syn(SynOptions {
        mss: if mss { Mss::announced(1460) } else { None },
        window_scale: scale.then_some(WindowScale::clamped(7)),
        sack_permitted: sack,
        timestamps: timestamps.then_some(TIMESTAMPS),
    })
}

/// The order and padding of `tcp_options_write`.
#[test]
fn syn_options_stand_as_linux_writes_them() {
    let sack_and_timestamps = [&[4, 2, 8, 10][..], &VALUES].concat();
    let timestamps = [&[1, 1, 8, 10][..], &VALUES].concat();
    let scale = [1, 3, 3, 7];
    let sack = [1, 1, 4, 2];
    let table: [(Options, Vec<u8>); 7] = [
        (syn_options(true, true, true, true), [&MSS_1460[..], &sack_and_timestamps, &scale].concat()),
        (syn_options(true, false, true, true), [&MSS_1460[..], &timestamps, &scale].concat()),
        (syn_options(true, true, false, true), [&MSS_1460[..], &sack, &scale].concat()),
        (syn_options(true, false, false, true), [MSS_1460, scale].concat()),
        (syn_options(true, true, false, false), [MSS_1460, sack].concat()),
        (syn_options(true, false, false, false), MSS_1460.to_vec()),
        (syn_options(false, false, false, false), Vec::new()),
    ];
    for (options, wanted) in table {
        assert_eq!(encoded(options), wanted, "{options:?}");
    }
}

#[test]
fn data_options_stand_as_linux_writes_them() {
    let block = |n: u32| SackBlock { start: SeqNum(n), end: SeqNum(n + 1) };
    let bytes = |blocks: u32| -> Vec<u8> { (0..blocks).flat_map(|n| [n, n + 1]).flat_map(u32::to_be_bytes).collect() };
    for count in 0..=4 {
        let mut sack = SackBlocks::NONE;
        (0..count).for_each(|n| assert!(sack.push(block(n))));
        let with = |timestamps| encoded(Options::Data(DataOptions { timestamps, sack }));

        let header = |blocks: u32| [1, 1, 5, 2 + 8 * blocks as u8];
        let alone = if count == 0 { Vec::new() } else { [&header(count)[..], &bytes(count)].concat() };
        assert_eq!(with(None), alone);

        // "... can specify a maximum of 4 blocks. It is expected that SACK will often be used in conjunction with the
        // Timestamp option ...; thus, a maximum of 3 SACK blocks" (RFC 2018, section 3).
        let fit = count.min(3);
        let beside = if fit == 0 { Vec::new() } else { [&header(fit)[..], &bytes(fit)].concat() };
        assert_eq!(with(Some(TIMESTAMPS)), [&[1, 1, 8, 10][..], &VALUES, &beside].concat());
    }
}

#[test]
fn the_largest_headers_take_the_headroom_exactly() {
    let mut sack = SackBlocks::NONE;
    (0..4).for_each(|_| assert!(sack.push(SackBlock::default())));
    let options = Options::Data(DataOptions { timestamps: Some(TIMESTAMPS), sack });
    let head = Head { options, ..frames::data(V6) };
    let link = Link { outer: Some(OUTER), inner: Some(INNER), ..LINK };
    assert_eq!(write_segment(&mut [0; HEADROOM], &link, &head), HEADROOM);
}

/// A whole frame by hand, tags and all; its checksums were computed apart from this code.
#[test]
fn a_syn_byte_by_byte() {
    let link = Link { outer: Some(OUTER), inner: Some(INNER), ..LINK };
    #[rustfmt::skip]
    let wanted_v4 = [
        2, 0, 0, 0, 0, 2,  2, 0, 0, 0, 0, 1,
        0x88, 0xa8, 0x20, 0x64,  0x81, 0x00, 0x00, 0x07,  0x08, 0x00,
        0x45, 0, 0, 60,  0, 0, 0x40, 0,  64, 6, 0x4e, 0x85,  192, 0, 2, 1,  198, 51, 100, 2,
        0x9c, 0x40, 0, 80,  0, 0, 0x03, 0xe8,  0, 0, 0, 0,  0xa0, 0x02, 0xfa, 0xf0,  0x7b, 0xf9, 0, 0,
        2, 4, 0x05, 0xb4,  4, 2, 8, 10,  0x11, 0x22, 0x33, 0x44,  0, 0, 0, 0,  1, 3, 3, 7,
    ];
    assert_eq!(frame(&link, &frames::syn(V4), &[]), wanted_v4);
    #[rustfmt::skip]
    let wanted_v6 = [
        2, 0, 0, 0, 0, 2,  2, 0, 0, 0, 0, 1,  0x86, 0xdd,
        0x60, 0, 0, 0,  0, 40, 6, 64,
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1,
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2,
        0x9c, 0x40, 0, 80,  0, 0, 0x03, 0xe8,  0, 0, 0, 0,  0xa0, 0x02, 0xfa, 0xf0,  0x0c, 0xb9, 0, 0,
        2, 4, 0x05, 0xb4,  4, 2, 8, 10,  0x11, 0x22, 0x33, 0x44,  0, 0, 0, 0,  1, 3, 3, 7,
    ];
    assert_eq!(frame(&LINK, &frames::syn(V6), &[]), wanted_v6);
}

/// `tcp_parse_options` on a SYN.
#[test]
fn odd_syn_options_are_read_as_linux_reads_them() {
    let mss = |value| SynOptions { mss: Mss::announced(value), ..SynOptions::default() };
    let scale = |shift| SynOptions { window_scale: Some(WindowScale::clamped(shift)), ..SynOptions::default() };
    let nothing = SynOptions::default();
    let table: &[(&str, &[u8], SynOptions)] = &[
        ("none", &[], nothing),
        ("only padding", &[1, 1, 1, 1], nothing),
        ("end, then garbage", &[0, 2, 4, 5, 0xb4], nothing),
        ("mss", &MSS_1460, mss(1460)),
        ("unaligned", &[1, 2, 4, 5, 0xb4, 1, 1, 0], mss(1460)),
        ("unknown skipped", &[200, 4, 9, 9, 2, 4, 5, 0xb4], mss(1460)),
        ("unknown without body", &[200, 2, 2, 4, 5, 0xb4], mss(1460)),
        ("length zero ends it", &[2, 4, 5, 0xb4, 3, 0, 7, 0], mss(1460)),
        ("length one ends it", &[2, 4, 5, 0xb4, 3, 1, 7, 0], mss(1460)),
        ("overrun ends it", &[2, 4, 5, 0xb4, 3, 4, 7], mss(1460)),
        ("kind without length ends it", &[2, 4, 5, 0xb4, 3], mss(1460)),
        ("length zero first", &[2, 0, 5, 0xb4, 3, 3, 7], nothing),
        ("mss of three bytes", &[2, 3, 5, 3, 3, 7], scale(7)),
        ("mss of five bytes", &[2, 5, 5, 0xb4, 0, 3, 3, 7], scale(7)),
        ("mss zero", &[2, 4, 0, 0], nothing),
        ("mss one", &[2, 4, 0, 1], mss(48)),
        ("mss 47", &[2, 4, 0, 47], mss(48)),
        ("mss 65535", &[2, 4, 0xff, 0xff], mss(65535)),
        ("the later mss", &[2, 4, 5, 0xb4, 2, 4, 2, 0], mss(512)),
        ("a later mss of zero", &[2, 4, 5, 0xb4, 2, 4, 0, 0], mss(1460)),
        ("scale 14", &[3, 3, 14], scale(14)),
        ("scale 15 is 14", &[3, 3, 15], scale(14)),
        ("scale 255 is 14", &[3, 3, 255], scale(14)),
        ("the later scale", &[3, 3, 1, 3, 3, 2], scale(2)),
        ("scale of two bytes", &[3, 2, 3, 3, 5], scale(5)),
        ("sack permitted", &[4, 2], SynOptions { sack_permitted: true, ..nothing }),
        ("sack permitted of three bytes", &[4, 3, 0], nothing),
        ("sack blocks", &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2], nothing),
        ("timestamps of nine bytes", &[8, 9, 1, 2, 3, 4, 5, 6, 7], nothing),
    ];
    for (name, bytes, wanted) in table {
        assert_eq!(parse_syn(bytes), *wanted, "{name}");
    }
    let twice = [&[8, 10, 9, 9, 9, 9, 9, 9, 9, 9, 8, 10][..], &VALUES].concat();
    assert_eq!(parse_syn(&twice), SynOptions { timestamps: Some(TIMESTAMPS), ..nothing }, "the later timestamps");
}

/// `tcp_parse_options` and `tcp_sacktag_write_queue` on other segments.
#[test]
fn odd_data_options_are_read_as_linux_reads_them() {
    let nothing = DataOptions::default();
    let block = |start, end| SackBlock { start: SeqNum(start), end: SeqNum(end) };
    let sack = |blocks: &[SackBlock]| {
        let mut sack = SackBlocks::NONE;
        blocks.iter().for_each(|block| assert!(sack.push(*block)));
        DataOptions { sack, ..nothing }
    };
    let one = [5, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    let table: &[(&str, &[u8], DataOptions)] = &[
        ("mss, scale and sack permitted", &[2, 4, 5, 0xb4, 3, 3, 7, 4, 2], nothing),
        ("one block", &one, sack(&[block(1, 2)])),
        ("no block", &[5, 2], nothing),
        ("half a block", &[5, 6, 0, 0, 0, 1], nothing),
        ("a block and a half", &[5, 14, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3], nothing),
        ("the later blocks", &[5, 10, 0, 0, 0, 8, 0, 0, 0, 9, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2], sack(&[block(1, 2)])),
        ("overrun ends it", &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 8, 10, 1, 2, 3], sack(&[block(1, 2)])),
    ];
    for (name, bytes, wanted) in table {
        assert_eq!(parse_data(bytes), *wanted, "{name}");
    }
    let unpadded = [&one[..], &[8, 10], &VALUES].concat();
    assert_eq!(parse_data(&unpadded), DataOptions { timestamps: Some(TIMESTAMPS), ..sack(&[block(1, 2)]) });
}

/// What kernel 6.18 sent over a veth pair (captured with AF_PACKET), in both families: SYN-ACKs with SACK and
/// timestamps, with SACK alone, with timestamps alone, and a data segment.
const FROM_LINUX: [&str; 8] = [
    "02000000000102000000000208004500003c000040004006b6b8c0000202c000020100509d325544c00e19d6375ca012fe8884320000\
     020405b40402080ad8362b38647202fd0103030a",
    "020000000001020000000002080045000034000040004006b6c0c0000202c000020100509d3ab33d827b4d1e26c08012faf0842a0000\
     020405b4010104020103030a",
    "02000000000102000000000208004500003c000040004006b6b8c0000202c000020100509ac61ed539a71d2c44e3a012fe8884320000\
     020405b40101080a8a3d870c5afaee1a0103030a",
    "020000000002020000000001080045000034000040004006b6c0c0000201c00002029d32005019d637625544c0108010003f81fc0000\
     0101080a647203c5d8362c00",
    "02000000000102000000000286dd60041cdd0028064020010db800000000000000000000000220010db8000000000000000000000001\
     0050aa8079aa05a91d2c805fa012fb045ba30000020405a00402080a808fdb137bc31d270103030a",
    "02000000000102000000000286dd6004de8a0020064020010db800000000000000000000000220010db8000000000000000000000001\
     0050aa8a4fc47fd9fe5777a38012fd205b9b0000020405a0010104020103030a",
    "02000000000102000000000286dd600e23550028064020010db800000000000000000000000220010db8000000000000000000000001\
     0050e81a9cd6276b1f17d6aca012fb045ba30000020405a00101080ad8e99bb296fed3780103030a",
    "02000000000202000000000186dd60036ccf0025064020010db800000000000000000000000120010db8000000000000000000000002\
     aa8000501d2c805f79aa05aa801800405ba000000101080a7bc31d27808fdb1368656c6c6f",
];

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect()
}

/// Read and written again, a frame of the kernel's is the same, but for the checksum that it left unfinished and the
/// flow label.
#[test]
fn frames_of_linux_come_out_as_they_went_in() {
    for text in FROM_LINUX {
        let mut theirs = from_hex(text);
        let segment = parse(&theirs, ChecksumPolicy::AllowUnfinished).expect("a frame of the kernel's");
        let Segment { link, tuple, seq, ack, flags, window, ecn, options, payload, unfinished_checksum } = segment;
        let link = Link { local: link.remote, remote: link.local, ..link };
        let head =
            Head { tuple: tuple.reversed(), seq, ack, flags, window, options, marking: Marking::DEFAULT.with(ecn) };
        let ours = frame(&link, &head, payload.of(&theirs));
        let checksum_at = if tuple.is_ipv6() {
            theirs[15] &= 0xf0;
            theirs[16..18].fill(0);
            14 + 40 + 16
        } else {
            14 + 20 + 16
        };
        if unfinished_checksum {
            theirs[checksum_at..checksum_at + 2].copy_from_slice(&ours[checksum_at..checksum_at + 2]);
        }
        assert_eq!(ours, theirs, "{text}");
        assert!(parse(&ours, ChecksumPolicy::Full).is_ok());
    }
    let unfinished = |text: &&&str| parse(&from_hex(text), ChecksumPolicy::Full).is_err();
    // All but the one from a TIME_WAIT, which has no socket left to ask for offload.
    assert_eq!(FROM_LINUX.iter().filter(unfinished).count(), 7);
}
