//! The send side: what the peer has, what it may get next, and how that is cut into segments (RFC 9293, sections 3.4,
//! 3.7 and 3.8).
//!
//! A [`Sender`] is what lasts: sequence space, the window, what is known of the path. What exists only while something is
//! queued or in flight is its `flight`, on the heap. `buffer` takes what the application sends. An acknowledgment is taken by `acks`, its blocks by `blocks`; `reaction`
//! and `undo` are the states of loss recovery, `probe` is the tail loss probe, `pacing` spreads bursts. `segmentation` says what goes next, and
//! `sending` what follows from its going and from timers.

mod acks;
mod blocks;
mod buffer;
mod flight;
mod pacing;
mod probe;
mod reaction;
mod segmentation;
mod sending;
mod undo;

pub(super) use acks::Acknowledgment;
pub(super) use segmentation::{Patience, Slice};
pub(super) use sending::SendTimer;

use super::congestion::{Congestion, CongestionAlgorithm};
use super::rack::Reordering;
use super::recovery::CaState;
use super::rtt::Rtt;
use crate::segment::WindowScale;
use crate::{Instant, SeqNum};
use alloc::boxed::Box;
use core::time::Duration;
use flight::Flight;

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

/// Send sequence space and what governs it.
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
    /// Bytes by which the send buffer has room since the application last asked.
    freed: u32,
    /// Bytes by which the send buffer has grown beyond what the settings say.
    grown: u32,
    /// Bytes acknowledged in all.
    acked: u64,
    /// When data was last sent.
    last_sent: Instant,
    rtt: Rtt,
    congestion: Congestion,
    flight: Option<Box<Flight>>,
    /// Segments sent again, in all.
    retransmits: u32,
    reordering: Reordering,
    /// Payload bytes of a full-sized segment without SACK blocks: Eff.snd.MSS less the timestamps (RFC 6691).
    mss: u16,
    /// Applies to windows that the peer sends.
    scale: WindowScale,
    fin: Fin,
    /// Whether both SYNs permitted SACK.
    sack: bool,
    /// Whether the peer is yet to be told that the window was reduced (RFC 3168, section 6.1.2).
    cwr: bool,
}

// Idle connections are many.
const _: () = assert!(size_of::<Sender>() <= 104);

/// What is being done about losses, and how many segments are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Losses {
    pub state: CaState,
    pub outstanding: u32,
    pub sacked: u32,
    pub lost: u32,
    pub resent: u32,
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

impl Sender {
    /// A sender whose SYN is acknowledged: `una` is ISS + 1. What the peer's window is remains to be said.
    pub fn new(una: SeqNum, mss: u16, scale: WindowScale, sack: bool, rtt: Rtt, congestion: Congestion) -> Self {
        Self {
            una,
            nxt: una,
            window: 0,
            max_window: 0,
            window_seq: SeqNum(0),
            freed: 0,
            grown: 0,
            acked: 0,
            last_sent: Instant::ZERO,
            rtt,
            congestion,
            flight: None,
            retransmits: 0,
            reordering: Reordering::NONE,
            mss,
            scale,
            fin: Fin::Open,
            sack,
            cwr: false,
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
    pub fn on_handshake(&mut self, now: Instant, age: Duration) {
        if !age.is_zero() {
            self.rtt.measure_handshake(now, age);
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

    /// SND.WL1.
    pub fn window_seq(&self) -> SeqNum {
        self.window_seq
    }

    /// Payload bytes of a full-sized segment.
    pub fn mss(&self) -> u16 {
        self.mss
    }

    /// Whether both SYNs permitted SACK.
    pub fn sack(&self) -> bool {
        self.sack
    }

    /// Bytes that are not acknowledged, sent or not.
    pub fn queued(&self) -> u32 {
        self.flight.as_ref().map_or(0, |flight| flight.queue.len())
    }

    /// The RTO and what it is made of.
    pub fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// The congestion control.
    pub fn congestion(&self) -> &Congestion {
        &self.congestion
    }

    /// Whether new data sent now tells that the window was reduced; it is told once.
    pub fn take_cwr(&mut self) -> bool {
        core::mem::take(&mut self.cwr)
    }

    /// Goes on with another congestion control.
    pub fn set_congestion(&mut self, algorithm: CongestionAlgorithm) {
        self.congestion.set_algorithm(algorithm, self.flight.as_mut().map(|flight| &mut flight.growth));
    }

    /// Whether the application may still send.
    pub fn is_open(&self) -> bool {
        self.fin == Fin::Open
    }

    /// Bytes of sequence space sent and not acknowledged.
    pub fn in_flight(&self) -> u32 {
        self.nxt.distance_from(self.una)
    }

    /// When data was last sent.
    pub fn last_sent(&self) -> Instant {
        self.last_sent
    }

    /// Segments sent again, in all.
    pub fn retransmits(&self) -> u32 {
        self.retransmits
    }

    /// When something was first sent again that is not acknowledged since.
    pub fn first_resent(&self) -> Option<Instant> {
        self.flight.as_ref().and_then(|flight| flight.recovery.first_resent())
    }

    /// When a segment may leave that is held back to spread a burst.
    pub fn paced_at(&self) -> Option<Instant> {
        self.flight.as_ref().and_then(|flight| flight.pacing.next)
    }

    /// No segment is held back any more: the peer's window lets none through.
    pub fn stop_pacing(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.pacing.next = None;
        }
    }

    /// When zero-window probing began, which is now if it had not.
    pub fn probing_since(&mut self, now: Instant) -> Instant {
        *self.flight_mut().probing_since.get_or_insert(now)
    }

    /// What `ss -i` shows of losses.
    pub fn losses(&self) -> Losses {
        let Some(flight) = &self.flight else { return Losses::default() };
        Losses {
            state: flight.recovery.state,
            outstanding: flight.board.outstanding(),
            sacked: flight.board.sacked(),
            lost: flight.board.lost(),
            resent: flight.board.resent(),
        }
    }

    /// Bytes acknowledged in all.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// What is known of reordering on the path.
    pub fn reordering(&self) -> &Reordering {
        &self.reordering
    }

    /// Timeouts in a row without progress.
    pub fn timeouts(&self) -> u8 {
        self.flight.as_ref().map_or(0, |flight| flight.timeouts)
    }

    /// Whether something sent is not acknowledged.
    pub fn outstanding(&self) -> bool {
        self.una != self.nxt
    }

    /// Whether `seq` was sent and is not acknowledged: `[SND.UNA, SND.NXT)`.
    pub fn is_outstanding(&self, seq: SeqNum) -> bool {
        seq.in_window(self.una, self.in_flight())
    }

    /// Whether anything of it is on the heap.
    #[cfg(test)]
    pub fn has_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether anything remains to be sent or acknowledged.
    pub fn busy(&self) -> bool {
        self.outstanding() || self.queued() > 0 || self.fin == Fin::Queued
    }

    /// Whether bytes wait that were never sent.
    pub fn has_unsent(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| self.unsent(flight) > 0)
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

    /// A full-sized segment has `mss` bytes of payload from now on.
    pub fn resize(&mut self, mss: u16) {
        self.mss = mss;
    }

    /// The sequence space from our first byte to SND.UNA, as far as 32 bits count.
    fn acknowledged(&self) -> u32 {
        u32::try_from(self.acked).unwrap_or(u32::MAX).saturating_add(u32::from(self.fin == Fin::Acked))
    }

    fn flight_mut(&mut self) -> &mut Flight {
        let flight = self.flight.take().unwrap_or_else(|| {
            let mut flight = Box::new(Flight::new(self.nxt));
            self.set_pace(Instant::ZERO, &mut flight);
            flight
        });
        self.flight.insert(flight)
    }
}
