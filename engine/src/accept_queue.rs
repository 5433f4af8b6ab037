//! Completed connections on their way from the shards to `accept`.

use crate::connections::ConnId;
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use synward_proto::listener::{AcceptRoom, COOKIE_GRAIN};
use synward_proto::{Instant, Tuple};

/// A connection that waits for `accept`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waiting {
    pub(crate) conn: ConnId,
    pub(crate) tuple: Tuple,
    /// Bytes that may be sent at once.
    pub(crate) send_space: u32,
}

/// What all shards and workers of a listener share. Full is *more than* the limit, as in Linux (`sk_acceptq_is_full`): a
/// backlog of 8 holds 9. A place is taken before the connection is made and given back after the connection has left, so
/// what waits never exceeds the places taken.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Places taken: the one value that shards contend for, once per completed handshake.
    taken: CachePadded<AtomicU32>,
    /// Nanoseconds of the engine's time when some shard last sent a cookie, or zero.
    last_cookie: CachePadded<AtomicU64>,
    limit: u32,
}

impl Shared {
    /// A listener at which more than `limit` is full.
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { taken: CachePadded::default(), last_cookie: CachePadded::default(), limit })
    }

    /// Gives back a reserved place that no connection came to.
    pub(crate) fn release(&self) {
        self.taken.fetch_sub(1, Ordering::Release);
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

impl AcceptRoom for Shared {
    fn is_full(&self) -> bool {
        self.taken.load(Ordering::Acquire) > self.limit
    }

    fn reserve(&self) -> bool {
        let more = |taken| (taken <= self.limit).then(|| taken + 1);
        self.taken.try_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    fn cookie_sent(&self, now: Instant) {
        let noted = self.last_cookie.load(Ordering::Relaxed);
        if noted == 0 || now.since(Instant::from_nanos(noted)) >= COOKIE_GRAIN {
            self.last_cookie.store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    fn last_cookie(&self) -> Option<Instant> {
        let noted = self.last_cookie.load(Ordering::Relaxed);
        (noted > 0).then(|| Instant::from_nanos(noted))
    }
}

/// The connections of a listener on their way from one shard to one worker. There is room for all that the listener may have, so
/// that a push into a reserved place cannot fail.
#[derive(Debug)]
pub(crate) struct AcceptQueue {
    waiting: ArrayQueue<Waiting>,
    shared: Arc<Shared>,
}

impl AcceptQueue {
    /// A queue of a listener.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { waiting: ArrayQueue::new(shared.limit as usize + 1), shared }
    }

    /// Puts a connection into its reserved place; false, and it is not there, when none was reserved.
    pub(crate) fn push(&self, waiting: Waiting) -> bool {
        self.waiting.push(waiting).is_ok()
    }

    /// Takes the connection that has waited longest.
    pub(crate) fn pop(&self) -> Option<Waiting> {
        let waiting = self.waiting.pop()?;
        self.shared.release();
        Some(waiting)
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Connections that wait here.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{AcceptQueue, Shared, Waiting};
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
            let shared = Shared::new(limit);
            let queue = AcceptQueue::new(shared.clone());
            for index in 0..=limit {
                assert!(!shared.is_full() && shared.reserve());
                assert!(queue.push(waiting(index)));
            }
            assert!(shared.is_full() && !shared.reserve());
            assert_eq!(shared.len(), limit + 1);
            assert_eq!(queue.pop(), Some(waiting(0)));
            assert!(!shared.is_full() && shared.reserve() && shared.is_full());
            shared.release();
            assert!(!shared.is_full());
        }
    }

    #[test]
    fn shards_that_race_never_overbook() {
        let shared = Shared::new(99);
        let queues = [AcceptQueue::new(shared.clone()), AcceptQueue::new(shared.clone())];
        let accepted = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for shard in 0..4 {
                let (shared, queues, accepted) = (&shared, &queues, &accepted);
                scope.spawn(move || {
                    for index in 0..10_000 {
                        let queue = &queues[(shard + index as usize) % 2];
                        if shared.reserve() {
                            assert!(queue.push(waiting(index)), "a reserved place is there");
                        } else if queue.pop().is_some() {
                            accepted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let waiting = queues.iter().map(AcceptQueue::len).sum::<usize>();
        assert!(waiting <= 100 && shared.len() as usize == waiting && accepted.load(Ordering::Relaxed) > 0);
    }
}
