//! What a poll loop needs of a queue.

use crate::{Frame, Ledger};
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// One queue of one interface: frames in, frames out. Driven by one thread; none of its calls but
/// [`wait`](Self::wait) blocks.
pub trait Port {
    /// Moves up to `max` received frames to the back of `out`; returns how many.
    fn rx_burst(&mut self, out: &mut VecDeque<Frame>, max: usize) -> usize;

    /// Takes frames from the front of `frames` for sending until the ring is full; the rest stays. Kicks the kernel
    /// where that is needed. Back-pressure (EAGAIN, EBUSY, ENOBUFS) is not an error.
    fn tx_burst(&mut self, frames: &mut VecDeque<Frame>) -> usize;

    /// Takes sent frames back into the pool; returns how many.
    fn reclaim(&mut self) -> usize;

    /// Gives free frames to the receive side, keeping back the reserve for sending; returns how many.
    fn refill(&mut self) -> usize;

    /// A free frame to write into (length zero, full capacity); `None` when the pool is empty.
    fn alloc(&mut self) -> Option<Frame>;

    /// Takes a frame home, whichever way it was got from this port.
    fn recycle(&mut self, frame: Frame);

    /// Where every frame is.
    fn ledger(&self) -> Ledger;

    /// Sleeps until a frame may have arrived, `wake` becomes readable or `timeout` has passed (`None`: no limit).
    fn wait(&mut self, wake: Option<BorrowedFd<'_>>, timeout: Option<Duration>);

    /// What is in force, as read back from the kernel.
    fn modes(&self) -> Modes;

    /// Whether the device still works; found by transmit kicks and SO_ERROR, since `poll` says nothing.
    fn status(&mut self) -> PortStatus;
}

/// How frames cross between device and memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The device reads and writes our memory.
    ZeroCopy,
    /// The kernel copies.
    Copy,
    /// No kernel: both ends are in this process.
    Memory,
}

/// The modes in force on a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Modes {
    /// Zero-copy, copy or memory: read back by XDP_OPTIONS.
    pub mode: Mode,
    /// Whether the kernel asks to be woken (XDP_USE_NEED_WAKEUP).
    pub need_wakeup: bool,
    /// Whether SO_PREFER_BUSY_POLL is set.
    pub busy_poll: bool,
}

/// Whether a port's device works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortStatus {
    /// It does.
    Up,
    /// The link is down (ENETDOWN); it may come back.
    Down,
    /// The device is gone (ENXIO, ENODEV); it will not come back.
    Gone,
}

/// Why a port could not be opened. Each names what was being done and what the operator can do.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// There is no such interface.
    #[error("interface {name}: no such device")]
    NoSuchInterface {
        /// The name asked for.
        name: String,
    },
}
