//! Ctrl-C and the like: the demo stops where it is and puts everything away before it ends.

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The signal that was received, if any.
pub(super) struct Interrupt {
    /// Its number; 0 is no signal.
    received: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on, SIGINT, SIGTERM and SIGHUP do no more than be seen here.
    pub(super) fn watch() -> Result<Self> {
        let received = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(signal, Arc::clone(&received), signal.cast_unsigned() as usize)
                .context("signal handler")?;
        }
        Ok(Self { received })
    }

    /// An error once there was a signal.
    pub(super) fn check(&self) -> Result<()> {
        match self.signal() {
            None => Ok(()),
            Some(signal) => bail!("stopped by signal {signal}"),
        }
    }

    /// Ends the process as the signal would have done, if there was one. To be called when everything has been put away.
    pub(super) fn obey(&self) {
        if let Some(signal) = self.signal() {
            // Fails only for signals that have no default action, unlike these.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    }

    fn signal(&self) -> Option<i32> {
        i32::try_from(self.received.load(Ordering::Relaxed)).ok().filter(|signal| *signal > 0)
    }
}
