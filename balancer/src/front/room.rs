//! What a front takes of the machine, asked for before anything is touched: a group whose memory is used up is killed by the kernel
//! without a word, and a process without descriptors limps.

use super::cgroup;
use super::interface::InterfacePlan;
use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// Descriptors of one interface: its program, its maps, its watchers.
const PER_INTERFACE: u64 = 32;
/// Of one queue: its socket, and what wakes its loop.
const PER_QUEUE: u64 = 8;
/// Of all others: the control socket with a few who ask, the metrics, signals, the log.
const OTHERS: u64 = 48;
/// Bytes for each connection, or TIME-WAIT, that there may be: the engine's records and tables, and those of the XDP program.
const PER_CONNECTION: u64 = 512;
/// Bytes for the program itself, its stacks, and the kernel's tables that do not grow with the configuration.
const FIXED: u64 = 48 << 20;

/// Sees to it that the process may have what these interfaces take.
///
/// # Errors
/// The limit that is too low, and what there should be.
pub(super) fn ensure_room(plans: &[InterfacePlan]) -> Result<()> {
    let queues = plans.iter().map(|plan| Ok(u64::from(plan.count_queues()?))).collect::<Result<Vec<_>>>()?;
    ensure_descriptors(plans.len() as u64 * PER_INTERFACE + queues.iter().sum::<u64>() * PER_QUEUE + OTHERS)?;
    let memory: u64 = plans.iter().zip(queues).map(|(plan, queues)| memory_of(plan, queues)).sum();
    ensure_memory(FIXED + memory)
}

/// That so many more files can be opened; the soft limit is raised as far as that takes.
fn ensure_descriptors(more: u64) -> Result<()> {
    let wanted = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64 + more;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(wanted), maximum };
    ensure!(
        setrlimit(Resource::Nofile, raised).is_ok(),
        "{wanted} open files are needed, and the limit is {}: raise LimitNOFILE= of the service, or `ulimit -Hn`",
        maximum.unwrap_or_default()
    );
    Ok(())
}

fn ensure_memory(needed: u64) -> Result<()> {
    let Some(limit) = cgroup::memory_limit() else { return Ok(()) };
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    ensure!(
        needed <= limit,
        "about {} MiB of memory are needed, and the control group may have {} MiB: raise MemoryMax= of the service, or lower \
         max_connections",
        mebibytes(needed),
        mebibytes(limit)
    );
    Ok(())
}

/// The frames of all queues, and the tables of their shards.
fn memory_of(plan: &InterfacePlan, queues: u64) -> u64 {
    let engine = &plan.engine;
    let connections = u64::from(engine.max_connections) + u64::from(engine.max_time_waits);
    let tables = connections * PER_CONNECTION + u64::from(engine.syn_table) * 64;
    queues * (plan.frames_of_queue(queues) + tables)
}

/// Has the kernel provide all memory when it is reserved instead of when it is first touched. Every table is sized at the
/// start; so what a flood fills is there already, and neither page faults nor a lack of memory come on the packet path.
pub(super) fn commit_memory() {
    use rustix::mm::{MlockAllFlags, mlockall};
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        tracing::warn!("memory is committed when it is first used, for want of CAP_IPC_LOCK: {error}");
    }
}
