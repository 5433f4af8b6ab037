//! From an accepted client to a backend that has taken it.

use super::relay::Relay;
use super::session::{Attempt, Stage};
use super::ways::{Sources, Start};
use super::{Farewell, IDLE_CHECKS, PoolState, Proxy};
use crate::balance::{BackendIndex, TriedSet};
use std::time::Duration;
use synward_engine::{ConnectConfig, Delivery, Interest, Ready, SocketCore, SocketError, SocketId};
use synward_proto::{Endpoint, Instant};

/// How soon a client for which there was no backend looks again.
const PATIENCE: Duration = Duration::from_millis(100);

/// Why an attempt came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Miss {
    /// The backend, or the way to it, did not take the connection.
    Refused,
    /// No way leads there now.
    NoWay,
    /// It did not answer in time.
    TimedOut,
    /// No source port is free towards it: not its fault.
    NoSourcePort,
    /// The engine is full: not its fault either.
    NoRoom,
}

impl Miss {
    fn of(error: SocketError) -> Self {
        match error {
            SocketError::TimedOut => Self::TimedOut,
            SocketError::AddressNotAvailable => Self::NoSourcePort,
            SocketError::NoBuffers => Self::NoRoom,
            SocketError::WouldBlock
            | SocketError::ConnectionReset
            | SocketError::ConnectionRefused
            | SocketError::NotConnected
            | SocketError::BrokenPipe
            | SocketError::BadSocket
            | SocketError::AddressInUse
            | SocketError::NetworkUnreachable
            | SocketError::HostUnreachable
            | SocketError::HostDown
            | SocketError::NotOnNetwork
            | SocketError::NoProtocol
            | SocketError::NotSupported
            | SocketError::Prohibited
            | SocketError::Protocol
            | SocketError::Invalid
            | SocketError::NetworkDown => Self::Refused,
        }
    }
}

impl Proxy {
    /// Has the pool choose a backend that was not tried yet, and begins to connect to it; lets the client go when there is none.
    pub(super) fn find_backend(&mut self, core: &mut SocketCore, now: Instant, key: usize) {
        let pool_now = self.pool_time(now);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let number = self.listeners[session.listener].pool;
        let state = &mut self.pools[number];
        let Some(backend) = state.pool.pick(pool_now, &session.tuple, &session.tried) else {
            return self.try_later(core, now, key);
        };
        session.tried.insert(backend);
        session.stage = Stage::Connecting(Some(Attempt { backend, socket: None, sources: Sources::default() }));
        self.deadlines.set(key, &mut session.deadline, now + state.connect_timeout);
        self.stats.publish(number, backend, &state.pool);
        self.connect(core, now, key);
    }

    /// No backend is left. Where a way was missing or an answer, as when a link is down or has lost the SYN, the client is not
    /// let go at once, but all are tried again for as long as a backend may take to answer (HAProxy: `retries`).
    fn try_later(&mut self, core: &mut SocketCore, now: Instant, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        match session.patient_until.filter(|&until| now < until) {
            Some(until) => self.deadlines.set(key, &mut session.deadline, until.min(now + PATIENCE)),
            None => self.end(core, key, Farewell::NoBackend),
        }
    }

    /// Opens a connection to the backend of the session's attempt, from the next source.
    fn connect(&mut self, core: &mut SocketCore, now: Instant, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Stage::Connecting(Some(attempt)) = &mut session.stage else { return };
        let remote = self.pools[self.listeners[session.listener].pool].backends[attempt.backend.get()];
        let near = core.shard_of(session.client).ok();
        let before = attempt.sources;
        let Start { shard, source, link } = match self.ways.start(remote.addr, near, &mut attempt.sources) {
            Ok(Some(start)) => start,
            Ok(None) => return self.missed(core, now, key, Miss::NoSourcePort),
            Err(reason) => {
                if let Some(more) = self.log_limit.allows(now) {
                    tracing::warn!(more, "a client cannot be connected: {reason}");
                }
                let miss = if reason.may_pass() { Miss::NoWay } else { Miss::Refused };
                return self.missed(core, now, key, miss);
            }
        };
        let config = ConnectConfig {
            shard: Some(shard),
            delivery: Delivery::Held,
            ..ConnectConfig::new(Endpoint::new(source, 0), remote, link)
        };
        match core.connect(config) {
            Ok(socket) => {
                attempt.socket = Some(socket);
                self.by_socket.insert(socket, key);
                let told = core.set_interest(socket, Interest::WRITE);
                debug_assert!(told.is_ok(), "it was opened just now");
            }
            Err(SocketError::WouldBlock) => {
                attempt.sources = before;
                self.waiting.push(key);
            }
            Err(error) => self.missed(core, now, key, Miss::of(error)),
        }
    }

    /// Tries again to connect where there was no room for the request.
    pub(super) fn retry_waiting(&mut self, core: &mut SocketCore, now: Instant) {
        for key in std::mem::take(&mut self.waiting) {
            let stage = self.sessions.get(key).map(|session| &session.stage);
            if matches!(stage, Some(Stage::Connecting(Some(Attempt { socket: None, .. })))) {
                self.connect(core, now, key);
            }
        }
    }

    /// Something became of the connection to the backend.
    pub(super) fn on_backend(&mut self, core: &mut SocketCore, now: Instant, key: usize, ready: Ready) {
        let Some(session) = self.sessions.get(key) else { return };
        let Stage::Connecting(Some(Attempt { backend, socket: Some(socket), .. })) = session.stage else { return };
        if ready.error || ready.hangup {
            let error = core.take_error(socket).ok().flatten().unwrap_or(SocketError::ConnectionReset);
            self.give_up_attempt(core, key);
            self.try_again(core, now, key, Miss::of(error));
        } else if ready.writable {
            self.join(core, now, key, (backend, socket));
        }
    }

    /// Backends that were tried in vain may do by now.
    pub(super) fn try_all_again(&mut self, core: &mut SocketCore, now: Instant, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.tried = TriedSet::default();
        self.find_backend(core, now, key);
    }

    /// The backend has had its time.
    pub(super) fn on_connect_timeout(&mut self, core: &mut SocketCore, now: Instant, key: usize) {
        let Some(session) = self.sessions.get(key) else { return };
        let Stage::Connecting(Some(attempt)) = &session.stage else { return };
        let was_asked = attempt.socket.is_some();
        self.give_up_attempt(core, key);
        self.missed(core, now, key, if was_asked { Miss::TimedOut } else { Miss::NoRoom });
    }

    /// Gives the socket of an attempt back.
    fn give_up_attempt(&mut self, core: &mut SocketCore, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Stage::Connecting(Some(attempt)) = &mut session.stage
            && let Some(socket) = attempt.socket.take()
        {
            self.by_socket.remove(&socket);
            let given_back = core.abort(socket);
            debug_assert!(given_back.is_ok(), "nobody else gives sockets back");
        }
    }

    /// After an attempt from one source came to nothing: the next source, or the next backend.
    fn try_again(&mut self, core: &mut SocketCore, now: Instant, key: usize, miss: Miss) {
        match miss {
            Miss::NoSourcePort => self.connect(core, now, key),
            Miss::Refused | Miss::NoWay | Miss::TimedOut | Miss::NoRoom => self.missed(core, now, key, miss),
        }
    }

    /// Tells the pool that an attempt came to nothing, and goes on to the next backend unless the fault is ours.
    fn missed(&mut self, core: &mut SocketCore, now: Instant, key: usize, miss: Miss) {
        let farewell = match miss {
            Miss::NoSourcePort => Farewell::NoSourcePort,
            Miss::NoRoom => Farewell::NoRoom,
            Miss::Refused | Miss::NoWay | Miss::TimedOut => {
                self.blame(now, key, miss);
                return self.find_backend(core, now, key);
            }
        };
        if let Some(more) = self.log_limit.allows(now) {
            tracing::warn!(more, "a client is reset: {}", farewell.reason());
        }
        self.end(core, key, farewell);
    }

    fn blame(&mut self, now: Instant, key: usize, miss: Miss) {
        let pool_now = self.pool_time(now);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Stage::Connecting(attempt) = &mut session.stage else { return };
        let Some(Attempt { backend, .. }) = attempt.take() else { return };
        let number = self.listeners[session.listener].pool;
        let PoolState { pool, connect_timeout, .. } = &mut self.pools[number];
        if matches!(miss, Miss::NoWay | Miss::TimedOut) {
            session.patient_until.get_or_insert(now + *connect_timeout);
        }
        match miss {
            Miss::TimedOut => pool.timed_out(pool_now, backend),
            Miss::Refused | Miss::NoWay | Miss::NoSourcePort | Miss::NoRoom => pool.refused(pool_now, backend),
        }
        self.stats.publish(number, backend, pool);
    }

    /// The backend has taken the connection: from now on bytes go across.
    fn join(&mut self, core: &mut SocketCore, now: Instant, key: usize, backend: (BackendIndex, SocketId)) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let (client, idle) = (session.client, self.listeners[session.listener].idle_timeout);
        let same_shard = core.shard_of(client).is_ok() && core.shard_of(client) == core.shard_of(backend.1);
        let joined = if same_shard {
            core.splice(client, backend.1, idle)
        } else {
            core.deliver(client).and_then(|()| core.deliver(backend.1))
        };
        if joined.is_err() {
            // The client has gone, and this turn has not come to that yet; or the backend, which comes to the same.
            return self.end(core, key, Farewell::ClientGone);
        }
        session.patient_until = None;
        let number = self.listeners[session.listener].pool;
        let pool = &mut self.pools[number].pool;
        pool.succeeded(backend.0);
        self.stats.publish(number, backend.0, pool);
        if same_shard {
            session.stage = Stage::Spliced(backend.0);
            self.by_socket.remove(&backend.1);
            self.deadlines.clear(key, &mut session.deadline);
            self.stats.spliced();
        } else {
            session.stage = Stage::Relayed(Relay::new(now, client, backend));
            self.deadlines.set(key, &mut session.deadline, now + idle / IDLE_CHECKS);
            self.stats.relayed();
            self.relay(core, now, key);
        }
    }

    /// The same moment on the clock of the pools.
    fn pool_time(&self, now: Instant) -> std::time::Instant {
        self.epoch + now.since(Instant::ZERO)
    }
}
