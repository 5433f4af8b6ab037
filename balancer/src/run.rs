//! `synward run`: the load-balancer front end that a configuration describes.
//!
//! Everything that can be refused is refused before an interface is touched.

use crate::config::{BackendConfig, Config, InterfaceConfig, ListenerConfig, PoolConfig, ShieldMode, ThisHost};
use crate::control::server::{ControlSocket, View};
use crate::front::{InterfacePlan, Ready, Rider, STOP_PATIENCE, addresses_of, open_all, queues_of, stop_on_signals};
use crate::metrics::MetricsSocket;
use crate::ports::{Reservation, ReservedRange, reserve_range};
use crate::proxy::{BackendInterface, Guarded, NoRoute, Proxy, ProxyStats, Route, Routes, Ways};
use crate::shield::policy::Thresholds;
use crate::shield::{Backend, GuardPlan, ListenerPlan};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use synward_engine::{BlockingSockets, EngineConfig, NextHops, Secrets, SocketCore, Workers};
use synward_proto::flood_guard::Syncookies;
use synward_proto::{Endpoint, Instant as EngineInstant};

/// How long the start waits for the hardware addresses of next hops. A backend that is not there yet does not keep the
/// others from being served.
const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(2);

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration; `synward check` says whether it is right.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Run {
    /// Runs until SIGTERM or SIGINT, and then until connections have ended or their time is up; or until an interface is lost.
    ///
    /// # Errors
    /// Mistakes in the configuration; whatever keeps it from starting, before an interface is touched; the loss of an
    /// interface.
    pub fn run(self) -> Result<()> {
        let stop = stop_on_signals()?;
        let config = Arc::new(Config::load_for(&self.config, &ThisHost::look().context("looking at this machine")?)?);
        let _reserved =
            Reservation::take(config.listeners.iter().flat_map(|listener| listener.addresses.iter().copied()))?;
        let metrics = config.metrics.map(MetricsSocket::bind).transpose()?;
        let sources = sources(&config)?;
        let _ranges = reserve_ranges(&config, &sources)?;
        let next_hops = Arc::new(next_hops(&config)?);
        let secrets = Secrets::random()?;
        let guard = guard_plan(&config, &secrets);
        let opened = open_all(plans(&config, &sources, &secrets)?)?;
        let workers = match config.engine.workers {
            0 => Workers::OnPollLoops,
            count => Workers::Threads(count),
        };
        let mut ready = Ready::build(opened, workers)?;
        let observer = ready.observer.clone();
        let stats = Arc::new(ProxyStats::new(&config, ready.workers.len()));
        let orders = Arc::new(Orders::new(ready.workers.len()));
        let shards = std::mem::take(&mut ready.shards);
        let mut proxies = Vec::new();
        for (number, mut core) in std::mem::take(&mut ready.workers).into_iter().enumerate() {
            let of_interface = |(shards, interface): (&Vec<_>, &InterfaceConfig)| BackendInterface {
                shards: shards.clone(),
                source_addresses: interface.source_addresses.clone(),
            };
            let ways: Vec<_> = shards.iter().zip(&config.interfaces).map(of_interface).collect();
            let (next_hops, stats, described) = (Arc::clone(&next_hops), Arc::clone(&stats), Arc::clone(&config));
            let make = move || {
                let routes = Box::new(KernelRoutes::new(Arc::clone(&next_hops), &described));
                Proxy::new(&described, Ways::new(routes, ways.clone()), stats.worker(number))
            };
            let proxy = Guarded::listen(Box::new(make), &mut core, Arc::clone(&config))?;
            proxies.push((core, Worker { number, proxy, orders: Arc::clone(&orders), obeyed: Order::Serve }));
        }
        let (running, shield, mut modes, threads) = match workers {
            Workers::OnPollLoops => {
                let riders = proxies.into_iter().map(|(core, worker)| (core, worker.rider())).collect();
                let (running, shield, modes) = ready.start(riders, guard)?;
                (running, shield, modes, Vec::new())
            }
            Workers::Threads(_) => {
                let (running, shield, modes) = ready.start(Vec::new(), guard)?;
                let threads = proxies.into_iter().map(|(core, worker)| worker.spawn(core)).collect::<Result<_>>()?;
                (running, shield, modes, threads)
            }
        };
        let syncookies = word(config.engine.syncookies);
        modes.insert("syncookies".to_owned(), syncookies.to_owned());
        let view = Arc::new(View { observer, shield, modes, syncookies, proxy: Some(stats) });
        let control = ControlSocket::serve(&config.engine.control, Arc::clone(&view))?;
        if let Some(metrics) = metrics {
            metrics.serve(view)?;
        }
        for ListenerConfig { name, addresses, .. } in &config.listeners {
            tracing::info!(listener = name, ?addresses, "listening");
        }
        let broken = || running.has_ended() || threads.iter().any(thread::JoinHandle::is_finished);
        while !stop.load(Ordering::Relaxed) && !broken() {
            thread::sleep(STOP_PATIENCE);
        }
        if !broken() {
            orders.drain(config.shutdown.drain);
        }
        orders.end();
        let panicked = threads.into_iter().map(thread::JoinHandle::join).filter(Result::is_err).count() > 0;
        drop(control);
        running.stop()?;
        ensure!(!panicked, "a worker panicked");
        Ok(())
    }
}

/// The addresses from which connections to backends come, for each interface.
fn sources(config: &Config) -> Result<Vec<Vec<IpAddr>>> {
    let of = |interface: &crate::config::InterfaceConfig| match interface.source_addresses.as_slice() {
        [] => addresses_of(&interface.name),
        given => Ok(given.to_vec()),
    };
    config.interfaces.iter().map(of).collect()
}

fn reserve_ranges(config: &Config, sources: &[Vec<IpAddr>]) -> Result<Vec<ReservedRange>> {
    let ranges = config.interfaces.iter().zip(sources);
    ranges.map(|(interface, sources)| reserve_range(sources, interface.source_ports.clone())).collect()
}

/// The next hops of all backends, as far as they can be had at the start.
fn next_hops(config: &Config) -> Result<NextHops> {
    let backends = config.pools.iter().flat_map(|pool| &pool.backends);
    let next_hops = NextHops::start(backends.map(|backend| backend.address.addr)).context("asking for next hops")?;
    if let Err(missing) = next_hops.wait_until_resolved(NEIGHBOUR_PATIENCE) {
        for problem in missing {
            tracing::warn!("{problem}");
        }
    }
    Ok(next_hops)
}

fn plans(config: &Config, sources: &[Vec<IpAddr>], secrets: &Secrets) -> Result<Vec<InterfacePlan>> {
    let of = |listener: &ListenerConfig| {
        let mode = listener.shield;
        listener.addresses.iter().map(move |address| (*address, mode)).collect::<Vec<_>>()
    };
    let listeners: Vec<(Endpoint, ShieldMode)> = config.listeners.iter().flat_map(of).collect();
    let queues = config.interfaces.iter().map(|interface| queues_of(&interface.name)).collect::<Result<Vec<_>>>()?;
    let shards = queues.into_iter().map(u32::from).sum();
    let spin = spin(config, shards);
    let plan = |(interface, sources): (&InterfaceConfig, &Vec<IpAddr>)| InterfacePlan {
        name: interface.name.clone(),
        queues: interface.queues,
        cores: interface.cores.clone(),
        frames: interface.frames,
        xdp: interface.xdp,
        busy_poll: interface.busy_poll,
        listeners: listeners.clone(),
        sources: sources.clone(),
        engine: EngineConfig { spin, ..engine_config(config, interface, shards) },
        secrets: secrets.clone(),
        shield: config.shield.clone(),
    };
    Ok(config.interfaces.iter().zip(sources).map(plan).collect())
}

/// What the guard of the shields is told.
fn guard_plan(config: &Config, secrets: &Secrets) -> GuardPlan {
    let plan = |listener: &ListenerConfig, address: &Endpoint| ListenerPlan {
        name: listener.name.clone(),
        local: *address,
        mode: listener.shield,
        thresholds: Thresholds {
            raise_at: config.shield.raise_at,
            calm: config.shield.calm,
            unproven: Thresholds::unproven_for(listener.backlog.min(config.engine.somaxconn)),
            cookies_tell: config.engine.syncookies != Syncookies::Always,
        },
    };
    let of_pool = |pool: &PoolConfig| {
        let backend =
            |it: &BackendConfig| Backend { name: format!("{}/{}", pool.name, it.name), address: it.address.addr };
        pool.backends.iter().map(backend).collect::<Vec<_>>()
    };
    GuardPlan {
        listeners: config.listeners.iter().flat_map(|it| it.addresses.iter().map(|at| plan(it, at))).collect(),
        settings: config.shield.clone(),
        backends: config.pools.iter().flat_map(of_pool).collect(),
        cookie_keys: secrets.cookie_keys(EngineConfig::default().cookie_key_life),
    }
}

/// How long an idle poll loop goes on polling before it sleeps.
fn spin(config: &Config, poll_loops: u32) -> Duration {
    let pinned = config.interfaces.iter().flat_map(|interface| interface.cores.iter().copied()).collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if leaves_cores_to_others(pinned, poll_loops as usize, cores) {
        EngineConfig::default().spin
    } else {
        Duration::ZERO
    }
}

/// Whether so many poll loops, on cores of their own or wherever the scheduler puts them, leave any of the machine's `cores`
/// to others. A loop that polls while it is idle keeps its core from everybody else: from other loops, which it waits for, and
/// from clients and backends on the same machine.
fn leaves_cores_to_others(mut pinned: Vec<usize>, poll_loops: usize, cores: usize) -> bool {
    let count = pinned.len();
    pinned.sort_unstable();
    pinned.dedup();
    pinned.len() == count && poll_loops < cores
}

/// What each of so many poll loops is told.
fn engine_config(config: &Config, interface: &InterfaceConfig, shards: u32) -> EngineConfig {
    let (engine, default) = (&config.engine, EngineConfig::default());
    EngineConfig {
        max_connections: share_of(engine.max_connections, shards),
        somaxconn: engine.somaxconn,
        max_syn_backlog: engine.max_syn_backlog,
        syncookies: match engine.syncookies {
            Syncookies::Never => 0,
            Syncookies::Auto => 1,
            Syncookies::Always => 2,
        },
        cookie_timestamps: engine.cookie_timestamps,
        half_opens_per_prefix: engine.half_opens_per_prefix,
        synack_retries: engine.synack_retries,
        abort_on_overflow: engine.abort_on_overflow,
        window_scale: engine.window_scale,
        sack: engine.sack,
        timestamps: engine.timestamps,
        receive_buffer: default.receive_buffer.min(engine.receive_buffer),
        receive_buffer_max: engine.receive_buffer,
        send_buffer: default.send_buffer.min(engine.send_buffer),
        send_buffer_max: engine.send_buffer,
        buffer_memory: engine.buffer_memory,
        // What is passed on is complete as it is. Joined connections have this set; those that begin with it go on sharing it.
        nagle: false,
        time_wait: engine.time_wait,
        // What comes is passed on at once, and what is passed on carries the acknowledgment.
        quick_acks: false,
        source_ports: interface.source_ports.clone(),
        ..default
    }
}

/// The share of each of so many poll loops in a number, with a quarter to spare: a hash spreads connections evenly, but not
/// exactly.
fn share_of(number: u32, shards: u32) -> u32 {
    let share = number.div_ceil(shards.max(1));
    if shards > 1 { share.saturating_add(share / 4) } else { share }
}

/// The word for it in configurations.
const fn word(syncookies: Syncookies) -> &'static str {
    match syncookies {
        Syncookies::Never => "off",
        Syncookies::Auto => "auto",
        Syncookies::Always => "always",
    }
}

/// How backends are reached, as the kernel says.
struct KernelRoutes {
    next_hops: Arc<NextHops>,
    /// The names of the interfaces, in their order.
    interfaces: Vec<String>,
}

impl KernelRoutes {
    fn new(next_hops: Arc<NextHops>, config: &Config) -> Self {
        Self { next_hops, interfaces: config.interfaces.iter().map(|interface| interface.name.clone()).collect() }
    }
}

impl Routes for KernelRoutes {
    fn route(&self, backend: IpAddr) -> Result<Route, NoRoute> {
        let hop = self.next_hops.lookup(backend)?;
        let interface = self.interfaces.iter().position(|name| **name == *hop.name);
        let interface = interface.ok_or_else(|| NoRoute::NotServed { backend, interface: hop.name.to_string() })?;
        Ok(Route { interface, source: hop.source, link: hop.link })
    }
}

/// What the workers are to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
enum Order {
    Serve,
    /// Take no more clients.
    Drain,
    /// Let go of all.
    End,
}

/// The order in force, and what is left of the connections of each worker.
struct Orders {
    order: AtomicU8,
    connections: Vec<AtomicUsize>,
}

impl Orders {
    fn new(workers: usize) -> Self {
        let connections = (0..workers).map(|_| AtomicUsize::new(0)).collect();
        Self { order: AtomicU8::new(Order::Serve as u8), connections }
    }

    fn give(&self, order: Order) {
        self.order.store(order as u8, Ordering::Release);
    }

    fn is(&self, order: Order) -> bool {
        self.order.load(Ordering::Acquire) >= order as u8
    }

    fn connections(&self) -> usize {
        self.connections.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Has the workers let go of all connections, and waits until they have.
    fn end(&self) {
        self.give(Order::End);
        let deadline = Instant::now() + 10 * STOP_PATIENCE;
        while self.connections() > 0 && Instant::now() < deadline {
            thread::sleep(STOP_PATIENCE / 10);
        }
    }

    /// Takes no more clients, and waits until all have ended or `time` is up.
    fn drain(&self, time: Duration) {
        self.give(Order::Drain);
        tracing::info!(
            connections = self.connections(),
            ?time,
            "taking no more clients: waiting for connections to end"
        );
        let deadline = Instant::now() + time;
        // Every worker has obeyed once it has had its turn.
        thread::sleep(2 * STOP_PATIENCE);
        while self.connections() > 0 && Instant::now() < deadline {
            thread::sleep(STOP_PATIENCE);
        }
        match self.connections() {
            0 => tracing::info!("all connections have ended"),
            left => tracing::warn!(connections = left, "their time is up: resetting them"),
        }
    }
}

/// A worker with its proxy.
struct Worker {
    number: usize,
    proxy: Guarded,
    orders: Arc<Orders>,
    obeyed: Order,
}

impl Worker {
    /// Does what there is to do at `now`; returns when there is more, which is soon.
    fn turn(&mut self, core: &mut SocketCore, now: EngineInstant) -> EngineInstant {
        if self.obeyed < Order::Drain && self.orders.is(Order::Drain) {
            self.obeyed = Order::Drain;
            self.proxy.drain(core);
        }
        if self.obeyed < Order::End && self.orders.is(Order::End) {
            self.obeyed = Order::End;
            self.proxy.abort_all(core);
        }
        let due = self.proxy.turn(core, now);
        if let Some(count) = self.orders.connections.get(self.number) {
            count.store(self.proxy.connections(), Ordering::Relaxed);
        }
        let patience = now + STOP_PATIENCE;
        due.map_or(patience, |due| due.min(patience))
    }

    /// On the thread of a poll loop.
    fn rider(mut self) -> Rider {
        Box::new(move |core, now| Some(self.turn(core, now)))
    }

    /// On a thread of its own.
    fn spawn(mut self, core: SocketCore) -> Result<thread::JoinHandle<()>> {
        let name = format!("worker-{}", self.number);
        let turn = move || {
            let mut sockets = BlockingSockets::new(core);
            while self.obeyed < Order::End {
                let now = synward_engine::monotonic();
                let due = self.turn(sockets.core(), now);
                sockets.wait(Some(due.since(now)));
            }
        };
        Ok(thread::Builder::new().name(name).spawn(turn)?)
    }
}

#[cfg(test)]
mod tests {
    use super::leaves_cores_to_others;

    #[test]
    fn idle_loops_poll_on_only_where_others_have_cores_too() {
        for (pinned, poll_loops, cores, leaves) in [
            (&[][..], 1, 2, true),
            (&[], 2, 2, false),
            (&[], 3, 2, false),
            (&[], 1, 1, false),
            (&[0, 1], 2, 4, true),
            (&[0, 1, 2, 3], 4, 4, false),
            (&[0, 0], 2, 4, false),
            (&[0, 1, 0], 3, 8, false),
        ] {
            let seen = leaves_cores_to_others(pinned.to_vec(), poll_loops, cores);
            assert_eq!(seen, leaves, "{pinned:?}, {poll_loops} loops, {cores} cores");
        }
    }
}
