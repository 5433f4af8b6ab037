//! What the worker wants, and what it has not been told.

use crate::SocketError;
use crate::accept_queue::AcceptQueue;
use crate::config::ListenConfig;
use crate::connections::{ConnId, Owner};
use crate::handoff::{Action, Event, Request};
use crate::listeners::ListenerEntry;
use crate::orphans::Parting;
use crate::shard::Shard;
use crate::socket::{ConnectConfig, ListenerId, SocketId};
use std::sync::Arc;
use synward_nic::Port;
use synward_proto::connection::{Connection, Events};
use synward_proto::listener::Listener;
use synward_proto::{Counter, Instant, Tuple};

/// Requests taken per turn.
const REQUESTS_PER_TURN: u32 = 256;
/// Connections per turn whose news are tried again.
const RETRIES_PER_TURN: usize = 256;

impl Shard {
    /// Takes requests, and tries again to tell what found no room; returns how many requests there were.
    pub(crate) fn take_requests(&mut self, now: Instant, port: &mut impl Port) -> u32 {
        self.retry_undelivered();
        let mut taken = 0;
        while taken < REQUESTS_PER_TURN && self.can_take_request() {
            let Some(request) = self.worker.pop() else { break };
            self.take_request(now, request, port);
            taken += 1;
        }
        // What the worker had asked for by the time it ended is done first.
        if taken == 0 && self.worker.is_far_gone() && self.worker.peek().is_none() && self.orphans.worker_is_gone() {
            tracing::warn!(connections = self.connections.len(), "the worker is gone: resetting its connections");
            self.close_all_listeners();
        }
        taken
    }

    fn retry_undelivered(&mut self) {
        for _ in 0..self.undelivered.len().min(RETRIES_PER_TURN) {
            if !self.worker.has_room() {
                return;
            }
            if let Some(index) = self.undelivered.pop() {
                self.tell_worker(index);
            }
        }
    }

    /// A connect is answered through the ring, so it has to wait until there is room for the answer.
    pub(crate) fn can_take_request(&mut self) -> bool {
        !matches!(self.worker.peek(), Some(Request::Connect { .. })) || self.worker.has_room()
    }

    fn take_request(&mut self, now: Instant, request: Request, port: &mut impl Port) {
        match request {
            Request::Listen { listener, config, queue } => self.listen(listener, &config, queue),
            Request::Unlisten(listener) => self.unlisten(listener),
            Request::Connect { socket, config } => self.connect(now, socket, &config),
            Request::On(conn, action) => self.act(now, conn, action, port),
        }
    }

    fn listen(&mut self, id: ListenerId, config: &ListenConfig, queue: Arc<AcceptQueue>) {
        let config = self.config.listener(config);
        match Listener::new(&config, &mut self.half_opens) {
            Some(listener) => self.listeners.insert(ListenerEntry { id, listener, queue }),
            // There are fewer slots for listeners here than names for them there.
            None => tracing::error!(local = %config.local, "the SYN table has no name for another listener"),
        }
    }

    fn unlisten(&mut self, id: ListenerId) {
        if let Some(ListenerEntry { listener, queue, id: _ }) = self.listeners.remove(id) {
            listener.close(&mut self.half_opens);
            self.orphans.abandon(queue);
        }
    }

    fn close_all_listeners(&mut self) {
        let ids: Vec<_> = self.listeners.ids().collect();
        ids.into_iter().for_each(|id| self.unlisten(id));
    }

    fn connect(&mut self, now: Instant, socket: SocketId, config: &ConnectConfig) {
        let ConnectConfig { local, remote, link } = *config;
        let tuple = Tuple { local, remote };
        let event = if self.connections.find(&tuple).is_some() {
            Event::Refused(SocketError::AddressInUse)
        } else {
            let secrets = &self.half_opens.secrets;
            let (iss, offset) = (secrets.isn(now, &tuple), secrets.timestamp_offset(local.addr, remote.addr));
            let connection = Connection::connect(now, tuple, iss, offset, self.terms.of(&tuple));
            match self.connections.insert(tuple, link, connection, Owner::Socket(socket)) {
                Some(conn) => Event::Opening(conn),
                None => Event::Refused(SocketError::NoBuffers),
            }
        };
        let opened = if let Event::Opening(conn) = &event { Some(conn.index) } else { None };
        let told = self.worker.push((socket, event));
        debug_assert!(told.is_ok(), "there was room");
        match opened {
            Some(index) => self.settle(now, index, Events::empty()),
            None => self.stats.count(Counter::AttemptFails),
        }
    }

    /// Does what a worker wants of a connection; nothing when it has ended meanwhile.
    fn act(&mut self, now: Instant, conn: ConnId, action: Action, port: &mut impl Port) {
        let Some(index) = self.connections.resolve(conn) else { return };
        let Some(entry) = self.connections.get_mut(index) else { return };
        let connection = &mut entry.connection;
        match action {
            Action::Attach(socket) => {
                entry.owner = Owner::Socket(socket);
                return self.tell_worker(index);
            }
            Action::Consumed { bytes, frames } => {
                entry.frames_held = entry.frames_held.saturating_sub(frames);
                connection.consumed(now, bytes);
            }
            Action::Send(bytes) => connection.send(now, bytes),
            Action::Shutdown => connection.shutdown(now),
            Action::Close => return self.part(now, index, Parting::Close, port),
            Action::Abort => return self.part(now, index, Parting::Reset, port),
            Action::Keepalive(keepalive) => connection.set_keepalive(now, keepalive),
            Action::Nagle(nagle) => connection.set_nagle(nagle),
        }
        if !entry.outbox.over {
            self.settle(now, index, Events::empty());
        }
    }
}
