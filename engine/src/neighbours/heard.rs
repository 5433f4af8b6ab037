//! What the kernel told, and which destinations it concerns.

use super::netlink::{News, messages};
use super::objects::{Neighbour, neighbour_of, prefix_of};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Datagrams that are read before what they say is acted on.
const AT_ONCE: usize = 256;

/// News, by what must be looked up again. A router that learns a full table hears of a thousand routes a second, and a
/// bridge of as many stations: only what concerns a destination costs more than reading it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    everything: bool,
    neighbours: BTreeSet<Neighbour>,
    prefixes: BTreeSet<(IpAddr, u8)>,
}

impl Heard {
    /// That anything may have changed.
    pub(super) fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Reads what there is to hear.
    pub(super) fn from(news: &News) -> Self {
        let mut heard = Self::default();
        for _ in 0..AT_ONCE {
            match news.next() {
                Ok(Some(datagram)) => heard.add(&datagram),
                Ok(None) => break,
                Err(error) => {
                    if error.raw_os_error() != Some(libc::ENOBUFS) {
                        tracing::warn!(%error, "news of routes and neighbours");
                    }
                    heard.everything = true;
                }
            }
        }
        heard
    }

    /// Whether the way to this destination, which leads over this neighbour, may be another now.
    pub(super) fn concerns(&self, destination: IpAddr, neighbour: Option<Neighbour>) -> bool {
        self.everything
            || neighbour.is_some_and(|neighbour| self.neighbours.contains(&neighbour))
            || self.prefixes.iter().any(|&prefix| covers(prefix, destination))
    }

    fn add(&mut self, datagram: &[u8]) {
        for message in messages(datagram) {
            match message.map(|message| message.payload) {
                Ok(NetlinkPayload::InnerMessage(message)) => self.add_message(&message),
                Ok(_) => {}
                Err(_) => self.everything = true,
            }
        }
    }

    fn add_message(&mut self, message: &RouteNetlinkMessage) {
        use RouteNetlinkMessage::{DelNeighbour, DelRoute, NewNeighbour, NewRoute};
        match message {
            NewNeighbour(message) | DelNeighbour(message) => self.neighbours.extend(neighbour_of(message)),
            NewRoute(message) | DelRoute(message) => self.prefixes.extend(prefix_of(message)),
            // IPv4 routes go with their link or address without a word (`fib_flush`), and policy rules lead anywhere.
            _ => self.everything = true,
        }
    }
}

fn covers((prefix, length): (IpAddr, u8), address: IpAddr) -> bool {
    let common = match (prefix, address) {
        (IpAddr::V4(prefix), IpAddr::V4(address)) => (prefix.to_bits() ^ address.to_bits()).leading_zeros(),
        (IpAddr::V6(prefix), IpAddr::V6(address)) => (prefix.to_bits() ^ address.to_bits()).leading_zeros(),
        _ => return false,
    };
    common >= u32::from(length)
}

#[cfg(test)]
mod tests {
    use super::{Heard, covers};
    use crate::neighbours::objects::Neighbour;
    use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::link::LinkMessage;
    use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
    use netlink_packet_route::route::{RouteAttribute, RouteMessage};
    use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
    use std::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn heard(message: RouteNetlinkMessage) -> Heard {
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
        message.finalize();
        let mut datagram = vec![0; message.buffer_len()];
        message.serialize(&mut datagram);
        let mut heard = Heard::default();
        heard.add(&datagram);
        heard
    }

    fn neighbour(interface: u32, address: &str) -> RouteNetlinkMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = if ip(address).is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.ifindex = interface;
        message.attributes = vec![NeighbourAttribute::Destination(ip(address).into())];
        RouteNetlinkMessage::NewNeighbour(message)
    }

    fn route(family: AddressFamily, prefix: Option<&str>, length: u8) -> RouteNetlinkMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.header.destination_prefix_length = length;
        message.attributes = prefix.map(|prefix| RouteAttribute::Destination(ip(prefix).into())).into_iter().collect();
        RouteNetlinkMessage::DelRoute(message)
    }

    #[test]
    fn a_prefix_covers_the_addresses_that_begin_like_it() {
        for (prefix, length, address, covered) in [
            ("10.0.0.0", 8, "10.255.0.1", true),
            ("10.0.0.0", 8, "11.0.0.1", false),
            ("10.0.0.1", 32, "10.0.0.1", true),
            ("10.0.0.1", 32, "10.0.0.0", false),
            ("0.0.0.0", 0, "255.0.0.1", true),
            ("0.0.0.0", 0, "fd77::1", false),
            ("::", 0, "fd77::1", true),
            ("fd77::", 64, "fd77::1:0:0:1", true),
            ("fd77::", 64, "fd77:0:0:1::1", false),
            ("fd77::1", 128, "fd77::1", true),
            ("::", 0, "10.0.0.1", false),
        ] {
            assert_eq!(covers((ip(prefix), length), ip(address)), covered, "{prefix}/{length} {address}");
        }
    }

    #[test]
    fn a_neighbour_concerns_those_behind_it_on_its_link() {
        let heard = heard(neighbour(7, "10.0.0.9"));
        let at = |interface, address| Some(Neighbour { interface, address: ip(address) });
        assert!(heard.concerns(ip("10.1.0.1"), at(7, "10.0.0.9")));
        assert!(!heard.concerns(ip("10.1.0.1"), at(8, "10.0.0.9")));
        assert!(!heard.concerns(ip("10.1.0.1"), at(7, "10.0.0.8")));
        assert!(!heard.concerns(ip("10.0.0.9"), None));
    }

    #[test]
    fn a_route_concerns_its_destinations_and_a_default_route_all_of_its_family() {
        let v4 = heard(route(AddressFamily::Inet, Some("10.1.0.0"), 16));
        assert!(v4.concerns(ip("10.1.2.3"), None) && !v4.concerns(ip("10.2.0.1"), None));
        let default = heard(route(AddressFamily::Inet6, None, 0));
        assert!(default.concerns(ip("fd77::9"), None) && !default.concerns(ip("10.1.2.3"), None));
    }

    #[test]
    fn a_link_and_what_cannot_be_read_concern_everyone() {
        assert_eq!(heard(RouteNetlinkMessage::NewLink(LinkMessage::default())), Heard::everything());
        let mut unreadable = Heard::default();
        unreadable.add(&[0xff; 20]);
        assert_eq!(unreadable, Heard::everything());
        assert!(unreadable.concerns(ip("10.1.2.3"), None));
    }
}
