//! Completed connections on their way from the shard to `accept`.

use crate::connections::ConnId;
use crossbeam::queue::ArrayQueue;
use std::sync::atomic::{AtomicU32, Ordering};
use synward_proto::Tuple;
use synward_proto::listener::AcceptRoom;

/// A connection that waits for `accept`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waiting {
    pub(crate) conn: ConnId,
    pub(crate) tuple: Tuple,
    /// Bytes that may be sent at once.
    pub(crate) send_space: u32,
}

/// The accept queue of a listener, shared by its shards and its worker. Full is *more than* the limit, as in Linux
/// (`sk_acceptq_is_full`): a backlog of 8 holds 9. A place is taken before the connection is made and given back after the
/// connection has left, so what waits never exceeds the places taken, and a push cannot fail.
#[derive(Debug)]
pub(crate) struct AcceptQueue {
    waiting: ArrayQueue<Waiting>,
    /// Places taken: the one value that shards contend for, once per completed handshake.
    taken: AtomicU32,
    limit: u32,
}

impl AcceptQueue {
    /// A queue in which more than `limit` is full.
    pub(crate) fn new(limit: u32) -> Self {
        Self { waiting: ArrayQueue::new(limit as usize + 1), taken: AtomicU32::new(0), limit }
    }

    /// Puts a connection into its reserved place; false, and it is not there, when none was reserved.
    pub(crate) fn push(&self, waiting: Waiting) -> bool {
        self.waiting.push(waiting).is_ok()
    }

    /// Takes the connection that has waited longest.
    pub(crate) fn pop(&self) -> Option<Waiting> {
        let waiting = self.waiting.pop()?;
        self.release();
        Some(waiting)
    }

    /// Gives back a reserved place that no connection came to.
    pub(crate) fn release(&self) {
        self.taken.fetch_sub(1, Ordering::Release);
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Connections that wait.
    pub(crate) fn len(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// More than this many is full.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }
}

impl AcceptRoom for AcceptQueue {
    fn is_full(&self) -> bool {
        self.taken.load(Ordering::Acquire) > self.limit
    }

    fn reserve(&self) -> bool {
        let more = |taken| (taken <= self.limit).then(|| taken + 1);
        self.taken.try_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{AcceptQueue, Waiting};
    use crate::connections::ConnId;
    use std::sync::atomic::{AtomicU32, Ordering};
    use synward_proto::listener::AcceptRoom;
    use synward_proto::{Endpoint, Tuple};

    fn waiting(index: u32) -> Waiting {
        let end = Endpoint::new([192, 0, 2, 1].into(), 80);
        Waiting { conn: ConnId { index, generation: 0 }, tuple: Tuple { local: end, remote: end }, send_space: 0 }
    }

    #[test]
    fn full_is_more_than_the_limit() {
        for limit in [0, 1, 8] {
            let queue = AcceptQueue::new(limit);
            for index in 0..=limit {
                assert!(!queue.is_full() && queue.reserve());
                assert!(queue.push(waiting(index)));
            }
            assert!(queue.is_full() && !queue.reserve());
            assert_eq!(queue.len(), limit + 1);
            assert_eq!(queue.pop(), Some(waiting(0)));
            assert!(!queue.is_full() && queue.reserve() && queue.is_full());
            queue.release();
            assert!(!queue.is_full());
        }
    }

    #[test]
    fn shards_that_race_never_overbook() {
        let queue = AcceptQueue::new(99);
        let accepted = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for index in 0..10_000 {
                        if queue.reserve() {
                            assert!(queue.push(waiting(index)), "a reserved place is there");
                        } else if queue.pop().is_some() {
                            accepted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!(queue.len() <= 100 && accepted.load(Ordering::Relaxed) > 0);
    }
}
