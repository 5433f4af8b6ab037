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
    /// No source port is free at this address towards that peer, or the shard asked for does not own the one asked for
    /// (EADDRNOTAVAIL).
    #[error("cannot assign requested address: no free source port (EADDRNOTAVAIL)")]
    AddressNotAvailable,
    /// A router has no way to the peer's network (ENETUNREACH).
    #[error("network is unreachable (ENETUNREACH)")]
    NetworkUnreachable,
    /// A router has no way to the peer, or filters it (EHOSTUNREACH).
    #[error("no route to host (EHOSTUNREACH)")]
    HostUnreachable,
    /// A router knows no such host (EHOSTDOWN).
    #[error("host is down (EHOSTDOWN)")]
    HostDown,
    /// A router says that we are cut off from the network (ENONET).
    #[error("machine is not on the network (ENONET)")]
    NotOnNetwork,
    /// The peer's host does not know TCP (ENOPROTOOPT).
    #[error("protocol not available (ENOPROTOOPT)")]
    NoProtocol,
    /// A router says that a source route failed (EOPNOTSUPP).
    #[error("operation not supported (EOPNOTSUPP)")]
    NotSupported,
    /// A filter forbids the connection (EACCES).
    #[error("permission denied (EACCES)")]
    Prohibited,
    /// Somebody on the way did not understand our SYN (EPROTO).
    #[error("protocol error (EPROTO)")]
    Protocol,
    /// The two ends are of different address families, or at one address, which no frame on the wire can join; or a port is zero
    /// (EINVAL).
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
            Self::NetworkUnreachable => libc::ENETUNREACH,
            Self::HostUnreachable => libc::EHOSTUNREACH,
            Self::HostDown => libc::EHOSTDOWN,
            Self::NotOnNetwork => libc::ENONET,
            Self::NoProtocol => libc::ENOPROTOOPT,
            Self::NotSupported => libc::EOPNOTSUPP,
            Self::Prohibited => libc::EACCES,
            Self::Protocol => libc::EPROTO,
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
            Failure::BrokenPipe => Self::BrokenPipe,
            Failure::Refused => Self::ConnectionRefused,
            Failure::TimedOut => Self::TimedOut,
            Failure::NetworkUnreachable => Self::NetworkUnreachable,
            Failure::HostUnreachable => Self::HostUnreachable,
            Failure::HostUnknown => Self::HostDown,
            Failure::Isolated => Self::NotOnNetwork,
            Failure::NoProtocol => Self::NoProtocol,
            Failure::SourceRoute => Self::NotSupported,
            Failure::Prohibited => Self::Prohibited,
            Failure::NotUnderstood => Self::Protocol,
            Failure::NoRoom => Self::NoBuffers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SocketError;
    use synward_proto::connection::Failure;

    /// What `connect` says on Linux after each of them.
    #[test]
    fn failures_have_linuxs_errno() {
        for (failure, errno) in [
            (Failure::Reset, libc::ECONNRESET),
            (Failure::BrokenPipe, libc::EPIPE),
            (Failure::Refused, libc::ECONNREFUSED),
            (Failure::TimedOut, libc::ETIMEDOUT),
            (Failure::NetworkUnreachable, libc::ENETUNREACH),
            (Failure::HostUnreachable, libc::EHOSTUNREACH),
            (Failure::HostUnknown, libc::EHOSTDOWN),
            (Failure::Isolated, libc::ENONET),
            (Failure::NoProtocol, libc::ENOPROTOOPT),
            (Failure::SourceRoute, libc::EOPNOTSUPP),
            (Failure::Prohibited, libc::EACCES),
            (Failure::NotUnderstood, libc::EPROTO),
            (Failure::NoRoom, libc::ENOBUFS),
        ] {
            assert_eq!(SocketError::from(failure).errno(), errno, "{failure:?}");
        }
    }
}
