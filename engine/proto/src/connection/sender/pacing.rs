//! Bursts are spread: what the window allows at once leaves over the round trip (RFC 9002, section 7.7, says why; Linux:
//! `tcp_update_pacing_rate`).

use super::Sender;
use super::flight::Flight;
use crate::Instant;
use core::time::Duration;

/// The rate is a window per round trip, times this many hundredths: in slow start, when the window doubles meanwhile, and later
/// (Linux: `tcp_pacing_ss_ratio`, `tcp_pacing_ca_ratio`).
const SLOW_START: u64 = 200;
const AVOIDANCE: u64 = 120;
/// What may leave at once: so many segments (RFC 6928's initial window), or what leaves in so long, whichever is more. On a path
/// shorter than that nothing is ever held back.
const BURST_SEGMENTS: u32 = 10;
const BURST_TIME: Duration = Duration::from_millis(1);

/// A token bucket, kept as the time at which it would be full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Pacing {
    full_at: Instant,
    /// When the segment that is held back may go.
    pub next: Option<Instant>,
}

impl Sender {
    /// Bytes per second at which segments leave, once the round trip is known.
    pub fn pacing_rate(&self) -> Option<u64> {
        let (congestion, smoothed) = (&self.congestion, self.rtt.smoothed()?);
        let ratio = if congestion.window() < congestion.threshold() / 2 { SLOW_START } else { AVOIDANCE };
        let micros = u64::try_from(smoothed.as_micros()).unwrap_or(u64::MAX).max(1);
        Some(u64::from(congestion.window()) * ratio * 10_000 / micros)
    }

    /// The time that a segment takes at the pacing rate, and the time that a burst may.
    fn segment_time(&self) -> Option<(Duration, Duration)> {
        let rate = self.pacing_rate()?.max(1);
        let segment = Duration::from_nanos(u64::from(self.mss) * 1_000_000_000 / rate);
        Some((segment, (segment * BURST_SEGMENTS).max(BURST_TIME)))
    }

    /// When the next segment may leave; `None` when it may now.
    pub(super) fn paced_until(&self, flight: &Flight, now: Instant) -> Option<Instant> {
        // Most bursts end before they are long enough to matter.
        if flight.pacing.full_at <= now {
            return None;
        }
        let (segment, burst) = self.segment_time()?;
        let after = flight.pacing.full_at + segment;
        (after > now + burst).then(|| now + (after - (now + burst)))
    }

    /// A segment leaves.
    pub(super) fn spend(&self, flight: &mut Flight, now: Instant) {
        if let Some((segment, _)) = self.segment_time() {
            flight.pacing.full_at = flight.pacing.full_at.max(now) + segment;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeqNum;
    use crate::connection::congestion::{Congestion, CongestionAlgorithm};
    use crate::connection::rtt::Rtt;
    use crate::segment::WindowScale;

    const NOW: Instant = Instant::from_millis(1000);

    fn sender(rtt: Duration, window: u32) -> (Sender, Flight) {
        let mut congestion = Congestion::new(CongestionAlgorithm::NewReno, 1000, 0);
        congestion.set_window(window, 1000);
        let rtt = Rtt::of_handshake(NOW, Some(rtt));
        let sender = Sender::new(SeqNum(0), 1000, WindowScale::NONE, false, rtt, congestion);
        (sender, Flight::new(SeqNum(0)))
    }

    /// How many segments leave before one is held back, and for how long that is.
    fn burst(sender: &Sender, flight: &mut Flight, now: Instant, most: usize) -> (usize, Option<Duration>) {
        for count in 0..most {
            if let Some(until) = sender.paced_until(flight, now) {
                return (count, Some(until - now));
            }
            sender.spend(flight, now);
        }
        (most, None)
    }

    #[test]
    fn a_window_leaves_over_the_round_trip_after_a_burst() {
        // Slow start: twice 100 segments in 100 ms, one each 0.5 ms.
        let (sender, mut flight) = sender(Duration::from_millis(100), 100_000);
        assert_eq!(sender.pacing_rate(), Some(2_000_000));
        let half = Duration::from_micros(500);
        assert_eq!(burst(&sender, &mut flight, NOW, 100), (10, Some(half)));
        assert_eq!(burst(&sender, &mut flight, NOW + half, 100), (1, Some(half)));
        assert_eq!(
            burst(&sender, &mut flight, NOW + Duration::from_secs(1), 100),
            (10, Some(half)),
            "no more is saved up"
        );
    }

    #[test]
    fn short_paths_are_not_paced() {
        let (sender, mut flight) = sender(Duration::from_micros(900), 200_000);
        assert_eq!(burst(&sender, &mut flight, NOW, 200), (200, None));
    }

    #[test]
    fn the_rate_is_linuxs() {
        let (mut sender, _) = sender(Duration::from_millis(100), 100_000);
        sender.congestion.on_congestion(&mut Default::default(), 100_000, 1000);
        assert_eq!(sender.pacing_rate(), Some(1_200_000), "a window per round trip and a fifth");
        sender.rtt = Rtt::of_handshake(NOW, None);
        assert_eq!(sender.pacing_rate(), None);
    }
}
