//! Socket options: what an application may change on one connection, under the names that Linux gives them (`tcp(7)`, `ip(7)`).

use super::config::{KeepaliveTimes, MAX_BUFFER, Settings};
use super::receiver::syn_window;
use super::synchronised::Synchronised;
use super::timers::Timer;
use super::{CongestionAlgorithm, Connection, Keepalive, Phase, Terms};
use crate::Instant;
use crate::half_open::Offer;
use crate::segment::{Codepoint, Mss};
use alloc::sync::Arc;
use core::ops::RangeInclusive;
use core::time::Duration;

/// An option with its new value. Times are kept in milliseconds, up to 49 days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketOption {
    /// TCP_NODELAY: short segments do not wait for acknowledgments (MUST-17). Set on a corked connection it sends what is queued now.
    NoDelay(bool),
    /// TCP_CORK: nothing but full-sized segments until it is taken off, a FIN follows, or the retransmission timeout has passed with
    /// nothing on its way (200 ms on any path of a LAN).
    Cork(bool),
    /// TCP_QUICKACK: acknowledges at once from now on, or waits for answers that carry acknowledgments. Not for good: what the
    /// connection does next decides anew (`tcp(7)`).
    QuickAck(bool),
    /// SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT (MUST-25).
    Keepalive(Option<Keepalive>),
    /// TCP_USER_TIMEOUT: how long data may stay unacknowledged, a window closed, or keepalive unanswered (RFC 5482; the option that
    /// tells the peer is not sent). `None`: as the counts of retransmissions and probes say.
    UserTimeout(Option<Duration>),
    /// TCP_LINGER2: how long FIN-WAIT-2 lasts once the application has closed, at most [`MAX_LINGER`]; no time
    /// at all (a negative one in Linux) resets instead. `None`: as configured.
    Linger2(Option<Duration>),
    /// TCP_CONGESTION.
    Congestion(CongestionAlgorithm),
    /// TCP_MAXSEG: the largest segment to announce and to send, options not counted. Settled once the SYNs are exchanged.
    MaxSegment(Mss),
    /// TCP_WINDOW_CLAMP: the largest window to offer, bytes, at least [`MIN_RECEIVE_BUFFER`].
    WindowClamp(u32),
    /// SO_RCVBUF, in bytes of payload (the kernel's number, which it doubles and then halves again). Ends auto-tuning.
    ReceiveBuffer(u32),
    /// SO_SNDBUF, in bytes of payload. Ends auto-tuning.
    SendBuffer(u32),
    /// IP_TOS or IPV6_TCLASS. The lower two bits are ECN's and are left out (RFC 3168, section 5).
    TypeOfService(u8),
    /// IP_TTL or IPV6_UNICAST_HOPS, not zero (MUST-49).
    HopLimit(u8),
}

/// The longest that TCP_LINGER2 can ask for (Linux: `TCP_FIN_TIMEOUT_MAX`).
pub const MAX_LINGER: Duration = Duration::from_secs(120);
/// The least of SO_RCVBUF and TCP_WINDOW_CLAMP (Linux: half of `SOCK_MIN_RCVBUF`).
pub const MIN_RECEIVE_BUFFER: u32 = 1152;
/// The least of SO_SNDBUF (Linux: half of `SOCK_MIN_SNDBUF`).
pub const MIN_SEND_BUFFER: u32 = 2304;
/// What TCP_MAXSEG takes (Linux: `TCP_MIN_MSS`, `MAX_TCP_WINDOW`).
pub const MAX_SEGMENT: RangeInclusive<u16> = 88..=32_767;

impl SocketOption {
    /// Whether Linux takes the value; it answers others with EINVAL. A connection takes the nearest that is valid.
    pub fn is_valid(&self) -> bool {
        match self {
            Self::MaxSegment(mss) => MAX_SEGMENT.contains(&mss.get()),
            Self::WindowClamp(bytes) => *bytes > 0,
            Self::HopLimit(hops) => *hops > 0,
            Self::Keepalive(Some(Keepalive { idle, interval, probes })) => {
                !idle.is_zero() && !interval.is_zero() && *probes > 0
            }
            Self::NoDelay(_)
            | Self::Cork(_)
            | Self::QuickAck(_)
            | Self::Keepalive(None)
            | Self::UserTimeout(_)
            | Self::Linger2(_)
            | Self::Congestion(_)
            | Self::ReceiveBuffer(_)
            | Self::SendBuffer(_)
            | Self::TypeOfService(_) => true,
        }
    }
}

impl Terms {
    /// The same with `options` set, for connections to come.
    #[must_use]
    pub fn with(&self, options: &[SocketOption]) -> Self {
        let mut terms = self.clone();
        options.iter().for_each(|option| set(&mut terms.0, option));
        terms
    }
}

impl Offer {
    /// What the SYN-ACKs of a listener with `options` offer, whose connections have [`Terms::with`] the same.
    #[must_use]
    pub fn with(mut self, options: &[SocketOption]) -> Self {
        for option in options {
            match *option {
                SocketOption::MaxSegment(mss) => {
                    self.mss_v4 = self.mss_v4.min(mss);
                    self.mss_v6 = self.mss_v6.min(mss);
                }
                SocketOption::ReceiveBuffer(bytes) => self.window = syn_window(bytes.max(MIN_RECEIVE_BUFFER)),
                SocketOption::WindowClamp(bytes) => {
                    self.window = self.window.min(syn_window(bytes.max(MIN_RECEIVE_BUFFER)));
                }
                SocketOption::TypeOfService(class) => self.marking.service = class & !Codepoint::MASK,
                SocketOption::HopLimit(hops) => self.marking.hop_limit = hops.max(1),
                SocketOption::NoDelay(_)
                | SocketOption::Cork(_)
                | SocketOption::QuickAck(_)
                | SocketOption::Keepalive(_)
                | SocketOption::UserTimeout(_)
                | SocketOption::Linger2(_)
                | SocketOption::Congestion(_)
                | SocketOption::SendBuffer(_) => {}
            }
        }
        self
    }
}

impl Connection {
    /// Sets an option. What follows from it at once is sent by [`poll_transmit`](Self::poll_transmit).
    pub fn set(&mut self, now: Instant, option: SocketOption) {
        set(&mut self.settings, &option);
        if let Phase::Synchronised(synchronised) = &mut self.phase {
            synchronised.on_option(now, &option, &self.settings);
        }
    }
}

/// Changes shared settings for one holder; it keeps sharing them if the option already had this value.
fn set(settings: &mut Arc<Settings>, option: &SocketOption) {
    let changed = settings.with(option);
    if changed != **settings {
        *settings = Arc::new(changed);
    }
}

impl Settings {
    fn with(&self, option: &SocketOption) -> Self {
        let mut settings = self.clone();
        match *option {
            SocketOption::NoDelay(nodelay) => settings.nagle = !nodelay,
            SocketOption::Cork(cork) => settings.cork = cork,
            SocketOption::QuickAck(quick) => settings.quick_acks = quick,
            SocketOption::Keepalive(keepalive) => settings.keepalive = keepalive.map(KeepaliveTimes::from),
            SocketOption::UserTimeout(timeout) => settings.user_timeout = timeout.map(Into::into),
            SocketOption::Linger2(linger) => settings.linger = linger.map(|linger| linger.min(MAX_LINGER).into()),
            SocketOption::Congestion(algorithm) => settings.congestion = algorithm,
            SocketOption::MaxSegment(mss) => settings.mss = settings.mss.min(mss),
            SocketOption::WindowClamp(bytes) => settings.window_clamp = bytes.clamp(MIN_RECEIVE_BUFFER, MAX_BUFFER),
            SocketOption::ReceiveBuffer(bytes) => {
                settings.receive_buffer = bytes.clamp(MIN_RECEIVE_BUFFER, MAX_BUFFER);
                settings.receive_buffer_max = settings.receive_buffer;
            }
            SocketOption::SendBuffer(bytes) => {
                settings.send_buffer = bytes.clamp(MIN_SEND_BUFFER, MAX_BUFFER);
                settings.send_buffer_max = settings.send_buffer;
            }
            SocketOption::TypeOfService(class) => settings.marking.service = class & !Codepoint::MASK,
            SocketOption::HopLimit(hops) => settings.marking.hop_limit = hops.max(1),
        }
        settings
    }
}

impl Synchronised {
    /// What a changed option changes at once.
    fn on_option(&mut self, now: Instant, option: &SocketOption, settings: &Settings) {
        match option {
            SocketOption::NoDelay(true) if settings.cork => self.persist.push(),
            SocketOption::QuickAck(quick) => self.set_quick_ack(*quick),
            SocketOption::Keepalive(_) => self.start_keepalive(now, settings),
            SocketOption::ReceiveBuffer(_) => self.receiver.set_buffer(settings.receive_buffer),
            SocketOption::SendBuffer(_) => self.sender.set_buffer(),
            SocketOption::Congestion(algorithm) => self.sender.set_congestion(*algorithm),
            SocketOption::NoDelay(_)
            | SocketOption::Cork(_)
            | SocketOption::UserTimeout(_)
            | SocketOption::Linger2(_)
            | SocketOption::MaxSegment(_)
            | SocketOption::WindowClamp(_)
            | SocketOption::TypeOfService(_)
            | SocketOption::HopLimit(_) => {}
        }
        self.arm_timers(now, settings);
    }

    /// An acknowledgment that waits goes now if the application has read what it acknowledges (Linux:
    /// `__tcp_sock_set_quickack`).
    fn set_quick_ack(&mut self, quick: bool) {
        self.receiver.acks.set_quick(quick);
        if quick && self.timers.runs(Timer::DelayedAck) && self.receiver.unread() == 0 {
            self.timers.clear(Timer::DelayedAck);
            self.receiver.acks.due = true;
        }
    }
}
