//! The frames of one port: which are free, and what may be taken of them.

use crate::umem::{Holder, Mapping, Umem};
use crate::{Frame, FrameBudget, Ledger};

/// The frames of one port. Free ones are given out newest first, while their bytes are still in the cache.
#[derive(Debug)]
pub(crate) struct FramePool {
    umem: Umem,
    /// Numbers of the free chunks; never grows beyond the capacity it is made with.
    free: Vec<u32>,
    budget: FrameBudget,
    /// Where data starts in a fresh frame, in bytes.
    headroom: u16,
}

impl FramePool {
    /// A pool over `memory`, cut into frames of `frame_size` bytes with `headroom` in front of the data.
    pub(crate) fn new(memory: Mapping, frame_size: u16, headroom: u16, budget: FrameBudget) -> Self {
        let umem = Umem::new(memory, frame_size);
        let free = (0..umem.total()).rev().collect();
        Self { umem, free, budget, headroom }
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

    /// How many frames the receive side, which has `receiving` now, may be given on top: what leaves the reserve
    /// alone and keeps the receive side within its lines of the budget.
    pub(crate) fn refill_allowance(&self, receiving: u32) -> u32 {
        let spare = self.free().saturating_sub(self.budget.reply_reserve);
        spare.min((self.budget.fill_ring + self.budget.rx_ring).saturating_sub(receiving))
    }

    /// A free frame, empty.
    pub(crate) fn alloc(&mut self) -> Option<Frame> {
        let index = self.free.pop()?;
        self.umem.take(index, Holder::Free, self.headroom, 0)
    }

    /// Takes a frame home.
    pub(crate) fn recycle(&mut self, frame: Frame) {
        let index = self.put(frame, Holder::Free);
        self.free.extend(index);
    }

    /// Takes in the lent frames that have come home; returns how many.
    pub(crate) fn take_home(&mut self) -> u32 {
        self.umem.take_home(&mut self.free)
    }

    /// Gives a frame to the transmit side; returns its number.
    pub(crate) fn give_to_send(&mut self, frame: Frame) -> Option<u32> {
        self.put(frame, Holder::Sending)
    }

    /// Gives up a frame. One of another pool is a mistake of the caller's: it is lost to that pool, whose ledger says
    /// so.
    fn put(&mut self, frame: Frame, holder: Holder) -> Option<u32> {
        match self.umem.put(frame, holder) {
            Ok(index) => Some(index),
            Err(foreign) => {
                debug_assert!(false, "{foreign:?} given to a pool that it is not of");
                tracing::error!("a frame was given to a pool that it is not of");
                None
            }
        }
    }

    /// Takes a frame back from the transmit side; `None` when that does not have it.
    pub(crate) fn take_sent(&mut self, index: u32) -> Option<()> {
        self.umem.hand_on(index, Holder::Sending, Holder::Free)?;
        self.free.push(index);
        Some(())
    }

    /// Where every frame is, when `lent_to_wire` of the frames that are out are on the receive side as frames.
    pub(crate) fn ledger(&self, lent_to_wire: u32) -> Ledger {
        let lent = self.umem.lent();
        let elsewhere = lent + self.umem.leaked() + lent_to_wire;
        Ledger {
            total: self.umem.total(),
            free: self.free(),
            receiving: self.umem.held(Holder::Receiving) + lent_to_wire,
            sending: self.sending(),
            in_hand: self.umem.held(Holder::Out).saturating_sub(elsewhere),
            lent,
        }
    }
}
