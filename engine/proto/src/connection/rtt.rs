//! The round trip and the retransmission timeout: RFC 6298, in Linux's form (`tcp_rtt_estimator`), which takes a sample from every
//! acknowledgment.

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

/// The least round trip is forgotten after so long (Linux: `tcp_min_rtt_wlen`).
const LEAST_LASTS: Duration = Duration::from_secs(300);

/// The time that `retries` retransmissions take from the first on, the last one's wait included, when the first waits [`MIN`]
/// (Linux: `tcp_model_timeout`). A connection is given up by time: one with a longer RTO makes fewer.
pub(super) const fn time_of(retries: u8) -> Duration {
    let doublings = (MAX.as_millis() / MIN.as_millis()).ilog2();
    let doubled = if (retries as u32) < doublings { retries as u32 } else { doublings };
    let rest = retries as u32 - doubled;
    Duration::from_millis(((2 << doubled) - 1) * MIN.as_millis() as u64 + rest as u64 * MAX.as_millis() as u64)
}

const _: () = assert!(time_of(15).as_millis() == 924_600, "tcp_retries2");
const _: () = assert!(time_of(3).as_millis() == 3_000);

/// Whole microseconds, as many as 32 bits count.
pub(super) const fn micros(span: Duration) -> u32 {
    let micros = span.as_micros();
    if micros > u32::MAX as u128 { u32::MAX } else { micros as u32 }
}

/// A round-trip estimate, and the timeout that follows from it.
#[derive(Clone, Debug)]
pub(super) struct Rtt {
    /// SRTT, eighths of a microsecond; zero while nothing has been measured.
    smoothed: u32,
    /// The mean deviation, quarters of a microsecond (Linux: `mdev_us`).
    deviation: u32,
    /// What variation adds to the RTO, microseconds: four times RTTVAR, which follows the largest deviation of a round trip
    /// (Linux: `rttvar_us`).
    spread: u32,
    /// The least round trip of late, microseconds; zero while nothing has been measured.
    least: u32,
    /// When that was, seconds.
    least_at: u16,
    /// The RTO before any measurement, seconds.
    initial: u8,
    /// How often the RTO was doubled since the last measurement (RFC 6298, section 5.5).
    backoff: u8,
}

const _: () = assert!(size_of::<Rtt>() <= 20);

/// The largest deviation during one round trip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// What ends it once it is acknowledged.
    end: SeqNum,
    /// Quarters of a microsecond, at least [`MIN`] (Linux: `mdev_max_us`).
    deviation: u32,
}

impl Round {
    /// A round that ends once `end` is acknowledged.
    pub fn until(end: SeqNum) -> Self {
        Self { end, deviation: micros(MIN) }
    }
}

impl Rtt {
    /// Nothing measured yet; `initial` is the RTO until then.
    pub fn new(initial: Duration) -> Self {
        let initial = u8::try_from(initial.as_secs()).unwrap_or(u8::MAX);
        Self { smoothed: 0, deviation: 0, spread: 0, least: 0, least_at: 0, initial, backoff: 0 }
    }

    /// What the handshake tells: its round trip, or that the SYN or SYN-ACK had to be sent again, for all that we know.
    pub fn of_handshake(now: Instant, round_trip: Option<Duration>) -> Self {
        let mut rtt = Self::new(AFTER_SYN_LOSS);
        if let Some(round_trip) = round_trip {
            rtt.measure_handshake(now, round_trip);
        }
        rtt
    }

    /// SRTT, once there is one.
    pub fn smoothed(&self) -> Option<Duration> {
        (self.smoothed > 0).then(|| Duration::from_micros(u64::from(self.smoothed) / 8))
    }

    /// RTTVAR.
    pub fn variation(&self) -> Duration {
        Duration::from_micros(u64::from(self.deviation) / 4)
    }

    /// The least round trip of the last five minutes, once there is one.
    pub fn least(&self) -> Option<Duration> {
        (self.least > 0).then(|| Duration::from_micros(self.least.into()))
    }

    /// The RTO in force, back-off included.
    pub fn rto(&self) -> Duration {
        self.backed_off(self.backoff)
    }

    /// The RTO as it would be after `times` doublings.
    pub fn backed_off(&self, times: u8) -> Duration {
        let base = match self.smoothed {
            0 => u64::from(self.initial) * 1_000_000,
            smoothed => u64::from(smoothed / 8) + u64::from(self.spread),
        };
        let factor = 1u64.checked_shl(times.into()).unwrap_or(u64::MAX);
        Duration::from_micros(base.saturating_mul(factor)).min(MAX)
    }

    /// Doubles the RTO (RFC 6298, section 5.5).
    pub fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// Takes the first measurement R (RFC 6298, section 2.2), that of the handshake.
    pub fn measure_handshake(&mut self, now: Instant, sample: Duration) {
        if self.smoothed == 0 {
            let sample = micros(sample.min(MAX)).max(1);
            self.smoothed = sample * 8;
            self.deviation = sample * 2;
            self.spread = self.deviation.max(micros(MIN));
            self.backoff = 0;
            self.note_least(now, Duration::from_micros(sample.into()));
        }
    }

    /// Takes a measurement R' (RFC 6298, section 2.3) while `[una, nxt)` is in flight.
    pub fn measure(&mut self, now: Instant, sample: Duration, round: &mut Round, una: SeqNum, nxt: SeqNum) {
        self.backoff = 0;
        if self.smoothed == 0 {
            *round = Round { end: nxt, ..Round::until(nxt) };
            self.measure_handshake(now, sample);
            round.deviation = self.spread;
            return;
        }
        self.approach(i64::from(micros(sample.min(MAX)).max(1)));
        round.deviation = round.deviation.max(self.deviation);
        self.spread = self.spread.max(round.deviation);
        // Once a round trip the spread comes down by a quarter of what it is too large.
        if una.after(round.end) {
            self.spread -= self.spread.saturating_sub(round.deviation) / 4;
            *round = Round::until(nxt);
        }
    }

    /// Takes a round trip as the least of late, if it is (Linux: `tcp_update_rtt_min`).
    pub fn note_least(&mut self, now: Instant, sample: Duration) {
        let (sample, at) = (micros(sample).max(1), (now.as_millis() / 1000) as u16);
        let age = Duration::from_secs(at.wrapping_sub(self.least_at).into());
        if self.least == 0 || sample <= self.least || age > LEAST_LASTS {
            (self.least, self.least_at) = (sample, at);
        }
    }

    /// SRTT ← 7/8 SRTT + 1/8 R', RTTVAR ← 3/4 RTTVAR + 1/4 |SRTT - R'|; a shorter round trip widens the variation eight times
    /// more slowly, so that it does not lengthen the RTO.
    fn approach(&mut self, sample: i64) {
        let error = sample - i64::from(self.smoothed / 8);
        self.smoothed = clamp(i64::from(self.smoothed) + error).max(1);
        let growth = error.abs() - i64::from(self.deviation / 4);
        let growth = if error < 0 && growth > 0 { growth / 8 } else { growth };
        self.deviation = clamp(i64::from(self.deviation) + growth);
    }
}

fn clamp(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Instant = Instant::from_millis(1_000_000);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A measurement in a round of its own.
    fn measure(rtt: &mut Rtt, sample: Duration) {
        rtt.measure(NOW, sample, &mut Round::until(SeqNum(0)), SeqNum(1), SeqNum(2));
    }

    /// RFC 6298, sections 2.1 to 2.5, with Linux's floor under the variation.
    #[test]
    fn the_timeout_follows_the_measurements() {
        let mut rtt = Rtt::new(INITIAL);
        assert_eq!((rtt.smoothed(), rtt.rto()), (None, ms(1000)));
        measure(&mut rtt, ms(400));
        assert_eq!((rtt.smoothed(), rtt.variation(), rtt.rto()), (Some(ms(400)), ms(200), ms(1200)));
        measure(&mut rtt, ms(480));
        // RTTVAR = 3/4 · 200 + 1/4 · 80, SRTT = 7/8 · 400 + 1/8 · 480; the spread falls by a quarter of 800 - 680.
        assert_eq!((rtt.smoothed(), rtt.variation(), rtt.rto()), (Some(ms(410)), ms(170), ms(410 + 770)));
        let mut near = Rtt::new(INITIAL);
        measure(&mut near, Duration::from_micros(80));
        assert_eq!(near.rto(), MIN + Duration::from_micros(80));
    }

    /// The deviation of a whole round counts, and a shorter round trip does not lengthen the timeout.
    #[test]
    fn one_late_acknowledgment_of_a_round_widens_the_timeout_and_early_ones_do_not() {
        let mut rtt = Rtt::new(INITIAL);
        measure(&mut rtt, ms(100));
        let mut round = Round::until(SeqNum(1000));
        let mut sample = |rtt: &mut Rtt, millis| rtt.measure(NOW, ms(millis), &mut round, SeqNum(500), SeqNum(2000));
        sample(&mut rtt, 400);
        let wide = rtt.rto();
        assert!(wide > ms(100 + 300), "{wide:?}");
        for _ in 0..20 {
            sample(&mut rtt, 100);
        }
        assert!(rtt.rto() > ms(100 + 400), "{:?}", rtt.rto());
        let mut early = Rtt::new(INITIAL);
        measure(&mut early, ms(1000));
        let before = early.rto();
        measure(&mut early, ms(100));
        assert!(early.rto() < before);
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
        measure(&mut rtt, ms(100));
        assert_eq!(rtt.rto(), ms(300));
    }

    #[test]
    fn the_least_round_trip_is_remembered_for_five_minutes() {
        let mut rtt = Rtt::new(INITIAL);
        assert_eq!(rtt.least(), None);
        for (at, sample, least) in [(0, 50, 50), (10, 80, 50), (20, 30, 30), (300_000, 90, 30), (301_000, 90, 90)] {
            rtt.note_least(NOW + ms(at), ms(sample));
            assert_eq!(rtt.least(), Some(ms(least)), "after {at} ms");
        }
    }

    proptest! {
        #[test]
        fn no_measurement_leaves_the_bounds(samples in proptest::collection::vec(any::<u64>(), 1..50)) {
            let mut rtt = Rtt::new(INITIAL);
            let mut round = Round::until(SeqNum(0));
            for (index, sample) in samples.into_iter().enumerate() {
                let una = SeqNum(index as u32 / 3);
                rtt.measure(NOW, Duration::from_nanos(sample), &mut round, una, una + 5);
                prop_assert!(rtt.rto() >= MIN && rtt.rto() <= MAX);
            }
        }
    }
}
