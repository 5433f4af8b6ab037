//! A reader that does not read holds its share and no more.

use crate::bed::{Bed, config, small_budget};
use std::time::Duration;
use synward_engine::{ConnectionRow, EngineConfig, SocketId};
use synward_nic::{FrameBudget, Port};
use synward_proto::Counter;
use synward_proto::connection::SocketOption;

fn rows(bed: &mut Bed) -> Vec<ConnectionRow> {
    let mut listing = bed.server.observer.connections().expect("asks");
    let mut all = Vec::new();
    loop {
        bed.settle();
        match listing.try_next().expect("the loop lives") {
            Some(rows) => all.extend(rows),
            None => return all,
        }
    }
}

/// Sends until nothing more is taken for a while.
fn stuff(bed: &mut Bed, socket: SocketId) -> usize {
    let (mut sent, mut refused) = (0, 0);
    while refused < 50 {
        match bed.client.sockets.send(socket, &[9; 32 * 1024]) {
            Ok(count) => (sent, refused) = (sent + count, 0),
            Err(_) => refused += 1,
        }
        bed.advance(Duration::from_millis(10));
    }
    sent
}

#[test]
fn a_slow_reader_stalls_alone_and_holds_no_more_than_its_share() {
    let server =
        EngineConfig { frames_per_reader: 8, receive_buffer: 64 * 1024, receive_buffer_max: 64 * 1024, ..config(2) };
    let mut bed = Bed::with(
        EngineConfig { send_buffer: 64 * 1024, send_buffer_max: 64 * 1024, ..config(1) },
        server,
        small_budget(),
    );
    let listener = bed.listen(8);
    let (slow_near, slow_far) = bed.connect(listener);
    let (near, far) = bed.connect(listener);

    let sent = stuff(&mut bed, slow_near);
    // A window is told in units of 128 bytes.
    assert!((64 * 1024..=128 * 1024 + 128).contains(&sent), "one receive buffer and one send buffer: {sent}");
    assert!(bed.server.count(Counter::FramesCopiedOut) > 0);
    let held: Vec<_> = rows(&mut bed).iter().map(|row| row.frames_held).collect();
    assert_eq!(held.iter().max(), Some(&8), "{held:?}");
    assert_eq!(bed.server.poll_loop.port().ledger().lent, 8);

    bed.client.sockets.set(near, SocketOption::NoDelay(true)).expect("set");
    for round in 0..100_u8 {
        bed.client.sockets.send(near, &[round; 1000]).expect("sends");
        bed.advance(Duration::from_millis(1));
        assert!(bed.server.read(far) == Ok(Some(vec![round; 1000])), "the others flow");
    }

    let mut read = 0;
    while read < sent {
        read += bed.server.read(slow_far).expect("reads").expect("no end").len();
        bed.advance(Duration::from_millis(200));
    }
    assert_eq!(read, sent, "and the slow one loses nothing");
    assert_eq!(bed.server.poll_loop.port().ledger().lent, 0);
    assert_eq!(rows(&mut bed).iter().map(|row| row.frames_held).sum::<u32>(), 0);
}

#[test]
fn all_readers_together_stay_within_their_line_of_the_budget() {
    let budget = FrameBudget { readers: 20, ..small_budget() };
    let server =
        EngineConfig { frames_per_reader: 16, receive_buffer: 32 * 1024, receive_buffer_max: 32 * 1024, ..config(2) };
    let mut bed =
        Bed::with(EngineConfig { send_buffer: 64 * 1024, send_buffer_max: 64 * 1024, ..config(1) }, server, budget);
    let listener = bed.listen(64);
    let clients: Vec<_> = (0..10).map(|_| bed.dial()).collect();
    bed.settle();
    for &client in &clients {
        stuff(&mut bed, client);
        assert!(bed.server.poll_loop.port().ledger().lent <= 20);
    }
    assert_eq!(bed.server.observer.snapshot().gauges.frames_lent, 20);
    // Nobody accepted any of them, and still a newcomer is served.
    bed.dial();
    bed.settle();
    assert_eq!(bed.server.observer.snapshot().gauges.connections, 11);
    bed.server.sockets.unlisten(listener).expect("ends");
    bed.settle();
    assert_eq!(bed.server.poll_loop.port().ledger().lent, 0);
}

/// The worker takes no events at all: rings fill, news wait in the shard, and what is held is bounded by buffers.
#[test]
fn a_worker_that_stops_polling_stalls_its_connections_and_nothing_is_lost() {
    let server =
        EngineConfig { receive_buffer: 16 * 1024, receive_buffer_max: 16 * 1024, max_connections: 2_000, ..config(2) };
    let client = EngineConfig { max_connections: 2_000, ..config(1) };
    let mut bed = Bed::with(client, server, FrameBudget::default());
    let listener = bed.listen(2_000);
    let pairs: Vec<_> = (0..600).map(|_| bed.connect(listener)).collect();
    // Ten segments for each of 600 connections are more than the ring's 4,096 slots.
    for round in 0..10 {
        for &(near, _) in &pairs {
            assert_eq!(bed.client.sockets.send(near, &[round; 100]), Ok(100));
        }
        for _ in 0..40 {
            bed.now += Duration::from_millis(1);
            bed.client.turn(bed.now);
            bed.server.poll_loop.poll_once(bed.now);
        }
    }
    // Once the worker takes what is in the ring, the shard does not rest before it has told everything.
    bed.server.sockets.poll();
    while !bed.server.poll_loop.poll_once(bed.now).is_idle() {}
    bed.server.sockets.poll();
    let wanted: Vec<u8> = (0..10).flat_map(|round| [round; 100]).collect();
    for &(_, far) in &pairs {
        assert!(bed.server.read(far) == Ok(Some(wanted.clone())));
    }
}
