//! A lab with web servers, in which it is known who runs where.

use anyhow::{Result, ensure};
use std::net::SocketAddr;
use synward_bench::load::widen_ports;
use synward_bench::peers::Web;
use synward_bench::processes;
use synward_lab::{End, Host, Lab, LabConfig, Offloads};

/// Where the front listens.
pub const HTTP: u16 = 80;
/// Where the web servers listen.
const WEB: u16 = 8080;

/// A lab with two web servers, which end before it does.
pub struct Bed {
    pub webs: Vec<Web>,
    pub lab: Lab,
    /// The kernel's threads that poll the interfaces, by the node that the interface belongs to.
    polling: Vec<(Node, u32)>,
}

/// Whose interface it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Node {
    Front,
    Client,
    Backend,
    Switch,
}

impl Node {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Front, "front"), (Self::Client, "client"), (Self::Backend, "backend"), (Self::Switch, "to-")];

    /// By the name of a thread, which is that of its interface and a number: `napi/front0-8195`.
    fn of_thread(name: &str) -> Option<Self> {
        let interface = name.strip_prefix("napi/")?;
        Self::ALL.into_iter().find_map(|(node, prefix)| interface.starts_with(prefix).then_some(node))
    }
}

impl Bed {
    /// Builds a lab where every interface is polled by threads of its own, so that all work is somebody's and has its place;
    /// `queues` are those of the front's. The web servers run on `cores`.
    pub fn up(queues: u16, cores: &[usize]) -> Result<Self> {
        let before = processes::named("napi/")?;
        let threaded = End { xdp_pass: true, threaded_napi: true, ..End::default() };
        // Without a program, GRO is what makes the front's interface poll itself, as hardware does: but only for what comes from
        // a peer without TSO (veth_skb_is_eligible_for_gro). The rest would be received on the sender's core.
        let front = End { xdp_pass: false, offloads: Offloads { gro: true, ..Offloads::default() }, ..threaded };
        let switch = End { offloads: Offloads { tso: false, ..Offloads::default() }, ..threaded };
        let lab = Lab::up(&LabConfig {
            backends: 2,
            attackers: 0,
            front,
            far: threaded,
            switch,
            queues,
            ..LabConfig::default()
        })?;
        let mut new = processes::named("napi/")?;
        new.retain(|id| !before.contains(id));
        let named = new.into_iter().filter_map(|id| Some((Node::of_thread(&processes::name_of(id)?)?, id)));
        let polling: Vec<_> = named.collect();
        processes::run_before_others(&polling.iter().map(|(_, id)| *id).collect::<Vec<_>>())?;
        for host in [lab.front(), &lab.clients()[0]] {
            widen_ports(host)?;
            host.set_sysctl("net.core.somaxconn", "4096")?;
        }
        let webs = lab.backends().iter().map(|host| Web::start(host, WEB, cores)).collect::<Result<_>>()?;
        let bed = Self { webs, lab, polling };
        let count = bed.polling(Node::Front).len();
        ensure!(count == usize::from(queues), "{count} threads poll the {queues} queues of the front");
        Ok(bed)
    }

    /// The threads that poll the interfaces of a node, by queue.
    pub fn polling(&self, node: Node) -> Vec<u32> {
        self.polling.iter().filter(|(whose, _)| *whose == node).map(|(_, id)| *id).collect()
    }

    /// The threads that poll any interface but the front's.
    pub fn polling_others(&self) -> Vec<u32> {
        self.polling.iter().filter(|(whose, _)| *whose != Node::Front).map(|(_, id)| *id).collect()
    }

    /// The processes of the web servers.
    pub fn web_processes(&self) -> Result<Vec<u32>> {
        let families = self.webs.iter().filter_map(Web::process).map(processes::family);
        Ok(families.collect::<Result<Vec<_>>>()?.concat())
    }

    pub fn client(&self) -> &Host {
        &self.lab.clients()[0]
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.lab.front().ipv4().into(), HTTP)
    }

    /// Where the web servers are.
    pub fn backends(&self) -> Vec<SocketAddr> {
        self.lab.backends().iter().map(|host| SocketAddr::new(host.ipv4().into(), WEB)).collect()
    }
}
