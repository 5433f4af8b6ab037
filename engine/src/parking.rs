//! Blocking calls: the socket core, and sleep in between.

use crate::{Accepted, ConnectConfig, ListenerId, SocketCore, SocketError, SocketId};
use std::time::{Duration, Instant};

/// A [`SocketCore`] whose calls wait. Deadlines are the operating system's monotonic time; `None` waits for ever.
pub struct BlockingSockets {
    core: SocketCore,
}

/// Ends a [`BlockingSockets::wait`] from another thread.
#[derive(Clone)]
pub struct Unparker {}

impl Unparker {
    /// Ends the wait that is going on, or the next one.
    pub fn unpark(&self) {
        todo!()
    }
}

impl BlockingSockets {
    /// Wraps a core.
    pub fn new(core: SocketCore) -> Self {
        Self { core }
    }

    /// The core, for calls that do not wait.
    pub fn core(&mut self) -> &mut SocketCore {
        &mut self.core
    }

    /// Something that ends a wait from another thread.
    pub fn unparker(&self) -> Unparker {
        todo!()
    }

    /// Sleeps until the shard has something to say, someone unparks, or `timeout` has passed (`None`: no limit), and
    /// calls [`SocketCore::poll`]. For loops over [`SocketCore::next_ready`]; returns at once while a source is ready.
    pub fn wait(&mut self, timeout: Option<Duration>) {
        let _ = timeout;
        todo!()
    }

    /// As [`SocketCore::accept`], but waits for a connection.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes; those of the core but `WouldBlock`.
    pub fn accept(&mut self, listener: ListenerId, deadline: Option<Instant>) -> Result<Accepted, SocketError> {
        let _ = (listener, deadline);
        todo!()
    }

    /// As [`SocketCore::connect`], but waits until the connection is established or has failed.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes (the attempt is aborted); those of the core but `WouldBlock`.
    pub fn connect(&mut self, config: ConnectConfig, deadline: Option<Instant>) -> Result<SocketId, SocketError> {
        let _ = (config, deadline);
        todo!()
    }

    /// As [`SocketCore::recv`], but waits for at least one byte or end of file.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes; those of the core but `WouldBlock`.
    pub fn recv(
        &mut self,
        socket: SocketId,
        bytes: &mut [u8],
        deadline: Option<Instant>,
    ) -> Result<usize, SocketError> {
        let _ = (socket, bytes, deadline);
        todo!()
    }

    /// Queues all of `bytes`, waiting for room as often as needed.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes (some bytes may have been queued); those of the core but `WouldBlock`.
    pub fn send_all(&mut self, socket: SocketId, bytes: &[u8], deadline: Option<Instant>) -> Result<(), SocketError> {
        let _ = (socket, bytes, deadline);
        todo!()
    }
}
