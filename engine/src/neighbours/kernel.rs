//! What the kernel knows about the way to a destination, and the neighbours that it is asked to keep.

use super::netlink::Requests;
use super::objects::{Entry, Interface, Neighbour, PROTOCOL, Route, entry_of, family_of, interface_of, route_of};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use std::io;
use std::net::IpAddr;

/// The kernel's routes, interfaces and neighbours.
#[derive(Debug)]
pub(super) struct Kernel(Requests);

impl Kernel {
    pub(super) fn open() -> io::Result<Self> {
        Requests::open().map(Self)
    }

    /// The route to a destination, as `ip route get` shows it.
    pub(super) fn route(&mut self, destination: IpAddr) -> io::Result<Route> {
        let mut message = RouteMessage::default();
        message.header.address_family = family_of(destination);
        message.header.destination_prefix_length = if destination.is_ipv4() { 32 } else { 128 };
        message.attributes = vec![RouteAttribute::Destination(destination.into())];
        match self.0.request(RouteNetlinkMessage::GetRoute(message), 0) {
            Ok(Some(RouteNetlinkMessage::NewRoute(route))) => Ok(route_of(&route)),
            Ok(_) => Ok(Route::None),
            // No route, unreachable, prohibited, black hole (`fib_props` in net/ipv4, `ip6_rt_init_dst_reject` in net/ipv6).
            Err(error) => match error.raw_os_error() {
                Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL) => Ok(Route::None),
                _ => Err(error),
            },
        }
    }

    /// The interface of an index; `None` when it has just gone.
    pub(super) fn interface(&mut self, index: u32) -> io::Result<Option<Interface>> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        match self.0.request(RouteNetlinkMessage::GetLink(message), 0) {
            Ok(Some(RouteNetlinkMessage::NewLink(link))) => Ok(Some(interface_of(&link))),
            Ok(_) => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has the kernel resolve a neighbour and keep it resolved, unless someone else does, and returns what is known of it
    /// now; `None` when it, or its interface, has just gone.
    pub(super) fn keep(&mut self, neighbour: Neighbour) -> io::Result<Option<Entry>> {
        let known = self.entry(neighbour)?;
        match &known {
            None => self.ask(neighbour, NLM_F_CREATE | NLM_F_EXCL)?,
            Some(entry) if entry.wants_asking() => self.ask(neighbour, 0)?,
            Some(_) => return Ok(known),
        }
        self.entry(neighbour)
    }

    /// Takes back what [`Self::keep`] did: the entry stays, as one that ages like any other. Deleting it would break what
    /// the kernel's own connections use.
    pub(super) fn release(&mut self, neighbour: Neighbour) -> io::Result<()> {
        match self.entry(neighbour)? {
            Some(entry) if entry.managed_by_us() => self.put(with_flags(neighbour, NeighbourFlags::Use), 0),
            _ => Ok(()),
        }
    }

    /// `NTF_MANAGED`, of which kernels before 5.16 know nothing: they see `NTF_USE` alone, and resolve it once.
    fn ask(&mut self, neighbour: Neighbour, flags: u16) -> io::Result<()> {
        let mut message = with_flags(neighbour, NeighbourFlags::Use);
        message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
        message.attributes.push(NeighbourAttribute::Protocol(PROTOCOL));
        self.put(message, flags)
    }

    /// An entry that came or went since it was looked up is no error: the kernel tells of it next.
    fn put(&mut self, message: NeighbourMessage, flags: u16) -> io::Result<()> {
        match self.0.request(RouteNetlinkMessage::NewNeighbour(message), flags) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EEXIST | libc::ENOENT | libc::ENODEV) => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn entry(&mut self, neighbour: Neighbour) -> io::Result<Option<Entry>> {
        let message = with_flags(neighbour, NeighbourFlags::empty());
        match self.0.request(RouteNetlinkMessage::GetNeighbour(message), 0) {
            Ok(Some(RouteNetlinkMessage::NewNeighbour(entry))) => Ok(Some(entry_of(&entry))),
            Ok(_) => Ok(None),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENODEV) => Ok(None),
                _ => Err(error),
            },
        }
    }
}

fn with_flags(neighbour: Neighbour, flags: NeighbourFlags) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family_of(neighbour.address);
    message.header.ifindex = neighbour.interface;
    message.header.flags = flags;
    message.attributes = vec![NeighbourAttribute::Destination(neighbour.address.into())];
    message
}
