//! One namespace of a test bed: run code and commands in it, read its counters, break its links.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::Arc;

use crate::bed::{set_sysctls, sysctl_path};
use crate::namespace::Namespace;
use crate::{Interface, InterfaceStats, LabError, Offloads, counters};

/// One namespace with the interfaces in it: one, unless the host is the front of a lab that is wired
/// [`PerRole`](crate::FrontWiring::PerRole). Cheap to clone; a clone that outlives its lab gets errors, not another lab.
///
/// What is said of *the* interface here concerns the first one; [`Host::interfaces`] has all of them.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: Namespace,
    name: Arc<str>,
    first: Interface,
    interfaces: Arc<[Interface]>,
}

impl Host {
    /// `None` without an interface.
    pub(crate) fn new(namespace: Namespace, name: &str, interfaces: Vec<Interface>) -> Option<Self> {
        let first = interfaces.first()?.clone();
        Some(Self { namespace, name: name.into(), first, interfaces: interfaces.into() })
    }

    /// The role in the lab, and its number where there may be several: `front`, `client0`, `attacker0`, `backend0`, `near`,
    /// `far`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the namespace as `ip netns` shows it: `synward-<id>-<name>`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// All interfaces, in the order of their numbers.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// The name of the interface inside the namespace, such as `front0`.
    #[must_use]
    pub fn interface(&self) -> &str {
        self.first.name()
    }

    /// The hardware address of the interface.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.first.mac()
    }

    /// The IPv4 address of the interface.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        self.first.ipv4()
    }

    /// The IPv6 address of the interface (not the link-local one).
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        self.first.ipv6()
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

    /// [`Interface::stats`] of the interface.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn stats(&self) -> Result<InterfaceStats, LabError> {
        self.first.stats()
    }

    /// [`Interface::set_offloads`] of the interface.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn set_offloads(&self, offloads: Offloads) -> Result<(), LabError> {
        self.first.set_offloads(offloads)
    }

    /// [`Interface::offloads`] of the interface.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn offloads(&self) -> Result<Offloads, LabError> {
        self.first.offloads()
    }

    /// [`Interface::link_down`] of the interface.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn link_down(&self) -> Result<(), LabError> {
        self.first.link_down()
    }

    /// [`Interface::link_up`] of the interface.
    ///
    /// # Errors
    /// The interface is gone, or its peer is down.
    pub fn link_up(&self) -> Result<(), LabError> {
        self.first.link_up()
    }

    /// [`Interface::delete`] of the interface.
    ///
    /// # Errors
    /// The interface is gone already.
    pub fn delete_interface(&self) -> Result<(), LabError> {
        self.first.delete()
    }

    /// [`Interface::set_incoming_loss`] of the interface.
    ///
    /// # Errors
    /// `nft` is missing or refuses; the percentage is not within 0 to 100.
    pub fn set_incoming_loss(&self, percent: f64) -> Result<(), LabError> {
        self.first.set_incoming_loss(percent)
    }
}
