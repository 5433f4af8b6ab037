//! Losing the worker, the loop, the device.

use crate::bed::{Bed, SERVER};
use std::time::Duration;
use synward_engine::{ListenConfig, RunError, SocketError};
use synward_nic::Port;
use synward_proto::{Counter, DropReason};

#[test]
fn a_worker_that_is_gone_leaves_nothing_behind() {
    let mut bed = Bed::new();
    let listener = bed.listen(64);
    let accepted: Vec<_> = (0..20).map(|_| bed.connect(listener)).collect();
    let waiting: Vec<_> = (0..20).map(|_| bed.dial()).collect();
    bed.settle();
    // What it asked for before it ended is still done.
    bed.server.sockets.send(accepted[0].1, b"testament").expect("sends");

    let (_, spare) = spare_sockets();
    drop(std::mem::replace(&mut bed.server.sockets, spare));
    bed.settle();
    assert_eq!(bed.client.read(accepted[0].0), Ok(Some(b"testament".to_vec())));
    for socket in accepted.into_iter().map(|(near, _)| near).chain(waiting) {
        assert_eq!(bed.client.read(socket), Err(SocketError::ConnectionReset));
        bed.client.sockets.close(socket).expect("closes");
    }
    let late = bed.dial();
    bed.settle();
    assert_eq!(bed.client.read(late), Err(SocketError::ConnectionRefused), "its listeners have ended, too");
    bed.client.sockets.close(late).expect("closes");
    bed.settle();
    bed.assert_clean();
}

/// Sockets whose loop has ended already, to put in the place of others.
fn spare_sockets() -> ((), synward_engine::SocketCore) {
    let bed = Bed::new();
    ((), bed.server.sockets)
}

#[test]
fn when_the_loop_ends_every_call_says_so() {
    let mut bed = Bed::new();
    let listener = bed.listen(64);
    let (near, far) = bed.connect(listener);
    bed.client.sockets.send(near, b"the last bytes").expect("sends");
    bed.settle();
    let Bed { client, server, .. } = bed;
    let mut sockets = server.sockets;
    drop(server.poll_loop);
    drop(client);

    sockets.poll();
    let mut bytes = [0; 64];
    assert_eq!(sockets.recv(far, &mut bytes), Ok(14), "what had come can still be read");
    assert_eq!(sockets.recv(far, &mut bytes), Err(SocketError::NetworkDown));
    assert_eq!(sockets.recv(far, &mut bytes), Ok(0));
    assert_eq!(sockets.send(far, b"x"), Err(SocketError::BrokenPipe));
    assert_eq!(sockets.accept(listener), Err(SocketError::NetworkDown));
    assert_eq!(sockets.listen(ListenConfig::new(SERVER)), Err(SocketError::NetworkDown));
    assert_eq!(sockets.close(far), Ok(()));
}

#[test]
fn a_link_that_is_down_for_a_while_costs_no_connection() {
    let mut bed = Bed::new();
    let listener = bed.listen(64);
    let (near, far) = bed.connect(listener);
    let faults = bed.client.poll_loop.port().faults();
    faults.link_down(true);
    bed.client.sockets.send(near, b"through the flap").expect("sends");
    bed.advance(Duration::from_secs(10));
    assert_eq!(bed.server.read(far), Ok(Some(Vec::new())));
    faults.link_down(false);
    bed.advance(Duration::from_secs(30));
    assert_eq!(bed.server.read(far), Ok(Some(b"through the flap".to_vec())));
    for host in [&mut bed.client, &mut bed.server] {
        host.assert_balanced();
    }
}

#[test]
fn a_device_that_is_gone_ends_the_loop_with_a_reason() {
    let mut bed = Bed::new();
    let listener = bed.listen(64);
    let (_, far) = bed.connect(listener);
    bed.server.poll_loop.port().faults().remove_device();
    assert!(matches!(bed.server.poll_loop.run(), Err(RunError::DeviceGone)));
    bed.server.sockets.poll();
    assert_eq!(bed.server.sockets.recv(far, &mut [0]), Err(SocketError::NetworkDown));
}

/// The tx ring takes nothing: what waits to be sent is bounded, and reception goes on.
#[test]
fn a_full_transmit_ring_holds_back_no_reception() {
    let mut bed = Bed::new();
    let listener = bed.listen(64);
    let (near, far) = bed.connect(listener);
    bed.server.poll_loop.port().faults().refuse_transmit(true);
    bed.client.sockets.send(near, b"in").expect("sends");
    // Each asks for an answer, and there are more of them than frames may wait.
    for _ in 0..600 {
        bed.dial();
    }
    bed.advance(Duration::from_millis(100));
    assert_eq!(bed.server.read(far), Ok(Some(b"in".to_vec())));
    assert!(bed.server.count(Counter::TxBacklogDrops) > 0);
    assert!(bed.server.poll_loop.port().ledger().in_hand <= 256);
    assert_eq!(bed.server.observer.drops(DropReason::SynQueueFull), 0);
    bed.server.poll_loop.port().faults().refuse_transmit(false);
    bed.advance(Duration::from_secs(10));
    assert_eq!(bed.server.poll_loop.port().ledger().in_hand, 0);
    assert_eq!(bed.server.sockets.send(far, b"out"), Ok(3));
    bed.settle();
    assert_eq!(bed.client.read(near), Ok(Some(b"out".to_vec())));
}
