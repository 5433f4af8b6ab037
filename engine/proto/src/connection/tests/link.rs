//! Two connections over a link that delays, loses, reorders and duplicates by a seed, in virtual time. Everything crosses
//! it as frames.

use super::bench::{TUPLE, ms, mss};
use crate::connection::{Connection, ConnectionConfig, Events, State, Terms, TimeWait, TimeWaitOutcome};
use crate::half_open::{HalfOpen, Negotiated, Offer, Syn};
use crate::segment::WindowScale;
use crate::wire::{ChecksumPolicy, parse, write_segment};
use crate::{Fate, Flags, Head, Instant, Link, Options, Segment, SeqNum, Tuple};
use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

/// What the link does to frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quality {
    /// One way.
    pub delay: Duration,
    /// At most so much more, at random: what reorders.
    pub jitter: Duration,
    /// Frames lost, per 1000.
    pub loss: u64,
    /// Frames that arrive twice, per 1000.
    pub duplicates: u64,
    /// Bits per second.
    pub rate: u64,
}

impl Quality {
    pub(super) const PERFECT: Self =
        Self { delay: Duration::from_millis(5), jitter: Duration::ZERO, loss: 0, duplicates: 0, rate: 1_000_000_000 };
}

/// What one application does: sends so many bytes, reads whatever comes, closes when both streams are complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub sends: u32,
    /// Bytes per call of `send`.
    pub chunk: u32,
    /// How long it sleeps before each read.
    pub reads_after: Duration,
}

/// SplitMix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit.max(1)
    }
}

/// What is at one end of the link.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are two")]
enum Station {
    Listening { iss: SeqNum, pending: Option<Negotiated> },
    Connected(Connection),
    Waiting(TimeWait),
    Gone,
}

#[derive(Debug)]
pub(super) struct End {
    tuple: Tuple,
    config: ConnectionConfig,
    station: Station,
    plan: Plan,
    offered: u32,
    pub acked: u32,
    pub received: u32,
    unread: u32,
    reads_at: Instant,
    shut: bool,
    pub peer_closed: bool,
    closed: bool,
    pub failed: bool,
    pub retransmits: u32,
}

/// The byte at `position` of the stream that `end` sends.
fn byte(end: usize, position: u32) -> u8 {
    (position ^ position >> 8 ^ position >> 16) as u8 ^ (end as u8 * 0x55)
}

/// Arrival, order of sending, destination, frame.
type Flight = (Instant, u64, usize, Vec<u8>);

#[derive(Debug)]
pub(super) struct Pair {
    pub now: Instant,
    pub ends: [End; 2],
    quality: Quality,
    random: Random,
    flying: BinaryHeap<Reverse<Flight>>,
    sent: u64,
    /// When each direction's line is free again.
    free_at: [Instant; 2],
}

/// TIME-WAIT outlasts several of the longest RTOs: an end that is gone answers nothing here, and its peer may still lack the last
/// acknowledgment.
pub(super) fn config() -> ConnectionConfig {
    let time_wait = Duration::from_secs(900);
    let receive_buffer = 1 << 20;
    ConnectionConfig {
        receive_buffer,
        receive_buffer_max: receive_buffer,
        mss: mss(1460),
        time_wait,
        ..super::bench::config()
    }
}

impl Pair {
    /// End 0 connects to end 1.
    pub(super) fn new(seed: u64, quality: Quality, plans: [Plan; 2], config: &ConnectionConfig) -> Self {
        let now = Instant::from_millis(1000);
        let mut random = Random(seed);
        // Both streams cross the wrap early.
        let mut iss = || SeqNum(u32::MAX - random.below(3000) as u32);
        let (client_iss, server_iss) = (iss(), iss());
        let client = Connection::connect(now, TUPLE.reversed(), client_iss, 77, &Terms::from(config));
        let end = |tuple, station, plan| End {
            tuple,
            config: config.clone(),
            station,
            plan,
            offered: 0,
            acked: 0,
            received: 0,
            unread: 0,
            reads_at: now,
            shut: false,
            peer_closed: false,
            closed: false,
            failed: false,
            retransmits: 0,
        };
        let ends = [
            end(TUPLE.reversed(), Station::Connected(client), plans[0]),
            end(TUPLE, Station::Listening { iss: server_iss, pending: None }, plans[1]),
        ];
        Self { now, ends, quality, random, flying: BinaryHeap::new(), sent: 0, free_at: [now; 2] }
    }

    /// Runs until nothing is left to happen, `most` has passed, or `enough` says so.
    pub(super) fn run(&mut self, most: Duration, enough: impl Fn(&[End; 2]) -> bool) {
        let end = self.now + most;
        while !enough(&self.ends) {
            for index in 0..2 {
                self.act(index);
            }
            let Some(next) = self.next_event() else { return };
            if next > end {
                return;
            }
            self.now = self.now.max(next);
            while self.flying.peek().is_some_and(|Reverse((at, ..))| *at <= self.now) {
                let Some(Reverse((_, _, to, frame))) = self.flying.pop() else { break };
                self.arrive(to, &frame);
            }
            for index in 0..2 {
                self.tick(index);
            }
        }
    }

    /// Whether both ends are gone, TIME-WAIT included.
    pub(super) fn is_over(&self) -> bool {
        self.flying.is_empty() && self.ends.iter().all(|end| matches!(end.station, Station::Gone))
    }

    fn next_event(&self) -> Option<Instant> {
        let frame = self.flying.peek().map(|Reverse((at, ..))| *at);
        let ends = self.ends.iter().filter_map(|end| {
            let reads_at = (end.unread > 0).then_some(end.reads_at);
            match &end.station {
                Station::Connected(connection) => connection.deadline().into_iter().chain(reads_at).min(),
                Station::Waiting(time_wait) => Some(time_wait.deadline()),
                Station::Listening { .. } | Station::Gone => None,
            }
        });
        ends.chain(frame).min()
    }

    fn arrive(&mut self, to: usize, frame: &[u8]) {
        let segment = parse(frame, ChecksumPolicy::Full).expect("the link does not corrupt");
        let (now, end) = (self.now, &mut self.ends[to]);
        match &mut end.station {
            Station::Listening { iss, pending } => {
                let answer = listen(now, *iss, pending, &segment);
                if let Some(head) = answer {
                    self.launch_head(to, &head);
                } else if let Some(negotiated) = pending.filter(|_| segment.flags.contains(Flags::ACK)) {
                    let half_open = HalfOpen { negotiated, timeouts: 0, round_trip: None };
                    end.station =
                        Station::Connected(Connection::accept(now, end.tuple, &half_open, &Terms::from(&end.config)));
                    self.pass_on(to, &segment, frame);
                }
            }
            Station::Connected(_) => self.pass_on(to, &segment, frame),
            Station::Waiting(time_wait) => {
                let TimeWaitOutcome::Settled(verdict) = time_wait.on_segment(now, &segment) else { return };
                if let Some(head) = verdict.reply {
                    self.launch_head(to, &head);
                }
            }
            Station::Gone => {}
        }
    }

    fn pass_on(&mut self, to: usize, segment: &Segment, frame: &[u8]) {
        let Station::Connected(connection) = &mut self.ends[to].station else { return };
        let decision = connection.on_segment(self.now, segment, frame);
        if let Fate::Delivered(span) = decision.verdict.fate {
            assert_eq!(decision.verdict.reply, None, "a frame is delivered or carries a reply");
            self.ends[to].read(1 - to, span.of(frame), self.now);
        }
        if let Some(head) = decision.verdict.reply {
            self.launch_head(to, &head);
        }
        self.ends[to].on_events(1 - to, decision.events, self.now);
    }

    fn tick(&mut self, index: usize) {
        let (now, end) = (self.now, &mut self.ends[index]);
        match &mut end.station {
            Station::Connected(connection) => {
                let decision = connection.on_timer(now);
                end.on_events(1 - index, decision.events, now);
                if let Some(head) = decision.verdict.reply {
                    self.launch_head(index, &head);
                }
            }
            Station::Waiting(time_wait) if time_wait.deadline() <= now => end.station = Station::Gone,
            Station::Waiting(_) | Station::Listening { .. } | Station::Gone => {}
        }
    }

    /// The application's turn, then the transmitter's.
    fn act(&mut self, index: usize) {
        let reset = self.ends[index].act(index, self.now);
        if let Some(head) = reset {
            self.launch_head(index, &head);
        }
        let mut frame = vec![0; 2048];
        while let Station::Connected(connection) = &mut self.ends[index].station {
            let Some(len) = connection.poll_transmit(self.now, &Link::default(), &mut frame) else { break };
            self.ends[index].retransmits = connection.info(self.now).retransmits;
            self.launch(index, frame[..len].to_vec());
        }
        if let Station::Connected(connection) = &self.ends[index].station
            && connection.state() == State::Closed
        {
            self.ends[index].station = Station::Gone;
        }
    }

    fn launch_head(&mut self, from: usize, head: &Head) {
        let mut frame = vec![0; 128];
        let len = write_segment(&mut frame, &Link::default(), head);
        self.launch(from, frame[..len].to_vec());
    }

    fn launch(&mut self, from: usize, frame: Vec<u8>) {
        let Quality { delay, jitter, loss, duplicates, rate } = self.quality;
        let on_the_line = Duration::from_nanos(frame.len() as u64 * 8 * 1_000_000_000 / rate);
        let departs = self.free_at[from].max(self.now) + on_the_line;
        self.free_at[from] = departs;
        if self.random.below(1000) < loss {
            return;
        }
        let copies = 1 + u64::from(self.random.below(1000) < duplicates);
        for _ in 0..copies {
            let late = Duration::from_nanos(self.random.below(jitter.as_nanos() as u64 + 1));
            self.sent += 1;
            self.flying.push(Reverse((departs + delay + late, self.sent, 1 - from, frame.clone())));
        }
    }
}

/// A listener for one connection: the SYN is answered, whatever acknowledges the answer opens.
fn listen(now: Instant, iss: SeqNum, pending: &mut Option<Negotiated>, segment: &Segment) -> Option<Head> {
    let Options::Syn(options) = segment.options else { return None };
    let offer = Offer { window_scale: Some(WindowScale::clamped(7)), ..Offer::default() };
    let syn = Syn::of(segment, &options);
    let negotiated = *pending.get_or_insert_with(|| Negotiated::new(&syn, &offer, iss, 99));
    Some(negotiated.syn_ack(now, &segment.tuple, &offer))
}

impl End {
    fn read(&mut self, peer: usize, bytes: &[u8], now: Instant) {
        for &seen in bytes {
            assert_eq!(seen, byte(peer, self.received), "byte {} of end {peer}", self.received);
            self.received += 1;
        }
        if self.unread == 0 {
            self.reads_at = now + self.plan.reads_after;
        }
        self.unread += bytes.len() as u32;
    }

    fn on_events(&mut self, peer: usize, events: Events, now: Instant) {
        let Station::Connected(connection) = &mut self.station else { return };
        let mut waiting = Vec::new();
        if events.contains(Events::REASSEMBLED) {
            waiting.extend(core::iter::from_fn(|| connection.take_reassembled()).flatten());
        }
        if events.contains(Events::SENT) {
            self.acked += connection.take_acked();
        }
        // After close nobody waits for the last acknowledgment, and the connection may give it up.
        self.failed |= events.contains(Events::FAILED) && !self.closed;
        self.peer_closed |= events.contains(Events::PEER_CLOSED);
        if events.contains(Events::TIME_WAIT) {
            self.station = Station::Waiting(connection.time_wait(now));
        } else if events.contains(Events::CLOSED) {
            self.station = Station::Gone;
        }
        self.read(peer, &waiting, now);
    }

    fn act(&mut self, index: usize, now: Instant) -> Option<Head> {
        let Station::Connected(connection) = &mut self.station else { return None };
        if self.unread > 0 && self.reads_at <= now {
            connection.consumed(now, self.unread);
            self.unread = 0;
        }
        while self.offered < self.plan.sends {
            let len = self.plan.chunk.min(self.plan.sends - self.offered).min(connection.send_space());
            if len == 0 {
                return None;
            }
            connection.send(now, (self.offered..self.offered + len).map(|at| byte(index, at)).collect());
            self.offered += len;
        }
        if connection.state() != State::SynSent && !self.shut {
            self.shut = true;
            connection.shutdown(now);
        }
        let all_acked = self.acked == self.plan.sends;
        if self.closed || !(self.shut && self.peer_closed && self.unread == 0 && all_acked) {
            return None;
        }
        self.closed = true;
        connection.close(now)
    }
}

/// Nothing read late, chunks of 16 KiB.
pub(super) fn sends(bytes: u32) -> Plan {
    Plan { sends: bytes, chunk: 16 * 1024, reads_after: ms(0) }
}
