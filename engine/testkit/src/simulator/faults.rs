//! What breaks, and when it is mended.

use super::machine::Machine;
use super::options::Options;
use super::path::Path;
use crate::hostile::Rng;
use std::time::Duration;
use synward_engine::Workers;

/// How far clocks jump: an hour, or so far that numbers of milliseconds change their sign, or are where they were.
const JUMPS: [Duration; 3] =
    [Duration::from_secs(3600), Duration::from_millis(1 << 31), Duration::from_millis(1 << 32)];

/// Something that breaks.
#[derive(Clone, Debug)]
pub struct Fault {
    /// When.
    pub at: Duration,
    /// For how long.
    pub lasts: Duration,
    /// What.
    pub kind: FaultKind,
}

/// Which of the two hosts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// The one that connects.
    Client,
    /// The one that listens.
    Server,
}

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// Nothing sent by this host arrives.
    BlackOut(Side),
    /// A router of the path has a small MTU, in both directions.
    PathMtu {
        /// Its MTU.
        mtu: u16,
        /// It says nothing of the packets that it drops.
        silent: bool,
    },
    /// The MTU of an interface changes, for good.
    InterfaceMtu(Side, u16),
    /// All threads of a host stand still (SIGSTOP).
    Stop(Side),
    /// One poll loop stands still.
    ShardStall(Side, u16),
    /// One worker stands still.
    WorkerStall(Side, u16),
    /// A worker ends, for good. Its connections are reset.
    WorkerEnd(u16),
    /// A host loses all that it knew, and starts again with other secrets (RFC 9293, section 3.5.1).
    Crash(Side),
    /// A TX ring takes nothing.
    RefuseTransmit(Side, u16),
    /// A completion ring gives nothing back.
    HoldCompletions(Side, u16),
    /// A fill ring takes nothing.
    RefuseRefill(Side, u16),
    /// A link is down.
    LinkDown(Side, u16),
    /// A clock jumps, for good; that of several shards only forward.
    ClockJump {
        /// Whose.
        side: Side,
        /// How far.
        by: Duration,
        /// Towards the future.
        forward: bool,
    },
}

impl Fault {
    /// None in a third of all runs, up to eight in the others.
    pub(super) fn draw_all(rng: &mut Rng, options: &Options) -> Vec<Self> {
        let count = if rng.chance(350) { 0 } else { 1 + rng.below(8) };
        let mut faults: Vec<Self> = (0..count).map(|_| Self::draw(rng, options)).collect();
        faults.sort_by_key(|fault| fault.at);
        faults
    }

    fn draw(rng: &mut Rng, options: &Options) -> Self {
        let side = if rng.chance(600) { Side::Server } else { Side::Client };
        let machine = match side {
            Side::Server => &options.server,
            Side::Client => &options.client,
        };
        let shard = rng.below(machine.shards.into()) as u16;
        let workers = match machine.workers {
            Workers::Threads(count) => count,
            Workers::OnPollLoops => machine.shards,
        };
        let worker = rng.below(workers.into()) as u16;
        let kind = match rng.below(13) {
            0 => FaultKind::BlackOut(side),
            1 => {
                FaultKind::PathMtu { mtu: smallest_mtu(options.ipv6) + rng.below(300) as u16, silent: rng.chance(300) }
            }
            2 => FaultKind::InterfaceMtu(side, 576 + rng.below(925) as u16),
            3 => FaultKind::Stop(side),
            4 => FaultKind::ShardStall(side, shard),
            5 => FaultKind::WorkerStall(side, worker),
            // The first one stays, and those of a poll loop end with it only.
            6 if side == Side::Server && worker > 0 && machine.workers != Workers::OnPollLoops => {
                FaultKind::WorkerEnd(worker)
            }
            6 | 7 => FaultKind::RefuseTransmit(side, shard),
            8 => FaultKind::HoldCompletions(side, shard),
            9 => FaultKind::RefuseRefill(side, shard),
            10 => FaultKind::LinkDown(side, shard),
            11 => FaultKind::Crash(side),
            // A step back parts shards of which one has stood still meanwhile: theirs is a clock that makes none.
            _ if rng.chance(600) || machine.shards > 1 => {
                FaultKind::ClockJump { side, by: JUMPS[rng.below(3) as usize], forward: true }
            }
            _ => FaultKind::ClockJump { side, by: JUMPS[0], forward: false },
        };
        let at = Duration::from_nanos(rng.below(options.calm.as_nanos() as u64));
        let lasts = Duration::from_millis([50, 1_000, 5_000, 30_000][rng.below(4) as usize] + rng.below(50));
        Self { at, lasts, kind }
    }
}

/// What every link of the family carries (RFC 8200, section 5; for IPv4 what every host takes, RFC 791).
const fn smallest_mtu(ipv6: bool) -> u16 {
    if ipv6 { 1280 } else { 576 }
}

/// What faults happen to.
pub(super) struct Scene<'a> {
    pub server: &'a mut Machine,
    pub client: &'a mut Machine,
    pub up: &'a mut Path,
    pub down: &'a mut Path,
}

impl Scene<'_> {
    fn machine(&mut self, side: Side) -> &mut Machine {
        match side {
            Side::Server => self.server,
            Side::Client => self.client,
        }
    }

    /// Breaks something, or mends it. What is for good is only broken.
    pub fn set(&mut self, kind: FaultKind, broken: bool) {
        match kind {
            FaultKind::BlackOut(Side::Client) => self.up.black_out = broken,
            FaultKind::BlackOut(Side::Server) => self.down.black_out = broken,
            FaultKind::PathMtu { mtu, silent } => {
                let narrow = broken.then_some((mtu, silent));
                (self.up.narrow_mtu, self.down.narrow_mtu) = (narrow, narrow);
            }
            FaultKind::InterfaceMtu(side, mtu) if broken => self.machine(side).set_mtu(mtu),
            FaultKind::Stop(side) => self.machine(side).stop(broken),
            FaultKind::ShardStall(side, shard) => self.machine(side).stall_shard(shard, broken),
            FaultKind::WorkerStall(side, worker) => self.machine(side).stall_worker(worker, broken),
            FaultKind::WorkerEnd(worker) if broken => self.server.end_worker(worker),
            FaultKind::Crash(side) if !broken => self.machine(side).stop(false),
            FaultKind::RefuseTransmit(side, shard) => self.machine(side).faults(shard).refuse_transmit(broken),
            FaultKind::HoldCompletions(side, shard) => self.machine(side).faults(shard).hold_completions(broken),
            FaultKind::RefuseRefill(side, shard) => self.machine(side).faults(shard).refuse_refill(broken),
            FaultKind::LinkDown(side, shard) => self.machine(side).faults(shard).link_down(broken),
            FaultKind::ClockJump { side, by, forward } if broken => self.machine(side).jump(by, forward),
            // What a crash takes from whom, the world knows; the others are for good.
            FaultKind::Crash(_)
            | FaultKind::InterfaceMtu(..)
            | FaultKind::WorkerEnd(_)
            | FaultKind::ClockJump { .. } => {}
        }
    }

    /// Everything is mended.
    pub fn mend(&mut self) {
        self.server.recover();
        self.client.recover();
        self.up.calm_down();
        self.down.calm_down();
    }
}
