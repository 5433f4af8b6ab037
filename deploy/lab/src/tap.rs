//! TAP devices, whose wire is a process: it reads the frames that the device sends, and writes those that it receives.
//!
//! Unsafe code here defends one invariant: the one ioctl gets a pointer to a live `ifreq`, the type that its request reads
//! and writes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::LabError;
use crate::namespace::Namespace;

/// Frames that each queue holds until the process reads them; more are lost. The kernel's own 1,000 are soon full where the
/// scheduler keeps the process waiting.
pub(crate) const QUEUE_LENGTH: u32 = 8192;

/// Makes a TAP device with so many queues, and gives the descriptor of each, in their order. The device is gone with the last of
/// them.
///
/// The descriptors block: the kernel runs a native XDP program only for a frame that is written to one that does
/// (`tun_can_build_skb`). Who must not wait reads with `RWF_NOWAIT`. Frames have no header before them (`IFF_NO_PI`, no
/// `IFF_VNET_HDR`), so the kernel finishes the checksum of all that it sends, and sends nothing larger than the MTU.
pub(crate) fn create(namespace: &Namespace, name: &str, queues: u16) -> Result<Vec<OwnedFd>, LabError> {
    namespace
        .run(|| (0..queues).map(|_| open_queue(name)).collect::<io::Result<_>>())?
        .map_err(|source| LabError::system(format!("create the TAP device {name} in {}", namespace.name()), source))
}

/// One queue more of the device called `name` in the namespace of this thread, which the first one makes.
fn open_queue(name: &str) -> io::Result<OwnedFd> {
    let queue = rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE) as i16,
        },
    };
    // The last byte stays zero; the kernel refuses names that are longer.
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives until the call is over.
    match unsafe { libc::ioctl(queue.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
        0 => Ok(queue),
        _ => Err(io::Error::last_os_error()),
    }
}
