//! What the socket core does behind its calls: names, credits, requests that wait, and who may be ready.

use crate::handoff::{Action, Event, Request, WorkerEnd};
use crate::orphans::Parting;
use crate::received::Taken;
use crate::socket::{ListenerId, Phase, Socket, SocketId};
use crate::socket_core::{Listening, MAX_BACKLOG, ShardState, SocketCore, WorkerLimits};
use crate::{News, Ready, SocketError, Source};

/// Names that may be stale before anybody looks.
const PRUNE_FROM: usize = 64;

impl SocketCore {
    /// Whether any source is ready, in this round or not.
    pub(crate) fn has_ready(&mut self) -> bool {
        (0..self.maybe_ready.len()).any(|place| {
            let source = self.maybe_ready[place];
            let room = self.room_for(source);
            !self.ready(source, room).is_empty()
        })
    }

    /// Whether a connection waits at this listener.
    pub(crate) fn has_waiting(&self, listener: ListenerId) -> bool {
        self.listening(listener).is_ok_and(|listening| !listening.is_quiet())
    }

    /// Whether a connection waits at any listener.
    pub(crate) fn has_any_waiting(&self) -> bool {
        self.listeners.values().any(|listening| !listening.is_quiet())
    }

    /// Whether a shard has left something to do since the last `poll`.
    pub(crate) fn has_outside_work(&mut self) -> bool {
        let news = |(end, state): (&WorkerEnd, &ShardState)| end.peek().is_some() || (!state.down && end.is_far_gone());
        self.shards.iter().zip(&self.states).any(news) || self.shards.has_room_again()
    }

    /// Whether the poll loop of a shard has ended, nothing that it said is left to hear, and this was not known.
    pub(crate) fn has_ended(&mut self, shard: u16) -> bool {
        let end = self.shards.end(shard);
        let over = end.is_far_gone() && end.peek().is_none();
        over && !self.states[usize::from(shard)].down
    }

    /// Fails when no poll loop is left.
    pub(crate) fn check_up(&self) -> Result<(), SocketError> {
        if self.is_down() { Err(SocketError::NetworkDown) } else { Ok(()) }
    }

    fn is_down(&self) -> bool {
        self.states.iter().all(|state| state.down)
    }

    pub(crate) fn listener_ids(&self) -> impl Iterator<Item = ListenerId> {
        self.listeners.iter().map(|(&index, listening)| ListenerId { index, generation: listening.generation })
    }

    pub(crate) fn listening(&self, listener: ListenerId) -> Result<&Listening, SocketError> {
        let listening = self.listeners.get(&listener.index);
        listening.filter(|listening| listening.generation == listener.generation).ok_or(SocketError::BadSocket)
    }

    pub(crate) fn listening_mut(&mut self, listener: ListenerId) -> Result<&mut Listening, SocketError> {
        let listening = self.listeners.get_mut(&listener.index);
        listening.filter(|listening| listening.generation == listener.generation).ok_or(SocketError::BadSocket)
    }

    /// The socket of that name, unless it was given back.
    pub(crate) fn socket_mut(&mut self, socket: SocketId) -> Result<&mut Socket, SocketError> {
        let state = self.sockets.get_mut(socket.index as usize);
        state
            .filter(|state| state.generation == socket.generation && !matches!(state.phase, Phase::Discarded(_)))
            .ok_or(SocketError::BadSocket)
    }

    pub(crate) fn insert(&mut self, shard: u16, phase: Phase, send_space: u32) -> SocketId {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let index = self.sockets.insert(Socket::new(generation, shard, phase, send_space)) as u32;
        SocketId { index, generation }
    }

    /// Whether a request would find room in the ring to a shard.
    pub(crate) fn can_say(&mut self, shard: u16) -> bool {
        self.states[usize::from(shard)].backlog.is_empty() && self.shards.end(shard).has_room()
    }

    /// Whether a request about a source would find room.
    pub(crate) fn room_for(&mut self, source: Source) -> bool {
        self.shard_named(source).is_none_or(|shard| self.can_say(shard))
    }

    fn shard_named(&self, source: Source) -> Option<u16> {
        match source {
            Source::Listener(_) => None,
            Source::Socket(socket) => self.sockets.get(socket.index as usize).map(|state| state.shard),
        }
    }

    /// Makes a request, at once or when there is room; requests to a shard stay in order.
    pub(crate) fn say(&mut self, shard: u16, request: Request) {
        let (end, state) = (self.shards.end(shard), &mut self.states[usize::from(shard)]);
        if state.down {
            return;
        }
        if !state.backlog.is_empty() {
            state.backlog.push_back(request);
        } else if let Err(request) = end.push(request) {
            state.backlog.push_back(request);
        }
        end.publish();
    }

    /// Tells the shard what was read of a socket, once the reader has caught up or has read a good part of the buffer.
    pub(crate) fn credit(&mut self, socket: SocketId) {
        let WorkerLimits { credit, frames, .. } = self.limits;
        let Ok(state) = self.socket_mut(socket) else { return };
        let (shard, Some(conn)) = (state.shard, state.conn()) else { return };
        let owed = state.uncredited;
        if owed == Taken::default() || !(!state.has_unread() || owed.bytes >= credit || owed.frames >= frames) {
            return;
        }
        if !self.can_say(shard) {
            let Ok(state) = self.socket_mut(socket) else { return };
            if !std::mem::replace(&mut state.in_debt, true) {
                self.states[usize::from(shard)].debtors.push_back(socket);
            }
            return;
        }
        let Ok(state) = self.socket_mut(socket) else { return };
        state.uncredited = Taken::default();
        // A shard that sleeps need not wake for every read: what it has not heard of is never more than a quarter
        // of the window, and the peer can go on sending within the rest.
        state.whispered = state.whispered.saturating_add(owed.bytes);
        let loud = state.whispered >= credit;
        if loud {
            state.whispered = 0;
        }
        let end = self.shards.end(shard);
        if loud {
            end.nudge();
        }
        let request = Request::On(conn, Action::Consumed { bytes: owed.bytes, frames: owed.frames });
        let heard = end.whisper(request);
        debug_assert!(heard.is_ok(), "there was room");
        end.publish();
    }

    /// Asks something of a socket's connection, unless too many requests wait already.
    pub(crate) fn ask(&mut self, socket: SocketId, action: Action) -> Result<(), SocketError> {
        let state = self.socket_mut(socket)?;
        let (shard, conn) = (state.shard, state.conn().ok_or(SocketError::NotConnected)?);
        if self.states[usize::from(shard)].backlog.len() >= MAX_BACKLOG {
            return Err(SocketError::NoBuffers);
        }
        self.say(shard, Request::On(conn, action));
        Ok(())
    }

    pub(crate) fn give_back(&mut self, socket: SocketId, parting: Parting) -> Result<(), SocketError> {
        let state = self.socket_mut(socket)?;
        if state.phase == Phase::Opening {
            state.phase = Phase::Discarded(parting);
            return Ok(());
        }
        let (shard, conn, owed) = (state.shard, state.conn(), state.uncredited);
        self.sockets.remove(socket.index as usize);
        if let Some(conn) = conn {
            if owed != Taken::default() {
                self.say(shard, Request::On(conn, Action::Consumed { bytes: owed.bytes, frames: owed.frames }));
            }
            self.say(shard, Request::On(conn, parting.into()));
        }
        Ok(())
    }

    /// Takes one event. Those of sockets that were given back come to nothing, and payload in frames goes home.
    pub(crate) fn hear(&mut self, socket: SocketId, event: Event) -> Option<News> {
        let state = self.sockets.get_mut(socket.index as usize)?;
        if state.generation != socket.generation {
            return None;
        }
        if let Phase::Discarded(parting) = state.phase {
            let shard = state.shard;
            self.sockets.remove(socket.index as usize);
            if let Event::Opening { conn, .. } = event {
                self.say(shard, Request::On(conn, parting.into()));
            }
            return None;
        }
        let news = match event {
            Event::Described(info) => return Some(News::Described(info)),
            ref other => News::of(other),
        };
        let closed = state.read_closed;
        state.hear(event);
        if closed {
            self.credit(socket);
        }
        self.list(Source::Socket(socket));
        news
    }

    /// Passes on what a full ring held back.
    pub(crate) fn flush(&mut self, shard: u16) {
        let number = usize::from(shard);
        while let Some(request) = self.states[number].backlog.pop_front() {
            if let Err(request) = self.shards.end(shard).push(request) {
                return self.states[number].backlog.push_front(request);
            }
        }
        for _ in 0..self.states[number].debtors.len() {
            if !self.can_say(shard) {
                return;
            }
            let Some(socket) = self.states[number].debtors.pop_front() else { return };
            if let Ok(state) = self.socket_mut(socket) {
                state.in_debt = false;
                self.credit(socket);
            }
        }
    }

    /// The poll loop of a shard has ended: nothing will ever come from there again.
    pub(crate) fn go_down(&mut self, shard: u16, told: &mut impl FnMut(SocketId, News)) {
        self.states[usize::from(shard)] = ShardState { down: true, ..ShardState::default() };
        // What waited to be accepted is gone with the shard.
        for queue in self.listeners.values().filter_map(|listening| listening.queues.get(usize::from(shard))) {
            while queue.pop().is_some() {}
        }
        let discarded = |state: &Socket| matches!(state.phase, Phase::Discarded(_));
        self.sockets.retain(|_, state| state.shard != shard || !discarded(state));
        let its = self.sockets.iter_mut().filter(|(_, state)| state.shard == shard);
        let names: Vec<_> = its
            .map(|(index, state)| {
                state.fail(SocketError::NetworkDown);
                SocketId { index: index as u32, generation: state.generation }
            })
            .collect();
        for socket in names {
            self.list(Source::Socket(socket));
            told(socket, News::Failed);
        }
    }

    /// Forgets the names of sockets that were given back. Those who never ask what is ready would collect them.
    pub(crate) fn prune(&mut self) {
        if self.maybe_ready.len() <= 2 * (self.sockets.len() + self.listeners.len()) + PRUNE_FROM {
            return;
        }
        let mut maybe_ready = std::mem::take(&mut self.maybe_ready);
        maybe_ready.retain(|&source| self.listed_mut(source).is_some());
        self.maybe_ready = maybe_ready;
    }

    /// Notes that a source may be ready.
    pub(crate) fn list(&mut self, source: Source) {
        if let Some(listed) = self.listed_mut(source)
            && !std::mem::replace(listed, true)
        {
            self.maybe_ready.push_back(source);
        }
    }

    pub(crate) fn unlist(&mut self, source: Source) {
        if let Some(listed) = self.listed_mut(source) {
            *listed = false;
        }
    }

    /// Notes the listeners at which connections wait: the shard does not tell of each.
    pub(crate) fn list_listeners(&mut self) {
        let down = self.is_down();
        for (&index, listening) in &mut self.listeners {
            let ready = !listening.is_quiet() || down;
            if ready && !std::mem::replace(&mut listening.listed, true) {
                let listener = ListenerId { index, generation: listening.generation };
                self.maybe_ready.push_back(Source::Listener(listener));
            }
        }
    }

    /// What a source can do now; nothing when it was given back.
    pub(crate) fn ready(&self, source: Source, room: bool) -> Ready {
        match source {
            Source::Listener(listener) => {
                let down = self.is_down();
                self.listening(listener).map_or(Ready::default(), |listening| Ready {
                    readable: !listening.is_quiet() || down,
                    error: down,
                    ..Ready::default()
                })
            }
            Source::Socket(socket) => {
                let state = self.sockets.get(socket.index as usize);
                let state = state.filter(|state| state.generation == socket.generation);
                state.map_or(Ready::default(), |state| state.ready(room))
            }
        }
    }

    fn listed_mut(&mut self, source: Source) -> Option<&mut bool> {
        match source {
            Source::Listener(listener) => {
                let listening = self.listeners.get_mut(&listener.index)?;
                (listening.generation == listener.generation).then_some(&mut listening.listed)
            }
            Source::Socket(socket) => {
                let state = self.sockets.get_mut(socket.index as usize)?;
                (state.generation == socket.generation).then_some(&mut state.listed)
            }
        }
    }
}

impl From<Parting> for Action {
    fn from(parting: Parting) -> Self {
        match parting {
            Parting::Close => Self::Close,
            Parting::Reset => Self::Abort,
        }
    }
}
