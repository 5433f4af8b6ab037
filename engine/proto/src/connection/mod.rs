//! A connection after its handshake, or one that we open: RFC 9293, sections 3.10.7.3 and 3.10.7.4.
//!
//! The engine drives it from outside: [`Connection::on_segment`], [`Connection::on_timer`] and the application's calls
//! change state; [`Connection::poll_transmit`] then writes one segment at a time.

use crate::half_open::HalfOpen;
use crate::segment::Mss;
use crate::{Counts, Head, Instant, Link, Segment, SeqNum, Tuple, Verdict};
use alloc::vec::Vec;
use bitflags::bitflags;
use core::time::Duration;

/// What a connection is told once, when it is made. Shared by all connections of a listener.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Bytes that the peer may have in flight or unread here.
    pub receive_buffer: u32,
    /// Bytes that the application may have unsent or unacknowledged.
    pub send_buffer: u32,
    /// The largest segment that fits the interface's MTU, without options.
    pub mss: Mss,
    /// Keepalive, when on (RFC 9293, section 3.8.4).
    pub keepalive: Option<Keepalive>,
    /// Whether small segments may wait for acknowledgments (Nagle; SHLD-7).
    pub nagle: bool,
    /// Retransmissions of data before the connection is given up (Linux: `tcp_retries2`, 15).
    pub retries: u8,
    /// How long TIME_WAIT lasts (60 s).
    pub time_wait: Duration,
    /// How long FIN_WAIT_2 lasts once the application has closed (60 s).
    pub fin_wait_2: Duration,
}

/// Keepalive times (Linux: `tcp_keepalive_time`, `_intvl`, `_probes`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Silence before the first probe (7200 s).
    pub idle: Duration,
    /// Between probes (75 s).
    pub interval: Duration,
    /// Probes without answer before the connection is given up (9).
    pub probes: u8,
}

/// The states of RFC 9293, figure 5, that a [`Connection`] can be in. LISTEN and SYN-RECEIVED belong to the listener,
/// TIME-WAIT to [`TimeWait`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the RFC's own names")]
pub enum State {
    SynSent,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    /// Nothing more will happen: the engine removes it.
    Closed,
}

/// Why a connection ended other than by an orderly close.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// The peer reset it (ECONNRESET).
    Reset,
    /// The peer refused our SYN (ECONNREFUSED).
    Refused,
    /// A timer gave it up (ETIMEDOUT).
    TimedOut,
}

bitflags! {
    /// What the application or the engine should learn. More than one may be set.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Events: u8 {
        /// Our own SYN was answered: the connection is established.
        const CONNECTED = 0x01;
        /// Acknowledged bytes left the send buffer: [`Connection::take_acked`] says how many.
        const SENT = 0x02;
        /// Bytes that waited for a gap are in order now: [`Connection::take_reassembled`] gives them.
        const REASSEMBLED = 0x04;
        /// The peer's FIN is in order: after what was delivered comes end of file.
        const PEER_CLOSED = 0x08;
        /// The connection failed: [`Connection::failure`] says how.
        const FAILED = 0x10;
        /// TIME_WAIT begins: replace the connection by [`Connection::time_wait`].
        const TIME_WAIT = 0x20;
        /// The connection is over: remove it.
        const CLOSED = 0x40;
    }
}

/// What a connection decided about a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Decision {
    /// The frame, the immediate answer, the counters.
    pub verdict: Verdict,
    /// What to tell others.
    pub events: Events,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {}

impl Connection {
    /// A connection from a completed handshake. It has not seen the third segment yet: give it to
    /// [`on_segment`](Self::on_segment) next.
    pub fn accept(now: Instant, tuple: Tuple, half_open: &HalfOpen, config: &ConnectionConfig) -> Self {
        let _ = (now, tuple, half_open, config);
        todo!()
    }

    /// A connection that opens from here: SYN-SENT, its SYN due at once.
    pub fn connect(now: Instant, tuple: Tuple, iss: SeqNum, timestamp_offset: u32, config: &ConnectionConfig) -> Self {
        let _ = (now, tuple, iss, timestamp_offset, config);
        todo!()
    }

    /// Takes a segment of this connection. `frame` is the frame it was parsed from.
    pub fn on_segment(&mut self, now: Instant, segment: &Segment, frame: &[u8]) -> Decision {
        let _ = (now, segment, frame);
        todo!()
    }

    /// When [`on_timer`](Self::on_timer) is next due; `None` when nothing is running.
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// Runs whatever timer is due at `now`. Calling it early is harmless.
    pub fn on_timer(&mut self, now: Instant) -> Decision {
        let _ = now;
        todo!()
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) would write a segment now.
    pub fn wants_transmit(&self, now: Instant) -> bool {
        let _ = now;
        todo!()
    }

    /// Writes the next segment into `frame` and returns the frame's length; `None` when nothing is due.
    pub fn poll_transmit(&mut self, now: Instant, link: &Link, frame: &mut [u8]) -> Option<usize> {
        let _ = (now, link, frame);
        todo!()
    }

    /// Bytes that [`send`](Self::send) would take now.
    pub fn send_space(&self) -> u32 {
        todo!()
    }

    /// Queues bytes to send; the caller keeps within [`send_space`](Self::send_space). Ignored after `shutdown`.
    pub fn send(&mut self, now: Instant, chunk: Vec<u8>) {
        let _ = (now, chunk);
        todo!()
    }

    /// Bytes acknowledged, and thus freed in the send buffer, since the last call.
    pub fn take_acked(&mut self) -> u32 {
        todo!()
    }

    /// Bytes that have become in order after waiting for a gap; call until `None`.
    pub fn take_reassembled(&mut self) -> Option<Vec<u8>> {
        todo!()
    }

    /// The application has read `bytes` of what was delivered: the window may open.
    pub fn consumed(&mut self, now: Instant, bytes: u32) {
        let _ = (now, bytes);
        todo!()
    }

    /// The application sends no more: FIN follows the queued bytes.
    pub fn shutdown(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// The application neither sends nor reads any more. With unread bytes this resets (RFC 9293, section 3.6.1;
    /// RFC 2525, section 2.17): the reset to send is returned.
    pub fn close(&mut self, now: Instant) -> Option<Head> {
        let _ = now;
        todo!()
    }

    /// Ends the connection at once; the reset to send is returned, where the state sends one.
    pub fn abort(&mut self) -> Option<Head> {
        todo!()
    }

    /// Turns keepalive on or off (SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT).
    pub fn set_keepalive(&mut self, now: Instant, keepalive: Option<Keepalive>) {
        let _ = (now, keepalive);
        todo!()
    }

    /// Whether small segments may wait for acknowledgments (the opposite of TCP_NODELAY).
    pub fn set_nagle(&mut self, nagle: bool) {
        let _ = nagle;
        todo!()
    }

    /// Counters to raise by one for what [`poll_transmit`](Self::poll_transmit) wrote and for what `close`, `abort` and
    /// `shutdown` did since the last call. The engine asks after each of them.
    pub fn take_counts(&mut self) -> Counts {
        todo!()
    }

    /// The state.
    pub fn state(&self) -> State {
        todo!()
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        todo!()
    }

    /// What remains once [`Events::TIME_WAIT`] was reported.
    pub fn time_wait(&self, now: Instant) -> TimeWait {
        let _ = now;
        todo!()
    }

    /// What `ss -i` would show.
    pub fn info(&self, now: Instant) -> Info {
        let _ = now;
        todo!()
    }
}

/// What `ss -tinom` shows of a connection (Linux: `struct tcp_info`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// State.
    pub state: State,
    /// Bytes received and not yet read by the application.
    pub recv_queue: u32,
    /// Bytes not yet acknowledged by the peer.
    pub send_queue: u32,
    /// Smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// Its variation.
    pub rttvar: Duration,
    /// Retransmission timeout in force.
    pub rto: Duration,
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
    /// Name and expiry of the nearest timer.
    pub timer: Option<(&'static str, Duration)>,
}

/// TIME-WAIT (RFC 9293, section 3.3.2): just enough to answer old segments and to admit a newer SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeWait {}

/// What TIME-WAIT decided about a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum TimeWaitOutcome {
    /// Dealt with.
    Settled(Verdict),
    /// A newer SYN (RFC 6191): remove the entry and give the segment to the listener.
    Reopen,
}

impl TimeWait {
    /// Takes a segment.
    pub fn on_segment(&mut self, now: Instant, segment: &Segment) -> TimeWaitOutcome {
        let _ = (now, segment);
        todo!()
    }

    /// When the entry may go.
    pub fn deadline(&self) -> Instant {
        todo!()
    }
}
