//! What anyone may see of a shard while it runs: counters from atomics, tables by asking.

use crate::answers::{Mailbox, Question};
use crate::stats::ShardStats;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use synward_nic::{Mode, Modes};
use synward_proto::{Counter, DropReason};

/// Slices of an answer that may wait to be taken.
const SLICES: usize = 8;

/// A view of one shard from any thread. Clones share it.
#[derive(Clone)]
pub struct Observer {
    stats: Arc<ShardStats>,
    mailbox: Arc<Mailbox>,
    modes: ModesInForce,
}

impl Observer {
    /// A view of the shard that keeps these numbers and looks into this mailbox.
    pub(crate) fn new(stats: Arc<ShardStats>, mailbox: Arc<Mailbox>, modes: Modes) -> Self {
        Self { stats, mailbox, modes: modes.into() }
    }

    /// Everything that is counted, now. Never waits for the shard; values of one snapshot may be a turn apart.
    pub fn snapshot(&self) -> Snapshot {
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

    /// The value of one counter, now.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.stats.counter(counter)
    }

    /// Frames dropped for one reason, now.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.stats.drops(reason)
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

    fn ask<Row>(&self, question: impl FnOnce(Sender<Vec<Row>>) -> Question) -> Result<Listing<Row>, ObserveError> {
        let (to, slices) = bounded(SLICES);
        if !self.mailbox.ask(question(to)) {
            return Err(ObserveError::Busy);
        }
        Ok(Listing { slices, mailbox: Arc::clone(&self.mailbox) })
    }
}

/// An answer under way. The shard gives it in slices, a few rows per turn, and pauses while nobody takes them.
pub struct Listing<Row> {
    /// A slice without rows is the last.
    slices: Receiver<Vec<Row>>,
    mailbox: Arc<Mailbox>,
}

impl<Row> Listing<Row> {
    /// Takes the next rows. `Ok(None)`: there are no more. No rows: not yet.
    ///
    /// # Errors
    /// [`ObserveError::Ended`] when the poll loop ended before the answer did.
    pub fn try_next(&mut self) -> Result<Option<Vec<Row>>, ObserveError> {
        match self.slices.try_recv() {
            Ok(rows) => Ok(self.took(rows)),
            Err(TryRecvError::Empty) => Ok(Some(Vec::new())),
            Err(TryRecvError::Disconnected) => Err(ObserveError::Ended),
        }
    }

    /// Waits for the whole answer, at most `timeout`.
    ///
    /// # Errors
    /// [`ObserveError::TimedOut`]; [`ObserveError::Ended`] when the poll loop ended before the answer did.
    pub fn collect(self, timeout: Duration) -> Result<Vec<Row>, ObserveError> {
        let deadline = Instant::now() + timeout;
        let mut all = Vec::new();
        loop {
            match self.slices.recv_deadline(deadline) {
                Ok(rows) => match self.took(rows) {
                    Some(rows) => all.extend(rows),
                    None => return Ok(all),
                },
                Err(RecvTimeoutError::Timeout) => return Err(ObserveError::TimedOut),
                Err(RecvTimeoutError::Disconnected) => return Err(ObserveError::Ended),
            }
        }
    }

    /// The shard may have paused for want of room, which there is now.
    fn took(&self, rows: Vec<Row>) -> Option<Vec<Row>> {
        self.mailbox.bell().ring();
        (!rows.is_empty()).then_some(rows)
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

/// What is counted in a shard.
#[derive(Clone, Debug, Serialize)]
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
    /// Died for a reason of [`Snapshot::drops`], answered or not.
    pub dropped: u64,
}

impl Outcomes {
    /// Whether every received frame became exactly one thing.
    pub fn is_balanced(&self) -> bool {
        let Self { received, consumed, answered, delivered, dropped } = *self;
        received == consumed + answered + delivered + dropped
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
}

/// The modes in force, as words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
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

/// A listener, as `ss -ltn` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerRow {
    /// Where it listens.
    pub local: String,
    /// Connections that wait for accept.
    pub accept_queue: u32,
    /// More than this many is full.
    pub accept_queue_limit: u32,
    /// Half-open connections.
    pub syn_queue: u32,
    /// The most there can be.
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
