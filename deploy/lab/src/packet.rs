//! Packet sockets: frames as they are on the wire, past the kernel's protocols.
//!
//! Unsafe code here defends one invariant: the kernel reads one live `sockaddr_ll` and one string that ends in a zero.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The longest frame that is received whole: one of TCP segmentation offload, of 64 KiB and its headers.
const LONGEST_FRAME: usize = 1 << 17;

/// A socket on one interface that sees every frame that passes it, in both directions, and sends frames as they are given.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket on an interface of the calling thread's namespace: call it inside [`crate::Host::enter`].
    ///
    /// # Errors
    /// No `CAP_NET_RAW`, or no such interface.
    pub fn open(interface: &str) -> io::Result<Self> {
        // Of no protocol, so that nothing is received before the socket is bound to its interface.
        let socket = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        bind(&socket, interface)?;
        Ok(Self { socket })
    }

    /// Sends one frame, from its Ethernet header on.
    ///
    /// # Errors
    /// The interface is down or gone, or the frame is longer than its MTU allows.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.socket, frame, SendFlags::empty())?;
        Ok(())
    }

    /// Waits for the next frame; `within` this time, if it is given.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when time is up; the interface is gone.
    pub fn receive(&self, within: Option<Duration>) -> io::Result<Vec<u8>> {
        set_socket_timeout(&self.socket, Timeout::Recv, within)?;
        let mut frame = vec![0; LONGEST_FRAME];
        let (length, _) = rustix::net::recv(&self.socket, frame.as_mut_slice(), RecvFlags::empty())?;
        frame.truncate(length);
        Ok(frame)
    }
}

/// Sends one frame on an interface of the calling thread's namespace.
///
/// # Errors
/// Those of [`PacketSocket::open`] and [`PacketSocket::send`].
pub fn send_frame(interface: &str, frame: &[u8]) -> io::Result<()> {
    PacketSocket::open(interface)?.send(frame)
}

/// Binds to every protocol on one interface.
fn bind(socket: &OwnedFd, interface: &str) -> io::Result<()> {
    let name = CString::new(interface)?;
    // SAFETY: the name ends in a zero and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zeros is a valid `sockaddr_ll`, which is made of integers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index.cast_signed();
    let length = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: the pointer and the length describe one live `sockaddr_ll`, which the kernel only reads.
    match unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
