//! `synward serve`: interfaces with all their queues; HTTP, echo, discard and chargen from the engine.
//!
//! Everything that can be refused is refused before the interface is touched.

use crate::app::{Chargen, Discard, Echo, Http, Open, Worker};
use crate::config::{Queues, ShieldMode, ShieldSettings};
use crate::control::server::{ControlSocket, View};
use crate::front::{InterfacePlan, Ready, Rider, STOP_PATIENCE, addresses_of, open_all, stop_on_signals};
use crate::ports::Reservation;
use crate::shield::policy::Thresholds;
use crate::shield::{GuardPlan, ListenerPlan};
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use synward_ebpf::XdpMode;
use synward_engine::{EngineConfig, ListenConfig, Secrets, SocketCore, Workers};
use synward_nic::ModeDemand;
use synward_proto::Endpoint;

/// What to serve, and how.
#[derive(Debug, Args)]
pub struct Serve {
    /// Interfaces to serve on.
    #[arg(long, value_name = "NAME", required = true)]
    interface: Vec<String>,
    /// Addresses to listen on, on every interface; all addresses of all interfaces when none is given.
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<IpAddr>,
    /// Port of the HTTP responder; 0 for none.
    #[arg(long, default_value_t = 80)]
    http: u16,
    /// Port of the echo service; 0 for none.
    #[arg(long, default_value_t = 7)]
    echo: u16,
    /// Port of the discard service (RFC 863: 9), which throws away what it receives; 0 for none.
    #[arg(long, default_value_t = 0)]
    discard: u16,
    /// Port of the chargen service (RFC 864: 19), which sends for as long as its client stays; 0 for none.
    #[arg(long, default_value_t = 0)]
    chargen: u16,
    /// Completed connections that may wait to be accepted, as in listen(2).
    #[arg(long, default_value_t = 1024)]
    backlog: u32,
    /// Answer SYNs by cookies: never, when the SYN queue overflows, or always.
    #[arg(long, value_enum, default_value_t = Syncookies::Auto)]
    syncookies: Syncookies,
    /// Answer SYNs by cookies in the XDP program, and let nothing through but known flows: never, while attacked, or always.
    #[arg(long, value_enum, default_value_t = ShieldMode::Off)]
    shield: ShieldMode,
    /// Answer with RST when the accept queue is full, instead of waiting for the client to try again.
    #[arg(long)]
    abort_on_overflow: bool,
    /// Connections at once, on each queue.
    #[arg(long, value_name = "N", default_value_t = 32_768)]
    max_connections: u32,
    /// How frames cross between device and memory; anything but `any` is demanded.
    #[arg(long, value_enum, default_value_t = Frames::Any)]
    frames: Frames,
    /// Where the XDP program runs; anything but `any` is demanded.
    #[arg(long, value_enum, default_value_t = Xdp::Any)]
    xdp: Xdp,
    /// Core to pin the poll loop of a queue to; once for each queue, in their order, on every interface anew.
    #[arg(long, value_name = "CORE")]
    core: Vec<usize>,
    /// Serve on the threads of the poll loops instead of one of their own.
    #[arg(long)]
    on_poll_loops: bool,
    /// Control socket, for `synward ss`, `stat`, `drops`, `shield`, `block` and others.
    #[arg(long, value_name = "PATH", default_value = crate::cli::CONTROL)]
    control: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Syncookies {
    Off,
    Auto,
    Always,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Frames {
    Any,
    ZeroCopy,
    Copy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Xdp {
    Any,
    Native,
    Generic,
}

impl Syncookies {
    /// The value of `net.ipv4.tcp_syncookies`.
    const fn sysctl(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Auto => 1,
            Self::Always => 2,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Always => "always",
        }
    }
}

impl Serve {
    /// Serves until SIGTERM, SIGINT, or the loss of an interface.
    ///
    /// # Errors
    /// Whatever keeps it from starting, before an interface is touched; the loss of an interface.
    pub fn run(self) -> Result<()> {
        let stop = stop_on_signals()?;
        let endpoints = self.endpoints()?;
        let _reserved = Reservation::take(endpoints.iter().map(|(endpoint, _)| *endpoint))?;
        ensure!(
            self.shield == ShieldMode::Off || !matches!(self.syncookies, Syncookies::Off),
            "--shield {} answers by cookies, but --syncookies is off; choose --syncookies auto",
            self.shield.word()
        );
        let secrets = Secrets::random()?;
        let opened = open_all(self.interface.iter().map(|name| self.plan(name, &endpoints, &secrets)).collect())?;
        let workers = if self.on_poll_loops { Workers::OnPollLoops } else { Workers::Threads(1) };
        let mut ready = Ready::build(opened, workers)?;
        let observer = ready.observer.clone();
        let cores = std::mem::take(&mut ready.workers).into_iter();
        let mut working = cores.map(|core| self.worker(core, &endpoints)).collect::<Result<Vec<_>>>()?;
        let own = if self.on_poll_loops { None } else { working.pop() };
        let riders = working.into_iter().map(|(core, worker)| (core, rider(worker))).collect();
        let (running, shield, mut modes) = ready.start(riders, self.guard_plan(&endpoints, &secrets))?;
        modes.insert("syncookies".to_owned(), self.syncookies.name().to_owned());
        let view = View { observer, shield, modes, syncookies: self.syncookies.name(), proxy: None };
        let _control = ControlSocket::serve(&self.control, Arc::new(view))?;
        for (endpoint, _) in &endpoints {
            tracing::info!(%endpoint, "listening");
        }
        let stopped = || stop.load(Ordering::Relaxed) || running.has_ended();
        let served = match own {
            Some((core, worker)) => worker.run(core, STOP_PATIENCE, stopped),
            None => {
                while !stopped() {
                    std::thread::sleep(STOP_PATIENCE);
                }
                Ok(())
            }
        };
        running.stop()?;
        served.context("worker")
    }

    /// Every address and port to listen on, with what is served there.
    fn endpoints(&self) -> Result<Vec<(Endpoint, Open)>> {
        let mut addresses = self.address.clone();
        if addresses.is_empty() {
            for name in &self.interface {
                let own = addresses_of(name)?;
                ensure!(!own.is_empty(), "{name}: has no address; add one or give --address");
                addresses.extend(own);
            }
        }
        let services: [(u16, Open); 4] = [
            (self.http, || Box::new(Http::default())),
            (self.echo, || Box::new(Echo::default())),
            (self.discard, || Box::new(Discard::default())),
            (self.chargen, || Box::new(Chargen::default())),
        ];
        let endpoints: Vec<_> = services
            .into_iter()
            .filter(|(port, _)| *port != 0)
            .flat_map(|(port, open)| addresses.iter().map(move |&addr| (Endpoint::new(addr, port), open)))
            .collect();
        ensure!(!endpoints.is_empty(), "nothing to serve: give --http, --echo, --discard or --chargen a port");
        Ok(endpoints)
    }

    fn plan(&self, name: &str, endpoints: &[(Endpoint, Open)], secrets: &Secrets) -> InterfacePlan {
        InterfacePlan {
            name: name.to_owned(),
            queues: Queues::All,
            cores: self.core.clone(),
            frames: match self.frames {
                Frames::Any => ModeDemand::Any,
                Frames::ZeroCopy => ModeDemand::ZeroCopy,
                Frames::Copy => ModeDemand::Copy,
            },
            xdp: self.xdp.into(),
            busy_poll: false,
            listeners: endpoints.iter().map(|(endpoint, _)| (*endpoint, self.shield)).collect(),
            sources: Vec::new(),
            engine: EngineConfig {
                max_connections: self.max_connections,
                syncookies: self.syncookies.sysctl(),
                abort_on_overflow: self.abort_on_overflow,
                ..EngineConfig::default()
            },
            secrets: secrets.clone(),
            shield: ShieldSettings::default(),
        }
    }

    fn guard_plan(&self, endpoints: &[(Endpoint, Open)], secrets: &Secrets) -> GuardPlan {
        let (engine, settings) = (EngineConfig::default(), ShieldSettings::default());
        let thresholds = Thresholds {
            raise_at: settings.raise_at,
            calm: settings.calm,
            unproven: Thresholds::unproven_for(self.backlog.min(engine.somaxconn)),
            cookies_tell: !matches!(self.syncookies, Syncookies::Always),
        };
        let plan = |local: Endpoint| ListenerPlan { name: local.to_string(), local, mode: self.shield, thresholds };
        GuardPlan {
            listeners: endpoints.iter().map(|(endpoint, _)| plan(*endpoint)).collect(),
            settings,
            backends: Vec::new(),
            cookie_keys: secrets.cookie_keys(engine.cookie_key_life),
        }
    }

    fn worker(&self, mut core: SocketCore, endpoints: &[(Endpoint, Open)]) -> Result<(SocketCore, Worker)> {
        let mut worker = Worker::default();
        for &(local, open) in endpoints {
            // Each poll loop has a worker of its own there.
            let config = ListenConfig { backlog: self.backlog, shared: self.on_poll_loops, ..ListenConfig::new(local) };
            let listener = core.listen(config).with_context(|| format!("listening on {local}"))?;
            worker.serve(listener, open);
        }
        Ok((core, worker))
    }
}

/// A worker as the thread of a poll loop turns it. Nothing comes of time alone; a loop that has ended says so itself.
fn rider(mut worker: Worker) -> Rider {
    Box::new(move |core, _now| {
        let _ = worker.turn(core);
        None
    })
}

impl From<Xdp> for XdpMode {
    fn from(xdp: Xdp) -> Self {
        match xdp {
            Xdp::Any => Self::Any,
            Xdp::Native => Self::Native,
            Xdp::Generic => Self::Generic,
        }
    }
}
