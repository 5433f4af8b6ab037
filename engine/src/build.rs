//! How an engine is put together.

use crate::answers::{Answers, Mailbox};
use crate::config::{BuildError, EngineConfig, Secrets};
use crate::connections::Connections;
use crate::cookie_keys::CookieKeys;
use crate::handoff::{self, ShardEnd};
use crate::listeners::Listeners;
use crate::orphans::Orphans;
use crate::ready::ReadyList;
use crate::shard::{Limits, Shard};
use crate::socket_core::WorkerLimits;
use crate::stats::ShardStats;
use crate::timer_wheel::TimerWheel;
use crate::{Observer, PollLoop, SocketCore};
use std::collections::VecDeque;
use std::sync::Arc;
use synward_nic::{FrameBudget, Port};
use synward_proto::listener::HalfOpens;
use synward_proto::wire::HEADROOM;

/// Messages that fit in each of the two rings between shard and worker.
const RING_SLOTS: usize = 4096;
/// Bytes of headers within the MTU: those of IPv4 and TCP without options, the fewest there can be.
const HEADERS_IN_MTU: usize = 40;

/// The three ends of an engine.
pub struct Engine<P: Port> {
    /// For the thread that owns the port.
    pub poll_loop: PollLoop<P>,
    /// For the worker thread.
    pub sockets: SocketCore,
    /// For everybody.
    pub observer: Observer,
}

/// Builds an engine of one shard and one worker on `port`.
///
/// # Errors
/// When a setting is out of range, or the system gives no entropy or no descriptors.
pub fn build<P: Port>(mut config: EngineConfig, mut port: P) -> Result<Engine<P>, BuildError> {
    config.check()?;
    let largest_mtu = largest_mtu(&config, &mut port)?;
    let secrets = config.secrets.take().map_or_else(Secrets::random, Ok)?;
    let (shard_end, worker_end) = handoff::pair(RING_SLOTS)
        .map_err(|source| BuildError::Descriptor { what: "eventfd between poll loop and worker", source })?;
    let mailbox = Mailbox::new(Arc::clone(shard_end.side()));
    let stats = Arc::new(ShardStats::new());
    let observer = Observer::new(Arc::clone(&stats), Arc::clone(&mailbox), port.modes());
    let sockets = SocketCore::new(WorkerLimits::of(&config), worker_end);
    let limits = limits(&config, port.budget(), largest_mtu);
    let shard = shard(config, secrets, limits, shard_end, Answers::new(mailbox), stats);
    Ok(Engine { poll_loop: PollLoop::new(port, shard), sockets, observer })
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

fn limits(config: &EngineConfig, budget: &FrameBudget, largest_mtu: u16) -> Limits {
    Limits {
        burst: budget.burst as usize,
        transmit_backlog: budget.transmit_backlog as usize,
        readers: budget.readers,
        frames_per_reader: config.frames_per_reader,
        largest_mtu,
    }
}

fn shard(
    config: EngineConfig,
    secrets: Secrets,
    limits: Limits,
    worker: ShardEnd,
    answers: Answers,
    stats: Arc<ShardStats>,
) -> Shard {
    let (connections, time_waits) = (config.max_connections as usize, config.max_time_waits as usize);
    Shard {
        connections: Connections::new(connections, time_waits, &secrets.tables),
        listeners: Listeners::new(&secrets.tables),
        half_opens: HalfOpens::new(&config.syn_table(), secrets.proto),
        wheel: TimerWheel::with_capacity(connections + time_waits),
        ready: ReadyList::new(connections),
        undelivered: ReadyList::new(connections),
        worker,
        orphans: Orphans::default(),
        answers,
        outgoing: VecDeque::with_capacity(limits.transmit_backlog),
        stats,
        limits,
        terms: config.terms(),
        cookie_keys: CookieKeys::new(&secrets.cookie_keys, config.cookie_key_life),
        config,
        lent: 0,
    }
}
