//! Which cores a thread runs on.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Keeps the calling thread, and what it starts from now on, on these cores; none means where it may run already.
///
/// # Errors
/// There is no such core, or this process may not run there.
pub fn pin(cores: &[usize]) -> Result<()> {
    if cores.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &core in cores {
        anyhow::ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
        set.set(core);
    }
    sched_setaffinity(None, &set).with_context(|| format!("moving a thread to cores {cores:?}: do they exist?"))
}
