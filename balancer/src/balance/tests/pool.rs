use super::{backend, connection, index};
use crate::balance::{BackendIndex, BackendStats, Health, Pool, TableSize, TriedSet};
use crate::config::{BackendConfig, Backoff, Balance, PoolConfig};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const MAGLEV: Balance = Balance::Maglev { table_size: TableSize::MIN };

/// A pool with a backend for each weight: the first backoff is 1 s, the longest 4 s.
fn config(balance: Balance, weights: &[u16]) -> PoolConfig {
    let backend = |(n, &weight): (u16, &u16)| BackendConfig { name: n.to_string(), address: backend(n), weight };
    PoolConfig {
        name: "web".into(),
        balance,
        connect_timeout: Duration::from_secs(1),
        backoff: Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(4) },
        backends: (0..).zip(weights).map(backend).collect(),
    }
}

fn both(weights: &[u16]) -> [Pool; 2] {
    let maglev = Balance::Maglev { table_size: TableSize::new(1021).unwrap() };
    [Balance::RoundRobin, maglev].map(|balance| Pool::new(&config(balance, weights)))
}

/// A moment, in milliseconds from a fixed one.
struct Clock(Instant);

impl Clock {
    fn at(&self, milliseconds: u64) -> Instant {
        self.0 + Duration::from_millis(milliseconds)
    }
}

/// What a connection that has tried nothing gets.
fn pick(pool: &mut Pool, now: Instant, n: u32) -> Option<usize> {
    pool.pick(now, &connection(n), &TriedSet::default()).map(BackendIndex::get)
}

/// Sends connections until each of the backends was met, and takes what they got as refused or not.
fn refuse(pool: &mut Pool, now: Instant, down: &[usize]) {
    for n in 0..200 {
        match pool.pick(now, &connection(n), &TriedSet::default()) {
            Some(backend) if down.contains(&backend.get()) => pool.refused(now, backend),
            Some(backend) => pool.succeeded(backend),
            None => {}
        }
    }
}

fn is_down(pool: &Pool, backend: usize) -> bool {
    pool.health(index(backend)) != Some(Health::Up)
}

#[test]
fn a_backend_that_fails_is_left_alone_and_then_tried_once() {
    for mut pool in both(&[1, 1, 1]) {
        let clock = Clock(Instant::now());
        refuse(&mut pool, clock.at(0), &[1]);
        assert!(is_down(&pool, 1) && !is_down(&pool, 0));
        for n in 0..100 {
            assert_ne!(pick(&mut pool, clock.at(999), n), Some(1));
        }
        let trials = (0..100).filter(|&n| pick(&mut pool, clock.at(1000), n) == Some(1)).count();
        assert_eq!(trials, 1);
        pool.succeeded(index(1));
        assert!(!is_down(&pool, 1));
        assert!((0..100).any(|n| pick(&mut pool, clock.at(1000), n) == Some(1)));
    }
}

#[test]
fn a_trial_that_fails_doubles_the_backoff_up_to_the_longest() {
    let clock = Clock(Instant::now());
    let mut pool = Pool::new(&config(Balance::RoundRobin, &[1]));
    let mut now = 0;
    for (failures, seconds) in (1..).zip([1, 2, 4, 4, 4]) {
        assert_eq!(pick(&mut pool, clock.at(now), 0), Some(0));
        pool.timed_out(clock.at(now), index(0));
        let until = clock.at(now + seconds * 1000);
        assert_eq!(pool.health(index(0)), Some(Health::Backoff { until, failures }));
        now += seconds * 1000;
    }
    assert_eq!(pick(&mut pool, clock.at(now), 0), Some(0));
    pool.succeeded(index(0));
    assert_eq!(pick(&mut pool, clock.at(now), 0), Some(0));
    pool.refused(clock.at(now), index(0));
    assert_eq!(pool.health(index(0)), Some(Health::Backoff { until: clock.at(now + 1000), failures: 1 }));
}

#[test]
fn a_trial_whose_client_went_away_is_left_to_the_next() {
    for mut pool in both(&[1, 1]) {
        let clock = Clock(Instant::now());
        refuse(&mut pool, clock.at(0), &[1]);
        for _ in 0..3 {
            assert!((0..100).any(|n| pick(&mut pool, clock.at(1000), n) == Some(1)));
            pool.abandoned(index(1));
        }
        assert!(is_down(&pool, 1));
    }
}

#[test]
fn what_was_tried_is_not_tried_again() {
    for mut pool in both(&[1, 2, 3, 0]) {
        let (now, mut tried, mut order) = (Instant::now(), TriedSet::default(), Vec::new());
        while let Some(backend) = pool.pick(now, &connection(5), &tried) {
            tried.insert(backend);
            order.push(backend.get());
        }
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2], "all but the draining one, each once");
    }
}

/// The one whose backoff ends first, for a connection that has tried nothing; one that has is turned away.
#[test]
fn where_all_are_down_a_new_connection_still_gets_one_try() {
    for mut pool in both(&[1, 1, 0]) {
        let clock = Clock(Instant::now());
        refuse(&mut pool, clock.at(0), &[1]);
        refuse(&mut pool, clock.at(500), &[0, 1]);
        assert_eq!(pick(&mut pool, clock.at(700), 1), Some(1));
        let mut tried = TriedSet::default();
        tried.insert(index(1));
        assert_eq!(pool.pick(clock.at(700), &connection(1), &tried), None);
        // It failed within its backoff: that says nothing new.
        let before = pool.health(index(1));
        pool.refused(clock.at(700), index(1));
        assert_eq!(pool.health(index(1)), before);
    }
}

#[test]
fn draining_backends_get_nothing_even_where_nothing_else_is_left() {
    for mut pool in both(&[0, 0]) {
        assert_eq!(pick(&mut pool, Instant::now(), 1), None);
    }
    assert_eq!(pick(&mut Pool::new(&config(MAGLEV, &[])), Instant::now(), 1), None);
}

#[test]
fn the_counts_are_kept_by_backend() {
    let clock = Clock(Instant::now());
    let mut pool = Pool::new(&config(Balance::RoundRobin, &[1, 1]));
    let turns: Vec<_> = (0..10).filter_map(|n| pick(&mut pool, clock.at(0), n)).collect();
    assert_eq!(turns, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    for _ in 0..3 {
        pool.succeeded(index(0));
    }
    pool.closed(index(0));
    pool.refused(clock.at(0), index(1));
    pool.timed_out(clock.at(0), index(1));
    pool.abandoned(index(1));
    let stats: Vec<BackendStats> = pool.stats().map(|(_, stats)| stats).collect();
    let zero = BackendStats::default();
    assert_eq!(stats[0], BackendStats { connecting: 2, connections: 2, total: 3, ..zero });
    assert_eq!(stats[1], BackendStats { connecting: 2, refused: 1, timed_out: 1, ..zero });
}

/// One step of a pool's life.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pick(u32),
    Wait(u64),
    /// What becomes of one of the connections that are under way: 0 succeeds, 1 is refused, 2 times out, 3 is abandoned.
    End(usize, u8),
    /// A connection that succeeded ends.
    Close(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<u32>().prop_map(Step::Pick),
        2 => (0..3000_u64).prop_map(Step::Wait),
        3 => (any::<usize>(), 0..4_u8).prop_map(|(which, how)| Step::End(which, how)),
        1 => any::<usize>().prop_map(Step::Close),
    ]
}

/// Takes one of them out, if there is any.
fn take(backends: &mut Vec<BackendIndex>, which: usize) -> Option<BackendIndex> {
    (!backends.is_empty()).then(|| backends.swap_remove(which % backends.len()))
}

proptest! {
    /// Whatever happens: nothing is sent to a draining backend; one in backoff or on trial gets something only where no other
    /// is usable; every connection is counted.
    #[test]
    fn a_life(weights in prop::collection::vec(0..4_u16, 1..6), maglev in any::<bool>(), steps in prop::collection::vec(step(), 0..200)) {
        let mut pool = Pool::new(&config(if maglev { MAGLEV } else { Balance::RoundRobin }, &weights));
        let (clock, mut now) = (Clock(Instant::now()), 0);
        let (mut connecting, mut connected, mut picks) = (Vec::new(), Vec::new(), 0);
        for step in steps {
            match step {
                Step::Wait(milliseconds) => now += milliseconds,
                Step::Pick(n) => {
                    let all = || (0..weights.len()).map(index);
                    let usable = |it: BackendIndex, pool: &Pool| {
                        weights[it.get()] > 0 && pool.health(it).is_some_and(|health| health.is_usable(clock.at(now)))
                    };
                    let any_usable = all().any(|it| usable(it, &pool));
                    let before: Vec<bool> = all().map(|it| usable(it, &pool)).collect();
                    let backend = pool.pick(clock.at(now), &connection(n), &TriedSet::default());
                    prop_assert_eq!(backend.is_some(), weights.iter().any(|&weight| weight > 0));
                    if let Some(backend) = backend {
                        prop_assert!(weights[backend.get()] > 0);
                        prop_assert!(before[backend.get()] || !any_usable);
                        connecting.push(backend);
                        picks += 1;
                    }
                }
                Step::End(which, how) => if let Some(backend) = take(&mut connecting, which) {
                    match how {
                        0 => { pool.succeeded(backend); connected.push(backend); }
                        1 => pool.refused(clock.at(now), backend),
                        2 => pool.timed_out(clock.at(now), backend),
                        _ => { pool.abandoned(backend); picks -= 1; }
                    }
                }
                Step::Close(which) => if let Some(backend) = take(&mut connected, which) {
                    pool.closed(backend);
                }
            }
        }
        let stats = |of: fn(&BackendStats) -> u64| pool.stats().map(|(_, stats)| of(&stats)).sum::<u64>();
        prop_assert_eq!(stats(|it| it.connecting), connecting.len() as u64);
        prop_assert_eq!(stats(|it| it.connections), connected.len() as u64);
        prop_assert_eq!(stats(|it| it.connecting + it.total + it.refused + it.timed_out), picks);
    }
}
