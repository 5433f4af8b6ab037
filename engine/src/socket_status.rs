//! How a socket stands, for those who serve sockets to others: what a call would find, and what was heard since the last.

use crate::handoff::{Action, Event};
use crate::socket::Phase;
use crate::socket_core::SocketCore;
use crate::{ListenerId, SocketError, SocketId};
use synward_proto::connection::Info;

/// How far a connection has come, as its worker knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The shard has not answered the connect yet.
    Asked,
    /// Our SYN is not answered yet.
    Opening,
    /// Established, or closing in an orderly way.
    Open,
    /// There is no connection any more.
    Over,
}

/// What the calls on a socket would find now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// How far the connection has come.
    pub progress: Progress,
    /// Bytes that `recv` would give (SIOCINQ).
    pub unread: usize,
    /// After those bytes comes end of file: the peer has sent FIN.
    pub end_of_stream: bool,
    /// Receiving was shut down here.
    pub read_closed: bool,
    /// Sending was shut down here.
    pub write_closed: bool,
    /// Bytes that `send` would take, but for the ring to the shard.
    pub send_space: u32,
    /// The failure that the next call tells; see [`SocketCore::take_error`].
    pub failure: Option<SocketError>,
}

/// What became known of a socket.
#[derive(Debug)]
pub enum News {
    /// A connect was taken up: our end is known.
    Named,
    /// A connect has succeeded.
    Connected,
    /// Bytes came.
    Received,
    /// Bytes left the send buffer.
    Sent,
    /// The peer sends no more.
    EndOfStream,
    /// The connection failed.
    Failed,
    /// There is no connection any more.
    Over,
    /// The answer to [`SocketCore::describe`].
    Described(Box<Info>),
}

impl News {
    /// What an event tells.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Opening { .. } => Some(Self::Named),
            Event::Connected { .. } => Some(Self::Connected),
            Event::Received(_) => Some(Self::Received),
            Event::Sent(_) => Some(Self::Sent),
            Event::EndOfStream => Some(Self::EndOfStream),
            Event::Refused(_) | Event::Failed(_) => Some(Self::Failed),
            Event::Over | Event::Spliced(_) => Some(Self::Over),
            Event::Described(_) => None,
        }
    }
}

impl SocketCore {
    /// How a socket stands. A failure stays to be told.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn status(&mut self, socket: SocketId) -> Result<Status, SocketError> {
        let state = self.socket_mut(socket)?;
        Ok(Status {
            progress: match state.phase {
                Phase::Opening | Phase::Discarded(_) => Progress::Asked,
                Phase::Connecting(_) => Progress::Opening,
                Phase::Open(_) | Phase::Spliced(_) => Progress::Open,
                Phase::Over => Progress::Over,
            },
            unread: state.unread(),
            end_of_stream: state.end_of_stream,
            read_closed: state.read_closed,
            write_closed: state.write_closed,
            send_space: state.send_space,
            failure: state.failure,
        })
    }

    /// Copies the next bytes of the stream, from the `skip`th on, and leaves them to be read (MSG_PEEK); returns how many
    /// were copied, none when there are no more.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn peek(&mut self, socket: SocketId, skip: usize, bytes: &mut [u8]) -> Result<usize, SocketError> {
        Ok(self.socket_mut(socket)?.peek(skip, bytes))
    }

    /// How many connections have come to a listener so far, those that were accepted since among them.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn arrivals(&self, listener: ListenerId) -> Result<u64, SocketError> {
        Ok(self.listening(listener)?.taken + self.waiting(listener)? as u64)
    }

    /// How many connections wait for [`accept`](Self::accept).
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn waiting(&self, listener: ListenerId) -> Result<usize, SocketError> {
        Ok(self.listening(listener)?.queues.iter().map(|queue| queue.len()).sum())
    }

    /// Asks the shard to describe a connection (TCP_INFO). [`poll_with`](Self::poll_with) tells the answer as
    /// [`News::Described`]; of a connection that ends meanwhile it tells [`News::Over`] alone.
    ///
    /// # Errors
    /// `BadSocket`, `NotConnected`, `NoBuffers`.
    pub fn describe(&mut self, socket: SocketId) -> Result<(), SocketError> {
        self.ask(socket, Action::Describe)
    }
}
