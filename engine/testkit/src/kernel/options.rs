//! Socket options, queues and TCP_INFO.
//!
//! Unsafe code here defends one invariant: each call gets a pointer to a live value and that value's size, or, for the ioctls,
//! to a live `int`.

use crate::script::{Ip, Setting, Setup};
use crate::target::Queue;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

/// Sets an option by setsockopt(2).
pub(super) fn set(socket: &OwnedFd, setup: &Setup, setting: Setting) -> rustix::io::Result<()> {
    let tcp = |name, value| set_int(socket, libc::IPPROTO_TCP, name, value);
    let ip = |v4, v6, value: u8| match setup.ip {
        Ip::V4 => set_int(socket, libc::IPPROTO_IP, v4, value.into()),
        Ip::V6 => set_int(socket, libc::IPPROTO_IPV6, v6, value.into()),
    };
    match setting {
        Setting::NoDelay(on) => tcp(libc::TCP_NODELAY, on.into()),
        Setting::Cork(on) => tcp(libc::TCP_CORK, on.into()),
        Setting::QuickAck(on) => tcp(libc::TCP_QUICKACK, on.into()),
        Setting::Keepalive(on) => set_int(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, on.into()),
        Setting::UserTimeout(time) => tcp(libc::TCP_USER_TIMEOUT, millis(time)),
        Setting::Linger2(time) => tcp(libc::TCP_LINGER2, time.as_secs() as i32),
        Setting::Congestion(algorithm) => {
            set_bytes(socket, libc::IPPROTO_TCP, libc::TCP_CONGESTION, algorithm.name().as_bytes())
        }
        Setting::MaxSegment(size) => tcp(libc::TCP_MAXSEG, size.into()),
        Setting::WindowClamp(bytes) => tcp(libc::TCP_WINDOW_CLAMP, bytes as i32),
        Setting::ReceiveBuffer(bytes) => set_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes as i32),
        Setting::SendBuffer(bytes) => set_int(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes as i32),
        Setting::NotSentLowat(bytes) => tcp(libc::TCP_NOTSENT_LOWAT, bytes as i32),
        Setting::TypeOfService(tos) => ip(libc::IP_TOS, libc::IPV6_TCLASS, tos),
        Setting::HopLimit(hops) => ip(libc::IP_TTL, libc::IPV6_UNICAST_HOPS, hops),
    }
}

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

fn set_int(socket: &OwnedFd, level: i32, name: i32, value: i32) -> rustix::io::Result<()> {
    set_bytes(socket, level, name, &value.to_ne_bytes())
}

fn set_bytes(socket: &OwnedFd, level: i32, name: i32, value: &[u8]) -> rustix::io::Result<()> {
    let length = value.len() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `value`, which outlives the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) })
}

/// SIOCINQ or SIOCOUTQ.
pub(super) fn queued(socket: &OwnedFd, queue: Queue) -> rustix::io::Result<u64> {
    let request = if queue == Queue::In { libc::FIONREAD } else { libc::TIOCOUTQ };
    let mut bytes: libc::c_int = 0;
    // SAFETY: both requests write one int, to `bytes`, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut bytes) })?;
    Ok(bytes as u64)
}

/// Where in `struct tcp_info` (`include/uapi/linux/tcp.h`) a field lies, and its size.
const FIELDS: [(&str, usize, usize); 30] = [
    ("state", 0, 1),
    ("ca_state", 1, 1),
    ("retransmits", 2, 1),
    ("probes", 3, 1),
    ("backoff", 4, 1),
    ("options", 5, 1),
    ("rto", 8, 4),
    ("snd_mss", 16, 4),
    ("rcv_mss", 20, 4),
    ("unacked", 24, 4),
    ("sacked", 28, 4),
    ("lost", 32, 4),
    ("retrans", 36, 4),
    ("pmtu", 60, 4),
    ("rcv_ssthresh", 64, 4),
    ("rtt", 68, 4),
    ("rttvar", 72, 4),
    ("snd_ssthresh", 76, 4),
    ("snd_cwnd", 80, 4),
    ("advmss", 84, 4),
    ("reordering", 88, 4),
    ("total_retrans", 100, 4),
    ("bytes_acked", 120, 8),
    ("bytes_received", 128, 8),
    ("notsent_bytes", 144, 4),
    ("delivered", 192, 4),
    ("delivered_ce", 196, 4),
    ("dsack_dups", 216, 4),
    ("reord_seen", 220, 4),
    ("snd_wnd", 228, 4),
];

/// A field of TCP_INFO.
pub(super) fn info(socket: &OwnedFd, name: &str) -> rustix::io::Result<Option<u64>> {
    let mut info = [0u8; 256];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info` and then how many to `length`; both outlive the call.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    let field = FIELDS.into_iter().find(|(field, ..)| *field == name);
    Ok(field.map(|(_, at, size)| {
        let mut value = [0; 8];
        value[..size].copy_from_slice(&info[at..at + size]);
        u64::from_le_bytes(value)
    }))
}

fn check(outcome: libc::c_int) -> rustix::io::Result<()> {
    if outcome < 0 { Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)) } else { Ok(()) }
}
