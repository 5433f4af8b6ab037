//! The way home for frames that other threads read.

use crate::sync::atomic::{AtomicU32, Ordering};
use crossbeam::utils::CachePadded;
use std::ptr::NonNull;

/// What the frames of one pool share with it: a stack onto which any thread puts the chunks that come home, and the
/// count of frames that are away. Only the pool's owner takes chunks off, always the whole stack at once, so a
/// number that reappears at the top cannot deceive a pusher (no ABA). Every chunk has a link of its own, and so a
/// place: coming home cannot fail.
///
/// Frames may outlive the pool. The owner then [closes](Self::close) the stack, and frames count themselves out: whoever learns
/// that nobody is left frees what they shared.
#[derive(Debug)]
pub(crate) struct FrameReturn {
    /// Number of the chunk that came home last, [`NONE`], or [`GONE`].
    top: CachePadded<AtomicU32>,
    /// By chunk that has come home: the one that came before it, or [`NONE`].
    below: Box<[AtomicU32]>,
    /// Frames lent and not yet taken in by the owner.
    lent: CachePadded<AtomicU32>,
    /// Frames dropped without coming home. Once there is no pool, [`CLOSED`] is added, and nobody reads the number any more.
    leaked: AtomicU32,
    /// Frames that outlive the pool. Until it has said how many, those that have gone since make less than none of them.
    outliving: AtomicU32,
    layout: Layout,
}

/// The end of the stack; never a chunk's number, since those are below `Layout::total`.
const NONE: u32 = u32::MAX;
/// There is no stack any more; no chunk's number either.
const GONE: u32 = NONE - 1;
/// Beside the number of frames dropped: whoever is dropped now counts itself out. There are fewer frames than that.
const CLOSED: u32 = 1 << 31;

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
        assert!(layout.total < CLOSED, "a pool of {} frames", layout.total);
        Self {
            top: CachePadded::new(AtomicU32::new(NONE)),
            below: (0..layout.total).map(|_| AtomicU32::new(NONE)).collect(),
            lent: CachePadded::new(AtomicU32::new(0)),
            leaked: AtomicU32::new(0),
            outliving: AtomicU32::new(0),
            layout,
        }
    }

    pub(crate) fn note_lent(&self) {
        self.lent.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a dropped frame: the last that its holder does with the pool. Whether nobody is left, neither pool nor frame.
    #[must_use = "nobody else frees what they shared"]
    pub(crate) fn note_leaked(&self) -> bool {
        // Release: whoever counts it sees the holder's accesses to the frame end.
        self.leaked.fetch_add(1, Ordering::Release) & CLOSED != 0 && self.leave()
    }

    /// Puts a lent frame's chunk onto the stack: the last that its reader does with the pool. Whether nobody is left, neither
    /// pool nor frame.
    #[must_use = "nobody else frees what they shared"]
    pub(crate) fn send_home(&self, chunk: NonNull<u8>) -> bool {
        let place = self.layout.index_of(chunk.addr().get());
        let Some((index, below)) = place.and_then(|index| Some((index, self.below.get(index as usize)?))) else {
            // Cannot be, since the frame is of this pool; but if it were, it would be lost rather than shared.
            return self.note_leaked();
        };
        let mut top = self.top.load(Ordering::Relaxed);
        while top != GONE {
            below.store(top, Ordering::Relaxed);
            // Release: the owner sees the link, and the reader's accesses to the frame end before it is used again.
            match self.top.compare_exchange_weak(top, index, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return false,
                Err(now) => top = now,
            }
        }
        self.leave()
    }

    /// A frame that outlives the pool goes. Whether it was the last.
    fn leave(&self) -> bool {
        // Both: the last one sees the accesses of all others end.
        self.outliving.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Takes in everything that has come home, newest first. For the pool's owner alone.
    pub(crate) fn take_home(&self, each: impl FnMut(u32)) -> u32 {
        if self.top.load(Ordering::Relaxed) == NONE { 0 } else { self.take_off(NONE, each) }
    }

    /// The pool goes, of whose frames so many are out or on their way home: the last that its owner does with it. Whether nobody
    /// is left, neither pool nor frame.
    #[must_use = "nobody else frees what they shared"]
    pub(crate) fn close(&self, out: u32) -> bool {
        let home = self.take_off(GONE, |_| {});
        let left = out - home - self.leaked.fetch_or(CLOSED, Ordering::Acquire);
        // Both, as in `leave`: the owner's accesses end here.
        self.outliving.fetch_add(left, Ordering::AcqRel).wrapping_add(left) == 0
    }

    /// Takes the whole stack off and leaves `instead`.
    fn take_off(&self, instead: u32, mut each: impl FnMut(u32)) -> u32 {
        let mut next = self.top.swap(instead, Ordering::Acquire);
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
