//! A front with its proxies, clients, backends, and the time they live in.

use crate::end::End;
use crate::switch::Switch;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use synward::config::Config;
use synward::proxy::{BackendInterface, Guarded, NoRoute, Proxy, ProxyReport, ProxyStats, Route, Routes, Ways};
use synward_engine::{
    Accepted, ConnectConfig, Engine, EngineConfig, Fleet, Gauges, Interface, ListenConfig, ListenerId, NoNextHop,
    Observer, PollLoop, Queue, Secrets, SocketCore, SocketId, Workers, build, build_fleet,
};
use synward_nic::{FrameBudget, MemoryPort, MemoryPortConfig, MemoryWire, Port};
use synward_proto::connection::Keepalive;
use synward_proto::wire::ChecksumPolicy;
use synward_proto::{Endpoint, Instant, Link, MacAddr};
use synward_testkit::engine::small_budget;

/// Of clients and backends: without it, one whose peer has given up unheard would wait for ever.
const KEEPALIVE: Keepalive = Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 9 };

/// Each buffer of each connection, bytes.
pub const BUFFER: u32 = 256 * 1024;

/// How the front is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub name: &'static str,
    /// The queues of each interface. With one interface, clients and backends are on the same; with two, apart.
    pub queues: &'static [usize],
    pub workers: Workers,
}

pub const LAYOUTS: &[Layout] = &[
    Layout { name: "spliced", queues: &[1], workers: Workers::Threads(1) },
    Layout { name: "spliced_on_many_queues", queues: &[4], workers: Workers::Threads(2) },
    Layout { name: "spliced_on_poll_loops", queues: &[2], workers: Workers::OnPollLoops },
    Layout { name: "relayed", queues: &[1, 1], workers: Workers::Threads(1) },
    Layout { name: "relayed_on_many_queues", queues: &[2, 3], workers: Workers::Threads(2) },
    Layout { name: "relayed_on_poll_loops", queues: &[2, 2], workers: Workers::OnPollLoops },
];

impl Layout {
    /// Whether bytes go across inside of a shard.
    pub fn splices(self) -> bool {
        self.queues.len() == 1
    }
}

const CLIENTS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const BACKENDS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const NOBODY: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);

/// The front's interface of this number.
fn front_mac(interface: usize) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, interface as u8])
}

/// Where clients connect to.
pub fn front(family: Family) -> Endpoint {
    match family {
        Family::V4 => Endpoint::new([192, 0, 2, 1].into(), 80),
        Family::V6 => Endpoint::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(), 80),
    }
}

/// Of what family clients are, or backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

/// What answers at a backend's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// A server.
    Serving,
    /// A server that has only an IPv6 address.
    ServingV6,
    /// A host that refuses.
    Refusing,
    /// Nobody.
    Silent,
    /// There is no way to it.
    Unreachable,
}

/// The backend of this number.
pub fn backend_end(number: usize, backend: Backend) -> Endpoint {
    let addr = match backend {
        Backend::ServingV6 => [0xfd00, 0, 0, 0, 0, 0, 1, number as u16].into(),
        _ => IpAddr::from([10, 0, 1, number as u8]),
    };
    Endpoint::new(addr, 8080)
}

/// What a bed is made of.
#[derive(Clone, Copy)]
pub struct Spec<'a> {
    pub layout: Layout,
    pub backends: &'a [Backend],
    /// Lines of the configuration, for the listener and the pool.
    pub listener: &'a str,
    pub pool: &'a str,
    /// Whether the backends take no new connections.
    pub draining: bool,
    /// The addresses that the front connects from, besides what the route says.
    pub sources: &'a [[u8; 4]],
    /// The engine of the front.
    pub front: fn(EngineConfig) -> EngineConfig,
    pub budget: FrameBudget,
}

impl Spec<'_> {
    /// The simplest bed with one backend.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            backends: &[Backend::Serving],
            listener: "",
            pool: "",
            draining: false,
            sources: &[],
            front: |config| config,
            budget: small_budget(),
        }
    }

    fn config(&self) -> Config {
        let backends = self.backends.iter().enumerate();
        let backends: String = backends
            .map(|(number, &kind)| {
                format!(
                    "[[pool.backend]]\naddress = '{}'\nweight = {}\n",
                    backend_end(number, kind),
                    u8::from(!self.draining)
                )
            })
            .collect();
        let Self { listener, pool, .. } = self;
        let text = format!(
            "[[interface]]\nname = 'eth0'\n[[listener]]\nname = 'web'\naddresses = ['{}', '{}']\npool = 'web'\n{listener}\n\
             [[pool]]\nname = 'web'\n{pool}\n{backends}",
            front(Family::V4),
            front(Family::V6)
        );
        Config::parse("front.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}\nin\n{text}"))
    }
}

/// An engine that nobody runs but the test.
pub struct Host {
    poll_loop: PollLoop<MemoryPort>,
    pub sockets: SocketCore,
    pub observer: Observer,
}

impl Host {
    fn turn(&mut self, now: Instant) -> bool {
        let idle = self.poll_loop.poll_once(now).is_idle();
        self.sockets.poll() > 0 || !idle
    }
}

/// The next hops of a bed.
#[derive(Clone, Default)]
struct TestRoutes {
    known: HashMap<IpAddr, Route>,
    /// Whoever asks for one panics while this is set.
    panics: Arc<AtomicBool>,
    /// There is none while this is set.
    gone: Arc<AtomicBool>,
}

impl Routes for TestRoutes {
    fn route(&self, backend: IpAddr) -> Result<Route, NoRoute> {
        assert!(!self.panics.load(Ordering::Relaxed), "a mistake in the proxy");
        let known = self.known.get(&backend).filter(|_| !self.gone.load(Ordering::Relaxed));
        known.copied().ok_or(NoRoute::NextHop(NoNextHop::NoRoute { destination: backend }))
    }
}

pub struct Bed {
    pub layout: Layout,
    pub clients: Host,
    pub backends: Host,
    /// Those that serve, by number.
    listeners: Vec<Option<ListenerId>>,
    pub front: Fleet<MemoryPort>,
    /// By worker.
    pub proxies: Vec<Guarded>,
    /// This worker does nothing.
    pub stalled: Option<usize>,
    /// Whether a proxy that looks for a backend panics.
    panics: Arc<AtomicBool>,
    /// Whether there is no way to any backend.
    ways_gone: Arc<AtomicBool>,
    stats: Arc<ProxyStats>,
    pub switch: Switch,
    pub now: Instant,
    due: Vec<Option<Instant>>,
    next_client: u16,
}

fn engine_config(seed: u64) -> EngineConfig {
    EngineConfig {
        max_connections: 4096,
        max_time_waits: 4096,
        // The unfinished form lets one corrupted frame in 65,536 through: it is for devices that lose no bits.
        checksums: ChecksumPolicy::Full,
        // As large from the start as they become: what is stopped by them can be told in advance.
        receive_buffer: BUFFER,
        receive_buffer_max: BUFFER,
        send_buffer: BUFFER,
        send_buffer_max: BUFFER,
        secrets: Some(Secrets::from_seed(seed)),
        ..EngineConfig::default()
    }
}

impl Bed {
    pub fn new(spec: &Spec<'_>) -> Self {
        let (config, layout) = (Arc::new(spec.config()), spec.layout);
        let mut switch = Switch::new(7);
        let port = || {
            MemoryPort::with_wire(MemoryPortConfig { budget: spec.budget, ..MemoryPortConfig::default() })
                .expect("memory")
        };
        let mut interfaces = Vec::new();
        for (number, &queues) in layout.queues.iter().enumerate() {
            let (ports, wires): (Vec<_>, Vec<MemoryWire>) = (0..queues).map(|_| port()).unzip();
            switch.join(front_mac(number), wires);
            let queues = ports.into_iter().map(|port| Queue { port, core: None }).collect();
            interfaces.push(Interface { config: (spec.front)(engine_config(3)), rss: None, queues, shield: None });
        }
        let mut front = build_fleet(interfaces, layout.workers).expect("builds");
        let stats = Arc::new(ProxyStats::new(&config, front.workers.len()));
        let (routes, backend_interfaces) = (routes(spec), backend_interfaces(spec, &front));
        let (panics, ways_gone) = (Arc::clone(&routes.panics), Arc::clone(&routes.gone));
        let mut proxies = Vec::new();
        for (number, core) in front.workers.iter_mut().enumerate() {
            let (routes, interfaces) = (routes.clone(), backend_interfaces.clone());
            let (described, stats) = (Arc::clone(&config), Arc::clone(&stats));
            let make = move || {
                let ways = Ways::new(Box::new(routes.clone()), interfaces.clone());
                Proxy::new(&described, ways, stats.worker(number))
            };
            proxies.push(Guarded::listen(Box::new(make), core, Arc::clone(&config)).expect("listens"));
        }
        let mut host = |seed, mac| {
            let (port, wire) = port();
            switch.join(mac, vec![wire]);
            let config = EngineConfig { keepalive: Some(KEEPALIVE), ..engine_config(seed) };
            let Engine { poll_loop, sockets, observer } = build(config, port).expect("builds");
            Host { poll_loop, sockets, observer }
        };
        let (clients, mut backends) = (host(1, CLIENTS), host(2, BACKENDS));
        let listeners = listen(&mut backends, spec.backends);
        let due = vec![None; proxies.len()];
        let now = Instant::from_millis(1_000);
        let mut bed = Self {
            layout,
            clients,
            backends,
            listeners,
            front,
            proxies,
            stalled: None,
            panics,
            ways_gone,
            stats,
            switch,
            now,
            due,
            next_client: 0,
        };
        bed.settle();
        bed
    }

    /// One turn of everybody; true when something happened.
    fn turn(&mut self) -> bool {
        let mut busy = self.switch.turn(self.now);
        busy |= self.clients.turn(self.now) | self.backends.turn(self.now);
        for poll_loop in &mut self.front.poll_loops {
            busy |= !poll_loop.poll_once(self.now).is_idle();
        }
        for (number, proxy) in self.proxies.iter_mut().enumerate() {
            if self.stalled != Some(number) {
                self.due[number] = proxy.turn(&mut self.front.workers[number], self.now);
            }
        }
        busy
    }

    /// Lets all work until nobody has anything to do at this instant.
    pub fn settle(&mut self) {
        self.run(&mut []);
    }

    /// As [`settle`](Self::settle), with applications at both sides: each with whether it is a client.
    pub fn run(&mut self, ends: &mut [(Side, &mut End)]) {
        // What a proxy asks for in its turn is done in the next one.
        let mut quiet = 0;
        for _ in 0..1_000_000 {
            let mut busy = self.turn();
            for (side, end) in &mut *ends {
                busy |= end.drive(self.host(*side));
            }
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet == 3 {
                return;
            }
        }
        panic!("never comes to rest");
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub fn advance(&mut self, span: Duration) {
        self.advance_with(span, &mut []);
    }

    pub fn advance_with(&mut self, span: Duration, ends: &mut [(Side, &mut End)]) {
        let end = self.now + span;
        self.run(ends);
        while let Some(next) = self.next_deadline().filter(|&next| next <= end) {
            // A frame that waits for room in a port is nobody's deadline.
            self.now = self.now.max(next);
            self.run(ends);
        }
        self.now = end;
        self.run(ends);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let hosts = [&self.clients.poll_loop, &self.backends.poll_loop];
        let loops = hosts.into_iter().chain(&self.front.poll_loops);
        let timers = loops.filter_map(|poll_loop| poll_loop.next_deadline(self.now));
        let due = self.due.iter().enumerate().filter(|(number, _)| self.stalled != Some(*number));
        timers.chain(due.filter_map(|(_, due)| *due)).chain(self.switch.next_arrival()).min()
    }

    pub fn host(&mut self, side: Side) -> &mut Host {
        match side {
            Side::Client => &mut self.clients,
            Side::Backend => &mut self.backends,
        }
    }

    /// Begins to connect to the front from an end that was never used before.
    pub fn dial(&mut self, family: Family) -> SocketId {
        self.next_client += 1;
        let port = 10_000 + self.next_client;
        let local = match family {
            Family::V4 => Endpoint::new([198, 51, 100, 1].into(), port),
            Family::V6 => Endpoint::new([0x2001, 0xdb8, 1, 0, 0, 0, 0, 1].into(), port),
        };
        let link = Link { local: CLIENTS, remote: front_mac(0), ..Link::default() };
        self.clients.sockets.connect(ConnectConfig::new(local, front(family), link)).expect("connects")
    }

    /// Connects from this end once more.
    pub fn dial_from(&mut self, address: u8, port: u16) -> SocketId {
        let local = Endpoint::new([198, 51, 100, address].into(), port);
        let link = Link { local: CLIENTS, remote: front_mac(0), ..Link::default() };
        self.clients.sockets.connect(ConnectConfig::new(local, front(Family::V4), link)).expect("connects")
    }

    /// The next connection at the backend of this number.
    pub fn accept(&mut self, backend: usize) -> Option<Accepted> {
        let listener = self.listeners[backend].expect("it serves");
        self.backends.sockets.accept(listener).ok()
    }

    /// The next connection at any backend, and the backend's number.
    pub fn accept_any(&mut self) -> Option<(usize, Accepted)> {
        let serving: Vec<_> = (0..self.listeners.len()).filter(|&number| self.listeners[number].is_some()).collect();
        serving.into_iter().find_map(|number| Some((number, self.accept(number)?)))
    }

    /// A client that is joined to a backend: both ends.
    pub fn pair(&mut self) -> (End, End) {
        let client = self.dial(Family::V4);
        self.settle();
        let (_, Accepted { socket, .. }) = self.accept_any().expect("a backend was asked");
        (End::new(client), End::new(socket))
    }

    pub fn report(&self) -> ProxyReport {
        self.stats.report()
    }

    /// Clients of all proxies.
    pub fn connections(&self) -> usize {
        self.proxies.iter().map(Guarded::connections).sum()
    }

    pub fn front_gauges(&self) -> Gauges {
        self.front.observer.snapshot().gauges
    }

    /// Ends the last worker with its proxy; false when there is none.
    pub fn drop_worker(&mut self) -> bool {
        self.due.pop();
        self.proxies.pop().is_some() && self.front.workers.pop().is_some()
    }

    /// Whether a proxy that looks for a backend panics.
    pub fn panic(&mut self, panics: bool) {
        self.panics.store(panics, Ordering::Relaxed);
    }

    /// Whether there is no way to any backend.
    pub fn take_ways(&mut self, gone: bool) {
        self.ways_gone.store(gone, Ordering::Relaxed);
    }

    /// Whether frames to the backends are lost.
    pub fn lose_backends(&mut self, lost: bool) {
        self.switch.lose(BACKENDS, lost);
    }

    /// Resets whatever the applications still have.
    pub fn abort(&mut self, side: Side, socket: SocketId) {
        self.host(side).sockets.abort(socket).expect("open");
        self.settle();
    }

    /// After TIME-WAIT nothing is left of any connection, all frames are home, and all received frames became one thing.
    pub fn assert_clean(&mut self) {
        self.advance(Duration::from_secs(130));
        assert_eq!(self.connections(), 0);
        let gauges = self.front_gauges();
        let left = [
            gauges.connections,
            gauges.half_open,
            gauges.spliced,
            gauges.frames_lent,
            gauges.time_waits,
            gauges.source_ports_used,
        ];
        assert_eq!(left, [0; 6], "{gauges:?}");
        let report = self.report();
        assert!(report.listeners.iter().all(|listener| listener.clients == 0), "{report:?}");
        let backends = report.pools.iter().flat_map(|pool| &pool.backends);
        assert!(backends.into_iter().all(|it| it.connections + it.connecting == 0), "{report:?}");
        let loops = [&mut self.clients.poll_loop, &mut self.backends.poll_loop];
        for poll_loop in loops.into_iter().chain(&mut self.front.poll_loops) {
            let port = poll_loop.port();
            port.reclaim();
            let ledger = port.ledger();
            assert!(ledger.is_balanced() && ledger.lent == 0 && ledger.in_hand == 0, "{ledger:?}");
        }
        for observer in [&self.clients.observer, &self.backends.observer, &self.front.observer] {
            let outcomes = observer.snapshot().outcomes;
            assert!(outcomes.is_balanced(), "{outcomes:?}");
        }
    }
}

/// At which side of the front an end is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Client,
    Backend,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Client, Self::Backend];
}

fn routes(spec: &Spec<'_>) -> TestRoutes {
    let interface = spec.layout.queues.len() - 1;
    let backends = spec.backends.iter().enumerate().filter(|(_, kind)| **kind != Backend::Unreachable);
    let route = |(number, &kind): (usize, &Backend)| {
        let addr = backend_end(number, kind).addr;
        let remote = if kind == Backend::Silent { NOBODY } else { BACKENDS };
        let link = Link { local: front_mac(interface), remote, ..Link::default() };
        let source = match addr {
            IpAddr::V4(_) => [10, 0, 0, 1].into(),
            IpAddr::V6(_) => [0xfd00, 0, 0, 0, 0, 0, 0, 1].into(),
        };
        (addr, Route { interface, source, link })
    };
    TestRoutes { known: backends.map(route).collect(), ..TestRoutes::default() }
}

fn backend_interfaces(spec: &Spec<'_>, front: &Fleet<MemoryPort>) -> Vec<BackendInterface> {
    let source_addresses: Vec<_> = spec.sources.iter().map(|&source| IpAddr::from(source)).collect();
    let interface =
        |shards: &Vec<_>| BackendInterface { shards: shards.clone(), source_addresses: source_addresses.clone() };
    front.shards.iter().map(interface).collect()
}

fn listen(host: &mut Host, backends: &[Backend]) -> Vec<Option<ListenerId>> {
    let serves = |kind| matches!(kind, Backend::Serving | Backend::ServingV6);
    let listen = |(number, &kind): (usize, &Backend)| {
        let config = ListenConfig::new(backend_end(number, kind));
        serves(kind).then(|| host.sockets.listen(config).expect("listens"))
    };
    backends.iter().enumerate().map(listen).collect()
}
