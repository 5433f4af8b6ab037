//! Connections whose application is gone: reset, a few per turn.

use crate::accept_queue::AcceptQueue;
use crate::apply::SENT;
use crate::connections::Owner;
use crate::outbox::Outbox;
use crate::shard::Shard;
use std::collections::VecDeque;
use std::sync::Arc;
use synward_nic::Port;
use synward_proto::Instant;
use synward_proto::connection::Events;

/// Connections reset per turn.
const RESETS_PER_TURN: u32 = 64;

/// What is left to reset.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    /// Accept queues of listeners that are gone.
    queues: VecDeque<Arc<AcceptQueue>>,
    worker: Worker,
}

/// What is known of the worker.
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
    /// The connections in this queue will not be accepted.
    pub(crate) fn abandon(&mut self, queue: Arc<AcceptQueue>) {
        self.queues.push_back(queue);
    }

    /// The worker is gone; true the first time.
    pub(crate) fn worker_is_gone(&mut self) -> bool {
        let first = self.worker == Worker::Alive;
        if first {
            self.worker = Worker::Gone { next: 0 };
        }
        first
    }

    /// Whether the worker's end has been noticed.
    pub(crate) fn knows_worker_is_gone(&self) -> bool {
        self.worker != Worker::Alive
    }

    /// Whether anything is left to reset.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty() && !matches!(self.worker, Worker::Gone { .. })
    }
}

impl Shard {
    /// Resets a few of the connections that nobody owns any more.
    pub(crate) fn bury_orphans(&mut self, now: Instant, port: &mut impl Port) {
        let mut budget = RESETS_PER_TURN;
        while budget > 0
            && let Some(queue) = self.orphans.queues.front()
        {
            match queue.pop() {
                Some(waiting) => {
                    budget -= 1;
                    if let Some(index) = self.connections.resolve(waiting.conn) {
                        self.part(now, index, Parting::Reset, port);
                    }
                }
                None => drop(self.orphans.queues.pop_front()),
            }
        }
        while budget > 0
            && let Worker::Gone { next } = self.orphans.worker
        {
            budget -= 1;
            let is_last = next as usize >= self.connections.limit();
            self.orphans.worker = if is_last { Worker::Buried } else { Worker::Gone { next: next + 1 } };
            // One that the application had closed may end in its own time.
            if self.connections.get(next).is_some_and(|entry| entry.owner != Owner::Nobody) {
                self.part(now, next, Parting::Reset, port);
            }
        }
    }

    /// Takes a connection from its application, orderly or by a reset.
    pub(crate) fn part(&mut self, now: Instant, index: u32, parting: Parting, port: &mut impl Port) {
        let Some(entry) = self.connections.get_mut(index) else { return };
        entry.owner = Owner::Nobody;
        if entry.outbox.over {
            drop(self.connections.remove(index));
            return;
        }
        entry.outbox = Outbox::default();
        let reset = match parting {
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
