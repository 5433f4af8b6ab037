//! SYN-SENT: RFC 9293, section 3.10.7.3; Linux: `tcp_rcv_synsent_state_process`.

use super::receiver::syn_window;
use super::rtt::{self, Rtt};
use super::synchronised::{Context, Opening};
use super::timestamps::TimestampClock;
use crate::half_open::{Clock, Negotiated, Scales};
use crate::segment::{Mss, SynOptions, Timestamps, WindowScale};
use crate::wire::{HEADROOM, write_segment};
use crate::{Counter, Counts, DropReason, Flags, Head, Instant, Link, Options, Segment, SeqNum, Verdict, reset};
use core::time::Duration;

/// SYNs sent again at the initial interval (Linux: `tcp_syn_linear_timeouts`).
pub(super) const LINEAR_RETRIES: u8 = 4;
/// SYNs sent again at doubling intervals (Linux: `tcp_syn_retries`).
pub(super) const RETRIES: u8 = 6;

/// An open of ours that is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct SynSent {
    iss: SeqNum,
    timestamp_offset: u32,
    /// SYNs sent.
    sent: u8,
    /// When the first was sent.
    first_at: Instant,
    /// When the next is due.
    next_at: Instant,
    /// Whether a SYN is to be sent now.
    due: bool,
    /// Counters not handed out yet.
    pub counts: Counts,
}

/// What a segment means to SYN-SENT.
#[derive(Debug)]
pub(super) enum Answer {
    /// Nothing: still waiting.
    Wait(Verdict),
    /// The peer refuses.
    Refused,
    /// The peer agrees: ESTABLISHED.
    Open(Opening),
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
    pub fn new(now: Instant, iss: SeqNum, timestamp_offset: u32) -> Self {
        Self {
            iss,
            timestamp_offset,
            sent: 0,
            first_at: now,
            next_at: now,
            due: true,
            counts: Counts::of(&[Counter::ActiveOpens]),
        }
    }

    /// When [`Self::on_timer`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.due).then_some(self.next_at)
    }

    /// How often the SYN was sent again.
    pub fn retransmits(&self) -> u32 {
        u32::from(self.sent.saturating_sub(1))
    }

    /// The interval in force.
    pub fn rto(&self) -> Duration {
        interval(self.sent)
    }

    /// Whether a SYN is to be sent.
    pub fn wants_transmit(&self) -> bool {
        self.due
    }

    /// The timer.
    pub fn on_timer(&mut self, now: Instant) -> Expiry {
        if self.due || now < self.next_at {
            return Expiry::Early;
        }
        if self.sent > LINEAR_RETRIES + RETRIES {
            return Expiry::GiveUp;
        }
        self.due = true;
        Expiry::Again
    }

    /// Writes the SYN, if it is due.
    pub fn transmit(&mut self, context: &Context<'_>, link: &Link, frame: &mut [u8]) -> Option<usize> {
        if !self.due || frame.len() < HEADROOM {
            return None;
        }
        let len = write_segment(frame, link, &self.head(context));
        self.due = false;
        if self.sent == 0 {
            self.first_at = context.now;
        }
        self.sent = self.sent.saturating_add(1);
        self.next_at = context.now + interval(self.sent);
        if self.sent > 1 {
            self.counts = self.counts.and(Counts::of(&[Counter::RetransSegs, Counter::TCPSynRetrans]));
        }
        Some(len)
    }

    /// Takes a segment.
    pub fn on_segment(&self, context: &Context<'_>, segment: &Segment) -> Answer {
        let acks_our_syn = segment.flags.contains(Flags::ACK) && self.sent > 0 && segment.ack == self.iss + 1;
        // First check: an acknowledgment of something else is answered with a reset, unless it is one.
        if segment.flags.contains(Flags::ACK) && !acks_our_syn {
            let reply = reset::answer(segment);
            return Answer::Wait(Verdict { reply, ..Verdict::dropped(DropReason::SynSentUnacceptable) });
        }
        // Second check: a reset counts only when it acknowledges our SYN.
        if segment.flags.contains(Flags::RST) && acks_our_syn {
            return Answer::Refused;
        }
        match segment.options {
            // Fourth check. Payload on a SYN-ACK is left to be sent again.
            Options::Syn(options) if acks_our_syn => Answer::Open(self.opening(context, segment, &options)),
            Options::Syn(_) | Options::Data(_) => Answer::Wait(Verdict::dropped(DropReason::SynSentUnacceptable)),
        }
    }

    fn head(&self, context: &Context<'_>) -> Head {
        let clock = Clock { recent: 0, offset: self.timestamp_offset };
        Head {
            tuple: *context.tuple,
            seq: self.iss,
            ack: SeqNum(0),
            flags: Flags::SYN,
            window: syn_window(context.settings.receive_buffer),
            options: Options::Syn(SynOptions {
                mss: Some(context.settings.mss),
                window_scale: Some(scale_for(context.settings.receive_buffer)),
                sack_permitted: true,
                timestamps: Some(clock.stamp(context.now)),
            }),
        }
    }

    fn opening(&self, context: &Context<'_>, segment: &Segment, options: &SynOptions) -> Opening {
        let SynOptions { mss, window_scale, sack_permitted, timestamps } = *options;
        let default_mss = if context.tuple.is_ipv6() { Mss::DEFAULT_V6 } else { Mss::DEFAULT_V4 };
        let ours = scale_for(context.settings.receive_buffer);
        let negotiated = Negotiated {
            iss: self.iss,
            irs: segment.seq,
            send_mss: mss.unwrap_or(default_mss),
            scales: window_scale.map(|peer| Scales { peer, ours }),
            sack: sack_permitted,
            timestamps: timestamps.map(|option| Clock { recent: option.value, offset: self.timestamp_offset }),
        };
        Opening {
            negotiated,
            peer_window: segment.window,
            our_window: syn_window(context.settings.receive_buffer),
            rtt: self.measure(context, timestamps),
            syn_timeouts: self.sent.saturating_sub(1),
        }
    }

    /// The round trip of a SYN sent once, or of the one whose timestamp is echoed (Karn's rule). With neither, the RTO
    /// starts at three seconds (RFC 6298, section 5.7).
    fn measure(&self, context: &Context<'_>, timestamps: Option<Timestamps>) -> Rtt {
        let echoed = timestamps.and_then(|option| {
            let clock = Clock { recent: option.value, offset: self.timestamp_offset };
            TimestampClock::new(context.now, clock).age(context.now, option.echo)
        });
        let sample = if self.sent == 1 { Some(context.now - self.first_at) } else { echoed };
        let mut rtt = Rtt::new(rtt::initial(self.sent.saturating_sub(1)));
        if let Some(sample) = sample {
            rtt.measure(sample);
        }
        rtt
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
