//! Frames that have exactly one owner.
//!
//! Invariant: a [`Frame`] is the only way to reach its chunk of pool memory. Only [`Umem`](crate::umem::Umem) makes
//! one, for a chunk that its table says nobody holds, and marks the chunk as held; the mark goes when the frame comes
//! home. A frame cannot be copied, so no two can reach the same bytes. `chunk..chunk + size` and `*home` stay mapped
//! for as long as any frame is out, also when the pool is gone.

use crate::frame_return::FrameReturn;
use crate::umem::Home;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

/// One packet's worth of pool memory, owned: the received bytes, or room for a packet to send.
///
/// A frame goes home through [`Port::recycle`](crate::Port::recycle) or [`Port::tx_burst`](crate::Port::tx_burst), or
/// from any thread as a [`LentFrame`]. One that is just dropped is lost to its pool, which shows in
/// [`Ledger::missing`](crate::Ledger::missing).
///
/// ```text
/// chunk        start                start + len            size
///   |  headroom  |  data (as_slice)     |   free            |
///                |  room to write (buffer_mut)              |
/// ```
///
/// Writing an answer over the data that asked for it starts at the first byte of that data and has everything up to
/// the end of the chunk as room.
pub struct Frame {
    chunk: NonNull<u8>,
    home: NonNull<Home>,
    size: u16,
    start: u16,
    len: u16,
}

const _: () = assert!(size_of::<Frame>() == 24, "three words: cheap to move through the queues of a poll loop");

// SAFETY: a frame is the only access to its chunk (see the invariant above), and what it shares with other threads,
// the `FrameReturn` of its home, is `Sync`; the home itself may be freed on any thread.
unsafe impl Send for Frame {}

impl Frame {
    /// A frame over `size` bytes at `chunk`, whose data starts at `start` and is `len` long.
    ///
    /// # Safety
    /// `chunk` points to `size` initialised bytes that nothing else accesses while the frame lives, `home` to the home of the
    /// pool they belong to, and both outlive the frame.
    ///
    /// # Panics
    /// When the data does not lie within the chunk.
    pub(crate) unsafe fn new(chunk: NonNull<u8>, home: NonNull<Home>, size: u16, start: u16, len: u16) -> Self {
        assert!(start <= size && len <= size - start, "data of {len} bytes at {start} in a chunk of {size}");
        Self { chunk, home, size, start, len }
    }

    /// The data.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `start + len <= size` by construction, the chunk is mapped and initialised, and `&self` keeps out
        // every writer, since the frame is the only access to the chunk.
        unsafe { std::slice::from_raw_parts(self.chunk.add(self.start.into()).as_ptr(), self.len.into()) }
    }

    /// The data, to change in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len.into();
        &mut self.buffer_mut()[..len]
    }

    /// All that may be written: the data and the room behind it. [`set_len`](Self::set_len) says how much of it is
    /// the packet afterwards.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        // SAFETY: `start <= size` by construction, the chunk is mapped and initialised, and `&mut self` keeps out
        // every other access, since the frame is the only one to the chunk.
        unsafe { std::slice::from_raw_parts_mut(self.chunk.add(self.start.into()).as_ptr(), self.capacity()) }
    }

    /// Bytes of data.
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// Whether there is no data.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Length of [`buffer_mut`](Self::buffer_mut), in bytes.
    pub fn capacity(&self) -> usize {
        usize::from(self.size - self.start)
    }

    /// Makes the first `len` bytes of the buffer the data.
    ///
    /// # Panics
    /// When `len` is more than [`capacity`](Self::capacity).
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "{len} bytes in a buffer of {}", self.capacity());
        // The capacity is below 2^16.
        self.len = len as u16;
    }

    /// Takes `count` bytes off the front of the data; they stop being room, too.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn trim_front(&mut self, count: usize) {
        assert!(count <= self.len(), "{count} bytes off a frame of {}", self.len);
        // No more than `len`, which is below 2^16.
        self.start += count as u16;
        self.len -= count as u16;
    }

    /// The frame in the form that another thread may hold: it goes home by itself when it is dropped.
    pub fn lend(self) -> LentFrame {
        // SAFETY: `home` is valid for as long as the frame lives, by the contract of `new`.
        unsafe { self.home.as_ref() }.way.note_lent();
        LentFrame { frame: ManuallyDrop::new(self) }
    }

    /// Where the chunk lies.
    pub(crate) fn chunk(&self) -> NonNull<u8> {
        self.chunk
    }

    /// Moves the data to `start` in the chunk, and nothing when it is there already; `false` when it does not fit.
    pub(crate) fn move_data(&mut self, start: u16) -> bool {
        if start == self.start {
            return true;
        }
        if start > self.size || self.len > self.size - start {
            return false;
        }
        // SAFETY: both ranges lie within the chunk (the source by construction, the destination by the check above),
        // to which `&mut self` is the only access. They may overlap, which `copy` allows.
        unsafe {
            let from = self.chunk.add(self.start.into());
            self.chunk.add(start.into()).copy_from(from, self.len.into());
        }
        self.start = start;
        true
    }

    /// Ends the frame without counting it as lost: its chunk has found another holder.
    pub(crate) fn retire(self) {
        std::mem::forget(self);
    }
}

impl Drop for Frame {
    /// Nobody took the frame home: counts it as lost.
    fn drop(&mut self) {
        // SAFETY: the frame goes.
        unsafe { Home::leave(self.home, FrameReturn::note_leaked) };
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("len", &self.len).field("capacity", &self.capacity()).finish()
    }
}

/// A frame in the hands of a reader, on any thread. Dropping it sends it home, to be taken in at the port's next
/// [`reclaim`](crate::Port::reclaim): a reader that panics loses nothing. Dereferences to the bytes not yet
/// [consumed](Self::consume).
pub struct LentFrame {
    frame: ManuallyDrop<Frame>,
}

impl LentFrame {
    /// Takes `count` bytes off the front.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn consume(&mut self, count: usize) {
        self.frame.trim_front(count);
    }
}

impl Deref for LentFrame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.frame.as_slice()
    }
}

impl Drop for LentFrame {
    fn drop(&mut self) {
        let chunk = self.frame.chunk;
        // SAFETY: the frame itself is never dropped, so that it goes here: the chunk's number on the stack stands for it now.
        unsafe { Home::leave(self.frame.home, |way| way.send_home(chunk)) };
    }
}

impl fmt::Debug for LentFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentFrame").field("len", &self.frame.len).finish()
    }
}
