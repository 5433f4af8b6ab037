//! Bytes arrive once and in order, both ends close, and nothing is left, whatever the link does.

use super::bench::{ms, mss};
use super::link::{Pair, Plan, Quality, config, sends};
use crate::connection::ConnectionConfig;
use core::time::Duration;
use proptest::prelude::*;

const LONG: Duration = Duration::from_secs(3600);

/// Runs both plans to the end.
fn complete(seed: u64, quality: Quality, plans: [Plan; 2], config: &ConnectionConfig) -> Pair {
    let mut pair = Pair::new(seed, quality, plans, config);
    pair.run(LONG, |_| false);
    for (index, end) in pair.ends.iter().enumerate() {
        let (own, other) = (plans[index], plans[1 - index]);
        assert!(!end.failed, "end {index} failed: {end:?}");
        assert_eq!((end.acked, end.received), (own.sends, other.sends), "end {index}");
        assert!(end.peer_closed);
    }
    assert!(pair.is_over(), "something is left: {pair:?}");
    pair
}

#[test]
fn a_perfect_link_needs_no_retransmission() {
    let pair = complete(1, Quality::PERFECT, [sends(300_000), sends(200_000)], &config());
    assert_eq!((pair.ends[0].retransmits, pair.ends[1].retransmits), (0, 0));
}

#[test]
fn eight_mebibytes_cross_the_wrap() {
    let pair = complete(2, Quality::PERFECT, [sends(8 << 20), sends(0)], &config());
    assert_eq!(pair.ends[0].retransmits, 0);
    let lossy = Quality { loss: 10, jitter: ms(1), ..Quality::PERFECT };
    complete(3, lossy, [sends(8 << 20), sends(8 << 20)], &config());
}

/// A reader that sleeps closes the window; what is in between waits and arrives.
#[test]
fn a_slow_reader_stalls_the_sender_and_loses_nothing() {
    let small = ConnectionConfig { receive_buffer: 8000, receive_buffer_max: 8000, ..config() };
    let slow = Plan { reads_after: ms(3000), ..sends(0) };
    for loss in [0, 50] {
        let quality = Quality { loss, ..Quality::PERFECT };
        complete(4 + loss, quality, [sends(100_000), slow], &small);
    }
}

#[test]
fn the_smallest_segments_work() {
    let tiny = ConnectionConfig { mss: mss(48), ..config() };
    complete(5, Quality { loss: 20, ..Quality::PERFECT }, [sends(20_000), sends(20_000)], &tiny);
}

#[test]
fn a_byte_at_a_time_works() {
    let dribble = Plan { chunk: 1, ..sends(3000) };
    for nagle in [true, false] {
        complete(
            6,
            Quality { loss: 20, ..Quality::PERFECT },
            [dribble, dribble],
            &ConnectionConfig { nagle, ..config() },
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn streams_survive_a_hostile_link(
        seed: u64,
        (loss, duplicates, jitter, delay) in (0u64..150, 0u64..150, 0u64..40, 1u64..60),
        (to_server, to_client) in (0u32..120_000, 0u32..120_000),
        (chunk, reads_after) in (1u32..20_000, prop_oneof![Just(0u64), 1u64..400]),
        (mtu_mss, buffer, nagle) in (48u16..1460, 2000u32..100_000, any::<bool>()),
    ) {
        let quality = Quality { delay: ms(delay), jitter: ms(jitter), loss, duplicates, rate: 100_000_000 };
        let plan = |bytes| Plan { sends: bytes, chunk, reads_after: ms(reads_after) };
        let config = ConnectionConfig { mss: mss(mtu_mss), receive_buffer: buffer, receive_buffer_max: buffer, nagle, ..config() };
        complete(seed, quality, [plan(to_server), plan(to_client)], &config);
    }
}
