//! Routes, interfaces and neighbours, as read from the kernel's messages.

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteType, RouteVia,
};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use synward_proto::MacAddr;

/// Who put a neighbour there (`NDA_PROTOCOL`, shown by `ip neighbour` as `proto 83`). Entries that a run left behind when it
/// was killed are thereby known to the next one. 83 is "S"; no routing daemon has that number (`rtnetlink.h`).
pub(super) const PROTOCOL: RouteProtocol = RouteProtocol::Other(b'S');

/// Where a destination is reached, by the routing table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route {
    /// Over a link.
    Unicast {
        /// The index of the interface.
        interface: u32,
        /// The router, where the destination is not on the link itself. IPv4 destinations may have one of IPv6 (RFC 5549).
        gateway: Option<IpAddr>,
        /// The address that the kernel would send from.
        source: IpAddr,
        /// What the route says packets may measure.
        mtu: Option<u32>,
    },
    /// The destination is an address of this host.
    Local,
    /// No way, or none that a connection can take: unreachable, prohibited, black hole, broadcast, multicast.
    None,
}

/// An interface, as far as frames to a neighbour are concerned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Interface {
    pub(super) name: Arc<str>,
    /// `None` where it does not speak Ethernet.
    pub(super) mac: Option<MacAddr>,
    pub(super) mtu: u32,
    /// What IPv6 packets may measure, where a router or the operator says less than the link can.
    pub(super) mtu_v6: Option<u32>,
}

impl Interface {
    /// What a packet to an address of this family may measure.
    pub(super) fn mtu_for(&self, destination: IpAddr) -> u32 {
        match self.mtu_v6 {
            Some(mtu) if destination.is_ipv6() => mtu.min(self.mtu),
            _ => self.mtu,
        }
    }
}

/// An address on a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Neighbour {
    /// The index of the interface.
    pub(super) interface: u32,
    pub(super) address: IpAddr,
}

/// What the kernel knows about a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    state: NeighbourState,
    mac: Option<MacAddr>,
    /// The kernel resolves it again and again by itself (`NTF_MANAGED`).
    managed: bool,
    /// A control plane put it there (`NTF_EXT_LEARNED`), EVPN for instance.
    learned: bool,
    /// It bears [`PROTOCOL`].
    ours: bool,
}

impl Entry {
    /// Where frames go: in every state that the kernel itself sends in (`NUD_VALID`).
    pub(super) fn resolved(&self) -> Option<MacAddr> {
        use NeighbourState::{Delay, Noarp, Permanent, Probe, Reachable, Stale};
        self.mac.filter(|_| matches!(self.state, Permanent | Noarp | Reachable | Stale | Delay | Probe))
    }

    /// Whether someone else looks after it. Such an entry is not ours to touch: asking for a permanent one would make it
    /// an ordinary one, and asking for a learned one would take it from its control plane (`__neigh_update`).
    fn kept_by_others(&self) -> bool {
        matches!(self.state, NeighbourState::Permanent | NeighbourState::Noarp)
            || self.learned
            || (self.managed && !self.ours)
    }

    /// Whether the kernel should be asked (again) to resolve it. One that it gave up is asked for at once: by itself the
    /// kernel would pause for five seconds between two rounds (`interval_probe_time_ms`).
    pub(super) fn wants_asking(&self) -> bool {
        let given_up = matches!(self.state, NeighbourState::Failed | NeighbourState::None);
        !self.kept_by_others() && (given_up || !self.managed)
    }

    /// Whether the kernel looks after it because we asked.
    pub(super) fn managed_by_us(&self) -> bool {
        self.managed && self.ours
    }

    /// Whether it must be asked for from time to time, since nobody else does: on kernels before 5.16.
    pub(super) fn wants_reminders(&self) -> bool {
        !self.kept_by_others() && !self.managed
    }
}

pub(super) fn route_of(message: &RouteMessage) -> Route {
    let (mut interface, mut gateway, mut source, mut mtu) = (None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Gateway(address) => gateway = ip_of(address),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some(IpAddr::V6(*address)),
            RouteAttribute::PrefSource(address) => source = ip_of(address),
            RouteAttribute::Metrics(metrics) => mtu = metrics.iter().find_map(mtu_of),
            _ => {}
        }
    }
    match (message.header.kind, interface, source) {
        (RouteType::Local, _, _) => Route::Local,
        (RouteType::Unicast, Some(interface), Some(source)) => Route::Unicast { interface, gateway, source, mtu },
        _ => Route::None,
    }
}

fn mtu_of(metric: &RouteMetric) -> Option<u32> {
    match metric {
        RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
        _ => None,
    }
}

pub(super) fn interface_of(message: &LinkMessage) -> Interface {
    let mut interface = Interface { name: Arc::from(""), mac: None, mtu: 0, mtu_v6: None };
    let header = &message.header;
    let ethernet = header.link_layer_type == LinkLayerType::Ether && !header.flags.contains(LinkFlags::Loopback);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = Arc::from(name.as_str()),
            LinkAttribute::Address(bytes) if ethernet => interface.mac = mac_of(bytes),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::AfSpecUnspec(families) => interface.mtu_v6 = families.iter().find_map(mtu_v6_of),
            _ => {}
        }
    }
    interface
}

fn mtu_v6_of(family: &AfSpecUnspec) -> Option<u32> {
    let AfSpecUnspec::Inet6(attributes) = family else { return None };
    attributes.iter().find_map(|attribute| match attribute {
        AfSpecInet6::DevConf(conf) => u32::try_from(conf.mtu6).ok().filter(|mtu| *mtu > 0),
        _ => None,
    })
}

pub(super) fn entry_of(message: &NeighbourMessage) -> Entry {
    let mut entry = Entry {
        state: message.header.state,
        mac: None,
        managed: false,
        learned: message.header.flags.contains(NeighbourFlags::ExtLearned),
        ours: false,
    };
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => entry.mac = mac_of(bytes),
            NeighbourAttribute::ExtFlags(flags) => entry.managed = flags.contains(NeighbourExtFlags::Managed),
            NeighbourAttribute::Protocol(protocol) => entry.ours = *protocol == PROTOCOL,
            _ => {}
        }
    }
    entry
}

/// The neighbour that a message is about; `None` for one of another family, such as a station of a bridge.
pub(super) fn neighbour_of(message: &NeighbourMessage) -> Option<Neighbour> {
    message.attributes.iter().find_map(|attribute| {
        let address = match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => IpAddr::V4(*address),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => IpAddr::V6(*address),
            _ => return None,
        };
        Some(Neighbour { interface: message.header.ifindex, address })
    })
}

/// The destinations of a route: an address and how many of its leading bits count.
pub(super) fn prefix_of(message: &RouteMessage) -> Option<(IpAddr, u8)> {
    let everything = match message.header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => ip_of(address),
        _ => None,
    });
    Some((destination.unwrap_or(everything), message.header.destination_prefix_length))
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

/// A unicast address of Ethernet.
fn mac_of(bytes: &[u8]) -> Option<MacAddr> {
    let bytes = <[u8; 6]>::try_from(bytes).ok()?;
    (bytes != [0; 6] && bytes[0] & 1 == 0).then_some(MacAddr(bytes))
}

pub(super) fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
