//! Turns are taken, and keys are changed.

use crate::bed::{Bed, client, config, small_budget};
use crate::peer::{Wire, read, syn};
use std::collections::VecDeque;
use std::time::Duration;
use synward_engine::{EngineConfig, ListenConfig};
use synward_nic::Port;
use synward_proto::Instant;

#[test]
fn a_bulk_sender_lets_others_have_their_turn() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let (bulk, bulk_far) = bed.connect(listener);
    let (small, _) = bed.connect(listener);
    // Until its congestion window holds far more than one turn's share.
    for _ in 0..100 {
        let _ = bed.client.sockets.send(bulk, &[1; 64 * 1024]);
        bed.advance(Duration::from_millis(5));
        while bed.server.read(bulk_far).is_ok_and(|bytes| bytes.is_some_and(|bytes| !bytes.is_empty())) {}
    }
    bed.settle();
    while bed.client.sockets.send(bulk, &[2; 64 * 1024]).is_ok() {}
    bed.client.sockets.send(small, b"me too").expect("sends");
    bed.client.poll_loop.poll_once(bed.now);

    let port = bed.server.poll_loop.port();
    let mut frames = VecDeque::new();
    port.rx_burst(&mut frames, usize::MAX);
    let ports: Vec<_> = frames.iter().map(|frame| read(frame.as_slice()).tuple.remote.port).collect();
    frames.drain(..).for_each(|frame| port.recycle(frame));
    let place = ports.iter().position(|&port| port == client(1).port).expect("it was sent");
    assert!(ports.len() > 40 && place == 16, "{place} of {}", ports.len());
}

#[test]
fn cookie_keys_change_when_their_life_is_over() {
    let sequence_numbers = |life| {
        let config = EngineConfig { syncookies: 2, cookie_key_life: Duration::from_secs(life), ..config(2) };
        let mut wire = Wire::new(config, small_budget());
        wire.host.sockets.listen(ListenConfig::new(crate::bed::SERVER)).expect("listens");
        wire.exchange([]);
        // The lives of 600 s are 38 ticks, 608 s.
        [607, 608].map(|seconds| {
            wire.now = Instant::from_millis(1_000 * seconds);
            read(&wire.exchange([syn(0, 1).as_slice()])[0]).seq
        })
    };
    let (short, long) = (sequence_numbers(600), sequence_numbers(100_000));
    assert_eq!(short[0], long[0]);
    assert_ne!(short[1], long[1]);
}
