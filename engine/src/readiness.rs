//! Which sockets can do something, in the manner of epoll.

use crate::{ListenerId, SocketId};

/// What became ready.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// A listener: readable when a connection waits for accept.
    Listener(ListenerId),
    /// A connection.
    Socket(SocketId),
}

/// What the application wants to hear of. `error` is always told, as EPOLLERR is; `hangup`, other than EPOLLHUP, only while anything
/// is wanted at all: what has ended can still have bytes to read for which there is no room yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Interest {
    /// Tell when `recv` would return something: bytes, end of file, or an error.
    pub readable: bool,
    /// Tell when `send` would take something or fail, and when a connect is done.
    pub writable: bool,
}

impl Interest {
    /// Reading only: where every socket starts.
    pub const READ: Self = Self { readable: true, writable: false };
    /// Writing only.
    pub const WRITE: Self = Self { readable: false, writable: true };
    /// Both.
    pub const BOTH: Self = Self { readable: true, writable: true };
    /// Neither; `error` is told all the same.
    pub const NONE: Self = Self { readable: false, writable: false };
}

/// What a socket can do now. Level-triggered, as epoll is by default: told once per [`SocketCore::poll`] for as long as
/// it holds and is of interest.
///
/// [`SocketCore::poll`]: crate::SocketCore::poll
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Ready {
    /// `recv` returns bytes, end of file (0) or an error; `accept` returns a connection (EPOLLIN).
    pub readable: bool,
    /// `send` takes bytes or fails at once (EPOLLOUT).
    pub writable: bool,
    /// Both directions are over (EPOLLHUP).
    pub hangup: bool,
    /// The connection failed and nobody has been told why yet (EPOLLERR): the next call or `take_error` tells.
    pub error: bool,
}

impl Ready {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
