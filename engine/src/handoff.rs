//! What shards and workers say to each other.

use crate::SocketError;
use crate::accept_queue::{AcceptQueue, Shared};
use crate::config::ListenConfig;
use crate::connections::ConnId;
pub(crate) use crate::ends::{End, Ends, Side, mesh};
use crate::received::Chunk;
use crate::socket::{ConnectConfig, Delivery, ListenerId, SocketId};
use crate::splice::{SpliceReport, SpliceRequest};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use synward_proto::Endpoint;
use synward_proto::connection::{Failure, Info, SocketOption};

/// What a worker wants.
#[derive(Debug)]
pub(crate) enum Request {
    /// Listen.
    Listen { listener: ListenerId, config: ListenConfig, queue: Arc<AcceptQueue>, shared: Arc<Shared> },
    /// Listen no more.
    Unlisten(ListenerId),
    /// Open a connection for a socket: answered by [`Event::Opening`] or [`Event::Refused`].
    Connect { socket: SocketId, config: ConnectConfig },
    /// Pass the bytes of each connection on to the other until both are over: answered by [`Event::Spliced`].
    Splice(SpliceRequest),
    /// Something about a connection. One that has ended meanwhile ignores it.
    On(ConnId, Action),
}

/// What a worker does with a connection.
#[derive(Debug)]
pub(crate) enum Action {
    /// It was accepted, and this is its socket.
    Attach { socket: SocketId, delivery: Delivery },
    /// Deliver what was held back, and what comes.
    Deliver,
    /// Send these bytes; they are within its credit.
    Send(Vec<u8>),
    /// These bytes were read, and this many frames came free.
    Consumed { bytes: u32, frames: u32 },
    /// Nothing more will be sent.
    Shutdown,
    /// The socket is closed.
    Close,
    /// The socket is closed with a reset.
    Abort,
    /// An option is to have this value.
    Set(SocketOption),
    /// Tell all about it: answered by [`Event::Described`].
    Describe,
}

/// What a shard has to say about a connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection is being opened, under this name and from this end.
    Opening { conn: ConnId, local: Endpoint },
    /// No connection could be opened, and this is the last that is heard of it.
    Refused(SocketError),
    /// The peer answered our SYN: so many bytes may be sent.
    Connected { send_space: u32 },
    /// The next bytes of the stream.
    Received(Chunk),
    /// So many bytes left the send buffer.
    Sent(u32),
    /// The peer sends no more.
    EndOfStream,
    /// The connection failed.
    Failed(Failure),
    /// There is no connection any more, and this is the last that is heard of it.
    Over,
    /// How the connection stands.
    Described(Box<Info>),
    /// Two connections that were spliced are over, and this is the last that is heard of either.
    Spliced(SpliceReport),
}

/// A shard's end of the rings to one worker.
pub(crate) type ShardEnd = End<(SocketId, Event), Request>;
/// A worker's end of the rings to one shard.
pub(crate) type WorkerEnd = End<Request, (SocketId, Event)>;

/// The ends of a shard, by worker.
pub(crate) type ShardEnds = Ends<(SocketId, Event), Request>;
/// The ends of a worker, by shard.
pub(crate) type WorkerEnds = Ends<Request, (SocketId, Event)>;

impl<Said, Heard> AsFd for Ends<Said, Heard> {
    /// Readable while this side's bell rings.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.side().bell.eventfd().as_fd()
    }
}

#[cfg(test)]
pub(crate) mod tests;
