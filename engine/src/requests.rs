//! What the workers want, and what they have not been told.

use crate::SocketError;
use crate::accept_queue::{AcceptQueue, Shared};
use crate::config::ListenConfig;
use crate::connections::{ConnId, Owner, Reader, Slot};
use crate::handoff::{Action, Event, Request};
use crate::listeners::ListenerEntry;
use crate::orphans::Parting;
use crate::shard::Shard;
use crate::socket::{ConnectConfig, Delivery, ListenerId};
use crate::source_ports::Claim;
use std::sync::Arc;
use synward_nic::Port;
use synward_proto::connection::{Connection, Events};
use synward_proto::listener::Listener;
use synward_proto::{Counter, Endpoint, Instant, Tuple};

/// Requests taken per turn.
const REQUESTS_PER_TURN: u32 = 256;
/// Connections per turn whose news are tried again.
const RETRIES_PER_TURN: usize = 256;

impl Shard {
    /// Takes requests, and tries again to tell what found no room; returns how many requests there were, and connections that were
    /// tried again.
    pub(crate) fn take_requests(&mut self, now: Instant, port: &mut impl Port) -> u32 {
        (0..self.workers.len() as u16).map(|worker| self.take_requests_of(now, worker, port)).sum()
    }

    fn take_requests_of(&mut self, now: Instant, worker: u16, port: &mut impl Port) -> u32 {
        let end = self.workers.end(worker);
        if end.is_far_gone() {
            end.forget_far();
        }
        self.tell_reports(worker);
        let retried = self.retry_undelivered(worker);
        let mut taken = 0;
        while taken < REQUESTS_PER_TURN && self.can_take_request(worker) {
            let Some(request) = self.workers.end(worker).pop() else { break };
            self.take_request(now, worker, request, port);
            taken += 1;
        }
        // What the worker had asked for by the time it ended is done first.
        let end = self.workers.end(worker);
        if taken == 0 && end.is_far_gone() && end.peek().is_none() && self.orphans.worker_is_gone(worker) {
            tracing::debug!(worker, shard = self.id, "the worker is gone: resetting its connections");
            self.close_listeners_of(worker);
        }
        taken + retried
    }

    fn retry_undelivered(&mut self, worker: u16) -> u32 {
        let (number, mut retried) = (usize::from(worker), 0);
        for _ in 0..self.undelivered[number].len().min(RETRIES_PER_TURN) {
            if !self.workers.end(worker).has_room() {
                break;
            }
            if let Some(index) = self.undelivered[number].pop() {
                self.tell_worker(index);
                retried += 1;
            }
        }
        retried
    }

    /// Whether a request waits that can be taken. What is answered through the ring has to wait until there is room for the
    /// answer.
    pub(crate) fn can_take_request(&mut self, worker: u16) -> bool {
        let end = self.workers.end(worker);
        match end.peek() {
            None => false,
            Some(Request::Connect { .. } | Request::On(_, Action::Describe)) => end.has_room(),
            Some(_) => true,
        }
    }

    fn take_request(&mut self, now: Instant, worker: u16, request: Request, port: &mut impl Port) {
        match request {
            Request::Listen { listener, config, queue, shared } => {
                self.listen(worker, listener, &config, queue, shared);
            }
            Request::Unlisten(listener) => self.unlisten(worker, listener),
            Request::Connect { socket, config } => self.connect(now, Reader { worker, socket }, &config, port),
            Request::Splice(request) => self.splice(now, worker, &request, port),
            Request::On(conn, action) => self.act(now, worker, conn, action, port),
        }
    }

    fn listen(
        &mut self,
        worker: u16,
        id: ListenerId,
        config: &ListenConfig,
        queue: Arc<AcceptQueue>,
        shared: Arc<Shared>,
    ) {
        if let Some(entry) = self.listeners.get_mut(id.index) {
            if entry.id == id {
                return entry.join(worker, queue);
            }
            // Its last worker has left it, and only the word of that is still on the way.
            self.end_listener(id.index);
        }
        let rules = self.config.listener(config, self.limits.shards);
        match Listener::new(&rules, &mut self.half_opens) {
            Some(listener) => {
                let mut entry = ListenerEntry::new(id, listener, shared, &self.terms, &config.options);
                entry.join(worker, queue);
                self.listeners.insert(entry);
            }
            // There are fewer slots for listeners here than names for them there.
            None => tracing::error!(local = %config.local, "the SYN table has no name for another listener"),
        }
    }

    fn end_listener(&mut self, slot: u32) {
        let Some(entry) = self.listeners.remove(slot) else { return };
        for queue in entry.queues() {
            self.orphans.abandon(Arc::clone(queue));
        }
        entry.listener.close(&mut self.half_opens);
    }

    fn unlisten(&mut self, worker: u16, id: ListenerId) {
        let Some((queue, ended)) = self.listeners.leave(id, worker) else { return };
        self.orphans.abandon(queue);
        if let Some(entry) = ended {
            entry.listener.close(&mut self.half_opens);
        }
    }

    fn close_listeners_of(&mut self, worker: u16) {
        let ids: Vec<_> = self.listeners.of_worker(worker).collect();
        ids.into_iter().for_each(|id| self.unlisten(worker, id));
    }

    fn connect(&mut self, now: Instant, reader: Reader, config: &ConnectConfig, port: &mut impl Port) {
        self.make_room(now, port);
        let (event, opened) = match self.open_from_here(now, reader, config) {
            Ok((conn, local)) => (Event::Opening { conn, local }, Some(conn.index)),
            Err(error) => (Event::Refused(error), None),
        };
        let told = self.workers.end(reader.worker).push((reader.socket, event));
        debug_assert!(told.is_ok(), "there was room");
        match opened {
            Some(index) => self.settle(now, index, Events::empty()),
            None => self.stats.count(Counter::AttemptFails),
        }
    }

    /// Makes a connection in SYN-SENT; its name, and our end.
    fn open_from_here(
        &mut self,
        now: Instant,
        reader: Reader,
        config: &ConnectConfig,
    ) -> Result<(ConnId, Endpoint), SocketError> {
        let &ConnectConfig { remote, link, delivery, .. } = config;
        if self.connections.is_full() {
            return Err(SocketError::NoBuffers);
        }
        let (tuple, mut connection) = match self.claim(now, config)? {
            Claim::Again(reuse) => {
                let terms = self.terms.of(&reuse.tuple).with(&config.options);
                (reuse.tuple, Connection::reconnect(now, &reuse, &terms))
            }
            Claim::Fresh(tuple) => {
                let secrets = &self.half_opens.secrets;
                let offset = secrets.timestamp_offset(tuple.local.addr, remote.addr);
                let iss = secrets.isn(now, &tuple);
                let terms = self.terms.of(&tuple).with(&config.options);
                (tuple, Connection::connect(now, tuple, iss, offset, &terms))
            }
        };
        self.path_mtus.tell(now, &mut connection);
        let conn = self.connections.insert(link, connection, Owner::Socket(reader));
        let conn = conn.ok_or(SocketError::NoBuffers)?;
        if let Some(entry) = self.connections.get_mut(conn.index) {
            entry.outbox.held = delivery == Delivery::Held;
        }
        Ok((conn, tuple.local))
    }

    /// Both ends of a connection to be: with the port that was asked for, or with one that is free.
    fn claim(&mut self, now: Instant, config: &ConnectConfig) -> Result<Claim, SocketError> {
        let tuple = Tuple { local: config.local, remote: config.remote };
        if config.local.port == 0 {
            return self.choose_source_port(now, &tuple);
        }
        if !self.crossing.owns(&tuple) {
            return Err(SocketError::AddressNotAvailable);
        }
        match self.connections.find(&tuple) {
            Some(Slot::Connection(_)) => Err(SocketError::AddressInUse),
            Some(Slot::TimeWait(index)) => {
                self.take_over(now, index).map(Claim::Again).ok_or(SocketError::AddressInUse)
            }
            None => {
                self.source_ports.claim(&tuple, &self.crossing);
                Ok(Claim::Fresh(tuple))
            }
        }
    }

    /// Does what a worker wants of a connection; nothing when it has ended meanwhile.
    fn act(&mut self, now: Instant, worker: u16, conn: ConnId, action: Action, port: &mut impl Port) {
        let Some(index) = self.connections.resolve(conn) else { return };
        let Some(entry) = self.connections.get_mut(index) else { return };
        let connection = &mut entry.connection;
        match action {
            Action::Attach { socket, delivery } => {
                entry.owner = Owner::Socket(Reader { worker, socket });
                entry.outbox.held = delivery == Delivery::Held;
                return self.tell_worker(index);
            }
            Action::Deliver => {
                entry.outbox.held = false;
                self.acknowledge_syn(now, index);
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
            Action::Set(option) => connection.set(now, option),
            Action::Describe => {
                let described = Event::Described(Box::new(connection.info(now)));
                if let Owner::Socket(reader) = entry.owner {
                    let told = self.workers.end(worker).push((reader.socket, described));
                    debug_assert!(told.is_ok(), "there was room");
                }
                return;
            }
        }
        if !entry.outbox.over {
            self.settle(now, index, Events::empty());
        }
    }
}
