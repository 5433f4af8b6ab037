//! From the configuration of a lab to its plan.

use std::iter;

use crate::LabError;
use crate::lab::{FrontWiring, LabConfig};
use crate::plan::{
    BridgePlan, HostPlan, InterfacePlan, LinkPlan, ONE_LINK, Plan, Plug, PortPlan, Prefix, Route, SubnetLengths,
    SwitchPlan, Wire,
};
use crate::role::{Addresses, FRONT, MOST_FAR_HOSTS, Role, SPOOFED_V4, SPOOFED_V6, port_mac};

/// The front, then the hosts of each role in the order of [`Role::ALL`].
pub(crate) fn plan(config: &LabConfig) -> Result<Plan, LabError> {
    match config.wiring {
        FrontWiring::One | FrontWiring::PerRole => bridged_plan(config),
        FrontWiring::Direct => direct_plan(config),
    }
}

fn bridged_plan(config: &LabConfig) -> Result<Plan, LabError> {
    let far_hosts: u32 = Role::ALL.iter().map(|role| u32::from(config.count(*role))).sum();
    if far_hosts > MOST_FAR_HOSTS.into() {
        let kinds = "clients, attackers and backends";
        return Err(LabError::Config(format!("{far_hosts} {kinds} are more than a bridge takes: {MOST_FAR_HOSTS}")));
    }
    let mut front = HostPlan { name: "front".into(), interfaces: Vec::new(), blackholes: Vec::new() };
    let mut others = Vec::new();
    let mut bridges = Vec::new();
    for (segment, number) in segments(config.wiring).iter().zip(0..) {
        let (interface, hosts) = segment.populate(config, number);
        let links = hosts.iter().flat_map(|host| &host.interfaces).chain([&interface]).map(|interface| &interface.link);
        bridges.push(BridgePlan { name: segment.bridge.into(), ports: links.map(|link| port(config, link)).collect() });
        front.interfaces.push(interface);
        others.extend(hosts);
    }
    for (port, number) in bridges.iter_mut().flat_map(|bridge| &mut bridge.ports).zip(0..) {
        port.link.mac = port_mac(number);
    }
    let switch = SwitchPlan { name: "switch".into(), bridges };
    let hosts: Vec<_> = iter::once(front).chain(others).collect();
    let wires = hosts.iter().flat_map(|host| wires(&switch, host)).collect();
    Ok(Plan { hosts, switch: Some(switch), wires, spoofed: vec![SPOOFED_V4, SPOOFED_V6], ..Plan::default() })
}

fn direct_plan(config: &LabConfig) -> Result<Plan, LabError> {
    if let Some(role) = Role::ALL.into_iter().find(|role| config.count(*role) != 1) {
        let (count, name) = (config.count(role), role.name());
        return Err(LabError::Config(format!("without bridges, a lab has one host of each role, not {count} {name}s")));
    }
    let mut front = HostPlan { name: "front".into(), interfaces: Vec::new(), blackholes: Vec::new() };
    let (mut others, mut wires) = (Vec::new(), Vec::new());
    for (segment, number) in segments(config.wiring).iter().zip(0..) {
        let (interface, hosts) = segment.populate(config, number);
        for host in &hosts {
            let plug = |node: &str, link: &str| Plug { node: node.into(), link: link.into() };
            wires.push(Wire { a: plug(&front.name, &interface.link.name), b: plug(&host.name, &host.name) });
        }
        front.interfaces.push(interface);
        others.extend(hosts);
    }
    let hosts = iter::once(front).chain(others).collect();
    Ok(Plan { hosts, wires, spoofed: vec![SPOOFED_V4, SPOOFED_V6], ..Plan::default() })
}

/// A link, with a bridge where several share it: one interface of the front, and the hosts of some roles.
struct Segment {
    bridge: &'static str,
    front: Addresses,
    subnet: SubnetLengths,
    roles: &'static [Role],
}

/// One for each interface of the front.
fn segments(wiring: FrontWiring) -> Vec<Segment> {
    let of = |bridge, role: Role, roles| Segment { bridge, front: role.front(), subnet: role.subnet(), roles };
    match wiring {
        FrontWiring::One => vec![Segment { bridge: "bridge", front: FRONT, subnet: ONE_LINK, roles: &Role::ALL }],
        FrontWiring::PerRole | FrontWiring::Direct => vec![
            of("clients", Role::Client, &[Role::Client]),
            of("attackers", Role::Attacker, &[Role::Attacker]),
            of("backends", Role::Backend, &[Role::Backend]),
        ],
    }
}

impl Segment {
    /// The front's interface of this number on the link, and the hosts.
    fn populate(&self, config: &LabConfig, number: u16) -> (InterfacePlan, Vec<HostPlan>) {
        let mut front = self.interface(config, format!("front{number}"), self.front);
        front.link.queues = config.queues;
        front.link.end = config.front;
        let mut hosts = Vec::new();
        for &role in self.roles {
            for number in 0..config.count(role) {
                let name = format!("{}{number}", role.name());
                let mut interface = self.interface(config, name.clone(), role.host(number));
                if config.permanent_neighbours {
                    interface.neighbours.extend(front.as_neighbours());
                    front.neighbours.extend(interface.as_neighbours());
                }
                if self.front != FRONT {
                    interface.routes.extend(via(self.front, [Prefix::host(FRONT.ipv4), Prefix::host(FRONT.ipv6)]));
                }
                hosts.push(HostPlan { name, interfaces: vec![interface], blackholes: blackholes(role) });
            }
        }
        if config.spoofed_routes && config.attackers > 0 && self.roles.contains(&Role::Attacker) {
            front.routes.extend(via(Role::Attacker.host(0), [SPOOFED_V4, SPOOFED_V6]));
        }
        (front, hosts)
    }

    /// An interface of a far host, which knows nobody yet.
    fn interface(&self, config: &LabConfig, name: String, Addresses { mac, ipv4, ipv6 }: Addresses) -> InterfacePlan {
        InterfacePlan {
            link: LinkPlan { name, mac, mtu: config.mtu, queues: 1, end: config.far },
            ipv4,
            ipv6,
            subnet: self.subnet,
            neighbours: Vec::new(),
            routes: Vec::new(),
        }
    }
}

/// Routes to an IPv4 and an IPv6 prefix through the same gateway.
fn via(gateway: Addresses, [v4, v6]: [Prefix; 2]) -> [Route; 2] {
    [(v4, gateway.ipv4.into()), (v6, gateway.ipv6.into())].map(|(to, via)| Route { to, via, mtu: None })
}

/// Answers to forged sources end at the attacker.
fn blackholes(role: Role) -> Vec<Prefix> {
    match role {
        Role::Attacker => vec![SPOOFED_V4, SPOOFED_V6],
        Role::Client | Role::Backend => Vec::new(),
    }
}

/// The port of a bridge that faces a link. Its hardware address is yet to be numbered.
fn port(config: &LabConfig, link: &LinkPlan) -> PortPlan {
    let facing = LinkPlan { name: format!("to-{}", link.name), end: config.switch, ..link.clone() };
    PortPlan { link: facing, stations: vec![link.mac] }
}

fn wires(switch: &SwitchPlan, host: &HostPlan) -> Vec<Wire> {
    let wire = |link: &LinkPlan| Wire {
        a: Plug { node: switch.name.clone(), link: format!("to-{}", link.name) },
        b: Plug { node: host.name.clone(), link: link.name.clone() },
    };
    host.interfaces.iter().map(|interface| wire(&interface.link)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// `IFNAMSIZ` less the terminating zero.
    const LONGEST_NAME: usize = 15;
    /// Those with bridges, which join any number of hosts.
    const WIRINGS: [FrontWiring; 2] = [FrontWiring::One, FrontWiring::PerRole];

    fn config(wiring: FrontWiring, [clients, attackers, backends]: [u16; 3]) -> LabConfig {
        LabConfig { wiring, clients, attackers, backends, ..LabConfig::default() }
    }

    #[test]
    fn the_largest_lab_has_unique_names_and_addresses() {
        let third = MOST_FAR_HOSTS / 3;
        for wiring in WIRINGS {
            let config = config(wiring, [third, third, MOST_FAR_HOSTS - 2 * third]);
            let plan = config.plan().expect("within the limit");
            let interfaces: Vec<_> = plan.hosts.iter().flat_map(|host| &host.interfaces).collect();
            let of_front = if wiring == FrontWiring::One { 1 } else { 3 };
            assert_eq!(interfaces.len(), usize::from(MOST_FAR_HOSTS) + of_front);

            let ports = plan.switch.iter().flat_map(SwitchPlan::ports).map(|port| &port.link);
            let links: Vec<_> = interfaces.iter().map(|interface| &interface.link).chain(ports).collect();
            assert!(links.iter().all(|link| link.name.len() <= LONGEST_NAME));
            assert_eq!(links.iter().map(|link| &link.name).collect::<HashSet<_>>().len(), links.len());
            assert_eq!(links.iter().map(|link| link.mac).collect::<HashSet<_>>().len(), links.len());

            let v4: HashSet<_> = interfaces.iter().map(|interface| interface.ipv4).collect();
            let v6: HashSet<_> = interfaces.iter().map(|interface| interface.ipv6).collect();
            assert_eq!((v4.len(), v6.len()), (interfaces.len(), interfaces.len()));
        }
    }

    #[test]
    fn every_wire_has_two_links_and_every_link_a_wire() {
        for wiring in WIRINGS {
            let plan = config(wiring, [2, 2, 2]).plan().expect("within the limit");
            for wire in &plan.wires {
                assert!(plan.link(&wire.a).is_some() && plan.link(&wire.b).is_some(), "{wire:?}");
            }
            for host in &plan.hosts {
                for interface in &host.interfaces {
                    let peer = plan.peer(&host.name, &interface.link.name).expect("a wire");
                    assert_eq!(peer.link, format!("to-{}", interface.link.name));
                }
            }
        }
    }

    #[test]
    fn the_front_has_an_interface_for_all_or_one_for_each_role() {
        let bridges = |wiring| -> Vec<Vec<String>> {
            let switch = config(wiring, [1, 1, 1]).plan().expect("a small lab").switch.expect("a switch");
            let names = |bridge: &BridgePlan| bridge.ports.iter().map(|port| port.link.name.clone()).collect();
            switch.bridges.iter().map(names).collect()
        };
        assert_eq!(bridges(FrontWiring::One), [["to-client0", "to-attacker0", "to-backend0", "to-front0"]]);
        for role in Role::ALL {
            let number = FrontWiring::PerRole.interface_towards(role);
            let ports = &bridges(FrontWiring::PerRole)[number];
            assert_eq!(ports, &[format!("to-{}0", role.name()), format!("to-front{number}")]);
        }
    }

    #[test]
    fn without_bridges_every_interface_of_the_front_leads_to_one_host() {
        let plan = config(FrontWiring::Direct, [1, 1, 1]).plan().expect("one of each");
        assert_eq!(plan.switch, None);
        for role in Role::ALL {
            let number = FrontWiring::Direct.interface_towards(role);
            let host = format!("{}0", role.name());
            let peer = plan.peer("front", &format!("front{number}")).expect("a wire");
            assert_eq!((&peer.node, &peer.link), (&host, &host));
            assert_eq!(plan.link(peer).expect("a link").name, host);
        }
        for beyond in [[2, 1, 1], [1, 0, 1], [1, 1, 0]] {
            let refused = config(FrontWiring::Direct, beyond).plan();
            assert!(matches!(refused, Err(LabError::Config(_))), "{beyond:?}");
        }
    }

    #[test]
    fn queues_are_those_of_every_interface_of_the_front() {
        let plan = LabConfig { queues: 4, ..config(FrontWiring::PerRole, [1, 1, 1]) }.plan().expect("a small lab");
        for host in &plan.hosts {
            let queues = if host.name == "front" { 4 } else { 1 };
            assert!(host.interfaces.iter().all(|interface| interface.link.queues == queues), "{host:?}");
        }
    }

    #[test]
    fn a_lab_too_large_for_the_bridge_is_refused() {
        for beyond in [[MOST_FAR_HOSTS, 1, 0], [MOST_FAR_HOSTS, 0, 1], [u16::MAX; 3]] {
            let refused = config(FrontWiring::One, beyond).plan();
            assert!(matches!(refused, Err(LabError::Config(_))), "{beyond:?}");
        }
    }

    #[test]
    fn neighbours_are_left_out_on_request() {
        for (wanted, permanent_neighbours) in [(6, true), (0, false)] {
            let plan = LabConfig { permanent_neighbours, ..config(FrontWiring::One, [1, 1, 1]) }.plan();
            let interfaces = plan.expect("a small lab").hosts.into_iter().flat_map(|host| host.interfaces);
            let neighbours: Vec<_> = interfaces.map(|interface| interface.neighbours.len()).collect();
            assert_eq!(neighbours, [wanted, wanted / 3, wanted / 3, wanted / 3]);
        }
    }

    #[test]
    fn no_attacker_means_no_routes_for_spoofed_sources() {
        let routes = |config: LabConfig| -> Vec<usize> {
            let front = config.plan().expect("a small lab").hosts.swap_remove(0);
            front.interfaces.iter().map(|interface| interface.routes.len()).collect()
        };
        assert_eq!(routes(LabConfig::default()), [2]);
        assert_eq!(routes(config(FrontWiring::PerRole, [1, 1, 1])), [0, 2, 0]);
        assert_eq!(routes(LabConfig { attackers: 0, ..LabConfig::default() }), [0]);
        assert_eq!(routes(LabConfig { spoofed_routes: false, ..LabConfig::default() }), [0]);
    }
}
