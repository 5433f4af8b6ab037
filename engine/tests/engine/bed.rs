//! Two engines that face each other, and the time they live in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use synward_engine::{
    Accepted, ConnectConfig, Engine, EngineConfig, Fleet, Interface, ListenConfig, ListenerId, Observer, PollLoop,
    Queue, Secrets, Shield, SocketCore, SocketError, SocketId, Workers, build, build_fleet,
};
use synward_nic::{FrameBudget, MemoryPort, MemoryPortConfig, Port};
use synward_proto::{Counter, Endpoint, Instant, Link, MacAddr};

pub use synward_testkit::engine::small_budget;

/// The port that servers listen on.
pub const PORT: u16 = 7;

/// The server's end.
pub const SERVER: Endpoint = Endpoint::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), PORT);
/// The server's end over IPv6.
pub const SERVER_V6: Endpoint = Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), PORT);

/// The link as the client sees it.
pub const CLIENT_LINK: Link =
    Link { local: MacAddr([2, 0, 0, 0, 0, 2]), remote: MacAddr([2, 0, 0, 0, 0, 1]), outer: None, inner: None };

/// The client's end with number `n`: another port, and after 50,000 of them another address.
pub fn client(n: u32) -> Endpoint {
    let [a, b] = ((n / 50_000) as u16 + 1).to_be_bytes();
    Endpoint::new(IpAddr::V4(Ipv4Addr::new(198, 51, a, b)), (n % 50_000) as u16 + 10_000)
}

/// A small engine whose secrets are known.
pub fn config(seed: u64) -> EngineConfig {
    EngineConfig {
        max_connections: 1024,
        max_time_waits: 1024,
        secrets: Some(Secrets::from_seed(seed)),
        ..EngineConfig::default()
    }
}

/// An engine that nobody runs but the test.
pub struct Host {
    pub poll_loop: PollLoop<MemoryPort>,
    pub sockets: SocketCore,
    pub observer: Observer,
}

impl Host {
    pub fn new(config: EngineConfig, port: MemoryPort) -> Self {
        let Engine { poll_loop, sockets, observer } = build(config, port).expect("the engine is built");
        Self { poll_loop, sockets, observer }
    }

    /// An engine with a shield in front of it.
    pub fn behind(shield: Arc<dyn Shield>, config: EngineConfig, port: MemoryPort) -> Self {
        let queues = vec![Queue { port, core: None }];
        let interface = Interface { config, rss: None, queues, shield: Some(shield) };
        let Fleet { mut poll_loops, mut workers, observer, .. } =
            build_fleet(vec![interface], Workers::Threads(1)).expect("the engine is built");
        Self { poll_loop: poll_loops.remove(0), sockets: workers.remove(0), observer }
    }

    /// One turn of shard and worker; true when either did something.
    pub fn turn(&mut self, now: Instant) -> bool {
        let idle = self.poll_loop.poll_once(now).is_idle();
        self.sockets.poll() > 0 || !idle
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.observer.counter(counter)
    }

    /// Reads what there is; `None` is the end of the stream.
    pub fn read(&mut self, socket: SocketId) -> Result<Option<Vec<u8>>, SocketError> {
        let mut bytes = vec![0; 1 << 16];
        match self.sockets.recv(socket, &mut bytes) {
            Ok(0) => Ok(None),
            Ok(len) => Ok(Some(bytes[..len].to_vec())),
            Err(SocketError::WouldBlock) => Ok(Some(Vec::new())),
            Err(error) => Err(error),
        }
    }

    /// Every received frame became one thing.
    pub fn assert_outcomes_balanced(&self) {
        let outcomes = self.observer.snapshot().outcomes;
        assert!(outcomes.is_balanced(), "{outcomes:?}");
    }

    /// Frames are in one place each, none is held by anybody, and every received frame became one thing.
    pub fn assert_balanced(&mut self) {
        let port = self.poll_loop.port();
        port.reclaim();
        let ledger = port.ledger();
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!((ledger.lent, ledger.in_hand), (0, 0), "{ledger:?}");
        self.assert_outcomes_balanced();
    }
}

/// A client and a server.
pub struct Bed {
    pub client: Host,
    pub server: Host,
    pub now: Instant,
    next_client: u32,
}

impl Bed {
    pub fn new() -> Self {
        Self::with(config(1), config(2), small_budget())
    }

    pub fn with(client: EngineConfig, server: EngineConfig, budget: FrameBudget) -> Self {
        let port = MemoryPortConfig { budget, ..MemoryPortConfig::default() };
        let (near, far) = MemoryPort::pair(port, port).expect("memory for two ports");
        let now = Instant::from_millis(1_000);
        Self { client: Host::new(client, near), server: Host::new(server, far), now, next_client: 0 }
    }

    /// Lets both work until neither has anything to do at this instant.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let (client, server) = (self.client.turn(self.now), self.server.turn(self.now));
            if !client && !server {
                return;
            }
        }
        panic!("the hosts never come to rest");
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub fn advance(&mut self, span: Duration) {
        let end = self.now + span;
        self.settle();
        while let Some(next) = self.next_deadline().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    fn next_deadline(&self) -> Option<Instant> {
        let hosts = [&self.client, &self.server];
        hosts.into_iter().filter_map(|host| host.poll_loop.next_deadline(self.now)).min()
    }

    pub fn listen(&mut self, backlog: u32) -> ListenerId {
        let listener =
            self.server.sockets.listen(ListenConfig { backlog, ..ListenConfig::new(SERVER) }).expect("listens");
        self.settle();
        listener
    }

    /// Begins to connect from an end that was never used before.
    pub fn dial(&mut self) -> SocketId {
        let local = client(self.next_client);
        self.next_client += 1;
        let config = ConnectConfig::new(local, SERVER, CLIENT_LINK);
        self.client.sockets.connect(config).expect("connects")
    }

    /// Begins so many connects, a few at a time: more would be lost in the rings of a small port.
    pub fn dial_many(&mut self, count: usize) -> Vec<SocketId> {
        let mut sockets = Vec::with_capacity(count);
        while sockets.len() < count {
            sockets.push(self.dial());
            if sockets.len() % 100 == 0 {
                self.settle();
            }
        }
        self.settle();
        sockets
    }

    /// A connection: the client's socket and the server's.
    pub fn connect(&mut self, listener: ListenerId) -> (SocketId, SocketId) {
        let near = self.dial();
        self.settle();
        let Accepted { socket, peer, local } = self.server.sockets.accept(listener).expect("accepted");
        assert_eq!((peer, local), (client(self.next_client - 1), SERVER));
        self.settle();
        (near, socket)
    }

    /// Nothing is left of any connection, and all frames are home.
    pub fn assert_clean(&mut self) {
        for host in [&mut self.client, &mut self.server] {
            host.assert_balanced();
            let gauges = host.observer.snapshot().gauges;
            assert_eq!((gauges.connections, gauges.half_open), (0, 0), "{gauges:?}");
        }
    }
}
