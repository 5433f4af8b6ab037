//! `BPF_LINK_CREATE` and `BPF_LINK_UPDATE` for XDP.
//!
//! aya's own attachment falls back to netlink when this call is refused, and a netlink attachment outlives its process
//! and black-holes the interface. Once made, it cannot be told apart before it is too late. So the one call that
//! attaches is made here and has no fallback.
//!
//! Invariant defended: the kernel reads exactly the struct that we wrote, and a non-negative result of a creation is a
//! descriptor that nobody else owns.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `BPF_LINK_CREATE` of `enum bpf_cmd` (linux/bpf.h).
const BPF_LINK_CREATE: libc::c_int = 28;
/// `BPF_LINK_UPDATE` of `enum bpf_cmd` (linux/bpf.h).
const BPF_LINK_UPDATE: libc::c_int = 29;
/// `BPF_XDP` of `enum bpf_attach_type` (linux/bpf.h).
const BPF_XDP: u32 = 37;

/// The leading fields of `link_create` in `union bpf_attr`; the kernel takes the rest for zero.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches `program` to the interface with index `ifindex`; `flags` is one of the `XDP_FLAGS_*_MODE`. The attachment
/// lives as long as the descriptor.
pub(crate) fn create_xdp_link(program: BorrowedFd<'_>, ifindex: u32, flags: u32) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        target_ifindex: ifindex,
        attach_type: BPF_XDP,
        flags,
    };
    // SAFETY: the pointer and the size describe one live, initialised struct, which the kernel only reads.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_LINK_CREATE, &raw const attributes, size_of::<LinkCreate>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the call succeeded, so this is a new descriptor, ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The leading fields of `link_update` in `union bpf_attr`.
#[repr(C)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
}

/// Puts `program` in the place of the one that `link` attaches: each frame meets the one or the other.
pub(crate) fn update_xdp_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = LinkUpdate {
        link_fd: link.as_raw_fd().cast_unsigned(),
        new_prog_fd: program.as_raw_fd().cast_unsigned(),
        flags: 0,
    };
    // SAFETY: the pointer and the size describe one live, initialised struct, which the kernel only reads.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_LINK_UPDATE, &raw const attributes, size_of::<LinkUpdate>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
