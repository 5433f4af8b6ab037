//! The send side: what the peer has, what it may get next, and how that is cut into segments (RFC 9293, sections 3.4,
//! 3.7 and 3.8).

mod segmentation;

pub(super) use segmentation::{Patience, Slice};

use super::congestion::{Acked, Congestion, Growth, Timeout};
use super::recovery::{Advance, Duplicate, Recovery};
use super::rtt::Rtt;
use super::send_queue::SendQueue;
use crate::segment::WindowScale;
use crate::{Counter, Counts, Instant, SeqNum};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// Our half of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fin {
    /// The application may send.
    Open,
    /// FIN follows the last byte. It is sent once SND.NXT lies beyond it.
    Queued,
    /// The peer has acknowledged it.
    Acked,
}

/// What an acknowledgment says, once its number is found acceptable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledgment {
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK.
    pub ack: SeqNum,
    /// SEG.WND, unscaled.
    pub window: u16,
    /// Whether the segment occupies no sequence space.
    pub bare: bool,
    /// Whether it reports data beyond a gap, as agreed.
    pub sacks: bool,
    /// The age of the echoed timestamp.
    pub echo: Option<Duration>,
}

/// What an acknowledgment did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Progress {
    /// Something was acknowledged for the first time.
    pub advanced: bool,
    /// Bytes left the send buffer.
    pub freed: bool,
    /// Our FIN was acknowledged.
    pub fin_acked: bool,
    /// Counters to raise.
    pub counts: Counts,
}

/// Send sequence space, the bytes in it, and what governs them.
#[derive(Debug)]
pub(super) struct Sender {
    /// SND.UNA.
    una: SeqNum,
    /// SND.NXT.
    nxt: SeqNum,
    /// SND.WND, bytes.
    window: u32,
    /// The largest window the peer ever offered: MAX.SND.WND (RFC 5961, section 5.2; RFC 9293, section 3.8.6.2.1).
    max_window: u32,
    /// SND.WL1: SEG.SEQ of the segment that last set the window.
    window_seq: SeqNum,
    /// The end of the last short segment sent (Minshall's form of Nagle; Linux: `snd_sml`).
    short_end: SeqNum,
    /// The most bytes in flight during this round trip, which ends when `round_end` is acknowledged.
    peak_flight: u32,
    round_end: SeqNum,
    queue: SendQueue,
    fin: Fin,
    /// Applies to windows that the peer sends.
    scale: WindowScale,
    /// Payload bytes of a full-sized segment without SACK blocks: Eff.snd.MSS less the timestamps (RFC 6691).
    mss: u16,
    /// Bytes acknowledged since the application last asked.
    freed: u32,
    /// When data was last sent.
    last_sent: Instant,
    /// Timeouts in a row without progress.
    timeouts: u8,
    /// Segments sent again, in all.
    retransmits: u32,
    rtt: Rtt,
    recovery: Recovery,
    congestion: Congestion,
    growth: Box<Growth>,
}

impl Sender {
    /// A sender whose SYN is acknowledged: `una` is ISS + 1. What the peer's window is remains to be said.
    pub fn new(una: SeqNum, mss: u16, scale: WindowScale, rtt: Rtt, congestion: Congestion) -> Self {
        Self {
            una,
            nxt: una,
            window: 0,
            max_window: 0,
            window_seq: SeqNum(0),
            short_end: una,
            peak_flight: 0,
            round_end: una,
            queue: SendQueue::new(),
            fin: Fin::Open,
            scale,
            mss,
            freed: 0,
            last_sent: Instant::ZERO,
            timeouts: 0,
            retransmits: 0,
            rtt,
            recovery: Recovery::new(una),
            congestion,
            growth: Box::default(),
        }
    }

    /// The window of the handshake: `bytes`, from the segment `seq`.
    pub fn open_window(&mut self, seq: SeqNum, bytes: u32) {
        self.window_seq = seq;
        self.window = bytes;
        self.max_window = bytes;
    }

    /// Whether the peer has ever offered a window: not before the segment that completes a passive open.
    pub fn knows_window(&self) -> bool {
        self.max_window > 0
    }

    /// The segment that completes the handshake echoes a timestamp of that age. None at all says nothing: a cookie's
    /// clock begins with the echo.
    pub fn on_handshake(&mut self, age: Duration) {
        if !age.is_zero() {
            self.rtt.measure(age);
        }
    }

    /// SND.UNA.
    pub fn una(&self) -> SeqNum {
        self.una
    }

    /// SND.NXT.
    pub fn nxt(&self) -> SeqNum {
        self.nxt
    }

    /// The scale of windows that the peer sends.
    pub const fn scale(&self) -> WindowScale {
        self.scale
    }

    /// SND.WND.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Payload bytes of a full-sized segment.
    pub fn mss(&self) -> u16 {
        self.mss
    }

    /// Bytes that are not acknowledged, sent or not.
    pub fn queued(&self) -> u32 {
        self.queue.len()
    }

    /// The RTO and what it is made of.
    pub fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// The congestion control.
    pub fn congestion(&self) -> &Congestion {
        &self.congestion
    }

    /// Whether the application may still send.
    pub fn is_open(&self) -> bool {
        self.fin == Fin::Open
    }

    /// When data was last sent.
    pub fn last_sent(&self) -> Instant {
        self.last_sent
    }

    /// Segments sent again, in all.
    pub fn retransmits(&self) -> u32 {
        self.retransmits
    }

    /// Timeouts in a row without progress.
    pub fn timeouts(&self) -> u8 {
        self.timeouts
    }

    /// Whether something sent is not acknowledged.
    pub fn outstanding(&self) -> bool {
        self.una != self.nxt
    }

    /// Whether `seq` was sent and is not acknowledged: `[SND.UNA, SND.NXT)`.
    pub fn is_outstanding(&self, seq: SeqNum) -> bool {
        seq.in_window(self.una, self.nxt.distance_from(self.una))
    }

    /// Whether anything remains to be sent or acknowledged.
    pub fn busy(&self) -> bool {
        self.outstanding() || self.queue.len() > 0 || self.fin == Fin::Queued
    }

    /// Whether bytes wait that were never sent.
    pub fn has_unsent(&self) -> bool {
        self.unsent() > 0
    }

    /// Where `ack` lies relative to `[SND.UNA - MAX.SND.WND, SND.NXT]` (RFC 5961, section 5.2), which begins no sooner than
    /// the first byte that we sent: nobody has ever had an older one to acknowledge (Linux: `tcp_ack`).
    pub fn judge_ack(&self, ack: SeqNum) -> AckRange {
        if ack.after(self.nxt) {
            AckRange::Unsent
        } else if ack.before(self.una - self.max_window.min(self.acknowledged())) {
            AckRange::TooOld
        } else {
            AckRange::Acceptable
        }
    }

    /// Takes an acknowledgment (RFC 9293, section 3.10.7.4, fifth check). A duplicate leaves the window as it was (RFC 5681,
    /// section 2), but with SACK agreed it may move it, and tells by its blocks (RFC 6675, section 2).
    pub fn on_ack(&mut self, now: Instant, ack: &Acknowledgment) -> Progress {
        let same_window = u32::from(ack.window) << self.scale.shift() == self.window;
        self.update_window(ack);
        let mut progress = Progress { advanced: false, freed: false, fin_acked: false, counts: Counts::NONE };
        if ack.ack.after(self.una) {
            self.advance(now, ack, &mut progress);
        } else if ack.ack == self.una && ack.bare && (same_window || ack.sacks) && self.outstanding() {
            progress.counts = self.on_duplicate();
        }
        progress
    }

    /// Adds bytes to the queue, unless the application has ended it.
    pub fn push(&mut self, now: Instant, bytes: Vec<u8>) {
        if self.fin != Fin::Open {
            return;
        }
        let idle = now - self.last_sent;
        if !self.outstanding() && self.queue.len() == 0 && idle > self.rtt.rto() {
            self.congestion.on_restart(idle, self.rtt.rto(), self.mss.into());
        }
        self.queue.push(self.una, bytes);
    }

    /// FIN follows the queued bytes.
    pub fn finish(&mut self) {
        if self.fin == Fin::Open {
            self.fin = Fin::Queued;
        }
    }

    /// Bytes acknowledged since the last call.
    pub fn take_freed(&mut self) -> u32 {
        core::mem::take(&mut self.freed)
    }

    /// The retransmission timer fired (RFC 6298, section 5.4 to 5.6; RFC 5681, section 3.1).
    pub fn on_timeout(&mut self) {
        let (flight, mss) = (self.nxt.distance_from(self.una), u32::from(self.mss));
        let timeout = if self.timeouts == 0 { Timeout::First } else { Timeout::Again };
        self.congestion.on_timeout(&mut self.growth, timeout, flight, mss);
        self.timeouts = self.timeouts.saturating_add(1);
        self.rtt.back_off();
        self.recovery.on_timeout(self.una, self.nxt);
    }

    /// `slice` was sent.
    pub fn sent(&mut self, now: Instant, slice: &Slice) {
        match slice.again {
            Some(_) => {
                self.recovery.resent(slice.end());
                self.rtt.cancel();
                self.retransmits = self.retransmits.saturating_add(1);
            }
            None => {
                self.nxt = slice.end();
                self.rtt.start(now, self.nxt);
                if slice.len < u32::from(self.mss) {
                    self.short_end = self.nxt;
                }
                self.note_flight();
            }
        }
        self.last_sent = now;
    }

    fn advance(&mut self, now: Instant, ack: &Acknowledgment, progress: &mut Progress) {
        let acked = ack.ack.distance_from(self.una);
        let bytes = acked.min(self.queue.len());
        let begins_round = !ack.ack.before(self.round_end);
        self.una = ack.ack;
        self.queue.acknowledge(self.una, bytes);
        self.freed = self.freed.saturating_add(bytes);
        self.rtt.on_ack(now, self.una, ack.echo);
        self.timeouts = 0;
        let mss = u32::from(self.mss);
        match self.recovery.on_advance(self.una) {
            Advance::Ordinary => {
                let acked = Acked {
                    now,
                    bytes: acked,
                    is_window_limited: self.is_window_limited(),
                    is_paced: false,
                    rtt: ack.echo,
                    srtt: self.rtt.smoothed(),
                    begins_round,
                };
                self.congestion.on_ack(&mut self.growth, &acked, mss);
            }
            Advance::Partial => {
                let deflated = self.congestion.window().saturating_sub(acked);
                self.congestion.set_window(if acked >= mss { deflated.saturating_add(mss) } else { deflated }, mss);
            }
            Advance::Recovered => {
                let flight = self.nxt.distance_from(self.una);
                let threshold = self.congestion.threshold();
                self.congestion.set_window(threshold.min(flight.max(mss).saturating_add(mss)), mss);
            }
        }
        // What is acknowledged beyond the last byte can only be the FIN.
        progress.fin_acked = acked > bytes;
        if progress.fin_acked {
            self.fin = Fin::Acked;
        }
        progress.advanced = true;
        progress.freed = bytes > 0;
    }

    fn on_duplicate(&mut self) -> Counts {
        match self.recovery.on_duplicate(self.una, self.nxt, self.mss.into()) {
            Duplicate::Counted | Duplicate::Ignored => Counts::NONE,
            Duplicate::EntersRecovery { flight } => {
                let mss = self.mss.into();
                self.congestion.on_congestion(&mut self.growth, flight, mss);
                self.congestion.set_window(self.congestion.threshold().saturating_add(mss.saturating_mul(3)), mss);
                Counts::of(&[Counter::TCPRenoRecovery])
            }
            Duplicate::Inflates => {
                let mss = self.mss.into();
                self.congestion.set_window(self.congestion.window().saturating_add(mss), mss);
                Counts::NONE
            }
        }
    }

    /// SND.WND follows the newest segment (RFC 9293, section 3.10.7.4), in Linux's form (`tcp_may_update_window`): of
    /// segments that say the same otherwise, the larger window or a closed one counts.
    fn update_window(&mut self, ack: &Acknowledgment) {
        let bytes = u32::from(ack.window) << self.scale.shift();
        let newer = ack.ack.after(self.una) || ack.seq.after(self.window_seq);
        let same = ack.ack == self.una && ack.seq == self.window_seq;
        if newer && !ack.ack.before(self.una) || same && (bytes > self.window || bytes == 0) {
            self.window = bytes;
            self.window_seq = ack.seq;
            self.max_window = self.max_window.max(bytes);
        }
    }

    /// The sequence space from our first byte to SND.UNA, as far as 32 bits count.
    fn acknowledged(&self) -> u32 {
        self.queue.acknowledged().saturating_add(u32::from(self.fin == Fin::Acked))
    }

    /// Linux: `tcp_is_cwnd_limited`.
    fn is_window_limited(&self) -> bool {
        let window = self.congestion.window();
        if self.congestion.in_slow_start() {
            window < self.peak_flight.saturating_mul(2)
        } else {
            window < self.peak_flight.saturating_add(self.mss.into())
        }
    }

    fn note_flight(&mut self) {
        let flight = self.nxt.distance_from(self.una);
        if !self.una.before(self.round_end) || flight > self.peak_flight {
            self.peak_flight = flight;
            self.round_end = self.nxt;
        }
    }
}

/// Where an acknowledgment number lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AckRange {
    /// Among those that the peer could have sent of late.
    Acceptable,
    /// Older than any the peer could still send.
    TooOld,
    /// Beyond what was sent.
    Unsent,
}
