//! Floods, crowds and pauses, at ten observations a second.

use super::{Cause, Change, Policy, Seen, Thresholds};
use proptest::prelude::*;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);
const CALM: Duration = Duration::from_secs(2);
const THRESHOLDS: Thresholds = Thresholds { raise_at: 50_000, calm: CALM, unproven: 16, cookies_tell: true };

/// A policy with a count of its changes.
struct Watched {
    policy: Policy,
    changes: Vec<Change>,
}

impl Watched {
    fn new(thresholds: Thresholds) -> Self {
        Self { policy: Policy::new(thresholds), changes: Vec::new() }
    }

    /// A policy that a flood has raised.
    fn raised() -> Self {
        let mut watched = Self::new(THRESHOLDS);
        watched.run(TICK, flood(1_000_000));
        assert_eq!(watched.changes, [Change::Raise(Cause::SynRate)]);
        watched
    }

    fn observe(&mut self, seen: Seen) {
        self.changes.extend(self.policy.observe(&seen));
    }

    /// The same again and again, for some time.
    fn run(&mut self, time: Duration, seen: Seen) {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.observe(seen);
        }
    }

    fn raised_times(&self) -> usize {
        self.changes.iter().filter(|change| matches!(change, Change::Raise(_))).count()
    }
}

/// One tick of so many SYNs a second, of which the program answers all and nobody proves anything.
fn flood(rate: u64) -> Seen {
    Seen { time: TICK, syns: rate / 10, cookies: rate / 10, proven: 0, engine_cookie: false }
}

/// One tick of so many real clients a second.
fn crowd(rate: u64) -> Seen {
    Seen { proven: rate / 10, ..flood(rate) }
}

const NOTHING: Seen = Seen { time: TICK, syns: 0, cookies: 0, proven: 0, engine_cookie: false };

#[test]
fn a_rate_at_the_bound_raises_and_one_below_does_not() {
    for (syns, raises) in [(4_999, false), (5_000, true), (5_001, true)] {
        let mut watched = Watched::new(THRESHOLDS);
        watched.observe(Seen { syns, ..NOTHING });
        assert_eq!(watched.policy.is_up(), raises, "{syns} SYNs in {TICK:?}");
        let wanted: &[Change] = if raises { &[Change::Raise(Cause::SynRate)] } else { &[] };
        assert_eq!(watched.changes, wanted);
    }
}

#[test]
fn a_cookie_of_the_engine_raises_unless_every_syn_gets_one() {
    let cookie = Seen { engine_cookie: true, ..NOTHING };
    let mut watched = Watched::new(THRESHOLDS);
    watched.observe(cookie);
    assert_eq!(watched.changes, [Change::Raise(Cause::SynQueueFull)]);
    let mut watched = Watched::new(Thresholds { cookies_tell: false, ..THRESHOLDS });
    watched.run(10 * CALM, cookie);
    assert_eq!(watched.changes, []);
}

#[test]
fn it_comes_down_after_the_calm_and_not_before() {
    let mut watched = Watched::raised();
    watched.run(CALM - TICK, NOTHING);
    assert!(watched.policy.is_up());
    watched.run(TICK, NOTHING);
    assert_eq!(watched.changes, [Change::Raise(Cause::SynRate), Change::Lower(CALM)]);
}

#[test]
fn at_the_threshold_it_does_not_flap() {
    // Just above and just below the rate that raises, in turn, and all of it forged.
    let mut watched = Watched::new(THRESHOLDS);
    for tick in 0..10_000_u64 {
        watched.observe(flood(if tick % 2 == 0 { 50_010 } else { 49_990 }));
    }
    assert_eq!(watched.changes, [Change::Raise(Cause::SynRate)]);
    // The same of real clients: they are above half of it.
    let mut watched = Watched::new(THRESHOLDS);
    for tick in 0..10_000_u64 {
        watched.observe(crowd(if tick % 2 == 0 { 50_010 } else { 49_990 }));
    }
    assert_eq!(watched.changes, [Change::Raise(Cause::SynRate)]);
}

#[test]
fn a_flood_keeps_it_up_however_slow() {
    // 16 a second is the bound, 15 are below it.
    for (per_window, stays) in [(32, true), (31, false)] {
        let mut watched = Watched::raised();
        watched.observe(Seen { syns: per_window, cookies: per_window, ..NOTHING });
        watched.run(CALM - TICK, NOTHING);
        assert_eq!(watched.policy.is_up(), stays, "{per_window} unproven cookies in {CALM:?}");
    }
}

#[test]
fn a_crowd_of_real_clients_brings_it_down() {
    // Half of what raises is the bound.
    for (rate, stays) in [(25_000, true), (24_990, false), (1_000, false)] {
        let mut watched = Watched::raised();
        watched.run(CALM, crowd(rate));
        assert_eq!(watched.policy.is_up(), stays, "{rate} real clients a second");
    }
}

#[test]
fn a_crowd_below_the_rate_does_not_raise_it() {
    let mut watched = Watched::new(THRESHOLDS);
    watched.run(30 * CALM, Seen { cookies: 0, proven: 0, ..crowd(49_990) });
    assert_eq!(watched.changes, []);
}

/// Cookies of one tick come back in the next, and their number varies.
#[test]
fn round_trips_do_not_look_like_a_flood() {
    let mut watched = Watched::raised();
    let mut last = 0;
    for tick in 0..20_u64 {
        let cookies = 100 + 40 * (tick % 3);
        watched.observe(Seen { syns: cookies, cookies, proven: last, ..NOTHING });
        // The last of the window are under way at its end; so many that they alone would be a flood are no calm.
        last = cookies;
    }
    assert!(watched.policy.is_up(), "140 are under way");
    for _ in 0..20 {
        watched.observe(Seen { syns: last, cookies: last, proven: last, ..NOTHING });
    }
    assert!(!watched.policy.is_up(), "as many came back as went");
}

#[test]
fn a_flood_that_pauses_raises_it_a_few_times_only() {
    // Each window finds one of its pulses once it is longer than the pause.
    for (pulse, pause) in [(1, 3), (5, 5), (1, 12), (10, 30)] {
        let (pulse, pause) = (Duration::from_secs(pulse), Duration::from_secs(pause));
        let mut watched = Watched::new(THRESHOLDS);
        for _ in 0..100 {
            watched.run(pulse, flood(200_000));
            watched.run(pause, NOTHING);
        }
        let raised = watched.raised_times();
        assert!(raised <= 5, "raised {raised} times by pulses of {pulse:?} every {pause:?}");
        assert!(watched.policy.is_up());
    }
}

#[test]
fn after_a_long_peace_the_calm_is_short_again() {
    let mut watched = Watched::raised();
    for _ in 0..10 {
        watched.run(16 * CALM, NOTHING);
        watched.run(TICK, flood(200_000));
    }
    watched.changes.clear();
    watched.run(20 * 16 * CALM, NOTHING);
    assert_eq!(watched.changes, [Change::Lower(16 * CALM)], "no more than 16 times as long");
    watched.changes.clear();
    watched.run(TICK, flood(200_000));
    watched.run(CALM, NOTHING);
    assert_eq!(watched.changes, [Change::Raise(Cause::SynRate), Change::Lower(CALM)]);
}

#[test]
fn the_least_bounds_can_still_be_calm() {
    let mut watched = Watched::new(Thresholds { raise_at: 1, unproven: Thresholds::unproven_for(1), ..THRESHOLDS });
    watched.observe(Seen { syns: 1, ..NOTHING });
    assert!(watched.policy.is_up());
    // Less than one a second: one in a window of two.
    watched.observe(Seen { syns: 1, cookies: 1, ..NOTHING });
    watched.run(CALM - TICK, NOTHING);
    assert!(!watched.policy.is_up());
}

#[test]
fn the_bound_of_unproven_cookies_follows_the_syn_queue() {
    for (limit, wanted) in [(0, 1), (1, 1), (127, 1), (128, 2), (1024, 16), (65_536, 1024)] {
        assert_eq!(Thresholds::unproven_for(limit), wanted, "{limit}");
    }
}

fn any_seen() -> impl Strategy<Value = Seen> {
    (1..10_000_u64, any::<u32>(), any::<u32>(), any::<u32>(), any::<bool>()).prop_map(
        |(milliseconds, syns, cookies, proven, engine_cookie)| Seen {
            time: Duration::from_millis(milliseconds),
            syns: syns.into(),
            cookies: cookies.into(),
            proven: proven.into(),
            engine_cookie,
        },
    )
}

proptest! {
    /// Changes alternate, what it says is what it is, and it is never down less than a window after it went up.
    #[test]
    fn it_goes_up_and_down_in_turn(all in prop::collection::vec(any_seen(), 0..300), unproven in 1..u32::MAX) {
        let mut policy = Policy::new(Thresholds { unproven, ..THRESHOLDS });
        let mut up_for = Duration::ZERO;
        for seen in all {
            let was = policy.is_up();
            up_for = if was { up_for + seen.time } else { Duration::ZERO };
            match policy.observe(&seen) {
                Some(Change::Raise(_)) => prop_assert!(!was && policy.is_up()),
                Some(Change::Lower(window)) => {
                    prop_assert!(was && !policy.is_up());
                    prop_assert!(window >= CALM && up_for >= window);
                }
                None => prop_assert_eq!(was, policy.is_up()),
            }
        }
    }
}
