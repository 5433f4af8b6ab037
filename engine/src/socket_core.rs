//! The worker's side: sockets that never block.

use crate::accept_queue::AcceptQueue;
use crate::config::{EngineConfig, ListenConfig};
use crate::handoff::{Action, Request, WorkerEnd};
use crate::listeners::MAX_LISTENERS;
use crate::orphans::Parting;
use crate::socket::{Accepted, ConnectConfig, ListenerId, Phase, Shutdown, Socket, SocketId};
use crate::{Interest, Ready, SocketError, Source};
use slab::Slab;
use std::collections::VecDeque;
use std::sync::Arc;
use synward_proto::Endpoint;
use synward_proto::connection::Keepalive;

/// Bytes of one request to send: what is larger goes in several.
const SEND_CHUNK: usize = 64 * 1024;
/// Requests that found no room in the ring, above which listeners and socket options are refused. Closing is never refused, but a socket
/// is closed only once.
pub(crate) const MAX_BACKLOG: usize = 1024;
/// Events taken per call of `poll`.
const EVENTS_PER_POLL: usize = 4096;

/// All sockets of one worker. One thread uses it; no call blocks. Dropping it resets its connections and ends its
/// listeners.
#[derive(Debug)]
pub struct SocketCore {
    pub(crate) shard: WorkerEnd,
    pub(crate) sockets: Slab<Socket>,
    pub(crate) listeners: Slab<Listening>,
    pub(crate) next_generation: u32,
    /// Requests that found no room in the ring, in order.
    pub(crate) backlog: VecDeque<Request>,
    /// Sockets whose credit found no room in the ring.
    pub(crate) debtors: VecDeque<SocketId>,
    /// What may be ready. Everything that is ready is on it.
    pub(crate) maybe_ready: VecDeque<Source>,
    /// How many of those have not had their turn since the last `poll`.
    round: usize,
    /// The poll loop has ended.
    pub(crate) down: bool,
    pub(crate) limits: WorkerLimits,
}

/// What of the configuration concerns a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkerLimits {
    /// Sockets at once.
    pub(crate) sockets: usize,
    /// The largest backlog.
    pub(crate) somaxconn: u32,
    /// Bytes read and not told to the shard, at most.
    pub(crate) credit: u32,
    /// Frames read and not told to the shard, at most.
    pub(crate) frames: u32,
}

impl WorkerLimits {
    /// Those of an engine: credit is told by quarters of the window, and by halves of a reader's share of frames.
    pub(crate) fn of(config: &EngineConfig) -> Self {
        Self {
            sockets: config.max_connections as usize,
            somaxconn: config.somaxconn,
            credit: config.receive_buffer / 4,
            frames: config.frames_per_reader / 2,
        }
    }
}

/// A listener, as its worker sees it.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) generation: u32,
    local: Endpoint,
    pub(crate) queue: Arc<AcceptQueue>,
    pub(crate) listed: bool,
}

impl SocketCore {
    pub(crate) fn new(limits: WorkerLimits, shard: WorkerEnd) -> Self {
        Self {
            shard,
            sockets: Slab::new(),
            listeners: Slab::new(),
            next_generation: 0,
            backlog: VecDeque::new(),
            debtors: VecDeque::new(),
            maybe_ready: VecDeque::new(),
            round: 0,
            down: false,
            limits,
        }
    }

    /// Listens from the shard's next turn on.
    ///
    /// # Errors
    /// `AddressInUse`, `Invalid` (port zero), `NoBuffers`, `NetworkDown`.
    pub fn listen(&mut self, config: ListenConfig) -> Result<ListenerId, SocketError> {
        self.check_up()?;
        if config.local.port == 0 {
            return Err(SocketError::Invalid);
        }
        if self.listeners.iter().any(|(_, listening)| listening.local == config.local) {
            return Err(SocketError::AddressInUse);
        }
        if self.listeners.len() >= MAX_LISTENERS as usize || self.backlog.len() >= MAX_BACKLOG {
            return Err(SocketError::NoBuffers);
        }
        let generation = self.generation();
        let queue = Arc::new(AcceptQueue::new(config.backlog.min(self.limits.somaxconn)));
        let listening = Listening { generation, local: config.local, queue: Arc::clone(&queue), listed: false };
        let listener = ListenerId { index: self.listeners.insert(listening) as u32, generation };
        self.say(Request::Listen { listener, config, queue });
        Ok(listener)
    }

    /// Ends a listener: half-open connections are forgotten, those that wait for accept are reset, as when the kernel's
    /// listening socket is closed.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn unlisten(&mut self, listener: ListenerId) -> Result<(), SocketError> {
        self.listening(listener)?;
        self.listeners.remove(listener.index as usize);
        self.say(Request::Unlisten(listener));
        Ok(())
    }

    /// Takes the connection that has waited longest.
    ///
    /// # Errors
    /// `WouldBlock`, `BadSocket`, `NetworkDown`, `NoBuffers` (too many sockets are open; the connection goes on waiting).
    pub fn accept(&mut self, listener: ListenerId) -> Result<Accepted, SocketError> {
        self.check_up()?;
        let room = self.sockets.len() < self.limits.sockets;
        let queue = &self.listening(listener)?.queue;
        if queue.is_empty() {
            return Err(SocketError::WouldBlock);
        }
        if !room {
            return Err(SocketError::NoBuffers);
        }
        let waiting = queue.pop().ok_or(SocketError::WouldBlock)?;
        let socket = self.insert(Phase::Open(waiting.conn), waiting.send_space);
        self.say(Request::On(waiting.conn, Action::Attach(socket)));
        Ok(Accepted { socket, local: waiting.tuple.local, peer: waiting.tuple.remote })
    }

    /// Opens a connection. The socket is writable once it is established; until then `send` and `recv` give
    /// `WouldBlock`, and afterwards the reason if it failed (`AddressInUse` if the same two ends are connected already).
    ///
    /// # Errors
    /// `Invalid`, `NoBuffers`, `WouldBlock` (the ring to the shard is full), `NetworkDown`.
    pub fn connect(&mut self, config: ConnectConfig) -> Result<SocketId, SocketError> {
        self.check_up()?;
        let ConnectConfig { local, remote, link: _ } = config;
        if local.port == 0 || remote.port == 0 || local.addr.is_ipv6() != remote.addr.is_ipv6() || local == remote {
            return Err(SocketError::Invalid);
        }
        if self.sockets.len() >= self.limits.sockets {
            return Err(SocketError::NoBuffers);
        }
        if !self.can_say() {
            return Err(SocketError::WouldBlock);
        }
        let socket = self.insert(Phase::Opening, 0);
        self.say(Request::Connect { socket, config });
        Ok(socket)
    }

    /// Reads the next bytes of the stream; 0 is end of file.
    ///
    /// # Errors
    /// `WouldBlock`, `BadSocket`, and once, after the bytes that came before it, the reason of a failure.
    pub fn recv(&mut self, socket: SocketId, bytes: &mut [u8]) -> Result<usize, SocketError> {
        let state = self.socket_mut(socket)?;
        if !state.received.is_empty() {
            let taken = state.received.read(bytes);
            state.uncredited += taken;
            self.credit(socket);
            return Ok(taken.bytes as usize);
        }
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        let ended = state.end_of_stream || state.read_closed || state.phase == Phase::Over;
        if ended { Ok(0) } else { Err(SocketError::WouldBlock) }
    }

    /// Queues bytes to send, as many as there is room for.
    ///
    /// # Errors
    /// `WouldBlock`, `BrokenPipe`, `BadSocket`, and once the reason of a failure.
    pub fn send(&mut self, socket: SocketId, bytes: &[u8]) -> Result<usize, SocketError> {
        let can_say = self.can_say();
        let state = self.socket_mut(socket)?;
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        if state.write_closed || state.phase == Phase::Over {
            return Err(SocketError::BrokenPipe);
        }
        let Phase::Open(conn) = state.phase else { return Err(SocketError::WouldBlock) };
        if bytes.is_empty() {
            return Ok(0);
        }
        let count = bytes.len().min(state.send_space as usize).min(SEND_CHUNK);
        if count == 0 || !can_say {
            return Err(SocketError::WouldBlock);
        }
        state.send_space -= count as u32;
        self.say(Request::On(conn, Action::Send(bytes[..count].to_vec())));
        Ok(count)
    }

    /// Ends one direction or both; the socket stays.
    ///
    /// # Errors
    /// `BadSocket`, `NotConnected`.
    pub fn shutdown(&mut self, socket: SocketId, how: Shutdown) -> Result<(), SocketError> {
        let state = self.socket_mut(socket)?;
        let Phase::Open(conn) = state.phase else { return Err(SocketError::NotConnected) };
        let (read, write) = match how {
            Shutdown::Read => (true, false),
            Shutdown::Write => (false, true),
            Shutdown::Both => (true, true),
        };
        if read {
            state.read_closed = true;
            state.uncredited += state.received.discard();
        }
        let ends_writing = write && !state.write_closed;
        state.write_closed |= write;
        self.credit(socket);
        if ends_writing {
            self.say(Request::On(conn, Action::Shutdown));
        }
        self.list(Source::Socket(socket));
        Ok(())
    }

    /// Gives the socket back. Queued bytes are still sent, then FIN; unread bytes make it a reset (RFC 2525, section
    /// 2.17).
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn close(&mut self, socket: SocketId) -> Result<(), SocketError> {
        self.give_back(socket, Parting::Close)
    }

    /// Gives the socket back with a reset (SO_LINGER with time zero).
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn abort(&mut self, socket: SocketId) -> Result<(), SocketError> {
        self.give_back(socket, Parting::Reset)
    }

    /// Turns keepalive on or off (SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT).
    ///
    /// # Errors
    /// `BadSocket`, `NotConnected` (set it once the connection has a name), `NoBuffers`.
    pub fn set_keepalive(&mut self, socket: SocketId, keepalive: Option<Keepalive>) -> Result<(), SocketError> {
        self.set_option(socket, Action::Keepalive(keepalive))
    }

    /// Sends small segments at once (`true`), or lets them wait for acknowledgments (TCP_NODELAY).
    ///
    /// # Errors
    /// As [`set_keepalive`](Self::set_keepalive).
    pub fn set_nodelay(&mut self, socket: SocketId, nodelay: bool) -> Result<(), SocketError> {
        self.set_option(socket, Action::Nagle(!nodelay))
    }

    /// The reason of a failure, once (SO_ERROR).
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn take_error(&mut self, socket: SocketId) -> Result<Option<SocketError>, SocketError> {
        Ok(self.socket_mut(socket)?.failure.take())
    }

    /// Chooses what [`next_ready`](Self::next_ready) tells of a socket; [`Interest::READ`] at first.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn set_interest(&mut self, socket: SocketId, interest: Interest) -> Result<(), SocketError> {
        self.socket_mut(socket)?.interest = interest;
        self.list(Source::Socket(socket));
        Ok(())
    }

    /// Takes what the shard has to say and begins a round of [`next_ready`](Self::next_ready); returns how many events
    /// came, the end of the poll loop among them. Also passes on what a full ring held back, so call it regularly.
    pub fn poll(&mut self) -> usize {
        let mut events = 0;
        while events < EVENTS_PER_POLL
            && let Some((socket, event)) = self.shard.pop()
        {
            self.hear(socket, event);
            events += 1;
        }
        if events == 0 && !self.down && self.shard.is_far_gone() && self.shard.peek().is_none() {
            self.go_down();
            events = 1;
        }
        self.flush();
        self.list_listeners();
        self.prune();
        self.round = self.maybe_ready.len();
        self.shard.publish();
        events
    }

    /// The next source that is ready; each at most once per [`poll`](Self::poll).
    pub fn next_ready(&mut self) -> Option<(Source, Ready)> {
        let room = self.can_say();
        while let Some(left) = self.round.checked_sub(1) {
            self.round = left;
            let source = self.maybe_ready.pop_front()?;
            let ready = self.ready(source, room);
            // One that only waits for room in the ring stays: nothing else would bring it back.
            if self.ready(source, true).is_empty() {
                self.unlist(source);
            } else {
                self.maybe_ready.push_back(source);
            }
            if !ready.is_empty() {
                return Some((source, ready));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
