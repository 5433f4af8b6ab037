//! The frames of one port: which are free, and what may be taken of them.

use crate::umem::{Given, Holder, Mapping, Umem};
use crate::{Frame, FrameBudget, Ledger};

/// Bytes in front of the data of a frame, where the kernel leaves them too: XDP_PACKET_HEADROOM of linux/bpf.h.
pub(crate) const HEADROOM: u16 = 256;

/// The frames of one port. Free ones are given out newest first, while their bytes are still in the cache.
#[derive(Debug)]
pub(crate) struct FramePool {
    umem: Umem,
    /// Numbers of the free chunks; never grows beyond the capacity it is made with.
    free: Vec<u32>,
    budget: FrameBudget,
}

impl FramePool {
    /// A pool over `memory`, cut into frames of `frame_size` bytes.
    pub(crate) fn new(memory: Mapping, frame_size: u16, budget: FrameBudget) -> Self {
        let umem = Umem::new(memory, frame_size);
        let free = (0..umem.total()).rev().collect();
        Self { umem, free, budget }
    }

    /// What the pool was made for.
    pub(crate) fn budget(&self) -> &FrameBudget {
        &self.budget
    }

    /// Free frames.
    pub(crate) fn free(&self) -> u32 {
        self.umem.held(Holder::Free)
    }

    /// Frames given to the transmit side.
    pub(crate) fn sending(&self) -> u32 {
        self.umem.held(Holder::Sending)
    }

    /// How many frames the receive side, which has `as_frames` besides those offered, may be given on top: what
    /// leaves the reserve alone and keeps the receive side within its lines of the budget.
    pub(crate) fn refill_allowance(&self, as_frames: u32) -> u32 {
        let receiving = self.umem.held(Holder::Receiving) + as_frames;
        let spare = self.free().saturating_sub(self.budget.reply_reserve);
        spare.min((self.budget.fill_ring + self.budget.rx_ring).saturating_sub(receiving))
    }

    /// A free frame, empty.
    pub(crate) fn alloc(&mut self) -> Option<Frame> {
        let index = self.free.pop()?;
        self.umem.take(index, Holder::Free, HEADROOM, 0)
    }

    /// A free frame for the receive side.
    pub(crate) fn offer(&mut self) -> Option<Given> {
        let index = self.free.pop()?;
        self.umem.offer(index)
    }

    /// The frame that the receive side says has `len` bytes of data at `offset` from the start of the memory. `None`
    /// when that cannot be: it does not have that frame, or the data would not lie within it.
    pub(crate) fn received(&mut self, offset: usize, len: usize) -> Option<Frame> {
        let (index, start) = self.umem.place_of(offset)?;
        self.umem.take(index, Holder::Receiving, start, u16::try_from(len).ok()?)
    }

    /// Takes a frame home. One of another pool is a mistake of the caller's: it is lost to that pool, whose ledger says
    /// so.
    pub(crate) fn recycle(&mut self, frame: Frame) {
        match self.umem.put(frame) {
            Ok(index) => self.free.push(index),
            Err(foreign) => report_foreign(&foreign),
        }
    }

    /// Takes in the lent frames that have come home; returns how many.
    pub(crate) fn take_home(&mut self) -> u32 {
        self.umem.take_home(&mut self.free)
    }

    /// Gives a frame to the transmit side. One of another pool is lost, as in [`recycle`](Self::recycle).
    pub(crate) fn send(&mut self, frame: Frame) -> Option<Given> {
        self.umem.send(frame).inspect_err(report_foreign).ok()
    }

    /// Takes a frame back from the transmit side; `None` when that does not have it.
    pub(crate) fn take_sent(&mut self, index: u32) -> Option<()> {
        self.umem.take_sent(index)?;
        self.free.push(index);
        Some(())
    }

    /// As [`take_sent`](Self::take_sent), for the frame that has the byte at `offset` from the start of the memory.
    pub(crate) fn take_sent_at(&mut self, offset: usize) -> Option<()> {
        let (index, _) = self.umem.place_of(offset)?;
        self.take_sent(index)
    }

    /// Where every frame is, when the receive side has `as_frames` of those that are out besides those offered.
    pub(crate) fn ledger(&self, as_frames: u32) -> Ledger {
        let lent = self.umem.lent();
        let elsewhere = lent + self.umem.leaked() + as_frames;
        Ledger {
            total: self.umem.total(),
            free: self.free(),
            receiving: self.umem.held(Holder::Receiving) + as_frames,
            sending: self.sending(),
            in_hand: self.umem.held(Holder::Out).saturating_sub(elsewhere),
            lent,
        }
    }
}

fn report_foreign(frame: &Frame) {
    debug_assert!(false, "{frame:?} given to a pool that it is not of");
    tracing::error!("a frame was given to a pool that it is not of");
}
