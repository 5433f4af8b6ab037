//! What anyone may see of a shard while it runs: counters from atomics, tables by asking.

use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A view of one shard from any thread. Clones share it.
#[derive(Clone)]
pub struct Observer {}

impl Observer {
    /// Everything that is counted, now. Never waits for the shard; values of one snapshot may be a turn apart.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// Asks for all listeners.
    ///
    /// # Errors
    /// [`ObserveError::Busy`] when too many questions wait already.
    pub fn listeners(&self) -> Result<Listing<ListenerRow>, ObserveError> {
        todo!()
    }

    /// Asks for all connections, TIME-WAIT included.
    ///
    /// # Errors
    /// [`ObserveError::Busy`] when too many questions wait already.
    pub fn connections(&self) -> Result<Listing<ConnectionRow>, ObserveError> {
        todo!()
    }
}

/// An answer under way. The shard gives it in slices, a few per turn, and pauses while nobody takes them.
pub struct Listing<Row> {
    _rows: std::marker::PhantomData<Row>,
}

impl<Row> Listing<Row> {
    /// Takes the rows that are there. `Ok(None)`: no more will come. An empty slice: not yet.
    ///
    /// # Errors
    /// [`ObserveError::Ended`] when the poll loop ended before the answer did.
    pub fn try_next(&mut self) -> Result<Option<Vec<Row>>, ObserveError> {
        todo!()
    }

    /// Waits for the whole answer, at most `timeout`.
    ///
    /// # Errors
    /// [`ObserveError::TimedOut`]; [`ObserveError::Ended`] when the poll loop ended before the answer did.
    pub fn collect(self, timeout: Duration) -> Result<Vec<Row>, ObserveError> {
        let _ = timeout;
        todo!()
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
#[derive(Clone, Debug, Serialize)]
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
    /// Retransmissions in all.
    pub retransmits: u32,
    /// The nearest timer.
    pub timer: Option<&'static str>,
    /// Milliseconds until it is due.
    pub timer_ms: Option<u64>,
    /// Received frames that its reader holds.
    pub frames_held: u32,
}
