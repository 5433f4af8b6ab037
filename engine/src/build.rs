//! How an engine is put together.

use crate::answers::{Answers, Mailbox};
use crate::config::{BuildError, EngineConfig, Secrets};
use crate::connections::Connections;
use crate::crossing::Crossing;
use crate::handoff::{self, ShardEnds, Side};
use crate::held::Held;
use crate::listeners::Listeners;
use crate::observe::Observed;
use crate::orphans::Orphans;
use crate::path_mtus::PathMtus;
use crate::ready::ReadyList;
use crate::registry::Registry;
use crate::shard::{Limits, Shard};
use crate::shield_link::ShieldLink;
use crate::socket_core::WorkerLimits;
use crate::source_ports::SourcePorts;
use crate::splice::Splices;
use crate::stats::ShardStats;
use crate::steering::Steering;
use crate::timer_wheel::TimerWheel;
use crate::{Observer, PollLoop, Rss, ShardId, Shield, SocketCore};
use std::collections::VecDeque;
use std::sync::Arc;
use synward_nic::{FrameBudget, Port};
use synward_proto::listener::HalfOpens;
use synward_proto::wire::HEADROOM;

/// One in so many of the frames that readers may hold is kept for other shards.
const SHARE_OF_OTHERS: u32 = 4;
/// Bytes of headers within the MTU: those of IPv4 and TCP without options, the fewest there can be.
const HEADERS_IN_MTU: usize = 40;

/// The three ends of an engine of one shard and one worker.
pub struct Engine<P: Port> {
    /// For the thread that owns the port.
    pub poll_loop: PollLoop<P>,
    /// For the worker thread.
    pub sockets: SocketCore,
    /// For everybody.
    pub observer: Observer,
}

/// The ends of an engine of many shards and many workers.
pub struct Fleet<P: Port> {
    /// One for each queue, in the order in which interfaces and queues were given: each for a thread of its own.
    pub poll_loops: Vec<PollLoop<P>>,
    /// The shards of each interface, in the order in which interfaces were given.
    pub shards: Vec<Vec<ShardId>>,
    /// One for each worker.
    pub workers: Vec<SocketCore>,
    /// For everybody.
    pub observer: Observer,
}

/// An interface, and a port for each of its queues.
pub struct Interface<P: Port> {
    /// What its shards are told. Interfaces of one engine may differ in what is about the interface: its name, MTU and
    /// checksums. [`EngineConfig::core`] goes for the first queue unless that has its own.
    pub config: EngineConfig,
    /// How the device spreads segments over its queues, where it is known.
    pub rss: Option<Rss>,
    /// Its queues, by number: all of them, or frames of ours would reach the kernel, which would answer them with RST.
    pub queues: Vec<Queue<P>>,
    /// What stands in front of them, if anything does.
    pub shield: Option<Arc<dyn Shield>>,
}

/// A queue of an interface.
pub struct Queue<P: Port> {
    /// Its frames.
    pub port: P,
    /// The core that its poll loop is pinned to.
    pub core: Option<usize>,
}

/// Who takes the connections of an engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workers {
    /// So many workers, each for a thread of its own, among which accepted connections are spread.
    Threads(u16),
    /// A worker for each poll loop, to be run on the same thread by [`PollLoop::run_with`]. It gets the connections that
    /// its own shard accepts.
    OnPollLoops,
}

/// Builds an engine of one shard and one worker on `port`.
///
/// # Errors
/// When a setting is out of range, or the system gives no entropy or no descriptors.
pub fn build<P: Port>(config: EngineConfig, port: P) -> Result<Engine<P>, BuildError> {
    let queues = vec![Queue { port, core: config.core }];
    let Fleet { poll_loops, workers, observer, shards: _ } =
        build_fleet(vec![Interface { config, rss: None, queues, shield: None }], Workers::Threads(1))?;
    match (poll_loops.into_iter().next(), workers.into_iter().next()) {
        (Some(poll_loop), Some(sockets)) => Ok(Engine { poll_loop, sockets, observer }),
        _ => Err(BuildError::NoShards),
    }
}

/// Builds an engine of a shard for each queue of each interface.
///
/// # Errors
/// When there is no queue or no worker, a setting is out of range, or the system gives no entropy or no descriptors.
pub fn build_fleet<P: Port>(interfaces: Vec<Interface<P>>, workers: Workers) -> Result<Fleet<P>, BuildError> {
    let shards: usize = interfaces.iter().map(|interface| interface.queues.len()).sum();
    let worker_count = match workers {
        Workers::Threads(count) => usize::from(count),
        Workers::OnPollLoops => shards,
    };
    if interfaces.iter().any(|interface| interface.queues.is_empty()) || shards == 0 || worker_count == 0 {
        return Err(BuildError::NoShards);
    }
    let shards = u16::try_from(shards).map_err(|_| BuildError::TooManyShards)?;
    interfaces.iter().try_for_each(|interface| interface.config.check())?;
    let secrets = interfaces.iter().find_map(|interface| interface.config.secrets.clone());
    let plan = Plan { shards, workers, secrets: secrets.map_or_else(Secrets::random, Ok)? };
    let mut limits = WorkerLimits::of(&interfaces[0].config);
    limits.sockets = interfaces.iter().map(|it| it.queues.len() * it.config.max_connections as usize).sum();

    let shields = interfaces.iter().filter_map(|interface| interface.shield.clone()).collect();

    let (shard_sides, worker_sides) = (sides(shards.into())?, sides(worker_count)?);
    let slots = interfaces.iter().map(|interface| interface.config.ring_slots).max().unwrap_or_default();
    let (shard_ends, worker_ends) = handoff::mesh(slots as usize, &shard_sides, &worker_sides);
    let (mut shard_ends, mut rest, mut first) = (shard_ends.into_iter(), &shard_sides[..], 0);
    let (mut poll_loops, mut observed, mut steering) = (Vec::new(), Vec::new(), Vec::new());
    for Interface { config, rss, queues, shield } in interfaces {
        let (own, others) = rest.split_at(queues.len());
        rest = others;
        // All shards together fit in 16 bits.
        let numbers = first..first + queues.len() as u16;
        first = numbers.end;
        let steered = Arc::new(Steering::new(numbers, &plan.secrets.steering, rss));
        let crossings = Crossing::between(&steered, own);
        steering.push(steered);
        let places = (0..).zip(crossings).zip(&mut shard_ends);
        for (Queue { port, core }, ((queue, crossing), workers)) in queues.into_iter().zip(places) {
            let config = EngineConfig { core, ..config.clone() };
            let shield = shield.clone().map(|shield| ShieldLink { shield, queue });
            let (poll_loop, shown) = plan.poll_loop(config, port, Links { crossing, workers, shield })?;
            poll_loops.push(poll_loop);
            observed.push(shown);
        }
    }
    let (registry, steering): (_, Arc<[_]>) = (Arc::new(Registry::new(shields)), steering.into());
    let worker = |ends| SocketCore::new(limits, ends, Arc::clone(&registry), Arc::clone(&steering));
    let shards = steering.iter().map(|steering| steering.shards().map(ShardId).collect()).collect();
    let workers = worker_ends.into_iter().map(worker).collect();
    Ok(Fleet { poll_loops, shards, workers, observer: Observer::new(observed, registry) })
}

fn sides(count: usize) -> Result<Vec<Arc<Side>>, BuildError> {
    let side =
        |_| Side::new().map_err(|source| BuildError::Descriptor { what: "eventfd of a poll loop or worker", source });
    (0..count).map(side).collect()
}

/// What a shard is joined to.
struct Links {
    crossing: Crossing,
    workers: ShardEnds,
    shield: Option<ShieldLink>,
}

/// What goes for every shard.
struct Plan {
    shards: u16,
    workers: Workers,
    secrets: Secrets,
}

impl Plan {
    fn poll_loop<P: Port>(
        &self,
        config: EngineConfig,
        mut port: P,
        links: Links,
    ) -> Result<(PollLoop<P>, Observed), BuildError> {
        let largest_mtu = largest_mtu(&config, &mut port)?;
        let mailbox = Mailbox::new(Arc::clone(links.workers.side()));
        let stats = Arc::new(ShardStats::new());
        let shown = Observed { stats: Arc::clone(&stats), mailbox: Arc::clone(&mailbox), modes: port.modes().into() };
        let limits = self.limits(&config, port.budget(), largest_mtu, &links.crossing);
        let shard = self.shard(config, limits, links, Answers::new(mailbox), stats);
        Ok((PollLoop::new(port, shard), shown))
    }

    fn limits(&self, config: &EngineConfig, budget: &FrameBudget, largest_mtu: u16, crossing: &Crossing) -> Limits {
        Limits {
            burst: budget.burst as usize,
            transmit_backlog: budget.transmit_backlog as usize,
            readers: budget.readers,
            own_readers: budget.readers - if crossing.is_alone() { 0 } else { budget.readers / SHARE_OF_OTHERS },
            frames_per_reader: config.frames_per_reader,
            largest_mtu,
            home: match self.workers {
                Workers::OnPollLoops => Some(crossing.id()),
                Workers::Threads(_) => None,
            },
            shards: self.shards.into(),
        }
    }

    fn shard(
        &self,
        config: EngineConfig,
        limits: Limits,
        links: Links,
        answers: Answers,
        stats: Arc<ShardStats>,
    ) -> Shard {
        let secrets = self.secrets.clone();
        let Links { crossing, workers, shield } = links;
        let (connections, time_waits) = (config.max_connections as usize, config.max_time_waits as usize);
        let splices = connections / 2;
        let mut half_opens = HalfOpens::new(&config.syn_table(self.shards), secrets.proto, config.cookie_key_life);
        if shield.is_some() {
            half_opens.table.watch();
        }
        let flows_of = shield.as_ref().map(|link| Arc::clone(&link.shield));
        Shard {
            id: crossing.id(),
            connections: Connections::new(connections, time_waits, &secrets.tables, flows_of),
            listeners: Listeners::new(&secrets.tables),
            half_opens,
            wheel: TimerWheel::with_capacity(connections + time_waits + splices),
            ready: ReadyList::new(connections),
            undelivered: (0..workers.len()).map(|_| ReadyList::new(connections)).collect(),
            splices: Splices::with_capacity(splices, workers.len()),
            source_ports: SourcePorts::new(config.source_ports.clone(), &secrets.source_ports),
            path_mtus: PathMtus::new(&secrets.tables),
            mtu_change: None,
            crossing,
            orphans: Orphans::new(workers.len()),
            held: Held::new(config.max_connections as usize),
            workers,
            answers,
            outgoing: VecDeque::with_capacity(limits.transmit_backlog),
            stats,
            limits,
            terms: config.terms(),
            config,
            shield,
            lent: 0,
        }
    }
}

/// The largest MTU whose packets fit in a frame, with every header that a frame can have; at least the one configured.
fn largest_mtu(config: &EngineConfig, port: &mut impl Port) -> Result<u16, BuildError> {
    let frame = port.alloc().ok_or(BuildError::NoFrames)?;
    let largest = (frame.capacity() + HEADERS_IN_MTU).saturating_sub(HEADROOM);
    port.recycle(frame);
    if usize::from(config.mtu) > largest {
        return Err(BuildError::Setting { setting: "mtu", problem: "a packet of this size does not fit in a frame" });
    }
    Ok(u16::try_from(largest).unwrap_or(u16::MAX))
}
