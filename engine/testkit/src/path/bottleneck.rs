//! A line of limited rate and the queue before it.

use std::time::Duration;

/// A drop-tail queue in bytes. Frames leave it in order, so when each one leaves is known on arrival.
#[derive(Clone, Debug)]
pub struct Bottleneck {
    /// Bits per second.
    rate: u64,
    /// Bytes that wait at most.
    capacity: u64,
    /// When the last frame that was taken has left.
    free_at: Duration,
}

impl Bottleneck {
    /// An empty queue of `capacity` bytes before a line of `rate` bits per second.
    pub const fn new(rate: u64, capacity: u64) -> Self {
        Self { rate, capacity, free_at: Duration::ZERO }
    }

    /// When a frame of `length` bytes that arrives at `now` has left; `None` when the queue has no room for it. The frame on
    /// the line takes none.
    pub fn pass(&mut self, now: Duration, length: usize) -> Option<Duration> {
        let on_the_line = self.time_for(length as u64);
        if self.free_at > now {
            let waiting = (self.free_at - now).as_nanos() as u64 * self.rate / 8 / 1_000_000_000;
            if waiting > self.capacity {
                return None;
            }
        }
        self.free_at = self.free_at.max(now) + on_the_line;
        Some(self.free_at)
    }

    /// How long `bytes` take on the line.
    fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes * 8 * 1_000_000_000 / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8 Mbit/s are a byte a microsecond.
    #[test]
    fn frames_leave_one_after_the_other_and_the_rest_is_dropped() {
        let mut bottleneck = Bottleneck::new(8_000_000, 2500);
        let micros = Duration::from_micros;
        let leaves: Vec<_> = (0..5).map(|_| bottleneck.pass(micros(0), 1000)).collect();
        assert_eq!(leaves, [Some(micros(1000)), Some(micros(2000)), Some(micros(3000)), None, None]);
        assert_eq!(bottleneck.pass(micros(500), 1000), Some(micros(4000)), "2500 bytes wait, and the line is busy");
        assert_eq!(bottleneck.pass(micros(9000), 1000), Some(micros(10_000)));
    }
}
