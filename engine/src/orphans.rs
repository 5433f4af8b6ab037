//! Connections whose application is gone: reset, a few per turn.

use crate::accept_queue::AcceptQueue;
use crate::apply::SENT;
use crate::connections::{ConnId, Entry, Owner};
use crate::outbox::Outbox;
use crate::shard::Shard;
use crate::splice::SpliceEnd;
use std::collections::VecDeque;
use std::sync::Arc;
use synward_nic::Port;
use synward_proto::Instant;
use synward_proto::connection::Events;

/// Connections reset per turn.
const RESETS_PER_TURN: u32 = 64;

/// What is left to reset or to close.
#[derive(Debug)]
pub(crate) struct Orphans {
    /// Accept queues of listeners that are gone.
    queues: VecDeque<Arc<AcceptQueue>>,
    /// Connections that lost what they were spliced with.
    doomed: VecDeque<(ConnId, Parting)>,
    /// By number.
    workers: Box<[Worker]>,
    /// Connections that live on without an application.
    count: u32,
}

/// What is known of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Worker {
    /// It lives.
    #[default]
    Alive,
    /// It is gone, and connections from this index on may still be its.
    Gone { next: u32 },
    /// It is gone, and so is everything that was its.
    Buried,
}

/// How a connection and its application part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Parting {
    /// FIN after what is queued, or a reset when bytes are unread.
    Close,
    /// A reset.
    Reset,
}

impl Orphans {
    /// Nothing, and so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            queues: VecDeque::new(),
            doomed: VecDeque::new(),
            workers: vec![Worker::default(); workers].into_boxed_slice(),
            count: 0,
        }
    }

    /// Connections that live on without an application.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Takes a connection from its application. One that is over already is no orphan: it goes at once.
    pub(crate) fn disown(&mut self, entry: &mut Entry) {
        if entry.owner != Owner::Nobody && !entry.outbox.over {
            self.count += 1;
        }
        entry.owner = Owner::Nobody;
    }

    /// One of them is over.
    pub(crate) fn bury_one(&mut self) {
        self.count -= 1;
    }

    /// The connections in this queue will not be accepted.
    pub(crate) fn abandon(&mut self, queue: Arc<AcceptQueue>) {
        self.queues.push_back(queue);
    }

    /// This connection has nobody any more.
    pub(crate) fn doom(&mut self, conn: ConnId, parting: Parting) {
        self.doomed.push_back((conn, parting));
    }

    /// The worker is gone; true the first time.
    pub(crate) fn worker_is_gone(&mut self, worker: u16) -> bool {
        let Some(worker) = self.workers.get_mut(usize::from(worker)) else { return false };
        let first = *worker == Worker::Alive;
        if first {
            *worker = Worker::Gone { next: 0 };
        }
        first
    }

    /// Whether the worker's end has been noticed.
    pub(crate) fn knows_worker_is_gone(&self, worker: u16) -> bool {
        self.workers.get(usize::from(worker)) != Some(&Worker::Alive)
    }

    /// Whether anything is left to reset.
    pub(crate) fn is_empty(&self) -> bool {
        let burying = |worker: &Worker| matches!(worker, Worker::Gone { .. });
        self.queues.is_empty() && self.doomed.is_empty() && !self.workers.iter().any(burying)
    }
}

impl Shard {
    /// Resets a few of the connections that nobody owns any more.
    pub(crate) fn bury_orphans(&mut self, now: Instant, port: &mut impl Port) {
        if self.orphans.is_empty() {
            return;
        }
        let mut budget = RESETS_PER_TURN;
        while budget > 0
            && let Some((conn, parting)) = self.orphans.doomed.pop_front()
        {
            budget -= 1;
            self.part_by_name(now, conn, parting, port);
        }
        while budget > 0
            && let Some(queue) = self.orphans.queues.front()
        {
            match queue.pop() {
                Some(waiting) => {
                    budget -= 1;
                    self.part_by_name(now, waiting.conn, Parting::Reset, port);
                }
                None => drop(self.orphans.queues.pop_front()),
            }
        }
        for worker in 0..self.workers.len() as u16 {
            self.bury_worker(now, worker, &mut budget, port);
        }
    }

    fn part_by_name(&mut self, now: Instant, conn: ConnId, parting: Parting, port: &mut impl Port) {
        if let Some(index) = self.connections.resolve(conn) {
            self.part(now, index, parting, port);
        }
    }

    fn bury_worker(&mut self, now: Instant, worker: u16, budget: &mut u32, port: &mut impl Port) {
        let number = usize::from(worker);
        while *budget > 0
            && let Worker::Gone { next } = self.orphans.workers[number]
        {
            *budget -= 1;
            let is_last = next as usize >= self.connections.limit();
            self.orphans.workers[number] = if is_last { Worker::Buried } else { Worker::Gone { next: next + 1 } };
            // One that the application had closed may end in its own time.
            if self.connections.get(next).is_some_and(|entry| self.is_of(entry.owner, worker)) {
                self.part(now, next, Parting::Reset, port);
            }
        }
    }

    fn is_of(&self, owner: Owner, worker: u16) -> bool {
        match owner {
            Owner::Queue(taker) => taker == worker,
            Owner::Socket(reader) => reader.worker == worker,
            Owner::Spliced(id) => self.splices.worker_of(id) == Some(worker),
            Owner::Nobody => false,
        }
    }

    /// Takes a connection from its application, orderly or by a reset.
    pub(crate) fn part(&mut self, now: Instant, index: u32, parting: Parting, port: &mut impl Port) {
        let Some(entry) = self.connections.get_mut(index) else { return };
        if let Owner::Spliced(id) = entry.owner {
            return self.end_splice(id, SpliceEnd::Ended);
        }
        self.orphans.disown(entry);
        if entry.outbox.over {
            drop(self.connections.remove(index));
            return;
        }
        entry.outbox = Outbox::default();
        let reset = match parting {
            Parting::Close if self.orphans.count() > self.config.orphan_limit => entry.connection.abort_orphan(),
            Parting::Close => entry.connection.close(now),
            Parting::Reset => entry.connection.abort(),
        };
        let link = entry.link;
        if let Some(head) = reset {
            self.send_head(&link, &head, SENT, port);
        }
        self.settle(now, index, Events::empty());
    }
}
