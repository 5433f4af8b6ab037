//! Two hosts with a router between them: a path of more than one link.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::bed::Bed;
use crate::plan::{HostPlan, InterfacePlan, LinkPlan, Mac, Plan, Plug, Prefix, Route, SubnetLengths, Wire};
use crate::{End, Host, LabError};

/// What a [`RoutedPair`] is built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutedPairConfig {
    /// The end under test. By default without any program.
    pub near: End,
    /// The other end. By default it carries the XDP pass program.
    pub far: End,
    /// Both ends of the router. By default they carry the XDP pass program, so that what `near` sends from XDP arrives.
    pub router: End,
    /// The MTU of both links in bytes, as all interfaces know it. A native XDP program that takes no fragments is refused where
    /// the peer's MTU is above about 3,500.
    pub mtu: u32,
    /// The largest packet in bytes that the router forwards, of which only the router knows.
    pub path_mtu: u32,
}

impl Default for RoutedPairConfig {
    fn default() -> Self {
        let pass = End { xdp_pass: true, ..End::default() };
        Self { near: End::default(), far: pass, router: pass, mtu: 1500, path_mtu: 1500 }
    }
}

/// Three namespaces: `near`, `router` and `far`, with a veth pair from each of the hosts to the router. Removed when dropped.
///
/// Addresses are `10.77.0.1` and `fd77::1` for `near`, `10.77.1.1` and `fd77::1:1` for `far`. The router forwards between them
/// from `10.77.0.254` and `fd77::fffe` to `10.77.1.254` and `fd77::1:fffe`, and answers what is larger than the
/// path's MTU with ICMP's fragmentation needed or ICMPv6's packet too big, as often as it comes. All know their neighbours' hardware addresses, so
/// nothing waits for ARP or NDP.
#[derive(Debug)]
pub struct RoutedPair {
    bed: Bed,
    near: Host,
    router: Host,
    far: Host,
}

impl RoutedPair {
    /// Sweeps stale test beds, then builds the pair. It carries traffic when this returns.
    ///
    /// # Errors
    /// No privileges, or the kernel refuses a step; what was built until then is removed.
    pub fn up(config: &RoutedPairConfig) -> Result<Self, LabError> {
        let bed = Bed::up(plan(config), false)?;
        let [near, router, far] = bed.hosts() else {
            return Err(LabError::Config(format!("a routed pair has three hosts, not {}", bed.hosts().len())));
        };
        let (near, router, far) = (near.clone(), router.clone(), far.clone());
        for (sysctl, value) in ROUTER_SYSCTLS {
            router.set_sysctl(sysctl, value)?;
        }
        Ok(Self { bed, near, router, far })
    }

    /// The end under test.
    #[must_use]
    pub fn near(&self) -> &Host {
        &self.near
    }

    /// The one between: its first interface leads to `near`, its second to `far`.
    #[must_use]
    pub fn router(&self) -> &Host {
        &self.router
    }

    /// The other end.
    #[must_use]
    pub fn far(&self) -> &Host {
        &self.far
    }

    /// Loses this share of what `far` sends to `near`, at random, as it arrives at the router: so an AF_XDP socket of `near`
    /// loses it, too. 0 loses nothing. Needs `nft`.
    ///
    /// # Errors
    /// `nft` is missing or refuses; the percentage is not within 0 to 100.
    pub fn set_loss_towards_near(&self, percent: f64) -> Result<(), LabError> {
        self.router.interfaces()[1].set_incoming_loss(percent)
    }

    /// The same of what `near` sends to `far`.
    ///
    /// # Errors
    /// As [`set_loss_towards_near`](Self::set_loss_towards_near).
    pub fn set_loss_towards_far(&self, percent: f64) -> Result<(), LabError> {
        self.router.interfaces()[0].set_incoming_loss(percent)
    }

    /// Removes the pair and reports what failed, which dropping it does not.
    ///
    /// # Errors
    /// A removal that failed; the next [`crate::sweep`] tries again.
    pub fn down(mut self) -> Result<(), LabError> {
        self.bed.take_down()
    }
}

/// What makes a router, and one that never saves on ICMP errors.
const ROUTER_SYSCTLS: [(&str, &str); 4] = [
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
    ("net.ipv4.icmp_ratelimit", "0"),
    ("net.ipv6.icmp.ratelimit", "0"),
];

/// Both subnets of a link.
const SUBNET: SubnetLengths = SubnetLengths { v4: 24, v6: 112 };
/// The number of each host on its link, and the router's on both.
const HOST: u8 = 1;
const ROUTER: (u8, u16) = (254, 0xfffe);

fn plan(config: &RoutedPairConfig) -> Plan {
    let &RoutedPairConfig { near, far, router, mtu, path_mtu } = config;
    let mut hosts = Vec::new();
    let (mut router_interfaces, mut wires) = (Vec::new(), Vec::new());
    for (link, (name, end)) in (0..).zip([("near", near), ("far", far)]) {
        let mut host = interface(link, format!("{name}0"), (HOST, HOST.into()), mtu, end);
        let mut towards = interface(link, format!("to-{name}"), ROUTER, mtu, router);
        host.neighbours.extend(towards.as_neighbours());
        towards.neighbours.extend(host.as_neighbours());
        host.routes = routes(subnets(1 - link), &towards, None);
        // To a host on its link by way of itself: the subnet's own route has the MTU of the link.
        towards.routes = routes([Prefix::host(host.ipv4), Prefix::host(host.ipv6)], &host, Some(path_mtu));
        let plug = |node: &str, link: &str| Plug { node: node.into(), link: link.into() };
        wires.push(Wire { a: plug("router", &towards.link.name), b: plug(name, &host.link.name) });
        router_interfaces.push(towards);
        hosts.push(HostPlan { name: name.into(), interfaces: vec![host], blackholes: Vec::new() });
    }
    hosts.insert(1, HostPlan { name: "router".into(), interfaces: router_interfaces, blackholes: Vec::new() });
    Plan { hosts, wires, ..Plan::default() }
}

/// An interface on link 0 or 1.
fn interface(link: u8, name: String, (v4, v6): (u8, u16), mtu: u32, end: End) -> InterfacePlan {
    InterfacePlan {
        link: LinkPlan { name, mac: Mac([0x02, 0x53, 0x59, 0, link, v4]), mtu, queues: 1, end },
        ipv4: Ipv4Addr::new(10, 77, link, v4),
        ipv6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, link.into(), v6),
        subnet: SUBNET,
        neighbours: Vec::new(),
        routes: Vec::new(),
    }
}

/// The subnets of a link.
fn subnets(link: u8) -> [Prefix; 2] {
    [
        Prefix { address: Ipv4Addr::new(10, 77, link, 0).into(), length: SUBNET.v4 },
        Prefix { address: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, link.into(), 0).into(), length: SUBNET.v6 },
    ]
}

/// Routes to an IPv4 and an IPv6 prefix by way of an interface on the link.
fn routes([v4, v6]: [Prefix; 2], by: &InterfacePlan, mtu: Option<u32>) -> Vec<Route> {
    vec![Route { to: v4, via: by.ipv4.into(), mtu }, Route { to: v6, via: by.ipv6.into(), mtu }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_is_on_the_way_from_each_to_the_other() {
        let plan = plan(&RoutedPairConfig::default());
        let [near, router, far] = &plan.hosts[..] else { panic!("{:?}", plan.hosts) };
        for (host, other, number) in [(near, far, 0), (far, near, 1)] {
            let (host, other) = (&host.interfaces[0], &other.interfaces[0]);
            let towards = &router.interfaces[number];
            assert_eq!(
                plan.peer(&plan.hosts[2 * number].name, &host.link.name).expect("a wire").link,
                towards.link.name
            );
            assert_eq!(host.neighbours, towards.as_neighbours());
            assert_eq!(towards.neighbours, host.as_neighbours());
            let vias: Vec<_> = host.routes.iter().map(|route| route.via).collect();
            assert_eq!(vias, [std::net::IpAddr::from(towards.ipv4), towards.ipv6.into()]);
            let firsts: Vec<_> = other.addresses().map(|prefix| prefix.length).to_vec();
            assert_eq!(host.routes.iter().map(|route| route.to.length).collect::<Vec<_>>(), firsts);
        }
    }

    #[test]
    fn only_the_router_knows_the_mtu_of_the_path() {
        let plan = plan(&RoutedPairConfig { path_mtu: 1280, ..RoutedPairConfig::default() });
        for host in &plan.hosts {
            for interface in &host.interfaces {
                assert_eq!(interface.link.mtu, 1500);
                let told = if host.name == "router" { Some(1280) } else { None };
                assert!(interface.routes.iter().all(|route| route.mtu == told), "{host:?}");
            }
        }
    }
}
