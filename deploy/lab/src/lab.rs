//! The whole test bed: a front end, clients and attackers around a bridge.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bed::Bed;
use crate::plan::{HostPlan, InterfacePlan, LinkPlan, Mac, Plan, Plug, PortPlan, Prefix, Route, SwitchPlan, Wire};
use crate::state::Record;
use crate::{End, Host, LabError, loss};

/// IPv4 sources that attackers forge.
pub const SPOOFED_V4: Prefix = Prefix { address: IpAddr::V4(Ipv4Addr::new(10, 128, 0, 0)), length: 9 };
/// IPv6 sources that attackers forge.
pub const SPOOFED_V6: Prefix =
    Prefix { address: IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0xbad, 0, 0, 0, 0)), length: 64 };

/// Clients and attackers together: a Linux bridge has at most 1,024 ports (`BR_MAX_PORTS`), numbered from 1, and one leads
/// to the front.
pub const MOST_FAR_HOSTS: u16 = 1_000;

/// What a [`Lab`] is built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabConfig {
    /// How many clients, each with a namespace and a veth pair of its own.
    pub clients: u16,
    /// How many attackers, each with a namespace and a veth pair of its own.
    pub attackers: u16,
    /// The interface of the front. By default without any program.
    pub front: End,
    /// The interfaces of clients and attackers. By default they carry the XDP pass program: an end that polls itself has a
    /// ring of its own, where answers to an attacker cannot crowd out those to a client, while all ends that do not share
    /// one backlog for each core (`net.core.netdev_max_backlog`).
    pub far: End,
    /// The ports of the bridge. By default they carry the XDP pass program: the port that faces the front must, to receive
    /// what the front sends from XDP; those that face the others must, to receive the frames that a generator redirects.
    pub switch: End,
    /// The receive queues of the front, and as many transmit queues; its port of the bridge spreads flows over them by a hash.
    /// All others have one: a frame that left a client by another queue than the first would count as steered already.
    pub queues: u16,
    /// The MTU of every interface in bytes. A native XDP program that takes no fragments is refused where the peer's MTU is
    /// above about 3,500.
    pub mtu: u32,
    /// Whether the front has routes for [`SPOOFED_V4`] and [`SPOOFED_V6`], so that a kernel server there can answer them.
    pub spoofed_routes: bool,
    /// Whether the lab stays when its value is dropped and its owner ends, until `synward lab down`.
    pub persistent: bool,
}

impl Default for LabConfig {
    fn default() -> Self {
        Self {
            clients: 1,
            attackers: 1,
            front: End::default(),
            far: End { xdp_pass: true, ..End::default() },
            switch: End { xdp_pass: true, ..End::default() },
            queues: 1,
            mtu: 1500,
            spoofed_routes: true,
            persistent: false,
        }
    }
}

impl LabConfig {
    /// What [`Lab::up`] builds of this.
    ///
    /// # Errors
    /// More hosts than the bridge has ports for.
    pub fn plan(&self) -> Result<Plan, LabError> {
        let far_hosts = u32::from(self.clients) + u32::from(self.attackers);
        if far_hosts > MOST_FAR_HOSTS.into() {
            let message = format!("{far_hosts} clients and attackers are more than the bridge takes: {MOST_FAR_HOSTS}");
            return Err(LabError::Config(message));
        }
        let mut front = interface(self, Role::Front, 0, self.front);
        let mut far: Vec<(Role, u16, InterfacePlan)> = (0..self.clients)
            .map(|number| (Role::Client, number))
            .chain((0..self.attackers).map(|number| (Role::Attacker, number)))
            .map(|(role, number)| (role, number, interface(self, role, number, self.far)))
            .collect();
        for (_, _, interface) in &mut far {
            interface.neighbours.extend(front.as_neighbours());
            front.neighbours.extend(interface.as_neighbours());
        }
        let first_attacker =
            far.iter().find(|(role, ..)| matches!(role, Role::Attacker)).map(|(_, _, interface)| interface);
        if let (true, Some(attacker)) = (self.spoofed_routes, first_attacker) {
            front.routes = vec![
                Route { to: SPOOFED_V4, via: attacker.ipv4.into() },
                Route { to: SPOOFED_V6, via: attacker.ipv6.into() },
            ];
        }
        let mut hosts = vec![host("front".into(), front, Vec::new())];
        hosts.extend(far.into_iter().map(|(role, number, interface)| {
            let blackholes = match role {
                Role::Attacker => vec![SPOOFED_V4, SPOOFED_V6],
                Role::Front | Role::Client => Vec::new(),
            };
            host(format!("{}{number}", role.name()), interface, blackholes)
        }));
        Ok(around_a_switch(self, hosts))
    }
}

/// A running lab. Removed when dropped, unless it is persistent.
///
/// The front is `10.77.0.1` and `fd77::1`; client *n* `10.77.64.0` + *n* + 1 and `fd77::1:0` + *n* + 1; attacker *n*
/// `10.77.128.0` + *n* + 1 and `fd77::2:0` + *n* + 1. The front and each of the others know each other's hardware address,
/// so nothing waits for ARP or NDP. Answers to spoofed sources go to the first attacker, which drops them silently.
#[derive(Debug)]
pub struct Lab {
    bed: Bed,
    front: Host,
    clients: usize,
}

impl Lab {
    /// Sweeps stale test beds, then builds the lab. It carries traffic when this returns.
    ///
    /// # Errors
    /// No privileges, or the kernel refuses a step; what was built until then is removed.
    pub fn up(config: &LabConfig) -> Result<Self, LabError> {
        let bed = Bed::up(config.plan()?, config.persistent)?;
        let [front, ..] = bed.hosts() else { return Err(LabError::Config("a lab has a front".into())) };
        Ok(Self { front: front.clone(), clients: config.clients.into(), bed })
    }

    /// The id, which is part of the name of every namespace: `synward-<id>-<host>`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.bed.record().id
    }

    /// The whole description, as it is in the state file.
    #[must_use]
    pub fn record(&self) -> &Record {
        self.bed.record()
    }

    /// The front end.
    #[must_use]
    pub fn front(&self) -> &Host {
        &self.front
    }

    /// The clients, in order.
    #[must_use]
    pub fn clients(&self) -> &[Host] {
        self.bed.hosts().get(1..=self.clients).unwrap_or_default()
    }

    /// The attackers, in order.
    #[must_use]
    pub fn attackers(&self) -> &[Host] {
        self.bed.hosts().get(1 + self.clients..).unwrap_or_default()
    }

    /// Loses this share of all packets between the hosts and the front, in each direction, at random; 0 loses nothing.
    /// Packets are lost inside the switch, so an AF_XDP socket at the front loses them too. Needs `nft`.
    ///
    /// # Errors
    /// `nft` is missing or refuses; the percentage is not within 0 to 100.
    pub fn set_loss(&self, percent: f64) -> Result<(), LabError> {
        let (Some(namespace), Some(switch)) = (self.bed.switch(), &self.record().plan.switch) else {
            return Err(LabError::Config("a lab has a switch".into()));
        };
        let ports: Vec<&str> = switch.ports.iter().map(|port| port.link.name.as_str()).collect();
        loss::set(namespace, &ports, percent)
    }

    /// Removes the lab, persistent or not, and reports what failed, which dropping it does not.
    ///
    /// # Errors
    /// A removal that failed; the next [`crate::sweep`] tries again.
    pub fn down(mut self) -> Result<(), LabError> {
        self.bed.take_down()
    }
}

/// The roles of hosts: each has a range of hardware and network addresses of its own.
#[derive(Clone, Copy)]
enum Role {
    Front,
    Client,
    Attacker,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Client => "client",
            Self::Attacker => "attacker",
        }
    }

    /// The first address of the range.
    fn base(self) -> (Ipv4Addr, Ipv6Addr) {
        let v6 = |role| Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, role, 0);
        match self {
            Self::Front => (Ipv4Addr::new(10, 77, 0, 0), v6(0)),
            Self::Client => (Ipv4Addr::new(10, 77, 64, 0), v6(1)),
            Self::Attacker => (Ipv4Addr::new(10, 77, 128, 0), v6(2)),
        }
    }

    /// The fourth byte of hardware addresses.
    fn mac_byte(self) -> u8 {
        match self {
            Self::Front => 1,
            Self::Client => 2,
            Self::Attacker => 3,
        }
    }
}

/// The fourth byte of the hardware addresses of bridge ports, beside those of [`Role::mac_byte`].
const PORT_MAC_BYTE: u8 = 4;

fn mac(byte: u8, number: u16) -> Mac {
    let [high, low] = number.to_be_bytes();
    Mac([0x02, 0x53, 0x59, byte, high, low])
}

fn interface(config: &LabConfig, role: Role, number: u16, end: End) -> InterfacePlan {
    let (v4, v6) = role.base();
    let nth = u32::from(number) + 1;
    InterfacePlan {
        link: LinkPlan {
            name: format!("{}{number}", role.name()),
            mac: mac(role.mac_byte(), number),
            mtu: config.mtu,
            queues: match role {
                Role::Front => config.queues,
                Role::Client | Role::Attacker => 1,
            },
            end,
        },
        ipv4: Ipv4Addr::from_bits(v4.to_bits() + nth),
        ipv6: Ipv6Addr::from_bits(v6.to_bits() + u128::from(nth)),
        neighbours: Vec::new(),
        routes: Vec::new(),
    }
}

fn host(name: String, interface: InterfacePlan, blackholes: Vec<Prefix>) -> HostPlan {
    HostPlan { name, interfaces: vec![interface], blackholes }
}

/// Joins every interface of every host to a bridge.
fn around_a_switch(config: &LabConfig, hosts: Vec<HostPlan>) -> Plan {
    let mut switch = SwitchPlan { name: "switch".into(), bridge: "bridge".into(), ports: Vec::new() };
    let mut wires = Vec::new();
    let interfaces = hosts.iter().flat_map(|host| host.interfaces.iter().map(move |interface| (host, &interface.link)));
    for ((host, link), number) in interfaces.zip(0..) {
        let port = LinkPlan {
            name: format!("to-{}", link.name),
            mac: mac(PORT_MAC_BYTE, number),
            end: config.switch,
            ..link.clone()
        };
        wires.push(Wire {
            a: Plug { node: switch.name.clone(), link: port.name.clone() },
            b: Plug { node: host.name.clone(), link: link.name.clone() },
        });
        switch.ports.push(PortPlan { link: port, stations: vec![link.mac] });
    }
    Plan { hosts, switch: Some(switch), wires, spoofed: vec![SPOOFED_V4, SPOOFED_V6] }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::plan::{SUBNET_V4, SUBNET_V6};

    /// `IFNAMSIZ` less the terminating zero.
    const LONGEST_NAME: usize = 15;

    #[test]
    fn the_largest_lab_has_unique_names_and_addresses_within_its_subnets() {
        let half = MOST_FAR_HOSTS / 2;
        let plan =
            LabConfig { clients: half, attackers: half, ..LabConfig::default() }.plan().expect("within the limit");
        let interfaces: Vec<_> = plan.hosts.iter().flat_map(|host| &host.interfaces).collect();
        assert_eq!(interfaces.len(), usize::from(MOST_FAR_HOSTS) + 1);

        let ports = plan.switch.iter().flat_map(|switch| &switch.ports).map(|port| &port.link);
        let links: Vec<_> = interfaces.iter().map(|interface| &interface.link).chain(ports).collect();
        assert!(links.iter().all(|link| link.name.len() <= LONGEST_NAME));
        assert_eq!(links.iter().map(|link| &link.name).collect::<HashSet<_>>().len(), links.len());
        assert_eq!(links.iter().map(|link| link.mac).collect::<HashSet<_>>().len(), links.len());

        let v4: HashSet<_> = interfaces.iter().map(|interface| interface.ipv4).collect();
        let v6: HashSet<_> = interfaces.iter().map(|interface| interface.ipv6).collect();
        assert_eq!((v4.len(), v6.len()), (interfaces.len(), interfaces.len()));
        assert!(
            v4.iter()
                .all(|address| address.to_bits() >> (32 - SUBNET_V4.1) == SUBNET_V4.0.to_bits() >> (32 - SUBNET_V4.1))
        );
        assert!(v6.iter().all(|address| address.to_bits() >> (128 - SUBNET_V6.1) == SUBNET_V6.0.to_bits() >> (128 - SUBNET_V6.1)));
    }

    #[test]
    fn every_wire_has_two_links_and_every_link_a_wire() {
        let plan = LabConfig { clients: 2, attackers: 2, ..LabConfig::default() }.plan().expect("within the limit");
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

    #[test]
    fn a_lab_too_large_for_the_bridge_is_refused() {
        let config = LabConfig { clients: MOST_FAR_HOSTS, attackers: 1, ..LabConfig::default() };
        assert!(matches!(config.plan(), Err(LabError::Config(_))));
    }

    #[test]
    fn no_attacker_means_no_routes_for_spoofed_sources() {
        let routes =
            |config: LabConfig| config.plan().expect("within the limit").hosts.remove(0).interfaces.remove(0).routes;
        assert_eq!(routes(LabConfig::default()).len(), 2);
        assert_eq!(routes(LabConfig { attackers: 0, ..LabConfig::default() }), []);
        assert_eq!(routes(LabConfig { spoofed_routes: false, ..LabConfig::default() }), []);
    }
}
