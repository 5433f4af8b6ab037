//! From the first SYN to the last ACK.

use crate::bed::{Bed, CLIENT_LINK, SERVER, SERVER_V6, client, config, small_budget};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use synward_engine::{ConnectConfig, EngineConfig, ListenConfig, Shutdown, SocketError};
use synward_proto::{Counter, Endpoint};

#[test]
fn a_connection_lives_and_ends_in_order() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let (near, far) = bed.connect(listener);

    assert_eq!(bed.client.sockets.send(near, b"hello"), Ok(5));
    bed.settle();
    assert_eq!(bed.server.read(far), Ok(Some(b"hello".to_vec())));
    assert_eq!(bed.server.sockets.send(far, b"world"), Ok(5));
    bed.settle();
    assert_eq!(bed.client.read(near), Ok(Some(b"world".to_vec())));

    bed.client.sockets.shutdown(near, Shutdown::Write).expect("shuts down");
    bed.settle();
    assert_eq!(bed.client.sockets.send(near, b"more"), Err(SocketError::BrokenPipe));
    assert_eq!(bed.server.read(far), Ok(None));
    assert_eq!(bed.server.sockets.send(far, b"last words"), Ok(10), "the other direction is still open");
    bed.server.sockets.close(far).expect("closes");
    bed.settle();
    assert_eq!(bed.client.read(near), Ok(Some(b"last words".to_vec())));
    assert_eq!(bed.client.read(near), Ok(None));
    bed.client.sockets.close(near).expect("closes");
    bed.settle();

    assert_eq!(bed.client.observer.snapshot().gauges.time_waits, 1, "the side that closed first waits");
    assert_eq!(bed.server.observer.snapshot().gauges.time_waits, 0);
    bed.advance(Duration::from_millis(59_900));
    assert_eq!(bed.client.observer.snapshot().gauges.time_waits, 1);
    bed.advance(Duration::from_millis(200));
    assert_eq!(bed.client.observer.snapshot().gauges.time_waits, 0);
    bed.assert_clean();
    assert_eq!([Counter::ActiveOpens, Counter::TW].map(|c| bed.client.count(c)), [1, 1]);
    assert_eq!([Counter::PassiveOpens, Counter::TW].map(|c| bed.server.count(c)), [1, 0]);
}

#[test]
fn a_megabyte_goes_each_way() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let (near, far) = bed.connect(listener);
    let wanted: Vec<u8> = (0..1_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut sent, mut echoed, mut got) = (0, Vec::new(), Vec::new());
    let mut turns = 0;
    while got.len() < wanted.len() {
        if sent < wanted.len()
            && let Ok(count) = bed.client.sockets.send(near, &wanted[sent..])
        {
            sent += count;
        }
        echoed.extend(bed.server.read(far).expect("reads").expect("no end"));
        if !echoed.is_empty()
            && let Ok(count) = bed.server.sockets.send(far, &echoed)
        {
            echoed.drain(..count);
        }
        got.extend(bed.client.read(near).expect("reads").expect("no end"));
        bed.advance(Duration::from_micros(100));
        turns += 1;
        assert!(turns < 100_000, "{} of {} bytes", got.len(), wanted.len());
    }
    assert!(got == wanted);
    for (host, socket) in [(&mut bed.client, near), (&mut bed.server, far)] {
        host.sockets.close(socket).expect("closes");
    }
    bed.advance(Duration::from_secs(61));
    bed.assert_clean();
    assert_eq!(bed.client.count(Counter::RetransSegs) + bed.server.count(Counter::RetransSegs), 0);
}

#[test]
fn ipv6_and_a_wildcard_listener() {
    let mut bed = Bed::new();
    let any = Endpoint::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), SERVER_V6.port);
    let any = bed.server.sockets.listen(ListenConfig::new(any)).expect("listens");
    let exact = bed.server.sockets.listen(ListenConfig::new(SERVER_V6)).expect("an exact address is another one");
    bed.settle();
    let other = Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)), SERVER_V6.port);
    let local = Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, 1)), 40_000);
    for (remote, listener) in [(SERVER_V6, exact), (other, any)] {
        let near = bed.client.sockets.connect(ConnectConfig::new(local, remote, CLIENT_LINK)).expect("connects");
        bed.settle();
        let accepted = bed.server.sockets.accept(listener).expect("accepted");
        assert_eq!((accepted.local, accepted.peer), (remote, local));
        assert_eq!(bed.client.sockets.send(near, b"six"), Ok(3));
        bed.settle();
        assert_eq!(bed.server.read(accepted.socket), Ok(Some(b"six".to_vec())));
    }
    let v4 = ConnectConfig::new(client(0), SERVER, CLIENT_LINK);
    let near = bed.client.sockets.connect(v4).expect("connects");
    bed.settle();
    assert_eq!(bed.client.read(near), Err(SocketError::ConnectionRefused), "an IPv6 wildcard takes no IPv4");
}

#[test]
fn close_with_unread_bytes_resets() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let (near, far) = bed.connect(listener);
    bed.client.sockets.send(near, b"unread").expect("sends");
    bed.settle();
    bed.server.sockets.close(far).expect("closes");
    bed.settle();
    assert_eq!(bed.client.read(near), Err(SocketError::ConnectionReset));
    assert_eq!(bed.client.read(near), Ok(None), "a failure is told once");
    assert_eq!(bed.client.sockets.send(near, b"x"), Err(SocketError::BrokenPipe));
    bed.client.sockets.close(near).expect("closes");
    bed.settle();
    bed.assert_clean();
    assert_eq!([Counter::TCPAbortOnClose, Counter::OutRsts].map(|c| bed.server.count(c)), [1, 1]);
}

#[test]
fn bytes_come_before_the_reset_that_followed_them() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let near = bed.dial();
    bed.settle();
    bed.client.sockets.send(near, b"last words").expect("sends");
    bed.settle();
    bed.client.sockets.abort(near).expect("aborts");
    bed.settle();
    let far = bed.server.sockets.accept(listener).expect("a connection that was reset can still be accepted").socket;
    bed.settle();
    assert_eq!(bed.server.read(far), Ok(Some(b"last words".to_vec())));
    assert_eq!(bed.server.read(far), Err(SocketError::ConnectionReset));
    assert_eq!(bed.server.read(far), Ok(None));
    bed.server.sockets.close(far).expect("closes");
    bed.settle();
    bed.assert_clean();
}

#[test]
fn nobody_listens() {
    let mut bed = Bed::new();
    let near = bed.dial();
    bed.settle();
    assert_eq!(bed.client.sockets.take_error(near), Ok(Some(SocketError::ConnectionRefused)));
    assert_eq!(bed.client.sockets.take_error(near), Ok(None));
    assert_eq!(bed.server.observer.drops(synward_proto::DropReason::NoListener), 1);
    bed.client.sockets.close(near).expect("closes");
    assert_eq!(bed.client.sockets.close(near), Err(SocketError::BadSocket));
    bed.assert_clean();
}

#[test]
fn names_and_arguments_are_checked() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let sockets = &mut bed.server.sockets;
    assert_eq!(sockets.listen(ListenConfig::new(SERVER)), Err(SocketError::AddressInUse));
    assert_eq!(sockets.listen(ListenConfig::new(Endpoint::new(SERVER.addr, 0))), Err(SocketError::Invalid));
    assert_eq!(sockets.accept(listener), Err(SocketError::WouldBlock));
    assert_eq!(sockets.unlisten(listener), Ok(()));
    assert_eq!(sockets.accept(listener), Err(SocketError::BadSocket));
    let again = sockets.listen(ListenConfig::new(SERVER)).expect("the address is free again");
    assert_ne!(again, listener);
    assert_eq!(sockets.unlisten(listener), Err(SocketError::BadSocket));
    bed.settle();

    let mixed = ConnectConfig::new(client(0), SERVER_V6, CLIENT_LINK);
    assert_eq!(bed.client.sockets.connect(mixed), Err(SocketError::Invalid));
    let config = ConnectConfig::new(client(0), SERVER, CLIENT_LINK);
    let first = bed.client.sockets.connect(config.clone()).expect("connects");
    let second = bed.client.sockets.connect(config).expect("refused later");
    bed.settle();
    assert_eq!(bed.client.sockets.send(second, b"x"), Err(SocketError::AddressInUse));
    assert_eq!(bed.client.sockets.send(first, b"x"), Ok(1));
}

#[test]
fn a_socket_closed_before_its_connect_was_heard_of_leaves_nothing() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    for abort in [false, true] {
        let near = bed.dial();
        let sockets = &mut bed.client.sockets;
        if abort { sockets.abort(near) } else { sockets.close(near) }.expect("given back");
        assert_eq!(bed.client.sockets.send(near, b"x"), Err(SocketError::BadSocket));
        bed.settle();
    }
    // The SYNs had left by then: what the server made of them has ended again.
    while let Ok(accepted) = bed.server.sockets.accept(listener) {
        bed.settle();
        assert!(matches!(bed.server.read(accepted.socket), Ok(None) | Err(SocketError::ConnectionReset)));
        bed.server.sockets.close(accepted.socket).expect("closes");
    }
    bed.advance(Duration::from_secs(200));
    bed.assert_clean();
}

#[test]
fn keepalive_and_nodelay_reach_the_connection() {
    use synward_proto::connection::{Keepalive, SocketOption};
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let (near, far) = bed.connect(listener);
    let second = Duration::from_secs(1);
    let keepalive = Keepalive { idle: 10 * second, interval: second, probes: 3 };
    bed.client.sockets.set(near, SocketOption::Keepalive(Some(keepalive))).expect("set");
    bed.client.sockets.set(near, SocketOption::NoDelay(true)).expect("set");
    bed.advance(30 * second);
    assert!(bed.client.count(Counter::TCPKeepAlive) >= 2);
    // Without Nagle both leave at once, though the first is not acknowledged.
    let before = bed.client.count(Counter::OutSegs);
    for _ in 0..2 {
        bed.client.sockets.send(near, b"x").expect("sends");
        bed.client.turn(bed.now);
    }
    assert_eq!(bed.client.count(Counter::OutSegs) - before, 2);
    bed.settle();
    assert_eq!(bed.server.read(far), Ok(Some(b"xx".to_vec())));
}

#[test]
fn shutdown_read_throws_away_what_comes() {
    let mut bed = Bed::with(
        config(1),
        EngineConfig { receive_buffer: 8192, receive_buffer_max: 8192, ..config(2) },
        small_budget(),
    );
    let listener = bed.listen(8);
    let (near, far) = bed.connect(listener);
    bed.server.sockets.shutdown(far, Shutdown::Read).expect("shuts down");
    assert_eq!(bed.server.read(far), Ok(None));
    let mut sent = 0;
    for _ in 0..1_000 {
        if let Ok(count) = bed.client.sockets.send(near, &[7; 4096]) {
            sent += count;
        }
        bed.advance(Duration::from_millis(1));
    }
    assert!(sent > 10 * 8192, "the window stays open: {sent}");
    bed.server.sockets.close(far).expect("closes");
    bed.client.sockets.close(near).expect("closes");
    bed.advance(Duration::from_secs(200));
    bed.assert_clean();
}
