//! What a configuration needs of the machine that it is for.

use super::report::{Report, Span};
use super::sections::{Draft, InterfaceDraft, MetricsDraft};
use super::settings::Queues;
use rustix::thread::{CpuSet, sched_getaffinity};
use std::io;
use std::net::IpAddr;
use synward_ebpf::{EbpfError, Interface};
use synward_nic::receive_queues;

/// What is asked of a machine.
pub trait Host {
    /// The receive queues of an interface, where they can be counted.
    ///
    /// # Errors
    /// What keeps the interface from being used: that there is none of this name, above all.
    fn queues(&self, interface: &str) -> Result<Option<usize>, String>;
    /// Whether this process may run on a core.
    fn has_core(&self, core: usize) -> bool;
    /// Whether an address is one of this machine's.
    fn has_address(&self, address: IpAddr) -> bool;
}

/// The machine that this runs on, in the network namespace of the calling thread.
pub struct ThisHost {
    addresses: Vec<IpAddr>,
    cores: CpuSet,
}

impl ThisHost {
    /// Asks the kernel for addresses and cores.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn look() -> io::Result<Self> {
        let addresses = if_addrs::get_if_addrs()?.into_iter().map(|address| address.ip()).collect();
        Ok(Self { addresses, cores: sched_getaffinity(None)? })
    }
}

impl Host for ThisHost {
    fn queues(&self, interface: &str) -> Result<Option<usize>, String> {
        Interface::by_name(interface).map_err(|error| match error {
            EbpfError::NoSuchInterface { .. } => "there is no such interface in this network namespace".to_owned(),
            other => other.to_string(),
        })?;
        Ok(receive_queues(interface).ok())
    }

    fn has_core(&self, core: usize) -> bool {
        core < CpuSet::MAX_CPU && self.cores.is_set(core)
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }
}

/// Notes what the machine lacks.
pub(super) fn check(draft: &Draft, host: &dyn Host, report: &Report<'_>) {
    for interface in &draft.interfaces {
        check_interface(interface, host, report);
    }
    for listener in &draft.listeners {
        for at in listener.addresses.iter().filter(|at| !at.get_ref().addr.is_unspecified()) {
            needs_address(&listener.label, at.get_ref().addr, &at.span(), host, report);
        }
    }
    if let Some(MetricsDraft { label, address }) = &draft.metrics {
        let ip = address.get_ref().ip();
        if !ip.is_unspecified() && !ip.is_loopback() {
            needs_address(label, ip, &address.span(), host, report);
        }
    }
    for backend in draft.pools.iter().flat_map(|pool| &pool.backends) {
        let address = backend.address.get_ref().addr;
        if host.has_address(address) {
            let text = format!("{}: {address} is this host itself, which no interface leads to", backend.label);
            report.note(&backend.address.span(), text);
        }
    }
}

fn check_interface(interface: &InterfaceDraft, host: &dyn Host, report: &Report<'_>) {
    let (label, name) = (&interface.label, interface.name.get_ref());
    match host.queues(name) {
        Err(problem) => report.note(&interface.name.span(), format!("{label}: {problem}")),
        Ok(Some(queues)) => check_queues(interface, queues, report),
        Ok(None) => {}
    }
    for core in interface.cores.iter().filter(|core| !host.has_core(*core.get_ref())) {
        report.note(&core.span(), format!("{label}: core {} is none that this process may use", core.get_ref()));
    }
    for source in &interface.source_addresses {
        needs_address(label, *source.get_ref(), &source.span(), host, report);
    }
}

fn check_queues(interface: &InterfaceDraft, queues: usize, report: &Report<'_>) {
    let (label, name) = (&interface.label, interface.name.get_ref());
    let wanted = match interface.queues {
        Queues::Exactly(wanted) => Some(("queues", usize::from(wanted))),
        Queues::All if interface.cores.is_empty() => None,
        Queues::All => Some(("cores", interface.cores.len())),
    };
    if let Some((key, wanted)) = wanted.filter(|(_, wanted)| *wanted != queues) {
        let text = format!(
            "{label}: {key} says {wanted} receive queues, {name} has {queues}; `ethtool -L {name}` changes that where the \
             device can"
        );
        report.note(&interface.queues_at, text);
    }
}

fn needs_address(label: &str, address: IpAddr, span: &Span, host: &dyn Host, report: &Report<'_>) {
    if !host.has_address(address) {
        report.note(span, format!("{label}: {address} is no address of this host (see `ip address`)"));
    }
}
