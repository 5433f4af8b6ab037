//! The heart: one turn of a shard, and the thread that turns it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use synward_nic::Port;
use synward_proto::Instant;

/// One shard: a port, its connections and listeners, and its end of the rings to the worker.
pub struct PollLoop<P: Port> {
    port: P,
}

/// What one turn did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Turn {
    /// Frames received.
    pub received: u32,
    /// Frames given to the port for sending.
    pub sent: u32,
    /// Timers run.
    pub timers: u32,
    /// Requests taken from the worker.
    pub requests: u32,
    /// Whether work was left over for want of budget: turn again without sleeping.
    pub unfinished: bool,
}

impl Turn {
    /// Whether nothing was done and nothing is left to do before the next frame, request or deadline.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

/// Asks a running loop to end, from any thread. Clones share one flag.
#[derive(Clone)]
pub struct Stop {
    asked: Arc<AtomicBool>,
}

impl Stop {
    /// Asks. A sleeping loop wakes up to notice.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Whether it was asked.
    pub fn is_stopped(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}

/// Why a loop ended before it was asked to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RunError {
    /// The interface was deleted or its device removed; every connection was reset towards its worker.
    #[error("the interface is gone")]
    DeviceGone,
}

impl<P: Port> PollLoop<P> {
    /// One turn: frames in, timers, requests, frames out; each step bounded. `now` must not be read twice per turn; it
    /// may stand still or step back.
    pub fn poll_once(&mut self, now: Instant) -> Turn {
        let _ = now;
        todo!()
    }

    /// When a turn is due even if no frame and no request comes.
    pub fn next_deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// Turns until asked to stop: polls while there is work, then sleeps until a frame, a request or a deadline.
    ///
    /// # Errors
    /// [`RunError::DeviceGone`] when the device is lost for good. A link that goes down is waited for.
    pub fn run(self) -> Result<(), RunError> {
        todo!()
    }

    /// What ends [`run`](Self::run).
    pub fn stopper(&self) -> Stop {
        todo!()
    }

    /// The port, for what tests and tools need of it between turns.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }
}
