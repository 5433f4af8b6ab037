//! Clocks that stall, step and wrap.

use crate::bed::{Bed, config, small_budget};
use std::time::Duration;
use synward_engine::EngineConfig;
use synward_proto::connection::Keepalive;
use synward_proto::{Counter, Instant};

#[test]
fn after_a_stall_timers_catch_up_in_bounded_work() {
    let second = Duration::from_secs(1);
    let keepalive = Some(Keepalive { idle: 100 * second, interval: 10 * second, probes: 9 });
    let mut bed = Bed::with(config(1), EngineConfig { keepalive, ..config(2) }, small_budget());
    let listener = bed.listen(1_000);
    let clients = bed.dial_many(900);
    let accepted: Vec<_> = std::iter::from_fn(|| bed.server.sockets.accept(listener).ok()).collect();
    assert_eq!((clients.len(), accepted.len()), (900, 900));
    bed.settle();

    // Everything stands still for an hour, then goes on.
    bed.now += 3600 * second;
    let (mut turns, mut timers) = (0, 0);
    loop {
        let turn = bed.server.poll_loop.poll_once(bed.now);
        assert!(turn.timers <= 256 && turn.sent <= 256, "{turn:?}");
        timers += turn.timers;
        turns += 1;
        if turn.is_idle() {
            break;
        }
    }
    assert!(timers >= 900 && turns >= 4, "{timers} timers in {turns} turns");
    assert_eq!(bed.server.count(Counter::TCPKeepAlive), 900, "one probe each, not one for every missed time");
    bed.settle();
    bed.advance(20 * second);
    assert_eq!(bed.server.observer.snapshot().gauges.connections, 900, "nobody is given up");
}

#[test]
fn a_stalled_sender_retransmits_once() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let (near, far) = bed.connect(listener);
    bed.client.sockets.send(near, b"in flight").expect("sends");
    bed.client.turn(bed.now);
    bed.now += Duration::from_secs(30);
    bed.settle();
    assert_eq!(bed.server.read(far), Ok(Some(b"in flight".to_vec())));
    assert!(bed.client.count(Counter::RetransSegs) <= 1);
}

#[test]
fn a_clock_that_steps_back_stops_nothing() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    bed.advance(Duration::from_secs(100));
    let (near, far) = bed.connect(listener);
    bed.now = Instant::from_millis(50_000);
    for round in 0..20_u8 {
        bed.client.sockets.send(near, &[round]).expect("sends");
        bed.advance(Duration::from_millis(50));
        assert_eq!(bed.server.read(far), Ok(Some(vec![round])));
    }
}

/// Timestamps wrap at 2³² ms, and turn their sign at 2³¹.
#[test]
fn connections_outlive_the_wrap_of_the_millisecond_clock() {
    for wrap in [1_u64 << 31, 1 << 32, 1 << 33] {
        let mut bed = Bed::new();
        bed.now = Instant::from_millis(wrap - 5_000);
        let listener = bed.listen(8);
        let (near, far) = bed.connect(listener);
        for round in 0..100_u8 {
            bed.client.sockets.send(near, &[round; 3_000]).expect("sends");
            bed.advance(Duration::from_millis(100));
            assert!(bed.server.read(far) == Ok(Some(vec![round; 3_000])), "round {round} around {wrap}");
        }
        assert_eq!(bed.client.count(Counter::RetransSegs), 0);
    }
}

#[test]
fn a_near_deadline_overtakes_a_far_one() {
    let keepalive = Some(Keepalive { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), probes: 9 });
    let mut bed = Bed::with(config(1), EngineConfig { keepalive, ..config(2) }, small_budget());
    let listener = bed.listen(8);
    let (_, far) = bed.connect(listener);
    bed.server.sockets.send(far, b"into the void").expect("sends");
    // Only the server: nobody answers.
    bed.server.turn(bed.now);
    assert!(bed.server.poll_loop.next_deadline(bed.now).expect("running").since(bed.now) <= Duration::from_secs(1));
    bed.now += Duration::from_secs(3);
    bed.server.turn(bed.now);
    assert!(bed.server.count(Counter::RetransSegs) > 0);
}
