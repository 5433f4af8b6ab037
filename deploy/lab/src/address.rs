//! Addresses, neighbours and routes of a host, and the stations of a bridge. Putting one twice is the same as once.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::LabError;
use crate::namespace::Namespace;
use crate::netlink::{Extent, Group, Netlink, await_change};
use crate::plan::{Mac, Neighbour, Prefix, Route};

const PUT: u16 = NLM_F_CREATE | NLM_F_REPLACE;

/// Gives a link an address. IPv6 skips duplicate address detection, so that it can be used at once.
pub(crate) fn put_address(netlink: &mut Netlink, index: u32, prefix: Prefix) -> Result<(), LabError> {
    let mut message = AddressMessage::default();
    message.header.family = family_of(prefix.address);
    message.header.prefix_len = prefix.length;
    message.header.index = index;
    message.header.flags = AddressHeaderFlags::Nodad;
    message.attributes = vec![AddressAttribute::Local(prefix.address), AddressAttribute::Address(prefix.address)];
    netlink.request(RouteNetlinkMessage::NewAddress(message), PUT, &format!("add the address {prefix}"))
}

/// Waits until the kernel takes packets to an IPv6 address for its own.
///
/// Even without duplicate address detection, the kernel puts the local route of a new address on a work queue; a packet
/// that comes before that is dropped.
pub(crate) fn await_address(namespace: &Namespace, address: Ipv6Addr) -> Result<(), LabError> {
    await_change(namespace, Group::Ipv6Routes, &address.to_string(), |netlink| is_local(netlink, address.into()))
}

/// Whether packets to this address stay here.
fn is_local(netlink: &mut Netlink, address: IpAddr) -> Result<bool, LabError> {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(address);
    message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
    message.attributes = vec![RouteAttribute::Destination(route_address(address))];
    let query = RouteNetlinkMessage::GetRoute(message);
    match netlink.query(query, Extent::One, &format!("look up the route to {address}")) {
        Ok(answers) => Ok(answers.iter().any(
            |answer| matches!(answer, RouteNetlinkMessage::NewRoute(route) if route.header.kind == RouteType::Local),
        )),
        Err(error) if error.errno() == Some(libc::ENETUNREACH) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells the kernel for good where a neighbour is.
pub(crate) fn put_neighbour(netlink: &mut Netlink, index: u32, neighbour: Neighbour) -> Result<(), LabError> {
    let mut message = NeighbourMessage::default();
    message.header.family = family_of(neighbour.address);
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![
        NeighbourAttribute::Destination(match neighbour.address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        }),
        NeighbourAttribute::LinkLayerAddress(neighbour.mac.0.to_vec()),
    ];
    let attempt = format!("add the neighbour {} at {}", neighbour.address, neighbour.mac);
    netlink.request(RouteNetlinkMessage::NewNeighbour(message), PUT, &attempt)
}

/// Tells a bridge for good behind which port a station is.
pub(crate) fn put_station(netlink: &mut Netlink, port: u32, mac: Mac) -> Result<(), LabError> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port;
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes = vec![NeighbourAttribute::LinkLayerAddress(mac.0.to_vec())];
    netlink.request(RouteNetlinkMessage::NewNeighbour(message), PUT, &format!("add the station {mac} to the bridge"))
}

/// Adds a route through a gateway.
pub(crate) fn put_route(netlink: &mut Netlink, index: u32, route: Route) -> Result<(), LabError> {
    let mut message = route_to(route.to, RouteType::Unicast);
    message.attributes.push(RouteAttribute::Gateway(route_address(route.via)));
    message.attributes.push(RouteAttribute::Oif(index));
    if let Some(mtu) = route.mtu {
        message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    }
    let attempt = format!("add the route to {} via {}", route.to, route.via);
    netlink.request(RouteNetlinkMessage::NewRoute(message), PUT, &attempt)
}

/// Drops everything for these destinations without an answer.
pub(crate) fn put_blackhole(netlink: &mut Netlink, to: Prefix) -> Result<(), LabError> {
    let message = route_to(to, RouteType::BlackHole);
    netlink.request(RouteNetlinkMessage::NewRoute(message), PUT, &format!("black-hole {to}"))
}

fn route_to(to: Prefix, kind: RouteType) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(to.address);
    message.header.destination_prefix_length = to.length;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = kind;
    message.attributes = vec![RouteAttribute::Destination(route_address(to.address))];
    message
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
