//! The worker's side: sockets that never block.

use crate::{Interest, ListenConfig, Ready, Source};
use synward_proto::connection::Keepalive;
use synward_proto::{Endpoint, Link};

/// A connection as its worker names it. Never reused for another connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SocketId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A listener as its worker names it. Never reused for another listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListenerId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A connection got from a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Its name from now on.
    pub socket: SocketId,
    /// The address the peer connected to.
    pub local: Endpoint,
    /// The peer.
    pub peer: Endpoint,
}

/// What an active open is told. Choosing the source port and finding the neighbour is the caller's part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectConfig {
    /// Our end, port included.
    pub local: Endpoint,
    /// The peer's end.
    pub remote: Endpoint,
    /// The way to the next hop.
    pub link: Link,
}

/// Which direction `shutdown` ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shutdown {
    /// Receiving: what comes later is thrown away (SHUT_RD).
    Read,
    /// Sending: FIN follows what was queued (SHUT_WR).
    Write,
    /// Both (SHUT_RDWR).
    Both,
}

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

/// All sockets of one worker. One thread uses it; no call blocks. Dropping it resets its connections and ends its
/// listeners.
pub struct SocketCore {}

impl SocketCore {
    /// Listens from the shard's next turn on.
    ///
    /// # Errors
    /// `AddressInUse`, `Invalid` (port zero), `NoBuffers`, `NetworkDown`.
    pub fn listen(&mut self, config: ListenConfig) -> Result<ListenerId, SocketError> {
        let _ = config;
        todo!()
    }

    /// Ends a listener: half-open connections are forgotten, those that wait for accept are reset, as when the kernel's
    /// listening socket is closed.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn unlisten(&mut self, listener: ListenerId) -> Result<(), SocketError> {
        let _ = listener;
        todo!()
    }

    /// Takes the connection that has waited longest.
    ///
    /// # Errors
    /// `WouldBlock`, `BadSocket`, `NetworkDown`.
    pub fn accept(&mut self, listener: ListenerId) -> Result<Accepted, SocketError> {
        let _ = listener;
        todo!()
    }

    /// Opens a connection. The socket is writable once it is established; until then `send` and `recv` give
    /// `WouldBlock`, and afterwards the reason if it failed.
    ///
    /// # Errors
    /// `Invalid`, `NoBuffers`, `WouldBlock` (the ring to the shard is full), `NetworkDown`.
    pub fn connect(&mut self, config: ConnectConfig) -> Result<SocketId, SocketError> {
        let _ = config;
        todo!()
    }

    /// Reads the next bytes of the stream; 0 is end of file.
    ///
    /// # Errors
    /// `WouldBlock`, `BadSocket`, and once, after the bytes that came before it, the reason of a failure.
    pub fn recv(&mut self, socket: SocketId, bytes: &mut [u8]) -> Result<usize, SocketError> {
        let _ = (socket, bytes);
        todo!()
    }

    /// Queues bytes to send, as many as there is room for.
    ///
    /// # Errors
    /// `WouldBlock`, `BrokenPipe`, `BadSocket`, and once the reason of a failure.
    pub fn send(&mut self, socket: SocketId, bytes: &[u8]) -> Result<usize, SocketError> {
        let _ = (socket, bytes);
        todo!()
    }

    /// Ends one direction or both; the socket stays.
    ///
    /// # Errors
    /// `BadSocket`, `NotConnected`.
    pub fn shutdown(&mut self, socket: SocketId, how: Shutdown) -> Result<(), SocketError> {
        let _ = (socket, how);
        todo!()
    }

    /// Gives the socket back. Queued bytes are still sent, then FIN; unread bytes make it a reset (RFC 2525, 2.17).
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn close(&mut self, socket: SocketId) -> Result<(), SocketError> {
        let _ = socket;
        todo!()
    }

    /// Gives the socket back with a reset (SO_LINGER with time zero).
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn abort(&mut self, socket: SocketId) -> Result<(), SocketError> {
        let _ = socket;
        todo!()
    }

    /// Turns keepalive on or off (SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT).
    ///
    /// # Errors
    /// `BadSocket`, `NoBuffers`.
    pub fn set_keepalive(&mut self, socket: SocketId, keepalive: Option<Keepalive>) -> Result<(), SocketError> {
        let _ = (socket, keepalive);
        todo!()
    }

    /// Sends small segments at once (`true`), or lets them wait for acknowledgments (TCP_NODELAY).
    ///
    /// # Errors
    /// `BadSocket`, `NoBuffers`.
    pub fn set_nodelay(&mut self, socket: SocketId, nodelay: bool) -> Result<(), SocketError> {
        let _ = (socket, nodelay);
        todo!()
    }

    /// The reason of a failure, once (SO_ERROR).
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn take_error(&mut self, socket: SocketId) -> Result<Option<SocketError>, SocketError> {
        let _ = socket;
        todo!()
    }

    /// Chooses what [`next_ready`](Self::next_ready) tells of a socket; [`Interest::READ`] at first.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn set_interest(&mut self, socket: SocketId, interest: Interest) -> Result<(), SocketError> {
        let _ = (socket, interest);
        todo!()
    }

    /// Takes what the shard has to say and begins a round of [`next_ready`](Self::next_ready); returns how many events
    /// came. Also passes on what a full ring held back, so call it regularly.
    pub fn poll(&mut self) -> usize {
        todo!()
    }

    /// The next source that is ready; each at most once per [`poll`](Self::poll).
    pub fn next_ready(&mut self) -> Option<(Source, Ready)> {
        todo!()
    }
}
