//! A listener, its peers, and what passes between them.

mod handshake;
mod icmp;
mod listen;
mod orders;
mod overflow;
mod syn_received;

use super::{AcceptRoom, HalfOpens, Listener, ListenerConfig, Outcome};
use crate::flood_guard::{CookieTimestamps, Syncookies};
use crate::half_open::{HalfOpen, Offer};
use crate::isn::Secrets;
use crate::segment::{DataOptions, MacAddr, Mss, SynOptions, Timestamps, WindowScale};
use crate::syn_table::SynTableConfig;
use crate::{
    Codepoint, Counter, Counts, DropReason, Endpoint, Fate, Flags, Head, Instant, Link, Marking, Options, Segment,
    SeqNum, Span,
};
use crate::{Tuple, Verdict};
use core::cell::Cell;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

/// The peer's initial sequence number.
const IRS: SeqNum = SeqNum(u32::MAX - 1);

const OFFER: Offer = Offer {
    mss_v4: Mss::DEFAULT_V4,
    mss_v6: Mss::DEFAULT_V6,
    window: 64_000,
    window_scale: Some(WindowScale::MAX),
    sack: true,
    timestamps: true,
    ecn: true,
    marking: Marking::DEFAULT,
};

const FLAGS_SA: Flags = Flags::SYN.union(Flags::ACK);
const FLAGS_RA: Flags = Flags::RST.union(Flags::ACK);
const FLAGS_FA: Flags = Flags::FIN.union(Flags::ACK);

/// An accept queue.
struct Room {
    waiting: Cell<u32>,
    limit: Cell<u32>,
}

impl AcceptRoom for Room {
    fn is_full(&self) -> bool {
        self.waiting.get() > self.limit.get()
    }

    fn reserve(&self) -> bool {
        let free = !self.is_full();
        self.waiting.set(self.waiting.get() + u32::from(free));
        free
    }

    fn cookie_sent(&self, _: Instant) {}

    fn awaits_cookies(&self, _: Instant) -> bool {
        false
    }
}

/// A listener under test, and its clock.
struct Bed {
    now: Instant,
    shared: HalfOpens,
    listener: Listener,
    room: Room,
}

fn config(syncookies: Syncookies, limit: u32) -> ListenerConfig {
    ListenerConfig {
        local: Endpoint::new(Ipv4Addr::UNSPECIFIED.into(), 80),
        syn_queue_limit: limit,
        max_syn_backlog: 2048,
        syncookies,
        cookie_timestamps: CookieTimestamps::Optional,
        abort_on_overflow: false,
        offer: OFFER,
    }
}

impl Bed {
    /// Cookies as in `syncookies`, and both queues limited to `limit`.
    fn new(syncookies: Syncookies, limit: u32) -> Self {
        Self::with(&config(syncookies, limit), limit)
    }

    fn with(config: &ListenerConfig, limit: u32) -> Self {
        Self::with_table(config, limit, None)
    }

    /// The same where no network may have more than `share` half-open connections.
    fn with_share(syncookies: Syncookies, limit: u32, share: u16) -> Self {
        Self::with_table(&config(syncookies, limit), limit, Some(share))
    }

    fn with_table(config: &ListenerConfig, limit: u32, per_prefix: Option<u16>) -> Self {
        let table = SynTableConfig { capacity: 64, links: 4, synack_retries: 5, per_prefix };
        let secrets = Secrets::from_seed(&core::array::from_fn(|byte| byte as u8));
        let mut shared = HalfOpens::new(&table, secrets, Duration::from_secs(600));
        let listener = Listener::new(config, &mut shared).unwrap();
        let room = Room { waiting: Cell::new(0), limit: Cell::new(limit) };
        Self { now: Instant::from_millis(5_000_000), shared, listener, room }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn give(&mut self, segment: &Segment) -> Outcome {
        self.listener.on_segment(self.now, segment, &mut self.shared, &self.room)
    }

    /// Gives a segment that does not complete a handshake.
    fn settle(&mut self, segment: &Segment) -> Verdict {
        match self.give(segment) {
            Outcome::Settled(verdict) => verdict,
            Outcome::Open(..) => panic!("{segment:?} completed a handshake"),
        }
    }

    /// Gives a SYN that is answered; the SYN-ACK and what was counted.
    fn syn_ack(&mut self, segment: &Segment) -> (Head, Counts) {
        let Verdict { fate, reply, counts } = self.settle(segment);
        assert_eq!(fate, Fate::Consumed);
        let head = reply.expect("a SYN-ACK");
        assert_eq!((head.flags - Flags::ECE, head.tuple), (FLAGS_SA, segment.tuple));
        assert_eq!(head.ack, segment.seq + 1, "the SYN alone is acknowledged");
        (head, counts)
    }

    /// Gives a segment that completes a handshake.
    fn open(&mut self, segment: &Segment) -> (HalfOpen, Counts) {
        match self.give(segment) {
            Outcome::Open(half_open, counts) => (half_open, counts),
            Outcome::Settled(verdict) => panic!("{segment:?} completed nothing: {verdict:?}"),
        }
    }

    fn half_open(&self) -> u32 {
        self.shared.table.queue(self.listener.id()).len
    }
}

/// The `n`th peer.
fn tuple(n: u16) -> Tuple {
    Tuple {
        local: Endpoint::new(Ipv4Addr::new(192, 0, 2, 1).into(), 80),
        remote: Endpoint::new(Ipv4Addr::new(198, 51, 100, 1).into(), 40_000 + n),
    }
}

fn tuple_v6(n: u16) -> Tuple {
    let addr = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into();
    Tuple { local: Endpoint::new(addr(1), 80), remote: Endpoint::new(addr(2), 40_000 + n) }
}

/// A bare segment without ACK.
fn segment(tuple: Tuple, flags: Flags, seq: SeqNum) -> Segment {
    let is_syn = flags.contains(Flags::SYN);
    Segment {
        link: Link { local: MacAddr([2; 6]), remote: MacAddr([4; 6]), outer: None, inner: None },
        tuple,
        seq,
        ack: SeqNum(0),
        flags,
        window: 64_000,
        ecn: Codepoint::NotEct,
        options: if is_syn { Options::Syn(SynOptions::default()) } else { Options::NONE },
        payload: Span { start: 54, len: 0 },
        unfinished_checksum: false,
    }
}

fn syn(tuple: Tuple, options: SynOptions) -> Segment {
    Segment { options: Options::Syn(options), ..segment(tuple, Flags::SYN, IRS) }
}

fn plain_syn(n: u16) -> Segment {
    syn(tuple(n), SynOptions::default())
}

/// What Linux asks for.
fn usual_options(stamp: u32) -> SynOptions {
    SynOptions {
        mss: Mss::announced(1460),
        window_scale: Some(WindowScale::clamped(7)),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: stamp, echo: 0 }),
    }
}

/// The third segment that answers `syn_ack`, `later` milliseconds on the peer's clock after its SYN.
fn third(syn_ack: &Head, later: u32) -> Segment {
    let timestamps =
        syn_ack.options.timestamps().map(|ours| Timestamps { value: ours.echo.wrapping_add(later), echo: ours.value });
    Segment {
        ack: syn_ack.seq + 1,
        options: Options::Data(DataOptions { timestamps, ..DataOptions::default() }),
        ..segment(syn_ack.tuple, Flags::ACK, syn_ack.ack)
    }
}

/// A RST that answers a segment with ACK.
fn reset_for(segment: &Segment) -> Head {
    let (tuple, seq) = (segment.tuple, segment.ack);
    Head { tuple, seq, ack: SeqNum(0), flags: Flags::RST, window: 0, options: Options::NONE, marking: Marking::DEFAULT }
}

/// The verdict that drops a segment without an answer.
fn dropped(reason: DropReason, counters: &[Counter]) -> Verdict {
    Verdict::dropped(reason).counting(Counts::of(counters))
}
