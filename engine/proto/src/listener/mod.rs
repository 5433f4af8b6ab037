//! LISTEN and SYN-RECEIVED (RFC 9293, sections 3.10.7.2 and 3.10.7.4).
//!
//! A segment for a listener belongs to a half-open connection that the table remembers (`syn_received.rs`), or it is a SYN,
//! or it may be a cookie that comes home (`listen.rs`); anything else is answered with RST or ignored. From the third segment on,
//! nobody can tell whether a table entry or a cookie led to it.

mod icmp;
mod listen;
mod syn_received;
#[cfg(test)]
mod tests;

use crate::flood_guard::{CookieTimestamps, FloodGuard, ResetLimit, Syncookies};
pub use crate::half_open::Offer;
use crate::half_open::{HalfOpen, Syn};
use crate::isn::Secrets;
use crate::syn_cookie::CookieJar;
use crate::syn_table::{ListenerId, SynTable, SynTableConfig};
use crate::{Counter, Counts, DropReason, Endpoint, Flags, Instant, Options, Segment, Verdict, reset};
use core::time::Duration;

/// What the shards of a listener share: the room in its accept queue, and whether cookies are under way.
pub trait AcceptRoom {
    /// Whether *more than* the limit wait already (Linux: `sk_acceptq_is_full`).
    fn is_full(&self) -> bool;
    /// Takes one place for a completed handshake; false when the queue is full.
    fn reserve(&self) -> bool;
    /// A cookie was sent: it may come back at another shard.
    fn cookie_sent(&self, now: Instant);
    /// Whether a cookie that was not sent by this shard may still come back at `now`.
    fn awaits_cookies(&self, now: Instant) -> bool;
}

/// How much a shared note of the last cookie may lag behind: shards that flood each other with notes would wait for each
/// other.
pub const COOKIE_GRAIN: Duration = Duration::from_millis(500);

/// What a listener decided about a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// The segment is dealt with.
    Settled(Verdict),
    /// The handshake is complete and a place in the accept queue is reserved: make the connection, and let it see the
    /// same segment (it may carry data).
    Open(HalfOpen, Counts),
}

/// What a listener is told when it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerConfig {
    /// Where it listens; an unspecified address stands for every address of its family.
    pub local: Endpoint,
    /// min(backlog, `somaxconn`), divided among the shards. Full means *more than* that many half-open connections.
    pub syn_queue_limit: u32,
    /// With cookies off, SYNs are dropped from three quarters of this on (Linux: `tcp_max_syn_backlog`), divided among
    /// the shards.
    pub max_syn_backlog: u32,
    /// When cookies are sent.
    pub syncookies: Syncookies,
    /// Whether a cookie may do without timestamps.
    pub cookie_timestamps: CookieTimestamps,
    /// Whether a completing ACK that finds the accept queue full is answered with RST (Linux:
    /// `tcp_abort_on_overflow`).
    pub abort_on_overflow: bool,
    /// What SYN-ACKs offer.
    pub offer: Offer,
}

/// What the listeners of one shard share.
#[derive(Debug)]
pub struct HalfOpens {
    /// Half-open connections that we remember.
    pub table: SynTable,
    /// Half-open connections that their peers remember for us.
    pub cookies: CookieJar,
    /// Keys.
    pub secrets: Secrets,
    /// The limit on RSTs for stray segments.
    pub resets: ResetLimit,
}

impl HalfOpens {
    /// An empty table of the wanted size, and cookies whose keys are in force for [`cookie_key_life`](crate::syn_cookie::KeySchedule::new) each.
    pub fn new(config: &SynTableConfig, secrets: Secrets, cookie_key_life: Duration) -> Self {
        Self {
            table: SynTable::new(config, &secrets),
            cookies: CookieJar::new(secrets.cookie_keys(cookie_key_life)),
            resets: ResetLimit::new(&secrets),
            secrets,
        }
    }
}

/// A passive open (RFC 9293, section 3.10.1): one port on one or every local address, within one shard.
#[derive(Debug)]
pub struct Listener {
    id: ListenerId,
    local: Endpoint,
    guard: FloodGuard,
    cookie_timestamps: CookieTimestamps,
    abort_on_overflow: bool,
}

impl Listener {
    /// Starts to listen. `None` when 65,536 listeners exist already.
    pub fn new(config: &ListenerConfig, shared: &mut HalfOpens) -> Option<Self> {
        let ListenerConfig {
            local,
            syn_queue_limit,
            max_syn_backlog,
            syncookies,
            cookie_timestamps,
            abort_on_overflow,
            offer,
        } = config;
        Some(Self {
            id: shared.table.add_listener(*syn_queue_limit, offer)?,
            local: *local,
            guard: FloodGuard::new(*syncookies, *max_syn_backlog),
            cookie_timestamps: *cookie_timestamps,
            abort_on_overflow: *abort_on_overflow,
        })
    }

    /// Stops listening and forgets the listener's half-open connections; returns how many. Walks the whole table once.
    pub fn close(self, shared: &mut HalfOpens) -> u32 {
        shared.table.remove_listener(self.id)
    }

    /// The name of its SYN queue.
    pub const fn id(&self) -> ListenerId {
        self.id
    }

    /// Where it listens.
    pub const fn local(&self) -> Endpoint {
        self.local
    }

    /// Whether the next SYN gets a cookie.
    pub fn sends_cookies(&self, now: Instant, shared: &HalfOpens) -> bool {
        self.guard.sends_cookies(now, shared.table.queue(self.id))
    }

    /// Takes a SYN whose state another shard will have: answered here if it gets a cookie, since then there is no state.
    pub fn on_foreign_syn(
        &mut self,
        now: Instant,
        segment: &Segment,
        shared: &mut HalfOpens,
        room: &impl AcceptRoom,
    ) -> Option<Verdict> {
        let Options::Syn(options) = segment.options else { return None };
        if segment.flags.contains(Flags::ACK) || !self.sends_cookies(now, shared) || room.is_full() {
            return None;
        }
        let syn = Syn::of(segment, &options);
        self.guard.foreign_cookie_sent(now);
        let counts = Counts::of(&[Counter::TCPReqQFullDoCookies]);
        Some(self.send_cookie(&mut Arrival { now, segment, shared, room }, &syn, counts))
    }

    /// Takes a segment that is addressed here and belongs to no connection.
    pub fn on_segment(
        &mut self,
        now: Instant,
        segment: &Segment,
        shared: &mut HalfOpens,
        room: &impl AcceptRoom,
    ) -> Outcome {
        let found = shared.table.find(&segment.tuple);
        let mut arrival = Arrival { now, segment, shared, room };
        match found {
            Ok(entry) => self.on_half_open(&mut arrival, entry),
            Err(vacancy) => self.on_listen(&mut arrival, vacancy),
        }
    }
}

/// A segment on its way through the listener, and what may be asked and changed on the way.
struct Arrival<'a, Room> {
    now: Instant,
    segment: &'a Segment,
    shared: &'a mut HalfOpens,
    room: &'a Room,
}

impl<Room> Arrival<'_, Room> {
    fn has(&self, flag: Flags) -> bool {
        self.segment.flags.contains(flag)
    }

    /// Answers a stray segment with RST, unless its peer has drawn too many of them.
    fn refuse(&mut self, reason: DropReason, counts: Counts) -> Outcome {
        let verdict = Verdict::dropped(reason).counting(counts);
        Outcome::Settled(if self.shared.resets.allow(self.now, self.segment.tuple.remote.addr) {
            Verdict { reply: reset::answer(self.segment), ..verdict }
        } else {
            verdict.counting(Counts::of(&[Counter::RstsLimited]))
        })
    }
}
