//! One namespace of a test bed: run code and commands in it, read its counters, break its link.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;

use crate::{LabError, Offloads};

/// One namespace with one interface in it. Cheap to clone; a clone that outlives its lab gets errors, not another lab.
#[derive(Clone, Debug)]
pub struct Host {}

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
    /// The role in the lab: `front`, `client0`, `attacker0`, `near`, `far`.
    #[must_use]
    pub fn name(&self) -> &str {
        todo!()
    }

    /// The name of the namespace as `ip netns` shows it: `synward-<id>-<name>`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        todo!()
    }

    /// The name of the interface inside the namespace, such as `front0`.
    #[must_use]
    pub fn interface(&self) -> &str {
        todo!()
    }

    /// The hardware address of the interface.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        todo!()
    }

    /// The IPv4 address of the interface.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        todo!()
    }

    /// The IPv6 address of the interface (not the link-local one).
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        todo!()
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
        let _ = work;
        todo!()
    }

    /// A command that will run inside the namespace, with the same view as [`Host::enter`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let _ = program;
        todo!()
    }

    /// Sets a sysctl of the namespace, by its dotted name: `host.set_sysctl("net.ipv4.tcp_syncookies", "1")`.
    ///
    /// # Errors
    /// No such sysctl in a network namespace, or a value it does not take.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<(), LabError> {
        let _ = (name, value);
        todo!()
    }

    /// The value of a sysctl of the namespace, without the line's end.
    ///
    /// # Errors
    /// No such sysctl in a network namespace.
    pub fn sysctl(&self, name: &str) -> Result<String, LabError> {
        let _ = name;
        todo!()
    }

    /// The counters of the namespace by the names of `nstat`: `TcpExtSyncookiesSent`, `TcpActiveOpens`, `Ip6InReceives`.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn netstat(&self) -> Result<BTreeMap<String, u64>, LabError> {
        todo!()
    }

    /// The counters of the interface.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn stats(&self) -> Result<InterfaceStats, LabError> {
        todo!()
    }

    /// Sets the offloads of the interface.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn set_offloads(&self, offloads: Offloads) -> Result<(), LabError> {
        let _ = offloads;
        todo!()
    }

    /// The offloads of the interface as the kernel reports them.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn offloads(&self) -> Result<Offloads, LabError> {
        todo!()
    }

    /// Takes the interface down. The kernel forgets its neighbours and routes.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn link_down(&self) -> Result<(), LabError> {
        todo!()
    }

    /// Brings the interface up, waits until it carries, and puts back the neighbours and routes that going down took.
    ///
    /// # Errors
    /// The interface is gone, or its peer is down.
    pub fn link_up(&self) -> Result<(), LabError> {
        todo!()
    }

    /// Deletes the interface, and with it the other end of its pair.
    ///
    /// # Errors
    /// The interface is gone already.
    pub fn delete_interface(&self) -> Result<(), LabError> {
        todo!()
    }

    /// Loses this share of what arrives at the interface, at random; 0 loses nothing. Needs `nft`.
    ///
    /// What XDP takes from the interface (an AF_XDP socket) is taken before the loss. To lose what is sent *to* such a
    /// receiver, use [`crate::Lab::set_loss`], which loses it inside the switch.
    ///
    /// # Errors
    /// `nft` is missing or refuses; the percentage is not within 0 to 100.
    pub fn set_incoming_loss(&self, percent: f64) -> Result<(), LabError> {
        let _ = percent;
        todo!()
    }
}
