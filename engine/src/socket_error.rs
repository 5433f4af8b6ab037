//! Why calls on sockets fail, in the kernel's words.

use synward_proto::connection::Failure;

/// Why a call on a socket failed. Each has the errno that the kernel's call would give.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum SocketError {
    /// Nothing to do right now (EAGAIN).
    #[error("operation would block (EAGAIN)")]
    WouldBlock,
    /// A deadline of a blocking call passed, or the peer stopped answering (ETIMEDOUT).
    #[error("timed out (ETIMEDOUT)")]
    TimedOut,
    /// The peer reset the connection (ECONNRESET).
    #[error("connection reset by peer (ECONNRESET)")]
    ConnectionReset,
    /// The peer refused our SYN (ECONNREFUSED).
    #[error("connection refused (ECONNREFUSED)")]
    ConnectionRefused,
    /// The connection is not established yet (ENOTCONN).
    #[error("not connected (ENOTCONN)")]
    NotConnected,
    /// Sending is over: shut down here, or the connection has ended (EPIPE).
    #[error("broken pipe (EPIPE)")]
    BrokenPipe,
    /// No such socket or listener (EBADF).
    #[error("bad socket (EBADF)")]
    BadSocket,
    /// Another listener or connection has this address (EADDRINUSE).
    #[error("address in use (EADDRINUSE)")]
    AddressInUse,
    /// No source port is free, or the shard asked for does not own the one asked for (EADDRNOTAVAIL).
    #[error("address not available (EADDRNOTAVAIL)")]
    AddressNotAvailable,
    /// The two ends are of different address families, or a port is zero (EINVAL).
    #[error("invalid argument (EINVAL)")]
    Invalid,
    /// A limit of the engine is reached: connections, listeners or queued requests (ENOBUFS).
    #[error("no buffer space available (ENOBUFS)")]
    NoBuffers,
    /// The device is gone, or the poll loop has ended (ENETDOWN).
    #[error("network is down (ENETDOWN)")]
    NetworkDown,
}

impl SocketError {
    /// The errno of the kernel's socket calls.
    pub const fn errno(self) -> i32 {
        match self {
            Self::WouldBlock => libc::EAGAIN,
            Self::TimedOut => libc::ETIMEDOUT,
            Self::ConnectionReset => libc::ECONNRESET,
            Self::ConnectionRefused => libc::ECONNREFUSED,
            Self::NotConnected => libc::ENOTCONN,
            Self::BrokenPipe => libc::EPIPE,
            Self::BadSocket => libc::EBADF,
            Self::AddressInUse => libc::EADDRINUSE,
            Self::AddressNotAvailable => libc::EADDRNOTAVAIL,
            Self::Invalid => libc::EINVAL,
            Self::NoBuffers => libc::ENOBUFS,
            Self::NetworkDown => libc::ENETDOWN,
        }
    }
}

impl From<SocketError> for std::io::Error {
    fn from(error: SocketError) -> Self {
        Self::from_raw_os_error(error.errno())
    }
}

impl From<Failure> for SocketError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Reset => Self::ConnectionReset,
            Failure::Refused => Self::ConnectionRefused,
            Failure::TimedOut => Self::TimedOut,
        }
    }
}
