//! A link that does to frames what networks do.

use super::rng::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Ethernet's own header is left alone: a bit flipped there is caught by the frame check sequence of the hardware.
const FIRST_CORRUPTIBLE: u64 = 14;

/// What the link does. Chances are in a thousand.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Every frame takes at least this long.
    pub delay: Duration,
    /// And up to this much more, in order.
    pub jitter: Duration,
    /// Chance that a frame is lost.
    pub loss: u32,
    /// Chance that it arrives twice.
    pub duplication: u32,
    /// Chance that it is held back, so that later ones overtake it.
    pub reordering: u32,
    /// For how long at most.
    pub holdup: Duration,
    /// Chance that one bit is flipped.
    pub corruption: u32,
    /// Losses that come together.
    pub bursts: Option<Bursts>,
}

/// A link that is good for a while and then bad for a while (Gilbert, 1960; Elliott, 1963). Chances are in a thousand, for each
/// frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bursts {
    /// Chance that bad times begin.
    pub begin: u32,
    /// Chance that they end.
    pub end: u32,
    /// Chance that a frame is lost meanwhile.
    pub loss: u32,
    /// They have also ended when no frame was sent for so long. Without it, bad times last for as many frames however rarely
    /// these come: one in two minutes, where TCP has backed off.
    pub lull: Duration,
}

impl Weather {
    /// No accidents, and no time on the way.
    pub const STILL: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0,
        duplication: 0,
        reordering: 0,
        holdup: Duration::ZERO,
        corruption: 0,
        bursts: None,
    };

    /// Any weather, from still to terrible.
    pub fn draw(rng: &mut Rng) -> Self {
        let millis = |rng: &mut Rng, bound: u64| Duration::from_micros(rng.below(bound * 1000));
        let calm = rng.chance(200);
        let mut chance = |bound| if calm { 0 } else { rng.below(bound) as u32 };
        let (loss, duplication, reordering, corruption) = (chance(200), chance(100), chance(200), chance(50));
        Self {
            delay: millis(rng, 100),
            jitter: millis(rng, 20),
            loss,
            duplication,
            reordering,
            holdup: millis(rng, 200),
            corruption,
            bursts: None,
        }
    }
}

/// One direction of a link.
#[derive(Debug)]
pub struct HostileLink {
    weather: Weather,
    rng: Rng,
    /// By time of arrival, then by order of sending.
    flying: BinaryHeap<Reverse<(Duration, u64, Vec<u8>)>>,
    count: u64,
    /// Jitter keeps the order: no frame that was not held back arrives before the one sent before it.
    last_arrival: Duration,
    in_burst: bool,
    last_sent: Duration,
}

impl HostileLink {
    /// A link with this weather, all of whose accidents come from `rng`.
    pub fn new(weather: Weather, rng: Rng) -> Self {
        let (last_arrival, last_sent) = (Duration::ZERO, Duration::ZERO);
        Self { weather, rng, flying: BinaryHeap::new(), count: 0, last_arrival, in_burst: false, last_sent }
    }

    /// The weather changes. What flies already arrives as it would have.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
        self.in_burst = false;
    }

    /// A frame begins its journey.
    pub fn send(&mut self, now: Duration, frame: Vec<u8>) {
        if self.rng.chance(self.weather.loss) || self.is_lost_in_burst(now) {
            return;
        }
        if self.rng.chance(self.weather.duplication) {
            self.fly(now, frame.clone());
        }
        self.fly(now, frame);
    }

    fn is_lost_in_burst(&mut self, now: Duration) -> bool {
        let Some(Bursts { begin, end, loss, lull }) = self.weather.bursts else { return false };
        self.in_burst &= now.saturating_sub(self.last_sent) < lull;
        self.last_sent = now;
        let turns = self.rng.chance(if self.in_burst { end } else { begin });
        self.in_burst ^= turns;
        self.in_burst && self.rng.chance(loss)
    }

    fn fly(&mut self, now: Duration, mut frame: Vec<u8>) {
        let up_to = |rng: &mut Rng, span: Duration| Duration::from_nanos(rng.below(span.as_nanos() as u64 + 1));
        let usual = now + self.weather.delay + up_to(&mut self.rng, self.weather.jitter);
        let mut arrival = usual.max(self.last_arrival);
        if self.rng.chance(self.weather.reordering) {
            arrival += up_to(&mut self.rng, self.weather.holdup);
        } else {
            self.last_arrival = arrival;
        }
        if self.rng.chance(self.weather.corruption) {
            let bits = (frame.len() as u64).saturating_sub(FIRST_CORRUPTIBLE) * 8;
            let bit = FIRST_CORRUPTIBLE * 8 + self.rng.below(bits);
            if let Some(byte) = frame.get_mut(bit as usize / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        self.count += 1;
        self.flying.push(Reverse((arrival, self.count, frame)));
    }

    /// When the next frame arrives.
    pub fn next_arrival(&self) -> Option<Duration> {
        self.flying.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next frame that has arrived by `now`.
    pub fn receive(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.next_arrival()? > now {
            return None;
        }
        self.flying.pop().map(|Reverse((.., frame))| frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weather() -> Weather {
        let ms = Duration::from_millis;
        Weather { delay: ms(10), jitter: ms(5), holdup: ms(50), ..Weather::STILL }
    }

    /// Sends frames numbered by their first bytes, and returns what arrives.
    fn run(weather: Weather) -> Vec<Vec<u8>> {
        let mut link = HostileLink::new(weather, Rng::new(7));
        for n in 0..1000_u64 {
            let mut frame = vec![0; 64];
            frame[..8].copy_from_slice(&n.to_be_bytes());
            link.send(Duration::from_micros(n), frame);
        }
        std::iter::from_fn(|| link.receive(Duration::MAX)).collect()
    }

    fn numbers(frames: &[Vec<u8>]) -> Vec<u64> {
        frames.iter().map(|frame| frame[..8].iter().fold(0, |n, byte| n << 8 | u64::from(*byte))).collect()
    }

    #[test]
    fn in_good_weather_everything_arrives_in_order() {
        assert_eq!(numbers(&run(weather())), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn each_accident_happens_about_as_often_as_it_should() {
        let lost = 1000 - run(Weather { loss: 100, ..weather() }).len();
        assert!((50..150).contains(&lost), "{lost}");
        let doubled = run(Weather { duplication: 100, ..weather() }).len() - 1000;
        assert!((50..150).contains(&doubled), "{doubled}");
        let order = numbers(&run(Weather { reordering: 100, ..weather() }));
        let overtaken = order.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!((20..200).contains(&overtaken), "{overtaken}");
        let flipped = run(Weather { corruption: 100, ..weather() })
            .iter()
            .filter(|frame| frame[8..].iter().map(|byte| byte.count_ones()).sum::<u32>() == 1)
            .count();
        assert!((50..150).contains(&flipped), "{flipped}");
    }

    #[test]
    fn losses_in_bursts_come_together() {
        let bursts = Bursts { begin: 10, end: 100, loss: 1000, lull: Duration::MAX };
        let arrived = numbers(&run(Weather { bursts: Some(bursts), ..weather() }));
        let gaps = arrived.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
        let lost = 1000 - arrived.len();
        assert!(lost > 40 && gaps > 0 && lost > 4 * gaps, "{lost} in {gaps}");
    }

    #[test]
    fn a_burst_does_not_outlast_a_lull() {
        let arrives = |pause: u64| {
            let bursts = Bursts { begin: 0, end: 0, loss: 1000, lull: Duration::from_millis(100) };
            let mut link = HostileLink::new(Weather { bursts: Some(bursts), ..weather() }, Rng::new(7));
            link.in_burst = true;
            link.send(Duration::ZERO, vec![0; 64]);
            link.send(Duration::from_millis(pause), vec![0; 64]);
            link.receive(Duration::MAX).is_some()
        };
        assert_eq!((arrives(99), arrives(100)), (false, true));
    }

    #[test]
    fn a_seed_is_a_run() {
        let weather = || Weather { loss: 100, duplication: 100, reordering: 100, corruption: 100, ..weather() };
        assert_eq!(run(weather()), run(weather()));
    }
}
