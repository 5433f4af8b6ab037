//! Sockstress: connections whose peers take nothing, to be held for ever at our expense.

use crate::bed::{Bed, PLAIN, Peer, config};
use std::time::Duration;
use synward_engine::{EngineConfig, SocketError, SocketId};
use synward_proto::{Counter, Flags};
use synward_testkit::heap;

/// A client that asks, gets an answer and leaves.
fn is_served(bed: &mut Bed, n: u32) -> bool {
    let (mut peer, socket) = bed.open(n, PLAIN);
    bed.send(&peer.says(Flags::ACK | Flags::PSH, b"question"));
    peer.seq = peer.seq.wrapping_add(8);
    let asked = bed.read(socket) == Ok(b"question".to_vec());
    bed.write(socket, &[1; 3_000]);
    let answer: usize = bed.taken().iter().map(|segment| segment.payload.len()).sum();
    peer.ack = peer.ack.wrapping_add(answer as u32);
    bed.send(&peer.acks());
    bed.abort(socket);
    bed.taken();
    asked && answer == 3_000
}

/// One that closes its window as soon as it is connected, and the application that has much to tell it.
fn stall(bed: &mut Bed, n: u32, bytes: &[u8]) -> (Peer, SocketId) {
    let (mut peer, socket) = bed.open(n, PLAIN);
    peer.window = 0;
    bed.send(&peer.acks());
    bed.write(socket, bytes);
    (peer, socket)
}

/// Ten thousand of them with full send queues: 1.3 GB, were there no limit to all of them together.
#[test]
fn ten_thousand_closed_windows_hold_a_bounded_amount() {
    const PEERS: u32 = 10_000;
    const LIMIT: u64 = 64 << 20;
    let config = EngineConfig { max_connections: 16_384, buffer_memory: LIMIT, send_buffer: 128 * 1024, ..config() };
    let mut bed = Bed::new(config);
    let (before, bytes) = (heap::live(), vec![7; 1 << 20]);
    let (mut served, mut most) = (0, 0);
    for n in 0..PEERS {
        stall(&mut bed, n, &bytes);
        most = most.max(bed.gauges().buffered);
        bed.now += Duration::from_millis(1);
        if n % 100 == 0 {
            served += u32::from(is_served(&mut bed, 1_000_000 + n));
        }
    }
    assert_eq!(served, PEERS / 100, "honest clients");
    assert!(most <= LIMIT, "{most} bytes held");
    // Beside the payload: some 1.5 KB for a connection and its socket.
    let grown = heap::live() - before;
    assert!(grown < LIMIT as isize + 1_500 * PEERS as isize, "{grown} bytes of heap");
    let evicted = bed.count(Counter::TCPAbortOnMemory);
    assert!(evicted >= u64::from(PEERS) - LIMIT / (128 * 1024), "{evicted} gave way");
    bed.end();
}

/// Who gives way is the one that has taken nothing for the longest, not one that reads slowly, and its application learns why.
#[test]
fn who_takes_nothing_gives_way_before_who_takes_little() {
    let config = EngineConfig { buffer_memory: 1 << 20, send_buffer: 128 * 1024, ..config() };
    let mut bed = Bed::new(config);
    let bytes = vec![7; 128 * 1024];
    let (slow, slow_socket) = stall(&mut bed, 0, &bytes);
    let (_, stalled_socket) = stall(&mut bed, 1, &bytes);
    let mut slow = Peer { window: 64_240, ..slow };
    let sent: usize = bed.send(&slow.acks()).iter().map(|segment| segment.payload.len()).sum();
    assert!(sent >= 1_000);
    for n in 2..20 {
        bed.now += Duration::from_millis(500);
        slow.ack = slow.ack.wrapping_add(10);
        bed.send(&slow.acks());
        stall(&mut bed, n, &bytes);
    }
    assert_eq!(bed.read(stalled_socket), Err(SocketError::NoBuffers));
    assert_eq!(bed.read(slow_socket), Ok(vec![]), "it takes ten bytes at a time, and stays");
    assert_eq!(bed.count(Counter::TCPAbortOnMemory), 12, "the limit is eight send buffers");
    bed.end();
}

/// A table full of stalled connections with a byte each: a new client gets the place of the one that has stalled the longest.
#[test]
fn a_table_full_of_stalled_connections_keeps_nobody_out() {
    let mut bed = Bed::new(EngineConfig { max_connections: 100, ..config() });
    let stalled: Vec<_> = (0..100).map(|n| stall(&mut bed, n, b"x")).collect();
    assert_eq!(bed.gauges().connections, 100);
    // Ten seconds' grace: until then the table is full, and says so.
    let mut refused = Peer::new(200);
    let answers = bed.send(&refused.syn(PLAIN));
    (refused.seq, refused.ack) = (answers[0].ack, answers[0].seq.wrapping_add(1));
    assert_eq!(bed.send(&refused.acks())[0].flags & Flags::RST, Flags::RST);
    // They go on answering probes with a closed window, as RFC 9293 wants it to be borne.
    for _ in 0..12 {
        bed.pass(Duration::from_secs(1));
        stalled.iter().for_each(|(peer, _)| drop(bed.send(&peer.acks())));
    }
    let mut left = stalled;
    for n in 0..50 {
        let mut peer = Peer::new(1_000 + n);
        bed.shake(&mut peer, PLAIN);
        // The application closes what has failed.
        left.retain(|&(_, socket)| {
            bed.read(socket) != Err(SocketError::NoBuffers) || bed.sockets().close(socket).is_err()
        });
        assert_eq!(left.len(), 99 - n as usize, "one has given way");
        let socket = bed.accept();
        assert!(bed.is_alive(&mut peer, socket), "client {n}");
    }
    assert_eq!(bed.count(Counter::TCPAbortOnMemory), 50);
    bed.end();
}
