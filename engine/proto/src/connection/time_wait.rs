//! TIME-WAIT: RFC 9293, sections 3.3.2 and 3.10.7.4; RFC 1337; RFC 6191; Linux: `tcp_timewait_state_process`.

use super::answer_limit::AnswerLimit;
use super::config::Millis;
use super::synchronised::Context;
use super::timestamps::TimestampClock;
use crate::segment::DataOptions;
use crate::{Counter, Counts, DropReason, Flags, Head, Instant, Marking, Options, Segment, SeqNum, Tuple, Verdict};
use core::time::Duration;

/// TIME-WAIT (RFC 9293, section 3.3.2): just enough to answer old segments and to admit a newer SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeWait {
    pub(super) tuple: Tuple,
    /// SND.NXT, beyond our FIN.
    pub(super) snd_nxt: SeqNum,
    /// RCV.NXT, beyond the peer's FIN.
    pub(super) rcv_nxt: SeqNum,
    /// The window field that we offered last.
    pub(super) window: u16,
    pub(super) clock: Option<TimestampClock>,
    pub(super) limit: AnswerLimit,
    /// How long the state lasts.
    pub(super) length: Millis,
    pub(super) expires: Instant,
}

const _: () = assert!(size_of::<TimeWait>() <= 128, "TIME-WAIT entries are many");

/// How long an entry must have been quiet before an open of ours takes its ends over: our TSval has moved on by then
/// (Linux: `tcp_tw_reuse_delay`).
pub(super) const REUSE_DELAY: Duration = Duration::from_secs(1);
/// How far beyond the old connection the new one starts: further than an unscaled window reaches (Linux:
/// `tcp_twsk_unique`).
pub(super) const REUSE_GAP: u32 = 65_535 + 2;

/// What an open of ours takes over from the TIME-WAIT entry of the same two ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reuse {
    /// Its two ends.
    pub tuple: Tuple,
    pub(super) iss: SeqNum,
    pub(super) clock: TimestampClock,
}

/// What TIME-WAIT decided about a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum TimeWaitOutcome {
    /// Dealt with.
    Settled(Verdict),
    /// A newer SYN (RFC 6191): remove the entry and give the segment to the listener.
    Reopen,
}

impl TimeWait {
    /// The record of a connection that was never synchronised: nothing to wait for.
    pub(super) fn over(context: &Context<'_>) -> Self {
        Self {
            tuple: *context.tuple,
            snd_nxt: SeqNum(0),
            rcv_nxt: SeqNum(0),
            window: 0,
            clock: None,
            limit: AnswerLimit::NEW,
            length: Duration::ZERO.into(),
            expires: context.now,
        }
    }

    /// Takes a segment.
    pub fn on_segment(&mut self, now: Instant, segment: &Segment) -> TimeWaitOutcome {
        // RFC 1337: a reset does not cut TIME-WAIT short.
        if segment.flags.contains(Flags::RST) {
            return TimeWaitOutcome::Settled(Verdict::dropped(DropReason::TimeWaitRst));
        }
        let old = self.is_old_by_timestamp(now, segment);
        if segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK) && !old && self.is_newer(segment) {
            return TimeWaitOutcome::Reopen;
        }
        // RFC 9293: the peer's FIN again, or an old duplicate; acknowledge it and wait anew. A lone SYN that is not newer
        // proves nothing about the old connection, so that it does not prolong the wait.
        if old || segment.flags.contains(Flags::ACK) {
            self.expires = now + Duration::from(self.length);
        }
        // As in Linux (`tcp_timewait_state_process`): only a bare segment right at the edge, or anyone could blindly raise
        // TS.Recent and so keep a newer SYN out.
        if let (Some(clock), Some(option)) = (&mut self.clock, segment.options.timestamps())
            && !old
            && segment.seq == self.rcv_nxt
            && segment.seq_len() == 0
        {
            clock.refresh(now, option.value);
        }
        TimeWaitOutcome::Settled(self.judge(now, segment, old))
    }

    /// What an open of ours to the same peer may go on with instead of waiting for the end of TIME-WAIT (Linux:
    /// `tcp_tw_reuse`, `tcp_twsk_unique`): then remove the entry and give this to
    /// [`Connection::reconnect`](super::Connection::reconnect). Allowed with timestamps, by which old duplicates are told
    /// apart (RFC 7323, appendix B.2), once nothing has prolonged the wait for a second. The peer, should it wait too,
    /// accepts such a SYN by its timestamp and by its sequence number (RFC 6191, section 2).
    pub fn reuse(&self, now: Instant) -> Option<Reuse> {
        let clock = self.clock?;
        let quiet = now + Duration::from(self.length) - self.expires;
        (quiet >= REUSE_DELAY).then_some(Reuse { tuple: self.tuple, iss: self.snd_nxt + REUSE_GAP, clock })
    }

    /// When the entry may go.
    pub fn deadline(&self) -> Instant {
        self.expires
    }

    /// The peer's last ACK asks for no answer; everything else gets ours, at a limited rate.
    fn judge(&mut self, now: Instant, segment: &Segment, old: bool) -> Verdict {
        if !old && segment.seq == self.rcv_nxt && segment.seq_len() == 0 {
            return Verdict::CONSUMED;
        }
        let mut verdict = Verdict::dropped(DropReason::TimeWaitOldDuplicate);
        if old {
            verdict = verdict.counting(Counts::of(&[Counter::PAWSEstab]));
        }
        if self.limit.allows(now) {
            verdict.reply(self.acknowledgment(now))
        } else {
            verdict.counting(Counts::of(&[Counter::TCPACKSkippedChallenge]))
        }
    }

    /// RFC 6191, section 2: a SYN opens anew when its timestamp or, without one, its sequence number is beyond what the
    /// old connection used.
    fn is_newer(&self, segment: &Segment) -> bool {
        let newer_clock = match (&self.clock, segment.options.timestamps()) {
            (Some(clock), Some(option)) => clock.is_newer(option.value),
            (Some(_) | None, _) => false,
        };
        newer_clock || segment.seq.after(self.rcv_nxt)
    }

    fn is_old_by_timestamp(&self, now: Instant, segment: &Segment) -> bool {
        match (&self.clock, segment.options.timestamps()) {
            (Some(clock), Some(option)) => clock.rejects(now, option.value),
            (Some(_) | None, _) => false,
        }
    }

    fn acknowledgment(&self, now: Instant) -> Head {
        let timestamps = self.clock.map(|clock| clock.option(now));
        Head {
            tuple: self.tuple,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK,
            window: self.window,
            options: Options::Data(DataOptions { timestamps, ..DataOptions::default() }),
            marking: Marking::DEFAULT,
        }
    }
}
