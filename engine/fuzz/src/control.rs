//! Any bytes at the control socket.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use synward::config::Config;
use synward::control::server::{View, answer};
use synward::shield::{Guard, GuardPlan};
use synward_engine::{EngineConfig, build};
use synward_nic::{FrameBudget, MemoryPort, MemoryPortConfig};
use synward_proto::isn::Secrets;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Bytes that are under way in each direction at most.
const PIPE: usize = 64 * 1024;

/// A request of this many bytes at least: methods are whatever a server has, and a line may end without its CR (RFC 9112, 2.2).
const LEAST_REQUEST: usize = b"T / HTTP/1.1\n\n".len();

/// What one request may draw: the longest answer is the list of all counters.
const LONGEST_ANSWER: usize = 32 * 1024;

/// How often the server gets its turn before the client hangs up.
const TURNS: usize = 24;

/// A server, and a way to connect to it.
struct Server {
    runtime: Runtime,
    clients: UnboundedSender<DuplexStream>,
}

/// Where clients come from.
struct Clients(UnboundedReceiver<DuplexStream>);

impl axum::serve::Listener for Clients {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    static SERVER: RefCell<Server> = RefCell::new(Server::new());
}

/// Whatever a client sends, it is answered by HTTP or not at all, at most once for each request and with a bounded number of
/// bytes; and when it hangs up, so does the server, which answers the next one as before.
pub fn control(data: &[u8]) {
    SERVER.with_borrow_mut(|server| {
        let said = server.ask(data);
        bounded(data, &said);
        let next = server.ask(b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(next.starts_with(b"HTTP/1.1 404 Not Found\r\n"), "{}", String::from_utf8_lossy(&next));
    });
}

impl Server {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (clients, arriving) = unbounded_channel();
        runtime.spawn(answer(Clients(arriving), Arc::new(view())));
        Self { runtime, clients }
    }

    /// Connects, sends, waits for a while, hangs up; what was answered.
    fn ask(&self, request: &[u8]) -> Vec<u8> {
        let (mut client, server) = duplex(PIPE);
        self.clients.send(server).expect("the server takes whoever comes");
        self.runtime.block_on(async {
            let mut said = Vec::new();
            // A server that has had enough does not read on.
            let _ = client.write_all(&request[..request.len().min(PIPE)]).await;
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
            let closed = tokio::time::timeout(Duration::from_secs(5), client.read_to_end(&mut said)).await;
            assert!(closed.is_ok(), "the client has hung up, and the server has not");
            said
        })
    }
}

/// What was said is answers, no more of them than there can be requests, and none too long.
fn bounded(request: &[u8], said: &[u8]) {
    let requests = request.len() / LEAST_REQUEST + 1;
    assert!(said.len() <= requests * LONGEST_ANSWER, "{} bytes for {requests} requests", said.len());
    assert!(said.is_empty() || said.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(said));
    let answers = said.windows(9).filter(|window| window.starts_with(b"HTTP/1.") && window[8] == b' ').count();
    assert!(answers <= requests, "{answers} answers to {requests} requests");
}

/// A server without an interface, whose engine and guard have ended: what they would be asked is refused at once.
fn view() -> View {
    let budget = FrameBudget {
        fill_ring: 16,
        rx_ring: 16,
        burst: 16,
        tx_ring: 16,
        completion_ring: 16,
        transmit_backlog: 16,
        readers: 16,
        reply_reserve: 16,
    };
    let (port, _wire) =
        MemoryPort::with_wire(MemoryPortConfig { budget, ..MemoryPortConfig::default() }).expect("memory");
    let config = EngineConfig { max_connections: 16, max_time_waits: 16, ..EngineConfig::default() };
    let observer = build(config, port).expect("an engine").observer;
    let plan = GuardPlan {
        listeners: Vec::new(),
        settings: Config::parse("front.toml", LEAST).expect("a configuration").shield,
        backends: Vec::new(),
        cookie_keys: Secrets::from_seed(&[7; Secrets::SEED_LEN]).cookie_keys(Duration::from_secs(600)),
    };
    let guard = Guard::start(plan, Vec::new(), observer.clone()).expect("a thread");
    let shield = guard.handle();
    assert!(guard.end(), "the guard ends when it is told to");
    View { observer, shield, modes: BTreeMap::new(), syncookies: "auto", proxy: None }
}

/// The least configuration.
const LEAST: &str = "\
[[interface]]
name = 'eth0'

[[listener]]
name = 'web'
address = '10.0.0.1:80'
pool = 'web'

[[pool]]
name = 'web'
backend = [{ address = '10.0.1.1:8080' }]
";
