//! What an AF_XDP port is asked for, and how the kernel is asked.

use crate::queues::lacks_queue;
use crate::xsk_ring::{XskRings, kernel_error};
use crate::zero_copy::{Driver, SMALL_FRAME};
use crate::{FrameBudget, Mode, Modes, PortError};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::xdp::XdpOptionsFlags;
use std::io;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use xsk_rs::Umem;
use xsk_rs::config::{BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};
use xsk_rs::umem::frame::FrameDesc;

/// How long a queue that is busy is tried again: after a socket closes, its queue stays busy for some milliseconds.
const BUSY_PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait between two tries.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Which mode a port must run in.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ModeDemand {
    /// Zero-copy where driver and kernel have it and are known to be good at it (`zero-copy.tsv`), else copy.
    #[default]
    Any,
    /// Copy.
    Copy,
    /// Zero-copy, or not at all.
    ZeroCopy,
}

/// Polling the device from the poll loop's system calls instead of its interrupts (SO_PREFER_BUSY_POLL). Has an effect
/// where the interface's `napi_defer_hard_irqs` and `gro_flush_timeout` are set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BusyPoll {
    /// SO_BUSY_POLL: how long one call may poll, in microseconds.
    pub microseconds: u32,
    /// SO_BUSY_POLL_BUDGET: how many packets one call may take.
    pub budget: u16,
}

/// What an [`XskPort`](crate::XskPort) is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct XskConfig {
    /// Name of the interface, in the network namespace of the calling thread.
    pub interface: String,
    /// Receive queue of that interface.
    pub queue: u32,
    /// Size of a frame in bytes: 2048 or 4096. 256 of them lie in front of the data. `None`: 2048, or what the driver
    /// needs in zero-copy mode where that may come about.
    pub frame_size: Option<u16>,
    /// Frames by holder; its ring lines are the sizes of the rings, powers of two.
    pub budget: FrameBudget,
    /// Which mode the port must run in.
    pub mode: ModeDemand,
    /// Whether the kernel shall ask to be woken instead of being woken always (XDP_USE_NEED_WAKEUP).
    pub need_wakeup: bool,
    /// Whether and how to busy-poll.
    pub busy_poll: Option<BusyPoll>,
}

impl XskConfig {
    /// The defaults for queue `queue` of `interface`: frames as the driver needs them, any mode, need-wakeup, no busy-polling.
    pub fn new(interface: impl Into<String>, queue: u32) -> Self {
        Self {
            interface: interface.into(),
            queue,
            frame_size: None,
            budget: FrameBudget::default(),
            mode: ModeDemand::Any,
            need_wakeup: true,
            busy_poll: None,
        }
    }

    /// The size of a frame in bytes, over `driver`.
    pub(crate) fn frame_size_over(&self, driver: &Driver) -> u16 {
        let needed = match self.mode {
            ModeDemand::Any | ModeDemand::ZeroCopy => driver.least_frame,
            ModeDemand::Copy => SMALL_FRAME,
        };
        self.frame_size.unwrap_or(needed)
    }

    /// Registers the memory for frames of `frame_size` bytes; returns it with one descriptor for each.
    pub(crate) fn umem(&self, frame_size: u16) -> Result<(Umem, Vec<FrameDesc>), PortError> {
        let size = match FrameSize::new(frame_size.into()) {
            Ok(size) if matches!(frame_size, 2048 | 4096) => size,
            _ => return Err(PortError::FrameSize { size: frame_size }),
        };
        let frames = self.budget.total().ok_or(PortError::Budget)?;
        let config = UmemConfig::builder()
            .frame_size(size)
            .fill_queue_size(ring_size("fill ring", self.budget.fill_ring)?)
            .comp_queue_size(ring_size("completion ring", self.budget.completion_ring)?)
            .build()
            .map_err(|_| PortError::FrameSize { size: frame_size })?;
        // The rings alone make it more than none.
        let count = NonZeroU32::new(frames).ok_or(PortError::Budget)?;
        Umem::new(config, count, false).map_err(|error| {
            let source = kernel_error(error);
            match Errno::from_io_error(&source) {
                Some(Errno::PERM) => PortError::NotPermitted { source },
                _ => PortError::Memory { frames, frame_size, source },
            }
        })
    }

    /// Binds the rings, patiently where the queue is still busy.
    pub(crate) fn bind(&self, umem: &Umem, chunks: &[FrameDesc], driver: &Driver) -> Result<XskRings, PortError> {
        let no_such = || PortError::NoSuchInterface { name: self.interface.clone() };
        let interface: Interface = self.interface.parse().map_err(|_| no_such())?;
        let config = SocketConfig::builder()
            .rx_queue_size(ring_size("rx ring", self.budget.rx_ring)?)
            .tx_queue_size(ring_size("tx ring", self.budget.tx_ring)?)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(self.bind_flags(driver))
            .build();
        let give_up = Instant::now() + BUSY_PATIENCE;
        loop {
            let source = match XskRings::bind(umem, chunks, config, &interface, self.queue) {
                Ok(rings) => return Ok(rings),
                Err(source) => source,
            };
            match Errno::from_io_error(&source) {
                Some(Errno::BUSY) if Instant::now() < give_up => std::thread::sleep(BUSY_PAUSE),
                Some(Errno::NODEV | Errno::NXIO) => return Err(no_such()),
                _ => return Err(self.bind_error(source)),
            }
        }
    }

    /// The mode is always named unless zero-copy may come about: without a name, the kernel takes zero-copy wherever it
    /// can (`xsk_bind`).
    fn bind_flags(&self, driver: &Driver) -> BindFlags {
        let mode = match self.mode {
            ModeDemand::Any if driver.trusted => BindFlags::empty(),
            ModeDemand::Any | ModeDemand::Copy => BindFlags::XDP_COPY,
            ModeDemand::ZeroCopy => BindFlags::XDP_ZEROCOPY,
        };
        if self.need_wakeup { mode | BindFlags::XDP_USE_NEED_WAKEUP } else { mode }
    }

    fn bind_error(&self, source: io::Error) -> PortError {
        let (interface, queue) = (self.interface.clone(), self.queue);
        match (Errno::from_io_error(&source), self.mode) {
            (Some(Errno::BUSY), _) => PortError::QueueBusy { interface, queue },
            (Some(Errno::PERM | Errno::ACCESS), _) => PortError::NotPermitted { source },
            (Some(Errno::INVAL), _) if lacks_queue(&interface, queue) => PortError::NoSuchQueue { interface, queue },
            (Some(Errno::OPNOTSUPP | Errno::INVAL), ModeDemand::ZeroCopy) => PortError::NoZeroCopy { interface, queue },
            (Some(Errno::INVAL), ModeDemand::Any | ModeDemand::Copy) => PortError::NoSuchQueue { interface, queue },
            _ => PortError::Bind { interface, queue, source },
        }
    }

    /// Turns on what is asked for and reads back what is in force.
    pub(crate) fn settle(&self, rings: &XskRings, driver: &Driver) -> Result<Modes, PortError> {
        let bind_error = |source| PortError::Bind { interface: self.interface.clone(), queue: self.queue, source };
        if let Some(BusyPoll { microseconds, budget }) = self.busy_poll {
            rings.prefer_busy_poll(microseconds, budget).map_err(|source| PortError::BusyPoll { source })?;
        }
        let options = sockopt::xdp_options(rings.fd()).map_err(|errno| bind_error(errno.into()))?;
        let zero_copy = options.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY);
        if self.mode == ModeDemand::ZeroCopy && !zero_copy {
            return Err(PortError::NoZeroCopy { interface: self.interface.clone(), queue: self.queue });
        }
        let frame_size = self.frame_size_over(driver);
        if zero_copy && frame_size < driver.least_frame {
            let driver = driver.name.clone().unwrap_or_default();
            return Err(PortError::FrameSizeForDriver { driver, size: frame_size });
        }
        Ok(Modes {
            mode: if zero_copy { Mode::ZeroCopy } else { Mode::Copy },
            // Binding refuses what it does not know, so what was asked for is in force; nothing reads it back.
            need_wakeup: self.need_wakeup,
            busy_poll: rings.busy_poll_in_force(),
        })
    }
}

fn ring_size(ring: &'static str, size: u32) -> Result<QueueSize, PortError> {
    QueueSize::new(size).map_err(|_| PortError::RingSize { ring, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(trusted: bool, least_frame: u16) -> Driver {
        Driver { name: Some("igb".into()), trusted, least_frame }
    }

    #[test]
    fn only_a_trusted_driver_leaves_the_mode_to_the_kernel() {
        let needing = BindFlags::XDP_USE_NEED_WAKEUP;
        for (mode, trusted, flags) in [
            (ModeDemand::Any, true, needing),
            (ModeDemand::Any, false, needing | BindFlags::XDP_COPY),
            (ModeDemand::Copy, true, needing | BindFlags::XDP_COPY),
            (ModeDemand::ZeroCopy, false, needing | BindFlags::XDP_ZEROCOPY),
        ] {
            let config = XskConfig { mode, ..XskConfig::new("eth0", 0) };
            assert_eq!(config.bind_flags(&driver(trusted, 2048)).bits(), flags.bits(), "{mode:?}, trusted {trusted}");
        }
    }

    #[test]
    fn frames_are_as_asked_for_or_as_the_driver_needs_them() {
        for (mode, asked, size) in [
            (ModeDemand::Any, None, 4096),
            (ModeDemand::ZeroCopy, None, 4096),
            (ModeDemand::Copy, None, 2048),
            (ModeDemand::ZeroCopy, Some(2048), 2048),
            (ModeDemand::Copy, Some(4096), 4096),
        ] {
            let config = XskConfig { mode, frame_size: asked, ..XskConfig::new("eth0", 0) };
            assert_eq!(config.frame_size_over(&driver(true, 4096)), size, "{mode:?}, asked for {asked:?}");
        }
    }

    #[test]
    fn sizes_that_the_kernel_would_refuse_are_refused_by_name() {
        let refused = |config: &XskConfig, size| config.umem(size).err().map(|error| error.to_string());
        let config = XskConfig::new("lo", 0);
        assert!(refused(&config, 1024).is_some_and(|error| error.starts_with("frame size 1024:")));
        let odd_ring = XskConfig { budget: FrameBudget { fill_ring: 100, ..config.budget }, ..config.clone() };
        assert!(refused(&odd_ring, 2048).is_some_and(|error| error.starts_with("fill ring of 100 entries:")));
        let too_many = XskConfig { budget: FrameBudget { readers: u32::MAX, ..config.budget }, ..config };
        assert!(refused(&too_many, 2048).is_some_and(|error| error.starts_with("frame budget:")));
    }
}
