//! What observers see.

use crate::bed::{Bed, client, config};
use std::time::Duration;
use synward_engine::{EngineConfig, ObserveError, Shutdown};
use synward_proto::{Counter, DropReason};

#[test]
fn a_snapshot_names_everything_and_is_one_document() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    bed.connect(listener);
    let snapshot = bed.server.observer.snapshot();
    assert_eq!(snapshot.counters.len(), Counter::ALL.len());
    assert_eq!(snapshot.drops.len(), DropReason::ALL.len());
    assert_eq!((snapshot.counters["PassiveOpens"], snapshot.modes.mode), (1, "memory"));
    assert_eq!((snapshot.gauges.connections, snapshot.gauges.connections_limit), (1, 1024));
    assert_eq!(snapshot.ledger["missing"], 0);
    assert_eq!(
        snapshot.ledger["total"],
        ["free", "receiving", "sending", "in_hand", "lent"].map(|l| snapshot.ledger[l]).iter().sum::<u64>()
    );
    assert!(snapshot.port.contains_key("fill_ring_empty"));
    assert!(snapshot.outcomes.received > 0 && snapshot.outcomes.is_balanced());
}

#[test]
fn a_listing_has_every_connection_once_and_comes_in_slices() {
    let mut bed = Bed::new();
    let listener = bed.listen(1_000);
    let clients = bed.dial_many(900);
    let first = bed.server.sockets.accept(listener).expect("accepted").socket;
    bed.server.sockets.shutdown(first, Shutdown::Write).expect("shuts down");
    bed.settle();
    bed.client.sockets.close(clients[0]).expect("closes");
    bed.settle();

    let mut listing = bed.server.observer.connections().expect("asks");
    let (mut all, mut slices, mut turns) = (Vec::new(), 0, 0);
    loop {
        // Only the shard: an answer must not depend on the worker.
        bed.server.poll_loop.poll_once(bed.now);
        turns += 1;
        match listing.try_next().expect("the loop lives") {
            Some(rows) => {
                assert!(rows.len() <= 64);
                slices += usize::from(!rows.is_empty());
                all.extend(rows);
            }
            None => break,
        }
        assert!(turns < 1_000);
    }
    assert!(slices >= 900 / 64, "{slices}");
    let mut remotes: Vec<_> = all.iter().map(|row| row.remote.clone()).collect();
    remotes.sort();
    let mut wanted: Vec<_> = (0..900).map(|n| client(n).to_string()).collect();
    wanted.sort();
    assert_eq!(remotes, wanted);
    assert_eq!(all.iter().filter(|row| row.state == "ESTAB").count(), 899);
    let waiting = all.iter().find(|row| row.state == "TIME-WAIT").expect("the one that was closed here first");
    assert_eq!((waiting.timer, waiting.timer_ms), (Some("timewait"), Some(60_000)));
}

#[test]
fn an_answer_that_nobody_takes_pauses_and_one_nobody_wants_is_dropped() {
    let mut bed = Bed::new();
    bed.listen(1_000);
    bed.dial_many(900);
    let mut listing = bed.server.observer.connections().expect("asks");
    let unwanted = bed.server.observer.connections().expect("asks");
    bed.settle();
    drop(unwanted);
    let mut rows = 0;
    while let Some(slice) = listing.try_next().expect("the loop lives") {
        rows += slice.len();
        bed.settle();
    }
    assert_eq!(rows, 900);
    let mut listeners = bed.server.observer.listeners().expect("asks");
    bed.settle();
    assert_eq!(listeners.try_next().expect("answered").expect("a slice").len(), 1);
    assert!(listeners.try_next().expect("answered").is_none());

    // One who asks and never listens is given up after a while.
    let mut deaf = bed.server.observer.connections().expect("asks");
    let mut patient = bed.server.observer.listeners().expect("asks");
    bed.advance(Duration::from_secs(9));
    assert_eq!(patient.try_next().expect("not yet").map(|rows| rows.len()), Some(0));
    bed.advance(Duration::from_secs(2));
    assert_eq!(patient.try_next().expect("answered").map(|rows| rows.len()), Some(1));
    let given_up = std::iter::from_fn(|| deaf.try_next().ok()).take(100).count();
    assert!(given_up < 100, "the answer ends before its end");
}

#[test]
fn questions_are_bounded_and_end_with_the_loop() {
    let bed = Bed::new();
    let observer = bed.server.observer.clone();
    let asked: Vec<_> = std::iter::from_fn(|| observer.listeners().ok()).take(1_000).collect();
    assert_eq!(asked.len(), 16);
    assert_eq!(observer.listeners().err(), Some(ObserveError::Busy));
    drop(bed);
    for listing in asked {
        assert_eq!(listing.collect(Duration::from_secs(60)).err(), Some(ObserveError::Ended));
    }
    let late = observer.connections().expect("there is room again");
    assert_eq!(late.collect(Duration::from_secs(60)).err(), Some(ObserveError::Ended));
}

/// The last that is heard of a connection waits for room in the ring, and nothing else happens in the turn that finds some.
#[test]
fn a_connection_whose_reader_hears_of_its_end_late_counts_no_longer() {
    let server = EngineConfig { ring_slots: 1, ..config(2) };
    let mut bed = Bed::with(config(1), server, synward_testkit::engine::small_budget());
    let listener = bed.listen(8);
    let (client, server) = bed.connect(listener);
    assert_eq!(bed.client.sockets.send(client, b"x"), Ok(1));
    bed.settle();
    bed.client.sockets.abort(client).expect("resets");
    bed.settle();
    assert_eq!(bed.server.observer.snapshot().gauges.connections, 0);
    bed.server.sockets.close(server).expect("closes");
}
