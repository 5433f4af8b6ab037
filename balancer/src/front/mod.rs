//! What stands between the engine and the machine: interfaces with their queues and XDP programs, and the threads that turn
//! the poll loops.

mod interface;
mod running;

pub use interface::{InterfacePlan, Opened, addresses_of, queues_of};
pub use running::{Ready, Rider, Running};

use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How often those who wait for something else look whether they are to end.
pub const STOP_PATIENCE: Duration = Duration::from_millis(100);

/// What SIGTERM and SIGINT set, from now on.
///
/// # Errors
/// When the handlers cannot be had.
pub fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("signal handler")?;
    }
    Ok(stop)
}

/// Has the kernel provide all memory when it is reserved instead of when it is first touched. Every table is sized at the
/// start; so what a flood fills is there already, and neither page faults nor a lack of memory come on the packet path.
pub fn commit_memory() {
    use rustix::mm::{MlockAllFlags, mlockall};
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        tracing::warn!("memory is committed when it is first used, for want of CAP_IPC_LOCK: {error}");
    }
}
