//! How much may be in flight: RFC 5681, with the initial window of RFC 6928.

use core::time::Duration;

/// The initial window, segments (RFC 6928; Linux: `TCP_INIT_CWND`).
pub(super) const INITIAL_SEGMENTS: u32 = 10;

/// What an acknowledgment of new data tells congestion control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Acked {
    /// Bytes newly acknowledged.
    pub bytes: u32,
    /// The most bytes that were in flight during the last round trip: a window that is not used does not grow
    /// (RFC 7661; Linux: `tcp_is_cwnd_limited`).
    pub peak_flight: u32,
}

/// The interface of a congestion control. It is told what happened and answers with a window; when to retransmit is
/// decided by [`recovery`](super::recovery).
pub(super) trait CongestionControl {
    /// The congestion window, bytes.
    fn window(&self) -> u32;
    /// The slow-start threshold, bytes.
    fn threshold(&self) -> u32;
    /// New data was acknowledged outside fast recovery.
    fn on_ack(&mut self, acked: Acked, mss: u32);
    /// Fast recovery begins with `flight` bytes in flight.
    fn on_fast_recovery(&mut self, flight: u32, mss: u32);
    /// One more duplicate acknowledgment during fast recovery: a segment has left the network.
    fn on_inflation(&mut self, mss: u32);
    /// A partial acknowledgment of `bytes` during fast recovery (RFC 6582, section 3.2, step 3).
    fn on_partial_ack(&mut self, bytes: u32, mss: u32);
    /// Fast recovery is over, with `flight` bytes in flight.
    fn on_recovered(&mut self, flight: u32, mss: u32);
    /// The retransmission timer fired for the first time on this data, with `flight` bytes in flight.
    fn on_timeout(&mut self, flight: u32, mss: u32);
    /// The retransmission timer fired again on the same data.
    fn on_repeated_timeout(&mut self, mss: u32);
    /// Sending resumes after `idle` without sending, longer than `rto`.
    fn on_restart(&mut self, idle: Duration, rto: Duration, mss: u32);
}

/// Slow start, congestion avoidance and the window arithmetic of fast recovery (RFC 5681; RFC 6582).
#[derive(Clone, Debug)]
pub(super) struct Reno {
    /// cwnd, bytes.
    window: u32,
    /// ssthresh, bytes.
    threshold: u32,
    /// Bytes acknowledged in congestion avoidance since the window last grew (RFC 5681, section 3.1).
    acked: u32,
}

/// The largest window: half of sequence space is never in flight.
const MAX_WINDOW: u32 = 1 << 30;

impl Reno {
    /// The window at the start: ten segments, or one when our SYN timed out more than once (RFC 6928, section 2; Linux:
    /// `tcp_init_transfer`).
    pub fn new(mss: u32, syn_timeouts: u8) -> Self {
        let segments = if syn_timeouts > 1 { 1 } else { INITIAL_SEGMENTS };
        Self { window: mss.saturating_mul(segments), threshold: MAX_WINDOW, acked: 0 }
    }

    fn set_window(&mut self, window: u32, mss: u32) {
        self.window = window.clamp(mss, MAX_WINDOW.max(mss));
    }

    /// RFC 5681, equation 4: half of what is in flight, at least two segments.
    fn halve(&mut self, flight: u32, mss: u32) {
        self.threshold = (flight / 2).max(mss.saturating_mul(2));
        self.acked = 0;
    }
}

impl CongestionControl for Reno {
    fn window(&self) -> u32 {
        self.window
    }

    fn threshold(&self) -> u32 {
        self.threshold
    }

    fn on_ack(&mut self, acked: Acked, mss: u32) {
        if self.window < self.threshold {
            // Slow start counts bytes, not acknowledgments: splitting an ACK gains nothing, and one ACK for many
            // segments loses nothing (RFC 3465; Linux: `tcp_slow_start`).
            if self.window < acked.peak_flight.saturating_mul(2) {
                let grown = self.window.saturating_add(acked.bytes);
                self.set_window(grown.min(self.threshold.max(self.window)), mss);
            }
        } else if self.window < acked.peak_flight.saturating_add(mss) {
            // Congestion avoidance: one segment per window of acknowledged bytes.
            self.acked = self.acked.saturating_add(acked.bytes);
            if self.acked >= self.window {
                self.acked -= self.window;
                self.set_window(self.window.saturating_add(mss), mss);
            }
        }
    }

    fn on_fast_recovery(&mut self, flight: u32, mss: u32) {
        self.halve(flight, mss);
        self.set_window(self.threshold.saturating_add(mss.saturating_mul(3)), mss);
    }

    fn on_inflation(&mut self, mss: u32) {
        self.set_window(self.window.saturating_add(mss), mss);
    }

    fn on_partial_ack(&mut self, bytes: u32, mss: u32) {
        let deflated = self.window.saturating_sub(bytes);
        self.set_window(if bytes >= mss { deflated.saturating_add(mss) } else { deflated }, mss);
    }

    fn on_recovered(&mut self, flight: u32, mss: u32) {
        self.set_window(self.threshold.min(flight.max(mss).saturating_add(mss)), mss);
    }

    fn on_timeout(&mut self, flight: u32, mss: u32) {
        self.halve(flight, mss);
        self.window = mss;
    }

    fn on_repeated_timeout(&mut self, mss: u32) {
        // RFC 5681, section 3.1: ssthresh is held constant while the same segment is sent again by the timer.
        self.window = mss;
    }

    /// RFC 5681, section 4.1, with Linux's decay: the window halves for each RTO of idleness, down to the initial one
    /// (`tcp_cwnd_restart`), and the threshold remembers three quarters of it.
    fn on_restart(&mut self, idle: Duration, rto: Duration, mss: u32) {
        let restart = mss.saturating_mul(INITIAL_SEGMENTS).min(self.window);
        self.threshold = self.threshold.max(self.window / 4 * 3);
        let halvings = idle.as_micros() / rto.as_micros().max(1);
        let decayed = self.window.checked_shr(halvings.min(32) as u32).unwrap_or(0);
        self.set_window(decayed.max(restart), mss);
        self.acked = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn full(bytes: u32, flight: u32) -> Acked {
        Acked { bytes, peak_flight: flight }
    }

    #[test]
    fn slow_start_doubles_per_round_trip_and_stops_at_the_threshold() {
        let mut reno = Reno::new(MSS, 0);
        assert_eq!(reno.window(), 10 * MSS);
        for _ in 0..5 {
            reno.on_ack(full(2 * MSS, 10 * MSS), MSS);
        }
        assert_eq!(reno.window(), 20 * MSS);
        reno.threshold = 21 * MSS;
        reno.on_ack(full(20 * MSS, 20 * MSS), MSS);
        assert_eq!(reno.window(), 21 * MSS, "a stretch ACK does not jump over the threshold");
    }

    #[test]
    fn congestion_avoidance_adds_one_segment_per_window() {
        let mut reno = Reno { window: 10 * MSS, threshold: 10 * MSS, acked: 0 };
        for _ in 0..9 {
            reno.on_ack(full(MSS, 10 * MSS), MSS);
        }
        assert_eq!(reno.window(), 10 * MSS);
        reno.on_ack(full(MSS, 10 * MSS), MSS);
        assert_eq!(reno.window(), 11 * MSS);
    }

    #[test]
    fn a_loss_forgets_what_was_acknowledged_towards_growth() {
        let mut reno = Reno { window: 10 * MSS, threshold: 10 * MSS, acked: 9 * MSS };
        reno.on_fast_recovery(10 * MSS, MSS);
        reno.on_recovered(10 * MSS, MSS);
        reno.on_ack(full(4 * MSS, 5 * MSS), MSS);
        assert_eq!(reno.window(), 5 * MSS);
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut slow = Reno::new(MSS, 0);
        slow.on_ack(full(MSS, MSS), MSS);
        assert_eq!(slow.window(), 10 * MSS);
        let mut avoiding = Reno { window: 10 * MSS, threshold: MSS, acked: 9 * MSS };
        avoiding.on_ack(full(MSS, 5 * MSS), MSS);
        assert_eq!(avoiding.window(), 10 * MSS);
    }

    /// RFC 5681, section 3.2, steps 2 to 6, and RFC 6582, section 3.2, steps 2 and 3.
    #[test]
    fn fast_recovery_halves_inflates_and_deflates() {
        let mut reno = Reno::new(MSS, 0);
        reno.on_fast_recovery(10 * MSS, MSS);
        assert_eq!((reno.threshold(), reno.window()), (5 * MSS, 8 * MSS));
        reno.on_inflation(MSS);
        assert_eq!(reno.window(), 9 * MSS);
        reno.on_partial_ack(3 * MSS, MSS);
        assert_eq!(reno.window(), 7 * MSS);
        reno.on_partial_ack(MSS, MSS);
        assert_eq!(reno.window(), 7 * MSS, "a whole segment gives one back");
        reno.on_partial_ack(MSS - 1, MSS);
        assert_eq!(reno.window(), 6 * MSS + 1);
        reno.on_recovered(2 * MSS, MSS);
        assert_eq!(reno.window(), 3 * MSS, "min(ssthresh, max(flight, SMSS) + SMSS)");
    }

    #[test]
    fn a_timeout_leaves_one_segment_and_halves_once() {
        let mut reno = Reno::new(MSS, 0);
        reno.on_timeout(10 * MSS, MSS);
        assert_eq!((reno.threshold(), reno.window()), (5 * MSS, MSS));
        reno.on_repeated_timeout(MSS);
        assert_eq!((reno.threshold(), reno.window()), (5 * MSS, MSS));
        reno.on_timeout(MSS, MSS);
        assert_eq!(reno.threshold(), 2 * MSS, "at least two segments");
    }

    #[test]
    fn idleness_decays_to_the_initial_window() {
        let rto = Duration::from_millis(200);
        let mut reno = Reno { window: 100 * MSS, threshold: 10 * MSS, acked: 0 };
        reno.on_restart(Duration::from_millis(450), rto, MSS);
        assert_eq!((reno.window(), reno.threshold()), (25 * MSS, 75 * MSS));
        reno.on_restart(Duration::from_secs(3600), rto, MSS);
        assert_eq!(reno.window(), 10 * MSS);
        let mut small = Reno { window: 2 * MSS, threshold: 10 * MSS, acked: 0 };
        small.on_restart(Duration::from_secs(3600), rto, MSS);
        assert_eq!(small.window(), 2 * MSS, "idleness never opens the window");
    }

    #[test]
    fn no_arithmetic_leaves_the_bounds() {
        for mss in [1, 48, u32::from(u16::MAX)] {
            let mut reno = Reno::new(mss, 2);
            for _ in 0..40 {
                reno.on_ack(full(u32::MAX, u32::MAX), mss);
                reno.on_inflation(mss);
            }
            assert!(reno.window() <= MAX_WINDOW);
            reno.on_partial_ack(u32::MAX, mss);
            assert!(reno.window() >= mss);
            reno.on_timeout(u32::MAX, mss);
            reno.on_restart(Duration::MAX, Duration::ZERO, mss);
            assert_eq!(reno.window(), mss);
        }
    }
}
