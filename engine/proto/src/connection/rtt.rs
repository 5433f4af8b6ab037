//! The retransmission timeout: RFC 6298.

use crate::{Instant, SeqNum};
use core::time::Duration;

/// RTO before any measurement (RFC 6298, section 2.1; Linux: `TCP_TIMEOUT_INIT`).
pub(super) const INITIAL: Duration = Duration::from_secs(1);
/// RTO when the handshake gave no measurement: most likely it lost a segment (RFC 6298, section 5.7; Linux:
/// `TCP_TIMEOUT_FALLBACK`).
const AFTER_SYN_LOSS: Duration = Duration::from_secs(3);
/// The least that variation contributes, and so the least RTO (Linux: `TCP_RTO_MIN`; RFC 6298, section 2.4 would have
/// one second).
pub(super) const MIN: Duration = Duration::from_millis(200);
/// The largest RTO (RFC 6298, section 2.5; Linux: `TCP_RTO_MAX`).
pub(super) const MAX: Duration = Duration::from_secs(120);

const fn micros(span: Duration) -> u32 {
    let micros = span.as_micros();
    if micros > u32::MAX as u128 { u32::MAX } else { micros as u32 }
}

/// A round-trip estimate, the timeout that follows from it, and the segment being timed.
#[derive(Clone, Debug)]
pub(super) struct Rtt {
    /// SRTT, microseconds; zero while nothing has been measured.
    smoothed: u32,
    /// RTTVAR, microseconds.
    variation: u32,
    /// RTO without back-off, microseconds.
    base: u32,
    /// How often the RTO was doubled since the last measurement (RFC 6298, section 5.5).
    backoff: u8,
    /// When the timed segment was sent.
    timed_at: Option<Instant>,
    /// The acknowledgment that ends the measurement.
    timed_end: SeqNum,
}

impl Rtt {
    /// Nothing measured yet; `initial` is the RTO until then.
    pub fn new(initial: Duration) -> Self {
        Self { smoothed: 0, variation: 0, base: micros(initial), backoff: 0, timed_at: None, timed_end: SeqNum(0) }
    }

    /// What the handshake tells: its round trip, or that the SYN or SYN-ACK had to be sent again, for all that we know.
    pub fn of_handshake(round_trip: Option<Duration>) -> Self {
        let mut rtt = Self::new(AFTER_SYN_LOSS);
        if let Some(round_trip) = round_trip {
            rtt.measure(round_trip);
        }
        rtt
    }

    /// SRTT, once there is one.
    pub fn smoothed(&self) -> Option<Duration> {
        (self.smoothed > 0).then(|| Duration::from_micros(self.smoothed.into()))
    }

    /// RTTVAR.
    pub fn variation(&self) -> Duration {
        Duration::from_micros(self.variation.into())
    }

    /// The RTO in force, back-off included.
    pub fn rto(&self) -> Duration {
        self.backed_off(self.backoff)
    }

    /// The RTO as it would be after `times` doublings.
    pub fn backed_off(&self, times: u8) -> Duration {
        let factor = 1u64.checked_shl(times.into()).unwrap_or(u64::MAX);
        Duration::from_micros(u64::from(self.base).saturating_mul(factor)).min(MAX)
    }

    /// Doubles the RTO (RFC 6298, section 5.5), and stops timing: what is sent again cannot be timed (Karn's rule).
    pub fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
        self.timed_at = None;
    }

    /// Times the segment that ends at `end`, unless another is being timed (RFC 6298, section 3).
    pub fn start(&mut self, now: Instant, end: SeqNum) {
        if self.timed_at.is_none() {
            self.timed_at = Some(now);
            self.timed_end = end;
        }
    }

    /// Something is being sent again: no acknowledgment of it may be measured (Karn's rule).
    pub fn cancel(&mut self) {
        self.timed_at = None;
    }

    /// `ack` acknowledges something new: measures it by the timed segment, or else by `echo`, the age of the echoed
    /// timestamp (RFC 7323, section 4.3), which retransmission does not make ambiguous.
    pub fn on_ack(&mut self, now: Instant, ack: SeqNum, echo: Option<Duration>) {
        match self.timed_at {
            Some(_) if ack.before(self.timed_end) => {}
            Some(sent) => {
                self.timed_at = None;
                self.measure(now - sent);
            }
            None => {
                if let Some(age) = echo {
                    self.measure(age);
                }
            }
        }
    }

    /// Takes a measurement R' (RFC 6298, sections 2.2 and 2.3).
    pub fn measure(&mut self, sample: Duration) {
        let sample = micros(sample.min(MAX)).max(1);
        if self.smoothed == 0 {
            self.smoothed = sample;
            self.variation = sample / 2;
        } else {
            let distance = u64::from(self.smoothed.abs_diff(sample));
            self.variation = ((3 * u64::from(self.variation) + distance) / 4) as u32;
            self.smoothed = (((7 * u64::from(self.smoothed) + u64::from(sample)) / 8) as u32).max(1);
        }
        let spread = self.variation.saturating_mul(4).max(micros(MIN));
        self.base = self.smoothed.saturating_add(spread);
        self.backoff = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// RFC 6298, sections 2.1 to 2.5, with Linux's floor under the variation.
    #[test]
    fn the_timeout_follows_the_measurements() {
        let mut rtt = Rtt::new(INITIAL);
        assert_eq!((rtt.smoothed(), rtt.rto()), (None, ms(1000)));
        rtt.measure(ms(400));
        assert_eq!((rtt.smoothed(), rtt.variation(), rtt.rto()), (Some(ms(400)), ms(200), ms(1200)));
        rtt.measure(ms(480));
        // RTTVAR = 3/4 · 200 + 1/4 · 80, SRTT = 7/8 · 400 + 1/8 · 480.
        assert_eq!((rtt.smoothed(), rtt.variation(), rtt.rto()), (Some(ms(410)), ms(170), ms(1090)));
        let mut near = Rtt::new(INITIAL);
        near.measure(Duration::from_micros(80));
        assert_eq!(near.rto(), MIN + Duration::from_micros(80));
    }

    #[test]
    fn back_off_doubles_up_to_the_limit_and_a_measurement_ends_it() {
        let mut rtt = Rtt::new(INITIAL);
        let mut seen = alloc::vec::Vec::new();
        for _ in 0..9 {
            seen.push(rtt.rto().as_secs());
            rtt.back_off();
        }
        assert_eq!(seen, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        for _ in 0..300 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto(), MAX);
        rtt.measure(ms(100));
        assert_eq!(rtt.rto(), ms(300));
    }

    #[test]
    fn karn_retransmitted_segments_are_measured_by_timestamp_only() {
        let at = Instant::from_millis;
        let mut rtt = Rtt::new(INITIAL);
        rtt.start(at(0), SeqNum(100));
        rtt.start(at(5), SeqNum(200));
        rtt.on_ack(at(50), SeqNum(99), Some(ms(7)));
        assert_eq!(rtt.smoothed(), None, "the timed segment is not acknowledged yet");
        rtt.on_ack(at(60), SeqNum(100), Some(ms(7)));
        assert_eq!(rtt.smoothed(), Some(ms(60)));
        let mut again = Rtt::new(INITIAL);
        again.start(at(0), SeqNum(100));
        again.cancel();
        again.on_ack(at(60), SeqNum(100), None);
        assert_eq!(again.smoothed(), None);
        again.on_ack(at(60), SeqNum(100), Some(ms(7)));
        assert_eq!(again.smoothed(), Some(ms(7)));
    }

    proptest! {
        #[test]
        fn no_measurement_leaves_the_bounds(samples in proptest::collection::vec(any::<u64>(), 1..50)) {
            let mut rtt = Rtt::new(INITIAL);
            for sample in samples {
                rtt.measure(Duration::from_nanos(sample));
                prop_assert!(rtt.rto() >= MIN && rtt.rto() <= MAX);
            }
        }
    }
}
