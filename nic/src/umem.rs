//! The memory of a pool, cut into chunks, and who holds each chunk.
//!
//! Invariant: every chunk has one [`Holder`], written in `holders`, and a [`Frame`] over a chunk exists only while that
//! says [`Holder::Out`]. A chunk leaves `Out` only when its frame is given up ([`Umem::put`], [`Umem::send`]) or has come home through
//! the [`FrameReturn`], where its number takes the frame's place. What the kernel says about chunks is checked against the table, so that
//! not even a wrong answer makes two owners. A pool and its frames have a [`Home`]: whoever of them is the last frees it, so that
//! no frame ever dangles.

use crate::frame::Frame;
use crate::frame_return::{FrameReturn, Layout};
use rustix::mm::{Advice, MapFlags, MremapFlags, ProtFlags};
use std::io;
use std::ptr::{self, NonNull};

/// Who holds a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Holder {
    /// The pool.
    Free,
    /// The receive side: fill ring, device or rx ring.
    Receiving,
    /// The transmit side: tx ring, device or completion ring.
    Sending,
    /// A [`Frame`]: with the poll loop, lent to a reader, or lost.
    Out,
}

/// Memory that is ours to read, write and unmap.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is reached only through `base`, which is private to the pool and its frames, and nothing about it is bound
// to the thread that made it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Fresh zeroed memory of `len` bytes.
    ///
    /// # Errors
    /// As mmap.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no address is asked for, so no existing mapping is touched.
        let base = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, protection, MapFlags::PRIVATE)? };
        Self::of(base.cast(), len)
    }

    /// A second mapping, at an address of its own, of the pages of the shared mapping of `len` bytes at `original`:
    /// it stays valid when that one is unmapped (mremap with an old size of zero).
    ///
    /// # Errors
    /// As mremap.
    ///
    /// # Safety
    /// `original` is the start of a shared mapping of at least `len` bytes.
    pub(crate) unsafe fn alias(original: NonNull<u8>, len: usize) -> io::Result<Self> {
        // SAFETY: an old size of zero leaves the old mapping as it is; no address is asked for, so the new one
        // replaces nothing.
        let base = unsafe { rustix::mm::mremap(original.as_ptr().cast(), 0, len, MremapFlags::MAYMOVE)? };
        // SAFETY: the range was mapped just now, and populating it changes no byte of it. It only spares the packet path
        // the page faults, so where the kernel does not know how (before 5.14), they are taken there.
        let _ = unsafe { rustix::mm::madvise(base, len, Advice::LinuxPopulateWrite) };
        Self::of(base.cast(), len)
    }

    fn of(base: *mut u8, len: usize) -> io::Result<Self> {
        let base = NonNull::new(base).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { base, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by us and nothing refers to it any more: its home goes only
        // when neither pool nor frame is left. Failure would mean it was not mapped; there is nothing to do about that here.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// A chunk on its way into a ring: the receive or the transmit side holds it and no frame is over it, so the kernel may
/// read and write it. Made only by [`Umem`], once for each time that side gets the chunk.
#[derive(Debug)]
#[must_use]
pub(crate) struct Given {
    index: u32,
}

impl Given {
    /// The chunk's number.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }
}

/// What a pool shares with its frames, on whatever threads they are, and what lives as long as any of them.
#[derive(Debug)]
pub(crate) struct Home {
    /// The way back for frames, and the count of those that are out.
    pub(crate) way: FrameReturn,
    memory: Mapping,
}

impl Home {
    /// The last that a frame does, or a pool: says so by `way`, and frees the home when nobody is left.
    ///
    /// # Safety
    /// `home` is that of a frame or pool which has not gone yet, goes with this, and does nothing with it afterwards.
    pub(crate) unsafe fn leave(home: NonNull<Self>, by: impl FnOnce(&FrameReturn) -> bool) {
        // SAFETY: a home is freed below only, when all have left: not before this one has.
        if by(unsafe { &home.as_ref().way }) {
            // SAFETY: made by `Box::leak`; `by` says, once, that all have left, and that what they did lies before.
            drop(unsafe { Box::from_raw(home.as_ptr()) });
        }
    }
}

/// Chunks of memory and their holders.
#[derive(Debug)]
pub(crate) struct Umem {
    home: NonNull<Home>,
    holders: Box<[Holder]>,
    /// How many chunks each holder has, by `Holder as usize`.
    held: [u32; 4],
    layout: Layout,
    chunk_size: u16,
}

// SAFETY: of what `home` points to, `FrameReturn` is `Sync` and `Send`, and the mapping is never changed; everything else is owned
// and `Send`.
unsafe impl Send for Umem {}

impl Umem {
    /// Cuts `memory` into chunks of `chunk_size` bytes, all free.
    ///
    /// # Panics
    /// When the chunk size is no power of two.
    pub(crate) fn new(memory: Mapping, chunk_size: u16) -> Self {
        assert!(chunk_size.is_power_of_two(), "chunks of {chunk_size} bytes");
        let total = u32::try_from(memory.len / usize::from(chunk_size)).unwrap_or(u32::MAX);
        let layout = Layout { base: memory.base.addr().get(), total, shift: chunk_size.trailing_zeros() };
        let home = NonNull::from(Box::leak(Box::new(Home { way: FrameReturn::new(layout), memory })));
        let holders = vec![Holder::Free; total as usize].into_boxed_slice();
        let held = [total, 0, 0, 0];
        Self { home, holders, held, layout, chunk_size }
    }

    /// Chunks in all.
    pub(crate) fn total(&self) -> u32 {
        self.layout.total
    }

    /// Chunk and offset within it of the byte at `offset` from the start of the memory.
    pub(crate) fn place_of(&self, offset: usize) -> Option<(u32, u16)> {
        let index = u32::try_from(offset >> self.layout.shift).ok().filter(|&index| index < self.layout.total)?;
        // Below the chunk size, a power of two that fits in 16 bits.
        Some((index, (offset & ((1 << self.layout.shift) - 1)) as u16))
    }

    /// How many chunks `holder` has.
    pub(crate) fn held(&self, holder: Holder) -> u32 {
        self.held[holder as usize]
    }

    /// Makes a frame of chunk `index` with `len` bytes of data at `start`. `None`, and nothing changes, when
    /// `holder` does not have that chunk or the data would not lie within it.
    pub(crate) fn take(&mut self, index: u32, holder: Holder, start: u16, len: u16) -> Option<Frame> {
        if start > self.chunk_size || len > self.chunk_size - start || holder == Holder::Out {
            return None;
        }
        self.pass(index, holder, Holder::Out)?;
        // SAFETY: `pass` found the index below `total`, so the chunk lies within the mapping.
        let chunk = unsafe { self.home().memory.base.add((index as usize) << self.layout.shift) };
        // SAFETY: the chunk is mapped and initialised (the kernel zeroes fresh pages), and since `holder` was not
        // `Out`, no other frame is over it. `home`, and with it the mapping, stays while it is out.
        Some(unsafe { Frame::new(chunk, self.home, self.chunk_size, start, len) })
    }

    /// Takes the frame's chunk back; returns its number. A frame of another pool comes back as it was.
    pub(crate) fn put(&mut self, frame: Frame) -> Result<u32, Frame> {
        self.retire(frame, Holder::Free)
    }

    /// Gives the frame's chunk to the transmit side. A frame of another pool comes back as it was.
    pub(crate) fn send(&mut self, frame: Frame) -> Result<Given, Frame> {
        self.retire(frame, Holder::Sending).map(|index| Given { index })
    }

    /// Gives the free chunk `index` to the receive side; `None` when it is not free.
    pub(crate) fn offer(&mut self, index: u32) -> Option<Given> {
        self.pass(index, Holder::Free, Holder::Receiving)?;
        Some(Given { index })
    }

    /// Takes chunk `index` back from the transmit side; `None` when that does not have it.
    pub(crate) fn take_sent(&mut self, index: u32) -> Option<()> {
        self.pass(index, Holder::Sending, Holder::Free)
    }

    /// Takes in the chunks of lent frames that have come home, adding their numbers to `free`; returns how many.
    pub(crate) fn take_home(&mut self, free: &mut Vec<u32>) -> u32 {
        let before = free.len();
        let taken = self.home().way.take_home(|index| free.push(index));
        for &index in free.get(before..).unwrap_or_default() {
            let passed = self.pass(index, Holder::Out, Holder::Free);
            debug_assert!(passed.is_some(), "chunk {index} came home, but was not out");
        }
        taken
    }

    /// Frames lent to readers and not yet taken home.
    pub(crate) fn lent(&self) -> u32 {
        self.home().way.lent()
    }

    /// Frames that were dropped instead of coming home.
    pub(crate) fn leaked(&self) -> u32 {
        self.home().way.leaked()
    }

    fn retire(&mut self, frame: Frame, to: Holder) -> Result<u32, Frame> {
        let Some(index) = self.layout.index_of(frame.chunk().addr().get()) else { return Err(frame) };
        match self.pass(index, Holder::Out, to) {
            Some(()) => {
                frame.retire();
                Ok(index)
            }
            None => Err(frame),
        }
    }

    fn pass(&mut self, index: u32, from: Holder, to: Holder) -> Option<()> {
        let holder = self.holders.get_mut(index as usize)?;
        if *holder != from {
            return None;
        }
        *holder = to;
        self.held[from as usize] -= 1;
        self.held[to as usize] += 1;
        Some(())
    }

    fn home(&self) -> &Home {
        // SAFETY: made in `new`, and freed only once this has left it, in `drop`.
        unsafe { self.home.as_ref() }
    }
}

impl Drop for Umem {
    /// Memory and way home go with it, or with the last frame that is still out.
    fn drop(&mut self) {
        let out = self.held(Holder::Out);
        // SAFETY: the pool goes; nothing uses `home` after this.
        unsafe { Home::leave(self.home, |way| way.close(out)) };
    }
}
