//! One namespace of a test bed: run code and commands in it, read its counters, break its link.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::Arc;

use crate::bed::{set_sysctls, sysctl_path};
use crate::namespace::Namespace;
use crate::netlink::Netlink;
use crate::plan::InterfacePlan;
use crate::{LabError, Offloads, address, counters, ethtool, link, loss};

/// One namespace with one interface in it. Cheap to clone; a clone that outlives its lab gets errors, not another lab.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: Namespace,
    name: Arc<str>,
    interface: Arc<InterfacePlan>,
    peer: Option<Arc<Peer>>,
}

/// Where the other end of the interface is.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) namespace: Namespace,
    pub(crate) link: String,
}

/// Counters of one interface since it was made (`rtnl_link_stats64`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets that arrived and were dropped by the device.
    pub rx_dropped: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that the device could not send.
    pub tx_dropped: u64,
}

impl Host {
    pub(crate) fn new(namespace: Namespace, name: &str, interface: InterfacePlan, peer: Option<Peer>) -> Self {
        Self { namespace, name: name.into(), interface: Arc::new(interface), peer: peer.map(Arc::new) }
    }

    /// The role in the lab: `front`, `client0`, `attacker0`, `near`, `far`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the namespace as `ip netns` shows it: `synward-<id>-<name>`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// The name of the interface inside the namespace, such as `front0`.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface.link.name
    }

    /// The hardware address of the interface.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.interface.link.mac.0
    }

    /// The IPv4 address of the interface.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        self.interface.ipv4
    }

    /// The IPv6 address of the interface (not the link-local one).
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        self.interface.ipv6
    }

    /// Runs `work` on a fresh thread inside the namespace and returns what it returns.
    ///
    /// The thread has what `ip netns exec` gives: the network of the namespace and a `/sys` that shows its devices, in a
    /// mount namespace of its own. Sockets, threads and processes made inside stay in the namespace wherever they go later.
    /// `/proc/net` shows the main thread's namespace, here as everywhere: read `/proc/thread-self/net`.
    /// A panic in `work` continues in the caller.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.namespace.enter(work)
    }

    /// A command that will run inside the namespace, with the same view as [`Host::enter`]. It is killed with the lab.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Sets a sysctl of the namespace, by its dotted name: `host.set_sysctl("net.ipv4.tcp_syncookies", "1")`.
    ///
    /// # Errors
    /// No such sysctl, or a value it does not take.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<(), LabError> {
        set_sysctls(&self.namespace, &[(name, value)])
    }

    /// The value of a sysctl of the namespace, without the line's end.
    ///
    /// # Errors
    /// No such sysctl.
    pub fn sysctl(&self, name: &str) -> Result<String, LabError> {
        let text = self
            .namespace
            .run(|| fs::read_to_string(sysctl_path(name)))?
            .map_err(|source| LabError::system(format!("read {name} in {}", self.namespace()), source))?;
        Ok(text.trim_end().to_owned())
    }

    /// The counters of the namespace by the names of `nstat`: `TcpExtSyncookiesSent`, `TcpActiveOpens`, `Ip6InReceives`.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn netstat(&self) -> Result<BTreeMap<String, u64>, LabError> {
        self.namespace
            .run(counters::read)?
            .map_err(|source| LabError::system(format!("read the counters of {}", self.namespace()), source))
    }

    /// The counters of the interface.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn stats(&self) -> Result<InterfaceStats, LabError> {
        let stats = link::find(&mut Netlink::open(&self.namespace)?, self.interface())?.stats;
        Ok(InterfaceStats {
            rx_packets: stats.rx_packets,
            rx_bytes: stats.rx_bytes,
            rx_dropped: stats.rx_dropped,
            tx_packets: stats.tx_packets,
            tx_bytes: stats.tx_bytes,
            tx_dropped: stats.tx_dropped,
        })
    }

    /// Sets the offloads of the interface.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn set_offloads(&self, offloads: Offloads) -> Result<(), LabError> {
        ethtool::set_offloads(&self.namespace, self.interface(), offloads)
    }

    /// The offloads of the interface as they are in force. They may be fewer than were set: TSO and GSO of an end are off
    /// while its peer carries an XDP program.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn offloads(&self) -> Result<Offloads, LabError> {
        ethtool::offloads(&self.namespace, self.interface())
    }

    /// Takes the interface down. The kernel forgets its neighbours and routes.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn link_down(&self) -> Result<(), LabError> {
        link::set_down(&mut Netlink::open(&self.namespace)?, self.interface())
    }

    /// Brings the interface up, puts back the neighbours and routes that going down took, and waits until frames pass.
    ///
    /// # Errors
    /// The interface is gone, or its peer is down.
    pub fn link_up(&self) -> Result<(), LabError> {
        let mut netlink = Netlink::open(&self.namespace)?;
        link::set_up(&mut netlink, self.interface())?;
        let index = link::find(&mut netlink, self.interface())?.index;
        put_reachability(&mut netlink, index, &self.interface)?;
        self.await_ready()
    }

    /// Waits until frames pass in both directions and the host takes those to its addresses.
    pub(crate) fn await_ready(&self) -> Result<(), LabError> {
        link::await_ready(&self.namespace, self.interface())?;
        if let Some(Peer { namespace, link }) = self.peer.as_deref() {
            link::await_ready(namespace, link)?;
        }
        address::await_address(&self.namespace, self.ipv6())
    }

    /// Deletes the interface, and with it the other end of its pair.
    ///
    /// # Errors
    /// The interface is gone already.
    pub fn delete_interface(&self) -> Result<(), LabError> {
        let mut netlink = Netlink::open(&self.namespace)?;
        let index = link::find(&mut netlink, self.interface())?.index;
        link::delete(&mut netlink, index, self.interface())
    }

    /// Loses this share of what arrives at the interface, at random; 0 loses nothing. Needs `nft`.
    ///
    /// What XDP takes from the interface (an AF_XDP socket) is taken before the loss. To lose what is sent *to* such a
    /// receiver, use [`crate::Lab::set_loss`], which loses it inside the switch.
    ///
    /// # Errors
    /// `nft` is missing or refuses; the percentage is not within 0 to 100.
    pub fn set_incoming_loss(&self, percent: f64) -> Result<(), LabError> {
        loss::set(&self.namespace, &[self.interface()], percent)
    }
}

/// Puts the neighbours and routes of an interface that is up.
pub(crate) fn put_reachability(netlink: &mut Netlink, index: u32, interface: &InterfacePlan) -> Result<(), LabError> {
    for neighbour in &interface.neighbours {
        address::put_neighbour(netlink, index, *neighbour)?;
    }
    interface.routes.iter().try_for_each(|route| address::put_route(netlink, index, *route))
}
