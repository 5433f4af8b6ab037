//! Frames that nobody should send: whatever comes, the door answers with a segment or an ICMP error that keeps its promises,
//! or with one reason, and never panics.

use super::frames::{self, INNER, LINK, OUTER, V4, V6, frame, icmp_v4, icmp_v6, packet};
use crate::wire::{ChecksumPolicy, HEADROOM, parse, parse_icmp_error, write_segment};
use crate::{DropReason, Flags, Link, reset};
use alloc::vec::Vec;
use proptest::prelude::*;

/// What everybody behind the door relies on.
fn check(frame: &[u8]) {
    if let Ok(error) = parse_icmp_error(frame) {
        let (local, remote) = (error.tuple.local, error.tuple.remote);
        assert!(local.port != 0 && remote.port != 0 && local.addr != remote.addr);
        assert_eq!(local.addr.is_ipv4(), remote.addr.is_ipv4());
        assert!(!local.addr.is_multicast() && !remote.addr.is_multicast());
        assert_eq!(parse(frame, ChecksumPolicy::AllowUnfinished), Err(DropReason::NotTcp), "no frame is both");
    }
    for policy in [ChecksumPolicy::Full, ChecksumPolicy::AllowUnfinished] {
        let Ok(segment) = parse(frame, policy) else { continue };
        assert_eq!(parse_icmp_error(frame), Err(DropReason::NotTcp), "no frame is both");
        let span = segment.payload;
        assert!(usize::from(span.start) + usize::from(span.len) <= frame.len());
        assert!(usize::from(span.start) >= 14 + 20 + 20);
        let (local, remote) = (segment.tuple.local, segment.tuple.remote);
        assert!(local.port != 0 && remote.port != 0 && local.addr != remote.addr);
        assert_eq!(local.addr.is_ipv4(), remote.addr.is_ipv4());
        assert!(!local.addr.is_multicast() && !remote.addr.is_multicast());
        assert!(segment.link.outer.is_some() || segment.link.inner.is_none());
        assert!(!segment.flags.is_empty());
        assert!(!segment.flags.contains(Flags::SYN) || !segment.flags.intersects(Flags::RST | Flags::FIN));
        if let Some(head) = reset::answer(&segment) {
            // Never larger than what it answers, Ethernet padding not counted.
            assert!(write_segment(&mut [0; HEADROOM], &segment.link, &head) <= frame.len());
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let tagged = Link { outer: Some(OUTER), inner: Some(INNER), ..LINK };
    let mut seeds = Vec::new();
    for link in [LINK, tagged] {
        for tuple in [V4, V6] {
            seeds.push(frame(&link, &frames::syn(tuple), &[]));
            seeds.push(frame(&link, &frames::data(tuple), b"GET / HTTP/1.1\r\n\r\n"));
        }
    }
    seeds.push(icmp_v4((3, 1, [0; 4]), &packet(V4)));
    seeds.push(icmp_v6((1, 3, [0; 4]), &packet(V6)));
    seeds
}

#[test]
fn every_truncation_and_every_single_byte() {
    for seed in seeds() {
        for len in 0..=seed.len() {
            check(&seed[..len]);
        }
        for at in 0..seed.len() {
            let mut frame = seed.clone();
            for value in 0..=u8::MAX {
                frame[at] = value;
                check(&frame);
            }
        }
    }
}

/// SplitMix64, so that a failing run is repeated by its number.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % limit as u64) as usize
    }
}

/// Truncations, bit flips, and pieces of one frame spliced into another.
#[test]
fn a_quarter_of_a_million_mutations() {
    let seeds = seeds();
    for number in 0..250_000 {
        let mut random = Random(number);
        let mut frame = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(frame.len() + 1);
            match random.below(4) {
                0 => frame.truncate(at.max(1)),
                1 => {
                    let other = &seeds[random.below(seeds.len())];
                    let from = random.below(other.len());
                    let to = from + random.below(other.len() - from + 1);
                    frame.splice(at..at, other[from..to].iter().copied());
                }
                _ => {
                    let at = at % frame.len();
                    frame[at] ^= 1 << random.below(8);
                }
            }
        }
        check(&frame);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Options of any bytes, behind checksums that are right, so that the walk is reached.
    #[test]
    fn any_options(bytes in proptest::collection::vec(any::<u8>(), 0..=40)) {
        let syn = crate::wire::options::parse_syn(&bytes);
        let data = crate::wire::options::parse_data(&bytes);
        prop_assert!(syn.mss.is_none_or(|mss| mss.get() >= 48));
        prop_assert!(syn.window_scale.is_none_or(|scale| scale.shift() <= 14));
        prop_assert!(data.sack.as_slice().len() <= 4);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }
}
