//! A segment in a synchronised state: the checks of RFC 9293, section 3.10.7.4, in order, each a short function that
//! either ends the walk with a decision or lets the segment go on.
//!
//! Two checks stand before the first: RST and SYN are judged by RFC 5961 from their sequence number alone, and are exempt
//! from PAWS (RFC 7323, section 5.3), so that what the later checks see is an ordinary segment.

use super::acknowledge::{Arrived, Urgency};
use super::closing::Stage;
use super::ecn::Mark;
use super::reassembly::Repeated;
use super::receiver::Text;
use super::sender::{AckRange, Acknowledgment};
use super::synchronised::{Context, Synchronised};
use super::timers::Timer;
use super::{Decision, Events, Failure};
use crate::segment::SackBlocks;
use crate::{Counter, Counts, DropReason, Fate, Flags, Options, Segment, Verdict, reset};
use core::mem;
use core::ops::ControlFlow::{self, Break, Continue};
use core::time::Duration;

/// A segment, the frame it came in, and who it is for.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub context: Context<'a>,
    pub segment: &'a Segment,
    pub frame: &'a [u8],
}

/// A check's outcome: on to the next, or done.
type Check = ControlFlow<Decision>;

impl Synchronised {
    /// Takes a segment.
    pub fn on_segment(&mut self, arrival: &Arrival<'_>) -> Decision {
        let mut decision = match self.walk(arrival) {
            Break(decision) => decision,
            Continue(events) => self.take_text(arrival, events),
        };
        self.arm_timers(arrival.context.now, arrival.context.settings);
        decision.events |= self.ending();
        decision.verdict = decision.verdict.counting(mem::take(&mut self.counts));
        decision
    }

    /// The checks up to the segment text.
    fn walk(&mut self, arrival: &Arrival<'_>) -> ControlFlow<Decision, Events> {
        self.check_over(arrival)?;
        self.check_rst(arrival)?;
        self.check_syn(arrival)?;
        self.check_paws(arrival)?;
        self.check_sequence(arrival)?;
        self.check_ack(arrival)?;
        self.check_reader(arrival)?;
        let events = self.take_ack(arrival);
        if self.stage.is_over() { Break(self.finish(arrival, events)) } else { Continue(events) }
    }

    /// CLOSED: the engine has not removed the connection yet (RFC 9293, section 3.10.7.1).
    fn check_over(&self, arrival: &Arrival<'_>) -> Check {
        if !self.stage.is_over() {
            return Continue(());
        }
        Break(silent(Verdict { reply: reset::answer(arrival.segment), ..Verdict::dropped(DropReason::NoListener) }))
    }

    /// Second check: a reset counts only at exactly RCV.NXT; elsewhere in the window the peer is asked whether it meant
    /// it (RFC 5961, section 3.2).
    fn check_rst(&mut self, arrival: &Arrival<'_>) -> Check {
        let Segment { seq, flags, .. } = *arrival.segment;
        if !flags.contains(Flags::RST) {
            return Continue(());
        }
        if seq != self.receiver.nxt() {
            return Break(if self.receiver.in_window(seq) {
                self.challenge(arrival, DropReason::BlindRst)
            } else {
                silent(Verdict::dropped(DropReason::RstOutOfWindow))
            });
        }
        if matches!(self.stage, Stage::Established | Stage::CloseWait) {
            self.count(&[Counter::EstabResets]);
        }
        // Linux (`tcp_reset`): what the peer has sent is complete, and only what is written finds nobody.
        let failure = if self.stage == Stage::CloseWait { Failure::BrokenPipe } else { Failure::Reset };
        self.end(Stage::Closed(Some(failure)));
        Break(silent(Verdict::CONSUMED))
    }

    /// Fourth check: a SYN never belongs here, wherever it lies (RFC 5961, section 4.2).
    fn check_syn(&mut self, arrival: &Arrival<'_>) -> Check {
        if !arrival.segment.flags.contains(Flags::SYN) {
            return Continue(());
        }
        self.count(&[Counter::TCPSYNChallenge]);
        Break(self.challenge(arrival, DropReason::BlindSyn))
    }

    /// Protection against wrapped sequence numbers (RFC 7323, section 5.3, R1).
    fn check_paws(&mut self, arrival: &Arrival<'_>) -> Check {
        let (now, segment) = (arrival.context.now, arrival.segment);
        // Linux, too, accepts segments that lack a timestamp once it is negotiated.
        let Some((clock, option)) = self.clock.zip(segment.options.timestamps()) else { return Continue(()) };
        if !clock.rejects(now, option.value) || self.is_disordered(segment, clock.lag(option.value)) {
            return Continue(());
        }
        // Late acknowledgments are common, and nobody needs to hear of them (Linux: `tcp_disordered_ack_check`).
        if is_bare_ack(segment) && segment.seq.before(self.receiver.nxt()) {
            return Break(silent(Verdict::dropped(DropReason::Paws).counting(Counts::of(&[Counter::PAWSOldAck]))));
        }
        self.count(&[Counter::PAWSEstab]);
        Break(self.refuse(arrival, DropReason::Paws, Counter::TCPACKSkippedPAWS))
    }

    /// Whether a segment `lag` ticks older than another is a duplicate acknowledgment that was overtaken on its way: it says nothing
    /// new, and is no older than a retransmission timeout makes likely (Linux: `tcp_disordered_ack_check`, `tcp_tsval_replay`).
    fn is_disordered(&self, segment: &Segment, lag: u32) -> bool {
        let sender = &self.sender;
        let same_window = u32::from(segment.window) << sender.scale().shift() == sender.window()
            && !segment.seq.after(sender.window_seq());
        let replay = self.sender.rtt().rto() * 6 / 5;
        is_bare_ack(segment)
            && segment.seq == self.receiver.nxt()
            && segment.ack == self.sender.una()
            && same_window
            && Duration::from_millis(lag.into()) <= replay
    }

    /// First check: the sequence number.
    fn check_sequence(&mut self, arrival: &Arrival<'_>) -> Check {
        let segment = arrival.segment;
        if self.receiver.accepts(segment.seq, segment.seq_len()) {
            Continue(())
        } else {
            Break(self.refuse(arrival, DropReason::OutOfWindow, Counter::TCPACKSkippedSeq))
        }
    }

    /// Fifth check, first part: the acknowledgment must be there, and be one that the peer can have sent (RFC 5961,
    /// section 5.2).
    fn check_ack(&mut self, arrival: &Arrival<'_>) -> Check {
        let Segment { ack, flags, .. } = *arrival.segment;
        if !flags.contains(Flags::ACK) {
            return Break(silent(Verdict::dropped(DropReason::NoAck)));
        }
        match self.sender.judge_ack(ack) {
            AckRange::Acceptable => Continue(()),
            AckRange::TooOld => Break(self.challenge(arrival, DropReason::AckTooOld)),
            AckRange::Unsent => Break(self.challenge(arrival, DropReason::AckUnsent)),
        }
    }

    /// Data for an application that has closed is answered with a reset (RFC 9293, section 3.6.1; Linux:
    /// `tcp_rcv_state_process`).
    fn check_reader(&mut self, arrival: &Arrival<'_>) -> Check {
        if !self.detached || !self.receiver.is_news(arrival.segment) {
            return Continue(());
        }
        self.count(&[Counter::TCPAbortOnData]);
        self.end(Stage::Closed(None));
        Break(silent(Verdict { reply: reset::answer(arrival.segment), ..Verdict::dropped(DropReason::DataAfterClose) }))
    }

    /// Fifth check, second part: what the acknowledgment acknowledges, and the window it offers.
    fn take_ack(&mut self, arrival: &Arrival<'_>) -> Events {
        let (Context { now, .. }, segment) = (arrival.context, arrival.segment);
        // An acknowledgment of what was acknowledged before is no sign of life (Linux: `tcp_ack`, `old_ack`): with numbers that were
        // parted by a forged one, a peer answers for ever and nothing comes of it.
        if !segment.ack.before(self.sender.una()) {
            self.on_heard(now);
        }
        let timestamps = segment.options.timestamps();
        if let (Some(clock), Some(option)) = (&mut self.clock, timestamps) {
            // RFC 7323, section 4.3: only a segment that covers Last.ACK.sent sets TS.Recent.
            if !segment.seq.after(self.receiver.acked()) {
                clock.refresh(now, option.value);
            }
        }
        let echo = self.clock.zip(timestamps).and_then(|(clock, option)| clock.age(now, option.echo));
        let Segment { seq, ack, window, .. } = *segment;
        // A SYN-ACK that was sent more than once is measured by what the third segment echoes.
        let is_unmeasured = !self.sender.knows_window() && self.sender.rtt().smoothed().is_none();
        if let (true, Some(age)) = (is_unmeasured, echo) {
            self.sender.on_handshake(now, age);
        }
        let sack = match &segment.options {
            Options::Data(options) if self.sender.sack() => options.sack,
            Options::Data(_) | Options::Syn(_) => SackBlocks::NONE,
        };
        let (bare, ece) = (segment.seq_len() == 0, self.ecn.is_echo(segment));
        let progress = self.sender.on_ack(now, &Acknowledgment { seq, ack, window, bare, ece, sack, echo });
        self.counts = self.counts.and(progress.counts);
        if progress.advanced {
            if let Some(counter) = self.path.on_progress(progress.full_sized) {
                self.count(&[counter]);
            }
            self.expire_path(&arrival.context);
        }
        if progress.fin_acked {
            self.advance_to(self.stage.on_fin_acked());
        }
        if progress.freed == 0 {
            return Events::empty();
        }
        let settings = arrival.context.settings;
        self.sender.grow_buffer(progress.freed, settings.send_buffer, settings.send_buffer_max);
        Events::SENT
    }

    /// Seventh and eighth check: text and FIN.
    fn take_text(&mut self, arrival: &Arrival<'_>, events: Events) -> Decision {
        let (segment, frame) = (arrival.segment, arrival.frame);
        // When the peer's FIN leads to TIME-WAIT its acknowledgment must go out as the reply, and a frame cannot both
        // carry a reply and be delivered: then the payload is copied out.
        let last = self.stage == Stage::FinWait2 && (segment.flags.contains(Flags::FIN) || self.receiver.fin_seen());
        let mut repeated = Repeated::default();
        let reduced = segment.seq_len() > 0 && self.ecn.on_cwr(segment);
        let text = self.receiver.take_text(segment, frame, last, &mut repeated);
        self.report(repeated);
        if matches!(text, Text::InOrder { .. } | Text::OutOfOrder) {
            self.take_mark(segment);
        }
        match text {
            Text::Empty => Decision { verdict: Verdict::CONSUMED, events },
            Text::InOrder { span, reassembled, gap } => {
                let mut events = events;
                events.set(Events::REASSEMBLED, reassembled);
                self.on_in_order(arrival, gap || reduced);
                self.finish_in_order(arrival, span.map_or(Fate::Consumed, Fate::Delivered), events)
            }
            Text::OutOfOrder => {
                self.count(&[Counter::TCPOFOQueue]);
                if repeated.is_all_of(segment) {
                    self.count(&[Counter::TCPOFOMerge]);
                }
                self.receiver.acks.on_disorder();
                self.answer(arrival, Verdict::CONSUMED, events)
            }
            Text::Duplicate => {
                self.count(&[Counter::DelayedACKLost]);
                self.hurry(arrival, DropReason::DuplicateData, events)
            }
            Text::Beyond { closed: true } => {
                self.count(&[Counter::TCPZeroWindowDrop]);
                self.hurry(arrival, DropReason::ZeroWindow, events)
            }
            Text::Beyond { closed: false } => self.hurry(arrival, DropReason::OutOfWindow, events),
            Text::Full => {
                self.count(&[Counter::TCPOFODrop]);
                self.answer(arrival, Verdict::dropped(DropReason::ReassemblyFull), events)
            }
        }
    }

    /// Drops what is of no use, answers at once, and goes on answering at once for a while.
    fn hurry(&mut self, arrival: &Arrival<'_>, reason: DropReason, events: Events) -> Decision {
        self.receiver.acks.on_duplicate(self.receiver.offered());
        self.answer(arrival, Verdict::dropped(reason), events)
    }

    /// The next acknowledgment reports what came twice, where SACK is agreed (RFC 2883; Linux: `tcp_dsack_set`).
    fn report(&mut self, repeated: Repeated) {
        let Some(block) = repeated.0.filter(|_| self.sender.sack()) else { return };
        let is_old = block.start.before(self.receiver.nxt());
        self.count(&[if is_old { Counter::TCPDSACKOldSent } else { Counter::TCPDSACKOfoSent }]);
        self.receiver.report(block);
    }

    /// What the IP header of data says of congestion on its way (RFC 3168, section 6.1.3).
    fn take_mark(&mut self, segment: &Segment) {
        match self.ecn.on_data(segment.ecn) {
            Mark::Hurry => self.receiver.acks.on_mark(self.receiver.offered()),
            Mark::None => {}
        }
    }

    /// The stream grew: decides when to acknowledge.
    fn on_in_order(&mut self, arrival: &Arrival<'_>, gap: bool) {
        let (Context { now, settings, .. }, segment, receiver) = (arrival.context, arrival.segment, &mut self.receiver);
        let arrived = Arrived {
            now,
            len: segment.payload.len,
            pushed: segment.flags.intersects(Flags::PSH | Flags::FIN),
            unacked: receiver.unacked(),
            gap,
            window: receiver.offered(),
            rto: self.sender.rtt().rto(),
            round_trip: self.sender.rtt().smoothed(),
        };
        let is_full = receiver.acks.is_full_sized(segment.payload.len);
        let echo = self.clock.zip(segment.options.timestamps()).filter(|_| is_full);
        receiver.measure(now, echo.and_then(|(clock, option)| clock.age(now, option.echo)), segment.payload.len);
        match receiver.acks.on_data(&arrived, settings.mss.get()) {
            Urgency::Now => receiver.acks.due = true,
            Urgency::Delayed(delay) => self.timers.set_if_off(Timer::DelayedAck, now + delay),
        }
    }

    /// Takes the peer's FIN if the stream has reached it.
    fn finish_in_order(&mut self, arrival: &Arrival<'_>, fate: Fate, mut events: Events) -> Decision {
        if self.receiver.take_fin() {
            events |= Events::PEER_CLOSED;
            self.receiver.acks.due = true;
            self.advance_to(self.stage.on_peer_fin());
        }
        let verdict = Verdict { fate, ..Verdict::CONSUMED };
        if self.stage == Stage::TimeWait {
            return self.answer(arrival, verdict, events);
        }
        Decision { verdict, events }
    }

    /// The acknowledgment in this segment ended the connection. If anything in it is still to be acknowledged, it is now.
    fn finish(&mut self, arrival: &Arrival<'_>, events: Events) -> Decision {
        let owed = arrival.segment.seq_len() > 0 || self.receiver.acks.due;
        if owed && self.stage == Stage::TimeWait {
            self.answer(arrival, Verdict::CONSUMED, events)
        } else {
            Decision { verdict: Verdict::CONSUMED, events }
        }
    }

    fn advance_to(&mut self, stage: Stage) {
        if stage == self.stage {
            return;
        }
        self.stage = stage;
        if stage == Stage::TimeWait {
            self.count(&[Counter::TW]);
        }
        if stage.is_over() {
            self.end(stage);
        }
    }

    /// Drops an unacceptable segment and answers with what we expect (RFC 9293, section 3.10.7.4, first check). Where both
    /// sides answered everything they would never stop, so that segments without data are answered at a limited rate
    /// (Linux: `tcp_oow_rate_limited`).
    fn refuse(&mut self, arrival: &Arrival<'_>, reason: DropReason, skipped: Counter) -> Decision {
        let segment = arrival.segment;
        if segment.seq_len() == 0 && !self.limit.allows(arrival.context.now) {
            return silent(Verdict::dropped(reason).counting(Counts::of(&[skipped])));
        }
        if segment.seq_len() > 0 && segment.seq.before(self.receiver.nxt()) {
            self.count(&[Counter::DelayedACKLost]);
            self.report(self.receiver.repeated_by(segment));
            return self.hurry(arrival, reason, Events::empty());
        }
        self.answer(arrival, Verdict::dropped(reason), Events::empty())
    }

    /// A challenge ACK: a peer that meant it will answer with a reset that has the right sequence number (RFC 5961).
    fn challenge(&mut self, arrival: &Arrival<'_>, reason: DropReason) -> Decision {
        let verdict = Verdict::dropped(reason);
        if self.limit.allows(arrival.context.now) {
            self.count(&[Counter::TCPChallengeACK]);
            self.answer(arrival, verdict, Events::empty())
        } else {
            silent(verdict.counting(Counts::of(&[Counter::TCPACKSkippedChallenge])))
        }
    }

    /// `verdict`, and an acknowledgment at once.
    fn answer(&mut self, arrival: &Arrival<'_>, verdict: Verdict, events: Events) -> Decision {
        Decision { verdict: verdict.reply(self.acknowledgment(&arrival.context)), events }
    }
}

/// Whether a segment does nothing but acknowledge.
fn is_bare_ack(segment: &Segment) -> bool {
    segment.flags.contains(Flags::ACK) && segment.seq_len() == 0
}

/// A decision that nobody needs to hear of.
fn silent(verdict: Verdict) -> Decision {
    Decision { verdict, events: Events::empty() }
}
