//! What a connection is told when it is made, and what it keeps of that.

use super::congestion::CongestionAlgorithm;
use super::ecn::Ecn;
use crate::segment::{Marking, Mss};
use alloc::sync::Arc;
use core::num::NonZeroU8;
use core::time::Duration;

/// What a connection is told once, when it is made.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Bytes that the peer may have in flight or unread here, at first.
    pub receive_buffer: u32,
    /// What that may grow to while the application reads as fast as the peer sends. No more than `receive_buffer`: it never grows.
    pub receive_buffer_max: u32,
    /// Bytes that the application may have unsent or unacknowledged, at first.
    pub send_buffer: u32,
    /// What that may grow to with the congestion window. No more than `send_buffer`: it never grows.
    pub send_buffer_max: u32,
    /// The largest segment that fits the interface's MTU, without options.
    pub mss: Mss,
    /// Keepalive, when on (RFC 9293, section 3.8.4).
    pub keepalive: Option<Keepalive>,
    /// Whether small segments may wait for acknowledgments (Nagle; SHLD-7).
    pub nagle: bool,
    /// Whether the first segments are acknowledged at once (Linux: TCP_QUICKACK). Whoever answers at once, or passes on, spares
    /// segments without: the answer carries the acknowledgment, and on an open of ours the first bytes carry that of the SYN.
    pub quick_acks: bool,
    /// How congestion is avoided (Linux: `tcp_congestion_control`).
    pub congestion: CongestionAlgorithm,
    /// Retransmissions of data before the connection is given up (Linux: `tcp_retries2`, 15).
    pub retries: u8,
    /// Retransmissions of a SYN at doubling intervals before an open is given up (Linux: `tcp_syn_retries`, 6).
    pub syn_retries: u8,
    /// How long data may stay unacknowledged, a window closed, or keepalive unanswered (Linux: TCP_USER_TIMEOUT); `None`: as the
    /// counts say.
    pub user_timeout: Option<Duration>,
    /// How long TIME_WAIT lasts (60 s).
    pub time_wait: Duration,
    /// How long FIN_WAIT_2 lasts once the application has closed (60 s).
    pub fin_wait_2: Duration,
    /// Whether an open of ours asks for ECN.
    pub ecn: Ecn,
    /// What the IP headers of its segments say.
    pub marking: Marking,
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

/// The largest buffer in either direction: windows stay within what scaling can say (RFC 7323, section 2.3).
pub(super) const MAX_BUFFER: u32 = 1 << 30;
/// Below this MSS a connection gets no more than [`SMALL_MSS_SEND_BUFFER`]: each byte costs too much header
/// (CVE-2019-11479).
pub(super) const SMALL_MSS: u16 = 216;
/// The send buffer of a connection with a small MSS.
pub(super) const SMALL_MSS_SEND_BUFFER: u32 = 16 * 1024;

/// Milliseconds up to 49 days, in half the room of a [`Duration`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Millis(u32);

impl From<Duration> for Millis {
    fn from(span: Duration) -> Self {
        Self(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))
    }
}

impl From<Millis> for Duration {
    fn from(millis: Millis) -> Self {
        Self::from_millis(millis.0.into())
    }
}

/// [`Keepalive`] in the units that a connection keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeepaliveTimes {
    /// Silence before the first probe.
    pub idle: Millis,
    /// Between probes.
    pub interval: Millis,
    /// Probes without answer; at least one, as in Linux.
    pub probes: NonZeroU8,
}

impl From<Keepalive> for KeepaliveTimes {
    fn from(Keepalive { idle, interval, probes }: Keepalive) -> Self {
        Self { idle: idle.into(), interval: interval.into(), probes: NonZeroU8::new(probes).unwrap_or(NonZeroU8::MIN) }
    }
}

/// A [`ConnectionConfig`] in the form that connections share: one for all of them costs each a pointer. A connection whose
/// options are changed takes a copy of its own.
#[derive(Clone, Debug)]
pub struct Terms(pub(super) Arc<Settings>);

impl From<&ConnectionConfig> for Terms {
    fn from(config: &ConnectionConfig) -> Self {
        Self(Arc::new(Settings::of(config)))
    }
}

/// A connection's options: each may be changed on one connection alone, as socket options are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    /// SO_RCVBUF, bytes: where auto-tuning begins.
    pub receive_buffer: u32,
    /// Where it ends.
    pub receive_buffer_max: u32,
    /// TCP_WINDOW_CLAMP: the largest window to offer.
    pub window_clamp: u32,
    /// SO_SNDBUF, bytes: where auto-tuning begins.
    pub send_buffer: u32,
    /// Where it ends.
    pub send_buffer_max: u32,
    /// The interface's MSS.
    pub mss: Mss,
    /// Whether Nagle's algorithm is on (not TCP_NODELAY).
    pub nagle: bool,
    /// TCP_CORK.
    pub cork: bool,
    /// Whether the first segments are acknowledged at once.
    pub quick_acks: bool,
    /// TCP_CONGESTION.
    pub congestion: CongestionAlgorithm,
    /// Retransmissions before the connection is given up.
    pub retries: u8,
    /// Retransmissions of a SYN before an open is given up.
    pub syn_retries: u8,
    /// SO_KEEPALIVE and its times.
    pub keepalive: Option<KeepaliveTimes>,
    /// TCP_USER_TIMEOUT.
    pub user_timeout: Option<Millis>,
    /// The length of TIME-WAIT.
    pub time_wait: Millis,
    /// The length of FIN-WAIT-2 after close, unless TCP_LINGER2 says otherwise.
    pub fin_wait_2: Millis,
    /// TCP_LINGER2.
    pub linger: Option<Millis>,
    /// Whether an open of ours asks for ECN.
    pub ecn: Ecn,
    /// IP_TOS and IP_TTL, or their counterparts in IPv6.
    pub marking: Marking,
}

impl Settings {
    /// The window that the SYN or SYN-ACK offers, as far as its field can say.
    pub fn first_window(&self) -> u32 {
        self.receive_buffer.min(self.window_clamp)
    }

    /// The settings of `config`, within the limits of sequence space.
    fn of(config: &ConnectionConfig) -> Self {
        let ConnectionConfig {
            receive_buffer,
            receive_buffer_max,
            send_buffer,
            send_buffer_max,
            mss,
            keepalive,
            nagle,
            quick_acks,
            congestion,
            retries,
            syn_retries,
            user_timeout,
            time_wait,
            fin_wait_2,
            ecn,
            marking,
        } = *config;
        Self {
            receive_buffer: receive_buffer.min(MAX_BUFFER),
            receive_buffer_max: receive_buffer_max.max(receive_buffer).min(MAX_BUFFER),
            window_clamp: MAX_BUFFER,
            send_buffer: send_buffer.min(MAX_BUFFER),
            send_buffer_max: send_buffer_max.max(send_buffer).min(MAX_BUFFER),
            mss,
            nagle,
            cork: false,
            quick_acks,
            congestion,
            retries,
            syn_retries,
            keepalive: keepalive.map(KeepaliveTimes::from),
            user_timeout: user_timeout.map(Millis::from),
            time_wait: time_wait.into(),
            fin_wait_2: fin_wait_2.into(),
            linger: None,
            ecn,
            marking,
        }
    }
}
