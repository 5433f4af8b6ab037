//! SYNs that ask for odd segment sizes: CVE-2019-11479, and MSS 0 and 1.

use crate::bed::{Bed, config};
use std::time::Duration;
use synward_proto::{Counter, Flags};
use synward_testkit::wire::WireOption;

#[test]
fn every_announced_size_brings_sane_segments() {
    // What is announced, and the payload of a full segment: absent or zero is 536, below 48 is 48, and ours is the most.
    let cases: [(Option<u16>, usize); 11] = [
        (None, 536),
        (Some(0), 536),
        (Some(1), 48),
        (Some(8), 48),
        (Some(47), 48),
        (Some(48), 48),
        (Some(49), 49),
        (Some(215), 215),
        (Some(216), 216),
        (Some(1_461), 1_460),
        (Some(65_535), 1_460),
    ];
    let mut bed = Bed::new(config());
    for (n, (announced, payload)) in (0..).zip(cases) {
        let options: Vec<_> = announced.map(WireOption::Mss).into_iter().collect();
        let small = bed.count(Counter::SmallMss);
        let (mut peer, socket) = bed.open(n, &options);
        let room = bed.write(socket, &vec![3; 1 << 20]);
        let is_small = payload < 216;
        assert_eq!(bed.count(Counter::SmallMss) - small, u64::from(is_small), "MSS {announced:?}");
        assert_eq!(room <= 16 * 1024, is_small, "MSS {announced:?}: {room} bytes");
        let (mut got, mut frames, mut sent) = (0, 0, bed.taken());
        while got < 5_000 {
            assert!(!sent.is_empty(), "MSS {announced:?}: silent after {got} bytes");
            let sizes: Vec<usize> = sent.iter().map(|segment| segment.payload.len()).collect();
            assert!(sizes.iter().all(|size| (1..=payload).contains(size)), "MSS {announced:?}: {sizes:?}");
            let bytes: usize = sizes.iter().sum();
            (got, frames) = (got + bytes, frames + sizes.len());
            peer.ack = peer.ack.wrapping_add(bytes as u32);
            sent = bed.send(&peer.acks());
            sent.extend(bed.pass(Duration::from_millis(10)));
        }
        assert!(frames <= got / payload + 8, "MSS {announced:?}: {frames} segments for {got} bytes");
        bed.send(&peer.says(Flags::RST, b""));
    }
    bed.end();
}
