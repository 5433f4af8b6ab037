//! The simplest test bed: two namespaces and one veth pair between them.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::bed::Bed;
use crate::plan::{HostPlan, InterfacePlan, LinkPlan, Mac, ONE_LINK, Plan, Plug, Wire};
use crate::{End, Host, LabError};

/// What a [`Pair`] is built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairConfig {
    /// The end under test. By default without any program.
    pub near: End,
    /// The other end. By default it carries the XDP pass program, so that it receives what `near` sends from XDP.
    pub far: End,
    /// The receive queues of each end, and as many transmit queues.
    pub queues: u16,
    /// The MTU of both ends in bytes. A native XDP program that takes no fragments is refused where the peer's MTU is above
    /// about 3,500.
    pub mtu: u32,
}

impl Default for PairConfig {
    fn default() -> Self {
        Self { near: End::default(), far: End { xdp_pass: true, ..End::default() }, queues: 1, mtu: 1500 }
    }
}

/// Two namespaces, `near` and `far`, with one veth pair between `near0` and `far0`. Removed when dropped.
///
/// Addresses are `10.77.0.1` and `fd77::1` for `near`, `10.77.0.2` and `fd77::2` for `far`; each knows the other's
/// hardware address, so nothing waits for ARP or NDP.
#[derive(Debug)]
pub struct Pair {
    bed: Bed,
    near: Host,
    far: Host,
}

impl Pair {
    /// Sweeps stale test beds, then builds the pair. It carries traffic when this returns.
    ///
    /// # Errors
    /// No privileges, or the kernel refuses a step; what was built until then is removed.
    pub fn up(config: &PairConfig) -> Result<Self, LabError> {
        let bed = Bed::up(plan(config), false)?;
        let [near, far] = bed.hosts() else {
            return Err(LabError::Config(format!("a pair has two hosts, not {}", bed.hosts().len())));
        };
        let (near, far) = (near.clone(), far.clone());
        Ok(Self { bed, near, far })
    }

    /// The end under test.
    #[must_use]
    pub fn near(&self) -> &Host {
        &self.near
    }

    /// The other end.
    #[must_use]
    pub fn far(&self) -> &Host {
        &self.far
    }

    /// Removes the pair and reports what failed, which dropping it does not.
    ///
    /// # Errors
    /// A removal that failed; the next [`crate::sweep`] tries again.
    pub fn down(mut self) -> Result<(), LabError> {
        self.bed.take_down()
    }
}

fn plan(config: &PairConfig) -> Plan {
    let &PairConfig { near, far, queues, mtu } = config;
    let [near, far] = two_hosts([(near, queues), (far, queues)], mtu);
    let wires = vec![Wire { a: near.1, b: far.1 }];
    Plan { hosts: vec![near.0, far.0], wires, ..Plan::default() }
}

/// `near` and `far`, each with one interface that has this configuration and so many queues, and where that is plugged.
pub(crate) fn two_hosts(ends: [(End, u16); 2], mtu: u32) -> [(HostPlan, Plug); 2] {
    let interface = |name: &str, number: u8, (end, queues): (End, u16)| InterfacePlan {
        link: LinkPlan { name: name.into(), mac: Mac([0x02, 0x53, 0x59, 0, 0, number]), mtu, queues, end },
        ipv4: Ipv4Addr::new(10, 77, 0, number),
        ipv6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()),
        subnet: ONE_LINK,
        neighbours: Vec::new(),
        routes: Vec::new(),
    };
    let (mut near, mut far) = (interface("near0", 1, ends[0]), interface("far0", 2, ends[1]));
    near.neighbours.extend(far.as_neighbours());
    far.neighbours.extend(near.as_neighbours());
    [("near", near), ("far", far)].map(|(name, interface)| {
        let plug = Plug { node: name.into(), link: interface.link.name.clone() };
        (HostPlan { name: name.into(), interfaces: vec![interface], blackholes: Vec::new() }, plug)
    })
}
