//! A test bed while it stands: built from a plan, taken down by its record.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use crate::host::Host;
use crate::interface::{self, Interface, Peer};
use crate::namespace::{self, Namespace};
use crate::netlink::Netlink;
use crate::plan::{BridgePlan, HostPlan, LinkPlan, Plan, Plug, SwitchPlan, Wire};
use crate::state::{self, Record};
use crate::{LabError, Offloads, address, ethtool, link, process, tap, xdp};

/// Set in every namespace before it has interfaces, so that they start with it: nothing speaks unless spoken to (no
/// duplicate address detection, no router solicitation), addresses survive a link that goes down, no source address is
/// refused for the way it came, and nothing is forwarded, redirected or answered on behalf of others.
const SYSCTLS: [(&str, &str); 14] = [
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.dad_transmits", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
    ("net.ipv6.conf.default.keep_addr_on_down", "1"),
    ("net.ipv6.conf.all.forwarding", "0"),
    ("net.ipv4.ip_forward", "0"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
];

/// Read-locked by whoever builds, and write-locked for good by the thread that takes everything down at the end of the
/// process: what is built after its record was struck would be found by nobody.
static BUILDING: RwLock<()> = RwLock::new(());

/// A test bed. Taken down when dropped, unless it is persistent.
#[derive(Debug)]
pub(crate) struct Bed {
    record: Record,
    hosts: Vec<Host>,
    switch: Option<Namespace>,
    taps: Vec<(Plug, Vec<OwnedFd>)>,
    standing: bool,
}

impl Bed {
    /// Sweeps stale test beds, then builds this one. Frames pass everywhere when this returns.
    pub(crate) fn up(plan: Plan, persistent: bool) -> Result<Self, LabError> {
        sweep()?;
        let _building = BUILDING.read().unwrap_or_else(PoisonError::into_inner);
        let record = Record::enter(plan)?;
        let mut bed = Self { record, hosts: Vec::new(), switch: None, taps: Vec::new(), standing: true };
        let built = bed.build().and_then(|()| if persistent { bed.record.persist() } else { Ok(()) });
        match built {
            Ok(()) => Ok(bed),
            Err(error) => {
                let _reported_already = bed.take_down();
                Err(error)
            }
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The hosts in the order of the plan.
    pub(crate) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The namespace of the bridges, where the plan has one.
    pub(crate) fn switch(&self) -> Option<&Namespace> {
        self.switch.as_ref()
    }

    /// The queues of a TAP device, which are given once; the device is gone with the last of them.
    pub(crate) fn take_tap(&mut self, plug: &Plug) -> Option<Vec<OwnedFd>> {
        let at = self.taps.iter().position(|(tap, _)| tap == plug)?;
        Some(self.taps.swap_remove(at).1)
    }

    /// Takes everything down, once.
    pub(crate) fn take_down(&mut self) -> Result<(), LabError> {
        if !self.standing {
            return Ok(());
        }
        self.standing = false;
        remove(&self.record)
    }

    fn build(&mut self) -> Result<(), LabError> {
        let plan = &self.record.plan;
        let mut nodes = Nodes::default();
        for node in plan.nodes() {
            nodes.namespaces.insert(node, create_namespace(&self.record.namespace_of(node))?);
        }
        for wire in &plan.wires {
            create_wire(plan, wire, nodes.find(&wire.a.node)?, nodes.find(&wire.b.node)?)?;
        }
        for plug in &plan.taps {
            self.taps.push((plug.clone(), create_tap(plan, plug, nodes.find(&plug.node)?)?));
        }
        let pass = xdp::load_pass()?;
        if let Some(switch) = &plan.switch {
            let namespace = nodes.find(&switch.name)?;
            set_up_switch(namespace, switch, &pass)?;
            self.switch = Some(namespace.clone());
        }
        for host in &plan.hosts {
            let links = host.interfaces.iter().map(|interface| &interface.link);
            set_up_links(nodes.find(&host.name)?, links, &pass)?;
        }
        for host in &plan.hosts {
            set_up_addresses(nodes.find(&host.name)?, host)?;
            self.hosts.push(nodes.host(plan, host)?);
        }
        self.hosts.iter().flat_map(Host::interfaces).try_for_each(Interface::await_ready)
    }
}

/// The namespaces of a plan's nodes, by name.
#[derive(Default)]
struct Nodes<'a> {
    namespaces: HashMap<&'a str, Namespace>,
}

impl Nodes<'_> {
    fn find(&self, node: &str) -> Result<&Namespace, LabError> {
        let unknown = || LabError::Config(format!("a wire leads to {node}, which is no node"));
        self.namespaces.get(node).ok_or_else(unknown)
    }

    fn host(&self, plan: &Plan, host: &HostPlan) -> Result<Host, LabError> {
        let namespace = self.find(&host.name)?;
        let mut interfaces = Vec::new();
        for interface in &host.interfaces {
            let peer = match plan.peer(&host.name, &interface.link.name) {
                Some(plug) => Some(Peer { namespace: self.find(&plug.node)?.clone(), link: plug.link.clone() }),
                None => None,
            };
            interfaces.push(Interface::new(namespace.clone(), interface.clone(), peer));
        }
        let bare = || LabError::Config(format!("host {} has no interface", host.name));
        Host::new(namespace.clone(), &host.name, interfaces).ok_or_else(bare)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if !self.record.persistent {
            // What could not be removed is still on record; the next sweep tries again and reports.
            let _ = self.take_down();
        }
    }
}

fn create_namespace(name: &str) -> Result<Namespace, LabError> {
    let namespace = Namespace::create(name)?;
    set_sysctls(&namespace, &SYSCTLS)?;
    link::set_up(&mut Netlink::open(&namespace)?, "lo")?;
    Ok(namespace)
}

/// Sets sysctls, by their dotted names.
pub(crate) fn set_sysctls(namespace: &Namespace, sysctls: &[(&str, &str)]) -> Result<(), LabError> {
    namespace.run(|| {
        sysctls.iter().try_for_each(|(sysctl, value)| {
            fs::write(sysctl_path(sysctl), value)
                .map_err(|source| LabError::system(format!("set {sysctl} to {value} in {}", namespace.name()), source))
        })
    })?
}

/// The file of a sysctl; a name with slashes may contain dots, as for `sysctl(8)`.
pub(crate) fn sysctl_path(name: &str) -> String {
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    format!("/proc/sys/{path}")
}

fn create_wire(plan: &Plan, wire: &Wire, a: &Namespace, b: &Namespace) -> Result<(), LabError> {
    let missing = |plug| LabError::Config(format!("the wire {wire:?} has no link for {plug:?}"));
    let near = plan.link(&wire.a).ok_or_else(|| missing(&wire.a))?;
    let far = plan.link(&wire.b).ok_or_else(|| missing(&wire.b))?;
    link::create_pair(&mut Netlink::open(a)?, near, far, b.fd())
}

fn create_tap(plan: &Plan, plug: &Plug, namespace: &Namespace) -> Result<Vec<OwnedFd>, LabError> {
    let link = plan.link(plug).ok_or_else(|| LabError::Config(format!("there is no link for the TAP {plug:?}")))?;
    let queues = tap::create(namespace, &link.name, link.queues)?;
    link::configure_tap(&mut Netlink::open(namespace)?, link, tap::QUEUE_LENGTH)?;
    Ok(queues)
}

fn set_up_switch(namespace: &Namespace, switch: &SwitchPlan, pass: &OwnedFd) -> Result<(), LabError> {
    // The switch has no addresses, and speaks to nobody.
    set_sysctls(namespace, &[("net.ipv6.conf.default.disable_ipv6", "1")])?;
    let mut netlink = Netlink::open(namespace)?;
    switch.bridges.iter().try_for_each(|bridge| set_up_bridge(&mut netlink, bridge))?;
    set_up_links(namespace, switch.ports().map(|port| &port.link), pass)
}

fn set_up_bridge(netlink: &mut Netlink, bridge: &BridgePlan) -> Result<(), LabError> {
    link::create_bridge(netlink, &bridge.name)?;
    for port in &bridge.ports {
        link::join_bridge(netlink, &port.link.name, &bridge.name)?;
        let index = link::find(netlink, &port.link.name)?.index;
        for station in &port.stations {
            address::put_station(netlink, index, *station)?;
        }
    }
    link::set_up(netlink, &bridge.name)
}

/// Configures links and brings them up. The program comes before the offloads, because attaching it turns GRO on.
fn set_up_links<'a>(
    namespace: &Namespace,
    links: impl Iterator<Item = &'a LinkPlan>,
    pass: &OwnedFd,
) -> Result<(), LabError> {
    let mut netlink = Netlink::open(namespace)?;
    for link in links {
        if link.end.xdp_pass {
            link::attach_xdp(&mut netlink, &link.name, pass.as_fd())?;
        }
        link::set_up(&mut netlink, &link.name)?;
        if link.end.threaded_napi {
            set_threaded_napi(namespace, link)?;
        }
        ethtool::set_offloads(namespace, &link.name, link.end.offloads)?;
    }
    Ok(())
}

/// The kernel takes this wish only from a device that polls itself, and remembers it when the device stops. GRO makes a veth
/// poll for that moment; the offloads that follow put GRO where it belongs.
fn set_threaded_napi(namespace: &Namespace, link: &LinkPlan) -> Result<(), LabError> {
    ethtool::set_offloads(namespace, &link.name, Offloads { gro: true, ..link.end.offloads })?;
    let path = format!("/sys/class/net/{}/threaded", link.name);
    namespace.enter(|| fs::write(&path, "1"))?.map_err(|source| {
        let attempt = format!("move NAPI of {} in {} to a thread", link.name, namespace.name());
        LabError::kernel(attempt, source, "threaded NAPI needs kernel 5.12")
    })
}

fn set_up_addresses(namespace: &Namespace, host: &HostPlan) -> Result<(), LabError> {
    let mut netlink = Netlink::open(namespace)?;
    for interface in &host.interfaces {
        let index = link::find(&mut netlink, &interface.link.name)?.index;
        for prefix in interface.addresses() {
            address::put_address(&mut netlink, index, prefix)?;
        }
        interface::put_reachability(&mut netlink, index, interface)?;
    }
    host.blackholes.iter().try_for_each(|prefix| address::put_blackhole(&mut netlink, *prefix))
}

/// Removes every test bed whose owner is dead, and returns their ids. Persistent ones stay, until the machine is booted.
///
/// # Errors
/// The first removal that failed; the others were still attempted.
pub fn sweep() -> Result<Vec<String>, LabError> {
    let stale = || Ok::<_, LabError>(state::list()?.into_iter().filter(Record::is_stale));
    if stale()?.next().is_none() {
        return Ok(Vec::new());
    }
    let _lock = state::lock()?;
    let mut swept = Vec::new();
    let mut outcome = Ok(());
    for record in stale()? {
        match remove(&record) {
            Ok(()) => swept.push(record.id),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    outcome.map(|()| swept)
}

/// Takes down a persistent or stale test bed by its id, from any process.
///
/// # Errors
/// [`LabError::UnknownLab`]; [`LabError::Owned`] if it is not persistent and its owner runs; a removal that failed.
pub fn take_down(id: &str) -> Result<(), LabError> {
    let record = state::read(id).ok_or_else(|| LabError::UnknownLab(id.to_owned()))?;
    if !record.persistent && record.owner.is_alive() {
        return Err(LabError::Owned { id: record.id, pid: record.owner.pid });
    }
    let _lock = state::lock()?;
    remove(&record)
}

/// Waits for builds of this process to end and lets none begin while the guard lives.
pub(crate) fn stop_building() -> RwLockWriteGuard<'static, ()> {
    BUILDING.write().unwrap_or_else(PoisonError::into_inner)
}

/// Takes down every test bed that this process owns and that is not persistent.
pub(crate) fn take_down_own() -> Result<(), LabError> {
    let own = |record: &Record| !record.persistent && record.owner.is_this_process();
    let mut outcome = Ok(());
    for record in state::list()?.into_iter().filter(own) {
        outcome = outcome.and(remove(&record));
    }
    outcome
}

/// Kills what runs inside, deletes the links, removes the names, strikes the record: each step is attempted whatever
/// became of the one before, and nothing that is already gone is an error. The record stays if something else does.
fn remove(record: &Record) -> Result<(), LabError> {
    let present: Vec<String> = record.namespaces().filter(|name| namespace::exists(name)).collect();
    let identities: HashSet<_> = present.iter().filter_map(|name| namespace::identity(name)).collect();
    let mut outcome = process::kill_inside(&identities);
    for name in &present {
        if namespace::identity(name).is_some() {
            outcome = outcome.and(delete_links(name));
        }
        outcome = outcome.and(namespace::remove(name));
    }
    outcome.and_then(|()| state::remove(&record.id))
}

/// Deletes the links now: a namespace deletes its own only when the last thread, socket or descriptor has left it, and even
/// then on a work queue.
fn delete_links(name: &str) -> Result<(), LabError> {
    let mut netlink = Netlink::open(&Namespace::open(name)?)?;
    for found in link::all(&mut netlink)?.into_iter().filter(|link| !link.loopback) {
        match link::delete(&mut netlink, found.index, &found.name) {
            Err(error) if error.errno() == Some(libc::ENODEV) => {} // went with its peer
            outcome => outcome?,
        }
    }
    Ok(())
}
