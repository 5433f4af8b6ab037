//! SYN-SENT: RFC 9293, section 3.10.7.3; Linux: `tcp_rcv_synsent_state_process`.

use super::answer_limit::AnswerLimit;
use super::config::Settings;
use super::crossed::Crossed;
use super::ecn::Ecn;
use super::receiver::syn_window;
use super::rtt::{self, Rtt};
use super::synchronised::{Context, Opening};
use super::timestamps::TimestampClock;
use crate::half_open::{Clock, Negotiated, Offer, Syn};
use crate::segment::{SynOptions, Timestamps, WindowScale};
use crate::wire::{HEADROOM, write_segment};
use crate::{Counter, Counts, DropReason, Flags, Head, Instant, Link, Options, Segment, SeqNum, Verdict, reset};
use core::time::Duration;

/// SYNs sent again at the initial interval (Linux: `tcp_syn_linear_timeouts`).
pub(super) const LINEAR_RETRIES: u8 = 4;

/// How soon the SYN is sent again after a reset of ours that cleared its way (Linux: `TCP_TIMEOUT_MIN`, two ticks of the kernel's
/// clock).
const AFTER_RESET: Duration = Duration::from_millis(2);

/// An open of ours that is not answered yet: SYN-SENT, or SYN-RECEIVED once the peer's own SYN has crossed it.
#[derive(Clone, Debug)]
pub(super) struct SynSent {
    iss: SeqNum,
    /// Our TSval; and TS.Recent, when a connection in TIME-WAIT left one.
    clock: TimestampClock,
    /// The peer's SYN, when both ends open at once (RFC 9293, section 3.5, figure 8; MUST-10).
    pub crossed: Option<Crossed>,
    /// What the application wants once both SYNs are acknowledged.
    pub leaving: Leaving,
    /// How often unacceptable segments are answered once the SYNs have crossed.
    pub limit: AnswerLimit,
    /// SYNs sent, not counting the answer to a SYN that crossed.
    sent: u8,
    /// When the first was sent.
    first_at: Instant,
    /// When the next is due.
    next_at: Instant,
    due: Due,
    /// The window and the scale that our SYNs offer: settled with the first, whatever becomes of the buffer before the answer
    /// (Linux: `tcp_connect_init`), for what was offered is not taken back (SHLD-14).
    window: u16,
    scale: WindowScale,
    /// The path's MTU, where it is known to be smaller than the interface's.
    pub path_mtu: Option<u16>,
    /// Counters not handed out yet.
    pub counts: Counts,
}

/// Whether the application has left before the open was complete: a CLOSE in SYN-RECEIVED is queued (RFC 9293, section 3.10.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leaving {
    Stays,
    /// It sends nothing.
    Shutdown,
    /// It does not read either.
    Close,
}

/// What is to be sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    Nothing,
    /// The SYN, or what it has become, as scheduled.
    Scheduled,
    /// The SYN-ACK that answers a SYN.
    Answer,
}

/// What a segment means to SYN-SENT.
#[derive(Debug)]
pub(super) enum Answer {
    /// Nothing yet: still waiting.
    Wait(Verdict),
    /// The peer refuses.
    Refused,
    /// The peer's SYN-ACK: ESTABLISHED, and it is to be acknowledged.
    Open(Opening),
    /// The acknowledgment that completes a simultaneous open: ESTABLISHED, and the segment counts there.
    Complete(Opening),
}

/// What the timer means to SYN-SENT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expiry {
    /// It is not due yet.
    Early,
    /// Another SYN is to be sent.
    Again,
    /// The open has failed.
    GiveUp,
}

impl SynSent {
    /// A SYN that is due at once.
    pub fn new(now: Instant, iss: SeqNum, clock: TimestampClock, settings: &Settings) -> Self {
        Self {
            iss,
            clock,
            crossed: None,
            leaving: Leaving::Stays,
            limit: AnswerLimit::NEW,
            sent: 0,
            first_at: now,
            next_at: now,
            due: Due::Scheduled,
            window: offer(settings).window,
            scale: scale_for(settings.receive_buffer_max),
            path_mtu: None,
            counts: Counts::of(&[Counter::ActiveOpens]),
        }
    }

    /// When [`Self::on_timer`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        (self.due != Due::Scheduled).then_some(self.next_at)
    }

    /// How often the SYN was sent again.
    pub fn retransmits(&self) -> u8 {
        self.sent.saturating_sub(1)
    }

    /// The interval in force.
    pub fn rto(&self) -> Duration {
        interval(self.sent)
    }

    /// Whether `seq` is that of a SYN of ours on its way: `[SND.UNA, SND.NXT)`.
    pub fn is_outstanding(&self, seq: SeqNum) -> bool {
        self.sent > 0 && seq == self.iss
    }

    /// Whether a SYN is to be sent.
    pub fn wants_transmit(&self) -> bool {
        self.due != Due::Nothing
    }

    /// The timer, of an open that is given up after so many `retries` at doubling intervals.
    pub fn on_timer(&mut self, now: Instant, retries: u8) -> Expiry {
        if self.due == Due::Scheduled || now < self.next_at {
            return Expiry::Early;
        }
        if self.retransmits() >= LINEAR_RETRIES.saturating_add(retries) {
            return Expiry::GiveUp;
        }
        self.due = Due::Scheduled;
        Expiry::Again
    }

    /// Writes the SYN or SYN-ACK, if it is due.
    pub fn transmit(&mut self, context: &Context<'_>, link: &Link, frame: &mut [u8]) -> Option<usize> {
        if self.due == Due::Nothing || frame.len() < HEADROOM {
            return None;
        }
        let len = write_segment(frame, link, &self.head(context));
        if self.due == Due::Scheduled {
            if self.sent == 0 {
                self.first_at = context.now;
            } else {
                self.counts = self.counts.and(Counts::of(&[Counter::RetransSegs, Counter::TCPSynRetrans]));
            }
            self.sent = self.sent.saturating_add(1);
            self.next_at = context.now + interval(self.sent);
        }
        self.due = Due::Nothing;
        Some(len)
    }

    /// Takes a segment.
    pub fn on_segment(&mut self, context: &Context<'_>, segment: &Segment) -> Answer {
        if let Some(crossed) = self.crossed {
            return self.on_crossed(context, segment, &crossed);
        }
        let Segment { ack, flags, .. } = *segment;
        let acks_our_syn = flags.contains(Flags::ACK) && self.sent > 0 && ack == self.iss + 1;
        let unacceptable = Verdict::dropped(DropReason::SynSentUnacceptable);
        // First check: an acknowledgment of something else is answered with a reset, unless it is one.
        if flags.contains(Flags::ACK) && !acks_our_syn {
            // The peer remembers an earlier connection between the same ends, in TIME-WAIT or half-open, and the reset makes it
            // forget: the next SYN need not wait a second (Linux: `tcp_rcv_synsent_state_process`). Only once, or a
            // stranger could draw more SYNs than it sends segments.
            if self.sent == 1 && !flags.contains(Flags::RST) {
                self.next_at = self.next_at.min(context.now + AFTER_RESET);
            }
            return Answer::Wait(Verdict { reply: reset::answer(segment), ..unacceptable });
        }
        // Second check: a reset counts only when it acknowledges our SYN.
        if flags.contains(Flags::RST) {
            return if acks_our_syn { Answer::Refused } else { Answer::Wait(unacceptable) };
        }
        match segment.options {
            // Fourth check. Payload on a SYN-ACK is left to be sent again.
            Options::Syn(options) if acks_our_syn => Answer::Open(self.opening(context, segment, &options)),
            // An old duplicate of the connection before (Linux, too, asks this only of a SYN that crosses).
            Options::Syn(_) if self.sent > 0 && self.is_old(context, segment) => {
                Answer::Wait(Verdict::dropped(DropReason::Paws))
            }
            Options::Syn(options) if self.sent > 0 => {
                let negotiated = self.negotiate(context, segment, &options);
                if let Some(Clock { recent, .. }) = negotiated.timestamps {
                    self.clock.refresh(context.now, recent);
                }
                self.crossed = Some(Crossed { negotiated, window: segment.window });
                self.due = Due::Answer;
                Answer::Wait(Verdict::CONSUMED)
            }
            Options::Syn(_) | Options::Data(_) => Answer::Wait(unacceptable),
        }
    }

    fn head(&self, context: &Context<'_>) -> Head {
        let offer = self.offer(context.settings);
        if let Some(crossed) = self.crossed {
            return crossed.negotiated.syn_ack(context.now, context.tuple, &offer);
        }
        Head {
            tuple: *context.tuple,
            seq: self.iss,
            ack: SeqNum(0),
            flags: self.flags(context),
            window: offer.window,
            options: Options::Syn(SynOptions {
                mss: Some(offer.mss(context.tuple)),
                window_scale: offer.window_scale,
                sack_permitted: offer.sack,
                timestamps: Some(self.clock.option(context.now)),
            }),
            marking: offer.marking,
        }
    }

    /// The first SYN may ask for ECN; those sent again do not, as somebody on the way may have dropped it for that (RFC 3168,
    /// section 6.1.1.1; Linux: `tcp_ecn_fallback`).
    fn flags(&self, context: &Context<'_>) -> Flags {
        let asks = asks_for_ecn(context.settings) && self.sent == 0;
        if asks { Flags::SYN | Flags::ECE | Flags::CWR } else { Flags::SYN }
    }

    fn offer(&self, settings: &Settings) -> Offer {
        Offer { window: self.window, window_scale: Some(self.scale), ..offer(settings) }
    }

    /// The two SYNs agree as they do on a listener: our SYN offers everything.
    fn negotiate(&self, context: &Context<'_>, segment: &Segment, options: &SynOptions) -> Negotiated {
        let syn = Syn::of(segment, options);
        Negotiated::new(&syn, &self.offer(context.settings), self.iss, self.clock.offset())
    }

    pub(super) fn opening(&self, context: &Context<'_>, segment: &Segment, options: &SynOptions) -> Opening {
        // The SYN-ACK agrees by ECE without CWR (Linux: `tcp_ecn_rcv_synack`). One to a SYN that no longer asked answers the first.
        let agrees = segment.flags & (Flags::ECE | Flags::CWR) == Flags::ECE;
        let ecn = asks_for_ecn(context.settings) && agrees;
        let negotiated = Negotiated { ecn, ..self.negotiate(context, segment, options) };
        Opening {
            negotiated,
            peer_window: segment.window,
            our_window: self.window,
            rtt: self.measure(context, negotiated.timestamps.zip(options.timestamps)),
            syn_timeouts: self.retransmits(),
            quick_acks: context.settings.quick_acks,
            path_mtu: self.path_mtu,
        }
    }

    pub(super) fn completed(&self, context: &Context<'_>, segment: &Segment, crossed: &Crossed) -> Opening {
        Opening {
            negotiated: crossed.negotiated,
            peer_window: crossed.window,
            our_window: self.window,
            rtt: self.measure(context, crossed.negotiated.timestamps.zip(segment.options.timestamps())),
            syn_timeouts: self.retransmits(),
            quick_acks: context.settings.quick_acks,
            path_mtu: self.path_mtu,
        }
    }

    /// PAWS, against what a connection in TIME-WAIT has seen, or the SYN that has crossed ours.
    pub(super) fn is_old(&self, context: &Context<'_>, segment: &Segment) -> bool {
        segment.options.timestamps().is_some_and(|option| self.clock.rejects(context.now, option.value))
    }

    /// The round trip of a SYN sent once, or of the one whose timestamp is echoed (Karn's rule). With neither, the RTO
    /// starts at three seconds (RFC 6298, section 5.7). Where SYNs have crossed, the answer to our SYN-ACK is as good: it comes no
    /// sooner.
    fn measure(&self, context: &Context<'_>, timestamps: Option<(Clock, Timestamps)>) -> Rtt {
        let echoed = timestamps
            .and_then(|(clock, option)| TimestampClock::new(context.now, clock).age(context.now, option.echo));
        let sample = if self.sent == 1 { Some(context.now - self.first_at) } else { echoed };
        Rtt::of_handshake(context.now, sample)
    }
}

fn asks_for_ecn(settings: &Settings) -> bool {
    settings.ecn == Ecn::Always
}

/// What our SYN offers: everything (Linux's defaults).
pub(super) fn offer(settings: &Settings) -> Offer {
    Offer {
        mss_v4: settings.mss,
        mss_v6: settings.mss,
        window: syn_window(settings.first_window()),
        window_scale: Some(scale_for(settings.receive_buffer_max)),
        sack: true,
        timestamps: true,
        ecn: asks_for_ecn(settings),
        marking: settings.marking,
    }
}

/// How long to wait after the `sent`-th SYN.
fn interval(sent: u8) -> Duration {
    let doublings = sent.saturating_sub(LINEAR_RETRIES + 1).min(7);
    rtt::INITIAL * (1 << doublings)
}

/// The smallest scale with which the window field can say `receive_buffer`.
fn scale_for(receive_buffer: u32) -> WindowScale {
    let significant = (u32::BITS - receive_buffer.leading_zeros()).saturating_sub(u16::BITS);
    WindowScale::clamped(u8::try_from(significant).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_covers_the_buffer() {
        for (buffer, shift) in [(0, 0), (65_535, 0), (65_536, 1), (131_071, 1), (131_072, 2), (1 << 30, 14)] {
            assert_eq!(scale_for(buffer).shift(), shift, "{buffer}");
        }
    }
}
