//! What a call that fails says, and how C hears of it.

use std::ffi::c_int;
use synward_engine::SocketError;

/// A value of `errno`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) c_int);

/// What a call comes to.
pub(crate) type Result<T> = std::result::Result<T, Errno>;

impl Errno {
    /// Nothing to do right now.
    pub(crate) const AGAIN: Self = Self(libc::EAGAIN);
    /// No such descriptor.
    pub(crate) const BAD_DESCRIPTOR: Self = Self(libc::EBADF);
    /// A NULL pointer where there must be memory.
    pub(crate) const FAULT: Self = Self(libc::EFAULT);
    /// An argument that makes no sense.
    pub(crate) const INVALID: Self = Self(libc::EINVAL);
    /// Something broke here.
    pub(crate) const IO: Self = Self(libc::EIO);
    /// Nobody is at the other end.
    pub(crate) const NOT_CONNECTED: Self = Self(libc::ENOTCONN);
    /// The descriptor is no socket.
    pub(crate) const NOT_SOCKET: Self = Self(libc::ENOTSOCK);
    /// Sending is over.
    pub(crate) const PIPE: Self = Self(libc::EPIPE);
    /// There is no such thing here.
    pub(crate) const NOT_SUPPORTED: Self = Self(libc::EOPNOTSUPP);
    /// There is no such option here.
    pub(crate) const NO_OPTION: Self = Self(libc::ENOPROTOOPT);
    /// The address is somebody's already.
    pub(crate) const ADDRESS_IN_USE: Self = Self(libc::EADDRINUSE);
    /// The address is none of ours.
    pub(crate) const ADDRESS_NOT_AVAILABLE: Self = Self(libc::EADDRNOTAVAIL);
    /// The address is of another family.
    pub(crate) const WRONG_FAMILY: Self = Self(libc::EAFNOSUPPORT);
}

impl From<SocketError> for Errno {
    fn from(error: SocketError) -> Self {
        Self(error.errno())
    }
}
