//! LISTEN and SYN-RECEIVED (RFC 9293, sections 3.10.7.2 and 3.10.7.4).

use crate::flood_guard::{CookieTimestamps, Syncookies};
use crate::half_open::HalfOpen;
use crate::isn::Secrets;
use crate::segment::{Mss, WindowScale};
use crate::syn_cookie::CookieJar;
use crate::syn_table::{ListenerId, SynTable, SynTableConfig};
use crate::{Counts, Endpoint, Instant, Segment, Verdict};

/// Room in the accept queue of a listener, shared among shards.
pub trait AcceptRoom {
    /// Whether *more than* the limit wait already (Linux: `sk_acceptq_is_full`).
    fn is_full(&self) -> bool;
    /// Takes one place for a completed handshake; false when the queue is full.
    fn reserve(&self) -> bool;
}

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

/// What our SYN-ACK offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The largest segment that fits the interface's MTU over IPv4 (MTU − 40).
    pub mss_v4: Mss,
    /// The same over IPv6 (MTU − 60).
    pub mss_v6: Mss,
    /// The receive window, in bytes; a SYN-ACK's is never scaled, so at most 65,535.
    pub window: u16,
    /// The shift of later windows, when the peer scales too; `None` switches window scaling off.
    pub window_scale: Option<WindowScale>,
    /// Whether SACK is permitted when the peer permits it.
    pub sack: bool,
    /// Whether timestamps are used when the peer uses them.
    pub timestamps: bool,
}

impl Default for Offer {
    /// An MTU of 1,500 bytes, and Linux's defaults.
    fn default() -> Self {
        Self {
            mss_v4: Mss::DEFAULT_V4,
            mss_v6: Mss::DEFAULT_V6,
            window: u16::MAX,
            window_scale: Some(WindowScale::clamped(7)),
            sack: true,
            timestamps: true,
        }
    }
}

/// What a listener is told when it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerConfig {
    /// Where it listens; an unspecified address stands for every address of its family.
    pub local: Endpoint,
    /// min(backlog, `somaxconn`), divided among the shards. Full means *more than* that many half-open connections
    /// (Linux: `inet_csk_reqsk_queue_is_full`).
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
}

impl HalfOpens {
    /// An empty table of the wanted size.
    pub fn new(config: &SynTableConfig, secrets: Secrets) -> Self {
        let _ = (config, secrets);
        todo!()
    }
}

/// A passive open (RFC 9293, section 3.10.1): one port on one or every local address, within one shard.
#[derive(Debug)]
pub struct Listener {
    id: ListenerId,
    local: Endpoint,
}

impl Listener {
    /// Starts to listen. `None` when 65,535 listeners exist already.
    pub fn new(config: &ListenerConfig, shared: &mut HalfOpens) -> Option<Self> {
        let _ = (config, shared);
        todo!()
    }

    /// Stops listening and forgets the listener's half-open connections; returns how many. Walks the whole table once.
    pub fn close(self, shared: &mut HalfOpens) -> u32 {
        let _ = shared;
        todo!()
    }

    /// The name of its SYN queue.
    pub const fn id(&self) -> ListenerId {
        self.id
    }

    /// Where it listens.
    pub const fn local(&self) -> Endpoint {
        self.local
    }

    /// Whether SYNs are being answered with cookies.
    pub fn sends_cookies(&self) -> bool {
        todo!()
    }

    /// Takes a segment that is addressed here and belongs to no connection.
    pub fn on_segment(
        &mut self,
        now: Instant,
        segment: &Segment,
        shared: &mut HalfOpens,
        room: &impl AcceptRoom,
    ) -> Outcome {
        let _ = (now, segment, shared, room);
        todo!()
    }
}
