//! One interface: a port for each of its queues, and the XDP program that knows what is ours.

use super::room::{commit_memory, ensure_room};
use crate::config::{MAX_PREFIXES, Queues, ShieldMode, ShieldSettings};
use crate::shield::{CookieKeys, EngineShield, Program};
use anyhow::{Context, Result, ensure};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use synward_ebpf::{CookieOffer, Interface, Limits, ListenerId, Owned, Protocol, Rate, Shield, ShieldConfig, XdpMode};
use synward_engine::{EngineConfig, Queue, Rss, Secrets, monotonic};
use synward_nic::{BusyPoll, FrameBudget, ModeDemand, XskConfig, XskPort, receive_queues};
use synward_proto::Endpoint;
use synward_proto::flood_guard::CookieTimestamps;
use synward_proto::half_open::Offer;
use synward_proto::segment::WindowScale;
use synward_proto::wire::ChecksumPolicy;

/// Entries of all rx rings of an interface together, and of the fill rings behind them: what a flood of 100,000 a second brings
/// in 80 ms, so that they do not overflow while the scheduler keeps the poll loops waiting.
const RECEIVE_RINGS: u32 = 8192;
/// The smallest rx ring of one queue.
const SMALLEST_RING: u32 = 2048;
/// The size of frames where the driver does not ask for larger ones.
const USUAL_FRAME: u16 = 2048;
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
    /// The ends at which clients are served, and when each has a shield.
    pub listeners: Vec<(Endpoint, ShieldMode)>,
    /// The addresses at which the range of source ports is ours.
    pub sources: Vec<IpAddr>,
    /// What its shards are told; name, MTU, checksums and secrets are filled in.
    pub engine: EngineConfig,
    /// The secrets of the whole engine: its program mints the same cookies.
    pub secrets: Secrets,
    /// What its program refuses.
    pub shield: ShieldSettings,
}

/// An interface whose sockets are bound and whose program is loaded, and which nothing has touched yet.
pub struct Opened {
    /// Where the program is to run.
    pub xdp: XdpMode,
    /// The program.
    pub(crate) program: Program,
    /// For the engine.
    pub interface: synward_engine::Interface<XskPort>,
}

/// Opens all interfaces of a front, if there is room for them; all memory from here on is committed when it is reserved.
///
/// # Errors
/// Whatever keeps one from being served, and limits of this process that are too low; all are left as they were.
pub fn open_all(plans: Vec<InterfacePlan>) -> Result<Vec<Opened>> {
    ensure_room(&plans)?;
    commit_memory();
    plans.into_iter().map(InterfacePlan::open).collect()
}

impl InterfacePlan {
    /// Binds a socket to every queue, and loads the program with what is ours.
    ///
    /// # Errors
    /// Whatever keeps it from being served; it is left as it was.
    fn open(self) -> Result<Opened> {
        let link = Interface::by_name(&self.name)?;
        let queues = self.count_queues()?;
        let engine = self.engine_config(&link)?;
        let mut program = self.load(&engine, queues)?;
        let mut ports = Vec::new();
        for queue in 0..queues {
            let port = XskPort::open(&self.port(queue, queues))?;
            program.shield.set_socket(queue.into(), &port)?;
            ports.push(Queue { port, core: self.cores.get(usize::from(queue)).copied() });
        }
        let rss = match queues {
            1 => None,
            _ => Rss::read(&self.name)?,
        };
        let by = if rss.is_some() { "RSS" } else { "a keyed hash" };
        tracing::info!(interface = self.name, queues, by, "connections are spread over the queues");
        let seen_by_engine: Arc<dyn synward_engine::Shield> = program.seen_by_engine.clone();
        let interface = synward_engine::Interface { config: engine, rss, queues: ports, shield: Some(seen_by_engine) };
        Ok(Opened { xdp: self.xdp, program, interface })
    }

    /// Loads the program, and tells it what is ours, what to refuse, and what it needs for cookies.
    fn load(&self, engine: &EngineConfig, queues: u16) -> Result<Program> {
        let keys = self.secrets.cookie_keys(engine.cookie_key_life);
        let flows = engine.max_connections.saturating_add(engine.max_time_waits).saturating_add(engine.syn_table);
        let mut shield = Shield::load(&ShieldConfig {
            queues: queues.into(),
            flows: flows.saturating_mul(queues.into()),
            unfinished_checksums: engine.checksums == ChecksumPolicy::AllowUnfinished,
            ticks_per_key: keys.ticks_per_key(),
            prefixes: MAX_PREFIXES,
            ..ShieldConfig::default()
        })?;
        let listeners = self.own(&mut shield, &offer(engine))?;
        shield.set_stall(self.shield.stall_limit, self.shield.on_stall)?;
        shield.set_limits(&limits(&self.shield))?;
        for (&prefix, &verdict) in &self.shield.prefixes {
            shield.prefix_list().insert(prefix, verdict, None)?;
        }
        CookieKeys::new(keys).give(monotonic(), std::slice::from_mut(&mut shield))?;
        let seen_by_engine = Arc::new(EngineShield::new(&shield, &listeners));
        for (endpoint, _) in self.listeners.iter().filter(|(_, mode)| *mode == ShieldMode::Always) {
            seen_by_engine.raise(endpoint);
        }
        Ok(Program { interface: self.name.clone(), shield, seen_by_engine, listeners })
    }

    /// Says what is ours. Gives the listeners that have a shield.
    fn own(&self, shield: &mut Shield, offer: &CookieOffer) -> Result<Vec<(Endpoint, ListenerId)>> {
        let mut guarded = Vec::new();
        for &(endpoint, mode) in &self.listeners {
            let owned = Owned { protocol: Protocol::Tcp, address: endpoint.addr, port: endpoint.port };
            match mode {
                ShieldMode::Off => {
                    shield.own(owned)?;
                }
                ShieldMode::Auto | ShieldMode::Always => guarded.push((endpoint, shield.own_listener(owned, offer)?)),
            }
        }
        for &source in &self.sources {
            shield.own_range(Protocol::Tcp, source, self.engine.source_ports.clone())?;
        }
        Ok(guarded)
    }

    /// Every queue is served: a frame on a queue without a socket would be lost.
    pub(super) fn count_queues(&self) -> Result<u16> {
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

    /// Bytes of all frames of one of so many queues.
    pub(super) fn frames_of_queue(&self, queues: u64) -> u64 {
        let port = self.port(0, u16::try_from(queues).unwrap_or(u16::MAX));
        u64::from(port.budget.total().unwrap_or(u32::MAX)) * u64::from(port.frame_size.unwrap_or(USUAL_FRAME))
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
        let checksums = match link.unfinished_checksums {
            true => ChecksumPolicy::AllowUnfinished,
            false => ChecksumPolicy::Full,
        };
        let (interface, secrets) = (Some(self.name.clone()), Some(self.secrets.clone()));
        Ok(EngineConfig { mtu, checksums, interface, secrets, ..self.engine.clone() })
    }
}

/// What the program spares us and others. A second's worth may come at once.
fn limits(settings: &ShieldSettings) -> Limits {
    let rate = |per_second: Option<u32>| {
        let per_second = per_second.and_then(NonZeroU32::new)?;
        Some(Rate { per_second, burst: per_second })
    };
    Limits {
        syn_per_source: rate(settings.syn_rate_per_source),
        syn_per_prefix: rate(settings.syn_rate_per_prefix),
        replies_per_prefix: rate(settings.reply_ceiling_per_prefix),
        replies: rate(settings.reply_ceiling),
    }
}

/// What the program's SYN-ACKs offer: what the engine's own do.
fn offer(engine: &EngineConfig) -> CookieOffer {
    let Offer { mss_v4, mss_v6, window, window_scale, sack, timestamps, ecn: _, marking: _ } = engine.offer();
    CookieOffer {
        mss_v4: mss_v4.get(),
        mss_v6: mss_v6.get(),
        window,
        window_scale: window_scale.map(WindowScale::shift),
        sack,
        timestamps,
        timestamps_required: engine.cookie_timestamps == CookieTimestamps::Required,
    }
}

/// The receive queues of an interface.
///
/// # Errors
/// When there is no such interface, or it has none.
pub fn queues_of(interface: &str) -> Result<u16> {
    let count = receive_queues(interface).with_context(|| format!("{interface}: no such device"))?;
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
