use super::{FloodGuard, Overflow, Syncookies};
use crate::syn_table::SynQueue;
use crate::{Counter, Counts, DropReason, Instant};

fn at(millis: u64) -> Instant {
    Instant::from_millis(1_000_000 + millis)
}

fn queue(len: u32, limit: u32) -> SynQueue {
    SynQueue { len, limit, young: len }
}

const BACKLOG: u32 = 2048;

/// What becomes of a SYN; each row was seen on Linux 6.18 too, apart from the
/// last quarter of a queue that peers of old may use.
#[test]
fn what_a_syn_gets() {
    use Counter::{ListenDrops, ListenOverflows, TCPReqQFullDoCookies, TCPReqQFullDrop};
    use DropReason::{SynAcceptQueueFull, SynQueueFull};
    use Syncookies::{Always, Auto, Never};
    let cookie = Err(Overflow::Cookie(Counts::of(&[TCPReqQFullDoCookies])));
    let drop = |reason, counters| Err(Overflow::Drop(reason, Counts::of(counters)));
    let queue_full = drop(SynQueueFull, &[TCPReqQFullDrop, ListenDrops]);
    let accept_full = drop(SynAcceptQueueFull, &[ListenOverflows, ListenDrops]);
    let both_full = drop(SynAcceptQueueFull, &[ListenOverflows, ListenDrops, TCPReqQFullDoCookies]);
    for (mode, (len, limit), accept_queue_full, want) in [
        // Full means more than the limit.
        (Auto, (8, 8), false, Ok(())),
        (Auto, (9, 8), false, cookie),
        (Never, (8, 8), false, Ok(())),
        (Never, (9, 8), false, queue_full),
        (Auto, (0, 0), false, Ok(())),
        (Auto, (1, 0), false, cookie),
        (Always, (0, 8), false, cookie),
        (Always, (9, 8), false, cookie),
        // No cookie is sent when the accept queue is full, whatever the SYN queue is.
        (Never, (0, 8), true, accept_full),
        (Never, (9, 8), true, queue_full),
        (Auto, (0, 8), true, accept_full),
        (Auto, (9, 8), true, both_full),
        (Always, (0, 8), true, both_full),
        // Without cookies, three quarters of `max_syn_backlog` are a limit too.
        (Never, (1536, 4096), false, Ok(())),
        (Never, (1537, 4096), false, drop(SynQueueFull, &[ListenDrops])),
        (Auto, (1537, 4096), false, Ok(())),
    ] {
        let mut guard = FloodGuard::new(mode, BACKLOG);
        let sends = guard.sends_cookies(at(0), queue(len, limit));
        let got = guard.admit(at(0), queue(len, limit), accept_queue_full);
        assert_eq!(got, want, "{mode:?} {len} of {limit}, accept queue full: {accept_queue_full}");
        assert_eq!(sends, want == cookie || want == both_full, "the forecast");
    }
}

#[test]
fn three_quarters_as_linux_computes_them() {
    // Seen on Linux 6.18 with a backlog of 100: eight lets seven in, for 8 - len < 8 / 4 refuses.
    for (max_syn_backlog, room) in [(8, 7), (4, 4), (1, 2), (0, 1), (2048, 1537), (u32::MAX, 3221225473)] {
        let mut guard = FloodGuard::new(Syncookies::Never, max_syn_backlog);
        assert_eq!(guard.admit(at(0), queue(room - 1, u32::MAX), false), Ok(()), "{max_syn_backlog}");
        assert!(guard.admit(at(0), queue(room, u32::MAX), false).is_err(), "{max_syn_backlog}");
    }
}

/// Sends a cookie if the guard wants one; whether it did.
fn syn(guard: &mut FloodGuard, millis: u64, len: u32) -> bool {
    match guard.admit(at(millis), queue(len, 640), false) {
        Ok(()) => false,
        Err(Overflow::Cookie(_)) => {
            guard.cookie_sent(at(millis));
            true
        }
        Err(Overflow::Drop(reason, _)) => panic!("{reason:?}"),
    }
}

#[test]
fn after_an_overflow_cookies_are_sent_until_a_second_was_calm() {
    let mut guard = FloodGuard::new(Syncookies::Auto, BACKLOG);
    assert!(!syn(&mut guard, 0, 640));
    assert!(syn(&mut guard, 1, 641));
    assert!(syn(&mut guard, 2, 640), "one free place is not calm");
    assert!(syn(&mut guard, 900, 100), "nor is an empty queue within the second");
    // Ten unfinished handshakes in a second are what 640 places can bear for 64 s; there were two.
    assert!(!syn(&mut guard, 1001, 100));
    assert!(!syn(&mut guard, 1002, 640));
}

#[test]
fn more_unfinished_handshakes_than_the_table_can_bear_are_not_calm() {
    let mut guard = FloodGuard::new(Syncookies::Auto, BACKLOG);
    assert!(syn(&mut guard, 0, 641));
    for second in 0..20 {
        let cookies = (0..11).filter(|n| syn(&mut guard, second * 1000 + 1 + n * 90, 0)).count();
        assert_eq!(cookies, 11, "in second {second}");
    }
    // The twentieth second ends with eleven too many; then come ten, and it is calm.
    assert!((0..10).all(|n| syn(&mut guard, 20_001 + n * 90, 0)));
    assert!(!syn(&mut guard, 21_001, 0));
}

#[test]
fn cookies_that_come_back_are_no_flood() {
    let mut guard = FloodGuard::new(Syncookies::Auto, BACKLOG);
    assert!(syn(&mut guard, 0, 641));
    for n in 0..900 {
        assert!(syn(&mut guard, 1 + n, 0));
        guard.cookie_returned();
    }
    assert!(!syn(&mut guard, 1001, 0));
}

#[test]
fn a_queue_more_than_half_full_is_not_calm() {
    let mut guard = FloodGuard::new(Syncookies::Auto, BACKLOG);
    assert!(syn(&mut guard, 0, 641));
    assert!((1..60).all(|second| syn(&mut guard, second * 2000, 321)));
    assert!(!syn(&mut guard, 120_000, 320));
}

#[test]
fn a_flood_that_ended_long_ago_is_over_at_the_first_syn() {
    let mut guard = FloodGuard::new(Syncookies::Auto, BACKLOG);
    assert!((0..100_000).all(|n| syn(&mut guard, n / 100, 641)));
    assert!(guard.sends_cookies(at(1_998), queue(0, 640)), "the last was sent at 999 ms");
    assert!(!guard.sends_cookies(at(1_999), queue(0, 640)), "as the operator sees it");
    assert!(!syn(&mut guard, 1_999, 0));
}

#[test]
fn cookies_are_accepted_while_they_may_be_alive() {
    let accepts = |mode, millis| {
        let mut guard = FloodGuard::new(mode, BACKLOG);
        guard.cookie_sent(at(0));
        guard.accepts_cookies(at(millis), || false)
    };
    assert!(accepts(Syncookies::Auto, 0) && accepts(Syncookies::Auto, 32_000));
    assert!(!accepts(Syncookies::Auto, 32_001));
    assert!(accepts(Syncookies::Always, 1_000_000), "another shard may have sent it");
    assert!(!accepts(Syncookies::Never, 0));
    let calm = FloodGuard::new(Syncookies::Auto, BACKLOG);
    assert!(!calm.accepts_cookies(at(0), || false), "none was sent");
    assert!(calm.accepts_cookies(at(0), || true), "it was sent elsewhere");
    assert!(!FloodGuard::new(Syncookies::Never, BACKLOG).accepts_cookies(at(0), || true));
}

#[test]
fn a_syn_that_the_table_cannot_hold_gets_what_an_overflow_gets() {
    let cookie = Overflow::Cookie(Counts::of(&[Counter::TCPReqQFullDoCookies]));
    assert_eq!(FloodGuard::new(Syncookies::Auto, BACKLOG).overflow(), cookie);
    assert_eq!(FloodGuard::new(Syncookies::Always, BACKLOG).overflow(), cookie);
    let counts = Counts::of(&[Counter::TCPReqQFullDrop, Counter::ListenDrops]);
    let dropped = Overflow::Drop(DropReason::SynQueueFull, counts);
    assert_eq!(FloodGuard::new(Syncookies::Never, BACKLOG).overflow(), dropped);
}
