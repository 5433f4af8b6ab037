//! What a run is made of: everything that a seed decides before the first frame.

use super::attackers::{Attack, AttackKind};
use super::draw;
use super::faults::{Fault, FaultKind, Side};
use super::talker::{Flow, Temper};
use crate::hostile::{Rng, Weather};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use synward_engine::{EngineConfig, Workers};
use synward_nic::FrameBudget;
use synward_proto::{Endpoint, Instant};

/// The first of the ports that clients use.
pub(super) const FIRST_PORT: u16 = 50_000;

/// A run, as its seed has it. Printed when the run fails.
#[derive(Clone, Debug)]
pub struct Options {
    /// Both ends have IPv6 addresses.
    pub ipv6: bool,
    /// The server: one to three shards, one to three workers.
    pub server: MachineOptions,
    /// The client: one of each.
    pub client: MachineOptions,
    /// Of the server's listener.
    pub backlog: u32,
    /// How the server's application takes connections.
    pub acceptance: Acceptance,
    /// Both applications close only when the other end has everything, so that nobody is reset for unread bytes and nothing is left to
    /// a closed socket.
    pub patient: bool,
    /// From client to server, and back.
    pub paths: [PathOptions; 2],
    /// The connections that the client opens, by time.
    pub plans: Vec<Plan>,
    /// What breaks, by time.
    pub faults: Vec<Fault>,
    /// Who attacks.
    pub attacks: Vec<Attack>,
    /// When all of that stops.
    pub calm: Duration,
}

/// An engine.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// What it is told.
    pub config: EngineConfig,
    /// Frames of each shard.
    pub budget: FrameBudget,
    /// Its poll loops.
    pub shards: u16,
    /// Its workers.
    pub workers: Workers,
    /// What its clock shows at first.
    pub epoch: Instant,
    /// Chance in a thousand that a frame is thrown onto any queue; others go by a hash that is not the engine's.
    pub scatter: u32,
}

/// One direction of the way between the two.
#[derive(Clone, Debug)]
pub struct PathOptions {
    /// Loss, delay and so on.
    pub weather: Weather,
    /// Bits a second of its narrowest place, and the bytes that wait there at most.
    pub narrows: Option<(u64, u64)>,
}

/// How an application takes connections.
#[derive(Clone, Copy, Debug)]
pub struct Acceptance {
    /// Between two looks at the queue; zero looks whenever anything happens.
    pub pause: Duration,
    /// Looks only when it is told that connections wait.
    pub when_told: bool,
}

/// A connection that the client opens.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When.
    pub at: Duration,
    /// Its source port. Those of some plans are used by several, one after the other. With zero the engine chooses.
    pub port: u16,
    /// What the client sends.
    pub up: Flow,
    /// What the server sends.
    pub down: Flow,
    /// How the client treats its socket.
    pub client: Temper,
    /// How the server does.
    pub server: Temper,
}

impl Options {
    /// Those of a seed.
    pub fn of(seed: u64) -> Self {
        draw::draw(&mut Rng::new(seed))
    }

    /// Where the server listens.
    pub fn server_end(&self) -> Endpoint {
        Endpoint::new(address(self.ipv6, 1), 80)
    }

    /// The client's address.
    pub fn client_address(&self) -> IpAddr {
        address(self.ipv6, 2)
    }

    /// Whether a connection of this plan may come from this port of the client.
    pub fn may_come_from(&self, plan: &Plan, port: u16) -> bool {
        plan.port == port || plan.port == 0 && self.client.config.source_ports.contains(&port)
    }

    /// Whether the engine may have more ports to choose than there are.
    pub fn ports_run_out(&self) -> bool {
        let chosen = self.plans.iter().filter(|plan| plan.port == 0).count();
        chosen > self.client.config.source_ports.len()
    }

    /// Whether somebody attacks so.
    pub fn is_under(&self, kind: AttackKind) -> bool {
        self.attacks.iter().any(|attack| attack.kind == kind)
    }

    /// Whether a host loses what it knows.
    pub fn crashes(&self, side: Side) -> bool {
        self.faults.iter().any(|fault| fault.kind == FaultKind::Crash(side))
    }

    /// More half-open connections than this are never in one of the server's shards: more than the limit is full.
    pub fn half_open_limit(&self) -> u64 {
        let limit = self.backlog.min(self.server.config.somaxconn);
        u64::from(limit.div_ceil(self.server.shards.into())) + 1
    }

    /// More connections than this never wait for accept.
    pub fn accept_limit(&self) -> u32 {
        self.backlog.min(self.server.config.somaxconn) + 1
    }
}

/// A host of the network that is for tests (RFC 2544), or of documentation's (RFC 3849).
pub(super) fn address(ipv6: bool, host: u16) -> IpAddr {
    if ipv6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host).into()
    } else {
        Ipv4Addr::new(198, 18, (host >> 8) as u8, host as u8).into()
    }
}
