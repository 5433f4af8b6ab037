//! Random conversations, and a shield that keeps book of all it is told.

mod witness;

use super::Shield;
use crate::{
    ConnectConfig, EngineConfig, Fleet, Interface, ListenConfig, ListenerId, Queue, Secrets, SocketId, Workers,
    build_fleet,
};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use synward_nic::{MemoryPort, MemoryPortConfig, MemoryWire};
use synward_proto::segment::{Mss, SynOptions};
use synward_proto::wire::{HEADROOM, SegmentWriter};
use synward_proto::{Counter, Endpoint, Flags, Head, Instant, Link, MacAddr, Marking, Options, SeqNum, Tuple};
use synward_testkit::engine::small_budget;
use witness::Witness;

/// The flows that are open, each with how often.
type Open = HashMap<Tuple, u32>;

#[derive(Debug, Default)]
struct Book(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    open: Open,
    /// What was unknown for a moment, or still is, since the last look.
    gone: HashSet<Tuple>,
    /// Queues that turned.
    turned: HashSet<u32>,
    last_turn: Instant,
}

impl Shield for Book {
    fn flow_opened(&self, tuple: &Tuple) {
        let mut pages = self.0.lock().unwrap();
        *pages.open.entry(*tuple).or_default() += 1;
    }

    fn flow_closed(&self, tuple: &Tuple) {
        let mut pages = self.0.lock().unwrap();
        let count = pages.open.get_mut(tuple).unwrap_or_else(|| panic!("{tuple:?} is closed and was not open"));
        *count -= 1;
        if *count == 0 {
            pages.open.remove(tuple);
            pages.gone.insert(*tuple);
        }
    }

    fn turned(&self, queue: u32, now: Instant) {
        let mut pages = self.0.lock().unwrap();
        pages.turned.insert(queue);
        pages.last_turn = now;
    }

    fn set_accept_queue_full(&self, _: &Endpoint, _: bool) {}
    fn set_listening(&self, _: &Endpoint, _: bool) {}
    fn set_mss(&self, _: Mss, _: Mss) {}

    fn last_cookie(&self, _: &Endpoint) -> Option<Instant> {
        None
    }
}

impl Book {
    fn knows(&self, tuple: &Tuple) -> bool {
        self.0.lock().unwrap().open.contains_key(tuple)
    }
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// An engine, what is plugged into it, and what its shield was told.
struct Side {
    fleet: Fleet<Witness>,
    wires: Vec<MemoryWire>,
    book: Arc<Book>,
    sockets: Vec<SocketId>,
}

impl Side {
    fn new(config: EngineConfig, queues: usize) -> Self {
        let port = || MemoryPort::with_wire(MemoryPortConfig { budget: small_budget(), ..MemoryPortConfig::default() });
        let (ports, wires): (Vec<_>, Vec<_>) = (0..queues).map(|_| port().expect("memory")).unzip();
        let book = Arc::<Book>::default();
        let witness = |port| Witness { port, book: Arc::clone(&book), cookies: config.syncookies > 0 };
        let queues = ports.into_iter().map(|port| Queue { port: witness(port), core: None }).collect();
        let interface = Interface { config, rss: None, queues, shield: Some(Arc::clone(&book) as _) };
        let fleet = build_fleet(vec![interface], Workers::Threads(1)).expect("builds");
        Self { fleet, wires, book, sockets: Vec::new() }
    }

    /// A turn of every shard, after each of which the books agree.
    fn turn(&mut self, now: Instant) {
        for number in 0..self.fleet.poll_loops.len() {
            self.fleet.poll_loops[number].poll_once(now);
            self.check();
        }
        for worker in &mut self.fleet.workers {
            worker.poll();
        }
    }

    /// The law: open is what is half open, connected or in TIME-WAIT, and nothing else; and none of it was unknown for a
    /// moment meanwhile.
    fn check(&self) {
        let mut want = Open::new();
        for poll_loop in &self.fleet.poll_loops {
            let shard = &poll_loop.shard;
            let half_open = shard.half_opens.table.iter(Instant::ZERO).map(|half_open| half_open.tuple);
            let index = |index: &u32| shard.connections.get(*index).filter(|entry| !entry.outbox.over);
            let connections = (0..shard.connections.limit() as u32)
                .filter_map(|place| index(&place))
                .map(|it| *it.connection.tuple());
            let time_waits = shard.connections.time_waits();
            let waiting = (0..time_waits.limit() as u32).filter_map(|index| time_waits.get(index)).map(|it| it.tuple);
            half_open.chain(connections).chain(waiting).for_each(|tuple| *want.entry(tuple).or_default() += 1);
        }
        let mut pages = self.book.0.lock().unwrap();
        assert_eq!(pages.open, want);
        assert!(pages.gone.drain().all(|tuple| !want.contains_key(&tuple)));
    }

    fn count(&self, counter: Counter) -> u64 {
        self.fleet.observer.counter(counter)
    }

    /// Ends the shards one after the other: each takes its flows with it.
    fn end(mut self) {
        while let Some(poll_loop) = self.fleet.poll_loops.pop() {
            drop(poll_loop);
            self.check();
        }
    }
}

const PORTS: [u16; 2] = [80, 443];

fn server(port: u16) -> Endpoint {
    Endpoint::new([192, 0, 2, 1].into(), port)
}

const CLIENT_LINK: Link =
    Link { local: MacAddr([2, 0, 0, 0, 0, 2]), remote: MacAddr([2, 0, 0, 0, 0, 1]), outer: None, inner: None };

fn config(rng: &mut Rng) -> EngineConfig {
    EngineConfig {
        max_connections: [3, 12][rng.below(2)],
        max_time_waits: [0, 3, 12][rng.below(3)],
        somaxconn: 1 + rng.below(8) as u32,
        syn_table: 8,
        syncookies: rng.below(3) as u8,
        synack_retries: 2,
        abort_on_overflow: rng.below(2) == 0,
        time_wait: Duration::from_secs(3),
        fin_wait_2: Duration::from_secs(3),
        source_ports: 40_000..=40_015,
        secrets: Some(Secrets::from_seed(rng.next())),
        ..EngineConfig::default()
    }
}

struct World {
    rng: Rng,
    now: Instant,
    server: Side,
    client: Side,
    listeners: [Option<ListenerId>; 2],
    /// Frames under way, each with whether it goes to the server.
    under_way: Vec<(bool, Vec<u8>)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (of_server, of_client) = (config(&mut rng), config(&mut rng));
        let queues = 1 + rng.below(3);
        let (server, client) = (Side::new(of_server, queues), Side::new(of_client, 1));
        let now = Instant::from_millis(1_000);
        Self { rng, now, server, client, listeners: [None; 2], under_way: Vec::new() }
    }

    fn step(&mut self) {
        match self.rng.below(12) {
            0 | 1 => self.connect(),
            2 | 3 => self.accept(),
            4 | 5 => self.stranger(),
            6 => self.send(),
            7 | 8 => self.part(),
            9 => self.listen_or_not(),
            10 => self.now += Duration::from_millis(self.rng.next() % 400),
            _ => self.now += Duration::from_millis([0, 0, 0, 10_000][self.rng.below(4)]),
        }
        self.server.turn(self.now);
        self.client.turn(self.now);
        self.carry();
    }

    fn connect(&mut self) {
        let local = Endpoint::new([198, 51, 100, 1].into(), 0);
        let remote = server(PORTS[self.rng.below(2)]);
        let Some(worker) = self.client.fleet.workers.first_mut() else { return };
        self.client.sockets.extend(worker.connect(ConnectConfig::new(local, remote, CLIENT_LINK)));
    }

    fn accept(&mut self) {
        for listener in self.listeners.iter().flatten() {
            let Some(worker) = self.server.fleet.workers.first_mut() else { return };
            self.server.sockets.extend(worker.accept(*listener).map(|accepted| accepted.socket));
        }
    }

    /// A SYN of somebody who never completes.
    fn stranger(&mut self) {
        for _ in 0..self.rng.below(6) {
            let local = Endpoint::new([203, 0, 113, 1].into(), 1 + self.rng.below(1_000) as u16);
            let tuple = Tuple { local, remote: server(PORTS[self.rng.below(2)]) };
            let options = Options::Syn(SynOptions::default());
            let (seq, ack) = (SeqNum(self.rng.next() as u32), SeqNum(0));
            let head = Head { tuple, seq, ack, flags: Flags::SYN, window: 1_000, options, marking: Marking::DEFAULT };
            let mut bytes = vec![0; HEADROOM];
            let len = SegmentWriter::new(&mut bytes, &CLIENT_LINK, &head).finish();
            bytes.truncate(len);
            self.under_way.push((true, bytes));
        }
    }

    fn either(&mut self) -> &mut Side {
        if self.rng.below(2) == 0 { &mut self.server } else { &mut self.client }
    }

    fn send(&mut self) {
        let draw = self.rng.next() as usize;
        let Side { fleet, sockets, .. } = self.either();
        let Some(worker) = fleet.workers.first_mut() else { return };
        if let Some(&socket) = sockets.get(draw % sockets.len().max(1)) {
            let _ = worker.send(socket, &[7; 2_000]);
        }
    }

    fn part(&mut self) {
        let (draw, resets) = (self.rng.next() as usize, self.rng.below(3) == 0);
        let Side { fleet, sockets, .. } = self.either();
        let Some(worker) = fleet.workers.first_mut() else { return };
        if !sockets.is_empty() {
            let socket = sockets.swap_remove(draw % sockets.len());
            let _ = if resets { worker.abort(socket) } else { worker.close(socket) };
        }
    }

    fn listen_or_not(&mut self) {
        let number = self.rng.below(2);
        let Some(worker) = self.server.fleet.workers.first_mut() else { return };
        self.listeners[number] = match self.listeners[number].filter(|_| self.rng.below(3) == 0) {
            Some(listener) => {
                worker.unlisten(listener).expect("it was there");
                None
            }
            None => worker.listen(ListenConfig::new(server(PORTS[number]))).ok().or(self.listeners[number]),
        };
    }

    /// Frames leave, get lost, get doubled, overtake each other, and arrive at any queue.
    fn carry(&mut self) {
        for (side, to_server) in [(&mut self.server, false), (&mut self.client, true)] {
            for wire in &mut side.wires {
                self.under_way.extend(std::iter::from_fn(|| wire.take()).map(|frame| (to_server, frame)));
            }
        }
        for _ in 0..self.under_way.len() {
            if self.rng.below(10) == 0 {
                continue;
            }
            let (to_server, frame) = self.under_way.swap_remove(self.rng.below(self.under_way.len()));
            let side = if to_server { &mut self.server } else { &mut self.client };
            for _ in 0..[0, 1, 1, 1, 1, 1, 1, 1, 1, 2][self.rng.below(10)] {
                let queue = self.rng.below(side.wires.len());
                side.wires[queue].push(&frame);
            }
        }
    }
}

#[test]
fn open_are_the_flows_that_exist_and_each_is_closed_once() {
    let mut seen: HashMap<&str, u64> = HashMap::new();
    for seed in 0..60 {
        let mut world = World::new(seed);
        (0..600).for_each(|_| world.step());
        if seed % 2 == 0 {
            // Whatever the applications had is reset.
            world.server.fleet.workers.clear();
            world.client.fleet.workers.clear();
            (0..50).for_each(|_| world.step());
        }
        let open = world.server.book.0.lock().unwrap().open.len();
        *seen.entry(if open > 0 { "left to the end" } else { "nothing left" }).or_default() += 1;
        for counter in [
            Counter::PassiveOpens,
            Counter::ActiveOpens,
            Counter::HalfOpenEvicted,
            Counter::TCPTimeouts,
            Counter::SyncookiesRecv,
            Counter::EmbryonicRsts,
            Counter::ConnectionTableFull,
            Counter::TW,
        ] {
            *seen.entry(counter.name()).or_default() += world.server.count(counter) + world.client.count(counter);
        }
        world.server.end();
        world.client.end();
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
    assert!(seen.values().all(|&count| count > 0), "{seen:?}");
}

#[test]
fn every_turn_of_every_queue_is_told_on_the_callers_clock() {
    let mut rng = Rng(1);
    let mut side = Side::new(config(&mut rng), 3);
    side.turn(Instant::from_millis(9_000));
    // The engine's own time goes on when the clock steps back.
    side.turn(Instant::from_millis(5_000));
    let pages = side.book.0.lock().unwrap();
    assert_eq!((&pages.turned, pages.last_turn), (&HashSet::from([0, 1, 2]), Instant::from_millis(5_000)));
}
