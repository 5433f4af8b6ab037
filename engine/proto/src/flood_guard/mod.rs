//! Table, cookie or nothing: what a SYN gets. And whether a stray segment gets a RST.

mod reset_limit;
#[cfg(test)]
mod tests;

pub use reset_limit::ResetLimit;

use crate::syn_cookie;
use crate::syn_table::SynQueue;
use crate::{Counter, Counts, DropReason, Instant};
use core::time::Duration;

/// When cookies are sent (Linux: `tcp_syncookies`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Syncookies {
    /// 0: never.
    Never,
    /// 1: when the SYN queue overflows, until it has been calm.
    #[default]
    Auto,
    /// 2: always.
    Always,
}

/// Whether a cookie may do without the timestamps option.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CookieTimestamps {
    /// It may: a blind guess then succeeds with 2⁻²⁵.
    #[default]
    Optional,
    /// It may not: peers without timestamps get none, and a blind guess succeeds with less than 2⁻⁵⁰.
    Required,
}

/// What a SYN gets that the table does not take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Overflow {
    /// A cookie.
    Cookie(Counts),
    /// Nothing.
    Drop(DropReason, Counts),
}

/// Decides for one listener, and remembers whether there is a flood.
#[derive(Debug)]
pub struct FloodGuard {
    syncookies: Syncookies,
    max_syn_backlog: u32,
    phase: Phase,
    /// When a cookie was last sent.
    last_cookie: Option<Instant>,
}

/// What `auto` is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// SYNs go to the table.
    Calm,
    /// The SYN queue overflowed: SYNs get cookies. Since `second` began, so many more were sent than came back.
    Flood { second: Instant, unanswered: i32 },
}

/// Counted for every SYN that is to get a cookie, even with cookies always on, as Linux does.
const DO_COOKIES: Counts = Counts::of(&[Counter::TCPReqQFullDoCookies]);

/// How long it must be calm before SYNs go to the table again.
const CALM: Duration = Duration::from_secs(1);

/// An entry of the SYN queue lives 63 s at most: what leaves fewer than one in so many of its places unfinished in each
/// second can never fill it.
const ENTRY_LIFE_SECONDS: u32 = 64;

impl FloodGuard {
    /// A guard that has seen nothing yet.
    pub const fn new(syncookies: Syncookies, max_syn_backlog: u32) -> Self {
        Self { syncookies, max_syn_backlog, phase: Phase::Calm, last_cookie: None }
    }

    /// Whether the table takes a new SYN, given the listener's SYN queue and whether its accept queue is full (Linux:
    /// `tcp_conn_request`).
    ///
    /// # Errors
    /// It does not; and what the SYN gets instead.
    pub fn admit(&mut self, now: Instant, queue: SynQueue, accept_queue_full: bool) -> Result<(), Overflow> {
        let cookie = match self.syncookies {
            Syncookies::Never if queue.is_full() => return Err(self.overflow()),
            Syncookies::Never => false,
            Syncookies::Auto => self.is_flooded(now, queue),
            Syncookies::Always => true,
        };
        if accept_queue_full {
            let counts = Counts::of(&[Counter::ListenOverflows, Counter::ListenDrops]);
            let counts = if cookie { counts.and(DO_COOKIES) } else { counts };
            return Err(Overflow::Drop(DropReason::SynAcceptQueueFull, counts));
        }
        if cookie {
            return Err(self.overflow());
        }
        // Linux leaves the last quarter to peers that it has met before; we have met none.
        let three_quarters = self.max_syn_backlog - self.max_syn_backlog / 4;
        if self.syncookies == Syncookies::Never && queue.len > three_quarters {
            return Err(Overflow::Drop(DropReason::SynQueueFull, Counts::of(&[Counter::ListenDrops])));
        }
        Ok(())
    }

    /// What a SYN gets for which the table has no room (Linux: `tcp_syn_flood_action`).
    pub fn overflow(&self) -> Overflow {
        match self.syncookies {
            Syncookies::Auto | Syncookies::Always => Overflow::Cookie(DO_COOKIES),
            Syncookies::Never => {
                let counts = Counts::of(&[Counter::TCPReqQFullDrop, Counter::ListenDrops]);
                Overflow::Drop(DropReason::SynQueueFull, counts)
            }
        }
    }

    /// What a SYN gets whose network has its share of the table.
    pub fn prefix_full(&self) -> Overflow {
        let counted = Counts::of(&[Counter::HalfOpenPrefixFull]);
        match self.overflow() {
            Overflow::Cookie(counts) => Overflow::Cookie(counts.and(counted)),
            Overflow::Drop(_, counts) => Overflow::Drop(DropReason::SynPrefixFull, counts.and(counted)),
        }
    }

    /// Whether a cookie may come back at `now`: they are being sent, or the last one sent here is still alive, or one that was
    /// sent `elsewhere`, which is asked only if the answer hangs on it.
    pub fn accepts_cookies(&self, now: Instant, elsewhere: impl FnOnce() -> bool) -> bool {
        match self.syncookies {
            Syncookies::Never => false,
            Syncookies::Auto => self.last_cookie.is_some_and(|sent| now.since(sent) <= syn_cookie::LIFE) || elsewhere(),
            Syncookies::Always => true,
        }
    }

    /// Whether the next SYN gets a cookie.
    pub fn sends_cookies(&self, now: Instant, queue: SynQueue) -> bool {
        match self.syncookies {
            Syncookies::Never => false,
            Syncookies::Auto => queue.is_full() || !self.is_calm(now, queue),
            Syncookies::Always => true,
        }
    }

    /// A cookie was sent.
    pub fn cookie_sent(&mut self, now: Instant) {
        self.last_cookie = Some(now);
        if let Phase::Flood { unanswered, .. } = &mut self.phase {
            *unanswered = unanswered.saturating_add(1);
        }
    }

    /// A cookie was sent for a SYN whose state another shard would have: it comes back there, and is counted here neither as
    /// unanswered nor as answered.
    pub fn foreign_cookie_sent(&mut self, now: Instant) {
        self.last_cookie = Some(now);
    }

    /// A valid cookie came back.
    pub fn cookie_returned(&mut self) {
        if let Phase::Flood { unanswered, .. } = &mut self.phase {
            *unanswered = unanswered.saturating_sub(1);
        }
    }

    /// Whether SYNs get cookies now: from the overflow of the SYN queue until it has been calm.
    fn is_flooded(&mut self, now: Instant, queue: SynQueue) -> bool {
        self.phase = match self.phase {
            _ if queue.is_full() => Phase::Flood { second: now, unanswered: 0 },
            Phase::Flood { .. } if self.is_calm(now, queue) => Phase::Calm,
            Phase::Flood { second, .. } if now.since(second) >= CALM => Phase::Flood { second: now, unanswered: 0 },
            phase => phase,
        };
        self.phase != Phase::Calm
    }

    /// Whether the table could hold what comes: its queue is no more than half full, and a whole second has left no more
    /// handshakes unfinished than it could bear in each.
    fn is_calm(&self, now: Instant, queue: SynQueue) -> bool {
        let Phase::Flood { second, unanswered } = self.phase else { return true };
        let silent = self.last_cookie.is_none_or(|sent| now.since(sent) >= CALM);
        let bearable =
            now.since(second) >= CALM && i64::from(unanswered) <= i64::from(queue.limit / ENTRY_LIFE_SECONDS);
        queue.len <= queue.limit / 2 && (silent || bearable)
    }
}
