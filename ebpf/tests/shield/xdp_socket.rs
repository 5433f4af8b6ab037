//! The least AF_XDP socket that a socket map takes: one with a receive ring, bound to nothing.
//!
//! Invariant defended: the descriptor handed out is open and ours alone; the option is read within its size.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub fn xdp_socket() -> OwnedFd {
    // SAFETY: takes no pointers.
    let descriptor = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    assert!(descriptor >= 0, "AF_XDP socket: {}", io::Error::last_os_error());
    // SAFETY: just opened, nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let descriptors = 64_u32;
    // SAFETY: the pointer and length describe `descriptors`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            libc::XDP_RX_RING,
            (&raw const descriptors).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "receive ring: {}", io::Error::last_os_error());
    socket
}
