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
    /// What there is to tell. Nearly always nothing, and then it takes no room.
    news: Option<Box<News>>,
    /// There is no connection any more: its tuple is free, and only the telling is left.
    pub(crate) over: bool,
    /// Bytes and the end of the stream wait until somebody has decided who is to have them.
    pub(crate) held: bool,
}

/// What there is to tell.
#[derive(Debug, Default)]
pub(crate) struct News {
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
}

impl News {
    fn is_empty(&self) -> bool {
        let Self { connected, received, sent, end_of_stream, failure } = self;
        connected.is_none() && received.is_empty() && *sent == 0 && !end_of_stream && failure.is_none()
    }
}

impl Outbox {
    /// What there is to tell, to be added to.
    pub(crate) fn news(&mut self) -> &mut News {
        self.news.get_or_insert_default()
    }

    /// What there is to tell, if there is anything.
    pub(crate) fn peek(&self) -> Option<&News> {
        self.news.as_deref()
    }

    /// What there is to tell, if there is anything, to be taken from; [`tidy`](Self::tidy) afterwards.
    pub(crate) fn peek_mut(&mut self) -> Option<&mut News> {
        self.news.as_deref_mut()
    }

    /// Gives the room of news back that were all told.
    pub(crate) fn tidy(&mut self) {
        if self.news.as_ref().is_some_and(|news| news.is_empty()) {
            self.news = None;
        }
    }

    /// Passes on as much as there is room for: bytes before the end of the stream and before a failure.
    pub(crate) fn flush(&mut self, socket: SocketId, to: &mut ShardEnd) -> Flushed {
        while self.has_something_to_tell() {
            if !to.has_room() {
                return Flushed::Partly;
            }
            let Some(event) = self.next() else { break };
            let last = matches!(event, Event::Over);
            // There is room.
            let _ = to.push((socket, event));
            if last {
                return Flushed::Finally;
            }
        }
        self.tidy();
        Flushed::Wholly
    }

    fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.next_news() {
            return Some(event);
        }
        if self.keeps_back() {
            return None;
        }
        std::mem::take(&mut self.over).then_some(Event::Over)
    }

    fn next_news(&mut self) -> Option<Event> {
        let held = self.held;
        let news = self.peek_mut()?;
        if let Some(send_space) = news.connected.take() {
            return Some(Event::Connected { send_space });
        }
        if !held && let Some(chunk) = news.received.pop() {
            return Some(Event::Received(chunk));
        }
        if news.sent > 0 {
            return Some(Event::Sent(std::mem::take(&mut news.sent)));
        }
        if !held && std::mem::take(&mut news.end_of_stream) {
            return Some(Event::EndOfStream);
        }
        news.failure.take().map(Event::Failed)
    }

    /// Whether bytes or the end of the stream are held: the connection, though it be over, waits for whoever gets them.
    fn keeps_back(&self) -> bool {
        let kept = |news: &News| news.failure.is_none() && (!news.received.is_empty() || news.end_of_stream);
        self.held && self.peek().is_some_and(kept)
    }

    fn has_something_to_tell(&self) -> bool {
        let told = |news: &News| {
            let News { connected, received, sent, end_of_stream, failure } = news;
            let to_read = !self.held && (!received.is_empty() || *end_of_stream);
            connected.is_some() || to_read || *sent > 0 || failure.is_some()
        };
        self.peek().is_some_and(told) || (self.over && !self.keeps_back())
    }
}
