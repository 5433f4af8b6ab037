//! A port without a kernel: two ends in one process.
//!
//! Each end has its own memory. Sending copies the bytes into a frame of the other end's fill ring, as AF_XDP in copy
//! mode does, and loses them where that would: when the fill ring is empty, the rx ring full or the packet longer than
//! a frame.

use crate::frame_pool::FramePool;
use crate::port::sleep_until_readable;
use crate::umem::{Given, Mapping};
use crate::{Frame, FrameBudget, Ledger, Mode, Modes, Port, PortError, PortStatistics, PortStatus};
use rustix::event::EventfdFlags;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How one end of a [`MemoryPort`] pair is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryPortConfig {
    /// Size of a frame in bytes, a power of two from 512; 256 of them lie in front of the data.
    pub frame_size: u16,
    /// Frames by holder; its ring lines bound the rings.
    pub budget: FrameBudget,
}

impl Default for MemoryPortConfig {
    fn default() -> Self {
        Self { frame_size: 2048, budget: FrameBudget::default() }
    }
}

/// What both sides of one end share: its receive rings, and what a test does to it.
#[derive(Debug)]
struct End {
    rings: Mutex<Rings>,
    /// Readable when something arrived while the end slept.
    doorbell: OwnedFd,
    faults: Faults,
}

/// The receive side of one end.
#[derive(Debug, Default)]
struct Rings {
    fill: VecDeque<Frame>,
    received: VecDeque<Frame>,
    rx_size: usize,
    losses: PortStatistics,
    asleep: bool,
}

#[derive(Debug, Default)]
struct Faults {
    refuse_transmit: AtomicBool,
    refuse_refill: AtomicBool,
    hold_completions: AtomicBool,
    link_down: AtomicBool,
    gone: AtomicBool,
}

impl End {
    fn new(rx_size: u32) -> Result<Self, PortError> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let doorbell =
            rustix::event::eventfd(0, flags).map_err(|errno| PortError::Doorbell { source: errno.into() })?;
        let rings = Rings { rx_size: rx_size as usize, ..Rings::default() };
        Ok(Self { rings: Mutex::new(rings), doorbell, faults: Faults::default() })
    }

    /// The rings are whole between any two statements, so a panic elsewhere with the lock held spoils nothing.
    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One packet from the other end; `false` when it was lost.
    fn receive(&self, bytes: &[u8]) -> bool {
        let mut rings = self.rings();
        let delivered = rings.deliver(bytes);
        if delivered {
            self.ring_doorbell(&mut rings);
        }
        delivered
    }

    /// Wakes the end if it sleeps.
    fn ring_doorbell(&self, rings: &mut Rings) {
        if std::mem::take(&mut rings.asleep) {
            // Fails only when the counter is full, and then the descriptor is readable anyway.
            let _ = rustix::io::write(&self.doorbell, &1_u64.to_ne_bytes());
        }
    }

    fn status(&self) -> PortStatus {
        if self.faults.gone.load(Ordering::Relaxed) {
            PortStatus::Gone
        } else if self.faults.link_down.load(Ordering::Relaxed) {
            PortStatus::Down
        } else {
            PortStatus::Up
        }
    }
}

impl Rings {
    /// One packet from the other end; `false` when it was lost, and counted.
    fn deliver(&mut self, bytes: &[u8]) -> bool {
        let lost = match self.fill.front_mut() {
            None => &mut self.losses.fill_ring_empty,
            Some(frame) if bytes.len() > frame.capacity() => &mut self.losses.rx_dropped,
            Some(_) if self.received.len() >= self.rx_size => &mut self.losses.rx_ring_full,
            Some(frame) => {
                frame.set_len(bytes.len());
                frame.as_mut_slice().copy_from_slice(bytes);
                self.received.extend(self.fill.pop_front());
                return true;
            }
        };
        *lost += 1;
        false
    }
}

/// One of two ends in this process. Needs no root; the ends may be on different threads.
#[derive(Debug)]
pub struct MemoryPort {
    pool: FramePool,
    own: Arc<End>,
    far: Arc<End>,
    /// Frames that are on the receive side.
    receiving: u32,
    /// The completion ring: frames sent and not yet reclaimed.
    completed: VecDeque<Given>,
}

impl MemoryPort {
    /// Two ends: what one sends, the other receives.
    ///
    /// # Errors
    /// When a configuration is not usable, or without memory or descriptors.
    pub fn pair(a: MemoryPortConfig, b: MemoryPortConfig) -> Result<(Self, Self), PortError> {
        let (end_a, end_b) = (Arc::new(End::new(a.budget.rx_ring)?), Arc::new(End::new(b.budget.rx_ring)?));
        Ok((Self::new(a, Arc::clone(&end_a), Arc::clone(&end_b))?, Self::new(b, end_b, end_a)?))
    }

    /// One end, and in place of the other a wire into which bytes are put and from which they are taken.
    ///
    /// # Errors
    /// As [`pair`](Self::pair).
    pub fn with_wire(config: MemoryPortConfig) -> Result<(Self, MemoryWire), PortError> {
        let (port, mut end) = Self::pair(config, config)?;
        end.refill();
        Ok((port, MemoryWire { end, taken: VecDeque::new() }))
    }

    fn new(config: MemoryPortConfig, own: Arc<End>, far: Arc<End>) -> Result<Self, PortError> {
        let MemoryPortConfig { frame_size, budget } = config;
        if !frame_size.is_power_of_two() || frame_size < 512 {
            return Err(PortError::FrameSize { size: frame_size });
        }
        let frames = budget.total().ok_or(PortError::Budget)?;
        let memory = Mapping::anonymous(frames as usize * usize::from(frame_size))
            .map_err(|source| PortError::Memory { frames, frame_size, source })?;
        let pool = FramePool::new(memory, frame_size, budget);
        Ok(Self { pool, own, far, receiving: 0, completed: VecDeque::with_capacity(budget.tx_ring as usize) })
    }

    /// A handle by which a test makes this end misbehave as a device would, also while a poll loop owns it.
    pub fn faults(&self) -> MemoryFaults {
        MemoryFaults { end: Arc::clone(&self.own) }
    }
}

impl Port for MemoryPort {
    fn rx_burst(&mut self, out: &mut VecDeque<Frame>, max: usize) -> usize {
        let mut rings = self.own.rings();
        let count = max.min(rings.received.len());
        out.extend(rings.received.drain(..count));
        // No more than the receive side had.
        self.receiving -= count as u32;
        count
    }

    fn tx_burst(&mut self, frames: &mut VecDeque<Frame>) -> usize {
        if self.own.faults.refuse_transmit.load(Ordering::Relaxed) || self.own.status() != PortStatus::Up {
            return 0;
        }
        let mut rings = self.far.rings();
        let room = self.pool.budget().tx_ring.saturating_sub(self.pool.sending()) as usize;
        let count = room.min(frames.len());
        let mut delivered = false;
        for frame in frames.drain(..count) {
            delivered |= rings.deliver(frame.as_slice());
            self.completed.extend(self.pool.send(frame));
        }
        if delivered {
            self.far.ring_doorbell(&mut rings);
        }
        count
    }

    fn reclaim(&mut self) -> usize {
        let mut count = self.pool.take_home() as usize;
        if !self.own.faults.hold_completions.load(Ordering::Relaxed) {
            for sent in self.completed.drain(..) {
                count += usize::from(self.pool.take_sent(sent.index()).is_some());
            }
        }
        count
    }

    fn refill(&mut self) -> usize {
        if self.own.faults.refuse_refill.load(Ordering::Relaxed) {
            return 0;
        }
        let mut rings = self.own.rings();
        let room = (self.pool.budget().fill_ring as usize).saturating_sub(rings.fill.len());
        let count = room.min(self.pool.refill_allowance(self.receiving) as usize);
        let before = rings.fill.len();
        let pool = &mut self.pool;
        rings.fill.extend(std::iter::from_fn(|| pool.alloc()).take(count));
        let given = rings.fill.len() - before;
        // No more than the pool had free.
        self.receiving += given as u32;
        given
    }

    fn alloc(&mut self) -> Option<Frame> {
        self.pool.alloc()
    }

    fn recycle(&mut self, frame: Frame) {
        self.pool.recycle(frame);
    }

    fn ledger(&self) -> Ledger {
        self.pool.ledger(self.receiving)
    }

    fn budget(&self) -> &FrameBudget {
        self.pool.budget()
    }

    fn wait(&mut self, wake: Option<BorrowedFd<'_>>, timeout: Option<Duration>) {
        {
            let mut rings = self.own.rings();
            if !rings.received.is_empty() {
                return;
            }
            rings.asleep = true;
        }
        sleep_until_readable(self.own.doorbell.as_fd(), wake, timeout);
        self.own.rings().asleep = false;
        // Nothing to read when something else ended the sleep.
        let _ = rustix::io::read(&self.own.doorbell, &mut [0; 8]);
    }

    fn modes(&self) -> Modes {
        Modes { mode: Mode::Memory, need_wakeup: false, busy_poll: false }
    }

    fn status(&mut self) -> PortStatus {
        self.own.status()
    }

    fn statistics(&self) -> PortStatistics {
        self.own.rings().losses
    }
}

impl Drop for MemoryPort {
    /// Takes the frames of the receive side home, so that the pool can free its memory; to the other end, the device
    /// is gone.
    fn drop(&mut self) {
        self.far.faults.gone.store(true, Ordering::Relaxed);
        let mut rings = self.own.rings();
        let Rings { fill, received, .. } = &mut *rings;
        for frame in fill.drain(..).chain(received.drain(..)) {
            self.pool.recycle(frame);
        }
    }
}

/// What a test can do to one end of a [`MemoryPort`] pair. Every fault starts off and stays until it is taken back.
#[derive(Clone, Debug)]
pub struct MemoryFaults {
    end: Arc<End>,
}

impl MemoryFaults {
    /// The tx ring is full: the port takes nothing to send.
    pub fn refuse_transmit(&self, on: bool) {
        self.end.faults.refuse_transmit.store(on, Ordering::Relaxed);
    }

    /// The fill ring takes nothing: what it holds is used up, then packets are lost.
    pub fn refuse_refill(&self, on: bool) {
        self.end.faults.refuse_refill.store(on, Ordering::Relaxed);
    }

    /// Sent frames do not complete, as when a peer sits on the packets.
    pub fn hold_completions(&self, on: bool) {
        self.end.faults.hold_completions.store(on, Ordering::Relaxed);
    }

    /// The link is down: nothing is taken to send and the status is [`PortStatus::Down`].
    pub fn link_down(&self, on: bool) {
        self.end.faults.link_down.store(on, Ordering::Relaxed);
    }

    /// The device is gone for good: nothing is taken to send and the status is [`PortStatus::Gone`].
    pub fn remove_device(&self) {
        self.end.faults.gone.store(true, Ordering::Relaxed);
    }
}

/// The far end of a [`MemoryPort`], driven packet by packet.
#[derive(Debug)]
pub struct MemoryWire {
    end: MemoryPort,
    taken: VecDeque<Frame>,
}

/// The way into a [`MemoryPort`], for a thread that sends while another takes what the port sent.
#[derive(Clone, Debug)]
pub struct MemoryFeed {
    far: Arc<End>,
}

impl MemoryFeed {
    /// As [`MemoryWire::push`].
    pub fn push(&self, bytes: &[u8]) -> bool {
        self.far.receive(bytes)
    }
}

impl MemoryWire {
    /// Sends one packet to the port; `false` when it was lost there, which the port's statistics count by cause.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        self.end.far.receive(bytes)
    }

    /// Another way into the port, which outlives this.
    pub fn feed(&self) -> MemoryFeed {
        MemoryFeed { far: Arc::clone(&self.end.far) }
    }

    /// The next packet that the port sent.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        let mut packet = None;
        self.take_with(1, |bytes| packet = Some(bytes.to_vec()));
        packet
    }

    /// Shows up to `max` packets that the port sent to `each`, in order; returns how many. Allocates nothing.
    pub fn take_with(&mut self, max: usize, mut each: impl FnMut(&[u8])) -> usize {
        let count = self.end.rx_burst(&mut self.taken, max);
        for frame in self.taken.drain(..) {
            each(frame.as_slice());
            self.end.recycle(frame);
        }
        self.end.refill();
        count
    }

    /// Sleeps until the port has sent something or `timeout` has passed.
    pub fn wait(&mut self, timeout: Option<Duration>) {
        self.end.wait(None, timeout);
    }

    /// Packets that the port sent and the wire lost, since it holds only so many until they are taken.
    pub fn statistics(&self) -> PortStatistics {
        self.end.statistics()
    }
}
