//! When to acknowledge: RFC 9293, section 3.8.6.3, and RFC 5681, section 4.2, in Linux's form (`tcp_event_data_recv`,
//! `__tcp_ack_snd_check`, `tcp_send_delayed_ack`).

use crate::Instant;
use core::time::Duration;

/// The delay of a delayed acknowledgment at first and at least (Linux: `TCP_ATO_MIN`, `TCP_DELACK_MIN`).
pub(super) const DELAY: Duration = Duration::from_millis(ATO_MIN as u64);
/// The most that it grows to (Linux: `TCP_DELACK_MAX`, one tick less than the minimum of the RTO; MUST-40 allows up to 0.5 s).
pub(super) const MAX_DELAY: Duration = Duration::from_millis(ATO_MAX as u64);
const ATO_MIN: u8 = 40;
const ATO_MAX: u8 = 199;
const _: () = assert!(MAX_DELAY.as_millis() < 500, "MUST-40");
/// Acknowledgments sent at once at the start and after disorder, so that the peer's window opens quickly (Linux:
/// `TCP_MAX_QUICKACKS`).
pub(super) const QUICK: u8 = 16;
/// The peer's segment size before it has sent any, unless less was agreed (Linux: `tcp_initialize_rcv_mss`).
const FIRST_SEGMENT: u16 = 536;
/// The least that is taken for a full-sized segment of a peer that does not push (Linux: `TCP_MIN_MSS`).
const LEAST_SEGMENT: u16 = 88;

/// When arrived data is to be acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Urgency {
    /// At the next chance to transmit.
    Now,
    /// After so long, unless something else carries it before.
    Delayed(Duration),
}

/// Data that continues the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// When it came.
    pub now: Instant,
    /// Bytes of payload in the segment.
    pub len: u16,
    /// Whether the segment has PSH or FIN.
    pub pushed: bool,
    /// Bytes that are not acknowledged yet, these included.
    pub unacked: u32,
    /// Whether something is or was missing.
    pub gap: bool,
    /// The window that was offered last.
    pub window: u32,
    /// The RTO: after a longer silence the peer begins slowly.
    pub rto: Duration,
    /// The round trip, where it is known: no acknowledgment is delayed for longer, except by [`DELAY`].
    pub round_trip: Option<Duration>,
}

/// How the segments were pushed that wait for an acknowledgment (Linux: `ICSK_ACK_PUSHED`, `ICSK_ACK_PUSHED2`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Pushed {
    /// None was: more will follow.
    None,
    /// A write of the peer's ended with one.
    Once,
    /// More than one write ended, in short segments.
    Again,
}

/// What decides about acknowledgments.
#[derive(Clone, Debug)]
pub(super) struct AckSchedule {
    /// Whether an acknowledgment is to be sent now.
    pub due: bool,
    /// Whether one is owed, now or later.
    owed: bool,
    /// How many are still sent at once.
    quick: u8,
    /// Whether we answer data with data: then the answer carries the acknowledgment (Linux: ping-pong mode).
    interactive: bool,
    pushed: Pushed,
    /// The delay in force, milliseconds; zero before the first data (Linux: `ato`).
    delay: u8,
    /// The size of the peer's full-sized segments, as far as known (Linux: `rcv_mss`).
    segment: u16,
    /// The length of the last segment that was shorter and could be full-sized (Linux: `last_seg_size`).
    candidate: u16,
    /// When data last arrived, on a clock of milliseconds that wraps.
    data_at: u32,
}

impl AckSchedule {
    /// Nothing to acknowledge, from a peer whose segments are at most `mss` bytes and were offered a `window`.
    pub fn new(mss: u16, window: u32) -> Self {
        let half = u16::try_from(window / 2).unwrap_or(u16::MAX);
        Self {
            due: false,
            owed: false,
            quick: 0,
            interactive: false,
            pushed: Pushed::None,
            delay: 0,
            segment: FIRST_SEGMENT.min(mss).min(half).max(LEAST_SEGMENT),
            candidate: 0,
            data_at: 0,
        }
    }

    /// In-order data arrived (MUST-58, SHLD-18: at least every second full-sized segment is acknowledged at once).
    pub fn on_data(&mut self, arrived: &Arrived, mss: u16) -> Urgency {
        self.owed = true;
        self.measure(arrived, mss);
        self.adapt_delay(arrived);
        let quick = self.quick > 0 && !self.interactive;
        if arrived.gap || quick || arrived.unacked > u32::from(self.segment) {
            Urgency::Now
        } else {
            Urgency::Delayed(self.delay_for(arrived.round_trip))
        }
    }

    /// Whether a segment of `len` bytes is as large as any of the peer's (Linux: `tcp_rcv_rtt_measure_ts`).
    pub fn is_full_sized(&self, len: u16) -> bool {
        len >= self.segment
    }

    /// Something came that was here already, or does not fit: our acknowledgment was lost, or the peer's timer is too hasty. The
    /// next ones are sent at once.
    pub fn on_duplicate(&mut self, window: u32) {
        self.enter_quick_mode(window, QUICK);
        self.owed = true;
    }

    /// A router was congested: the peer may have little on its way.
    pub fn on_mark(&mut self, window: u32) {
        self.enter_quick_mode(window, 2);
    }

    /// Something came before its turn.
    pub fn on_disorder(&mut self) {
        self.owed = true;
    }

    /// The application has read: true when what is owed goes now. More than a segment's worth waits; or a write of the peer's has
    /// ended, all of it is read, and no answer is to be expected (Linux: `tcp_cleanup_rbuf`).
    pub fn on_read(&self, unacked: u32, unread: u32) -> bool {
        let complete = match self.pushed {
            Pushed::None => false,
            Pushed::Once => !self.interactive,
            Pushed::Again => true,
        };
        self.owed && (unacked > u32::from(self.segment) || complete && unread == 0)
    }

    /// TCP_QUICKACK: at once from now on, or with our answers (Linux: `__tcp_sock_set_quickack`).
    pub fn set_quick(&mut self, quick: bool) {
        self.interactive = !quick;
    }

    /// The delay is over and nothing has carried the acknowledgment (Linux: `tcp_delack_timer_handler`).
    pub fn on_timer(&mut self, rto: Duration) {
        if self.interactive {
            self.interactive = false;
            self.delay = ATO_MIN;
        } else {
            self.delay = millis(rto).min(self.delay.saturating_mul(2)).min(ATO_MAX);
        }
        self.due = true;
    }

    /// An acknowledgment of everything goes out (Linux: `tcp_dec_quickack_mode`).
    pub fn on_acknowledged(&mut self) {
        if self.owed && self.quick > 0 {
            self.quick -= 1;
            if self.quick == 0 {
                self.delay = ATO_MIN;
            }
        }
        (self.due, self.owed, self.pushed) = (false, false, Pushed::None);
    }

    /// We send data: an answer, when it comes this soon after the peer's (Linux: `tcp_event_data_sent`).
    pub fn on_send(&mut self, now: Instant) {
        self.interactive |= self.since_data(now) < u32::from(self.delay);
    }

    /// What size of segment the peer sends (Linux: `tcp_measure_rcv_mss`): the largest of late, or a smaller one that comes twice
    /// in a row.
    fn measure(&mut self, arrived: &Arrived, mss: u16) {
        let Arrived { len, pushed, .. } = *arrived;
        let last = core::mem::take(&mut self.candidate);
        if len >= self.segment {
            self.segment = len.min(mss).max(1);
            if pushed {
                self.pushed = self.pushed.max(Pushed::Once);
            }
            return;
        }
        if len >= FIRST_SEGMENT || len >= LEAST_SEGMENT && !pushed {
            self.candidate = len;
            if len == last {
                self.segment = len;
                return;
            }
        }
        self.pushed = if self.pushed == Pushed::None { Pushed::Once } else { Pushed::Again };
    }

    /// Follows the pace at which data arrives.
    fn adapt_delay(&mut self, arrived: &Arrived) {
        let (pace, rto) = (self.since_data(arrived.now), u32::from(millis(arrived.rto)));
        let long = pace > u32::try_from(arrived.rto.as_millis()).unwrap_or(u32::MAX);
        let delay = u32::from(self.delay);
        self.data_at = arrived.now.as_millis() as u32;
        if delay == 0 {
            self.hurry(arrived.window, QUICK);
            self.delay = ATO_MIN;
        } else if pace <= u32::from(ATO_MIN / 2) {
            self.delay = (delay / 2) as u8 + ATO_MIN / 2;
        } else if pace < delay {
            self.delay = (delay / 2 + pace).min(rto).min(ATO_MAX.into()) as u8;
        } else if long {
            // The peer has fallen back to its first window.
            self.hurry(arrived.window, QUICK);
        }
    }

    /// Linux: `tcp_enter_quickack_mode`.
    fn enter_quick_mode(&mut self, window: u32, most: u8) {
        self.hurry(window, most);
        self.interactive = false;
        self.delay = ATO_MIN;
    }

    /// The next acknowledgments are sent at once: as many as the window holds pairs of segments.
    fn hurry(&mut self, window: u32, most: u8) {
        let pairs = window / (2 * u32::from(self.segment).max(1));
        let quick = u8::try_from(pairs).unwrap_or(most).min(most);
        self.quick = self.quick.max(if quick == 0 { 2 } else { quick });
    }

    fn delay_for(&self, round_trip: Option<Duration>) -> Duration {
        let delay = Duration::from_millis(self.delay.into());
        match round_trip {
            Some(round_trip) => delay.min(round_trip.max(DELAY)),
            None => delay,
        }
    }

    fn since_data(&self, now: Instant) -> u32 {
        (now.as_millis() as u32).wrapping_sub(self.data_at)
    }
}

/// Milliseconds, as far as a delay can say.
fn millis(span: Duration) -> u8 {
    u8::try_from(span.as_millis()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u16 = 1000;

    fn at(millis: u64, len: u16, unacked: u32) -> Arrived {
        Arrived {
            now: Instant::from_millis(millis),
            len,
            pushed: false,
            unacked,
            gap: false,
            window: 60_000,
            rto: Duration::from_millis(200),
            round_trip: None,
        }
    }

    /// A schedule whose first data came long ago.
    fn settled() -> AckSchedule {
        let mut schedule = AckSchedule::new(MSS, 60_000);
        let _ = schedule.on_data(&at(0, MSS, 1000), MSS);
        for _ in 0..QUICK {
            schedule.owed = true;
            schedule.on_acknowledged();
        }
        schedule
    }

    const LATER: Urgency = Urgency::Delayed(DELAY);

    #[test]
    fn every_second_full_sized_segment_is_acknowledged_at_once() {
        let mut schedule = settled();
        assert_eq!(schedule.on_data(&at(100, 1000, 1000), MSS), LATER);
        assert_eq!(schedule.on_data(&at(100, 1000, 2000), MSS), Urgency::Now);
        assert_eq!(schedule.on_data(&at(100, 1, 1001), MSS), Urgency::Now, "more than one segment's worth");
        assert_eq!(schedule.on_data(&at(100, 1, 999), MSS), LATER);
        assert_eq!(schedule.on_data(&Arrived { gap: true, ..at(100, 1, 1) }, MSS), Urgency::Now);
    }

    #[test]
    fn the_first_acknowledgments_and_those_after_a_duplicate_go_at_once() {
        let mut schedule = AckSchedule::new(MSS, 60_000);
        for _ in 0..2 {
            for _ in 0..QUICK {
                assert_eq!(schedule.on_data(&at(1000, 1000, 1000), MSS), Urgency::Now);
                schedule.on_acknowledged();
            }
            assert_eq!(schedule.on_data(&at(1000, 1000, 1000), MSS), LATER);
            schedule.on_acknowledged();
            schedule.on_duplicate(60_000);
        }
        schedule.quick = 0;
        schedule.on_duplicate(6_000);
        assert_eq!(schedule.quick, 3, "a small window holds few segments");
        schedule.quick = 0;
        schedule.on_duplicate(0);
        assert_eq!(schedule.quick, 2, "but never fewer");
    }

    #[test]
    fn what_follows_a_silence_is_acknowledged_at_once() {
        for (pause, urgency) in [(200, LATER), (201, Urgency::Now)] {
            let mut schedule = settled();
            assert_eq!(schedule.on_data(&at(pause, 1000, 1000), MSS), urgency, "after {pause} ms");
        }
    }

    /// Answers carry acknowledgments, until one does not come in time.
    #[test]
    fn ping_pong() {
        let mut schedule = AckSchedule::new(MSS, 60_000);
        schedule.on_send(Instant::from_millis(1));
        assert!(!schedule.interactive, "nothing to answer");
        let _ = schedule.on_data(&at(100, 10, 10), MSS);
        schedule.on_send(Instant::from_millis(140));
        assert!(!schedule.interactive, "too late for an answer");
        schedule.on_send(Instant::from_millis(139));
        assert_eq!(schedule.on_data(&at(200, 10, 10), MSS), LATER);
        schedule.on_timer(Duration::from_millis(200));
        assert!(schedule.due && !schedule.interactive);
        schedule.on_acknowledged();
        assert_eq!(schedule.on_data(&at(200, 10, 10), MSS), Urgency::Now);
    }

    /// A peer that sends a little now and then is waited for longer, but for no longer than the round trip.
    #[test]
    fn the_delay_follows_the_pace_and_the_round_trip() {
        let mut schedule = settled();
        for (doubled, delay) in [(80, 80), (160, 160), (199, 199)] {
            schedule.on_timer(Duration::from_secs(1));
            assert_eq!(u64::from(schedule.delay), doubled, "nothing came in time");
            assert_eq!(schedule.delay_for(None), Duration::from_millis(delay));
        }
        assert_eq!(schedule.delay_for(Some(Duration::from_millis(90))), Duration::from_millis(90));
        assert_eq!(schedule.delay_for(Some(Duration::from_millis(1))), DELAY);
        let _ = schedule.on_data(&at(10, 10, 10), MSS);
        assert_eq!(schedule.delay, 119, "half of it and 20 ms");
        let _ = schedule.on_data(&at(60, 10, 10), MSS);
        assert_eq!(schedule.delay, 109, "half of it and the pause");
    }

    #[test]
    fn the_segment_size_is_the_largest_of_late_or_one_that_comes_twice() {
        let mut schedule = AckSchedule::new(1460, 60_000);
        assert_eq!(schedule.segment, 536);
        let mut size = |len, pushed| {
            let _ = schedule.on_data(&Arrived { pushed, ..at(1, len, 1) }, 1460);
            schedule.segment
        };
        assert_eq!([size(1400, false), size(2000, false)], [1400, 1460]);
        assert_eq!([size(900, true), size(900, true)], [1460, 900], "a path with a smaller MTU");
        assert_eq!([size(100, true), size(100, true)], [900, 900], "short writes say nothing");
        assert_eq!([size(100, false), size(100, false)], [900, 100], "but a tiny MTU does");
    }

    /// Linux: `tcp_cleanup_rbuf`.
    #[test]
    fn a_complete_write_that_was_read_is_acknowledged() {
        let mut schedule = settled();
        assert!(!schedule.on_read(0, 0), "nothing is owed");
        let _ = schedule.on_data(&Arrived { pushed: true, ..at(100, 10, 10) }, MSS);
        assert!(schedule.on_read(10, 0) && !schedule.on_read(10, 1) && schedule.on_read(1001, 1));
        schedule.interactive = true;
        assert!(!schedule.on_read(10, 0), "an answer will carry it");
        let _ = schedule.on_data(&Arrived { pushed: true, ..at(100, 10, 20) }, MSS);
        assert!(schedule.on_read(20, 0), "it writes on without waiting for answers");
    }
}
