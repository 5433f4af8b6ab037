//! What tells the network namespace of a thread from all others of this boot: the number of its file is used again.
//!
//! Unsafe code here defends one invariant: the kernel writes only into a number on this thread's stack, as many bytes as it has.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::from_mut;

/// The cookie of the calling thread's network namespace (`SO_NETNS_COOKIE`, Linux 5.14): never given twice in one boot.
pub(super) fn cookie() -> io::Result<u64> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut cookie = 0_u64;
    let mut length = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: both pointers are to values of this frame, and `length` is the size of the first.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            from_mut(&mut cookie).cast(),
            from_mut(&mut length),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}
