//! Two connections of one shard whose bytes go from each to the other. The proxy's tests drive them through all weather; here is what
//! its worker may do to them meanwhile.

use crate::bed::{Bed, CLIENT_LINK, PORT, SERVER, client};
use std::time::Duration;
use synward_engine::{
    ConnectConfig, Delivery, ListenConfig, ListenerId, Shutdown, SocketError, SocketId, SpliceEnd, SpliceReport,
};
use synward_proto::connection::SocketOption;
use synward_proto::{Endpoint, Link};

const IDLE: Duration = Duration::from_secs(100);

/// A client, a front and a backend; client and backend are sockets of one engine.
struct Joined {
    bed: Bed,
    listener: ListenerId,
    backends: ListenerId,
}

/// The four sockets of a pair that is joined or about to be.
#[derive(Clone, Copy)]
struct Pair {
    client: SocketId,
    /// The front's towards the client.
    first: SocketId,
    /// The front's towards the backend.
    second: SocketId,
    backend: SocketId,
}

impl Joined {
    fn new() -> Self {
        let mut bed = Bed::new();
        let listener = bed.listen(64);
        let backend = Endpoint::new(client(0).addr, PORT);
        let backends = bed.client.sockets.listen(ListenConfig::new(backend)).expect("listens");
        bed.settle();
        Self { bed, listener, backends }
    }

    fn pair(&mut self) -> Pair {
        let bed = &mut self.bed;
        let client = bed.dial();
        bed.settle();
        let first = bed.server.sockets.accept_with(self.listener, Delivery::Held).expect("accepted").socket;
        let (second, backend) = self.backend();
        Pair { client, first, second, backend }
    }

    /// Another backend: the front's socket, and its own.
    fn backend(&mut self) -> (SocketId, SocketId) {
        let bed = &mut self.bed;
        let link = Link { local: CLIENT_LINK.remote, remote: CLIENT_LINK.local, ..Link::default() };
        let (local, remote) = (Endpoint::new(SERVER.addr, 0), Endpoint::new(crate::bed::client(0).addr, PORT));
        let config = ConnectConfig { delivery: Delivery::Held, ..ConnectConfig::new(local, remote, link) };
        let second = bed.server.sockets.connect(config).expect("connects");
        bed.settle();
        let backend = bed.client.sockets.accept(self.backends).expect("accepted").socket;
        bed.settle();
        (second, backend)
    }

    fn joined(&mut self) -> Pair {
        let pair = self.pair();
        self.bed.server.sockets.splice(pair.first, pair.second, IDLE).expect("both are established");
        self.bed.settle();
        pair
    }

    fn report(&mut self, first: SocketId) -> Option<SpliceReport> {
        self.bed.server.sockets.splice_report(first).expect("open")
    }

    fn assert_clean(&mut self) {
        self.bed.advance(Duration::from_secs(130));
        self.bed.assert_clean();
        let gauges = self.bed.server.observer.snapshot().gauges;
        assert_eq!((gauges.spliced, gauges.time_waits, gauges.source_ports_used), (0, 0, 0));
    }
}

#[test]
fn a_splice_tells_what_it_carried_and_how_it_ended() {
    let mut world = Joined::new();
    let pair = world.joined();
    let sockets = &mut world.bed.client.sockets;
    assert_eq!(sockets.send(pair.client, &[1; 3000]), Ok(3000));
    assert_eq!(sockets.send(pair.backend, &[2; 500]), Ok(500));
    for end in [pair.client, pair.backend] {
        sockets.shutdown(end, Shutdown::Write).expect("open");
    }
    world.bed.settle();
    assert_eq!(world.bed.client.read(pair.client), Ok(Some(vec![2; 500])));
    assert_eq!(world.bed.client.read(pair.backend), Ok(Some(vec![1; 3000])));
    for end in [pair.client, pair.backend] {
        assert_eq!(world.bed.client.read(end), Ok(None));
        world.bed.client.sockets.close(end).expect("open");
    }
    world.bed.settle();
    let wanted = SpliceReport { forward: 3000, backward: 500, end: SpliceEnd::Closed };
    assert_eq!(world.report(pair.first), Some(wanted));
    world.bed.server.sockets.close(pair.first).expect("open");
    world.assert_clean();
}

/// The client has sent everything and heard everything; the backend does not read.
fn half_over(world: &mut Joined, pair: Pair) {
    let mut left = 450_000;
    while left > 0 {
        let sockets = &mut world.bed.client.sockets;
        left -= sockets.send(pair.client, &[7; 50_000]).expect("it is taken in time");
        world.bed.advance(Duration::from_millis(500));
    }
    for end in [pair.client, pair.backend] {
        world.bed.client.sockets.shutdown(end, Shutdown::Write).expect("open");
    }
    world.bed.advance(Duration::from_secs(2));
    assert_eq!(world.bed.client.read(pair.client), Ok(None));
    assert_eq!(world.report(pair.first), None);
}

#[test]
fn aborting_ends_both_though_the_first_is_over_already() {
    let mut world = Joined::new();
    let pair = world.joined();
    half_over(&mut world, pair);
    world.bed.server.sockets.abort(pair.first).expect("open");
    world.bed.settle();
    let gauges = world.bed.server.observer.snapshot().gauges;
    assert_eq!((gauges.spliced, gauges.connections), (0, 0), "{gauges:?}");
    for end in [pair.client, pair.backend] {
        world.bed.client.sockets.abort(end).expect("open");
    }
    world.assert_clean();
}

#[test]
fn one_that_fails_before_the_splice_is_taken_up_ends_it() {
    for client_fails in [true, false] {
        let mut world = Joined::new();
        let pair = world.pair();
        let (failing, left) = if client_fails { (pair.client, pair.backend) } else { (pair.backend, pair.client) };
        world.bed.client.sockets.abort(failing).expect("open");
        // The shard hears of the reset, the worker does not yet.
        for _ in 0..5 {
            world.bed.client.turn(world.bed.now);
            world.bed.server.poll_loop.poll_once(world.bed.now);
        }
        world.bed.server.sockets.splice(pair.first, pair.second, IDLE).expect("as far as the worker knows");
        world.bed.settle();
        let error = SocketError::ConnectionReset;
        let end = if client_fails { SpliceEnd::First(error) } else { SpliceEnd::Unused(error) };
        assert_eq!(world.report(pair.first), Some(SpliceReport { forward: 0, backward: 0, end }));
        if !client_fails {
            world.bed.server.sockets.abort(pair.first).expect("it is back");
            world.bed.settle();
        }
        assert_eq!(world.bed.client.read(left), Err(SocketError::ConnectionReset));
        world.bed.client.sockets.close(left).expect("open");
        if client_fails {
            world.bed.server.sockets.close(pair.first).expect("open");
        }
        world.assert_clean();
    }
}

#[test]
fn the_report_says_which_of_the_two_failed() {
    for client_fails in [true, false] {
        let mut world = Joined::new();
        let pair = world.joined();
        let (failing, left) = if client_fails { (pair.client, pair.backend) } else { (pair.backend, pair.client) };
        assert_eq!(world.bed.client.sockets.send(failing, b"last words"), Ok(10));
        world.bed.settle();
        world.bed.client.sockets.abort(failing).expect("open");
        world.bed.settle();
        let error = SocketError::ConnectionReset;
        let wanted = match client_fails {
            true => SpliceReport { forward: 10, backward: 0, end: SpliceEnd::First(error) },
            false => SpliceReport { forward: 0, backward: 10, end: SpliceEnd::Second(error) },
        };
        assert_eq!(world.report(pair.first), Some(wanted));
        assert_eq!(world.bed.client.read(left), Ok(Some(b"last words".to_vec())));
        assert_eq!(world.bed.client.read(left), Err(error));
        world.bed.client.sockets.close(left).expect("open");
        world.bed.server.sockets.close(pair.first).expect("open");
        world.assert_clean();
    }
}

#[test]
fn an_idle_splice_is_reset_but_not_while_its_bytes_are_being_taken() {
    let mut world = Joined::new();
    let pair = world.joined();
    half_over(&mut world, pair);
    // Nothing goes across any more; the backend reads what the front has for it.
    for _ in 0..2 {
        let mut bytes = vec![0; 70_000];
        assert_eq!(world.bed.client.sockets.recv(pair.backend, &mut bytes), Ok(70_000));
        world.bed.advance(IDLE - Duration::from_secs(10));
        assert_eq!(world.report(pair.first), None);
    }
    // What was taken last was acknowledged a moment later.
    world.bed.advance(Duration::from_secs(11));
    assert_eq!(world.report(pair.first).map(|report| report.end), Some(SpliceEnd::Idle));
    let mut backend = Ok(Some(Vec::new()));
    while backend.as_ref().is_ok_and(Option::is_some) {
        backend = world.bed.client.read(pair.backend);
    }
    assert_eq!(backend, Err(SocketError::ConnectionReset));
    for end in [pair.client, pair.backend] {
        world.bed.client.sockets.close(end).expect("open");
    }
    world.bed.server.sockets.close(pair.first).expect("open");
    world.assert_clean();
}

/// Connections that fill a ring, and how many segments of one byte each sends: so many are acknowledged at once.
const TALKERS: u64 = 250;
const SEGMENTS: usize = 20;

/// Reports that find no room in the ring come when there is some.
#[test]
fn a_worker_that_stalls_hears_of_every_end() {
    let mut world = Joined::new();
    let pairs: Vec<_> = (0..20).map(|_| world.joined()).collect();
    let talkers: Vec<_> = (0..TALKERS).map(|_| world.bed.connect(world.listener)).collect();
    for &(talker, _) in &talkers {
        world.bed.client.sockets.set(talker, SocketOption::NoDelay(true)).expect("open");
    }
    let turn = |world: &mut Joined| {
        world.bed.client.turn(world.bed.now);
        world.bed.server.poll_loop.poll_once(world.bed.now);
    };
    // More events than the ring has room for, none of which the worker takes.
    for &(talker, _) in &talkers {
        for _ in 0..SEGMENTS {
            assert_eq!(world.bed.client.sockets.send(talker, &[1]), Ok(1));
            turn(&mut world);
        }
    }
    for pair in &pairs {
        for end in [pair.client, pair.backend] {
            world.bed.client.sockets.abort(end).expect("open");
        }
        turn(&mut world);
    }
    (0..3).for_each(|_| turn(&mut world));
    let gauges = world.bed.server.observer.snapshot().gauges;
    assert_eq!((gauges.spliced, gauges.connections), (0, TALKERS));
    assert!(pairs.iter().all(|pair| world.report(pair.first).is_none()));

    world.bed.settle();
    let mut bytes = [0; 2 * SEGMENTS];
    for &(_, heard) in &talkers {
        assert_eq!(world.bed.server.sockets.recv(heard, &mut bytes), Ok(SEGMENTS));
    }
    for pair in pairs {
        assert!(world.report(pair.first).is_some());
        world.bed.server.sockets.close(pair.first).expect("open");
    }
    for (talker, heard) in talkers {
        world.bed.server.sockets.abort(heard).expect("open");
        world.bed.client.sockets.abort(talker).expect("open");
        turn(&mut world);
    }
    world.assert_clean();
}

/// A backend that fails before it has heard or said anything costs its client nothing: another one can take its place.
#[test]
fn a_client_whose_backend_fails_unused_can_be_joined_to_another() {
    let mut world = Joined::new();
    let pair = world.joined();
    world.bed.client.sockets.abort(pair.backend).expect("open");
    world.bed.settle();
    let end = SpliceEnd::Unused(SocketError::ConnectionReset);
    assert_eq!(world.report(pair.first), Some(SpliceReport { forward: 0, backward: 0, end }));
    assert_eq!(world.report(pair.first), None, "told once");

    // What the client says meanwhile is held, and goes to the next.
    world.bed.client.sockets.send(pair.client, b"hello").expect("sends");
    world.bed.settle();
    assert_eq!(world.bed.server.sockets.recv(pair.first, &mut [0; 9]), Err(SocketError::WouldBlock));
    let (second, backend) = world.backend();
    world.bed.server.sockets.splice(pair.first, second, IDLE).expect("both are established");
    world.bed.settle();
    assert_eq!(world.bed.client.read(backend), Ok(Some(b"hello".to_vec())));
    for end in [pair.client, backend] {
        world.bed.client.sockets.close(end).expect("open");
    }
    world.bed.settle();
    world.bed.server.sockets.close(pair.first).expect("open");
    world.assert_clean();
}
