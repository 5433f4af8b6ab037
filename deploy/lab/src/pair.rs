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
    let interface = |name: &str, number: u8, end: End| InterfacePlan {
        link: LinkPlan { name: name.into(), mac: Mac([0x02, 0x53, 0x59, 0, 0, number]), mtu, queues, end },
        ipv4: Ipv4Addr::new(10, 77, 0, number),
        ipv6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()),
        subnet: ONE_LINK,
        neighbours: Vec::new(),
        routes: Vec::new(),
    };
    let (mut near, mut far) = (interface("near0", 1, near), interface("far0", 2, far));
    near.neighbours.extend(far.as_neighbours());
    far.neighbours.extend(near.as_neighbours());
    let plug = |node: &str, link: &str| Plug { node: node.into(), link: link.into() };
    let host =
        |name: &str, interface| HostPlan { name: name.into(), interfaces: vec![interface], blackholes: Vec::new() };
    Plan {
        hosts: vec![host("near", near), host("far", far)],
        wires: vec![Wire { a: plug("near", "near0"), b: plug("far", "far0") }],
        ..Plan::default()
    }
}
