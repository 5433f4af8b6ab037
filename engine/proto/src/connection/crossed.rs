//! SYN-RECEIVED of an open of ours whose SYN has crossed the peer's: RFC 9293, section 3.10.7.4, as far as it speaks of that
//! state; Linux: `tcp_validate_incoming`, `tcp_rcv_state_process`.

use super::handshake::{Answer, SynSent, offer};
use super::synchronised::Context;
use crate::half_open::Negotiated;
use crate::{Counter, Counts, DropReason, Flags, Head, Marking, Options, Segment, Tuple, Verdict, reset};

/// The SYN of a peer that opens too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossed {
    /// What both SYNs agree on.
    pub negotiated: Negotiated,
    /// The window that it offers.
    pub window: u16,
}

impl SynSent {
    /// A segment after the SYNs have crossed.
    pub(super) fn on_crossed(&mut self, context: &Context<'_>, segment: &Segment, crossed: &Crossed) -> Answer {
        let Segment { seq, ack, flags, .. } = *segment;
        let next = crossed.negotiated.irs + 1;
        let acks_our_syn = flags.contains(Flags::ACK) && ack == crossed.negotiated.iss + 1;
        // The peer's SYN-ACK, in answer to our SYN: its SYN lies before the window, and yet figure 8 ends with it.
        if let (Options::Syn(options), true) = (segment.options, acks_our_syn && seq + 1 == next) {
            return Answer::Open(self.opening(context, segment, &options));
        }
        if self.is_old(context, segment) && !flags.contains(Flags::RST) {
            return self.challenge(context, crossed, DropReason::Paws);
        }
        // "First, check sequence number", "Second, check the RST bit" (RFC 5961, section 3), "Fourth, check the SYN bit" (section 4).
        if flags.contains(Flags::RST) {
            return match (seq == next, self.is_in_window(context, crossed, segment)) {
                (true, _) => Answer::Refused,
                (false, true) => self.challenge(context, crossed, DropReason::BlindRst),
                (false, false) => Answer::Wait(Verdict::dropped(DropReason::RstOutOfWindow)),
            };
        }
        if flags.contains(Flags::SYN) || !self.is_in_window(context, crossed, segment) {
            return self.challenge(context, crossed, DropReason::SynSentUnacceptable);
        }
        // "Fifth, check the ACK field: if the ACK bit is off, drop the segment and return", and if it acknowledges something else,
        // "form a reset segment".
        let unacceptable = Verdict::dropped(DropReason::SynSentUnacceptable);
        match (flags.contains(Flags::ACK), acks_our_syn) {
            (_, true) => Answer::Complete(self.completed(context, segment, crossed)),
            (true, false) => Answer::Wait(Verdict { reply: reset::answer(segment), ..unacceptable }),
            (false, false) => Answer::Wait(unacceptable),
        }
    }

    /// What tells the peer that the open is over: nothing unless it has said something (RFC 9293, section 3.10.5).
    pub fn reset(&self, tuple: &Tuple) -> Option<Head> {
        let Negotiated { iss, irs, .. } = self.crossed?.negotiated;
        let flags = Flags::RST | Flags::ACK;
        Some(Head {
            tuple: *tuple,
            seq: iss + 1,
            ack: irs + 1,
            flags,
            window: 0,
            options: Options::NONE,
            marking: Marking::DEFAULT,
        })
    }

    /// What the peer is told about a segment that cannot be right: what we have, at a limited rate.
    fn challenge(&mut self, context: &Context<'_>, crossed: &Crossed, reason: DropReason) -> Answer {
        let verdict = Verdict::dropped(reason);
        Answer::Wait(if self.limit.allows(context.now) {
            verdict.reply(crossed.negotiated.challenge_ack(context.now, context.tuple, &offer(context.settings)))
        } else {
            verdict.counting(Counts::of(&[Counter::TCPACKSkippedSynRecv]))
        })
    }

    /// Whether any of the segment lies in the window that our SYN-ACK offered (RFC 9293, section 3.4, table 6).
    fn is_in_window(&self, context: &Context<'_>, crossed: &Crossed, segment: &Segment) -> bool {
        let (start, end) = (segment.seq, segment.seq + segment.seq_len());
        let next = crossed.negotiated.irs + 1;
        let edge = next + u32::from(offer(context.settings).window);
        start == next || (end.after(next) && start.before(edge))
    }
}
