//! `synward serve`: one interface, one queue, echo and HTTP from the engine.
//!
//! Everything that can be refused is refused before the interface is touched. The order of the start matters: the socket is
//! in the program's map and the loop is turning before the program is attached, so that no segment for us reaches the
//! kernel, which would answer it with RST.

use crate::app::{Echo, Http, Open, Worker};
use crate::control::server::{ControlSocket, Counts, View};
use crate::ports::Reservation;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use synward_ebpf::{Attached, Interface, Owned, Protocol, Shield, ShieldConfig, XdpMode};
use synward_engine::{Engine, EngineConfig, ListenConfig, PollLoop, RunError, SocketCore};
use synward_nic::{FrameBudget, ModeDemand, XskConfig, XskPort};
use synward_proto::Endpoint;
use synward_proto::wire::ChecksumPolicy;

/// Entries of the rx ring, and of the fill ring behind it: what a flood of 100,000 a second brings in 80 ms, so that it does
/// not overflow while the scheduler keeps the poll loop waiting.
const RECEIVE_RINGS: u32 = 8192;
/// How often the worker looks whether it should stop.
const STOP_PATIENCE: Duration = Duration::from_millis(100);

/// What to serve, and how.
#[derive(Debug, Args)]
pub struct Serve {
    /// Interface to serve on.
    #[arg(long, value_name = "NAME")]
    interface: String,
    /// Addresses to listen on; all addresses of the interface when none is given.
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<IpAddr>,
    /// Port of the HTTP responder; 0 for none.
    #[arg(long, default_value_t = 80)]
    http: u16,
    /// Port of the echo service; 0 for none.
    #[arg(long, default_value_t = 7)]
    echo: u16,
    /// Completed connections that may wait to be accepted, as in listen(2).
    #[arg(long, default_value_t = 1024)]
    backlog: u32,
    /// Answer SYNs by cookies: never, when the SYN queue overflows, or always.
    #[arg(long, value_enum, default_value_t = Syncookies::Auto)]
    syncookies: Syncookies,
    /// Answer with RST when the accept queue is full, instead of waiting for the client to try again.
    #[arg(long)]
    abort_on_overflow: bool,
    /// Connections at once.
    #[arg(long, value_name = "N", default_value_t = 32_768)]
    max_connections: u32,
    /// How frames cross between device and memory; anything but `any` is demanded.
    #[arg(long, value_enum, default_value_t = Frames::Any)]
    frames: Frames,
    /// Where the XDP program runs; anything but `any` is demanded.
    #[arg(long, value_enum, default_value_t = Xdp::Any)]
    xdp: Xdp,
    /// Core to pin the poll loop to.
    #[arg(long, value_name = "CORE")]
    core: Option<usize>,
    /// Control socket, for `synward ss`, `stat` and `drops`.
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
    /// Serves until SIGTERM, SIGINT, or the loss of the interface.
    ///
    /// # Errors
    /// Whatever keeps it from starting, before the interface is touched; the loss of the interface.
    pub fn run(self) -> Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).context("signal handler")?;
        }
        commit_memory();
        let interface = Interface::by_name(&self.interface)?;
        one_queue(&self.interface)?;
        let endpoints = self.endpoints()?;
        let _reserved = Reservation::take(endpoints.iter().map(|(endpoint, _)| *endpoint))?;
        let (mut shield, port) = self.open(&endpoints)?;
        let Engine { poll_loop, sockets, observer } = synward_engine::build(self.engine_config(&interface)?, port)?;
        let worker = self.worker(sockets, &endpoints)?;
        let (poll_stop, poll_thread) = spawn_loop(poll_loop)?;
        let attached = shield.attach(&self.interface, self.xdp.into())?;
        let view = View {
            observer,
            xdp: shield_counts(shield),
            modes: self.modes(&attached),
            syncookies: self.syncookies.name(),
        };
        let _control = ControlSocket::serve(&self.control, view)?;
        for (endpoint, _) in &endpoints {
            tracing::info!(%endpoint, "listening");
        }
        let stopped = || stop.load(Ordering::Relaxed) || poll_thread.is_finished();
        let served = worker.run(STOP_PATIENCE, stopped);
        drop(attached);
        poll_stop.stop();
        match poll_thread.join() {
            Ok(ended) => ended.with_context(|| self.interface.clone())?,
            Err(_) => bail!("the poll loop panicked"),
        }
        served.context("worker")
    }

    /// Every address and port to listen on, with what is served there.
    fn endpoints(&self) -> Result<Vec<(Endpoint, Open)>> {
        let mut addresses = self.address.clone();
        if addresses.is_empty() {
            addresses = addresses_of(&self.interface)?;
            ensure!(!addresses.is_empty(), "{}: has no address; add one or give --address", self.interface);
        }
        let services: [(u16, Open); 2] =
            [(self.http, || Box::new(Http::default())), (self.echo, || Box::new(Echo::default()))];
        let endpoints: Vec<_> = services
            .into_iter()
            .filter(|(port, _)| *port != 0)
            .flat_map(|(port, open)| addresses.iter().map(move |&addr| (Endpoint::new(addr, port), open)))
            .collect();
        ensure!(!endpoints.is_empty(), "nothing to serve: give --http or --echo a port");
        Ok(endpoints)
    }

    /// The program, told what is ours and by which socket, and that socket's port.
    fn open(&self, endpoints: &[(Endpoint, Open)]) -> Result<(Shield, XskPort)> {
        let mut shield = Shield::load(&ShieldConfig::default())?;
        let port = XskPort::open(&XskConfig {
            mode: match self.frames {
                Frames::Any => ModeDemand::Any,
                Frames::ZeroCopy => ModeDemand::ZeroCopy,
                Frames::Copy => ModeDemand::Copy,
            },
            budget: FrameBudget { rx_ring: RECEIVE_RINGS, fill_ring: RECEIVE_RINGS, ..FrameBudget::default() },
            ..XskConfig::new(&self.interface, 0)
        })?;
        shield.set_socket(0, &port)?;
        for (endpoint, _) in endpoints {
            shield.own(Owned { protocol: Protocol::Tcp, address: endpoint.addr, port: endpoint.port })?;
        }
        Ok((shield, port))
    }

    fn engine_config(&self, interface: &Interface) -> Result<EngineConfig> {
        let mtu = u16::try_from(interface.mtu).with_context(|| format!("{}: MTU too large", interface.name))?;
        // Only a virtual device can carry a checksum that the sending kernel left unfinished.
        let checksums = match interface.kind {
            Some(_) => ChecksumPolicy::AllowUnfinished,
            None => ChecksumPolicy::Full,
        };
        Ok(EngineConfig {
            mtu,
            checksums,
            max_connections: self.max_connections,
            syncookies: self.syncookies.sysctl(),
            abort_on_overflow: self.abort_on_overflow,
            core: self.core,
            interface: Some(interface.name.clone()),
            ..EngineConfig::default()
        })
    }

    fn worker(&self, sockets: SocketCore, endpoints: &[(Endpoint, Open)]) -> Result<Worker> {
        let mut worker = Worker::new(sockets);
        for &(local, open) in endpoints {
            let listener = worker
                .core()
                .listen(ListenConfig { backlog: self.backlog, ..ListenConfig::new(local) })
                .with_context(|| format!("listening on {local}"))?;
            worker.serve(listener, open);
        }
        Ok(worker)
    }

    fn modes(&self, attached: &Attached) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("interface".to_owned(), self.interface.clone()),
            ("xdp".to_owned(), attached.mode().to_string()),
            ("syncookies".to_owned(), self.syncookies.name().to_owned()),
        ])
    }
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

/// Has the kernel provide all memory when it is reserved instead of when it is first touched. Every table is sized at the
/// start; so what a flood fills is there already, and neither page faults nor a lack of memory come on the packet path.
fn commit_memory() {
    use rustix::mm::{MlockAllFlags, mlockall};
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        tracing::warn!("memory is committed when it is first used, for want of CAP_IPC_LOCK: {error}");
    }
}

type PollThread = thread::JoinHandle<Result<(), RunError>>;

fn spawn_loop(poll_loop: PollLoop<XskPort>) -> Result<(synward_engine::Stop, PollThread)> {
    let stop = poll_loop.stopper();
    let thread = thread::Builder::new().name("poll-0".to_owned()).spawn(move || poll_loop.run())?;
    Ok((stop, thread))
}

fn shield_counts(shield: Shield) -> Counts {
    Box::new(move || match shield.counters() {
        Ok(counters) => counters.iter().map(|(counter, count)| (counter.name().to_owned(), count)).collect(),
        Err(error) => {
            tracing::warn!("{error}");
            BTreeMap::new()
        }
    })
}

fn addresses_of(interface: &str) -> Result<Vec<IpAddr>> {
    let all = if_addrs::get_if_addrs().context("listing the addresses of interfaces")?;
    let ours = all.into_iter().filter(|address| address.name == interface).map(|address| address.ip());
    Ok(ours.filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())).collect())
}

/// A frame on a queue without a socket would be lost, so there must be one queue only.
fn one_queue(interface: &str) -> Result<()> {
    let folder = format!("/sys/class/net/{interface}/queues");
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(()) };
    let queues = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-")).count();
    ensure!(
        queues <= 1,
        "{interface}: has {queues} receive queues and only one can be served: `ethtool -L {interface} rx 1` first"
    );
    Ok(())
}
