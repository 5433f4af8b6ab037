//! One interface: a port for each of its queues, and the XDP program that knows what is ours.

use crate::config::Queues;
use anyhow::{Context, Result, ensure};
use std::net::IpAddr;
use synward_ebpf::{Interface, Owned, Protocol, Shield, ShieldConfig, XdpMode};
use synward_engine::{EngineConfig, Queue, Rss};
use synward_nic::{BusyPoll, FrameBudget, ModeDemand, XskConfig, XskPort};
use synward_proto::Endpoint;
use synward_proto::wire::ChecksumPolicy;

/// Entries of all rx rings of an interface together, and of the fill rings behind them: what a flood of 100,000 a second brings
/// in 80 ms, so that they do not overflow while the scheduler keeps the poll loops waiting.
const RECEIVE_RINGS: u32 = 8192;
/// The smallest rx ring of one queue.
const SMALLEST_RING: u32 = 2048;
/// What busy-polling does per system call: at most this long, and at most so many packets.
const BUSY_POLL: BusyPoll = BusyPoll { microseconds: 20, budget: 64 };

/// How an interface is to be served.
#[derive(Clone, Debug)]
pub struct InterfacePlan {
    /// Its name.
    pub name: String,
    /// How many receive queues it must have.
    pub queues: Queues,
    /// The core for the poll loop of each queue; where there are fewer, the scheduler chooses.
    pub cores: Vec<usize>,
    /// How frames cross; anything but `Any` is demanded.
    pub frames: ModeDemand,
    /// Where the XDP program runs; anything but `Any` is demanded.
    pub xdp: XdpMode,
    /// Whether the device is polled from system calls instead of its interrupts.
    pub busy_poll: bool,
    /// The ends at which clients are served.
    pub listeners: Vec<Endpoint>,
    /// The addresses at which the range of source ports is ours.
    pub sources: Vec<IpAddr>,
    /// What its shards are told; name, MTU and checksums are filled in.
    pub engine: EngineConfig,
}

/// An interface whose sockets are bound and whose program is loaded, and which nothing has touched yet.
pub struct Opened {
    /// Its name.
    pub name: String,
    /// Where the program is to run.
    pub xdp: XdpMode,
    /// The program.
    pub shield: Shield,
    /// For the engine.
    pub interface: synward_engine::Interface<XskPort>,
}

impl InterfacePlan {
    /// Binds a socket to every queue, and loads the program with what is ours.
    ///
    /// # Errors
    /// Whatever keeps it from being served; it is left as it was.
    pub fn open(self) -> Result<Opened> {
        let link = Interface::by_name(&self.name)?;
        let queues = self.count_queues()?;
        let mut shield = Shield::load(&ShieldConfig { queues: queues.into(), ..ShieldConfig::default() })?;
        for endpoint in &self.listeners {
            shield.own(Owned { protocol: Protocol::Tcp, address: endpoint.addr, port: endpoint.port })?;
        }
        for &source in &self.sources {
            shield.own_range(Protocol::Tcp, source, self.engine.source_ports.clone())?;
        }
        let mut ports = Vec::new();
        for queue in 0..queues {
            let port = XskPort::open(&self.port(queue, queues))?;
            shield.set_socket(queue.into(), &port)?;
            ports.push(Queue { port, core: self.cores.get(usize::from(queue)).copied() });
        }
        let rss = match queues {
            1 => None,
            _ => Rss::read(&self.name)?,
        };
        let by = if rss.is_some() { "RSS" } else { "a keyed hash" };
        tracing::info!(interface = self.name, queues, by, "connections are spread over the queues");
        let interface =
            synward_engine::Interface { config: self.engine_config(&link)?, rss, queues: ports, shield: None };
        Ok(Opened { name: self.name, xdp: self.xdp, shield, interface })
    }

    /// Every queue is served: a frame on a queue without a socket would be lost.
    fn count_queues(&self) -> Result<u16> {
        let (name, count) = (&self.name, queues_of(&self.name)?);
        if let Queues::Exactly(wanted) = self.queues {
            ensure!(
                wanted == count,
                "{name}: has {count} receive queues, not {wanted}, and all of them must be served: \
                 `ethtool -L {name} rx {wanted}` changes that, where the driver can"
            );
        }
        Ok(count)
    }

    fn port(&self, queue: u16, queues: u16) -> XskConfig {
        let ring = (RECEIVE_RINGS / u32::from(queues)).next_power_of_two().max(SMALLEST_RING);
        XskConfig {
            mode: self.frames,
            budget: FrameBudget { rx_ring: ring, fill_ring: ring, ..FrameBudget::default() },
            busy_poll: self.busy_poll.then_some(BUSY_POLL),
            ..XskConfig::new(&self.name, queue.into())
        }
    }

    fn engine_config(&self, link: &Interface) -> Result<EngineConfig> {
        let mtu = u16::try_from(link.mtu).with_context(|| format!("{}: MTU too large", self.name))?;
        // Only a virtual device can carry a checksum that the sending kernel left unfinished.
        let checksums = match link.kind {
            Some(_) => ChecksumPolicy::AllowUnfinished,
            None => ChecksumPolicy::Full,
        };
        Ok(EngineConfig { mtu, checksums, interface: Some(self.name.clone()), ..self.engine.clone() })
    }
}

/// The receive queues of an interface.
///
/// # Errors
/// When there is no such interface, or it has none.
pub fn queues_of(interface: &str) -> Result<u16> {
    let folder = format!("/sys/class/net/{interface}/queues");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("{interface}: no such device ({folder})"))?;
    let count = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-")).count();
    ensure!(count > 0, "{interface}: has no receive queue");
    u16::try_from(count).with_context(|| format!("{interface}: has {count} receive queues"))
}

/// The addresses of an interface, but for IPv6's link-local ones.
///
/// # Errors
/// When the kernel does not list them.
pub fn addresses_of(interface: &str) -> Result<Vec<IpAddr>> {
    let all = if_addrs::get_if_addrs().context("listing the addresses of interfaces")?;
    let ours = all.into_iter().filter(|address| address.name == interface).map(|address| address.ip());
    Ok(ours.filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())).collect())
}
