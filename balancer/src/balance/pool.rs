//! A pool of backends: who is next, and how each of them does.

use super::{BackendIndex, Health, Maglev, RoundRobin, TriedSet};
use crate::config::{Backoff, Balance, PoolConfig};
use std::time::Instant;
use synward_proto::Tuple;

/// Chooses backends for connections, and learns from what comes of them.
///
/// Every backend that [`pick`](Self::pick) gives must be accounted for by exactly one of
/// [`succeeded`](Self::succeeded), [`refused`](Self::refused), [`timed_out`](Self::timed_out) and
/// [`abandoned`](Self::abandoned), and a success later by [`closed`](Self::closed).
#[derive(Debug)]
pub struct Pool {
    policy: Policy,
    backoff: Backoff,
    backends: Vec<Backend>,
}

#[derive(Debug)]
enum Policy {
    RoundRobin(RoundRobin),
    Maglev(Maglev),
}

#[derive(Debug)]
struct Backend {
    health: Health,
    stats: BackendStats,
}

/// What a backend has had to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BackendStats {
    /// Connections that were sent to it and of which it is not known yet what came of them.
    pub connecting: u64,
    /// Connections that it has now.
    pub connections: u64,
    /// Connections that it has had, those of now included.
    pub total: u64,
    /// Connections that it refused.
    pub refused: u64,
    /// Connections that it did not answer in time.
    pub timed_out: u64,
}

impl Pool {
    /// A pool in which every backend is believed to work.
    pub fn new(config: &PoolConfig) -> Self {
        let weights = || config.backends.iter().map(|backend| backend.weight);
        let policy = match config.balance {
            Balance::RoundRobin => Policy::RoundRobin(RoundRobin::new(weights())),
            Balance::Maglev { table_size } => {
                let backends: Vec<_> = config.backends.iter().map(|it| (it.address, it.weight)).collect();
                Policy::Maglev(Maglev::new(&backends, table_size))
            }
        };
        let new = |_| Backend { health: Health::Up, stats: BackendStats::default() };
        Self { policy, backoff: config.backoff, backends: config.backends.iter().map(new).collect() }
    }

    /// A backend for a connection whose client and listener are `connection` (seen from us: the client is remote), which has
    /// been to those of `tried` in vain.
    ///
    /// A backend in backoff is left out; once its backoff has ended it gets one connection on trial, and no other until that
    /// one has succeeded. Where no backend is up, a connection that has not tried any yet is sent to the one whose backoff
    /// ends first: only connections tell whether a backend works, and as with HAProxy's servers without health checks no
    /// client is turned away untried. It makes that one try, so that a pool that is down is not asked once more by each client
    /// for each of its backends. `None` otherwise, and where every backend is draining.
    pub fn pick(&mut self, now: Instant, connection: &Tuple, tried: &TriedSet) -> Option<BackendIndex> {
        let backends = &self.backends;
        let usable = |index: BackendIndex| {
            !tried.contains(index) && backends.get(index.get()).is_some_and(|it| it.health.is_usable(now))
        };
        let by_policy = match &mut self.policy {
            Policy::RoundRobin(round_robin) => round_robin.pick(usable),
            Policy::Maglev(maglev) => maglev.pick(connection, usable),
        };
        let index = by_policy.or_else(|| if tried.is_empty() { self.first_to_recover() } else { None })?;
        let backend = self.backends.get_mut(index.get())?;
        backend.health = backend.health.picked(now);
        backend.stats.connecting += 1;
        Some(index)
    }

    /// The backend took the connection: it is up, whatever was believed.
    pub fn succeeded(&mut self, backend: BackendIndex) {
        if let Some(Backend { health, stats, .. }) = self.ended_connecting(backend) {
            *health = Health::Up;
            stats.connections += 1;
            stats.total += 1;
        }
    }

    /// The backend, or something on the way to it, refused the connection.
    pub fn refused(&mut self, now: Instant, backend: BackendIndex) {
        let backoff = self.backoff;
        if let Some(Backend { health, stats, .. }) = self.ended_connecting(backend) {
            *health = health.failed(now, backoff);
            stats.refused += 1;
        }
    }

    /// The backend did not answer within [`connect_timeout`](PoolConfig::connect_timeout).
    pub fn timed_out(&mut self, now: Instant, backend: BackendIndex) {
        let backoff = self.backoff;
        if let Some(Backend { health, stats, .. }) = self.ended_connecting(backend) {
            *health = health.failed(now, backoff);
            stats.timed_out += 1;
        }
    }

    /// The client went away, or we could not connect for a reason of our own, before the backend said anything.
    pub fn abandoned(&mut self, backend: BackendIndex) {
        if let Some(Backend { health, .. }) = self.ended_connecting(backend) {
            *health = health.abandoned();
        }
    }

    /// A connection that had succeeded is over.
    pub fn closed(&mut self, backend: BackendIndex) {
        if let Some(backend) = self.backends.get_mut(backend.get()) {
            backend.stats.connections = backend.stats.connections.saturating_sub(1);
        }
    }

    /// What is believed of a backend; `None` where there is none of this index.
    pub fn health(&self, backend: BackendIndex) -> Option<Health> {
        self.backends.get(backend.get()).map(|backend| backend.health)
    }

    /// What each backend has had to do, in the order of the configuration.
    pub fn stats(&self) -> impl Iterator<Item = (Health, BackendStats)> {
        self.backends.iter().map(|backend| (backend.health, backend.stats))
    }

    fn ended_connecting(&mut self, backend: BackendIndex) -> Option<&mut Backend> {
        let backend = self.backends.get_mut(backend.get())?;
        backend.stats.connecting = backend.stats.connecting.saturating_sub(1);
        Some(backend)
    }

    /// Of those that are down. A draining one is never among them: it gets no connection that could fail.
    fn first_to_recover(&self) -> Option<BackendIndex> {
        let waiting = |(index, it): (BackendIndex, &Backend)| Some((it.health.retry_at()?, index));
        let all = BackendIndex::first(self.backends.len()).zip(&self.backends);
        all.filter_map(waiting).min().map(|(_, index)| index)
    }
}
