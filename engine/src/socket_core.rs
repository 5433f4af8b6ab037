//! The worker's side: sockets that never block.

use crate::accept_queue::{AcceptQueue, Waiting};
use crate::config::{EngineConfig, ListenConfig};
use crate::connections::ConnId;
use crate::handoff::{Action, Request, WorkerEnds};
use crate::orphans::Parting;
use crate::registry::Registry;
use crate::socket::{Accepted, ConnectConfig, Delivery, ListenerId, Phase, ShardId, Shutdown, Socket, SocketId};
use crate::splice::{SpliceReport, SpliceRequest};
use crate::steering::Steering;
use crate::{Interest, News, Ready, SocketError, Source};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use synward_proto::connection::SocketOption;
use synward_proto::{Endpoint, Tuple};

/// Bytes of one request to send: what is larger goes in several.
const SEND_CHUNK: usize = 64 * 1024;
/// Requests that found no room in the ring, above which listeners and socket options are refused. Closing is never refused, but a socket
/// is closed only once.
pub(crate) const MAX_BACKLOG: usize = 1024;
/// Events taken from a shard per call of `poll`.
const EVENTS_PER_POLL: usize = 4096;

/// All sockets of one worker. One thread uses it; no call blocks. Dropping it resets its connections and ends its
/// listeners.
#[derive(Debug)]
pub struct SocketCore {
    pub(crate) shards: WorkerEnds,
    /// What the worker keeps for each shard.
    pub(crate) states: Box<[ShardState]>,
    pub(crate) sockets: Slab<Socket>,
    /// By the index in their names.
    pub(crate) listeners: HashMap<u32, Listening>,
    pub(crate) registry: Arc<Registry>,
    /// The shards of each interface, and who of them owns a tuple.
    pub(crate) steering: Arc<[Arc<Steering>]>,
    pub(crate) next_generation: u32,
    /// The next of the shards that take connects in turn.
    next_shard: usize,
    /// What may be ready. Everything that is ready is on it.
    pub(crate) maybe_ready: VecDeque<Source>,
    /// How many of those have not had their turn since the last `poll`.
    round: usize,
    pub(crate) limits: WorkerLimits,
}

/// What a worker keeps for a shard.
#[derive(Debug, Default)]
pub(crate) struct ShardState {
    /// Requests that found no room in the ring, in order.
    pub(crate) backlog: VecDeque<Request>,
    /// Sockets whose credit found no room in the ring.
    pub(crate) debtors: VecDeque<SocketId>,
    /// The poll loop has ended.
    pub(crate) down: bool,
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
    /// Where its connections wait, by shard.
    pub(crate) queues: Box<[Arc<AcceptQueue>]>,
    /// The shard whose queue is asked first at the next accept.
    next: usize,
    /// Connections that were accepted.
    pub(crate) taken: u64,
    pub(crate) listed: bool,
    /// Connections are left to wait.
    pub(crate) paused: bool,
}

impl Listening {
    /// Whether no connection waits that is to be told of.
    pub(crate) fn is_quiet(&self) -> bool {
        self.paused || self.queues.iter().all(|queue| queue.is_empty())
    }

    /// Takes a connection, from the shards in turn; with it comes the shard's number.
    fn pop(&mut self) -> Option<(u16, Waiting)> {
        let count = self.queues.len();
        let mut order = (0..count).map(|step| (self.next + step) % count);
        let (shard, waiting) = order.find_map(|shard| Some((shard, self.queues[shard].pop()?)))?;
        self.next = shard + 1;
        self.taken += 1;
        Some((shard as u16, waiting))
    }
}

impl SocketCore {
    pub(crate) fn new(
        limits: WorkerLimits,
        shards: WorkerEnds,
        registry: Arc<Registry>,
        steering: Arc<[Arc<Steering>]>,
    ) -> Self {
        Self {
            states: (0..shards.len()).map(|_| ShardState::default()).collect(),
            shards,
            sockets: Slab::new(),
            listeners: HashMap::new(),
            registry,
            steering,
            next_generation: 0,
            next_shard: 0,
            maybe_ready: VecDeque::new(),
            round: 0,
            limits,
        }
    }

    /// Listens on every interface, from the next turn of each shard on.
    ///
    /// # Errors
    /// `AddressInUse`, `Invalid` (port zero, or an option has no such value), `NoBuffers`, `NetworkDown`.
    pub fn listen(&mut self, config: ListenConfig) -> Result<ListenerId, SocketError> {
        self.check_up()?;
        if config.local.port == 0 || !config.options.iter().all(SocketOption::is_valid) {
            return Err(SocketError::Invalid);
        }
        if self.states.iter().any(|state| state.backlog.len() >= MAX_BACKLOG) {
            return Err(SocketError::NoBuffers);
        }
        let (listener, shared) = self.registry.join(&config, self.limits.somaxconn)?;
        if self.listeners.contains_key(&listener.index) {
            self.registry.leave(listener);
            return Err(SocketError::AddressInUse);
        }
        let queues: Box<[_]> =
            (0..self.states.len()).map(|_| Arc::new(AcceptQueue::new(Arc::clone(&shared)))).collect();
        for (shard, queue) in (0..).zip(&queues) {
            let (config, queue, shared) = (config.clone(), Arc::clone(queue), Arc::clone(&shared));
            self.say(shard, Request::Listen { listener, config, queue, shared });
        }
        let listening =
            Listening { generation: listener.generation, queues, next: 0, taken: 0, listed: false, paused: false };
        self.listeners.insert(listener.index, listening);
        Ok(listener)
    }

    /// Ends a listener: half-open connections are forgotten, those that wait for accept are reset, as when the kernel's
    /// listening socket is closed.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn unlisten(&mut self, listener: ListenerId) -> Result<(), SocketError> {
        self.listening(listener)?;
        self.listeners.remove(&listener.index);
        self.registry.leave(listener);
        for shard in 0..self.states.len() as u16 {
            self.say(shard, Request::Unlisten(listener));
        }
        Ok(())
    }

    /// Leaves connections to wait (`true`), or takes them again: while a listener is paused, nothing tells that connections wait, and
    /// when its queue is full, clients wait as its limit says.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn pause(&mut self, listener: ListenerId, paused: bool) -> Result<(), SocketError> {
        self.listening_mut(listener)?.paused = paused;
        Ok(())
    }

    /// Takes the connection that has waited longest in the queue of some shard.
    ///
    /// # Errors
    /// `WouldBlock`, `BadSocket`, `NetworkDown`, `NoBuffers` (too many sockets are open; the connection goes on waiting).
    pub fn accept(&mut self, listener: ListenerId) -> Result<Accepted, SocketError> {
        self.accept_with(listener, Delivery::AtOnce)
    }

    /// As [`accept`](Self::accept), and says what becomes of received bytes meanwhile.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_with(&mut self, listener: ListenerId, delivery: Delivery) -> Result<Accepted, SocketError> {
        self.check_up()?;
        let room = self.sockets.len() < self.limits.sockets;
        let listening = self.listening_mut(listener)?;
        if !room && listening.queues.iter().any(|queue| !queue.is_empty()) {
            return Err(SocketError::NoBuffers);
        }
        let (shard, waiting) = listening.pop().ok_or(SocketError::WouldBlock)?;
        let socket = self.insert(shard, Phase::Open(waiting.conn), waiting.send_space);
        self.say(shard, Request::On(waiting.conn, Action::Attach { socket, delivery }));
        Ok(Accepted { socket, local: waiting.tuple.local, peer: waiting.tuple.remote })
    }

    /// Opens a connection. The socket is writable once it is established; until then `send` and `recv` give
    /// `WouldBlock`, and afterwards the reason if it failed: `AddressInUse` if the same two ends are connected already,
    /// `AddressNotAvailable` if no source port is free or the shard asked for does not own the port.
    ///
    /// # Errors
    /// `Invalid`, `NetworkUnreachable` (to broadcast or multicast), `NoBuffers`, `WouldBlock` (the ring to the shard is full),
    /// `NetworkDown`.
    pub fn connect(&mut self, config: ConnectConfig) -> Result<SocketId, SocketError> {
        let ConnectConfig { local, remote, .. } = config;
        // What is sent to one's own address never comes back by the wire.
        let fit = local.addr.is_ipv6() == remote.addr.is_ipv6() && local.addr != remote.addr;
        if remote.port == 0 || !fit || !config.options.iter().all(SocketOption::is_valid) {
            return Err(SocketError::Invalid);
        }
        if is_group(remote.addr) {
            return Err(SocketError::NetworkUnreachable);
        }
        let shard = self.shard_for(&config)?;
        if self.states.get(usize::from(shard)).ok_or(SocketError::Invalid)?.down {
            return Err(SocketError::NetworkDown);
        }
        if self.sockets.len() >= self.limits.sockets {
            return Err(SocketError::NoBuffers);
        }
        if !self.can_say(shard) {
            return Err(SocketError::WouldBlock);
        }
        let socket = self.insert(shard, Phase::Opening, 0);
        self.say(shard, Request::Connect { socket, config });
        Ok(socket)
    }

    fn shard_for(&mut self, config: &ConnectConfig) -> Result<u16, SocketError> {
        if let Some(ShardId(shard)) = config.shard {
            return Ok(shard);
        }
        let first = self.steering.first().ok_or(SocketError::NetworkDown)?;
        if config.local.port != 0 {
            return Ok(first.owner(&Tuple { local: config.local, remote: config.remote }));
        }
        self.next_shard = (self.next_shard + 1) % first.shards().len();
        Ok(first.shards().start + self.next_shard as u16)
    }

    /// The shard that has the connection of a socket.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn shard_of(&mut self, socket: SocketId) -> Result<ShardId, SocketError> {
        Ok(ShardId(self.socket_mut(socket)?.shard))
    }

    /// Our end of a connection; none while a connect has not been taken up.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn local_of(&mut self, socket: SocketId) -> Result<Option<Endpoint>, SocketError> {
        Ok(self.socket_mut(socket)?.local())
    }

    /// Lets go of the bytes that [`Delivery::Held`] kept back: they come to the socket, and so does all that follows.
    ///
    /// # Errors
    /// `BadSocket`, `NotConnected`.
    pub fn deliver(&mut self, socket: SocketId) -> Result<(), SocketError> {
        let state = self.socket_mut(socket)?;
        let (shard, conn) = (state.shard, state.conn().ok_or(SocketError::NotConnected)?);
        self.say(shard, Request::On(conn, Action::Deliver));
        Ok(())
    }

    /// Joins two established connections of one shard whose bytes were [held](Delivery::Held): what comes from either goes to
    /// the other inside the shard, the ends of both streams and failures included. When no byte has gone either way, nor
    /// been acknowledged, for as long as `idle`, both are reset.
    ///
    /// The second socket is given back by this. The first becomes ready (`hangup`) when both connections are over;
    /// [`splice_report`](Self::splice_report) tells how. Closing it before resets both.
    ///
    /// # Errors
    /// `BadSocket`; `NotConnected` unless both are established; `Invalid` when they are of different shards; nothing has changed
    /// then.
    pub fn splice(&mut self, first: SocketId, second: SocketId, idle: Duration) -> Result<(), SocketError> {
        let (near, far) = (self.open_conn(first)?, self.open_conn(second)?);
        if near.0 != far.0 || first == second {
            return Err(SocketError::Invalid);
        }
        self.sockets.remove(second.index as usize);
        self.socket_mut(first)?.phase = Phase::Spliced(near.1);
        self.say(near.0, Request::Splice(SpliceRequest { first: (near.1, first), second: far.1, idle }));
        Ok(())
    }

    fn open_conn(&mut self, socket: SocketId) -> Result<(u16, ConnId), SocketError> {
        let state = self.socket_mut(socket)?;
        match state.phase {
            Phase::Open(conn) if state.failure.is_none() => Ok((state.shard, conn)),
            _ => Err(SocketError::NotConnected),
        }
    }

    /// What became of a splice, told once when it is over. After [`SpliceEnd::Unused`](crate::SpliceEnd::Unused) the socket is as it was
    /// before the splice.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn splice_report(&mut self, first: SocketId) -> Result<Option<SpliceReport>, SocketError> {
        Ok(self.socket_mut(first)?.take_report())
    }

    /// Reads the next bytes of the stream; 0 is end of file.
    ///
    /// # Errors
    /// `WouldBlock`, `BadSocket`, and once, after the bytes that came before it, the reason of a failure; none after the end of the
    /// stream (Linux: SOCK_DONE in `tcp_recvmsg`).
    pub fn recv(&mut self, socket: SocketId, bytes: &mut [u8]) -> Result<usize, SocketError> {
        let state = self.socket_mut(socket)?;
        if state.has_unread() {
            let count = state.read(bytes);
            self.credit(socket);
            return Ok(count);
        }
        // After the end of the stream there is nothing to read, and nothing to miss: a failure is left to whoever writes.
        if state.end_of_stream {
            return Ok(0);
        }
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        let ended = state.read_closed || state.phase == Phase::Over;
        if ended { Ok(0) } else { Err(SocketError::WouldBlock) }
    }

    /// How many bytes [`send`](Self::send) would take now: none while the connection is not established, or the ring to its shard is
    /// full. A socket that could send becomes writable.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn send_space(&mut self, socket: SocketId) -> Result<usize, SocketError> {
        let shard = self.socket_mut(socket)?.shard;
        let can_say = self.can_say(shard);
        let state = self.socket_mut(socket)?;
        let can_send = can_say && !state.write_closed && matches!(state.phase, Phase::Open(_));
        Ok(if can_send { (state.send_space as usize).min(SEND_CHUNK) } else { 0 })
    }

    /// How many of the bytes that were sent the peer has acknowledged, as far as the shard has told.
    ///
    /// # Errors
    /// `BadSocket`.
    pub fn acknowledged(&mut self, socket: SocketId) -> Result<u64, SocketError> {
        Ok(self.socket_mut(socket)?.acknowledged)
    }

    /// Queues bytes to send, as many as there is room for.
    ///
    /// # Errors
    /// `WouldBlock`, `BrokenPipe`, `BadSocket`, and once the reason of a failure.
    pub fn send(&mut self, socket: SocketId, bytes: &[u8]) -> Result<usize, SocketError> {
        let shard = self.socket_mut(socket)?.shard;
        let can_say = self.can_say(shard);
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
        self.say(shard, Request::On(conn, Action::Send(bytes[..count].to_vec())));
        Ok(count)
    }

    /// Ends one direction or both; the socket stays.
    ///
    /// # Errors
    /// `BadSocket`, `NotConnected`.
    pub fn shutdown(&mut self, socket: SocketId, how: Shutdown) -> Result<(), SocketError> {
        let state = self.socket_mut(socket)?;
        let Phase::Open(conn) = state.phase else { return Err(SocketError::NotConnected) };
        let shard = state.shard;
        let (read, write) = match how {
            Shutdown::Read => (true, false),
            Shutdown::Write => (false, true),
            Shutdown::Both => (true, true),
        };
        if read {
            state.read_closed = true;
            state.discard();
        }
        let ends_writing = write && !state.write_closed;
        state.write_closed |= write;
        self.credit(socket);
        if ends_writing {
            self.say(shard, Request::On(conn, Action::Shutdown));
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

    /// Gives all sockets back with a reset, and ends all listeners: what is left to do when the application that had them is gone.
    pub fn let_go(&mut self) {
        let name = |(index, state): (usize, &Socket)| SocketId { index: index as u32, generation: state.generation };
        let sockets: Vec<_> = self.sockets.iter().map(name).collect();
        let listeners: Vec<_> = self.listener_ids().collect();
        // Only what was given back already is refused.
        for socket in sockets {
            let _ = self.abort(socket);
        }
        for listener in listeners {
            let _ = self.unlisten(listener);
        }
    }

    /// Sets an option of a connection. It takes effect after what was asked of the socket before.
    ///
    /// # Errors
    /// `BadSocket`, `Invalid` (no such value), `NotConnected` (the connection has no name yet:
    /// [`ConnectConfig::options`]), `NoBuffers`.
    pub fn set(&mut self, socket: SocketId, option: SocketOption) -> Result<(), SocketError> {
        self.socket_mut(socket)?;
        if !option.is_valid() {
            return Err(SocketError::Invalid);
        }
        self.ask(socket, Action::Set(option))
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

    /// Takes what the shards have to say and begins a round of [`next_ready`](Self::next_ready); returns how many events
    /// came, the end of a poll loop among them. Also passes on what a full ring held back, so call it regularly.
    pub fn poll(&mut self) -> usize {
        self.poll_with(|_, _| {})
    }

    /// As [`poll`](Self::poll), and passes on what the shards say of sockets as it comes: for those who serve edges
    /// (EPOLLET), not levels.
    pub fn poll_with(&mut self, mut told: impl FnMut(SocketId, News)) -> usize {
        let events = (0..self.states.len() as u16).map(|shard| self.poll_shard(shard, &mut told)).sum();
        self.list_listeners();
        self.prune();
        self.round = self.maybe_ready.len();
        self.shards.publish();
        events
    }

    fn poll_shard(&mut self, shard: u16, told: &mut impl FnMut(SocketId, News)) -> usize {
        let mut events = 0;
        while events < EVENTS_PER_POLL
            && let Some((socket, event)) = self.shards.end(shard).pop()
        {
            if let Some(news) = self.hear(socket, event) {
                told(socket, news);
            }
            events += 1;
        }
        if events == 0 && self.has_ended(shard) {
            self.go_down(shard, told);
            events = 1;
        }
        self.flush(shard);
        events
    }

    /// The next source that is ready; each at most once per [`poll`](Self::poll).
    pub fn next_ready(&mut self) -> Option<(Source, Ready)> {
        while let Some(left) = self.round.checked_sub(1) {
            self.round = left;
            let source = self.maybe_ready.pop_front()?;
            let room = self.room_for(source);
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

/// Whether the address is that of many, to whom nobody can open a connection (RFC 9293, section 3.9.1.1: MUST-46).
fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

impl Drop for SocketCore {
    /// The addresses that only this worker listened on are free again.
    fn drop(&mut self) {
        self.listener_ids().for_each(|listener| self.registry.leave(listener));
    }
}

#[cfg(test)]
mod tests;
