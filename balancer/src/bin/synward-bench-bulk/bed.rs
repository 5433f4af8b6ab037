//! A path with a server at its near end.

use crate::{CLIENT, SERVER};
use anyhow::{Context, Result};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use synward::control::report::Stat;
use synward::served::{self, Served};
use synward_bench::bulk::{BulkServer, Way};
use synward_bench::processes;
use synward_lab::{End, Host, Offloads, RoutedPair, RoutedPairConfig};

/// Who serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum System {
    /// `synward serve`.
    Engine,
    /// The kernel's TCP.
    Kernel,
}

impl System {
    pub const ALL: [Self; 2] = [Self::Engine, Self::Kernel];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Kernel => "kernel",
        }
    }
}

/// A server and its path, which ends after it.
pub struct Bed {
    server: Server,
    pub path: RoutedPair,
    /// Those of the server, where it has some of its own, and the kernel's threads that do what softirqs leave over.
    processes: Vec<u32>,
}

enum Server {
    Engine(Served),
    Kernel { _services: [BulkServer; 2] },
}

impl Bed {
    /// No interface has offloads, and each is polled by a thread of its own, on the core of its host, as the interrupts of a
    /// NIC would be; every kernel has Reno.
    pub fn up(system: System) -> Result<Self> {
        let before = processes::named("napi/")?;
        let polled = End { offloads: Offloads::NONE, xdp_pass: true, threaded_napi: true };
        // The engine brings a program of its own.
        let near = End { xdp_pass: system == System::Kernel, ..polled };
        let path =
            RoutedPair::up(&RoutedPairConfig { near, far: polled, router: polled, ..RoutedPairConfig::default() })?;
        for host in [path.near(), path.far()] {
            host.set_sysctl("net.ipv4.tcp_congestion_control", "reno")?;
        }
        let near = path.near();
        let mut processes = processes::named("ksoftirqd/")?;
        let server = match system {
            System::Engine => {
                let core = SERVER.to_string();
                let [discard, chargen] = [Way::Receive, Way::Send].map(|way| way.port().to_string());
                let arguments = [
                    ["--http", "0"],
                    ["--echo", "0"],
                    ["--discard", &discard],
                    ["--chargen", &chargen],
                    ["--core", &core],
                ];
                let arguments: Vec<_> = arguments.concat().into_iter().chain(["--on-poll-loops"]).collect();
                let mut served = Served::start(&served::program()?, near, &arguments)?;
                let family = processes::family(served.process().id())?;
                processes::keep_on(&family, &[SERVER])?;
                processes.extend(family);
                Server::Engine(served)
            }
            System::Kernel => {
                let start = |way| BulkServer::start(near, near.ipv4().into(), way, &[SERVER]);
                Server::Kernel { _services: [start(Way::Receive)?, start(Way::Send)?] }
            }
        };
        let mut polling = processes::named("napi/")?;
        polling.retain(|id| !before.contains(id));
        for id in &polling {
            let is_near = processes::name_of(*id).is_some_and(|name| name.starts_with("napi/near"));
            processes::keep_on(&[*id], &[if is_near { SERVER } else { CLIENT }])?;
        }
        processes::run_before_others(&polling)?;
        processes.extend(polling);
        Ok(Self { server, path, processes })
    }

    pub fn client(&self) -> &Host {
        self.path.far()
    }

    pub fn target(&self, way: Way) -> SocketAddr {
        SocketAddr::new(IpAddr::from(self.path.near().ipv4()), way.port())
    }

    /// Loses this share of the packets that carry the bytes.
    pub fn set_loss(&self, way: Way, percent: f64) -> Result<()> {
        let (towards_client, towards_server) = match way {
            Way::Send => (percent, 0.0),
            Way::Receive => (0.0, percent),
        };
        self.path.set_loss_towards_far(towards_client)?;
        Ok(self.path.set_loss_towards_near(towards_server)?)
    }

    /// CPU time used so far by everyone who takes part: this process too, with the client and the kernel's server in it.
    pub fn used(&self) -> Result<Duration> {
        Ok(processes::run_time(&self.processes)? + processes::run_time(&[std::process::id()])?)
    }

    /// What the server has logged, where it logs.
    pub fn log(&self) -> String {
        match &self.server {
            Server::Engine(served) => served.log(),
            Server::Kernel { .. } => String::new(),
        }
    }

    /// What serves, and how.
    pub fn description(&self) -> Result<String> {
        match &self.server {
            Server::Kernel { .. } => {
                let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel's release")?;
                Ok(format!("{}, offloads off, reno, core {SERVER}", release.trim_end()))
            }
            Server::Engine(served) => {
                let stat: Stat = served.ask("/v1/stat")?;
                let modes: Vec<_> = stat.modes.iter().map(|(mode, value)| format!("{mode} {value}")).collect();
                Ok(format!("synward {}, core {SERVER}, {}", env!("CARGO_PKG_VERSION"), modes.join(", ")))
            }
        }
    }

    /// Who is at the other end of both.
    pub fn description_of_client(&self) -> Result<String> {
        let congestion = self.client().sysctl("net.ipv4.tcp_congestion_control")?;
        Ok(format!("the kernel, offloads off, {congestion}, core {CLIENT}"))
    }
}
