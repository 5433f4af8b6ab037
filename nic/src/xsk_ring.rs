//! The four rings of an AF_XDP socket, in terms of chunks.
//!
//! Invariant: what is put into the fill and tx rings is a [`Given`], a chunk that the pool has given to that side and
//! over which no frame exists; so the kernel and a frame never reach the same bytes. What comes out of the rx and
//! completion rings is only reported, as an offset into the memory: whoever turns it into a frame checks it against the
//! pool's table first. xsk-rs's descriptors, which can be copied, never leave this file. The chunks that the rings know
//! are those of the pool over [`XskRings::memory`], numbered alike.

use crate::PortStatistics;
use crate::umem::{Given, Mapping};
use libc::{SO_BUSY_POLL, SO_BUSY_POLL_BUDGET, SO_PREFER_BUSY_POLL};
use rustix::io::FdFlags;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use xsk_rs::config::{Interface, SocketConfig};
use xsk_rs::umem::frame::FrameDesc;
use xsk_rs::{CompQueue, FillQueue, RxQueue, Socket, TxQueue, Umem};

/// Descriptors moved between a ring and us in one go.
const BATCH: usize = 64;

/// What the kernel says it has received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Where the data starts, in bytes from the start of the memory.
    pub(crate) offset: usize,
    /// Bytes of data.
    pub(crate) len: usize,
    /// Whether the packet goes on in the next descriptor.
    pub(crate) continues: bool,
}

/// The rings. Dropping them unmaps the rings first and closes the socket after that.
#[derive(Debug)]
pub(crate) struct XskRings {
    tx: TxQueue,
    rx: RxQueue,
    fill: FillQueue,
    completion: CompQueue,
    umem: Umem,
    /// One descriptor for each chunk, as xsk-rs made it: data at the place where the kernel puts it.
    chunks: Box<[FrameDesc]>,
    batch: Box<[FrameDesc; BATCH]>,
}

impl XskRings {
    /// Creates and binds the socket over `umem`, whose descriptors are `chunks`.
    ///
    /// # Errors
    /// What the kernel said.
    pub(crate) fn bind(
        umem: &Umem,
        chunks: &[FrameDesc],
        config: SocketConfig,
        interface: &Interface,
        queue: u32,
    ) -> io::Result<Self> {
        // SAFETY: `umem` has this one socket; the flag that the contract asks for with shared memory is set anyway.
        let (tx, rx, fill_and_completion) =
            unsafe { Socket::new(config, umem, interface, queue) }.map_err(kernel_error)?;
        let (fill, completion) =
            fill_and_completion.ok_or_else(|| io::Error::other("the memory has a socket already"))?;
        let batch = Box::new([FrameDesc::default(); BATCH]);
        let rings = Self { tx, rx, fill, completion, umem: umem.clone(), chunks: chunks.into(), batch };
        // libxdp leaves it open across exec; a child with a copy would keep the queue after us.
        rustix::io::fcntl_setfd(rings.fd(), FdFlags::CLOEXEC)?;
        Ok(rings)
    }

    /// A mapping of our own of the memory of `umem`, of `len` bytes, whose first data is `headroom` bytes behind its
    /// start: frames live there and may outlive the socket.
    ///
    /// # Errors
    /// As mremap.
    pub(crate) fn memory(umem: &Umem, chunks: &[FrameDesc], len: usize, headroom: usize) -> io::Result<Mapping> {
        let first = chunks.first().ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: `first` is a descriptor of `umem`, and of its bytes, none of which is read, the kernel has nothing
        // yet.
        let data = unsafe { umem.data(first) }.contents().as_ptr();
        let base = data.cast_mut().wrapping_sub(headroom);
        let base = NonNull::new(base).ok_or(io::ErrorKind::InvalidData)?;
        // SAFETY: xsk-rs maps its memory shared and anonymous, from the first chunk's start, and has made it `len`
        // bytes long.
        unsafe { Mapping::alias(base, len) }
    }

    /// The socket, for as long as the rings live.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket is open until the last of the queues is dropped, and `self` has them.
        unsafe { BorrowedFd::borrow_raw(self.rx.fd().as_raw_fd()) }
    }

    /// Takes up to `max` received packets out of the rx ring, in order; returns how many.
    pub(crate) fn receive(&mut self, max: usize, mut each: impl FnMut(Received)) -> usize {
        let mut count = 0;
        while count < max {
            let batch = &mut self.batch[..BATCH.min(max - count)];
            // SAFETY: the descriptors are only written to.
            let got = unsafe { self.rx.consume(batch) };
            for desc in batch.iter().take(got) {
                let (offset, len) = (desc.addr(), desc.lengths().data());
                each(Received { offset, len, continues: desc.has_more_frames() });
            }
            count += got;
            if got < BATCH {
                break;
            }
        }
        count
    }

    /// Takes every completion; `each` gets the offset of a chunk's data from the start of the memory. Returns how
    /// many.
    pub(crate) fn completed(&mut self, mut each: impl FnMut(usize)) -> usize {
        let mut count = 0;
        loop {
            // SAFETY: the descriptors are only written to.
            let got = unsafe { self.completion.consume(&mut self.batch[..]) };
            self.batch.iter().take(got).for_each(|desc| each(desc.addr()));
            count += got;
            if got < BATCH {
                return count;
            }
        }
    }

    /// Places free in the fill ring, `wanted` or more if there are as many.
    pub(crate) fn fill_room(&mut self, wanted: u32) -> u32 {
        self.fill.nb_free(wanted)
    }

    /// Puts up to `count` chunks into the fill ring, which must have [room](Self::fill_room) for them; returns how
    /// many.
    pub(crate) fn fill(&mut self, count: usize, mut next: impl FnMut() -> Option<Given>) -> usize {
        let mut done = 0;
        while done < count {
            let mut filled = 0;
            for slot in self.batch.iter_mut().take(count - done) {
                let Some(desc) = next().and_then(|given| self.chunks.get(given.index() as usize)) else { break };
                *slot = *desc;
                filled += 1;
            }
            // SAFETY: each descriptor is of a chunk given to the receive side, by the invariant of `Given`.
            let put = unsafe { self.fill.produce(&self.batch[..filled]) };
            done += put;
            if put < BATCH {
                break;
            }
        }
        done
    }

    /// Places free in the tx ring, `wanted` or more if there are as many.
    pub(crate) fn tx_room(&mut self, wanted: u32) -> u32 {
        self.tx.nb_free(wanted)
    }

    /// Entries of the tx ring that the kernel has not taken yet, when the ring has `size`.
    pub(crate) fn unsent(&mut self, size: u32) -> u32 {
        size.saturating_sub(self.tx.nb_free_exact())
    }

    /// Puts one chunk with `len` bytes of data, which start where the kernel puts received ones, into the tx ring,
    /// which must have [room](Self::tx_room) for it; `false` when it has none.
    pub(crate) fn send(&mut self, given: &Given, len: usize) -> bool {
        let Some(mut desc) = self.chunks.get(given.index() as usize).copied() else { return false };
        // SAFETY: the descriptor is of a chunk of `umem`; its bytes are not touched, only its length is set, and the
        // chunk is the transmit side's, so nobody writes to it.
        unsafe { self.umem.data_mut(&mut desc) }.cursor().set_pos(len);
        // SAFETY: the chunk was given to the transmit side, by the invariant of `Given`.
        unsafe { self.tx.produce_one(&desc) == 1 }
    }

    /// The kernel's counts (XDP_STATISTICS); zeroes when it has none to tell.
    pub(crate) fn statistics(&self) -> PortStatistics {
        let counts = self.rx.fd().xdp_statistics().unwrap_or_default();
        PortStatistics {
            rx_dropped: counts.rx_dropped(),
            rx_invalid_descriptors: counts.rx_invalid_descs(),
            tx_invalid_descriptors: counts.tx_invalid_descs(),
            rx_ring_full: counts.rx_ring_full(),
            fill_ring_empty: counts.rx_fill_ring_empty_descs(),
            tx_ring_empty: counts.tx_ring_empty_descs(),
            rx_split: 0,
            bad_descriptors: 0,
        }
    }

    /// Whether the kernel asks for a kick to send.
    pub(crate) fn tx_needs_wakeup(&self) -> bool {
        self.tx.needs_wakeup()
    }

    /// Whether the kernel asks for a kick to use the fill ring.
    pub(crate) fn fill_needs_wakeup(&self) -> bool {
        self.fill.needs_wakeup()
    }

    /// Asks the kernel to poll the device from our system calls instead of its interrupts.
    ///
    /// # Errors
    /// As setsockopt: SO_PREFER_BUSY_POLL needs Linux 5.11 and CAP_NET_ADMIN.
    pub(crate) fn prefer_busy_poll(&self, microseconds: u32, budget: u16) -> io::Result<()> {
        let microseconds = i32::try_from(microseconds).unwrap_or(i32::MAX);
        set_option(self.fd(), SO_PREFER_BUSY_POLL, 1)?;
        set_option(self.fd(), SO_BUSY_POLL, microseconds)?;
        set_option(self.fd(), SO_BUSY_POLL_BUDGET, budget.into())
    }

    /// Whether SO_PREFER_BUSY_POLL is set, by the kernel's word.
    pub(crate) fn busy_poll_in_force(&self) -> bool {
        let (mut value, mut len) = (0_i32, size_of::<i32>() as libc::socklen_t);
        let (target, len) = ((&raw mut value).cast(), &raw mut len);
        // SAFETY: the kernel writes at most `len` bytes, the size of `value`, and the length written.
        let result =
            unsafe { libc::getsockopt(self.fd().as_raw_fd(), libc::SOL_SOCKET, SO_PREFER_BUSY_POLL, target, len) };
        result == 0 && value != 0
    }
}

fn set_option(fd: BorrowedFd<'_>, option: i32, value: i32) -> io::Result<()> {
    let (source, len) = ((&raw const value).cast(), size_of::<i32>() as libc::socklen_t);
    // SAFETY: the kernel reads `len` bytes at `source`, the size of `value`.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, source, len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The kernel's word in an error of xsk-rs, which keeps it as the source.
pub(crate) fn kernel_error(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match source.and_then(io::Error::raw_os_error) {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(error),
    }
}
