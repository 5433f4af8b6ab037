//! An array map as memory of ours: what user space writes while the program reads, without a system call.
//!
//! Invariant defended: the mapping covers `len` values of `T`, is aligned for it, and lives as long as `Mapped` does; and it is
//! only ever seen through `T`, which is made of atomics (see [`Shared`]), for the program reads at any time.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

/// What may be shared with the program: any bytes are a value, and every part of it is an atomic.
///
/// # Safety
/// The type is `repr(C)` and holds nothing but atomic integers and arrays of such, its size is a multiple of eight, and it is
/// the value type of the map.
pub(crate) unsafe trait Shared: Sync {}

// SAFETY: an atomic integer of eight bytes.
unsafe impl Shared for AtomicU64 {}
// SAFETY: nothing but such, without padding.
unsafe impl<const LEN: usize> Shared for [AtomicU64; LEN] {}

const _: () = assert!(align_of::<AtomicU64>() <= 4096 && size_of::<AtomicU32>() == 4 && size_of::<AtomicU16>() == 2);

/// The values of an array map that was made with `BPF_F_MMAPABLE`.
#[derive(Debug)]
pub(crate) struct Mapped<T: Shared> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and `T` may be used by many at once.
unsafe impl<T: Shared> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Shared> Sync for Mapped<T> {}

impl<T: Shared> Mapped<T> {
    /// Maps all `len` values of the map, whose value is as large as `T`. The kernel keeps the map as long as the mapping.
    ///
    /// # Errors
    /// The kernel's reason to refuse.
    pub(crate) fn new(map: impl AsFd, len: usize) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8), "the kernel rounds the size of values up to eight") };
        let bytes = len * size_of::<T>();
        // SAFETY: a new mapping somewhere; nothing of ours is replaced.
        let start = unsafe {
            let (protection, map) = (libc::PROT_READ | libc::PROT_WRITE, map.as_fd().as_raw_fd());
            libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, map, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// Zeros that no program reads.
    #[cfg(test)]
    pub(crate) fn unshared(len: usize) -> Self {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping somewhere; nothing of ours is replaced.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len * size_of::<T>(), protection, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Self { start: NonNull::new(start.cast()).unwrap(), len }
    }

    /// The values.
    pub(crate) fn values(&self) -> &[T] {
        // SAFETY: `len` values were mapped, page-aligned; `Shared` says that any bytes are one, and that others may write them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Shared> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: this very mapping, which nobody else unmaps; `values` lends no longer than `self` lives.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len * size_of::<T>()) };
    }
}
