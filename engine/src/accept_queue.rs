//! Completed connections on their way from the shards to `accept`.

use crate::connections::ConnId;
use crate::shield_link::{SHIELD_GRAIN, Shield};
use crate::sync::ArrayQueue;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use crossbeam::utils::CachePadded;
use std::sync::Arc;
use synward_proto::listener::{AcceptRoom, COOKIE_GRAIN};
use synward_proto::syn_cookie::LIFE;
use synward_proto::{Endpoint, Instant, Tuple};

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
    local: Endpoint,
    /// Those in front of the interfaces, who may turn SYNs away while the accept queue is full.
    shields: Arc<[Arc<dyn Shield>]>,
    /// Nobody listens any more: what goes on here is no business of the shields, for whom another listener may have come.
    closed: AtomicBool,
}

impl Shared {
    /// A listener at `local`, at which more than `limit` is full.
    pub(crate) fn new(local: Endpoint, limit: u32, shields: Arc<[Arc<dyn Shield>]>) -> Arc<Self> {
        shields.iter().for_each(|shield| shield.set_listening(&local, true));
        let (taken, last_cookie) = (CachePadded::default(), CachePadded::default());
        Arc::new(Self { taken, last_cookie, limit, local, shields, closed: AtomicBool::new(false) })
    }

    /// Gives back a reserved place that no connection came to.
    pub(crate) fn release(&self) {
        if self.taken.fetch_sub(1, Ordering::Release) == self.limit + 1 {
            self.tell_shields();
        }
    }

    /// Nobody listens any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.shields.iter().for_each(|shield| shield.set_listening(&self.local, false));
        self.tell_shields();
    }

    /// When some shard last sent a cookie, to within [`COOKIE_GRAIN`].
    pub(crate) fn last_cookie(&self) -> Option<Instant> {
        let noted = self.last_cookie.load(Ordering::Relaxed);
        (noted > 0).then(|| Instant::from_nanos(noted))
    }

    /// Tells the shields whether SYNs find the accept queue full, after that has changed.
    ///
    /// Several threads may be at it: each looks again after it has spoken, so the one that speaks last says what is true. With
    /// the fences, who has not seen another's change has spoken before that other, who speaks after it.
    fn tell_shields(&self) {
        if self.shields.is_empty() {
            return;
        }
        fence(Ordering::SeqCst);
        loop {
            let full = self.turns_away();
            self.shields.iter().for_each(|shield| shield.set_accept_queue_full(&self.local, full));
            fence(Ordering::SeqCst);
            if self.turns_away() == full {
                return;
            }
        }
    }

    fn turns_away(&self) -> bool {
        self.is_full() && !self.closed.load(Ordering::Acquire)
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
        let before = self.taken.try_update(Ordering::AcqRel, Ordering::Acquire, more);
        if before == Ok(self.limit) {
            self.tell_shields();
        }
        before.is_ok()
    }

    fn cookie_sent(&self, now: Instant) {
        let noted = self.last_cookie.load(Ordering::Relaxed);
        if noted == 0 || now.since(Instant::from_nanos(noted)) >= COOKIE_GRAIN {
            self.last_cookie.store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    fn awaits_cookies(&self, now: Instant) -> bool {
        let is_alive = |sent: Option<Instant>, grain| sent.is_some_and(|sent| now.since(sent) <= LIFE + grain);
        is_alive(self.last_cookie(), COOKIE_GRAIN)
            || self.shields.iter().any(|shield| is_alive(shield.last_cookie(&self.local), SHIELD_GRAIN))
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
mod tests;
