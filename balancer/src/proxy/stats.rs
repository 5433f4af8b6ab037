//! What the workers of a proxy count, and what the control socket shows of it.

use super::Farewell;
use crate::balance::{BackendIndex, BackendStats, Health, Pool};
use crate::config::Config;
use crossbeam::utils::CachePadded;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use synward_engine::Tally;

/// The numbers of all workers. Each worker writes its own without locked instructions; what all of them share is how many clients a
/// listener has, which its limit is about.
#[derive(Debug)]
pub struct ProxyStats {
    listeners: Box<[ListenerShared]>,
    pools: Box<[PoolNames]>,
    workers: Box<[CachePadded<Counts>]>,
}

/// What all workers share of a listener.
#[derive(Debug)]
struct ListenerShared {
    name: String,
    limit: u32,
    clients: CachePadded<AtomicU32>,
}

#[derive(Debug)]
struct PoolNames {
    name: String,
    /// Each with its address, and whether it is draining.
    backends: Box<[(String, String, bool)]>,
}

/// What one worker counts.
#[derive(Debug)]
struct Counts {
    listeners: Box<[ListenerCounts]>,
    pools: Box<[Box<[BackendCounts]>]>,
    spliced: Tally,
    relayed: Tally,
    idle: Tally,
    failed: Tally,
    failed_unheard: Tally,
    no_source_port: Tally,
    no_room: Tally,
    panics: Tally,
}

#[derive(Debug, Default)]
struct ListenerCounts {
    accepted: Tally,
    no_backend: Tally,
    client_gone: Tally,
}

#[derive(Debug, Default)]
struct BackendCounts {
    connecting: Tally,
    now: Tally,
    total: Tally,
    refused: Tally,
    timed_out: Tally,
    to_backend: Tally,
    from_backend: Tally,
    /// One while this worker leaves the backend alone.
    backoff: Tally,
}

impl BackendCounts {
    fn show(&self, health: Health, stats: &BackendStats) {
        self.connecting.set(stats.connecting);
        self.now.set(stats.connections);
        self.total.set(stats.total);
        self.refused.set(stats.refused);
        self.timed_out.set(stats.timed_out);
        self.backoff.set(u64::from(health != Health::Up));
    }
}

impl ProxyStats {
    /// All zero, for so many workers.
    pub fn new(config: &Config, workers: usize) -> Self {
        let listeners = config.listeners.iter().map(|it| ListenerShared {
            name: it.name.clone(),
            limit: it.max_connections.unwrap_or(u32::MAX),
            clients: CachePadded::default(),
        });
        let pools = config.pools.iter().map(|pool| PoolNames {
            name: pool.name.clone(),
            backends: pool
                .backends
                .iter()
                .map(|it| (it.name.clone(), it.address.to_string(), it.weight == 0))
                .collect(),
        });
        let workers = (0..workers).map(|_| CachePadded::new(Counts::new(config)));
        Self { listeners: listeners.collect(), pools: pools.collect(), workers: workers.collect() }
    }

    /// What the worker of this number writes. A worker's numbers are for one proxy only.
    ///
    /// # Panics
    /// When there is no such worker.
    pub fn worker(self: &Arc<Self>, number: usize) -> WorkerStats {
        assert!(number < self.workers.len(), "worker {number} of {}", self.workers.len());
        WorkerStats { all: Arc::clone(self), number }
    }

    /// All numbers now, those of all workers together. Values of one report may be a moment apart.
    pub fn report(&self) -> ProxyReport {
        let sum = |of: &dyn Fn(&Counts) -> &Tally| self.workers.iter().map(|counts| of(counts).get()).sum();
        ProxyReport {
            listeners: (0..self.listeners.len()).map(|number| self.listener_report(number)).collect(),
            pools: (0..self.pools.len()).map(|number| self.pool_report(number)).collect(),
            spliced: sum(&|counts| &counts.spliced),
            relayed: sum(&|counts| &counts.relayed),
            idle: sum(&|counts| &counts.idle),
            failed: sum(&|counts| &counts.failed),
            failed_unheard: sum(&|counts| &counts.failed_unheard),
            no_source_port: sum(&|counts| &counts.no_source_port),
            no_room: sum(&|counts| &counts.no_room),
            worker_panics: sum(&|counts| &counts.panics),
        }
    }

    fn listener_report(&self, number: usize) -> ListenerReport {
        let shared = &self.listeners[number];
        let sum = |of: fn(&ListenerCounts) -> &Tally| {
            self.workers.iter().map(|counts| of(&counts.listeners[number]).get()).sum()
        };
        ListenerReport {
            name: shared.name.clone(),
            clients: shared.clients.load(Ordering::Relaxed).into(),
            accepted: sum(|counts| &counts.accepted),
            no_backend: sum(|counts| &counts.no_backend),
            client_gone: sum(|counts| &counts.client_gone),
        }
    }

    fn pool_report(&self, number: usize) -> PoolReport {
        let PoolNames { name, backends } = &self.pools[number];
        let backends = backends.iter().enumerate();
        let backends = backends.map(|(index, (name, address, is_draining))| {
            let sum = |of: fn(&BackendCounts) -> &Tally| -> u64 {
                self.workers.iter().map(|counts| of(&counts.pools[number][index]).get()).sum()
            };
            let state = match (is_draining, sum(|counts| &counts.backoff)) {
                (true, _) => "draining",
                (false, 0) => "up",
                (false, _) => "backoff",
            };
            BackendReport {
                name: name.clone(),
                address: address.clone(),
                state: state.to_owned(),
                connecting: sum(|counts| &counts.connecting),
                connections: sum(|counts| &counts.now),
                total: sum(|counts| &counts.total),
                refused: sum(|counts| &counts.refused),
                timed_out: sum(|counts| &counts.timed_out),
                bytes_to: sum(|counts| &counts.to_backend),
                bytes_from: sum(|counts| &counts.from_backend),
            }
        });
        PoolReport { name: name.clone(), backends: backends.collect() }
    }
}

impl Counts {
    fn new(config: &Config) -> Self {
        let backends = |count| (0..count).map(|_| BackendCounts::default()).collect();
        Self {
            listeners: config.listeners.iter().map(|_| ListenerCounts::default()).collect(),
            pools: config.pools.iter().map(|pool| backends(pool.backends.len())).collect(),
            spliced: Tally::default(),
            relayed: Tally::default(),
            idle: Tally::default(),
            failed: Tally::default(),
            failed_unheard: Tally::default(),
            no_source_port: Tally::default(),
            no_room: Tally::default(),
            panics: Tally::default(),
        }
    }
}

/// The numbers of one worker, for its [`Proxy`](super::Proxy) to write.
#[derive(Debug)]
pub struct WorkerStats {
    all: Arc<ProxyStats>,
    number: usize,
}

impl WorkerStats {
    fn own(&self) -> &Counts {
        &self.all.workers[self.number]
    }

    /// Takes a place for one client; false when the listener has as many as it may.
    pub(super) fn admit(&self, listener: usize) -> bool {
        let ListenerShared { limit, clients, .. } = &self.all.listeners[listener];
        let more = |now| (now < *limit).then(|| now + 1);
        clients.try_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives a place back.
    pub(super) fn dismiss(&self, listener: usize) {
        self.all.listeners[listener].clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// A client was accepted into the place that was taken for it.
    pub(super) fn accepted(&self, listener: usize) {
        self.own().listeners[listener].accepted.add(1);
    }

    /// A client is let go; its place is free.
    pub(super) fn ended(&self, listener: usize, farewell: Farewell) {
        self.dismiss(listener);
        let own = self.own();
        match farewell {
            Farewell::ClientGone => own.listeners[listener].client_gone.add(1),
            Farewell::NoBackend => own.listeners[listener].no_backend.add(1),
            Farewell::Idle => own.idle.add(1),
            Farewell::NoSourcePort => own.no_source_port.add(1),
            Farewell::NoRoom => own.no_room.add(1),
            Farewell::Failed => own.failed.add(1),
            Farewell::FailedUnheard => {
                own.failed.add(1);
                own.failed_unheard.add(1);
            }
            Farewell::Closed | Farewell::Aborted => {}
        }
    }

    /// The proxy panicked, and its connections are gone: what follows knows nothing of the backends yet.
    pub(super) fn panicked(&self) {
        let own = self.own();
        own.panics.add(1);
        own.pools.iter().flatten().for_each(|backend| backend.show(Health::Up, &BackendStats::default()));
    }

    /// A client and its backend were spliced.
    pub(super) fn spliced(&self) {
        self.own().spliced.add(1);
    }

    /// The worker begins to relay between a client and its backend.
    pub(super) fn relayed(&self) {
        self.own().relayed.add(1);
    }

    /// Bytes went to a backend and came from it.
    pub(super) fn carried(&self, pool: usize, backend: BackendIndex, [to, from]: [u64; 2]) {
        let backend = &self.own().pools[pool][backend.get()];
        backend.to_backend.add(to);
        backend.from_backend.add(from);
    }

    /// Shows what the pool of this worker knows of a backend.
    pub(super) fn publish(&self, number: usize, backend: BackendIndex, pool: &Pool) {
        let Some((health, stats)) = pool.stats().nth(backend.get()) else { return };
        self.own().pools[number][backend.get()].show(health, &stats);
    }
}

/// `GET /v1/proxy`: what the proxy does, all workers together. Counts are since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProxyReport {
    /// In the order of the configuration.
    pub listeners: Vec<ListenerReport>,
    /// In the order of the configuration.
    pub pools: Vec<PoolReport>,
    /// Clients whose bytes went to their backend within one shard.
    pub spliced: u64,
    /// Clients whose bytes a worker carried.
    pub relayed: u64,
    /// Clients reset because nothing came from either side for too long.
    pub idle: u64,
    /// Clients that failed after they had got a backend, or whose backend did.
    pub failed: u64,
    /// Those of them of whom nothing had gone to the backend.
    pub failed_unheard: u64,
    /// Clients reset because no source port was free.
    pub no_source_port: u64,
    /// Clients reset because the engine was full.
    pub no_room: u64,
    /// How often the proxy of a worker panicked and was replaced. Its counts of backends begin anew then.
    #[serde(default)]
    pub worker_panics: u64,
}

/// A listener's numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ListenerReport {
    /// Its name.
    pub name: String,
    /// Clients now.
    pub clients: u64,
    /// Clients that were accepted.
    pub accepted: u64,
    /// Clients reset because no backend took them.
    pub no_backend: u64,
    /// Clients that went away before there was a backend for them.
    pub client_gone: u64,
}

/// A pool's backends.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PoolReport {
    /// Its name.
    pub name: String,
    /// In the order of the configuration.
    pub backends: Vec<BackendReport>,
}

/// A backend's numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BackendReport {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// `up`, `draining`, or `backoff` while at least one worker leaves it alone.
    pub state: String,
    /// Connections being opened.
    pub connecting: u64,
    /// Connections now.
    pub connections: u64,
    /// Connections that it took.
    pub total: u64,
    /// Connections that it, or something on the way to it, refused.
    pub refused: u64,
    /// Connections that it did not answer in time.
    pub timed_out: u64,
    /// Bytes that went to it. Those of a splice are counted when it ends.
    pub bytes_to: u64,
    /// Bytes that came from it.
    pub bytes_from: u64,
}
