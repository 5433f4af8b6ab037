//! The accept queue, its limit, and what becomes of those who wait in it.

use crate::bed::{Bed, CLIENT_LINK, SERVER, client, config, small_budget};
use std::time::Duration;
use synward_engine::{ConnectConfig, EngineConfig, ListenerRow, SocketError};
use synward_proto::{Counter, DropReason};

fn listener_row(bed: &mut Bed) -> ListenerRow {
    let mut listing = bed.server.observer.listeners().expect("asks");
    bed.settle();
    listing.try_next().expect("answered").expect("a slice").remove(0)
}

#[test]
fn a_backlog_of_two_holds_three_and_the_rest_complete_later() {
    let mut bed = Bed::new();
    let listener = bed.listen(2);
    let clients: Vec<_> = (0..6).map(|_| bed.dial()).collect();
    bed.settle();
    let row = listener_row(&mut bed);
    assert_eq!((row.accept_queue, row.accept_queue_limit), (3, 2));
    assert!(bed.server.count(Counter::ListenOverflows) > 0);
    assert_eq!(bed.server.count(Counter::ListenOverflows), bed.server.count(Counter::ListenDrops));

    let mut accepted = Vec::new();
    for _ in 0..100 {
        while let Ok(got) = bed.server.sockets.accept(listener) {
            accepted.push(got.socket);
        }
        // Clients that sent before they were accepted complete by retransmission.
        bed.advance(Duration::from_millis(500));
        if accepted.len() == clients.len() {
            break;
        }
        for &socket in &clients {
            let _ = bed.client.sockets.send(socket, b"x");
        }
    }
    assert_eq!(accepted.len(), clients.len(), "every client that waits gets in");
    bed.server.assert_outcomes_balanced();
}

#[test]
fn data_before_accept_is_acknowledged_and_kept() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let near = bed.dial();
    bed.settle();
    bed.client.sockets.send(near, b"early bird").expect("sends");
    bed.advance(Duration::from_millis(300));
    assert_eq!(bed.client.count(Counter::RetransSegs), 0, "it was acknowledged");
    let far = bed.server.sockets.accept(listener).expect("accepted").socket;
    bed.settle();
    assert_eq!(bed.server.read(far), Ok(Some(b"early bird".to_vec())));
}

#[test]
fn a_worker_that_stops_accepting_harms_nobody_it_has_accepted() {
    let mut bed = Bed::new();
    let listener = bed.listen(4);
    let (near, far) = bed.connect(listener);
    for _ in 0..50 {
        bed.dial();
    }
    for round in 0..100_u8 {
        bed.client.sockets.send(near, &[round]).expect("sends");
        bed.advance(Duration::from_millis(100));
        assert_eq!(bed.server.read(far), Ok(Some(vec![round])));
    }
    let overflows = bed.server.count(Counter::ListenOverflows);
    assert!(overflows >= 45, "{overflows}");
    let lost = [DropReason::SynAcceptQueueFull, DropReason::AckAcceptQueueFull].map(|r| bed.server.observer.drops(r));
    assert_eq!(lost.iter().sum::<u64>(), overflows, "every loss has its reason");
    assert!(bed.server.observer.snapshot().gauges.connections <= 6);
}

#[test]
fn unlisten_resets_those_who_wait() {
    let mut bed = Bed::new();
    let listener = bed.listen(200);
    let clients: Vec<_> = (0..150).map(|_| bed.dial()).collect();
    bed.advance(Duration::from_secs(2));
    assert_eq!(bed.server.observer.snapshot().gauges.connections, 150);
    bed.server.sockets.unlisten(listener).expect("ends");
    bed.settle();
    for socket in clients {
        assert_eq!(bed.client.read(socket), Err(SocketError::ConnectionReset));
        bed.client.sockets.close(socket).expect("closes");
    }
    bed.settle();
    bed.assert_clean();
}

#[test]
fn one_connection_more_than_the_table_holds_is_refused() {
    let mut bed = Bed::with(config(1), EngineConfig { max_connections: 4, ..config(2) }, small_budget());
    let listener = bed.listen(100);
    let clients: Vec<_> = (0..5).map(|_| bed.dial()).collect();
    bed.settle();
    assert_eq!(bed.server.observer.drops(DropReason::ConnectionTableFull), 1);
    assert_eq!(bed.server.count(Counter::ConnectionTableFull), 1);
    let refused: Vec<_> =
        clients.iter().filter(|&&socket| bed.client.read(socket) == Err(SocketError::ConnectionReset)).collect();
    assert_eq!(refused.len(), 1, "the one that found no room knows it");

    let accepted: Vec<_> = std::iter::from_fn(|| bed.server.sockets.accept(listener).ok()).collect();
    assert_eq!(accepted.len(), 4);
    assert_eq!(listener_row(&mut bed).accept_queue, 0, "the place of the refused one is free again");
    bed.server.sockets.abort(accepted[0].socket).expect("aborts");
    bed.settle();
    let near = bed.dial();
    bed.settle();
    bed.server.sockets.accept(listener).expect("there is room again");
    assert_eq!(bed.client.sockets.send(near, b"x"), Ok(1));
}

#[test]
fn a_worker_with_all_its_sockets_open_is_told_and_the_queue_waits() {
    let mut bed = Bed::with(config(1), EngineConfig { max_connections: 2, ..config(2) }, small_budget());
    let listener = bed.listen(8);
    let (first, second) = (bed.connect(listener), bed.connect(listener));
    // The shard forgets a connection that is over; the worker's socket stays until it is closed.
    bed.client.sockets.abort(first.0).expect("aborts");
    bed.settle();
    bed.dial();
    bed.settle();
    assert_eq!(bed.server.sockets.accept(listener), Err(SocketError::NoBuffers));
    bed.server.sockets.close(second.1).expect("closes");
    assert!(bed.server.sockets.accept(listener).is_ok());
}

#[test]
fn a_tuple_is_free_again_while_its_last_connection_still_waits() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let config = ConnectConfig::new(client(0), SERVER, CLIENT_LINK);
    let first = bed.client.sockets.connect(config.clone()).expect("connects");
    bed.settle();
    bed.client.sockets.abort(first).expect("aborts");
    bed.settle();
    let second = bed.client.sockets.connect(config).expect("connects");
    bed.settle();
    assert_eq!(bed.client.sockets.send(second, b"second"), Ok(6), "it is established");
    bed.settle();
    let accepted = [(); 2].map(|()| bed.server.sockets.accept(listener).expect("accepted").socket);
    bed.settle();
    assert_eq!(bed.server.read(accepted[0]), Err(SocketError::ConnectionReset));
    assert_eq!(bed.server.read(accepted[1]), Ok(Some(b"second".to_vec())));
}
