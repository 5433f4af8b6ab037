//! Bursts are spread: what the window allows at once leaves over the round trip (RFC 9002, section 7.7, says why; Linux:
//! `tcp_update_pacing_rate`).
//!
//! The round trip here is the least of late, not the smoothed one as in Linux: on a short path a delayed acknowledgment or two make
//! the latter many times as long as the path, and its rate would hold back what acknowledgments call for.

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
    /// The time that a segment takes, nanoseconds; zero while the round trip is not known.
    segment: u32,
    /// When the segment that is held back may go.
    pub next: Option<Instant>,
}

impl Pacing {
    /// Segments of `mss` bytes leave at `rate` bytes per second from now on; so do those that have left already.
    pub fn set_rate(&mut self, now: Instant, rate: Option<u64>, mss: u32) {
        let nanos = rate.map_or(0, |rate| u64::from(mss) * 1_000_000_000 / rate.max(1));
        let (before, segment) = (self.segment, u32::try_from(nanos).unwrap_or(u32::MAX));
        if self.full_at > now && before != segment {
            let owed = (self.full_at - now).as_nanos() * u128::from(segment) / u128::from(before.max(1));
            self.full_at = now + Duration::from_nanos(u64::try_from(owed).unwrap_or(u64::MAX));
        }
        self.segment = segment;
    }

    /// When the next segment may leave; `None` when it may now.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        // Most bursts end before they are long enough to matter.
        if self.full_at <= now {
            return None;
        }
        let segment = Duration::from_nanos(self.segment.into());
        let burst = (segment * BURST_SEGMENTS).max(BURST_TIME);
        let after = self.full_at + segment;
        (after > now + burst).then(|| now + (after - (now + burst)))
    }

    /// A segment leaves.
    pub fn spend(&mut self, now: Instant) {
        if self.segment > 0 {
            self.full_at = self.full_at.max(now) + Duration::from_nanos(self.segment.into());
        }
    }
}

impl Sender {
    /// Bytes per second at which segments leave, once the round trip is known.
    pub fn pacing_rate(&self) -> Option<u64> {
        let (congestion, smoothed) = (&self.congestion, self.rtt.smoothed()?);
        let round_trip = self.rtt.least().map_or(smoothed, |least| least.min(smoothed));
        let ratio = if congestion.window() < congestion.threshold() / 2 { SLOW_START } else { AVOIDANCE };
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX).max(1);
        Some(u64::from(congestion.window()) * ratio * 10_000 / micros)
    }

    /// The window or the round trip has changed.
    pub(super) fn set_pace(&self, now: Instant, flight: &mut Flight) {
        flight.pacing.set_rate(now, self.pacing_rate(), self.mss.into());
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
        let mut flight = Flight::new(SeqNum(0));
        sender.set_pace(NOW, &mut flight);
        (sender, flight)
    }

    /// How many segments leave before one is held back, and for how long that is.
    fn burst(flight: &mut Flight, now: Instant, most: usize) -> (usize, Option<Duration>) {
        for count in 0..most {
            if let Some(until) = flight.pacing.until(now) {
                return (count, Some(until - now));
            }
            flight.pacing.spend(now);
        }
        (most, None)
    }

    #[test]
    fn a_window_leaves_over_the_round_trip_after_a_burst() {
        // Slow start: twice 100 segments in 100 ms, one each 0.5 ms.
        let (sender, mut flight) = sender(Duration::from_millis(100), 100_000);
        assert_eq!(sender.pacing_rate(), Some(2_000_000));
        let half = Duration::from_micros(500);
        assert_eq!(burst(&mut flight, NOW, 100), (10, Some(half)));
        assert_eq!(burst(&mut flight, NOW + half, 100), (1, Some(half)));
        assert_eq!(burst(&mut flight, NOW + Duration::from_secs(1), 100), (10, Some(half)), "no more is saved up");
    }

    /// A window of one segment, which a timeout leaves, makes each segment a round trip long; not for long.
    #[test]
    fn what_left_slowly_is_no_debt_once_the_rate_is_higher() {
        let (mut sender, mut flight) = sender(Duration::from_millis(100), 1_000);
        assert_eq!(burst(&mut flight, NOW, 3), (3, None));
        sender.congestion.set_window(100_000, 1000);
        sender.set_pace(NOW, &mut flight);
        assert_eq!(burst(&mut flight, NOW, 100), (7, Some(Duration::from_micros(500))));
    }

    #[test]
    fn short_paths_are_not_paced() {
        let (_, mut flight) = sender(Duration::from_micros(900), 200_000);
        assert_eq!(burst(&mut flight, NOW, 200), (200, None));
    }

    /// 40 ms late, the acknowledgment of a single segment is a sample of the receiver's patience.
    #[test]
    fn a_delayed_acknowledgment_does_not_slow_down_a_short_path() {
        let (mut sender, mut flight) = sender(Duration::from_micros(100), 2_000);
        let mut round = crate::connection::rtt::Round::until(SeqNum(0));
        sender.rtt.measure(NOW, Duration::from_millis(40), &mut round, SeqNum(0), SeqNum(1000));
        assert!(sender.rtt.smoothed().is_some_and(|smoothed| smoothed > Duration::from_millis(4)));
        sender.set_pace(NOW, &mut flight);
        assert_eq!(burst(&mut flight, NOW, 20), (20, None));
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
