//! HyStart++: leaving the first slow start before it overruns the path (RFC 9406).

use super::Acked;
use crate::SeqNum;
use core::time::Duration;

/// The least and the most increase of the round trip that counts as a queue (MIN_RTT_THRESH, MAX_RTT_THRESH), in
/// microseconds.
const MIN_RTT_THRESHOLD: u32 = 4_000;
const MAX_RTT_THRESHOLD: u32 = 16_000;
/// The increase that counts, as a part of the last round's least round trip (MIN_RTT_DIVISOR).
const MIN_RTT_DIVISOR: u32 = 8;
/// Samples before a round is judged (N_RTT_SAMPLE).
const SAMPLES: u8 = 8;
/// How much slower conservative slow start is (CSS_GROWTH_DIVISOR).
const CSS_GROWTH_DIVISOR: u32 = 4;
/// Rounds of conservative slow start before congestion avoidance (CSS_ROUNDS).
const CSS_ROUNDS: u8 = 5;
/// Segments by which one acknowledgment opens the window of a sender that does not pace (L).
pub(super) const UNPACED_LIMIT: u32 = 8;

/// What an acknowledgment revealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Slow start goes on.
    Nothing,
    /// The path is full: ssthresh is the window.
    Congestion,
}

/// Conservative slow start: the round trip has grown, and it remains to be seen whether that lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Conservative {
    /// The least round trip of the round that began it (cssBaselineMinRtt).
    baseline: u32,
    /// Rounds of it that are over.
    rounds: u8,
}

/// The rounds of slow start; round trips in microseconds, zero where none was measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct HyStart {
    /// windowEnd: the round is over once it is acknowledged. None has begun yet while there is none.
    end: Option<SeqNum>,
    /// lastRoundMinRTT.
    last_round: u32,
    /// currentRoundMinRTT.
    this_round: u32,
    /// rttSampleCount, as far as it matters.
    samples: u8,
    conservative: Option<Conservative>,
}

impl HyStart {
    /// An acknowledgment in the first slow start (RFC 9406, section 4.2).
    pub fn on_ack(&mut self, acked: &Acked) -> Found {
        if self.end.is_none_or(|end| !acked.una.before(end)) {
            self.end = Some(acked.nxt);
            if self.begin_round() == Found::Congestion {
                return Found::Congestion;
            }
        }
        if let Some(rtt) = acked.rtt {
            self.sample(rtt);
        }
        Found::Nothing
    }

    /// By how much slow start opens the window.
    pub fn step(&self, acked: &Acked, mss: u32) -> u32 {
        let limit = if acked.is_paced { u32::MAX } else { mss.saturating_mul(UNPACED_LIMIT) };
        let divisor = if self.conservative.is_some() { CSS_GROWTH_DIVISOR } else { 1 };
        acked.bytes.min(limit) / divisor
    }

    fn begin_round(&mut self) -> Found {
        if let Some(conservative) = &mut self.conservative {
            conservative.rounds += 1;
            if conservative.rounds >= CSS_ROUNDS {
                return Found::Congestion;
            }
        }
        (self.last_round, self.this_round, self.samples) = (self.this_round, 0, 0);
        Found::Nothing
    }

    fn sample(&mut self, rtt: Duration) {
        let rtt = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1);
        self.this_round = if self.this_round == 0 { rtt } else { self.this_round.min(rtt) };
        self.samples = self.samples.saturating_add(1);
        if self.samples < SAMPLES {
            return;
        }
        match self.conservative {
            // It was jitter: slow start goes on.
            Some(Conservative { baseline, .. }) if self.this_round < baseline => self.conservative = None,
            None if self.last_round > 0 && self.this_round >= self.last_round.saturating_add(self.threshold()) => {
                self.conservative = Some(Conservative { baseline: self.this_round, rounds: 0 });
            }
            Some(_) | None => {}
        }
    }

    /// RttThresh.
    fn threshold(&self) -> u32 {
        (self.last_round / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESHOLD, MAX_RTT_THRESHOLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instant;

    const MSS: u32 = 1000;

    /// A sender whose rounds are a hundred bytes each.
    #[derive(Default)]
    struct Play {
        hystart: HyStart,
        round: u32,
    }

    impl Play {
        /// The `number`th acknowledgment of this round measures so many microseconds.
        fn ack(&mut self, micros: u64, number: u32) -> Found {
            let una = SeqNum(u32::MAX - 250) + 100 * self.round + number;
            let rtt = Some(Duration::from_micros(micros));
            self.hystart.on_ack(&Acked { una, nxt: una + 100, rtt, ..PLAIN })
        }

        /// A round of so many acknowledgments.
        fn round(&mut self, micros: u64, acks: u32) -> Found {
            self.round += 1;
            let first = self.ack(micros, 0);
            for number in 1..acks {
                assert_eq!(self.ack(micros, number), Found::Nothing, "only the end of a round decides");
            }
            first
        }

        fn is_conservative(&self) -> bool {
            self.hystart.conservative.is_some()
        }
    }

    const PLAIN: Acked = Acked {
        now: Instant::ZERO,
        bytes: MSS,
        is_window_limited: true,
        is_paced: true,
        rtt: None,
        srtt: None,
        una: SeqNum(0),
        nxt: SeqNum(0),
    };

    /// By how much the round trip must rise from one round to the next: an eighth, within 4 and 16 ms.
    #[test]
    fn a_rise_of_an_eighth_begins_conservative_slow_start() {
        for (last, rise) in [(1_000, 4_000), (32_000, 4_000), (80_000, 10_000), (128_000, 16_000), (400_000, 16_000)] {
            let mut play = Play::default();
            play.round(last, 8);
            play.round(last + rise - 1, 8);
            assert!(!play.is_conservative(), "{last} µs and less than {rise} more");
            let mut play = Play::default();
            play.round(last, 8);
            play.round(last + rise, 8);
            let wanted = Conservative { baseline: (last + rise) as u32, rounds: 0 };
            assert_eq!(play.hystart.conservative, Some(wanted), "{last} µs");
        }
    }

    #[test]
    fn fewer_than_eight_samples_say_nothing() {
        let mut play = Play::default();
        play.round(20_000, 8);
        play.round(90_000, 7);
        assert!(!play.is_conservative());
        let una = SeqNum(u32::MAX - 250) + 200 + 8;
        assert_eq!(play.hystart.on_ack(&Acked { una, ..PLAIN }), Found::Nothing);
        assert!(!play.is_conservative(), "one that measured nothing does not count");
        play.ack(90_000, 9);
        assert!(play.is_conservative());
    }

    #[test]
    fn the_least_of_a_round_counts() {
        let mut play = Play::default();
        play.round(20_000, 8);
        play.round(21_000, 1);
        for number in 1..20 {
            play.ack(90_000, number);
        }
        assert!(!play.is_conservative(), "one sample without a queue");
    }

    /// The round in which it begins counts (section 4.2).
    #[test]
    fn five_conservative_rounds_end_slow_start() {
        let mut play = Play::default();
        play.round(20_000, 8);
        play.round(30_000, 8);
        for _ in 0..4 {
            assert_eq!(play.round(30_000, 8), Found::Nothing);
        }
        assert_eq!(play.round(30_000, 1), Found::Congestion);
    }

    #[test]
    fn a_round_trip_below_the_baseline_resumes_slow_start() {
        let mut play = Play::default();
        play.round(20_000, 8);
        play.round(30_000, 8);
        play.round(29_999, 7);
        assert!(play.is_conservative(), "too few samples yet");
        play.ack(40_000, 7);
        assert!(!play.is_conservative());
        play.round(40_000, 8);
        assert!(play.is_conservative(), "and may begin again");
    }

    #[test]
    fn conservative_slow_start_is_four_times_slower_and_unpaced_slow_start_is_limited() {
        let stretched = Acked { bytes: 100 * MSS, ..PLAIN };
        let unpaced = Acked { is_paced: false, ..stretched };
        let mut hystart = HyStart::default();
        assert_eq!((hystart.step(&stretched, MSS), hystart.step(&unpaced, MSS)), (100 * MSS, 8 * MSS));
        hystart.conservative = Some(Conservative { baseline: 1, rounds: 0 });
        assert_eq!((hystart.step(&stretched, MSS), hystart.step(&unpaced, MSS)), (25 * MSS, 2 * MSS));
    }
}
