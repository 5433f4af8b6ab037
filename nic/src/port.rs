//! What a poll loop needs of a queue.

use crate::{Frame, FrameBudget, Ledger};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// One queue of one interface: frames in, frames out. Driven by one thread; none of its calls but
/// [`wait`](Self::wait) blocks.
pub trait Port {
    /// Moves up to `max` received frames to the back of `out`; returns how many.
    fn rx_burst(&mut self, out: &mut VecDeque<Frame>, max: usize) -> usize;

    /// Takes frames from the front of `frames` for sending until the ring is full; the rest stays. Kicks the kernel
    /// where that is needed, also when `frames` is empty and earlier ones still wait. Back-pressure (EAGAIN, EBUSY,
    /// ENOBUFS) is not an error. Returns how many frames were taken.
    fn tx_burst(&mut self, frames: &mut VecDeque<Frame>) -> usize;

    /// Takes frames back into the pool: those sent and those [lent](Frame::lend) that have come home. Returns how
    /// many.
    fn reclaim(&mut self) -> usize;

    /// Gives free frames to the receive side, keeping back the reserve for sending; returns how many.
    fn refill(&mut self) -> usize;

    /// A free frame to write into (length zero, full capacity); `None` when the pool is empty.
    fn alloc(&mut self) -> Option<Frame>;

    /// Takes a frame home, whichever way it was got from this port.
    fn recycle(&mut self, frame: Frame);

    /// Where every frame is.
    fn ledger(&self) -> Ledger;

    /// How many frames each holder may have. The lines for the burst, the transmit backlog and the readers are the
    /// caller's to keep.
    fn budget(&self) -> &FrameBudget;

    /// Sleeps until a frame may have arrived, `wake` becomes readable or `timeout` has passed (`None`: no limit).
    /// Returns earlier while something is awaited that nothing announces: room below the tx ring, or any free frame.
    fn wait(&mut self, wake: Option<BorrowedFd<'_>>, timeout: Option<Duration>);

    /// What is in force.
    fn modes(&self) -> Modes;

    /// Whether the device still works; found by transmit kicks and SO_ERROR, since `poll` says nothing. A system
    /// call or two: ask now and then, not every turn.
    fn status(&mut self) -> PortStatus;

    /// Packets lost below the rings, counted since the port was opened.
    fn statistics(&self) -> PortStatistics;
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
    /// Whether the kernel asks to be woken (XDP_USE_NEED_WAKEUP): as the bind that succeeded asked for, since the
    /// kernel has no way to read it back.
    pub need_wakeup: bool,
    /// Whether SO_PREFER_BUSY_POLL is set: read back by getsockopt.
    pub busy_poll: bool,
}

/// Whether a port's device works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortStatus {
    /// It does.
    Up,
    /// The link is down (ENETDOWN), or the driver does not send for this socket yet (EINVAL, ENXIO: no XDP program is
    /// attached); it may come back.
    Down,
    /// The device is gone (ENXIO, and the socket is unbound); it will not come back.
    Gone,
}

/// What was lost below the rings: Linux's `struct xdp_statistics` (XDP_STATISTICS) in its order, then what was lost on
/// taking it out of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PortStatistics {
    /// Received packets lost for other reasons than those below, such as being longer than a frame.
    pub rx_dropped: u64,
    /// Entries of the fill ring that the kernel refused.
    pub rx_invalid_descriptors: u64,
    /// Entries of the tx ring that the kernel refused.
    pub tx_invalid_descriptors: u64,
    /// Received packets lost because the rx ring was full.
    pub rx_ring_full: u64,
    /// Received packets lost because the fill ring was empty.
    pub fill_ring_empty: u64,
    /// How often the kernel looked for something to send and found nothing.
    pub tx_ring_empty: u64,
    /// Received packets refused because they came in several frames.
    pub rx_split: u64,
    /// Entries of the rx and completion rings refused because they name no frame that the kernel has.
    pub bad_descriptors: u64,
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
    /// The frame size cannot be used.
    #[error("frame size {size}: must be 2048 or 4096 (in memory: any power of two from 512)")]
    FrameSize {
        /// The size asked for, in bytes.
        size: u16,
    },
    /// The driver cannot do with frames of that size.
    #[error("frame size {size}: driver {driver} splits packets over frames this small in zero-copy mode; use 4096")]
    FrameSizeForDriver {
        /// The interface's driver.
        driver: String,
        /// The size asked for, in bytes.
        size: u16,
    },
    /// A ring size cannot be used.
    #[error("{ring} of {size} entries: must be a power of two")]
    RingSize {
        /// Which ring.
        ring: &'static str,
        /// The size asked for, in entries.
        size: u32,
    },
    /// The frame budget's sum is out of range.
    #[error("frame budget: the sum of its lines does not fit in 32 bits; make them smaller")]
    Budget,
    /// The memory for the frames could not be had.
    #[error(
        "memory for {frames} frames of {frame_size} bytes: free some, raise RLIMIT_MEMLOCK or shrink the frame budget"
    )]
    Memory {
        /// Frames asked for.
        frames: u32,
        /// Bytes each.
        frame_size: u16,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The process may not open AF_XDP sockets.
    #[error("AF_XDP socket: not permitted; run as root or with CAP_NET_RAW and CAP_NET_ADMIN")]
    NotPermitted {
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The interface does not have that queue.
    #[error("interface {interface}: cannot bind to queue {queue}; has it that many? (ethtool -l)")]
    NoSuchQueue {
        /// The interface.
        interface: String,
        /// The queue asked for.
        queue: u32,
    },
    /// Another socket is bound to the queue.
    #[error("interface {interface}, queue {queue}: taken by another AF_XDP socket; is another instance running?")]
    QueueBusy {
        /// The interface.
        interface: String,
        /// The queue asked for.
        queue: u32,
    },
    /// Zero-copy was demanded and cannot be had.
    #[error(
        "interface {interface}, queue {queue}: no zero-copy; its driver or kernel has none (virtio_net has it with \
         iommu_platform=on,disable-legacy=on on the host's side): demand any mode or copy"
    )]
    NoZeroCopy {
        /// The interface.
        interface: String,
        /// The queue asked for.
        queue: u32,
    },
    /// The socket could not be bound for another reason.
    #[error("interface {interface}, queue {queue}: AF_XDP bind")]
    Bind {
        /// The interface.
        interface: String,
        /// The queue asked for.
        queue: u32,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Busy-polling was asked for and cannot be had.
    #[error("busy-polling: needs Linux 5.11 and CAP_NET_ADMIN; leave it off")]
    BusyPoll {
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A wake-up descriptor could not be had.
    #[error("wake-up descriptor")]
    Doorbell {
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Sleeps until `own` or `wake` is readable or `timeout` has passed. Any error ends the sleep: the caller looks at its
/// rings next anyway.
pub(crate) fn sleep_until_readable(own: BorrowedFd<'_>, wake: Option<BorrowedFd<'_>>, timeout: Option<Duration>) {
    // A time that the kernel's type cannot hold is as good as none.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let mut fds = [PollFd::from_borrowed_fd(own, PollFlags::IN), PollFd::from_borrowed_fd(own, PollFlags::empty())];
    let fds = match wake {
        Some(wake) => {
            fds[1] = PollFd::from_borrowed_fd(wake, PollFlags::IN);
            &mut fds[..]
        }
        None => &mut fds[..1],
    };
    let _ = rustix::event::poll(fds, timeout.as_ref());
}
