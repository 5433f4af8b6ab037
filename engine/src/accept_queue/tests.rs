//! Who gets a place, and who is told of it.

use super::{AcceptQueue, COOKIE_GRAIN, LIFE, SHIELD_GRAIN, Shared, Waiting};
use crate::Shield;
use crate::connections::ConnId;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::time::Duration;
use synward_proto::listener::AcceptRoom;
use synward_proto::segment::Mss;
use synward_proto::{Endpoint, Instant, Tuple};

const LOCAL: Endpoint = Endpoint::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 80);

fn waiting(index: u32) -> Waiting {
    Waiting { conn: ConnId { index, generation: 0 }, tuple: Tuple { local: LOCAL, remote: LOCAL }, send_space: 0 }
}

fn unshielded(limit: u32) -> Arc<Shared> {
    Shared::new(LOCAL, limit, Arc::new([]))
}

/// What a shield of one listener was told of its accept queue, and the seconds at which it sent a cookie, if ever.
#[derive(Debug, Default)]
struct Flag {
    full: AtomicBool,
    cookie: AtomicU64,
}

impl Shield for Flag {
    fn flow_opened(&self, _: &Tuple) {}
    fn flow_closed(&self, _: &Tuple) {}
    fn turned(&self, _: u32, _: Instant) {}
    fn set_listening(&self, _: &Endpoint, _: bool) {}
    fn set_mss(&self, _: Mss, _: Mss) {}

    fn set_accept_queue_full(&self, local: &Endpoint, full: bool) {
        assert_eq!(*local, LOCAL);
        // Whoever else is at it overtakes.
        std::thread::yield_now();
        self.full.store(full, Ordering::Relaxed);
    }

    fn last_cookie(&self, local: &Endpoint) -> Option<Instant> {
        assert_eq!(*local, LOCAL);
        let seconds = self.cookie.load(Ordering::Relaxed);
        (seconds > 0).then(|| Instant::from_millis(1_000 * seconds))
    }
}

/// A listener behind two shields.
fn shielded(limit: u32) -> (Arc<Shared>, [Arc<Flag>; 2]) {
    let flags = [(); 2].map(|()| Arc::<Flag>::default());
    let shields = flags.each_ref().map(|flag| Arc::clone(flag) as Arc<dyn Shield>);
    (Shared::new(LOCAL, limit, Arc::new(shields)), flags)
}

#[test]
fn shields_know_whether_the_queue_is_full() {
    let (shared, flags) = shielded(1);
    let told = || flags.each_ref().map(|flag| flag.full.load(Ordering::Relaxed));
    assert!(shared.reserve());
    assert_eq!(told(), [false; 2]);
    assert!(shared.reserve() && !shared.reserve());
    assert_eq!(told(), [true; 2]);
    shared.release();
    assert_eq!(told(), [false; 2]);
    assert!(shared.reserve());
    assert_eq!(told(), [true; 2]);
    shared.close();
    assert_eq!(told(), [false; 2], "the next listener there begins with room");
    shared.release();
    assert!(shared.reserve());
    assert_eq!(told(), [false; 2]);
}

/// A shield at which something else happens between what it is told for the first time and its taking note.
#[derive(Debug)]
struct Overtaken {
    flag: Flag,
    overtaken: AtomicBool,
    overtake: fn(&Shared),
    shared: OnceLock<Arc<Shared>>,
}

impl Shield for Overtaken {
    fn flow_opened(&self, _: &Tuple) {}
    fn flow_closed(&self, _: &Tuple) {}
    fn turned(&self, _: u32, _: Instant) {}
    fn set_listening(&self, _: &Endpoint, _: bool) {}
    fn set_mss(&self, _: Mss, _: Mss) {}

    fn set_accept_queue_full(&self, local: &Endpoint, full: bool) {
        if let Some(shared) = self.shared.get()
            && !self.overtaken.swap(true, Ordering::Relaxed)
        {
            (self.overtake)(shared);
        }
        self.flag.set_accept_queue_full(local, full);
    }

    fn last_cookie(&self, _: &Endpoint) -> Option<Instant> {
        None
    }
}

#[test]
fn who_is_overtaken_while_speaking_speaks_again() {
    type Act = fn(&Shared);
    let cases: [(Act, Act, bool); 3] = [
        (|shared| assert!(shared.reserve()), Shared::release, false),
        (Shared::release, |shared| assert!(shared.reserve()), true),
        (|shared| assert!(shared.reserve()), Shared::close, false),
    ];
    for (number, (act, overtake, full)) in cases.into_iter().enumerate() {
        let shield = Arc::new(Overtaken {
            flag: Flag::default(),
            overtaken: AtomicBool::new(false),
            overtake,
            shared: OnceLock::new(),
        });
        let shared = Shared::new(LOCAL, 1, Arc::new([Arc::clone(&shield) as _]));
        (0..1 + number % 2).for_each(|_| assert!(shared.reserve()));
        shield.shared.set(Arc::clone(&shared)).expect("set once");
        act(&shared);
        assert!(shield.overtaken.load(Ordering::Relaxed));
        assert_eq!(shield.flag.full.load(Ordering::Relaxed), full, "case {number}");
    }
}

#[test]
fn the_last_word_to_a_shield_is_true_however_many_speak() {
    let (shared, flags) = shielded(1);
    let mut ends = [0; 2];
    for round in 0..2_000 {
        let taken = 1 + round % 2;
        (0..taken).for_each(|_| assert!(shared.reserve()));
        let together = Barrier::new(3);
        std::thread::scope(|scope| {
            scope.spawn(|| (together.wait(), shared.reserve()));
            scope.spawn(|| (together.wait(), shared.release()));
            scope.spawn(|| (together.wait(), shared.reserve()));
        });
        let full = shared.is_full();
        ends[usize::from(full)] += 1;
        assert!(flags.iter().all(|flag| flag.full.load(Ordering::Relaxed) == full), "round {round}: {full}");
        (0..shared.len()).for_each(|_| shared.release());
    }
    assert!(ends.iter().all(|&count| count > 0), "{ends:?}");
}

#[test]
fn cookies_of_others_are_awaited_for_their_life_and_as_long_as_a_note_may_lag() {
    let at = |seconds, more: Duration| Instant::from_millis(1_000 * seconds) + more;
    let nanosecond = Duration::from_nanos(1);
    let shared = unshielded(1);
    assert!(!shared.awaits_cookies(at(100, Duration::ZERO)));
    shared.cookie_sent(at(100, Duration::ZERO));
    assert!(shared.awaits_cookies(at(100, LIFE + COOKIE_GRAIN)));
    assert!(!shared.awaits_cookies(at(100, LIFE + COOKIE_GRAIN + nanosecond)));

    let (shared, [first, second]) = shielded(1);
    assert!(!shared.awaits_cookies(at(100, Duration::ZERO)));
    for (flag, seconds) in [(first, 100), (second, 200)] {
        flag.cookie.store(seconds, Ordering::Relaxed);
        assert!(shared.awaits_cookies(at(seconds, Duration::ZERO)));
        assert!(shared.awaits_cookies(at(seconds, LIFE + SHIELD_GRAIN)));
        assert!(!shared.awaits_cookies(at(seconds, LIFE + SHIELD_GRAIN + nanosecond)));
    }
}

#[test]
fn full_is_more_than_the_limit() {
    for limit in [0, 1, 8] {
        let shared = unshielded(limit);
        let queue = AcceptQueue::new(shared.clone());
        for index in 0..=limit {
            assert!(!shared.is_full() && shared.reserve());
            assert!(queue.push(waiting(index)));
        }
        assert!(shared.is_full() && !shared.reserve());
        assert_eq!(shared.len(), limit + 1);
        assert_eq!(queue.pop(), Some(waiting(0)));
        assert!(!shared.is_full() && shared.reserve() && shared.is_full());
        shared.release();
        assert!(!shared.is_full());
    }
}

#[test]
fn shards_that_race_never_overbook() {
    let shared = unshielded(99);
    let queues = [AcceptQueue::new(shared.clone()), AcceptQueue::new(shared.clone())];
    let accepted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for shard in 0..4 {
            let (shared, queues, accepted) = (&shared, &queues, &accepted);
            scope.spawn(move || {
                for index in 0..10_000 {
                    let queue = &queues[(shard + index as usize) % 2];
                    if shared.reserve() {
                        assert!(queue.push(waiting(index)), "a reserved place is there");
                    } else if queue.pop().is_some() {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let waiting = queues.iter().map(AcceptQueue::len).sum::<usize>();
    assert!(waiting <= 100 && shared.len() as usize == waiting && accepted.load(Ordering::Relaxed) > 0);
}
