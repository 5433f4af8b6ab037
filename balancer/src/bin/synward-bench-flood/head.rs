//! What must be known to read the tables.

use crate::bed::Bed;
use crate::{FRONT, OTHERS};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::time::Duration;
use synward_bench::core_share::CoreShare;
use synward_bench::peers::haproxy;

/// What the clock ticks and the like of a quiet machine take of a core, in percent, and a little more.
const QUIET: f64 = 3.0;

/// What decides how the kernel of the front behaves.
const SYSCTLS: [&str; 8] = [
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_max_syn_backlog",
    "net.core.somaxconn",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_sack",
    "net.ipv4.tcp_window_scaling",
    "net.ipv4.ip_local_port_range",
];

/// Kernel, its settings in the front's namespace, and who else is measured.
pub fn read(bed: &Bed) -> Result<String> {
    let mut head = String::new();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel's release")?;
    writeln!(head, "kernel {}: threaded NAPI, priority -20 for all but the flood", release.trim_end())?;
    for name in SYSCTLS {
        writeln!(head, "{name} = {}", bed.lab.front().sysctl(name)?)?;
    }
    writeln!(head, "congestion control of the engine: NewReno")?;
    writeln!(head, "RPS of {}: {}", bed.flooded().name(), rps(bed)?)?;
    writeln!(head, "connection tracking: {}", tracking(bed))?;
    if haproxy::is_installed() {
        writeln!(head, "{} in TCP mode, one thread", haproxy::system_and_version())?;
    }
    writeln!(head, "before: {}", strangers()?)?;
    Ok(head)
}

/// How much of the cores is used while nothing is measured: it is part of every figure.
fn strangers() -> Result<String> {
    let mut cores = [CoreShare::watch(FRONT)?, CoreShare::watch(OTHERS)?];
    std::thread::sleep(Duration::from_millis(500));
    let [front, others] = cores.each_mut().map(|core| core.lap().share() * 100.0);
    let quiet = front < QUIET && others < QUIET;
    let warning = if quiet { "" } else { ": not a quiet machine, so no figure here is to be trusted" };
    Ok(format!("{front:.1} % of core {FRONT} and {others:.1} % of core {OTHERS} were used{warning}"))
}

/// The cores that packets are spread over after they were received: a mask.
fn rps(bed: &Bed) -> Result<String> {
    let path = format!("/sys/class/net/{}/queues/rx-0/rps_cpus", bed.flooded().name());
    let mask = bed.lab.front().enter(|| std::fs::read_to_string(&path))?.context(path.clone())?;
    let none = mask.trim_end().chars().all(|digit| digit == '0' || digit == ',');
    Ok(if none { "off".to_owned() } else { format!("mask {}", mask.trim_end()) })
}

/// Without rules that need it, the kernel tracks nothing, whether or not it could.
fn tracking(bed: &Bed) -> String {
    match bed.lab.front().sysctl("net.netfilter.nf_conntrack_count") {
        Ok(count) => format!("{count} connections, no rules"),
        Err(_) => "none, no rules".to_owned(),
    }
}
