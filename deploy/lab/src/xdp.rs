//! The XDP program of far ends: two instructions that pass every packet to the kernel.
//!
//! It is attached by plain netlink (see [`crate::link::attach_xdp`]), not by `bpf_link`, on purpose. What would be a fault at
//! the front, where a program that outlives its process black-holes the interface, is right at a far end: the program does
//! nothing, it must outlive the process that built a persistent lab, and it dies with its device, so that there is no pin
//! and no keeper process to clean up after.
//!
//! Unsafe code here defends one invariant: the kernel reads the program and the attributes from memory that lives for the
//! whole call, and the descriptor that it returns has one owner.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::LabError;

/// `BPF_PROG_LOAD` of `enum bpf_cmd`.
const BPF_PROG_LOAD: libc::c_int = 5;
/// `BPF_PROG_TYPE_XDP` of `enum bpf_prog_type`.
const BPF_PROG_TYPE_XDP: u32 = 6;
/// `BPF_F_XDP_HAS_FRAGS`: packets may have fragments, so the MTU is not limited to a page.
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
/// `XDP_PASS` of `enum xdp_action`.
const XDP_PASS: i32 = 2;

/// `struct bpf_insn`.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// `r0 = XDP_PASS` (`BPF_ALU64 | BPF_MOV | BPF_K`), `exit` (`BPF_JMP | BPF_EXIT`).
static PASS: [Instruction; 2] = [
    Instruction { code: 0xb7, registers: 0, offset: 0, immediate: XDP_PASS },
    Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 },
];

/// The leading fields of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the rest for zero.
#[repr(C)]
struct ProgramLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// Loads the program. It exists as long as the descriptor, or a device it is attached to.
pub(crate) fn load_pass() -> Result<OwnedFd, LabError> {
    let attributes = ProgramLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: PASS.len() as u32,
        insns: PASS.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: BPF_F_XDP_HAS_FRAGS,
        prog_name: *b"synward_pass\0\0\0\0",
    };
    // SAFETY: the pointer and the size describe one live, initialised struct; the pointers in it are to statics, with
    // their true number of elements. The kernel only reads them.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<ProgramLoad>()) };
    let refused = |source: io::Error| LabError::system("load the XDP pass program", source);
    if result < 0 {
        return Err(refused(io::Error::last_os_error()));
    }
    let descriptor = i32::try_from(result).map_err(|source| refused(io::Error::other(source)))?;
    // SAFETY: the call succeeded, so this is a new descriptor, ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
