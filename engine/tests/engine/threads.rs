//! A real thread turns the loop, and the worker blocks.

use crate::bed::{CLIENT_LINK, SERVER, client, config, small_budget};
use std::thread;
use std::time::{Duration, Instant};
use synward_engine::{
    BlockingSockets, ConnectConfig, Engine, EngineConfig, ListenConfig, RunError, SocketError, SocketId, Source, build,
};
use synward_nic::{MemoryPort, MemoryPortConfig};
use synward_proto::Endpoint;

type Loop = thread::JoinHandle<Result<(), RunError>>;

/// Two engines, each with a thread that turns it.
fn start(config_of: impl Fn(u64) -> EngineConfig) -> [(BlockingSockets, synward_engine::Stop, Loop); 2] {
    let port = MemoryPortConfig { budget: small_budget(), ..MemoryPortConfig::default() };
    let (near, far) = MemoryPort::pair(port, port).expect("memory for two ports");
    [(1, near), (2, far)].map(|(seed, port)| {
        let Engine { poll_loop, sockets, observer: _ } = build(config_of(seed), port).expect("builds");
        let stop = poll_loop.stopper();
        (BlockingSockets::new(sockets), stop, thread::spawn(move || poll_loop.run()))
    })
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(60))
}

/// Connects as soon as the listener is there: the shard hears of it in a turn of its own.
fn connect(near: &mut BlockingSockets) -> SocketId {
    let config = ConnectConfig::new(client(0), SERVER, CLIENT_LINK);
    loop {
        match near.connect(config.clone(), soon()) {
            Err(SocketError::ConnectionRefused) => thread::yield_now(),
            result => return result.expect("connects"),
        }
    }
}

/// Every message crosses two loops and two workers that sleep whenever they can: one lost wake-up and it never arrives.
#[test]
fn ping_pong_between_sleepers_loses_no_wake_up() {
    const ROUNDS: u32 = 5_000;
    // No spinning: every wait is a sleep.
    let [(mut near, near_stop, near_loop), (mut far, far_stop, far_loop)] =
        start(|seed| EngineConfig { spin: Duration::ZERO, ..config(seed) });
    let listener = far.core().listen(ListenConfig::new(SERVER)).expect("listens");
    let server = thread::spawn(move || {
        let socket = far.accept(listener, soon()).expect("accepts").socket;
        let mut bytes = [0; 64];
        loop {
            match far.recv(socket, &mut bytes, soon()).expect("a message within a minute") {
                0 => return far.core().close(socket),
                len => far.send_all(socket, &bytes[..len], soon()).expect("sends"),
            }
        }
    });
    let socket = connect(&mut near);
    let mut bytes = [0; 4];
    for round in 0..ROUNDS {
        near.send_all(socket, &round.to_le_bytes(), soon()).expect("sends");
        assert_eq!(near.recv(socket, &mut bytes, soon()), Ok(4), "in round {round}");
        assert_eq!(u32::from_le_bytes(bytes), round);
    }
    near.core().close(socket).expect("closes");
    server.join().expect("the server ends").expect("closes");
    for stop in [near_stop, far_stop] {
        stop.stop();
    }
    for running in [near_loop, far_loop] {
        running.join().expect("the loop ends").expect("in order");
    }
}

#[test]
fn deadlines_pass_and_stops_are_heard() {
    let [(mut near, near_stop, near_loop), (mut far, far_stop, far_loop)] = start(config);
    let listener = far.core().listen(ListenConfig::new(SERVER)).expect("listens");
    let now = Some(Instant::now());
    assert_eq!(far.accept(listener, now), Err(SocketError::TimedOut));
    let briefly = Instant::now() + Duration::from_millis(20);
    assert_eq!(far.accept(listener, Some(briefly)), Err(SocketError::TimedOut));
    assert!(Instant::now() >= briefly);

    let socket = connect(&mut near);
    assert_eq!(near.recv(socket, &mut [0], Some(Instant::now())), Err(SocketError::TimedOut));
    let remote = Endpoint::new(SERVER.addr, 9);
    let unused = ConnectConfig::new(client(0), remote, CLIENT_LINK);
    assert_eq!(near.connect(unused, soon()), Err(SocketError::ConnectionRefused));

    // A loop that ends wakes those who wait for it.
    let accepted = far.accept(listener, soon()).expect("accepts").socket;
    far_stop.stop();
    far_loop.join().expect("the loop ends").expect("in order");
    assert_eq!(far.recv(accepted, &mut [0], soon()), Err(SocketError::NetworkDown));
    assert_eq!(far.accept(listener, soon()), Err(SocketError::NetworkDown));
    // To the other end, its device is gone.
    assert!(matches!(near_loop.join().expect("the loop ends"), Err(RunError::DeviceGone)));
    assert!(!near_stop.is_stopped());
}

#[test]
fn a_wait_ends_for_readiness_and_for_unpark() {
    let [(mut near, near_stop, near_loop), (mut far, _far_stop, _far_loop)] = start(config);
    let listener = far.core().listen(ListenConfig::new(SERVER)).expect("listens");
    let unparker = far.unparker();
    unparker.unpark();
    far.wait(None);
    assert_eq!(far.core().next_ready(), None, "woken for nothing");

    connect(&mut near);
    let mut ready = None;
    while ready.is_none() {
        far.wait(Some(Duration::from_secs(60)));
        ready = far.core().next_ready().map(|(source, _)| source);
    }
    assert_eq!(ready, Some(Source::Listener(listener)));
    far.wait(None);
    assert!(far.core().next_ready().is_some(), "still ready, so no wait");

    let waiter = thread::spawn(move || {
        while far.core().accept(listener).is_ok() {}
        far.wait(None);
        while far.core().next_ready().is_some() {}
        far
    });
    unparker.unpark();
    drop(waiter.join().expect("the wait ends"));
    near_stop.stop();
    near_loop.join().expect("the loop ends").expect("in order");
}
