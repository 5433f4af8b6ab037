//! A port over AF_XDP.

use crate::frame_pool::{FramePool, HEADROOM};
use crate::port::sleep_until_readable;
use crate::xsk_ring::{Received, XskRings};
use crate::zero_copy::Driver;
use crate::{Frame, FrameBudget, Ledger, Mode, Modes, Port, PortError, PortStatistics, PortStatus, XskConfig};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, sockopt};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The longest sleep while something waits for what no poll event announces: the kernel's readiness to take more of
/// the tx ring, or, when no frame is free, any that comes back.
const UNANNOUNCED: Duration = Duration::from_millis(1);

/// One queue of one interface, over AF_XDP, with memory of its own. No XDP program is loaded: whoever composes the
/// front puts this port's [`fd`](AsFd) into the XSKMAP of one.
///
/// Dropping it unmaps the rings and closes the socket, so that the queue is free again a few milliseconds later.
/// Frames that are still out keep their memory.
#[derive(Debug)]
pub struct XskPort {
    rings: XskRings,
    pool: FramePool,
    modes: Modes,
    status: PortStatus,
    /// Whether the rest of a packet that came in several frames is still to be skipped.
    skipping: bool,
    rx_split: u64,
    bad_descriptors: u64,
}

/// What came of a kick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kick {
    /// The kernel sent what it was given.
    Done,
    /// Back-pressure: some of it is left.
    Busy,
    /// The device does not work.
    Broken,
}

/// What a kick's result says, where `is_unbound` tells whether the socket has lost its device.
fn judge_kick(result: Result<(), Errno>, is_unbound: impl FnOnce() -> bool) -> (Kick, PortStatus) {
    match result {
        Ok(()) => (Kick::Done, PortStatus::Up),
        Err(Errno::AGAIN | Errno::BUSY | Errno::NOBUFS | Errno::INTR) => (Kick::Busy, PortStatus::Up),
        Err(Errno::NXIO) if is_unbound() => (Kick::Broken, PortStatus::Gone),
        // Besides ENETDOWN: EINVAL or, from older kernels, ENXIO, by which drivers say in zero-copy mode that no XDP
        // program is attached (igb_xsk_wakeup, ixgbe_xsk_wakeup).
        Err(_) => (Kick::Broken, PortStatus::Down),
    }
}

impl XskPort {
    /// Opens the port and reads back what is in force.
    ///
    /// # Errors
    /// When the configuration is not usable, the interface or queue is missing or taken, the process may not do this,
    /// or what is demanded is not to be had.
    pub fn open(config: &XskConfig) -> Result<Self, PortError> {
        let driver = Driver::of(&config.interface);
        let frame_size = config.frame_size_over(&driver);
        let (umem, chunks) = config.umem(frame_size)?;
        let rings = config.bind(&umem, &chunks, &driver)?;
        let modes = config.settle(&rings, &driver)?;
        let len = chunks.len() * usize::from(frame_size);
        let memory = XskRings::memory(&umem, &chunks, len, HEADROOM.into()).map_err(|source| PortError::Memory {
            frames: chunks.len() as u32,
            frame_size,
            source,
        })?;
        let pool = FramePool::new(memory, frame_size, config.budget);
        tracing::info!(
            interface = config.interface,
            queue = config.queue,
            driver = driver.name,
            zero_copy_trusted = driver.trusted,
            frame_size,
            ?modes,
            "AF_XDP port open"
        );
        let status = PortStatus::Up;
        Ok(Self { rings, pool, modes, status, skipping: false, rx_split: 0, bad_descriptors: 0 })
    }

    /// Makes the kernel send what lies in the tx ring, as far as it takes it.
    fn push_out(&mut self) {
        let size = self.pool.budget().tx_ring;
        let mut waiting = self.rings.unsent(size);
        let Modes { mode, need_wakeup, busy_poll } = self.modes;
        while waiting > 0 && (!need_wakeup || busy_poll || self.rings.tx_needs_wakeup()) {
            let kick = self.kick();
            if mode == Mode::ZeroCopy && busy_poll && self.rings.tx_needs_wakeup() {
                // That kick polled the NAPI that receives in place of waking the device (xsk_no_wakeup). A driver that
                // sends from another one, as virtio_net does, is woken by poll alone (xsk_poll).
                sleep_until_readable(self.rings.fd(), None, Some(Duration::ZERO));
            }
            let left = self.rings.unsent(size);
            // In copy mode a call sends no more than 32 (TX_BATCH_SIZE): as long as each gets somewhere, call again.
            // In zero-copy mode the driver goes on by itself.
            if kick != Kick::Busy || left >= waiting || mode == Mode::ZeroCopy {
                break;
            }
            waiting = left;
        }
    }

    /// One transmit kick. Finds out, by the way, whether the device works.
    fn kick(&mut self) -> Kick {
        let result = rustix::net::send(self.rings.fd(), &[], SendFlags::DONTWAIT).map(|_| ());
        let (kick, status) = judge_kick(result, || self.is_unbound());
        self.note_status(status);
        kick
    }

    /// Whether the kernel has unbound the socket, because its device went away: it leaves an error then, and at no other
    /// time (xsk_notifier).
    fn is_unbound(&self) -> bool {
        matches!(sockopt::socket_error(self.rings.fd()), Ok(Err(_)))
    }

    fn note_status(&mut self, status: PortStatus) {
        if status != self.status && self.status != PortStatus::Gone {
            tracing::info!(was = ?self.status, now = ?status, "AF_XDP device");
            self.status = status;
        }
    }

    /// Wakes the receive side of the kernel, or polls the device in its place.
    fn kick_receive(&self) {
        // Whatever is wrong with the device, a transmit kick tells.
        let _ = rustix::net::recv(self.rings.fd(), &mut [0; 0][..], RecvFlags::DONTWAIT);
    }

    /// Moves received frames from the ring to `out`; returns how many entries of the ring that took, which is more
    /// where some made no frame.
    fn receive(&mut self, out: &mut VecDeque<Frame>, max: usize) -> usize {
        let Self { rings, pool, skipping, rx_split, bad_descriptors, .. } = self;
        rings.receive(max, |received| {
            let Received { offset, len, continues } = received;
            let Some(frame) = pool.received(offset, len) else {
                *bad_descriptors += 1;
                return;
            };
            if continues || *skipping {
                *rx_split += u64::from(!*skipping);
                *skipping = continues;
                pool.recycle(frame);
            } else {
                out.push_back(frame);
            }
        })
    }
}

impl AsFd for XskPort {
    /// The socket, for the XSKMAP of an XDP program.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.rings.fd()
    }
}

impl Port for XskPort {
    fn rx_burst(&mut self, out: &mut VecDeque<Frame>, max: usize) -> usize {
        let before = out.len();
        if self.receive(out, max) == 0 && (self.modes.busy_poll || self.rings.fill_needs_wakeup()) {
            self.kick_receive();
            self.receive(out, max);
        }
        out.len() - before
    }

    fn tx_burst(&mut self, frames: &mut VecDeque<Frame>) -> usize {
        if self.status == PortStatus::Gone {
            return 0;
        }
        let wanted = u32::try_from(frames.len()).unwrap_or(u32::MAX);
        let count = frames.len().min(self.rings.tx_room(wanted) as usize);
        for mut frame in frames.drain(..count) {
            // The kernel refuses an empty packet without ever completing it (xp_aligned_validate_desc).
            if frame.is_empty() || !frame.move_data(HEADROOM) {
                debug_assert!(false, "{frame:?} cannot be sent");
                self.pool.recycle(frame);
                continue;
            }
            let len = frame.len();
            if let Some(given) = self.pool.send(frame) {
                let put = self.rings.send(&given, len);
                debug_assert!(put, "no room in the tx ring, though there was");
            }
        }
        self.push_out();
        count
    }

    fn reclaim(&mut self) -> usize {
        let Self { rings, pool, bad_descriptors, .. } = self;
        let mut count = pool.take_home() as usize;
        rings.completed(|offset| match pool.take_sent_at(offset) {
            Some(()) => count += 1,
            None => *bad_descriptors += 1,
        });
        count
    }

    fn refill(&mut self) -> usize {
        let allowance = self.pool.refill_allowance(0);
        let count = allowance.min(self.rings.fill_room(allowance));
        let pool = &mut self.pool;
        let filled = self.rings.fill(count as usize, || pool.offer());
        if filled > 0 && self.rings.fill_needs_wakeup() {
            self.kick_receive();
        }
        filled
    }

    fn alloc(&mut self) -> Option<Frame> {
        self.pool.alloc()
    }

    fn recycle(&mut self, frame: Frame) {
        self.pool.recycle(frame);
    }

    fn ledger(&self) -> Ledger {
        self.pool.ledger(0)
    }

    fn budget(&self) -> &FrameBudget {
        self.pool.budget()
    }

    fn wait(&mut self, wake: Option<BorrowedFd<'_>>, timeout: Option<Duration>) {
        let unsent = self.rings.unsent(self.pool.budget().tx_ring) > 0;
        let starving = self.pool.is_starving();
        let timeout = match timeout {
            _ if !unsent && !starving => timeout,
            Some(timeout) => Some(timeout.min(UNANNOUNCED)),
            None => Some(UNANNOUNCED),
        };
        sleep_until_readable(self.rings.fd(), wake, timeout);
    }

    fn modes(&self) -> Modes {
        self.modes
    }

    fn status(&mut self) -> PortStatus {
        if self.status != PortStatus::Gone {
            self.kick();
        }
        self.status
    }

    fn statistics(&self) -> PortStatistics {
        let kernel = self.rings.statistics();
        PortStatistics { rx_split: self.rx_split, bad_descriptors: self.bad_descriptors, ..kernel }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_gone_only_when_the_kernel_has_unbound_the_socket() {
        for (result, unbound, kick, status) in [
            (Ok(()), false, Kick::Done, PortStatus::Up),
            (Err(Errno::AGAIN), false, Kick::Busy, PortStatus::Up),
            (Err(Errno::BUSY), false, Kick::Busy, PortStatus::Up),
            (Err(Errno::NOBUFS), false, Kick::Busy, PortStatus::Up),
            (Err(Errno::NETDOWN), false, Kick::Broken, PortStatus::Down),
            (Err(Errno::INVAL), false, Kick::Broken, PortStatus::Down),
            (Err(Errno::NXIO), false, Kick::Broken, PortStatus::Down),
            (Err(Errno::NXIO), true, Kick::Broken, PortStatus::Gone),
        ] {
            assert_eq!(judge_kick(result, || unbound), (kick, status), "{result:?}, unbound {unbound}");
        }
    }
}
