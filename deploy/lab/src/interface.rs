//! One interface of a host: its names, its counters, and how to break it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::namespace::Namespace;
use crate::netlink::Netlink;
use crate::plan::InterfacePlan;
use crate::{LabError, Offloads, address, ethtool, link, loss};

/// One end of a veth pair inside the namespace of a host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Interface {
    namespace: Namespace,
    plan: Arc<InterfacePlan>,
    peer: Option<Arc<Peer>>,
}

/// Where the other end of the pair is.
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

impl Interface {
    pub(crate) fn new(namespace: Namespace, plan: InterfacePlan, peer: Option<Peer>) -> Self {
        Self { namespace, plan: Arc::new(plan), peer: peer.map(Arc::new) }
    }

    /// The name inside the namespace, such as `front0`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.link.name
    }

    /// The hardware address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.plan.link.mac.0
    }

    /// The IPv4 address.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        self.plan.ipv4
    }

    /// The IPv6 address (not the link-local one).
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        self.plan.ipv6
    }

    /// The counters.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn stats(&self) -> Result<InterfaceStats, LabError> {
        let stats = link::find(&mut Netlink::open(&self.namespace)?, self.name())?.stats;
        Ok(InterfaceStats {
            rx_packets: stats.rx_packets,
            rx_bytes: stats.rx_bytes,
            rx_dropped: stats.rx_dropped,
            tx_packets: stats.tx_packets,
            tx_bytes: stats.tx_bytes,
            tx_dropped: stats.tx_dropped,
        })
    }

    /// Sets the offloads.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn set_offloads(&self, offloads: Offloads) -> Result<(), LabError> {
        ethtool::set_offloads(&self.namespace, self.name(), offloads)
    }

    /// The offloads as they are in force. They may be fewer than were set: TSO and GSO of an end are off while its peer
    /// carries an XDP program.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn offloads(&self) -> Result<Offloads, LabError> {
        ethtool::offloads(&self.namespace, self.name())
    }

    /// Takes the interface down. The kernel forgets its neighbours and routes.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn link_down(&self) -> Result<(), LabError> {
        link::set_down(&mut Netlink::open(&self.namespace)?, self.name())
    }

    /// Brings the interface up, puts back the neighbours and routes that going down took, and waits until frames pass.
    ///
    /// # Errors
    /// The interface is gone, or its peer is down.
    pub fn link_up(&self) -> Result<(), LabError> {
        let mut netlink = Netlink::open(&self.namespace)?;
        link::set_up(&mut netlink, self.name())?;
        let index = link::find(&mut netlink, self.name())?.index;
        put_reachability(&mut netlink, index, &self.plan)?;
        self.await_ready()
    }

    /// Waits until frames pass in both directions and the host takes those to its addresses.
    pub(crate) fn await_ready(&self) -> Result<(), LabError> {
        link::await_ready(&self.namespace, self.name())?;
        if let Some(Peer { namespace, link }) = self.peer.as_deref() {
            link::await_ready(namespace, link)?;
        }
        address::await_address(&self.namespace, self.ipv6())
    }

    /// Deletes the interface, and with it the other end of its pair.
    ///
    /// # Errors
    /// The interface is gone already.
    pub fn delete(&self) -> Result<(), LabError> {
        let mut netlink = Netlink::open(&self.namespace)?;
        let index = link::find(&mut netlink, self.name())?.index;
        link::delete(&mut netlink, index, self.name())
    }

    /// Loses this share of what arrives at the interface, at random; 0 loses nothing. Needs `nft`.
    ///
    /// What XDP takes from the interface (an AF_XDP socket) is taken before the loss. To lose what is sent *to* such a
    /// receiver, use [`crate::Lab::set_loss`], which loses it inside the switch.
    ///
    /// # Errors
    /// `nft` is missing or refuses; the percentage is not within 0 to 100.
    pub fn set_incoming_loss(&self, percent: f64) -> Result<(), LabError> {
        loss::set(&self.namespace, &[loss::Cut::all(self.name())], percent)
    }
}

/// Puts the neighbours and routes of an interface that is up.
pub(crate) fn put_reachability(netlink: &mut Netlink, index: u32, interface: &InterfacePlan) -> Result<(), LabError> {
    for neighbour in &interface.neighbours {
        address::put_neighbour(netlink, index, *neighbour)?;
    }
    interface.routes.iter().try_for_each(|route| address::put_route(netlink, index, *route))
}
