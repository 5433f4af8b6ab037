//! When to acknowledge: RFC 9293, section 3.8.6.3, and RFC 5681, section 4.2.

use crate::Instant;
use core::time::Duration;

/// The delay of a delayed acknowledgment (Linux: `TCP_DELACK_MIN`; MUST-40 allows up to 0.5 s).
pub(super) const DELAY: Duration = Duration::from_millis(40);
const _: () = assert!(DELAY.as_millis() < 500, "MUST-40");
/// Segments acknowledged at once at the start and after disorder, so that the peer's window opens quickly (Linux:
/// `TCP_MAX_QUICKACKS`).
pub(super) const QUICK: u8 = 16;

/// When arrived data is to be acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Urgency {
    /// At the next chance to transmit.
    Now,
    /// After [`DELAY`], unless something else carries it before.
    Delayed,
}

/// What decides about acknowledgments.
#[derive(Clone, Debug)]
pub(super) struct AckSchedule {
    /// Whether an acknowledgment is to be sent now.
    pub due: bool,
    /// Segments that are still acknowledged at once.
    quick: u8,
    /// Whether we answer data with data: then the answer carries the acknowledgment (Linux: ping-pong mode).
    interactive: bool,
    /// The largest segment that the peer has sent.
    largest: u16,
    /// When data last arrived.
    data_at: Instant,
}

impl AckSchedule {
    /// Nothing to acknowledge.
    pub const fn new() -> Self {
        Self { due: false, quick: QUICK, interactive: false, largest: 0, data_at: Instant::ZERO }
    }

    /// In-order data of `len` bytes arrived `now`; `unacked` bytes have not been acknowledged, these included. `gap` says that
    /// something is or was missing (MUST-58, SHLD-18: at least every second full-sized segment).
    pub fn on_data(&mut self, now: Instant, len: u16, unacked: u32, gap: bool) -> Urgency {
        self.data_at = now;
        self.largest = self.largest.max(len);
        let quick = self.quick > 0 && !self.interactive;
        self.quick = self.quick.saturating_sub(1);
        if gap || quick || unacked > u32::from(self.largest) { Urgency::Now } else { Urgency::Delayed }
    }

    /// Something came out of order or twice: the next segments are acknowledged at once (Linux:
    /// `tcp_enter_quickack_mode`).
    pub fn on_disorder(&mut self) {
        self.quick = QUICK;
        self.interactive = false;
    }

    /// Our answers will carry acknowledgments from the start.
    pub fn expect_answers(&mut self) {
        self.interactive = true;
    }

    /// TCP_QUICKACK (Linux: `__tcp_sock_set_quickack`).
    pub fn set_quick(&mut self, quick: bool) {
        self.interactive = !quick;
    }

    /// We send data: an answer, when it comes this soon after the peer's.
    pub fn on_send(&mut self, now: Instant) {
        self.interactive |= self.data_at != Instant::ZERO && now - self.data_at < DELAY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(5);

    fn settled() -> AckSchedule {
        let mut schedule = AckSchedule::new();
        schedule.quick = 0;
        schedule
    }

    #[test]
    fn every_second_full_sized_segment_is_acknowledged_at_once() {
        let mut schedule = settled();
        assert_eq!(schedule.on_data(NOW, 1000, 1000, false), Urgency::Delayed);
        assert_eq!(schedule.on_data(NOW, 1000, 2000, false), Urgency::Now);
        assert_eq!(schedule.on_data(NOW, 1000, 1000, false), Urgency::Delayed);
        assert_eq!(schedule.on_data(NOW, 1, 1001, false), Urgency::Now, "more than one segment's worth");
        assert_eq!(schedule.on_data(NOW, 1, 1, true), Urgency::Now, "a gap");
    }

    #[test]
    fn the_first_segments_and_those_after_disorder_are_acknowledged_at_once() {
        let mut schedule = AckSchedule::new();
        for _ in 0..2 {
            for _ in 0..QUICK {
                assert_eq!(schedule.on_data(NOW, 1000, 1000, false), Urgency::Now);
            }
            assert_eq!(schedule.on_data(NOW, 1000, 1000, false), Urgency::Delayed);
            schedule.on_disorder();
        }
        schedule.on_send(NOW + DELAY);
        assert!(!schedule.interactive);
        schedule.on_send(NOW + (DELAY - Duration::from_nanos(1)));
        assert_eq!(schedule.on_data(NOW, 1000, 1000, false), Urgency::Delayed, "an answer will carry it");
    }
}
