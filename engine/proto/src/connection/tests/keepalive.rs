//! Keepalive: RFC 9293, section 3.8.4.

use super::bench::*;
use crate::connection::{ConnectionConfig, Events, Failure, Keepalive, SocketOption};
use crate::{Counter, Flags};
use core::time::Duration;

const HOURS: Duration = Duration::from_secs(7200);
const INTERVAL: Duration = Duration::from_secs(75);

fn on() -> Bench {
    let keepalive = Some(Keepalive { idle: HOURS, interval: INTERVAL, probes: 9 });
    Bench::with(&ConnectionConfig { keepalive, ..config() }, negotiated())
}

/// MUST-25, MUST-26: probes after silence, and no single lost answer ends the connection.
#[test]
fn silence_is_probed_and_then_ends_the_connection() {
    let mut bench = on();
    assert_eq!(bench.tick_next().0, HOURS);
    for _ in 0..8 {
        let sent = bench.sent();
        assert_eq!((sent.len(), sent[0].seq, sent[0].len), (1, u32::MAX, 0));
        assert_eq!(bench.tick_next().0, INTERVAL);
    }
    assert_eq!(bench.sent().len(), 1);
    let (waited, last) = bench.tick_next();
    assert_eq!((waited, last.events), (INTERVAL, Events::FAILED | Events::CLOSED));
    let reset = Sent::of_head(&last.verdict.reply.expect("a reset"));
    assert_eq!((reset.seq, reset.flags), (0, Flags::RST | Flags::ACK));
    assert_eq!(bench.connection.failure(), Some(Failure::TimedOut));
    assert_eq!(bench.count_of(Counter::TCPKeepAlive), 9);
}

#[test]
fn an_answer_starts_the_silence_anew() {
    let mut bench = on();
    let _ = bench.tick_next();
    bench.sent();
    bench.wait(ms(20));
    let _ = bench.arrive(&ack(0, 0));
    let (waited, _) = bench.tick_next();
    assert_eq!((waited, bench.sent().len()), (INTERVAL - ms(20), 0), "the timer looks, and finds the answer");
    let (waited, _) = bench.tick_next();
    assert_eq!((waited, bench.sent().len()), (HOURS - INTERVAL + ms(20), 1));
}

#[test]
fn data_on_its_way_is_watched_by_its_own_timer() {
    let mut bench = on();
    bench.wait(HOURS - ms(100));
    bench.send(stream(0, 10));
    bench.sent();
    bench.wait(ms(100));
    let _ = bench.tick();
    assert_eq!((bench.sent().len(), bench.count_of(Counter::TCPKeepAlive)), (0, 0));
}

#[test]
fn it_is_off_by_default_and_switched_at_run_time() {
    let mut bench = Bench::established();
    assert_eq!(bench.connection.deadline(), None);
    let keepalive = Keepalive { idle: HOURS, interval: INTERVAL, probes: 1 };
    bench.connection.set(bench.now, SocketOption::Keepalive(Some(keepalive)));
    assert_eq!(bench.connection.deadline(), Some(bench.now + HOURS));
    bench.connection.set(bench.now, SocketOption::Keepalive(None));
    assert_eq!(bench.connection.deadline(), None);
}

/// The answer to a peer's probe.
#[test]
fn a_probe_of_the_peers_is_answered() {
    let mut bench = Bench::established();
    let reply = bench.reply_to(&ack(u32::MAX, 0));
    assert_eq!((reply.seq, reply.ack), (0, 0));
}
