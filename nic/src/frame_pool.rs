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

    /// Whether no frame is free, but some may come back without having been received.
    pub(crate) fn is_starving(&self) -> bool {
        self.free() == 0 && (self.sending() > 0 || self.umem.lent() > 0)
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

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u16 = 512;
    const BUDGET: FrameBudget = FrameBudget {
        fill_ring: 4,
        rx_ring: 2,
        burst: 1,
        tx_ring: 2,
        completion_ring: 2,
        transmit_backlog: 1,
        readers: 3,
        reply_reserve: 1,
    };
    const TOTAL: u32 = 16;

    fn pool() -> FramePool {
        FramePool::new(Mapping::anonymous(TOTAL as usize * usize::from(SIZE)).unwrap(), SIZE, BUDGET)
    }

    /// Offset of the data of chunk `index` from the start of the memory.
    fn data_of(index: u32) -> usize {
        index as usize * usize::from(SIZE) + usize::from(HEADROOM)
    }

    #[test]
    fn a_received_frame_is_the_one_that_was_offered_and_only_once() {
        let mut pool = pool();
        let offered = pool.offer().unwrap().index();
        let frame = pool.received(data_of(offered) + 3, 100).unwrap();
        assert_eq!((frame.len(), frame.capacity()), (100, usize::from(SIZE - HEADROOM) - 3));
        assert!(pool.received(data_of(offered), 100).is_none(), "it is out now");
        pool.recycle(frame);
        assert!(pool.received(data_of(offered), 100).is_none(), "it is free now");
        assert!(pool.ledger(0).is_balanced());
    }

    #[test]
    fn what_the_kernel_cannot_mean_makes_no_frame() {
        let mut pool = pool();
        let offered = pool.offer().unwrap().index();
        let other = (offered + 1) % TOTAL;
        let room = usize::from(SIZE - HEADROOM);
        for (offset, len, why) in [
            (data_of(other), 60, "not offered"),
            (data_of(offered), room + 1, "past the end of its chunk"),
            (data_of(offered), usize::MAX, "longer than any frame"),
            (data_of(offered), 65_536 + 60, "longer than 16 bits hold"),
            (data_of(TOTAL), 60, "past the end of the memory"),
            (usize::MAX, 1, "no chunk at all"),
        ] {
            assert!(pool.received(offset, len).is_none(), "{why}");
            assert_eq!(pool.ledger(0).receiving, 1, "{why}");
        }
        assert!(pool.take_sent_at(data_of(offered)).is_none(), "completed, but never sent");
        assert!(pool.take_sent_at(usize::MAX).is_none());
        let frame = pool.received(data_of(offered), room).unwrap();
        let sent = pool.send(frame).unwrap();
        assert!(pool.received(data_of(offered), 60).is_none(), "received, but the transmit side has it");
        assert_eq!(pool.take_sent_at(data_of(sent.index())), Some(()));
        assert!(pool.take_sent_at(data_of(sent.index())).is_none(), "completed twice");
        assert!(pool.ledger(0).is_balanced());
    }

    #[test]
    fn the_receive_side_stays_within_its_lines_whatever_its_ring_would_take() {
        let mut pool = pool();
        assert_eq!(pool.refill_allowance(0), 6, "the fill and the rx ring");
        let offered: Vec<_> = std::iter::from_fn(|| pool.offer()).take(4).collect();
        assert_eq!((offered.len(), pool.refill_allowance(0), pool.refill_allowance(1)), (4, 2, 1));
        let held: Vec<_> = std::iter::from_fn(|| pool.alloc()).take(10).collect();
        assert_eq!((pool.free(), pool.refill_allowance(0)), (2, 1), "one of two is reserved");
        held.into_iter().for_each(|frame| pool.recycle(frame));
    }

    #[test]
    fn free_frames_are_given_out_newest_first() {
        let mut pool = pool();
        let frames = [pool.alloc().unwrap(), pool.alloc().unwrap()];
        let newest = frames[1].chunk();
        frames.into_iter().for_each(|frame| pool.recycle(frame));
        let again = pool.alloc().unwrap();
        assert_eq!(again.chunk(), newest);
        pool.recycle(again);
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "not of"))]
    fn a_frame_of_another_pool_stays_that_pools_loss() {
        let (mut ours, mut theirs) = (pool(), pool());
        ours.recycle(theirs.alloc().unwrap());
        assert_eq!((ours.ledger(0).missing(), theirs.ledger(0).missing()), (0, 1));
    }

    #[test]
    fn data_moves_to_where_it_is_sent_from() {
        let mut pool = pool();
        let mut frame = pool.alloc().unwrap();
        frame.set_len(200);
        frame.as_mut_slice().copy_from_slice(&std::array::from_fn::<u8, 200, _>(|n| n as u8));
        frame.trim_front(5);
        assert_eq!((frame.len(), frame.capacity()), (195, usize::from(SIZE - HEADROOM) - 5));
        assert!(frame.move_data(HEADROOM));
        assert_eq!(frame.as_slice(), std::array::from_fn::<u8, 195, _>(|n| n as u8 + 5));
        assert!(!frame.move_data(SIZE - 194), "does not fit there");
        assert!(frame.move_data(SIZE - 195));
        assert_eq!((frame.as_slice()[0], frame.as_slice()[194], frame.capacity()), (5, 199, 195));
        pool.recycle(frame);
    }

    #[test]
    #[should_panic(expected = "257 bytes in a buffer of 256")]
    fn data_cannot_be_longer_than_the_buffer() {
        let mut frame = pool().alloc().unwrap();
        frame.set_len(257);
    }

    #[test]
    #[should_panic(expected = "1 bytes off a frame of 0")]
    fn no_more_can_be_trimmed_than_there_is() {
        let mut frame = pool().alloc().unwrap();
        frame.trim_front(1);
    }
}
