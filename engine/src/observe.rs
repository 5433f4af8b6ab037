//! What anyone may see of the shards while they run: counters from atomics, tables by asking.

use crate::answers::{Mailbox, Question};
use crate::registry::Registry;
use crate::stats::ShardStats;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use synward_nic::{Mode, Modes};
use synward_proto::{Counter, DropReason, Endpoint};

/// Slices of an answer that may wait to be taken.
const SLICES: usize = 8;

/// A view of all shards from any thread. Clones share it.
#[derive(Clone)]
pub struct Observer {
    shards: Arc<[Observed]>,
    registry: Arc<Registry>,
}

/// What there is to see of one shard.
pub(crate) struct Observed {
    pub(crate) stats: Arc<ShardStats>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) modes: ModesInForce,
}

impl Observer {
    /// A view of these shards and of who listens at them.
    pub(crate) fn new(shards: Vec<Observed>, registry: Arc<Registry>) -> Self {
        Self { shards: shards.into(), registry }
    }

    /// Everything that is counted, now, all shards together. Never waits for a shard; values of one snapshot may be a turn
    /// apart. The modes are those of the first shard.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshots().reduce(Snapshot::plus).unwrap_or_default()
    }

    /// As [`snapshot`](Self::snapshot), of each shard for itself, in the order of their numbers.
    pub fn snapshots(&self) -> impl Iterator<Item = Snapshot> {
        self.shards.iter().map(Observed::snapshot)
    }

    /// How things stand in each shard, now, in the order of their numbers.
    pub fn gauges(&self) -> impl Iterator<Item = Gauges> {
        self.shards.iter().map(|shard| shard.stats.gauges())
    }

    /// What became of the frames that each shard received, in the order of their numbers.
    pub fn outcomes(&self) -> impl Iterator<Item = Outcomes> {
        self.shards.iter().map(|shard| shard.stats.outcomes())
    }

    /// The value of one counter, now.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.shards.iter().map(|shard| shard.stats.counter(counter)).sum()
    }

    /// Frames dropped for one reason, now.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.shards.iter().map(|shard| shard.stats.drops(reason)).sum()
    }

    /// How hard the listener at `local` is pressed, now; `None` while nobody listens there. Never waits for a shard.
    pub fn listener_pressure(&self, local: &Endpoint) -> Option<Pressure> {
        self.registry.pressure(local)
    }

    /// Asks for all listeners.
    ///
    /// # Errors
    /// [`ObserveError::Busy`] when too many questions wait already.
    pub fn listeners(&self) -> Result<Listing<ListenerRow>, ObserveError> {
        self.ask(Question::Listeners)
    }

    /// Asks for all connections, TIME-WAIT included.
    ///
    /// # Errors
    /// [`ObserveError::Busy`] when too many questions wait already.
    pub fn connections(&self) -> Result<Listing<ConnectionRow>, ObserveError> {
        self.ask(Question::Connections)
    }

    fn ask<Row>(&self, question: impl Fn(Sender<Vec<Row>>) -> Question) -> Result<Listing<Row>, ObserveError> {
        let mut answers = VecDeque::with_capacity(self.shards.len());
        for shard in self.shards.iter() {
            let (to, slices) = bounded(SLICES);
            if !shard.mailbox.ask(question(to)) {
                return Err(ObserveError::Busy);
            }
            answers.push_back(Answering { slices, mailbox: Arc::clone(&shard.mailbox) });
        }
        Ok(Listing { answers })
    }
}

impl Observed {
    fn snapshot(&self) -> Snapshot {
        let stats = &self.stats;
        Snapshot {
            counters: Counter::ALL.iter().map(|&counter| (counter.name(), stats.counter(counter))).collect(),
            drops: DropReason::ALL.iter().map(|&reason| (reason.name(), stats.drops(reason))).collect(),
            outcomes: stats.outcomes(),
            ledger: stats.ledger().collect(),
            port: stats.port().collect(),
            gauges: stats.gauges(),
            modes: self.modes,
        }
    }
}

/// An answer under way. The shards give it in slices, a few rows per turn, and pause while nobody takes them.
pub struct Listing<Row> {
    /// Of the shards that have not told all yet.
    answers: VecDeque<Answering<Row>>,
}

/// The answer of one shard.
struct Answering<Row> {
    /// A slice without rows is the last.
    slices: Receiver<Vec<Row>>,
    mailbox: Arc<Mailbox>,
}

impl<Row> Listing<Row> {
    /// Takes the next rows. `Ok(None)`: there are no more. No rows: not yet.
    ///
    /// # Errors
    /// [`ObserveError::Ended`] when a poll loop ended before its answer did.
    pub fn try_next(&mut self) -> Result<Option<Vec<Row>>, ObserveError> {
        let Some(answering) = self.answers.front() else { return Ok(None) };
        match answering.slices.try_recv() {
            Ok(rows) => Ok(self.took(rows)),
            Err(TryRecvError::Empty) => Ok(Some(Vec::new())),
            Err(TryRecvError::Disconnected) => Err(ObserveError::Ended),
        }
    }

    /// Waits for the whole answer, at most `timeout`.
    ///
    /// # Errors
    /// [`ObserveError::TimedOut`]; [`ObserveError::Ended`] when a poll loop ended before its answer did.
    pub fn collect(mut self, timeout: Duration) -> Result<Vec<Row>, ObserveError> {
        let deadline = Instant::now() + timeout;
        let mut all = Vec::new();
        while let Some(answering) = self.answers.front() {
            match answering.slices.recv_deadline(deadline) {
                Ok(rows) => all.extend(self.took(rows).into_iter().flatten()),
                Err(RecvTimeoutError::Timeout) => return Err(ObserveError::TimedOut),
                Err(RecvTimeoutError::Disconnected) => return Err(ObserveError::Ended),
            }
        }
        Ok(all)
    }

    /// The shard may have paused for want of room, which there is now.
    fn took(&mut self, rows: Vec<Row>) -> Option<Vec<Row>> {
        let answering = self.answers.front()?;
        answering.mailbox.bell().ring();
        if !rows.is_empty() {
            return Some(rows);
        }
        self.answers.pop_front();
        (!self.answers.is_empty()).then(Vec::new)
    }
}

/// Why a question has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ObserveError {
    /// Too many questions wait already.
    #[error("too many questions wait for the poll loop")]
    Busy,
    /// No answer in time.
    #[error("the poll loop did not answer in time")]
    TimedOut,
    /// The poll loop has ended.
    #[error("the poll loop has ended")]
    Ended,
}

/// How hard a listener is pressed, at all shards together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pressure {
    /// When a shard last answered a SYN with a cookie, on the poll loops' clock, to within
    /// [`COOKIE_GRAIN`](synward_proto::listener::COOKIE_GRAIN).
    pub last_cookie: Option<synward_proto::Instant>,
    /// More than this many half-open connections is full.
    pub syn_queue_limit: u32,
    /// Connections that wait for accept.
    pub accept_queue: u32,
    /// More than this many is full.
    pub accept_queue_limit: u32,
}

/// What is counted in one shard or in several.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// Counters under Linux's names; every name is there, zero included.
    pub counters: BTreeMap<&'static str, u64>,
    /// Dropped frames by reason; every reason is there, zero included.
    pub drops: BTreeMap<&'static str, u64>,
    /// What became of the received frames.
    pub outcomes: Outcomes,
    /// Where every frame of the pool is: holder to number of frames.
    pub ledger: BTreeMap<&'static str, u64>,
    /// Packets lost below the rings: cause to number.
    pub port: BTreeMap<&'static str, u64>,
    /// How things stand.
    pub gauges: Gauges,
    /// The modes in force.
    pub modes: ModesInForce,
}

impl Snapshot {
    /// Both together.
    fn plus(mut self, other: Self) -> Self {
        let Self { counters, drops, outcomes, ledger, port, gauges, modes: _ } = other;
        for (sums, more) in [
            (&mut self.counters, counters),
            (&mut self.drops, drops),
            (&mut self.ledger, ledger),
            (&mut self.port, port),
        ] {
            for (name, value) in more {
                *sums.entry(name).or_default() += value;
            }
        }
        self.outcomes = self.outcomes.plus(&outcomes);
        self.gauges = self.gauges.plus(&gauges);
        self
    }
}

/// What became of the received frames. `received` is the sum of the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Outcomes {
    /// Frames received.
    pub received: u64,
    /// Did their work.
    pub consumed: u64,
    /// Did their work and carried an immediate answer home.
    pub answered: u64,
    /// Went to a reader.
    pub delivered: u64,
    /// Went to the shard that owns their connection, where they count as received once more.
    pub steered: u64,
    /// Died for a reason of [`Snapshot::drops`], answered or not.
    pub dropped: u64,
}

impl Outcomes {
    fn plus(&self, other: &Self) -> Self {
        Self {
            received: self.received + other.received,
            consumed: self.consumed + other.consumed,
            answered: self.answered + other.answered,
            delivered: self.delivered + other.delivered,
            steered: self.steered + other.steered,
            dropped: self.dropped + other.dropped,
        }
    }

    /// Whether every received frame became exactly one thing.
    pub fn is_balanced(&self) -> bool {
        let Self { received, consumed, answered, delivered, steered, dropped } = *self;
        received == consumed + answered + delivered + steered + dropped
    }
}

/// How things stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Gauges {
    /// Connections in the table.
    pub connections: u64,
    /// The most there can be.
    pub connections_limit: u64,
    /// Entries in TIME-WAIT.
    pub time_waits: u64,
    /// The most there can be.
    pub time_waits_limit: u64,
    /// Half-open connections of all listeners.
    pub half_open: u64,
    /// The most there can be.
    pub half_open_limit: u64,
    /// Received frames that readers hold.
    pub frames_lent: u64,
    /// The most there can be.
    pub frames_lent_limit: u64,
    /// Pairs of connections whose bytes go from each to the other inside their shard.
    pub spliced: u64,
    /// Source ports in use, counted for each peer apart, those in TIME-WAIT included.
    pub source_ports_used: u64,
    /// Connections that the application has closed and the peer has not finished with.
    pub orphans: u64,
    /// Bytes that connections hold: unsent, not acknowledged, unread, or received beyond a gap.
    pub buffered: u64,
    /// The most they may hold.
    pub buffered_limit: u64,
}

impl Gauges {
    fn plus(&self, other: &Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            connections_limit: self.connections_limit + other.connections_limit,
            time_waits: self.time_waits + other.time_waits,
            time_waits_limit: self.time_waits_limit + other.time_waits_limit,
            half_open: self.half_open + other.half_open,
            half_open_limit: self.half_open_limit + other.half_open_limit,
            frames_lent: self.frames_lent + other.frames_lent,
            frames_lent_limit: self.frames_lent_limit + other.frames_lent_limit,
            spliced: self.spliced + other.spliced,
            source_ports_used: self.source_ports_used + other.source_ports_used,
            orphans: self.orphans + other.orphans,
            buffered: self.buffered + other.buffered,
            buffered_limit: self.buffered_limit + other.buffered_limit,
        }
    }
}

/// The modes in force, as words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ModesInForce {
    /// `zero-copy`, `copy` or `memory`.
    pub mode: &'static str,
    /// Whether the kernel asks to be woken.
    pub need_wakeup: bool,
    /// Whether busy polling is preferred.
    pub busy_poll: bool,
}

impl From<Modes> for ModesInForce {
    fn from(modes: Modes) -> Self {
        let Modes { mode, need_wakeup, busy_poll } = modes;
        let mode = match mode {
            Mode::ZeroCopy => "zero-copy",
            Mode::Copy => "copy",
            Mode::Memory => "memory",
        };
        Self { mode, need_wakeup, busy_poll }
    }
}

/// A listener of one shard, as `ss -ltn` shows it. All shards of an engine have the same listeners.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerRow {
    /// Where it listens.
    pub local: String,
    /// Connections that wait for accept, of all shards together.
    pub accept_queue: u32,
    /// More than this many is full, of all shards together.
    pub accept_queue_limit: u32,
    /// Half-open connections of this shard.
    pub syn_queue: u32,
    /// More than this many is full, in this shard.
    pub syn_queue_limit: u32,
    /// Whether SYNs are answered with cookies now.
    pub cookies_active: bool,
}

/// A connection, as `ss -tino` shows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConnectionRow {
    /// State, in `ss`'s words (`ESTAB`, `FIN-WAIT-1`, `TIME-WAIT` …).
    pub state: &'static str,
    /// Our end.
    pub local: String,
    /// The peer's end.
    pub remote: String,
    /// Bytes received that the application has not read.
    pub recv_queue: u32,
    /// Bytes that the peer has not acknowledged.
    pub send_queue: u32,
    /// Smoothed round-trip time, microseconds, once measured.
    pub srtt_us: Option<u64>,
    /// Retransmission timeout, milliseconds.
    pub rto_ms: u64,
    /// Congestion window, bytes.
    pub cwnd: u32,
    /// Slow-start threshold, bytes.
    pub ssthresh: u32,
    /// The peer's window, bytes.
    pub send_window: u32,
    /// The window we offer, bytes.
    pub receive_window: u32,
    /// Sender's segment size in force.
    pub mss: u16,
    /// Whether both SYNs carried timestamps.
    pub timestamps: bool,
    /// Whether both SYNs permitted SACK.
    pub sack: bool,
    /// Shift of the windows that the peer sends; zero where no scaling was agreed.
    pub peer_scale: u8,
    /// Shift of the windows that we send.
    pub our_scale: u8,
    /// Retransmissions in all.
    pub retransmits: u32,
    /// The nearest timer.
    pub timer: Option<&'static str>,
    /// Milliseconds until it is due.
    pub timer_ms: Option<u64>,
    /// Received frames that its reader holds.
    pub frames_held: u32,
}
