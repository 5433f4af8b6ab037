//! What a connection's worker has not been told yet.

use crate::handoff::{Event, ShardEnd};
use crate::received::Received;
use crate::socket::SocketId;
use synward_proto::connection::Failure;

/// What became of an attempt to pass news on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flushed {
    /// The ring is full and news are left.
    Partly,
    /// Nothing is left.
    Wholly,
    /// Nothing is left, and nothing will ever come: the connection can go.
    Finally,
}

/// News of one connection that wait for room in the ring, or for `accept`. Facts rather than a queue of events: it grows
/// only by received bytes, and those are bounded by the receive buffer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Our SYN was answered: so many bytes may be sent.
    pub(crate) connected: Option<u32>,
    /// Payload, in order.
    pub(crate) received: Received,
    /// Bytes that left the send buffer.
    pub(crate) sent: u32,
    /// The peer sends no more.
    pub(crate) end_of_stream: bool,
    /// Why the connection ended.
    pub(crate) failure: Option<Failure>,
    /// There is no connection any more: its tuple is free, and only the telling is left.
    pub(crate) over: bool,
    /// Bytes and the end of the stream wait until somebody has decided who is to have them.
    pub(crate) held: bool,
}

impl Outbox {
    /// Passes on as much as there is room for: bytes before the end of the stream and before a failure.
    pub(crate) fn flush(&mut self, socket: SocketId, to: &mut ShardEnd) -> Flushed {
        loop {
            if self.is_empty() {
                return Flushed::Wholly;
            }
            if !to.has_room() {
                return Flushed::Partly;
            }
            let Some(event) = self.next() else { return Flushed::Wholly };
            let last = matches!(event, Event::Over);
            // There is room.
            let _ = to.push((socket, event));
            if last {
                return Flushed::Finally;
            }
        }
    }

    fn next(&mut self) -> Option<Event> {
        if let Some(send_space) = self.connected.take() {
            return Some(Event::Connected { send_space });
        }
        if !self.held
            && let Some(chunk) = self.received.pop()
        {
            return Some(Event::Received(chunk));
        }
        if self.sent > 0 {
            return Some(Event::Sent(std::mem::take(&mut self.sent)));
        }
        if !self.held && std::mem::take(&mut self.end_of_stream) {
            return Some(Event::EndOfStream);
        }
        if let Some(failure) = self.failure.take() {
            return Some(Event::Failed(failure));
        }
        if self.keeps_back() {
            return None;
        }
        std::mem::take(&mut self.over).then_some(Event::Over)
    }

    /// Whether bytes or the end of the stream are held: the connection, though it be over, waits for whoever gets them.
    fn keeps_back(&self) -> bool {
        self.held && self.failure.is_none() && (!self.received.is_empty() || self.end_of_stream)
    }

    fn is_empty(&self) -> bool {
        let Self { connected, received, sent, end_of_stream, failure, over, held } = self;
        let nothing_to_read = *held || (received.is_empty() && !end_of_stream);
        let nothing_to_end = !over || self.keeps_back();
        connected.is_none() && nothing_to_read && *sent == 0 && failure.is_none() && nothing_to_end
    }
}
