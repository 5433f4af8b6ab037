//! How large the receive buffer is: dynamic right-sizing in Linux's form (`tcp_rcv_space_adjust`, `tcp_rcvbuf_grow`).
//!
//! The window has to hold what the peer sends in two round trips, as a measurement is one round trip late. So the buffer follows
//! what the application read in the last one: a reader that keeps up is given more, one that does not is not.

use super::rtt::micros;
use crate::{Instant, SeqNum};
use core::time::Duration;

/// A clock of microseconds that wraps after 71 minutes: what it measures are round trips.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Micros(u32);

impl Micros {
    fn of(now: Instant) -> Self {
        Self((now.as_nanos() / 1000) as u32)
    }

    fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

/// The receive buffer and what it is measured by.
#[derive(Clone, Debug)]
pub(super) struct Tuning {
    /// Bytes that the peer may have in flight or unread.
    buffer: u32,
    /// The round trip, microseconds; zero while it is not known. Measured apart from the sender's: a connection that only receives
    /// has no other.
    round_trip: u32,
    /// Where the window that is being timed ends.
    window_end: SeqNum,
    window_begun: Micros,
    /// What the application had read when this round trip began.
    read: SeqNum,
    read_begun: Micros,
}

/// What in-order data tells about the round trip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// When it came.
    pub now: Instant,
    /// RCV.NXT, this data included.
    pub nxt: SeqNum,
    /// The window that was offered last.
    pub window: u32,
    /// How old the timestamp is that a full-sized segment echoes.
    pub echo: Option<Duration>,
    /// Whether the application has read all that came before.
    pub drained: bool,
}

/// What the application has read by now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// When it read last.
    pub now: Instant,
    /// RCV.NXT less what is unread.
    pub read: SeqNum,
    /// Bytes in order that it has not read.
    pub unread: u32,
    /// Bytes from RCV.NXT to the end of what came before its turn.
    pub ahead: u32,
}

impl Tuning {
    /// A buffer whose peer may send `window` bytes from `nxt` on.
    pub fn new(now: Instant, nxt: SeqNum, window: u32, buffer: u32, round_trip: Option<Duration>) -> Self {
        let now = Micros::of(now);
        let round_trip = round_trip.map_or(0, micros);
        Self { buffer, round_trip, window_end: nxt + window, window_begun: now, read: nxt, read_begun: now }
    }

    /// Bytes that the peer may have in flight or unread.
    pub const fn buffer(&self) -> u32 {
        self.buffer
    }

    /// The application wants just so many.
    pub fn set_buffer(&mut self, bytes: u32) {
        self.buffer = bytes;
    }

    /// Times a round trip: by the echo of a timestamp, smoothed (Linux: `tcp_rcv_rtt_measure_ts`); or by how long it takes to fill
    /// the window that was offered, which is a round trip at least (Linux: `tcp_rcv_rtt_measure`).
    pub fn on_data(&mut self, sample: &Sample) {
        let now = Micros::of(sample.now);
        let elapsed = now.since(self.window_begun);
        match sample.echo.map(micros).filter(|&age| age > 0) {
            // One of each round trip: those that follow echo the same tick later.
            Some(age) if elapsed >= self.round_trip => {
                if self.round_trip == 0 || age < self.round_trip {
                    self.round_trip = age;
                } else if sample.drained {
                    self.round_trip = self.round_trip.saturating_sub(self.round_trip / 8).saturating_add(age / 8);
                }
            }
            Some(_) => return,
            None if sample.nxt.before(self.window_end) => return,
            None if self.round_trip == 0 => self.round_trip = elapsed.max(1),
            None => self.round_trip = self.round_trip.min(elapsed.max(1)),
        }
        self.window_end = sample.nxt + sample.window;
        self.window_begun = now;
    }

    /// The application has read: the buffer grows, to `most` at most, when it took more than half of it in a round trip.
    pub fn on_read(&mut self, reading: &Reading, most: u32) {
        let now = Micros::of(reading.now);
        if self.round_trip == 0 || now.since(self.read_begun) < self.round_trip {
            return;
        }
        let copied = reading.read.distance_from(self.read).saturating_sub(reading.unread);
        if copied > self.buffer / 2 {
            self.buffer = self.buffer.max(self.wanted(copied, reading.ahead).min(most));
        }
        self.read = reading.read;
        self.read_begun = now;
    }

    /// The buffer for an application that reads `copied` bytes in a round trip: twice as much, as the peer has gone on meanwhile,
    /// and more while its rate still rises (slow start doubles it).
    fn wanted(&self, copied: u32, ahead: u32) -> u32 {
        let (copied, before) = (u64::from(copied), u64::from(self.buffer / 2).max(1));
        let twice = 2 * copied;
        let growth = twice * copied.saturating_sub(before) / before;
        u32::try_from(twice + 2 * growth + u64::from(ahead)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: SeqNum = SeqNum(u32::MAX - 1000);
    const MOST: u32 = 6 << 20;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn tuning(round_trip: Option<u64>) -> Tuning {
        Tuning::new(at(0), START, 60_000, 100_000, round_trip.map(Duration::from_millis))
    }

    fn reading(millis: u64, read: u32) -> Reading {
        Reading { now: at(millis), read: START + read, unread: 0, ahead: 0 }
    }

    #[test]
    fn a_reader_that_takes_half_of_the_buffer_in_a_round_trip_is_given_more() {
        for (millis, read, unread, buffer) in [
            (9, 100_000, 0, 100_000),
            (10, 50_000, 0, 100_000),
            (10, 50_001, 0, 100_006),
            (10, 60_000, 0, 168_000),
            (10, 60_000, 10_000, 100_000),
            (10, 100_000, 0, 600_000),
        ] {
            let mut tuning = tuning(Some(10));
            tuning.on_read(&Reading { unread, ..reading(millis, read) }, MOST);
            assert_eq!(tuning.buffer(), buffer, "{read} bytes in {millis} ms, {unread} unread");
        }
    }

    #[test]
    fn it_never_shrinks_and_has_a_limit() {
        let mut tuning = tuning(Some(10));
        tuning.on_read(&reading(10, 4 << 20), MOST);
        assert_eq!(tuning.buffer(), MOST);
        tuning.on_read(&reading(20, (4 << 20) + 1), MOST);
        assert_eq!(tuning.buffer(), MOST);
        tuning.on_read(&reading(30, 16 << 20), 1 << 20);
        assert_eq!(tuning.buffer(), MOST, "a limit that comes later takes nothing back");
    }

    #[test]
    fn without_a_round_trip_nothing_is_measured() {
        let mut tuning = tuning(None);
        tuning.on_read(&reading(1000, 100_000), MOST);
        assert_eq!(tuning.buffer(), 100_000);
    }

    fn sample(millis: u64, received: u32) -> Sample {
        Sample { now: at(millis), nxt: START + received, window: 60_000, echo: None, drained: true }
    }

    /// The time in which a window is filled is at least a round trip, so that the least counts.
    #[test]
    fn a_window_is_timed() {
        let mut tuning = tuning(None);
        for (millis, received, round_trip) in
            [(5, 59_999, 0), (8, 60_000, 8_000), (20, 119_999, 8_000), (30, 120_000, 8_000), (33, 180_000, 3_000)]
        {
            tuning.on_data(&sample(millis, received));
            assert_eq!(tuning.round_trip, round_trip, "at {millis} ms");
        }
    }

    #[test]
    fn timestamps_are_smoothed_and_count_once_in_a_round_trip() {
        let mut tuning = tuning(None);
        let mut echo = |millis, age, drained| {
            let echo = Some(Duration::from_millis(age));
            tuning.on_data(&Sample { echo, drained, ..sample(millis, 10) });
            tuning.round_trip
        };
        assert_eq!(echo(100, 80, true), 80_000);
        assert_eq!(echo(101, 1, true), 80_000, "of the same round trip");
        assert_eq!(echo(180, 160, true), 90_000);
        assert_eq!(echo(300, 800, false), 90_000, "the reader was late");
        assert_eq!(echo(400, 40, false), 40_000);
        assert_eq!(echo(500, 0, true), 40_000, "less than a tick says nothing");
    }
}
