//! What an acknowledgment does: RFC 9293, section 3.10.7.4, fifth check; Linux: `tcp_ack`.

use super::flight::{Flight, Rearm};
use super::{Fin, Sender};
use crate::connection::congestion::{Acked, Delivery};
use crate::connection::recovery::CaState;
use crate::connection::scoreboard::{Findings, Reading};
use crate::segment::SackBlocks;
use crate::{Counter, Counts, Instant, SeqNum};
use alloc::boxed::Box;
use core::mem;
use core::time::Duration;

/// What an acknowledgment says, once its number is found acceptable.
#[derive(Clone, Copy, Debug)]
pub(in crate::connection) struct Acknowledgment {
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK.
    pub ack: SeqNum,
    /// SEG.WND, unscaled.
    pub window: u16,
    /// Whether the segment occupies no sequence space.
    pub bare: bool,
    /// Whether it echoes that congestion was experienced, as agreed (RFC 3168, section 6.1.2).
    pub ece: bool,
    /// What it reports beyond its number, as agreed.
    pub sack: SackBlocks,
    /// The age of the echoed timestamp.
    pub echo: Option<Duration>,
}

/// What an acknowledgment did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::connection) struct Progress {
    /// Something was acknowledged for the first time.
    pub advanced: bool,
    /// Bytes that left the send buffer.
    pub freed: u32,
    /// Full-sized segments were acknowledged, and no others.
    pub full_sized: bool,
    /// Our FIN was acknowledged.
    pub fin_acked: bool,
    /// Counters to raise.
    pub counts: Counts,
}

/// An acknowledgment on its way through the sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub now: Instant,
    /// SEG.ACK.
    pub ack: SeqNum,
    /// SND.UNA before it.
    pub prior: SeqNum,
    /// The millisecond at which we sent what it echoes.
    pub echoed: Option<u64>,
}

impl Sender {
    /// Takes an acknowledgment whose number is acceptable.
    pub fn on_ack(&mut self, now: Instant, ack: &Acknowledgment) -> Progress {
        let mut findings = Findings { ece: ack.ece, has_news: !ack.bare, ..Findings::default() };
        findings.has_news |= self.update_window(ack);
        let Some(mut flight) = self.flight.take() else { return Progress::NONE };
        let walk = Walk { now, ack: ack.ack, prior: self.una, echoed: ack.echoed(now) };
        flight.before = flight.board.missing();
        flight.recovery.holds_back = false;
        let mut progress = Progress::NONE;
        let highest = flight.board.highest_sacked();
        let was_outstanding = self.outstanding();
        flight.probing_since = flight.probing_since.filter(|_| self.window == 0);
        if ack.ack.after(self.una) {
            self.advance(&mut flight, ack.ack, &mut findings, &mut progress);
        }
        self.read_blocks(&mut flight, &walk, ack, &mut findings);
        if was_outstanding && !ack.ack.before(walk.prior) {
            self.take_news(&mut flight, &walk, highest, &mut findings);
        } else if findings.dsacks || findings.sacks {
            // An old acknowledgment, or one of nothing, may still tell by its blocks.
            findings.has_news = true;
            self.react(&mut flight, &walk, &mut findings);
        }
        progress.counts = mem::take(&mut flight.counts);
        self.keep(flight);
        progress
    }

    /// What the acknowledgment of outstanding data brings.
    fn take_news(&mut self, flight: &mut Flight, walk: &Walk, highest: SeqNum, findings: &mut Findings) {
        let reading = self.reading(flight, walk);
        let resent_before = flight.board.any_resent();
        flight.board.acknowledge(self.una, highest, &reading, findings);
        let oldest = flight.board.head_sent();
        let rtt = self.measure(flight, walk, findings);
        self.settle_duplicates(flight, findings);
        if self.sack {
            self.note_reordered(flight, highest, findings);
            flight.rack.on_ack(findings, &mut self.reordering, self.una, self.nxt);
        }
        self.check_probe(flight, walk, findings);
        let dubious = findings.sacks || findings.dsacks || findings.ece || findings.is_duplicate();
        if dubious || resent_before || flight.recovery.state != CaState::Open {
            self.react(flight, walk, findings);
        }
        // RFC 6298, section 5.3; not for what was sent after the oldest segment was (Linux: `tcp_clean_rtx_queue`).
        let later = findings.sacked_times.is_some_and(|times| oldest.is_some_and(|oldest| times.first < oldest));
        if matches!(flight.rearm, Rearm::Keep | Rearm::Sent) && (findings.acked > 0 || later) {
            flight.rearm = Rearm::Acked;
        }
        if flight.recovery.state == CaState::Disorder
            && self.unsent(flight).min(self.usable_window()) >= self.mss.into()
        {
            flight.unanswered += findings.delivered;
        }
        self.control_congestion(flight, walk, findings, rtt);
        self.set_pace(walk.now, flight);
        self.give_up_frto(flight);
    }

    /// SND.UNA moves to `ack`.
    fn advance(&mut self, flight: &mut Flight, ack: SeqNum, findings: &mut Findings, progress: &mut Progress) {
        let acked = ack.distance_from(self.una);
        let bytes = acked.min(flight.queue.len());
        let prior = self.una;
        self.una = ack;
        flight.queue.acknowledge(self.una, bytes);
        let has_short = flight.short_end.after(prior) && !flight.short_end.after(ack);
        progress.full_sized = bytes >= self.mss.into() && !has_short;
        self.freed = self.freed.saturating_add(bytes);
        self.acked = self.acked.saturating_add(bytes.into());
        flight.timeouts = 0;
        flight.forced = None;
        findings.advanced = true;
        // What is acknowledged beyond the last byte can only be the FIN.
        progress.fin_acked = acked > bytes;
        if progress.fin_acked {
            self.fin = Fin::Acked;
        }
        progress.advanced = true;
        progress.freed = bytes;
    }

    pub(super) fn reading(&self, flight: &Flight, walk: &Walk) -> Reading {
        Reading {
            now: walk.now,
            echoed: walk.echoed,
            min_rtt: self.rtt.least().unwrap_or_default(),
            high: flight.recovery.high,
        }
    }

    /// Measures the round trip by what was sent once (Karn's rule), or else by `echo` (RFC 7323, section 4.3), which sending
    /// again does not make ambiguous (Linux: `tcp_ack_update_rtt`). Returns that of the segment sent last.
    fn measure(&mut self, flight: &mut Flight, walk: &Walk, findings: &Findings) -> Option<Duration> {
        let since = |at: Instant| walk.now - at;
        let acked = findings.acked_times.filter(|_| !findings.covers_resent);
        let sequence = acked.or(findings.sacked_times).map(|times| since(times.first));
        let latest = findings.sacked_times.or(acked).map(|times| since(times.last));
        let echo = || walk.echoed.filter(|_| findings.acked > 0).map(|sent| since(Instant::from_millis(sent)));
        let sample = sequence.or_else(echo)?;
        let latest = latest.unwrap_or(sample);
        self.rtt.note_least(walk.now, latest);
        self.rtt.measure(walk.now, sample, &mut flight.round, self.una, self.nxt);
        Some(latest)
    }

    /// Without SACK: what was acknowledged is no longer counted among the duplicates.
    fn settle_duplicates(&mut self, flight: &mut Flight, findings: &mut Findings) {
        if self.sack || findings.acked == 0 {
            return;
        }
        let (delivered, plausible) = flight.board.on_hole_filled(findings.acked);
        findings.delivered = delivered;
        // Which of several segments was delivered by which copy cannot be told.
        findings.original_arrived &= !findings.covers_resent;
        if !plausible {
            self.note_reno_reordering(flight, flight.board.outstanding() + findings.acked);
        }
    }

    /// Linux: `tcp_cong_control`.
    fn control_congestion(&mut self, flight: &mut Flight, walk: &Walk, findings: &Findings, rtt: Option<Duration>) {
        let mss = u32::from(self.mss);
        let bytes = findings.delivered.saturating_mul(mss);
        if flight.recovery.is_reducing() {
            let delivery = Delivery {
                bytes,
                in_flight: flight.board.in_flight().saturating_mul(mss),
                is_safe: findings.advanced && findings.lost == 0,
            };
            let window = flight.recovery.prr.on_ack(&delivery, self.congestion.threshold(), mss);
            if let Some(window) = window {
                self.congestion.set_window(window, mss);
            }
            return;
        }
        // Where segments often overtake each other, progress beyond a gap counts too (Linux: `tcp_may_raise_cwnd`).
        let grows = if self.reordering.is_high() { findings.progress() } else { findings.acked > 0 };
        if grows && bytes > 0 {
            let acked = Acked {
                now: walk.now,
                bytes,
                is_window_limited: self.is_window_limited(flight),
                is_paced: self.rtt.smoothed().is_some(),
                rtt,
                srtt: self.rtt.smoothed(),
                una: self.una,
                nxt: self.nxt,
            };
            self.congestion.on_ack(&mut flight.growth, &acked, mss);
        }
    }

    /// Linux: `tcp_is_cwnd_limited`.
    fn is_window_limited(&self, flight: &Flight) -> bool {
        let mss = u32::from(self.mss);
        let (window, peak) = (self.congestion.window(), flight.usage.peak.saturating_mul(mss));
        if self.congestion.in_slow_start() {
            window < peak.saturating_mul(2)
        } else {
            window < peak.saturating_add(mss)
        }
    }

    /// Puts `flight` back, or drops it when nothing is in it any more.
    pub(super) fn keep(&mut self, flight: Box<Flight>) {
        let idle = !self.outstanding() && flight.queue.len() == 0 && self.fin != Fin::Queued;
        if !idle || flight.lingers() {
            self.flight = Some(flight);
        }
    }

    /// What a recovery left behind is forgotten: nothing more is heard of it.
    pub fn forget_recovery(&mut self) {
        if let Some(mut flight) = self.flight.take() {
            flight.recovery.forget_undo();
            if !self.outstanding() {
                flight.recovery.state = CaState::Open;
                flight.probe = None;
            }
            self.keep(flight);
        }
    }

    /// SND.WND follows the newest segment (RFC 9293, section 3.10.7.4), in Linux's form (`tcp_may_update_window`): of
    /// segments that say the same otherwise, the larger window or a closed one counts. Whether this one did.
    fn update_window(&mut self, ack: &Acknowledgment) -> bool {
        let bytes = u32::from(ack.window) << self.scale.shift();
        let newer = ack.ack.after(self.una) || ack.seq.after(self.window_seq);
        let same = ack.ack == self.una && ack.seq == self.window_seq;
        let counts = newer && !ack.ack.before(self.una) || same && (bytes > self.window || bytes == 0);
        if counts {
            self.window = bytes;
            self.window_seq = ack.seq;
            self.max_window = self.max_window.max(bytes);
        }
        counts
    }
}

impl Progress {
    /// Nothing.
    const NONE: Self = Self { advanced: false, freed: 0, full_sized: false, fin_acked: false, counts: Counts::NONE };
}

impl Acknowledgment {
    /// The millisecond at which we sent what it echoes.
    fn echoed(&self, now: Instant) -> Option<u64> {
        self.echo.map(|age| now.as_millis().saturating_sub(age.as_millis() as u64))
    }
}

impl Sender {
    /// Something arrived after what was sent later (RFC 8985, section 6.2, step 3).
    fn note_reordered(&mut self, flight: &mut Flight, highest: SeqNum, findings: &Findings) {
        let Some(lowest) = findings.reordered else { return };
        // After a timeout much is sent again, and what arrives then proves little.
        if flight.recovery.state == CaState::Loss && flight.recovery.undo_marker().is_none() {
            return;
        }
        let highest = highest.latest(flight.board.highest_sacked());
        self.note_overtaken(flight, lowest, highest, Counter::TCPSACKReorder);
    }

    /// The segment at `lowest` may have been overtaken by everything that was reported.
    pub(super) fn note_reordering(&mut self, flight: &mut Flight, lowest: SeqNum, counter: Counter) {
        let highest = flight.board.highest_sacked();
        self.note_overtaken(flight, lowest, highest, counter);
    }

    fn note_overtaken(&mut self, flight: &mut Flight, lowest: SeqNum, highest: SeqNum, counter: Counter) {
        if lowest.before(highest) {
            self.reordering.on_overtaken(highest.distance_from(lowest).div_ceil(self.mss.into()));
            flight.count(counter);
        }
    }
}
