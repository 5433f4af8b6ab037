//! What stands between the engine and the machine: interfaces with their queues and XDP programs, and the threads that turn
//! the poll loops.

mod cgroup;
mod interface;
mod room;
mod running;

pub use interface::{InterfacePlan, Opened, addresses_of, open_all, queues_of};
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
