//! Signs of life of the poll loops.
//!
//! Invariant defended (by the `Shared` implementation): see there.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::mapped::{Mapped, Shared};

/// `struct heartbeat`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Heartbeat {
    turned: AtomicU64,
    unused: [AtomicU64; 7],
}

const _: () = assert!(size_of::<Heartbeat>() == 64);
// SAFETY: `repr(C)`, eight atomics of eight bytes.
unsafe impl Shared for Heartbeat {}

/// When each poll loop last turned, in memory that the program reads.
#[derive(Debug)]
pub struct Heartbeats {
    queues: Mapped<Heartbeat>,
}

impl Heartbeats {
    pub(crate) fn new(queues: Mapped<Heartbeat>) -> Self {
        Self { queues }
    }

    /// The poll loop of `queue` turns at `now`, nanoseconds of CLOCK_MONOTONIC. One plain store.
    pub fn beat(&self, queue: u32, now: u64) {
        if let Some(heartbeat) = self.queues.values().get(queue as usize) {
            heartbeat.turned.store(now, Ordering::Relaxed);
        }
    }
}
