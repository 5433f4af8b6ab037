//! Limits on SYNs and on replies to the unproved: what the program keeps in its token buckets (bpf/limits.h).
//!
//! Invariant defended (by the `Pod` implementations): every byte of a value is initialised, and any bytes are a valid one.

use std::num::NonZeroU32;

/// So many a second on average, and so many at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rate {
    /// How many a second. The program counts whole nanoseconds from one to the next, rounded up.
    pub per_second: NonZeroU32,
    /// How many at once after a pause. It is at least what comes in 10 ms and one more: the program's clock moves in steps
    /// of up to so much.
    pub burst: NonZeroU32,
}

/// What guarded listeners are spared; `None` for no limit.
///
/// Sources share buckets, found by a keyed hash: 262,144 for sources, 16,384 for prefixes. A flood from random addresses
/// reaches all of them evenly, and a limit must leave room for its share of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// SYNs of one source (an address of IPv4, a /64 of IPv6), counted whether they are answered or handed over. Those beyond
    /// are [`DroppedSynRate`](crate::ShieldCounter::DroppedSynRate).
    pub syn_per_source: Option<Rate>,
    /// SYNs of one prefix (a /24, a /48), likewise. A SYN that either refuses counts for neither.
    pub syn_per_prefix: Option<Rate>,
    /// Cookies sent to one prefix (a /24, a /48) that have not come home: what a victim there sees of a flood in its name. SYNs
    /// beyond are [`DroppedReplyCeiling`](crate::ShieldCounter::DroppedReplyCeiling). A cookie that comes home no longer counts.
    pub replies_per_prefix: Option<Rate>,
    /// The same of all prefixes together. Each queue has an equal share of it, and a burst as long: where the device spreads
    /// sources unevenly, less is sent than that.
    pub replies: Option<Rate>,
}

/// `struct limit`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct Limit {
    interval: u64,
    tolerance: u64,
}

/// `struct limits`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct LimitsInForce([Limit; 4]);

const _: () = assert!(size_of::<LimitsInForce>() == 64);
// SAFETY: integers only, and the size asserted above leaves no padding.
unsafe impl aya::Pod for LimitsInForce {}

const SECOND: u64 = 1_000_000_000;
/// The longest step of the program's clock: a tick of a kernel with `HZ` = 100.
const LONGEST_TICK: u64 = 10_000_000;

impl Limit {
    /// The share of each of `shares` in a rate.
    fn share_of(rate: Option<Rate>, shares: u32) -> Self {
        let Some(Rate { per_second, burst }) = rate else { return Self { interval: 0, tolerance: 0 } };
        let interval = (SECOND * u64::from(shares)).div_ceil(per_second.get().into());
        let beside_the_first = u64::from(burst.get().div_ceil(shares) - 1);
        Self { interval, tolerance: (beside_the_first * interval).max(LONGEST_TICK) }
    }
}

impl LimitsInForce {
    /// For a program that serves `queues` queues.
    pub(crate) fn new(limits: &Limits, queues: u32) -> Self {
        let Limits { syn_per_source, syn_per_prefix, replies_per_prefix, replies } = *limits;
        let whole = |rate| Limit::share_of(rate, 1);
        Self([
            whole(syn_per_source),
            whole(syn_per_prefix),
            whole(replies_per_prefix),
            Limit::share_of(replies, queues.max(1)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{LONGEST_TICK, Limit, Limits, LimitsInForce, Rate, SECOND};

    fn rate(per_second: u32, burst: u32) -> Option<Rate> {
        let nonzero = |number| NonZeroU32::new(number).unwrap();
        Some(Rate { per_second: nonzero(per_second), burst: nonzero(burst) })
    }

    #[test]
    fn tokens_come_at_the_rate_and_lie_ready_up_to_the_burst() {
        for (rate, shares, interval, tolerance) in [
            (None, 1, 0, 0),
            (rate(1, 1), 1, SECOND, LONGEST_TICK),
            (rate(1, 2), 1, SECOND, SECOND),
            (rate(3, 4), 1, 333_333_334, 3 * 333_333_334),
            (rate(20_000, 1000), 1, 50_000, 999 * 50_000),
            (rate(20_000, 100), 1, 50_000, LONGEST_TICK),
            (rate(20_000, 1000), 4, 200_000, 249 * 200_000),
            (rate(10, 1), 4, 4 * SECOND / 10, LONGEST_TICK),
            (rate(u32::MAX, u32::MAX), 1, 1, u64::from(u32::MAX) - 1),
        ] {
            assert_eq!(Limit::share_of(rate, shares), Limit { interval, tolerance }, "{rate:?} in {shares}");
        }
    }

    #[test]
    fn there_are_as_many_buckets_as_is_said() {
        let header = include_str!("bpf/limits.h");
        for (bits, buckets) in [("SOURCE_BUCKET_BITS 18\n", 262_144), ("PREFIX_BUCKET_BITS 14\n", 16_384)] {
            assert!(header.contains(&format!("#define {bits}")));
            let exponent: u32 = bits.split_whitespace().last().unwrap().parse().unwrap();
            assert_eq!(1 << exponent, buckets);
        }
    }

    /// The clock and a tolerance make a moment of 64 bits, with room for a century of uptime.
    #[test]
    fn no_limit_reaches_beyond_the_clock() {
        let century = 100 * 366 * 24 * 3600 * SECOND;
        for (rate, shares) in [(rate(1, u32::MAX), 1), (rate(1, u32::MAX), u32::MAX), (rate(1, 2), u32::MAX - 1)] {
            let Limit { interval, tolerance } = Limit::share_of(rate, shares);
            assert!(century.checked_add(tolerance).and_then(|sum| sum.checked_add(2 * interval)).is_some());
        }
    }

    #[test]
    fn only_replies_in_all_are_shared_among_queues() {
        let all = rate(1000, 1000);
        let limits = Limits { syn_per_source: all, syn_per_prefix: all, replies_per_prefix: all, replies: all };
        let LimitsInForce(in_force) = LimitsInForce::new(&limits, 4);
        assert_eq!(in_force, [1, 1, 1, 4].map(|shares| Limit::share_of(all, shares)));
        assert_eq!(LimitsInForce::new(&limits, 0), LimitsInForce::new(&limits, 1));
    }
}
