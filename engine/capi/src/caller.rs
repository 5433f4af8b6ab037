//! The caller's memory: where bytes of C programs are read and written, and nowhere else.
//!
//! The invariant: a pointer that came with a call is NULL, which is an error of its own wherever memory is needed, or it
//! points to as many bytes as the call says, which stay there and are touched by nobody else until the call returns. That is
//! what POSIX asks of callers of `read` and the like, and what the documentation of every call here asks again. Nothing is
//! kept past the call, and nothing is assumed about alignment.

use crate::errno::{Errno, Result};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr;

/// A value in the caller's memory, or NULL.
#[derive(Clone, Copy)]
pub(crate) struct Place<'call, T> {
    at: *mut T,
    call: PhantomData<&'call mut T>,
}

impl<T: Copy> Place<'_, T> {
    /// # Safety
    /// `at` is NULL, or points to a `T` to read and write until the call is over. One that is only read may be constant.
    pub(crate) unsafe fn new(at: *const T) -> Self {
        Self { at: at.cast_mut(), call: PhantomData }
    }

    /// Whether there is none.
    pub(crate) fn is_null(&self) -> bool {
        self.at.is_null()
    }

    /// The value.
    ///
    /// # Errors
    /// EFAULT.
    pub(crate) fn read(&self) -> Result<T> {
        if self.is_null() {
            return Err(Errno::FAULT);
        }
        // SAFETY: it points to a `T`, as whoever made this promised; alignment is not assumed.
        Ok(unsafe { ptr::read_unaligned(self.at) })
    }

    /// Puts a value there.
    ///
    /// # Errors
    /// EFAULT.
    pub(crate) fn write(&mut self, value: T) -> Result<()> {
        if self.is_null() {
            return Err(Errno::FAULT);
        }
        // SAFETY: as in `read`; and what is written to was given as writable.
        unsafe { ptr::write_unaligned(self.at, value) };
        Ok(())
    }
}

/// So many bytes in the caller's memory, or NULL.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'call> {
    at: *mut u8,
    len: usize,
    call: PhantomData<&'call mut [u8]>,
}

impl Bytes<'_> {
    /// # Safety
    /// `at` is NULL, or points to `len` bytes to read and write until the call is over. Those that are only read may be constant.
    pub(crate) unsafe fn new<T>(at: *const T, len: usize) -> Self {
        // No object is larger than half the address space, and a slice must not claim to be.
        Self { at: at.cast_mut().cast(), len: len.min(isize::MAX as usize), call: PhantomData }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no memory.
    pub(crate) fn is_null(&self) -> bool {
        self.at.is_null()
    }

    /// The bytes, to read.
    ///
    /// # Errors
    /// EFAULT.
    pub(crate) fn get(&self) -> Result<&[u8]> {
        match (self.len, self.is_null()) {
            (0, _) => Ok(&[]),
            (_, true) => Err(Errno::FAULT),
            // SAFETY: it points to so many bytes, as whoever made this promised, and they stay while it is borrowed.
            (len, false) => Ok(unsafe { std::slice::from_raw_parts(self.at, len) }),
        }
    }

    /// The bytes, to write.
    ///
    /// # Errors
    /// EFAULT.
    pub(crate) fn get_mut(&mut self) -> Result<&mut [u8]> {
        match (self.len, self.is_null()) {
            (0, _) => Ok(&mut []),
            (_, true) => Err(Errno::FAULT),
            // SAFETY: as in `get`; nobody else touches them during the call, and this is borrowed exclusively.
            (len, false) => Ok(unsafe { std::slice::from_raw_parts_mut(self.at, len) }),
        }
    }

    /// Copies as many of these as there is room for.
    ///
    /// # Errors
    /// EFAULT.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        let count = bytes.len().min(self.len);
        self.get_mut()?[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }
}

/// Where a call puts something of a size that the caller cannot know: memory, and a place that says how much of it there is and
/// is told how much was wanted. `accept` and `getsockopt` answer so.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'call> {
    at: *mut u8,
    len: Place<'call, libc::socklen_t>,
}

impl Answer<'_> {
    /// # Safety
    /// `len` is NULL or points to a length, and `at` is NULL or points to so many bytes, as in [`Bytes::new`].
    pub(crate) unsafe fn new<T>(at: *mut T, len: *mut libc::socklen_t) -> Self {
        // SAFETY: what the caller of this function promised.
        Self { at: at.cast(), len: unsafe { Place::new(len) } }
    }

    /// Whether nobody wants to know.
    pub(crate) fn is_null(&self) -> bool {
        self.at.is_null()
    }

    /// How much room there is.
    ///
    /// # Errors
    /// EFAULT; EINVAL when it is negative, taken as the `int` that Linux takes it for.
    pub(crate) fn room(&self) -> Result<usize> {
        usize::try_from(self.len.read()?.cast_signed()).map_err(|_| Errno::INVALID)
    }

    /// Puts there as many of the bytes as there is room for, and says that they were `told`.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub(crate) fn put(&mut self, bytes: &[u8], told: usize) -> Result<()> {
        let room = self.room()?;
        // SAFETY: there are so many bytes, as whoever made this promised, or it is NULL.
        unsafe { Bytes::new(self.at, room) }.put(bytes)?;
        self.len.write(told as libc::socklen_t)
    }

    /// Says that there is nothing.
    ///
    /// # Errors
    /// EFAULT.
    pub(crate) fn put_nothing(&mut self) -> Result<()> {
        self.len.write(0)
    }
}

/// The most pieces that one call takes (`UIO_MAXIOV`).
const MOST_PIECES: usize = 1024;

/// The pieces of memory that an array of `struct iovec` names, in its order.
///
/// # Errors
/// EINVAL when there are too many or their sizes overflow; EFAULT.
///
/// # Safety
/// `vector` is NULL or points to `count` of them, and each of them to as many bytes as it says, as in [`Bytes::new`].
pub(crate) unsafe fn pieces<'call>(vector: *const libc::iovec, count: usize) -> Result<Vec<Bytes<'call>>> {
    if count > MOST_PIECES {
        return Err(Errno::INVALID);
    }
    let mut total = 0_usize;
    let mut pieces = Vec::with_capacity(count);
    for number in 0..count {
        // SAFETY: within the array, if there is one.
        let place = unsafe { Place::new(if vector.is_null() { vector } else { vector.add(number) }) };
        let libc::iovec { iov_base, iov_len } = place.read()?;
        total = total.checked_add(iov_len).filter(|&total| total <= isize::MAX as usize).ok_or(Errno::INVALID)?;
        // SAFETY: what the caller of this function promised.
        pieces.push(unsafe { Bytes::new(iov_base, iov_len) });
    }
    Ok(pieces)
}

/// The text at `at`, if there is any.
///
/// # Errors
/// EINVAL when it is no UTF-8.
///
/// # Safety
/// `at` is NULL or points to a string that ends with a zero.
pub(crate) unsafe fn text<'call>(at: *const c_char) -> Result<Option<&'call str>> {
    if at.is_null() {
        return Ok(None);
    }
    // SAFETY: what the caller of this function promised.
    let text = unsafe { CStr::from_ptr(at) };
    text.to_str().map(Some).map_err(|_| Errno::INVALID)
}

/// Sets `errno` of the calling thread.
pub(crate) fn set_errno(Errno(value): Errno) {
    // SAFETY: the C library keeps one for every thread, and gives its place.
    unsafe { *libc::__errno_location() = value };
}

/// Raises SIGPIPE in the calling thread, as the kernel does when somebody writes where nobody can read.
pub(crate) fn raise_sigpipe() {
    // SAFETY: `raise` has no preconditions. What a handler does is the caller's affair; no lock is held here.
    unsafe { libc::raise(libc::SIGPIPE) };
}

thread_local! {
    /// Why the thread's last `sw_open` failed.
    static COMPLAINT: RefCell<CString> = RefCell::default();
}

/// Keeps a text for [`complaint`].
pub(crate) fn complain(text: &str) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    COMPLAINT.with(|complaint| *complaint.borrow_mut() = text);
}

/// The text kept last in this thread; its memory stays until the next is kept.
pub(crate) fn complaint() -> *const c_char {
    COMPLAINT.with(|complaint| complaint.borrow().as_ptr())
}

/// Runs a call and tells C what came of it: a number that is not negative, or -1 and `errno`. No panic gets past this: one
/// becomes EIO, and so does every later call on an engine whose state it may have left half changed.
pub(crate) fn answer<T: From<i8>>(call: impl FnOnce() -> Result<T>) -> T {
    // Whoever comes later finds the lock of what was half changed poisoned.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_or(Err(Errno::IO)) {
        Ok(value) => value,
        Err(errno) => {
            set_errno(errno);
            T::from(-1)
        }
    }
}

/// As [`answer`], for calls that have nothing to say but that they succeeded.
pub(crate) fn done(call: impl FnOnce() -> Result<()>) -> c_int {
    answer(|| call().map(|()| 0))
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Place, answer, done, pieces};
    use crate::errno::{Errno, Result};
    use std::ffi::c_int;

    fn errno() -> c_int {
        std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }

    #[test]
    fn failures_and_panics_become_errno() {
        assert_eq!(answer(|| Ok(7)), 7);
        assert_eq!((answer::<c_int>(|| Err(Errno::PIPE)), errno()), (-1, libc::EPIPE));
        assert_eq!((done(|| -> Result<()> { panic!("on purpose") }), errno()), (-1, libc::EIO));
    }

    #[test]
    fn null_is_a_fault_only_where_memory_is_needed() {
        // SAFETY: NULL is allowed, and the other memory is there.
        unsafe {
            let mut none = Bytes::new(std::ptr::null::<u8>(), 4);
            assert_eq!(none.get().err(), Some(Errno::FAULT));
            assert_eq!(none.put(b"x"), Err(Errno::FAULT));
            assert!(Bytes::new(std::ptr::null::<u8>(), 0).get().is_ok());
            assert_eq!(Place::<u32>::new(std::ptr::null()).read(), Err(Errno::FAULT));
            assert_eq!(pieces(std::ptr::null(), 1).err(), Some(Errno::FAULT));
            assert!(pieces(std::ptr::null(), 0).is_ok_and(|pieces| pieces.is_empty()));
            assert_eq!(pieces(std::ptr::null(), 1025).err(), Some(Errno::INVALID));
        }
    }

    #[test]
    fn pieces_that_claim_too_much_are_refused() {
        let vector = [isize::MAX as usize, 1].map(|iov_len| libc::iovec { iov_base: std::ptr::null_mut(), iov_len });
        // SAFETY: the sizes are refused before anything is touched.
        assert_eq!(unsafe { pieces(vector.as_ptr(), 2) }.err(), Some(Errno::INVALID));
    }

    #[test]
    fn bytes_are_cut_to_the_room() {
        let mut memory = [0_u8; 4];
        // SAFETY: it is there.
        let mut bytes = unsafe { Bytes::new(memory.as_mut_ptr(), memory.len()) };
        assert_eq!(bytes.put(b"abcdef"), Ok(4));
        assert_eq!(bytes.get(), Ok(&b"abcd"[..]));
    }
}
