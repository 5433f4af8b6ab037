//! Next hops as the kernel knows them, on a veth pair whose far end answers ARP and NDP.

use crate::{LIMIT, Outcome, Test, check, ip, until};
use libtest_mimic::Failed;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;
use synward_engine::{NextHop, NextHops, NoNextHop};
use synward_lab::{Host, Pair, PairConfig};
use synward_proto::{Link, MacAddr};

pub const TESTS: &[Test] = &[
    ("next_hops::neighbours_are_resolved_by_arp_and_ndp", resolved),
    ("next_hops::gateways_are_resolved_for_those_behind_them", gateways),
    ("next_hops::a_replaced_route_is_followed", replaced),
    ("next_hops::a_changed_hardware_address_is_followed", moved),
    ("next_hops::our_own_changed_hardware_address_is_followed", own_address),
    ("next_hops::a_silent_neighbour_is_unresolved_until_it_answers", silent),
    ("next_hops::where_there_is_no_route_there_is_no_next_hop", no_route),
    ("next_hops::this_host_and_other_than_ethernet_are_named", not_a_neighbour),
    ("next_hops::the_link_goes_down_and_up", down_and_up),
    ("next_hops::the_mtu_is_the_least_on_the_way", mtu),
    ("next_hops::destinations_come_and_go", come_and_go),
    ("next_hops::entries_are_managed_until_the_end_and_then_ordinary", managed),
    ("next_hops::entries_of_others_are_left_alone", others),
    ("next_hops::entries_of_a_killed_run_are_taken_over", taken_over),
];

/// Addresses that only the far end has, and that the near end has no entry for.
const FAR: [&str; 2] = ["10.77.0.9", "fd77::9"];
/// An address on the link that nobody has.
const NOBODY: [&str; 2] = ["10.77.0.200", "fd77::200"];
/// Another hardware address.
const OTHER: [u8; 6] = [0x02, 0x53, 0x59, 0, 0, 0x99];

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is not an address"))
}

fn mac(bytes: [u8; 6]) -> String {
    format!("{:?}", MacAddr(bytes))
}

/// A pair whose far end has [`FAR`] too.
fn pair() -> Result<Pair, Failed> {
    let pair = Pair::up(&PairConfig::default())?;
    ip(pair.far(), "address add 10.77.0.9/16 dev far0")?;
    ip(pair.far(), "address add fd77::9/64 dev far0 nodad")?;
    Ok(pair)
}

fn start(pair: &Pair, destinations: &[&str]) -> Result<NextHops, Failed> {
    let destinations: Vec<_> = destinations.iter().map(|text| addr(text)).collect();
    Ok(pair.near().enter(|| NextHops::start(destinations))??)
}

fn wait(hops: &NextHops) -> Outcome {
    hops.wait_until_resolved(LIMIT).map_err(|missing| format!("{missing:?}").into())
}

/// From the near end to the far one.
fn between(near: [u8; 6], far: [u8; 6]) -> Link {
    Link { local: MacAddr(near), remote: MacAddr(far), outer: None, inner: None }
}

fn remote(hops: &NextHops, destination: &str) -> Option<[u8; 6]> {
    hops.lookup(addr(destination)).ok().map(|hop| hop.link.remote.0)
}

/// The near end's entry of a neighbour, as `ip neighbour` shows it.
fn entry(near: &Host, address: &str) -> Result<String, Failed> {
    ip(near, &format!("neighbour show {address} dev {}", near.interface()))
}

fn resolved() -> Outcome {
    let pair = pair()?;
    let (near, far) = (pair.near(), pair.far());
    let index: u32 = near.enter(|| std::fs::read_to_string("/sys/class/net/near0/ifindex"))??.trim().parse()?;
    let hops = start(&pair, &FAR)?;
    wait(&hops)?;
    for (destination, source) in FAR.into_iter().zip([IpAddr::V4(near.ipv4()), near.ipv6().into()]) {
        let link = between(near.mac(), far.mac());
        let wanted = NextHop { interface: index, name: near.interface().into(), source, link, mtu: 1500 };
        let found = hops.lookup(addr(destination))?;
        check(found == wanted, format!("{destination}: {found:?}"))?;
    }
    Ok(())
}

fn gateways() -> Outcome {
    let pair = pair()?;
    let near = pair.near();
    ip(near, "route add 192.0.2.0/24 via 10.77.0.9")?;
    ip(near, "route add 2001:db8::/32 via fd77::9")?;
    ip(near, "route add 198.51.100.0/24 via inet6 fd77::9 dev near0")?;
    let behind = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "198.51.100.1"];
    let hops = start(&pair, &behind)?;
    wait(&hops)?;
    for destination in behind {
        let hop = hops.lookup(addr(destination))?;
        check(hop.link == between(near.mac(), pair.far().mac()), format!("{destination}: {hop:?}"))?;
        check(hop.source.is_ipv4() == addr(destination).is_ipv4(), format!("{destination}: {hop:?}"))?;
        check(entry(near, destination)?.is_empty(), format!("{destination} was taken for a neighbour"))?;
    }
    Ok(())
}

fn replaced() -> Outcome {
    let pair = pair()?;
    let near = pair.near();
    ip(near, &format!("neighbour add 10.77.0.20 lladdr {} dev near0 nud permanent", mac(OTHER)))?;
    ip(near, "route add 192.0.2.0/24 via 10.77.0.9")?;
    let hops = start(&pair, &["192.0.2.1", "192.0.2.129"])?;
    wait(&hops)?;
    // One of the two goes elsewhere.
    ip(near, "route add 192.0.2.128/25 via 10.77.0.20")?;
    until("the more specific route is in use", || remote(&hops, "192.0.2.129") == Some(OTHER))?;
    check(remote(&hops, "192.0.2.1") == Some(pair.far().mac()), "the other destination moved too")?;
    check(entry(near, "10.77.0.9")?.contains("managed"), "the first gateway is still in use")?;
    // Then the other.
    ip(near, "route replace 192.0.2.0/24 via 10.77.0.20")?;
    until("the replaced route is in use", || remote(&hops, "192.0.2.1") == Some(OTHER))?;
    check(!entry(near, "10.77.0.9")?.contains("managed"), "the first gateway is of no use any more")?;
    ip(near, "route del 192.0.2.128/25")?;
    ip(near, "route del 192.0.2.0/24")?;
    let gone = |destination| matches!(hops.lookup(addr(destination)), Err(NoNextHop::NoRoute { .. }));
    until("the deleted routes are gone", || gone("192.0.2.1") && gone("192.0.2.129"))
}

/// Has the far end send, for which it must ask for the near end's hardware address and thereby tells its own.
fn speak(pair: &Pair) -> Outcome {
    for (from, to) in FAR.into_iter().zip([IpAddr::V4(pair.near().ipv4()), pair.near().ipv6().into()]) {
        let socket = pair.far().enter(|| UdpSocket::bind((addr(from), 0)))??;
        socket.send_to(b"here I am", (to, 9))?;
    }
    Ok(())
}

fn moved() -> Outcome {
    let pair = pair()?;
    let hops = start(&pair, &FAR)?;
    wait(&hops)?;
    ip(pair.far(), &format!("link set far0 address {}", mac(OTHER)))?;
    speak(&pair)?;
    until("the new address is known", || FAR.iter().all(|destination| remote(&hops, destination) == Some(OTHER)))
}

fn own_address() -> Outcome {
    let pair = pair()?;
    let hops = start(&pair, &FAR)?;
    wait(&hops)?;
    ip(pair.near(), &format!("link set near0 address {}", mac(OTHER)))?;
    let local = |destination: &str| hops.lookup(addr(destination)).is_ok_and(|hop| hop.link.local.0 == OTHER);
    until("our new address is in use", || FAR.into_iter().all(local))
}

fn silent() -> Outcome {
    let pair = pair()?;
    let hops = start(&pair, &[NOBODY[0], FAR[0], NOBODY[1]])?;
    let missing = hops.wait_until_resolved(Duration::from_secs(1)).err().ok_or("nobody answered")?;
    let named = |text: &str| NoNextHop::Unresolved {
        destination: addr(text),
        neighbour: addr(text),
        interface: pair.near().interface().into(),
    };
    let wanted = NOBODY.map(named);
    check(missing == wanted, format!("{missing:?}"))?;
    // The kernel gives up after three questions (`mcast_solicit`), and is made to ask again.
    until("the kernel asked more often than in one round", || solicits(pair.near()) >= 6)?;
    check(NOBODY.map(|text| hops.lookup(addr(text)).err()) == wanted.map(Some), "a failed neighbour was resolved")?;
    ip(pair.far(), "address add 10.77.0.200/16 dev far0")?;
    ip(pair.far(), "address add fd77::200/64 dev far0 nodad")?;
    wait(&hops)
}

/// How often a host asked for neighbours by NDP.
fn solicits(host: &Host) -> u64 {
    let counters = host.netstat().unwrap_or_default();
    counters.get("Icmp6OutNeighborSolicits").copied().unwrap_or(0)
}

fn no_route() -> Outcome {
    let pair = pair()?;
    let near = pair.near();
    for kind in ["unreachable", "prohibit", "blackhole"] {
        let number = kind.len();
        ip(near, &format!("route add {kind} 192.0.2.{number}"))?;
        ip(near, &format!("route add {kind} 2001:db8::{number}"))?;
    }
    let nowhere = [
        "203.0.113.1",
        "2001:db8:1::1", // no route at all
        "192.0.2.11",
        "192.0.2.8",
        "192.0.2.9",
        "2001:db8::11",
        "2001:db8::8",
        "2001:db8::9",
        "10.77.255.255",
        "224.0.0.1",
        "ff02::1", // not unicast
        "fe80::1", // no telling on which link
    ];
    let hops = start(&pair, &nowhere)?;
    for destination in nowhere.map(addr) {
        let found = hops.lookup(destination);
        check(found == Err(NoNextHop::NoRoute { destination }), format!("{destination}: {found:?}"))?;
    }
    ip(near, "route replace 192.0.2.8 via 10.77.0.9")?;
    until("there is a route", || remote(&hops, "192.0.2.8") == Some(pair.far().mac()))
}

fn not_a_neighbour() -> Outcome {
    let pair = pair()?;
    let near = pair.near();
    ip(near, "tuntap add dev tun0 mode tun")?;
    ip(near, "address add 192.0.2.1/24 dev tun0")?;
    ip(near, "link set tun0 up")?;
    let here = [near.ipv4().into(), near.ipv6().into(), addr("127.0.0.1"), addr("::1")];
    let beyond = addr("192.0.2.2");
    let hops = near.enter(|| NextHops::start(here.into_iter().chain([beyond])))??;
    for destination in here {
        let found = hops.lookup(destination);
        check(found == Err(NoNextHop::Local { destination }), format!("{destination}: {found:?}"))?;
    }
    let found = hops.lookup(beyond);
    let wanted = NoNextHop::NotEthernet { destination: beyond, interface: "tun0".into() };
    check(found == Err(wanted), format!("{found:?}"))
}

fn down_and_up() -> Outcome {
    let pair = pair()?;
    let hops = start(&pair, &FAR)?;
    wait(&hops)?;
    pair.near().link_down()?;
    let gone = |destination: &str| matches!(hops.lookup(addr(destination)), Err(NoNextHop::NoRoute { .. }));
    until("the routes are gone", || FAR.into_iter().all(gone))?;
    pair.near().link_up()?;
    wait(&hops)?;
    // The other end's carrier takes the neighbours away, and brings them back.
    pair.far().link_down()?;
    let lost = |destination: &str| matches!(hops.lookup(addr(destination)), Err(NoNextHop::Unresolved { .. }));
    until("the neighbours are gone", || lost(FAR[0]))?;
    pair.far().link_up()?;
    until("the neighbour is back", || remote(&hops, FAR[0]) == Some(pair.far().mac()))
}

fn mtu() -> Outcome {
    let pair = pair()?;
    let near = pair.near();
    ip(near, "route add 192.0.2.0/24 via 10.77.0.9 mtu 1300")?;
    ip(near, "route add 198.51.100.0/24 via 10.77.0.9 mtu 9000")?;
    let hops = start(&pair, &[FAR[0], FAR[1], "192.0.2.1", "198.51.100.1"])?;
    wait(&hops)?;
    let mtu = |destination: &str| hops.lookup(addr(destination)).map(|hop| hop.mtu);
    let all = || [FAR[0], FAR[1], "192.0.2.1", "198.51.100.1"].map(|destination| mtu(destination).unwrap_or(0));
    check(all() == [1500, 1500, 1300, 1500], format!("{:?}", all()))?;
    ip(near, "link set near0 mtu 1400")?;
    until("the link's MTU is known", || all() == [1400, 1400, 1300, 1400])?;
    near.set_sysctl("net.ipv6.conf.near0.mtu", "1280")?;
    hops.remove(addr(FAR[1]));
    hops.add(addr(FAR[1]))?;
    check(mtu(FAR[1])? == 1280, format!("{:?}", mtu(FAR[1])))
}

fn come_and_go() -> Outcome {
    let pair = pair()?;
    let near = pair.near();
    ip(near, "route add 192.0.2.0/24 via 10.77.0.9")?;
    let hops = start(&pair, &[])?;
    wait(&hops)?;
    let unknown = |text: &str| hops.lookup(addr(text)) == Err(NoNextHop::NotWatched { destination: addr(text) });
    check(unknown(FAR[0]), "known without being named")?;
    hops.add(addr(FAR[0]))?;
    hops.add(addr(FAR[0]))?;
    hops.add(addr("192.0.2.1"))?;
    wait(&hops)?;
    check(remote(&hops, FAR[0]) == Some(pair.far().mac()), "named and not known")?;
    hops.remove(addr(FAR[0]));
    check(unknown(FAR[0]), "known after it was removed")?;
    check(entry(near, FAR[0])?.contains("managed"), "it is still somebody's gateway")?;
    hops.remove(addr("192.0.2.1"));
    check(!entry(near, FAR[0])?.contains("managed"), "nobody needs it any more")
}

fn managed() -> Outcome {
    let pair = pair()?;
    let near = pair.near();
    // The kernel has an entry for one of them already.
    let socket = near.enter(|| UdpSocket::bind(("10.77.0.1", 0)))??;
    socket.send_to(b"hello", (addr(FAR[0]), 9))?;
    until("the kernel resolved it for itself", || entry(near, FAR[0]).is_ok_and(|entry| entry.contains("lladdr")))?;
    let hops = start(&pair, &FAR)?;
    wait(&hops)?;
    let shown = |address| entry(near, address);
    for address in FAR {
        check(shown(address)?.contains("managed") && shown(address)?.contains("proto 83"), shown(address)?)?;
        ip(near, &format!("neighbour del {address} dev near0"))?;
        until("a deleted entry is back", || shown(address).is_ok_and(|entry| entry.contains("managed")))?;
        wait(&hops)?;
        ip(near, &format!("neighbour replace {address} lladdr {} dev near0 nud stale", mac(OTHER)))?;
        until("a replaced entry is managed again", || shown(address).is_ok_and(|entry| entry.contains("managed")))?;
    }
    drop(hops);
    for address in FAR {
        check(!shown(address)?.contains("managed"), shown(address)?)?;
        check(shown(address)?.contains("lladdr"), "others may be using the entry")?;
    }
    Ok(())
}

fn others() -> Outcome {
    let pair = pair()?;
    let near = pair.near();
    ip(near, "neighbour add 10.77.0.9 dev near0 managed")?;
    ip(near, &format!("neighbour add fd77::9 lladdr {} dev near0 nud reachable extern_learn", mac(OTHER)))?;
    let known = ["10.77.0.2", "fd77::2", "10.77.0.9", "fd77::9"];
    let hops = start(&pair, &known)?;
    wait(&hops)?;
    let seen = |address: &str| {
        let shown = entry(near, address)?;
        Ok::<_, Failed>(["managed", "PERMANENT", "extern_learn", "proto"].map(|word| shown.contains(word)))
    };
    let wanted = |address: &str| match address {
        "10.77.0.9" => [true, false, false, false],
        "fd77::9" => [false, false, true, false],
        _ => [false, true, false, false],
    };
    for address in known {
        check(seen(address)? == wanted(address), format!("in use: {}", entry(near, address)?))?;
    }
    // An operator who makes ours permanent has it from then on.
    hops.add(addr("10.77.0.30"))?;
    ip(near, &format!("neighbour replace 10.77.0.30 lladdr {} dev near0 nud permanent", mac(OTHER)))?;
    until("the operator's word counts", || remote(&hops, "10.77.0.30") == Some(OTHER))?;
    drop(hops);
    for address in known {
        check(seen(address)? == wanted(address), format!("afterwards: {}", entry(near, address)?))?;
    }
    check(entry(near, "10.77.0.30")?.contains("PERMANENT"), "the operator's entry was changed")
}

fn taken_over() -> Outcome {
    let pair = pair()?;
    let near = pair.near();
    for address in FAR {
        ip(near, &format!("neighbour add {address} dev near0 managed protocol 83"))?;
    }
    let hops = start(&pair, &FAR)?;
    wait(&hops)?;
    drop(hops);
    let left = |address| entry(near, address).is_ok_and(|entry| entry.contains("managed"));
    check(!FAR.into_iter().any(left), "what the killed run left is still managed")
}
