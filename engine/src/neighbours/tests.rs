//! Reading the kernel's messages. What the kernel does with ours is tested in namespaces: `engine/tests/neighbours`.

use super::objects::{Interface, PROTOCOL, Route, entry_of, interface_of, route_of};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteType, RouteVia};
use std::net::IpAddr;
use synward_proto::MacAddr;

const MAC: [u8; 6] = [2, 0x53, 0x59, 0, 0, 9];

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn neighbour(state: NeighbourState, attributes: &[NeighbourAttribute]) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.state = state;
    message.attributes = attributes.to_vec();
    message
}

#[test]
fn a_neighbour_is_resolved_in_the_states_in_which_the_kernel_sends() {
    use NeighbourState::{Delay, Failed, Incomplete, Noarp, None, Permanent, Probe, Reachable, Stale};
    for (state, resolved) in [
        (Permanent, true),
        (Noarp, true),
        (Reachable, true),
        (Stale, true),
        (Delay, true),
        (Probe, true),
        (Incomplete, false),
        (Failed, false),
        (None, false),
    ] {
        let entry = |mac: &[u8]| entry_of(&neighbour(state, &[NeighbourAttribute::LinkLayerAddress(mac.to_vec())]));
        assert_eq!(entry(&MAC).resolved(), resolved.then_some(MacAddr(MAC)), "{state:?}");
        for useless in [&[0; 6][..], &[0xff; 6], &[1, 0, 0x5e, 0, 0, 1], &MAC[..5]] {
            assert_eq!(entry(useless).resolved(), Option::None, "{state:?} {useless:?}");
        }
        assert_eq!(entry_of(&neighbour(state, &[])).resolved(), Option::None, "{state:?}");
    }
}

#[test]
fn only_entries_that_nobody_looks_after_are_asked_for() {
    use NeighbourState::{Failed, Incomplete, Noarp, Permanent, Reachable, Stale};
    let managed = NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed);
    let (ours, theirs) = (NeighbourAttribute::Protocol(PROTOCOL), NeighbourAttribute::Protocol(RouteProtocol::Zebra));
    // State and attributes; whether it is asked for now; whether it needs reminders.
    for (state, attributes, asked, reminded) in [
        (Stale, vec![], true, true),
        (Reachable, vec![theirs.clone()], true, true),
        (Reachable, vec![ours.clone()], true, true),
        (Stale, vec![managed.clone(), ours.clone()], false, false),
        (Incomplete, vec![managed.clone(), ours.clone()], false, false),
        (Failed, vec![managed.clone(), ours], true, false),
        (Failed, vec![managed.clone()], false, false),
        (Failed, vec![managed, theirs], false, false),
        (Permanent, vec![], false, false),
        (Noarp, vec![], false, false),
    ] {
        let entry = entry_of(&neighbour(state, &attributes));
        assert_eq!((entry.wants_asking(), entry.wants_reminders()), (asked, reminded), "{state:?} {attributes:?}");
    }
    let mut learned = neighbour(Reachable, &[]);
    learned.header.flags = NeighbourFlags::ExtLearned;
    assert!(!entry_of(&learned).wants_asking() && !entry_of(&learned).wants_reminders());
}

#[test]
fn a_route_needs_an_interface_and_a_source() {
    let route = |kind, attributes: &[RouteAttribute]| {
        let mut message = RouteMessage::default();
        message.header.kind = kind;
        message.attributes = attributes.to_vec();
        route_of(&message)
    };
    let (oif, source) = (RouteAttribute::Oif(7), RouteAttribute::PrefSource(ip("10.0.0.1").into()));
    let gateway = RouteAttribute::Gateway(ip("10.0.0.9").into());
    let mtu = RouteAttribute::Metrics(vec![RouteMetric::Hoplimit(3), RouteMetric::Mtu(1400)]);
    let unicast = |gateway, mtu| Route::Unicast { interface: 7, gateway, source: ip("10.0.0.1"), mtu };

    let bare = [oif.clone(), source.clone()];
    assert_eq!(route(RouteType::Unicast, &bare), unicast(None, None));
    assert_eq!(
        route(RouteType::Unicast, &[oif.clone(), source.clone(), gateway, mtu]),
        unicast(Some(ip("10.0.0.9")), Some(1400))
    );
    let via = RouteAttribute::Via(RouteVia::Inet6("fe80::9".parse().expect("an address")));
    assert_eq!(route(RouteType::Unicast, &[oif.clone(), source.clone(), via]), unicast(Some(ip("fe80::9")), None));
    assert_eq!(route(RouteType::Local, &bare), Route::Local);
    for kind in [RouteType::Broadcast, RouteType::Multicast, RouteType::Unreachable, RouteType::Prohibit] {
        assert_eq!(route(kind, &bare), Route::None, "{kind:?}");
    }
    assert_eq!(route(RouteType::Unicast, &[oif]), Route::None);
    assert_eq!(route(RouteType::Unicast, &[source]), Route::None);
}

#[test]
fn an_interface_has_a_hardware_address_only_where_it_speaks_ethernet() {
    let link = |layer, flags, address: &[u8]| {
        let mut message = LinkMessage::default();
        (message.header.link_layer_type, message.header.flags) = (layer, flags);
        message.attributes = vec![
            LinkAttribute::IfName("eth0".to_owned()),
            LinkAttribute::Address(address.to_vec()),
            LinkAttribute::Mtu(1500),
        ];
        interface_of(&message)
    };
    let ethernet = Interface { name: "eth0".into(), mac: Some(MacAddr(MAC)), mtu: 1500, mtu_v6: None };
    assert_eq!(link(LinkLayerType::Ether, LinkFlags::Up, &MAC), ethernet);
    assert_eq!(link(LinkLayerType::Loopback, LinkFlags::Up | LinkFlags::Loopback, &[0; 6]).mac, None);
    assert_eq!(link(LinkLayerType::Tunnel, LinkFlags::Up, &[10, 0, 0, 1]).mac, None);
}

#[test]
fn ipv6_packets_may_have_to_be_smaller_than_the_link_allows() {
    let mut interface = Interface { name: "eth0".into(), mac: None, mtu: 1500, mtu_v6: Some(1400) };
    assert_eq!((interface.mtu_for(ip("fd77::1")), interface.mtu_for(ip("10.0.0.1"))), (1400, 1500));
    interface.mtu_v6 = None;
    assert_eq!(interface.mtu_for(ip("fd77::1")), 1500);
}
