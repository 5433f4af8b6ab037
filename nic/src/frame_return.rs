//! The way home for frames that other threads read.

use crate::sync::atomic::{AtomicU32, Ordering};
use crossbeam::utils::CachePadded;
use std::ptr::NonNull;

/// What the frames of one pool share with it: a stack onto which any thread puts the chunks that come home, and the
/// count of frames that are away. Only the pool's owner takes chunks off, always the whole stack at once, so a
/// number that reappears at the top cannot deceive a pusher (no ABA). Every chunk has a link of its own, and so a
/// place: coming home cannot fail.
#[derive(Debug)]
pub(crate) struct FrameReturn {
    /// Number of the chunk that came home last, or [`NONE`].
    top: CachePadded<AtomicU32>,
    /// By chunk that has come home: the one that came before it, or [`NONE`].
    below: Box<[AtomicU32]>,
    /// Frames lent and not yet taken in by the owner.
    lent: CachePadded<AtomicU32>,
    /// Frames dropped without coming home.
    leaked: AtomicU32,
    layout: Layout,
}

/// The end of the stack; never a chunk's number, since those are below `Layout::total`.
const NONE: u32 = u32::MAX;

/// How a pool's memory is cut into chunks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Address of the first chunk.
    pub(crate) base: usize,
    /// Chunks.
    pub(crate) total: u32,
    /// Binary logarithm of a chunk's size in bytes.
    pub(crate) shift: u32,
}

impl Layout {
    /// The number of the chunk that begins at `address`; `None` when no chunk of this pool does.
    pub(crate) fn index_of(self, address: usize) -> Option<u32> {
        let offset = address.checked_sub(self.base)?;
        let index = u32::try_from(offset >> self.shift).ok()?;
        (index < self.total && offset & ((1 << self.shift) - 1) == 0).then_some(index)
    }
}

impl FrameReturn {
    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            top: CachePadded::new(AtomicU32::new(NONE)),
            below: (0..layout.total).map(|_| AtomicU32::new(NONE)).collect(),
            lent: CachePadded::new(AtomicU32::new(0)),
            leaked: AtomicU32::new(0),
            layout,
        }
    }

    pub(crate) fn note_lent(&self) {
        self.lent.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a dropped frame: the last that its holder does with the pool.
    pub(crate) fn note_leaked(&self) {
        self.leaked.fetch_add(1, Ordering::Release);
    }

    /// Puts a lent frame's chunk onto the stack: the last that its reader does with the pool.
    pub(crate) fn send_home(&self, chunk: NonNull<u8>) {
        let place = self.layout.index_of(chunk.addr().get());
        let Some((index, below)) = place.and_then(|index| Some((index, self.below.get(index as usize)?))) else {
            // Cannot be, since the frame is of this pool; but if it were, it would be lost rather than shared.
            return self.note_leaked();
        };
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            below.store(top, Ordering::Relaxed);
            // Release: the owner sees the link, and the reader's accesses to the frame end before it is used again.
            match self.top.compare_exchange_weak(top, index, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Takes in everything that has come home, newest first. For the pool's owner alone.
    pub(crate) fn take_home(&self, mut each: impl FnMut(u32)) -> u32 {
        if self.top.load(Ordering::Relaxed) == NONE {
            return 0;
        }
        let mut next = self.top.swap(NONE, Ordering::Acquire);
        let mut taken = 0;
        while let Some(below) = self.below.get(next as usize) {
            let index = next;
            next = below.load(Ordering::Relaxed);
            each(index);
            taken += 1;
        }
        self.lent.fetch_sub(taken, Ordering::Relaxed);
        taken
    }

    pub(crate) fn lent(&self) -> u32 {
        self.lent.load(Ordering::Relaxed)
    }

    pub(crate) fn leaked(&self) -> u32 {
        self.leaked.load(Ordering::Acquire)
    }
}
