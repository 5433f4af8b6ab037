//! How much may be in flight.
//!
//! [`Congestion`] is told what happened and answers with a window; what is lost and when to send is decided elsewhere.
//! The two algorithms share slow start with HyStart++ (RFC 9406) and differ in congestion avoidance and in how far they
//! retreat: `new_reno` (RFC 5681) and `cubic` (RFC 9438). While losses are repaired the window is `prr`'s (RFC 9937).
//!
//! Everything is counted in bytes; `mss` is what one full-sized segment carries (SMSS).

mod cubic;
mod hystart;
mod new_reno;
mod prr;

#[cfg(test)]
mod tests;

pub(super) use prr::{Delivery, Prr};

use crate::{Instant, SeqNum};
use core::time::Duration;
use cubic::Cubic;
use hystart::HyStart;
use new_reno::Credit;

/// The initial window, segments (RFC 6928; Linux: `TCP_INIT_CWND`).
pub(super) const INITIAL_SEGMENTS: u32 = 10;

/// The largest window: half of sequence space is never in flight.
const MAX_WINDOW: u32 = 1 << 30;

/// ssthresh before anything was lost: arbitrarily high (RFC 5681, section 3.1; Linux: `TCP_INFINITE_SSTHRESH`).
const INFINITE: u32 = MAX_WINDOW;

/// Which algorithm avoids congestion (Linux: TCP_CONGESTION).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CongestionAlgorithm {
    /// CUBIC (RFC 9438).
    #[default]
    Cubic,
    /// NewReno (RFC 5681, RFC 6582).
    NewReno,
}

impl CongestionAlgorithm {
    /// The name that Linux has for it: `cubic` or `reno`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::NewReno => "reno",
        }
    }

    /// The algorithm that Linux calls so, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Cubic, Self::NewReno].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// What an acknowledgment of new data tells congestion control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Acked {
    /// When it came.
    pub now: Instant,
    /// Bytes newly delivered.
    pub bytes: u32,
    /// Whether the window was what held the sender back of late: a window that is not used does not grow (RFC 7661; RFC
    /// 9438, section 5.8; Linux: `tcp_is_cwnd_limited`).
    pub is_window_limited: bool,
    /// Whether the sender spreads what the window allows over the round trip. When it does not, one acknowledgment opens
    /// the window of slow start by [`hystart::UNPACED_LIMIT`] segments at most (L of RFC 9406, section 4.2).
    pub is_paced: bool,
    /// The round trip that this acknowledgment measured, unambiguously.
    pub rtt: Option<Duration>,
    /// The smoothed round trip.
    pub srtt: Option<Duration>,
    /// SND.UNA, which tells one round trip from the next.
    pub una: SeqNum,
    /// SND.NXT.
    pub nxt: SeqNum,
}

/// Which timeout it is of the data that is outstanding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timeout {
    /// The first, outside of any recovery.
    First,
    /// The data was found lost before: ssthresh is held constant (RFC 5681, section 3.1; Linux: `tcp_enter_loss`).
    Again,
}

/// What congestion control knows about the path and keeps while nothing is in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Congestion {
    /// cwnd.
    window: u32,
    /// ssthresh.
    threshold: u32,
    /// W_max: the window before the last reduction, less when fast convergence made room (RFC 9438, section 4.7); zero when
    /// there was none, or a timeout.
    last_max: u32,
    algorithm: CongestionAlgorithm,
}

/// How the window is growing just now. It lives while something is in flight: a new one begins a new epoch of CUBIC at the
/// window where the last one stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Growth {
    credit: Credit,
    hystart: HyStart,
    cubic: Cubic,
}

/// What a reduction changed, kept until it is known to have been right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Snapshot {
    congestion: Congestion,
    growth: Growth,
}

const _: () = assert!(size_of::<Congestion>() <= 16);
const _: () = assert!(size_of::<Growth>() <= 88);

impl Congestion {
    /// The window at the start: ten segments, or one when our SYN timed out more than once (RFC 6928, section 2; Linux:
    /// `tcp_init_transfer`).
    pub fn new(algorithm: CongestionAlgorithm, mss: u32, syn_timeouts: u8) -> Self {
        let segments = if syn_timeouts > 1 { 1 } else { INITIAL_SEGMENTS };
        Self { window: mss.saturating_mul(segments), threshold: INFINITE, last_max: 0, algorithm }
    }

    /// cwnd.
    pub const fn window(&self) -> u32 {
        self.window
    }

    /// ssthresh.
    pub const fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Whether the window is below ssthresh.
    pub const fn in_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    /// The algorithm in force.
    pub const fn algorithm(&self) -> CongestionAlgorithm {
        self.algorithm
    }

    /// Goes on with another algorithm from the same window (Linux: `tcp_reinit_congestion_control`).
    pub fn set_algorithm(&mut self, algorithm: CongestionAlgorithm, growth: Option<&mut Growth>) {
        self.algorithm = algorithm;
        self.last_max = 0;
        if let Some(growth) = growth {
            *growth = Growth::default();
        }
    }

    /// New data was acknowledged outside of recovery (RFC 5681, section 3.1; Linux: `tcp_reno_cong_avoid`,
    /// `cubictcp_cong_avoid`).
    pub fn on_ack(&mut self, growth: &mut Growth, acked: &Acked, mss: u32) {
        let mut bytes = acked.bytes;
        if self.in_slow_start() {
            bytes = self.slow_start(growth, acked, mss);
        }
        if !acked.is_window_limited {
            growth.cubic.pause(acked.now);
        } else if bytes > 0 {
            self.avoid_congestion(growth, &Acked { bytes, ..*acked }, mss);
        }
    }

    /// Congestion was noticed by a loss or an ECN echo while `flight` bytes were outstanding: sets ssthresh (RFC 5681,
    /// equation 4; RFC 9438, section 4.6). The window is left to [`Prr`].
    pub fn on_congestion(&mut self, growth: &mut Growth, flight: u32, mss: u32) {
        // What limited transmit sent beyond the window does not count (RFC 5681, section 3.2, step 2).
        let flight = flight.min(self.window);
        let fewest = mss.saturating_mul(2);
        self.threshold = match self.algorithm {
            CongestionAlgorithm::NewReno => new_reno::reduced(flight),
            CongestionAlgorithm::Cubic => {
                self.last_max = cubic::fast_convergence(self.window, self.last_max);
                cubic::reduced(flight)
            }
        }
        .max(fewest);
        *growth = Growth { cubic: Cubic::reduced_from(self.window), ..Growth::default() };
    }

    /// The retransmission timer fired with `flight` bytes outstanding: the window becomes one segment (RFC 5681, section
    /// 3.1), and what CUBIC knew of the path is void (RFC 9438, section 4.8; Linux: `bictcp_reset`).
    pub fn on_timeout(&mut self, growth: &mut Growth, timeout: Timeout, flight: u32, mss: u32) {
        match timeout {
            Timeout::First => self.on_congestion(growth, flight, mss),
            Timeout::Again => *growth = Growth::default(),
        }
        self.last_max = 0;
        self.window = mss;
    }

    /// Sending resumes after `idle` without sending, longer than `rto`: RFC 5681, section 4.1, with Linux's decay. The
    /// window halves for each RTO of idleness, down to the initial one (`tcp_cwnd_restart`), and the threshold remembers
    /// three quarters of it (`tcp_current_ssthresh`).
    pub fn on_restart(&mut self, idle: Duration, rto: Duration, mss: u32) {
        let restart = mss.saturating_mul(INITIAL_SEGMENTS).min(self.window);
        self.threshold = self.threshold.max(self.window / 4 * 3);
        let halvings = idle.as_nanos().saturating_sub(1) / rto.as_nanos().max(1);
        let decayed = self.window.checked_shr(halvings.min(32) as u32).unwrap_or(0);
        self.set_window(decayed.max(restart), mss);
    }

    /// Sets the window, within one segment and half of sequence space.
    pub fn set_window(&mut self, window: u32, mss: u32) {
        self.window = window.clamp(mss, MAX_WINDOW.max(mss));
    }

    /// What is to be kept in case the reduction that follows proves wrong.
    pub const fn snapshot(&self, growth: &Growth) -> Snapshot {
        Snapshot { congestion: *self, growth: *growth }
    }

    /// Takes a reduction back: nothing was lost (RFC 4015, section 3.2; RFC 9438, section 4.9; Linux:
    /// `tcp_undo_cwnd_reduction`).
    pub fn undo(&mut self, growth: &mut Growth, before: &Snapshot, mss: u32) {
        let Congestion { window, threshold, last_max, algorithm: _ } = before.congestion;
        self.set_window(self.window.max(window), mss);
        self.threshold = self.threshold.max(threshold);
        self.last_max = last_max;
        *growth = before.growth;
    }

    /// Opens the window by what was acknowledged, up to the threshold; returns what is left for congestion avoidance (Linux:
    /// `tcp_slow_start`).
    fn slow_start(&mut self, growth: &mut Growth, acked: &Acked, mss: u32) -> u32 {
        // HyStart++ looks for the threshold while none is known (RFC 9406, section 4.2).
        if self.threshold == INFINITE && growth.hystart.on_ack(acked) == hystart::Found::Congestion {
            self.threshold = self.window;
            return acked.bytes;
        }
        if !acked.is_window_limited {
            return 0;
        }
        let step = growth.hystart.step(acked, mss);
        let room = self.threshold.saturating_sub(self.window);
        self.set_window(self.window.saturating_add(step.min(room)), mss);
        step.saturating_sub(room)
    }

    fn avoid_congestion(&mut self, growth: &mut Growth, acked: &Acked, mss: u32) {
        let Growth { credit, cubic, .. } = growth;
        let window = match self.algorithm {
            CongestionAlgorithm::NewReno => self.window.saturating_add(credit.earn(acked.bytes, self.window, mss)),
            CongestionAlgorithm::Cubic => {
                cubic.grow(credit, acked, &cubic::Position { window: self.window, last_max: self.last_max, mss })
            }
        };
        self.set_window(window, mss);
    }
}
