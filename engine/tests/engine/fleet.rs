//! Several shards and several workers: whoever receives a frame, its owner has the connection.

use crate::bed::{CLIENT_LINK, Host, PORT, SERVER, client, config, small_budget};
use std::collections::HashSet;
use synward_engine::{
    ConnectConfig, Delivery, EngineConfig, Fleet, Interface, ListenConfig, ListenerId, Queue, ShardId, SocketCore,
    SocketError, SocketId, Workers, build_fleet,
};
use synward_nic::{MemoryPort, MemoryPortConfig, MemoryWire, Port};
use synward_proto::{Counter, DropReason, Endpoint, Instant, Link};

/// An engine of many shards behind a switch that puts every frame on a queue of its own choice, and a client.
struct Bed {
    fleet: Fleet<MemoryPort>,
    wires: Vec<MemoryWire>,
    client: Host,
    client_wire: MemoryWire,
    now: Instant,
    random: u64,
    next_client: u32,
}

impl Bed {
    fn new(shards: usize, workers: Workers, config_of: impl Fn(u64) -> EngineConfig) -> Self {
        let port = || MemoryPort::with_wire(MemoryPortConfig { budget: small_budget(), ..MemoryPortConfig::default() });
        let (ports, wires): (Vec<_>, Vec<_>) = (0..shards).map(|_| port().expect("memory")).unzip();
        let queues = ports.into_iter().map(|port| Queue { port, core: None }).collect();
        let fleet = build_fleet(vec![Interface { config: config_of(2), rss: None, queues, shield: None }], workers)
            .expect("builds");
        let (port, client_wire) = port().expect("memory");
        let client = Host::new(config(1), port);
        Self { fleet, wires, client, client_wire, now: Instant::from_millis(1_000), random: 1, next_client: 0 }
    }

    /// One turn of everybody, but of no worker; true when something happened.
    fn turn(&mut self) -> bool {
        let mut busy = self.client.turn(self.now);
        for poll_loop in &mut self.fleet.poll_loops {
            busy |= !poll_loop.poll_once(self.now).is_idle();
        }
        while let Some(frame) = self.client_wire.take() {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let queue = (self.random >> 33) as usize % self.wires.len();
            assert!(self.wires[queue].push(&frame), "no queue of this bed is ever full");
            busy = true;
        }
        for wire in &mut self.wires {
            while let Some(frame) = wire.take() {
                assert!(self.client_wire.push(&frame));
                busy = true;
            }
        }
        busy
    }

    fn settle(&mut self) {
        for _ in 0..100_000 {
            let busy = self.turn();
            let heard: usize = self.fleet.workers.iter_mut().map(SocketCore::poll).sum();
            if !busy && heard == 0 {
                return;
            }
        }
        panic!("never comes to rest");
    }

    fn listen(&mut self, backlog: u32) -> Vec<ListenerId> {
        let config = ListenConfig { backlog, shared: true, ..ListenConfig::new(SERVER) };
        let listeners = self.fleet.workers.iter_mut().map(|worker| worker.listen(config.clone()).expect("listens"));
        let listeners = listeners.collect();
        self.settle();
        listeners
    }

    fn dial(&mut self) -> SocketId {
        let local = client(self.next_client);
        self.next_client += 1;
        self.client.sockets.connect(ConnectConfig::new(local, SERVER, CLIENT_LINK)).expect("connects")
    }

    /// Everything that a worker can accept.
    fn accept_all(&mut self, worker: usize, listener: ListenerId) -> Vec<SocketId> {
        let core = &mut self.fleet.workers[worker];
        std::iter::from_fn(|| core.accept(listener).ok()).map(|accepted| accepted.socket).collect()
    }

    fn count(&self, counter: Counter) -> u64 {
        self.fleet.observer.counter(counter)
    }

    fn assert_balanced(&mut self) {
        for poll_loop in &mut self.fleet.poll_loops {
            let port = poll_loop.port();
            port.reclaim();
            let ledger = port.ledger();
            assert!(ledger.is_balanced() && ledger.lent == 0 && ledger.in_hand == 0, "{ledger:?}");
        }
        self.turn();
        let snapshot = self.fleet.observer.snapshot();
        assert!(snapshot.outcomes.is_balanced(), "{:?}", snapshot.outcomes);
        assert_eq!(snapshot.gauges.frames_lent, 0, "frames that came home are shown to be home");
        self.client.assert_balanced();
    }
}

#[test]
fn connections_are_their_owners_whatever_queue_their_frames_arrive_on() {
    const CONNECTIONS: usize = 400;
    let mut bed = Bed::new(4, Workers::Threads(1), config);
    let listener = bed.listen(4096)[0];
    let mut clients = Vec::new();
    while clients.len() < CONNECTIONS {
        clients.extend([bed.dial(), bed.dial(), bed.dial(), bed.dial()]);
        bed.settle();
    }
    let served = bed.accept_all(0, listener);
    assert_eq!(served.len(), CONNECTIONS);
    bed.settle();
    let per_shard: Vec<_> = bed.fleet.observer.snapshots().map(|shard| shard.gauges.connections).collect();
    assert!(per_shard.iter().all(|&connections| connections > 60), "{per_shard:?}");
    assert_eq!(per_shard.iter().sum::<u64>(), CONNECTIONS as u64);

    for (number, &socket) in clients.iter().enumerate() {
        let message = [number as u8; 100];
        assert_eq!(bed.client.sockets.send(socket, &message), Ok(100));
        bed.settle();
    }
    for &socket in &served {
        let core = &mut bed.fleet.workers[0];
        let mut bytes = [0; 200];
        assert_eq!(core.recv(socket, &mut bytes), Ok(100));
        assert_eq!(core.send(socket, &bytes[..100]), Ok(100));
        bed.settle();
    }
    for (number, &socket) in clients.iter().enumerate() {
        assert_eq!(bed.client.read(socket), Ok(Some(vec![number as u8; 100])));
        bed.client.sockets.close(socket).expect("closes");
        bed.settle();
    }
    for socket in served {
        bed.fleet.workers[0].close(socket).expect("closes");
        bed.settle();
    }
    bed.assert_balanced();
    let received = bed.fleet.observer.snapshot().outcomes.received;
    let steered = bed.count(Counter::FramesSteered);
    assert!(
        steered * 5 > received * 2 && steered == bed.fleet.observer.snapshot().outcomes.steered,
        "{steered} of {received}"
    );
    let gauges = bed.fleet.observer.snapshot().gauges;
    assert_eq!((gauges.connections, gauges.half_open), (0, 0));
}

#[test]
fn an_owner_that_takes_nothing_costs_frames_and_nothing_else() {
    let mut bed = Bed::new(2, Workers::Threads(1), config);
    // So large a backlog that no cookie is sent.
    bed.listen(4096);
    // Only the first shard turns: what belongs to the second fills the ring to it.
    let mut pushed = 0_u64;
    while bed.fleet.observer.drops(DropReason::SteeringFull) == 0 {
        bed.dial();
        bed.client.turn(bed.now);
        while let Some(frame) = bed.client_wire.take() {
            pushed += u64::from(bed.wires[0].push(&frame));
        }
        bed.fleet.poll_loops[0].poll_once(bed.now);
        while bed.wires[0].take().is_some() {}
        assert!(pushed < 10_000);
    }
    let mut shards = bed.fleet.observer.snapshots();
    let (first, second) = (shards.next().expect("two"), shards.next().expect("two"));
    assert_eq!((first.outcomes.received, second.outcomes.received), (pushed, 0));
    assert!(first.outcomes.is_balanced() && first.outcomes.steered > 0);
    assert_eq!(first.gauges.frames_lent, first.outcomes.steered, "they are the other's to give back");
    drop(shards);
    bed.settle();
    bed.assert_balanced();
}

#[test]
fn a_cookie_is_answered_where_its_syn_arrived_and_taken_where_its_ack_belongs() {
    let mut bed = Bed::new(4, Workers::Threads(1), |seed| EngineConfig { syncookies: 2, ..config(seed) });
    let listener = bed.listen(4096)[0];
    for _ in 0..100 {
        bed.dial();
        bed.settle();
    }
    assert_eq!(bed.accept_all(0, listener).len(), 100);
    assert_eq!((bed.count(Counter::SyncookiesSent), bed.count(Counter::SyncookiesRecv)), (100, 100));
    let steered = bed.count(Counter::FramesSteered);
    // Of the two segments that a client sends, only the second moves.
    assert!((50..=100).contains(&steered), "{steered}");
    assert_eq!(bed.fleet.observer.snapshot().gauges.half_open, 0);
}

/// In automatic mode a shard that is calm itself must take the cookies that another has sent.
#[test]
fn a_calm_shard_takes_the_cookies_of_a_flooded_one() {
    let mut bed = Bed::new(2, Workers::Threads(1), |seed| EngineConfig { syn_table: 64, ..config(seed) });
    let listener = bed.listen(1)[0];
    // All SYNs arrive at the first shard and nobody completes: its queue, and that of nobody else, overflows.
    let mut frames = Vec::new();
    for _ in 0..200 {
        bed.dial();
        bed.client.turn(bed.now);
        while let Some(frame) = bed.client_wire.take() {
            bed.wires[0].push(&frame);
        }
        bed.fleet.poll_loops[0].poll_once(bed.now);
        while let Some(frame) = bed.wires[0].take() {
            frames.push(frame);
        }
    }
    assert!(bed.count(Counter::SyncookiesSent) > 150, "{}", bed.count(Counter::SyncookiesSent));
    // The SYN-ACKs arrive one after the other, and the answers at any shard.
    let mut accepted = 0;
    for frame in frames {
        bed.client_wire.push(&frame);
        bed.settle();
        accepted += bed.accept_all(0, listener).len();
    }
    bed.settle();
    accepted += bed.accept_all(0, listener).len();
    assert!(accepted > 190, "{accepted}");
    assert_eq!(bed.count(Counter::SyncookiesFailed), 0);
}

#[test]
fn connections_are_spread_over_workers_and_a_stalled_one_gets_hardly_any() {
    let mut bed = Bed::new(2, Workers::Threads(3), config);
    let listeners = bed.listen(4096);
    assert!(listeners.iter().all(|&listener| listener == listeners[0]), "one listener");
    for _ in 0..30 {
        bed.dial();
    }
    bed.settle();
    let counts = [0, 1, 2].map(|worker| bed.accept_all(worker, listeners[worker]).len());
    assert_eq!(counts.iter().sum::<usize>(), 30);
    assert!(counts.iter().all(|count| (8..=12).contains(count)), "{counts:?}");

    // The third stalls; the others accept whenever a connection is there.
    let mut taken = 0;
    for _ in 0..100 {
        bed.dial();
        bed.settle();
        taken += bed.accept_all(0, listeners[0]).len() + bed.accept_all(1, listeners[1]).len();
    }
    assert!(taken >= 98, "{taken}");

    // It ends: what waits for it is reset, and the others go on.
    drop(bed.fleet.workers.pop());
    bed.settle();
    assert_eq!(bed.fleet.observer.snapshot().gauges.connections as usize, taken + counts[0] + counts[1]);
    bed.dial();
    bed.settle();
    assert_eq!(bed.accept_all(0, listeners[0]).len() + bed.accept_all(1, listeners[1]).len(), 1);
}

#[test]
fn the_accept_limit_is_one_for_all_shards_and_workers() {
    let mut bed = Bed::new(4, Workers::Threads(2), config);
    let listeners = bed.listen(8);
    for _ in 0..40 {
        bed.dial();
        bed.settle();
    }
    let waiting = bed.accept_all(0, listeners[0]).len() + bed.accept_all(1, listeners[1]).len();
    assert_eq!(waiting, 9, "more than eight is full");
    assert!(bed.count(Counter::ListenOverflows) > 0);
}

#[test]
fn a_worker_on_a_poll_loop_gets_the_connections_of_its_shard() {
    let mut bed = Bed::new(2, Workers::OnPollLoops, config);
    let listeners = bed.listen(4096);
    for _ in 0..60 {
        bed.dial();
        bed.settle();
    }
    for (worker, &listener) in listeners.iter().enumerate() {
        let sockets = bed.accept_all(worker, listener);
        assert!(sockets.len() > 15, "{}", sockets.len());
        for socket in sockets {
            let shard = bed.fleet.workers[worker].shard_of(socket).expect("open");
            assert_eq!(shard, bed.fleet.poll_loops[worker].id());
        }
    }
}

/// A server on the client's engine, and connects from every shard of the fleet with ports of its own choice.
fn connect_from(bed: &mut Bed, shard: ShardId) -> SocketId {
    let local = Endpoint::new(SERVER.addr, 0);
    let remote = Endpoint::new(client(0).addr, PORT);
    let link = Link { local: CLIENT_LINK.remote, remote: CLIENT_LINK.local, ..Link::default() };
    let config = ConnectConfig { shard: Some(shard), ..ConnectConfig::new(local, remote, link) };
    bed.fleet.workers[0].connect(config).expect("asks")
}

#[test]
fn source_ports_belong_to_their_shard_run_out_with_an_error_and_come_back() {
    let range = 40_000..=40_127;
    let mut bed =
        Bed::new(4, Workers::Threads(1), |seed| EngineConfig { source_ports: 40_000..=40_127, ..config(seed) });
    let remote = Endpoint::new(client(0).addr, PORT);
    let listener = bed.client.sockets.listen(ListenConfig::new(remote)).expect("listens");
    bed.settle();
    let shards: Vec<_> = bed.fleet.poll_loops.iter().map(|poll_loop| poll_loop.id()).collect();
    let (mut open, mut seen, mut refused) = (Vec::new(), HashSet::new(), 0);
    for &shard in &shards {
        for _ in 0..=range.len() {
            let socket = connect_from(&mut bed, shard);
            bed.settle();
            match bed.fleet.workers[0].take_error(socket) {
                Ok(None) => {
                    let local = bed.fleet.workers[0].local_of(socket).expect("open").expect("known");
                    assert!(range.contains(&local.port) && seen.insert(local.port), "{local}");
                    open.push((shard, socket, local.port));
                }
                Ok(Some(error)) => {
                    assert_eq!(error, SocketError::AddressNotAvailable);
                    bed.fleet.workers[0].close(socket).expect("closes");
                    refused += 1;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!((seen.len(), refused), (range.len(), shards.len()), "every port, each by one shard");
    assert_eq!(bed.count(Counter::SourcePortsExhausted), shards.len() as u64);
    assert_eq!(bed.fleet.observer.snapshot().gauges.source_ports_used, range.len() as u64);

    // The peer resets one, and its port is used again.
    let (shard, _, port) = open[range.len() / 2];
    while let Ok(accepted) = bed.client.sockets.accept(listener) {
        if accepted.peer.port == port {
            bed.client.sockets.abort(accepted.socket).expect("aborts");
        }
    }
    bed.settle();
    let again = connect_from(&mut bed, shard);
    bed.settle();
    assert_eq!(bed.fleet.workers[0].local_of(again).expect("open").map(|local| local.port), Some(port));
    bed.assert_balanced();
}

/// With every port in TIME-WAIT, the one that has waited longest is used again, but not within a second.
#[test]
fn a_port_in_time_wait_is_used_again_when_no_other_is_left() {
    let mut bed =
        Bed::new(1, Workers::Threads(1), |seed| EngineConfig { source_ports: 40_000..=40_003, ..config(seed) });
    let remote = Endpoint::new(client(0).addr, PORT);
    let listener = bed.client.sockets.listen(ListenConfig::new(remote)).expect("listens");
    bed.settle();
    let shard = bed.fleet.poll_loops[0].id();
    let mut ports = Vec::new();
    for _ in 0..4 {
        let socket = connect_from(&mut bed, shard);
        bed.settle();
        ports.push(bed.fleet.workers[0].local_of(socket).expect("open").expect("known").port);
        let far = bed.client.sockets.accept(listener).expect("accepted").socket;
        bed.fleet.workers[0].close(socket).expect("closes");
        bed.settle();
        bed.client.sockets.close(far).expect("closes");
        bed.settle();
        bed.now += std::time::Duration::from_millis(200);
    }
    assert_eq!(bed.fleet.observer.snapshot().gauges.time_waits, 4);
    let early = connect_from(&mut bed, shard);
    bed.settle();
    assert_eq!(bed.fleet.workers[0].take_error(early), Ok(Some(SocketError::AddressNotAvailable)));

    bed.now += std::time::Duration::from_millis(250);
    let again = connect_from(&mut bed, shard);
    bed.settle();
    assert_eq!(bed.fleet.workers[0].local_of(again).expect("open").map(|local| local.port), Some(ports[0]));
    let far = bed.client.sockets.accept(listener).expect("the peer takes it").socket;
    bed.client.sockets.send(far, b"anew").expect("sends");
    bed.settle();
    assert_eq!(bed.fleet.workers[0].recv(again, &mut [0; 9]), Ok(4));
    assert_eq!((bed.count(Counter::TWRecycled), bed.count(Counter::SourcePortsExhausted)), (1, 1));
    assert_eq!(bed.fleet.observer.snapshot().gauges.source_ports_used, 4);
    bed.assert_balanced();
}

#[test]
fn held_bytes_stay_until_they_are_asked_for() {
    let mut bed = Bed::new(1, Workers::Threads(1), config);
    let listener = bed.listen(8)[0];
    let near = bed.dial();
    bed.settle();
    let far = bed.fleet.workers[0].accept_with(listener, Delivery::Held).expect("accepted").socket;
    bed.client.sockets.send(near, b"early").expect("sends");
    bed.client.sockets.shutdown(near, synward_engine::Shutdown::Write).expect("shuts down");
    bed.settle();
    let core = &mut bed.fleet.workers[0];
    assert_eq!(core.recv(far, &mut [0; 9]), Err(SocketError::WouldBlock));
    core.deliver(far).expect("delivers");
    bed.settle();
    let core = &mut bed.fleet.workers[0];
    let mut bytes = [0; 9];
    assert_eq!((core.recv(far, &mut bytes), core.recv(far, &mut [0; 9])), (Ok(5), Ok(0)));
    assert_eq!(&bytes[..5], b"early");

    // A reset is told at once all the same.
    let near = bed.dial();
    bed.settle();
    let far = bed.fleet.workers[0].accept_with(listener, Delivery::Held).expect("accepted").socket;
    bed.client.sockets.send(near, b"lost").expect("sends");
    bed.settle();
    bed.client.sockets.abort(near).expect("aborts");
    bed.settle();
    assert_eq!(bed.fleet.workers[0].take_error(far), Ok(Some(SocketError::ConnectionReset)));
    bed.fleet.workers[0].close(far).expect("closes");
    bed.settle();
    bed.assert_balanced();
}

/// Readers that take nothing hold all the frames they may, and what arrives for other shards goes on.
#[test]
fn readers_that_take_nothing_do_not_stop_what_belongs_to_other_shards() {
    let mut bed = Bed::new(2, Workers::Threads(1), config);
    bed.listen(4096);
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(bed.dial());
        bed.settle();
    }
    for &socket in &clients {
        for _ in 0..32 {
            bed.client.sockets.send(socket, &[7; 1000]).expect("sends");
            bed.settle();
        }
    }
    assert!(bed.count(Counter::FramesCopiedOut) > 0, "the share of readers is used up");
    let (before, dropped) = (bed.count(Counter::FramesSteered), DropReason::SteeringFull);
    for _ in 0..20 {
        bed.dial();
        bed.settle();
    }
    assert!(bed.count(Counter::FramesSteered) > before);
    assert_eq!((bed.fleet.observer.drops(dropped), bed.count(Counter::PassiveOpens)), (0, 80));
}

/// What the shard had said to a worker that has ended, frames among it, comes home with the ring.
#[test]
fn the_ring_to_a_worker_that_is_gone_keeps_no_frame() {
    let mut bed = Bed::new(1, Workers::Threads(2), config);
    let listeners = bed.listen(64);
    let near: Vec<_> = (0..8).map(|_| bed.dial()).collect();
    bed.settle();
    assert_eq!(bed.accept_all(1, listeners[1]).len(), 4);
    bed.settle();
    for socket in near {
        bed.client.sockets.send(socket, &[1; 1000]).expect("sends");
    }
    // The worker does not poll again: its news lie in its ring.
    while bed.turn() {}
    assert!(bed.fleet.observer.snapshot().gauges.frames_lent >= 4);
    drop(bed.fleet.workers.pop());
    bed.settle();
    let core = &mut bed.fleet.workers[0];
    while let Ok(accepted) = core.accept(listeners[0]) {
        core.abort(accepted.socket).expect("aborts");
    }
    bed.settle();
    bed.assert_balanced();
    assert_eq!(bed.fleet.observer.snapshot().gauges.connections, 0);
}
