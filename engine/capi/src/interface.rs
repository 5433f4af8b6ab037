//! An engine on an interface: a socket for each queue, and the XDP program that knows what is ours.
//!
//! The order of the start matters: every socket is in the program's map and every loop turns before the program is attached; and a
//! port becomes ours only once every loop knows its listener. So no segment for us is answered with RST by one who has yet
//! to hear of it.

use crate::address::Family;
use crate::errno::{Errno, Result};
use crate::network::Way;
use crate::stepped::no_engine;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use synward_ebpf::{Attached, EbpfError, Interface, Owned, Protocol, Shield, ShieldConfig, XdpMode};
use synward_engine::{
    EngineConfig, Fleet, NextHop, NextHops, NoNextHop, Observer, PollLoop, Queue, Rss, SocketCore, Workers, build_fleet,
};
use synward_nic::{PortError, XskConfig, XskPort, receive_queues};
use synward_proto::Endpoint;
use synward_proto::wire::ChecksumPolicy;

/// How long a connect waits until the neighbour has answered, as long as the kernel asks it (three probes a second apart).
const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(3);
/// Destinations whose next hops are kept.
const MOST_DESTINATIONS: usize = 4096;

/// Why an engine cannot be had: the errno, and a sentence.
type Refusal = (Errno, String);

/// An interface whose sockets are bound and whose program is loaded, and which nothing has touched yet.
pub(crate) struct Opened {
    pub(crate) poll_loops: Vec<PollLoop<XskPort>>,
    pub(crate) sockets: SocketCore,
    pub(crate) observer: Observer,
    pub(crate) program: Loaded,
}

/// A program that is not attached yet.
pub(crate) struct Loaded {
    name: String,
    shield: Shield,
    addresses: Vec<IpAddr>,
    source_ports: RangeInclusive<u16>,
}

/// An interface that is served.
pub(crate) struct Program {
    addresses: Vec<IpAddr>,
    source_ports: RangeInclusive<u16>,
    name: String,
    next_hops: NextHops,
    /// How many destinations they watch.
    watched: Mutex<usize>,
    owned: Mutex<OwnedPorts>,
    /// Dropping it gives the interface back to the kernel.
    _attached: Attached,
}

/// What is taken from the kernel beside the range of source ports. Once a port is, it stays so until the engine is closed:
/// connections outlive listeners.
struct OwnedPorts {
    shield: Shield,
    /// Kernel sockets that are bound and never listen, so that nobody else can have the port.
    reserved: HashMap<Endpoint, OwnedFd>,
}

/// The errno of a system call that failed on the way.
fn errno_of(error: &(dyn std::error::Error + 'static)) -> Option<Errno> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(errno) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            return Some(Errno(errno));
        }
        cause = error.source();
    }
    None
}

fn refusal(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    (errno_of(error).unwrap_or(Errno::INVALID), text)
}

fn no_program(error: EbpfError) -> Refusal {
    refusal(&error)
}

fn no_port(error: PortError) -> Refusal {
    match error {
        PortError::NoSuchInterface { .. } => (Errno(libc::ENODEV), error.to_string()),
        PortError::NotPermitted { .. } => (Errno(libc::EPERM), error.to_string()),
        PortError::QueueBusy { .. } => (Errno(libc::EBUSY), error.to_string()),
        other => refusal(&other),
    }
}

/// Opens an interface, at these addresses of it, or at all.
///
/// # Errors
/// Whatever keeps it from being served; it is left as it was.
pub(crate) fn open(name: &str, addresses: Vec<IpAddr>, config: EngineConfig) -> std::result::Result<Opened, Refusal> {
    let link = Interface::by_name(name).map_err(|error| (Errno(libc::ENODEV), error.to_string()))?;
    let addresses = if addresses.is_empty() { addresses_of(name)? } else { addresses };
    let queues = queues_of(name)?;
    let config = EngineConfig {
        mtu: config.mtu.min(u16::try_from(link.mtu).unwrap_or(u16::MAX)),
        checksums: if link.unfinished_checksums { ChecksumPolicy::AllowUnfinished } else { ChecksumPolicy::Full },
        interface: Some(name.to_owned()),
        ..config
    };
    let shield = ShieldConfig { queues, flows: 1, ..ShieldConfig::default() };
    let mut shield = Shield::load(&shield).map_err(no_program)?;
    for &address in &addresses {
        shield.own_range(Protocol::Tcp, address, config.source_ports.clone()).map_err(no_program)?;
    }
    let mut ports = Vec::new();
    for queue in 0..queues {
        let port = XskPort::open(&XskConfig::new(name, queue)).map_err(no_port)?;
        shield.set_socket(queue, &port).map_err(no_program)?;
        ports.push(Queue { port, core: None });
    }
    let rss = if queues == 1 { None } else { Rss::read(name).map_err(|error| refusal(&error))? };
    let source_ports = config.source_ports.clone();
    let interface = synward_engine::Interface { config, rss, queues: ports, shield: None };
    let Fleet { poll_loops, workers, observer, .. } =
        build_fleet(vec![interface], Workers::Threads(1)).map_err(no_engine)?;
    let sockets = workers.into_iter().next().ok_or((Errno::IO, "the engine has no worker".to_owned()))?;
    let program = Loaded { name: name.to_owned(), shield, addresses, source_ports };
    Ok(Opened { poll_loops, sockets, observer, program })
}

/// The receive queues of an interface: all of them are served, or frames of ours would reach the kernel.
fn queues_of(name: &str) -> std::result::Result<u32, Refusal> {
    let queues = receive_queues(name).map_err(|error| (Errno(libc::ENODEV), format!("{name}: {error}")))?;
    match u32::try_from(queues) {
        Ok(queues) if queues > 0 => Ok(queues),
        _ => Err((Errno(libc::ENODEV), format!("{name}: has {queues} receive queues"))),
    }
}

/// The addresses of an interface, but for IPv6's link-local ones.
fn addresses_of(name: &str) -> std::result::Result<Vec<IpAddr>, Refusal> {
    let all = if_addrs::get_if_addrs().map_err(|error| refusal(&error))?;
    let ours = all.into_iter().filter(|address| address.name == name).map(|address| address.ip());
    let ours: Vec<_> = ours.filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())).collect();
    if ours.is_empty() { Err((Errno::ADDRESS_NOT_AVAILABLE, format!("{name}: has no address"))) } else { Ok(ours) }
}

impl Loaded {
    /// Attaches the program, and begins to look for next hops.
    ///
    /// # Errors
    /// The kernel's reasons to refuse; the interface is left as it was.
    pub(crate) fn attach(mut self) -> std::result::Result<Program, Refusal> {
        let next_hops = NextHops::start([]).map_err(|error| refusal(&error))?;
        let attached = self.shield.attach(&self.name, XdpMode::Any).map_err(no_program)?;
        Ok(Program {
            addresses: self.addresses,
            source_ports: self.source_ports,
            name: self.name,
            next_hops,
            watched: Mutex::new(0),
            owned: Mutex::new(OwnedPorts { shield: self.shield, reserved: HashMap::new() }),
            _attached: attached,
        })
    }
}

impl Program {
    /// Our addresses.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Keeps a port for a socket that is bound to it: no program on the kernel's TCP can have it then.
    ///
    /// # Errors
    /// EADDRINUSE when one has it, and the kernel's other reasons.
    pub(crate) fn reserve(&self, end: &Endpoint) -> Result<()> {
        let mut owned = lock(&self.owned);
        if !owned.reserved.contains_key(end) {
            let socket = reserve(end)?;
            owned.reserved.insert(*end, socket);
        }
        Ok(())
    }

    /// Takes a port from the kernel.
    ///
    /// # Errors
    /// ENOBUFS when there are too many.
    pub(crate) fn own(&self, end: &Endpoint) -> Result<()> {
        if self.source_ports.contains(&end.port) {
            return Ok(());
        }
        let mut owned = lock(&self.owned);
        let meant = |address: &&IpAddr| {
            Family::of(address) == Family::of(&end.addr) && (end.addr.is_unspecified() || end.addr == **address)
        };
        for &address in self.addresses.iter().filter(meant) {
            let port = Owned { protocol: Protocol::Tcp, address, port: end.port };
            owned.shield.own(port).map_err(|_| Errno(libc::ENOBUFS))?;
        }
        Ok(())
    }

    /// How a destination is reached. One that was not asked for before takes as long as its neighbour takes to answer.
    ///
    /// # Errors
    /// ENETUNREACH, EHOSTUNREACH.
    pub(crate) fn way_to(&self, remote: &Endpoint) -> Result<Way> {
        let found = match self.next_hops.lookup(remote.addr) {
            Err(NoNextHop::NotWatched { .. }) => self.look_up_anew(remote.addr),
            Err(NoNextHop::Unresolved { .. }) => self.await_neighbour(remote.addr),
            found => found.map_err(|reason| no_way(&reason)),
        };
        let NextHop { name, source, link, .. } = found?;
        if *name != self.name {
            return Err(Errno(libc::ENETUNREACH));
        }
        let source = if self.addresses.contains(&source) { Some(source) } else { self.first_like(remote) };
        Ok(Way { source: source.ok_or(Errno(libc::ENETUNREACH))?, link })
    }

    fn first_like(&self, remote: &Endpoint) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(address) == Family::of(&remote.addr))
    }

    fn look_up_anew(&self, destination: IpAddr) -> Result<NextHop> {
        {
            let mut watched = lock(&self.watched);
            if *watched >= MOST_DESTINATIONS {
                return Err(Errno(libc::ENOBUFS));
            }
            *watched += 1;
        }
        let added = self.next_hops.add(destination).map_err(|_| Errno(libc::ENETUNREACH));
        let found = added.and_then(|()| self.await_neighbour(destination));
        if found.is_err() {
            self.next_hops.remove(destination);
            *lock(&self.watched) -= 1;
        }
        found
    }

    fn await_neighbour(&self, destination: IpAddr) -> Result<NextHop> {
        if let Err(NoNextHop::Unresolved { .. }) = self.next_hops.lookup(destination) {
            // Which of them have none in the end is looked up next.
            let _ = self.next_hops.wait_until_resolved(NEIGHBOUR_PATIENCE);
        }
        self.next_hops.lookup(destination).map_err(|reason| no_way(&reason))
    }
}

/// Nothing that is kept here is ever half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_way(reason: &NoNextHop) -> Errno {
    match reason {
        NoNextHop::Unresolved { .. } => Errno(libc::EHOSTUNREACH),
        NoNextHop::NoRoute { .. }
        | NoNextHop::Local { .. }
        | NoNextHop::NotEthernet { .. }
        | NoNextHop::NotWatched { .. } => Errno(libc::ENETUNREACH),
    }
}

/// Binds a socket of the kernel's, which never listens.
fn reserve(end: &Endpoint) -> Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
    let errno = |error: rustix::io::Errno| Errno(error.raw_os_error());
    let family = if end.addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(errno)?;
    if end.addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).map_err(errno)?;
    }
    bind(&socket, &SocketAddr::from(*end)).map_err(errno)?;
    Ok(socket)
}
