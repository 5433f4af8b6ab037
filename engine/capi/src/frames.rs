//! The caller's end of a wire whose other end is at an engine with a thread of its own.

use crate::engine::Patience;
use crate::errno::{Errno, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use synward_nic::{MemoryFeed, MemoryWire};

/// How often one who waits for a frame looks whether the engine is still there.
const LOOK: Duration = Duration::from_millis(100);

/// A wire: frames go in on one side while somebody waits for one on the other.
pub(crate) struct Frames {
    feed: MemoryFeed,
    tap: Mutex<Tap>,
    closed: AtomicBool,
}

struct Tap {
    wire: MemoryWire,
    /// A frame for which the last caller had no room.
    kept: Option<Vec<u8>>,
}

impl Frames {
    /// The end that the caller holds.
    pub(crate) fn new(wire: MemoryWire) -> Self {
        Self { feed: wire.feed(), tap: Mutex::new(Tap { wire, kept: None }), closed: AtomicBool::new(false) }
    }

    /// A frame arrives.
    ///
    /// # Errors
    /// ENOBUFS when there is no room: it is lost.
    pub(crate) fn inject(&self, frame: &[u8]) -> Result<()> {
        if self.feed.push(frame) { Ok(()) } else { Err(Errno(libc::ENOBUFS)) }
    }

    /// Gives the next frame that was sent to `take`, and keeps it if that fails.
    ///
    /// # Errors
    /// Those of `take`; EAGAIN when none comes in time.
    pub(crate) fn take<T>(&self, patience: Patience, take: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        // The tap is whole between any two statements.
        let mut tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = loop {
            let Tap { wire, kept } = &mut *tap;
            if let Some(frame) = kept.take().or_else(|| wire.take()) {
                break frame;
            }
            if self.closed.load(Ordering::Acquire) {
                return Err(Errno::BAD_DESCRIPTOR);
            }
            let left = patience.left().ok_or(Errno::AGAIN)?;
            wire.wait(Some(left.unwrap_or(LOOK).min(LOOK)));
        };
        let outcome = take(&frame);
        if outcome.is_err() {
            tap.kept = Some(frame);
        }
        outcome
    }

    /// No more frames will come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
