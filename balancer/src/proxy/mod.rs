//! The proxy: each accepted client gets a connection to a backend, and what comes from either goes to the other.
//!
//! A [`Proxy`] is one worker's: it lives on a thread of its own or on that of a poll loop, never blocks, and shares nothing
//! with the others but [`ProxyStats`]. A client goes through three stages:
//!
//! 1. *Connecting.* Its bytes are held in its shard while a backend is found: the pool chooses one, [`Routes`] says how it is
//!    reached, and a connection is opened, from a shard of that interface and, where it can, from the client's own. One
//!    that fails is told to the pool and the next one is tried; nothing has been sent to it yet. When none is left,
//!    and a way was missing or an answer, as when a link is down, all are tried again for as long as a backend may take.
//! 2. *Joined.* When both connections are of one shard they are [spliced](SocketCore::splice) there. Otherwise
//!    the worker relays what comes, as far as the other side has room for it, so that it holds no bytes itself.
//! 3. *Over*, when both streams have ended, either side fails (the other is reset), or nothing came for too long.
//!
//! ```no_run
//! use std::sync::Arc;
//! use synward::config::Config;
//! use synward::proxy::{BackendInterface, Proxy, ProxyStats, Routes, Ways};
//! use synward_engine::{PollLoop, SocketCore};
//! use synward_nic::Port;
//!
//! fn proxy_on(
//!     poll_loop: PollLoop<impl Port>,
//!     mut core: SocketCore,
//!     config: &Config,
//!     interfaces: Vec<BackendInterface>,
//!     routes: Box<dyn Routes + Send>,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let stats = Arc::new(ProxyStats::new(config, 1));
//!     let mut proxy = Proxy::new(config, Ways::new(routes, interfaces), stats.worker(0));
//!     proxy.listen(&mut core, config)?;
//!     Ok(poll_loop.run_with(core, move |core, now| proxy.turn(core, now))?)
//! }
//! ```

mod connecting;
mod deadlines;
mod guarded;
mod relay;
mod session;
mod stats;
mod ways;

pub use guarded::{Guarded, Make};
pub use stats::{BackendReport, ListenerReport, PoolReport, ProxyReport, ProxyStats, WorkerStats};
pub use ways::{BackendInterface, NoRoute, Route, Routes, Ways};

use crate::balance::Pool;
use crate::config::Config;
use crate::log_limit::LogLimit;
use deadlines::Deadlines;
use relay::Progress;
use session::{Session, Stage};
use slab::Slab;
use std::collections::HashMap;
use std::time::Duration;
use synward_engine::{
    Accepted, Delivery, ListenConfig, ListenerId, Ready, SocketCore, SocketError, SocketId, Source, SpliceEnd,
};
use synward_proto::{Endpoint, Instant};

/// Clients accepted per listener and turn, before the others have theirs.
const ACCEPTS_PER_TURN: usize = 64;
/// Bytes moved per step of a relay: what fits in one request to the engine.
const STEP: usize = 64 * 1024;
/// How often a relay is looked at per idle timeout. A slow reader is not idle while it takes what waits for it, and the worker learns
/// of that by looking: it may find a relay idle by so much of the timeout too late.
const IDLE_CHECKS: u32 = 4;
/// How soon a listener that is at its limit is looked at again: another worker's client may have gone.
const LIMIT_PATIENCE: Duration = Duration::from_millis(10);

/// One worker's part of the front end.
pub struct Proxy {
    listeners: Box<[Listener]>,
    /// The engine's listeners, and the index of each in `listeners`.
    addresses: HashMap<ListenerId, usize>,
    pools: Box<[PoolState]>,
    ways: Ways,
    sessions: Slab<Session>,
    /// Whose sockets they are.
    by_socket: HashMap<SocketId, usize>,
    deadlines: Deadlines,
    /// Sessions whose connect found no room in the ring to the shard.
    waiting: Vec<usize>,
    /// When to take clients again at listeners that are paused.
    resume: Option<Instant>,
    scratch: Box<[u8]>,
    stats: WorkerStats,
    log_limit: LogLimit,
    /// What a pool's clock shows at the engine's instant zero.
    epoch: std::time::Instant,
}

/// What is to be known of a listener.
struct Listener {
    pool: usize,
    idle_timeout: Duration,
}

/// A pool of this worker's own, and what else there is to know of it.
struct PoolState {
    pool: Pool,
    backends: Box<[Endpoint]>,
    connect_timeout: Duration,
}

/// Why a client is let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Farewell {
    /// Both streams were carried to their ends.
    Closed,
    /// One side failed, and the other is reset.
    Failed,
    /// The same, and nothing had gone to the backend.
    FailedUnheard,
    /// Nothing came for too long.
    Idle,
    /// It went away before there was a backend for it.
    ClientGone,
    /// No backend took it.
    NoBackend,
    /// No source port was free.
    NoSourcePort,
    /// A limit of the engine was reached.
    NoRoom,
    /// The worker was asked to end all.
    Aborted,
}

impl Farewell {
    /// One side failed after so many bytes had gone to the backend.
    const fn failed(to_backend: u64) -> Self {
        if to_backend == 0 { Self::FailedUnheard } else { Self::Failed }
    }

    /// What a log line says.
    const fn reason(self) -> &'static str {
        match self {
            Self::Closed => "both streams have ended",
            Self::Failed | Self::FailedUnheard => "one side failed",
            Self::Idle => "nothing came for too long",
            Self::ClientGone => "it went away",
            Self::NoBackend => "no backend took it",
            Self::NoSourcePort => {
                "no source port is free towards its backend: give the interface more source_addresses"
            }
            Self::NoRoom => "the engine is full: raise max_connections",
            Self::Aborted => "the proxy is ending",
        }
    }
}

impl Proxy {
    /// A proxy that listens nowhere yet. `stats` are those of its worker.
    pub fn new(config: &Config, ways: Ways, stats: WorkerStats) -> Self {
        let listener = |it: &crate::config::ListenerConfig| Listener { pool: it.pool, idle_timeout: it.idle_timeout };
        let pool = |it: &crate::config::PoolConfig| PoolState {
            pool: Pool::new(it),
            backends: it.backends.iter().map(|backend| backend.address).collect(),
            connect_timeout: it.connect_timeout,
        };
        Self {
            listeners: config.listeners.iter().map(listener).collect(),
            addresses: HashMap::new(),
            pools: config.pools.iter().map(pool).collect(),
            ways,
            sessions: Slab::new(),
            by_socket: HashMap::new(),
            deadlines: Deadlines::default(),
            waiting: Vec::new(),
            resume: None,
            scratch: vec![0; STEP].into(),
            stats,
            log_limit: LogLimit::default(),
            epoch: std::time::Instant::now(),
        }
    }

    /// Listens on every address of the configuration that this proxy was made of. All workers of an engine do.
    ///
    /// # Errors
    /// The address at which the engine would not listen, and why; others may be listening then.
    pub fn listen(&mut self, core: &mut SocketCore, config: &Config) -> Result<(), ListenError> {
        for (number, listener) in config.listeners.iter().enumerate() {
            for &local in &listener.addresses {
                let listen = ListenConfig { backlog: listener.backlog, shared: true, ..ListenConfig::new(local) };
                let id = core.listen(listen).map_err(|source| ListenError { local, source })?;
                self.addresses.insert(id, number);
            }
        }
        Ok(())
    }

    /// One turn: takes the engine's news, accepts, connects, relays, and lets go what is over or late. Returns when the next turn is
    /// due though the engine may have nothing to say until then.
    pub fn turn(&mut self, core: &mut SocketCore, now: Instant) -> Option<Instant> {
        self.resume_listeners(core, now);
        core.poll();
        self.retry_waiting(core, now);
        while let Some((source, ready)) = core.next_ready() {
            match source {
                Source::Listener(listener) => self.accept_some(core, now, listener),
                Source::Socket(socket) => self.on_ready(core, now, socket, ready),
            }
        }
        self.run_deadlines(core, now);
        self.deadlines.next().into_iter().chain(self.resume).min()
    }

    /// Clients that are being connected or served.
    pub fn connections(&self) -> usize {
        self.sessions.len()
    }

    /// Takes no more clients; those that are there go on. Clients that wait to be accepted are reset by the last worker that drains.
    pub fn drain(&mut self, core: &mut SocketCore) {
        for (listener, _) in self.addresses.drain() {
            if let Err(error) = core.unlisten(listener) {
                tracing::debug!(?listener, "ending a listener: {error}");
            }
        }
        self.resume = None;
    }

    /// Resets all clients and their backends.
    pub fn abort_all(&mut self, core: &mut SocketCore) {
        let all: Vec<_> = self.sessions.iter().map(|(key, _)| key).collect();
        all.into_iter().for_each(|key| self.end(core, key, Farewell::Aborted));
    }

    fn resume_listeners(&mut self, core: &mut SocketCore, now: Instant) {
        if self.resume.is_some_and(|resume| resume <= now) {
            self.resume = None;
            self.addresses.keys().for_each(|&listener| pause(core, listener, false));
        }
    }

    fn accept_some(&mut self, core: &mut SocketCore, now: Instant, id: ListenerId) {
        let Some(&listener) = self.addresses.get(&id) else { return };
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.stats.admit(listener) {
                return self.rest(core, now, id);
            }
            match core.accept_with(id, Delivery::Held) {
                Ok(accepted) => self.begin(core, now, listener, accepted),
                Err(error) => {
                    self.stats.dismiss(listener);
                    if error != SocketError::WouldBlock {
                        self.rest(core, now, id);
                    }
                    return;
                }
            }
        }
    }

    /// Leaves clients in the queue until one that is here has gone.
    fn rest(&mut self, core: &mut SocketCore, now: Instant, listener: ListenerId) {
        pause(core, listener, true);
        self.resume.get_or_insert(now + LIMIT_PATIENCE);
    }

    fn begin(&mut self, core: &mut SocketCore, now: Instant, listener: usize, accepted: Accepted) {
        self.stats.accepted(listener);
        let client = accepted.socket;
        let key = self.sessions.insert(Session::new(listener, accepted));
        self.by_socket.insert(client, key);
        self.find_backend(core, now, key);
    }

    fn on_ready(&mut self, core: &mut SocketCore, now: Instant, socket: SocketId, ready: Ready) {
        let Some(&key) = self.by_socket.get(&socket) else { return };
        let Some(session) = self.sessions.get(key) else { return };
        match &session.stage {
            Stage::Connecting(_) if socket != session.client => self.on_backend(core, now, key, ready),
            Stage::Connecting(_) if ready.hangup || ready.error => self.end(core, key, Farewell::ClientGone),
            Stage::Connecting(_) => {}
            Stage::Relayed(relay) if ready.error => {
                let [to_backend, _] = relay.bytes();
                self.end(core, key, Farewell::failed(to_backend));
            }
            Stage::Relayed(_) => self.relay(core, now, key),
            Stage::Spliced(_) => self.on_spliced(core, now, key),
        }
    }

    /// Carries across what has come.
    fn relay(&mut self, core: &mut SocketCore, now: Instant, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Stage::Relayed(relay) = &mut session.stage else { return };
        let before = relay.bytes();
        let progress = relay.pump(core, &mut self.scratch);
        let after = relay.bytes();
        let moved = [after[0] - before[0], after[1] - before[1]];
        if moved != [0, 0] {
            relay.moved = now;
            let pool = self.listeners[session.listener].pool;
            self.stats.carried(pool, relay.backend, moved);
        }
        match progress {
            Progress::Open => {}
            Progress::Over => self.end(core, key, Farewell::Closed),
            Progress::Failed => self.end(core, key, Farewell::failed(after[0])),
        }
    }

    /// Hears how a splice ended.
    fn on_spliced(&mut self, core: &mut SocketCore, now: Instant, key: usize) {
        let Some(session) = self.sessions.get(key) else { return };
        let Stage::Spliced(backend) = session.stage else { return };
        let Ok(Some(report)) = core.splice_report(session.client) else {
            // The poll loop has ended, and its connections with it.
            return self.end(core, key, Farewell::Failed);
        };
        let pool = self.listeners[session.listener].pool;
        self.stats.carried(pool, backend, [report.forward, report.backward]);
        let farewell = match report.end {
            SpliceEnd::Unused(_) => return self.try_another(core, now, key),
            SpliceEnd::Closed => Farewell::Closed,
            SpliceEnd::First(_) | SpliceEnd::Second(_) => Farewell::failed(report.forward),
            SpliceEnd::Idle => Farewell::Idle,
            SpliceEnd::Ended => Farewell::Aborted,
        };
        self.end(core, key, farewell);
    }

    /// The backend took the connection and failed before a byte of the client had gone to it.
    fn try_another(&mut self, core: &mut SocketCore, now: Instant, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Stage::Spliced(backend) = std::mem::replace(&mut session.stage, Stage::Connecting(None)) else { return };
        let number = self.listeners[session.listener].pool;
        let pool = &mut self.pools[number].pool;
        pool.closed(backend);
        self.stats.publish(number, backend, pool);
        self.find_backend(core, now, key);
    }

    fn run_deadlines(&mut self, core: &mut SocketCore, now: Instant) {
        while let Some(key) = self.deadlines.pop(now) {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            session.deadline = None;
            match &mut session.stage {
                Stage::Connecting(Some(_)) => self.on_connect_timeout(core, now, key),
                Stage::Connecting(None) => self.try_all_again(core, now, key),
                Stage::Relayed(relay) => {
                    if relay.was_read(core) {
                        relay.moved = now;
                    }
                    let idle_timeout = self.listeners[session.listener].idle_timeout;
                    let due = relay.moved + idle_timeout;
                    if due > now {
                        let next = due.min(now + idle_timeout / IDLE_CHECKS);
                        self.deadlines.set(key, &mut session.deadline, next);
                    } else {
                        self.end(core, key, Farewell::Idle);
                    }
                }
                // The engine watches over it.
                Stage::Spliced(_) => {}
            }
        }
    }

    /// Lets a client go, and its backend.
    fn end(&mut self, core: &mut SocketCore, key: usize, farewell: Farewell) {
        let Some(mut session) = self.sessions.try_remove(key) else { return };
        self.deadlines.clear(key, &mut session.deadline);
        let orderly = farewell == Farewell::Closed;
        for socket in [Some(session.client), session.stage.backend_socket()].into_iter().flatten() {
            self.by_socket.remove(&socket);
            let given_back = if orderly { core.close(socket) } else { core.abort(socket) };
            debug_assert!(given_back.is_ok(), "nobody else gives sockets back");
        }
        self.settle_with_pool(&session);
        self.stats.ended(session.listener, farewell);
        if self.resume.is_some() {
            self.resume = Some(Instant::ZERO);
        }
    }

    /// Tells the pool that a backend is free of this client.
    fn settle_with_pool(&mut self, session: &Session) {
        let number = self.listeners[session.listener].pool;
        let pool = &mut self.pools[number].pool;
        let backend = match &session.stage {
            Stage::Connecting(None) => return,
            Stage::Connecting(Some(attempt)) => {
                pool.abandoned(attempt.backend);
                attempt.backend
            }
            Stage::Relayed(relay) => {
                pool.closed(relay.backend);
                relay.backend
            }
            Stage::Spliced(backend) => {
                pool.closed(*backend);
                *backend
            }
        };
        self.stats.publish(number, backend, pool);
    }
}

impl Drop for Proxy {
    /// The engine resets its clients; nobody counts them any more, and others may take their places.
    fn drop(&mut self) {
        for (_, session) in std::mem::take(&mut self.sessions) {
            self.settle_with_pool(&session);
            self.stats.ended(session.listener, Farewell::Aborted);
        }
    }
}

fn pause(core: &mut SocketCore, listener: ListenerId, paused: bool) {
    if let Err(error) = core.pause(listener, paused) {
        tracing::debug!(?listener, "pausing a listener: {error}");
    }
}

/// The engine would not listen at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("listening on {local}: {source}")]
pub struct ListenError {
    /// The address.
    pub local: Endpoint,
    /// Why.
    pub source: SocketError,
}
