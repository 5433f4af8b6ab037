//! ICMP errors about a connection's segments: RFC 5927, sections 4 and 5; RFC 9293, section 3.9.2.2; Linux: `tcp_v4_err`,
//! `tcp_v6_err`.

use super::path_mtu::{Claim, OnTheWay, TimedOut};
use super::synchronised::{Context, Synchronised};
use super::{Connection, Decision, Events, Failure, Phase};
use crate::icmp::{IcmpError, IcmpKind, Unreachable};
use crate::{Counter, Counts, DropReason, Instant, Verdict};

impl Connection {
    /// Takes an ICMP error about a segment of this connection. Nothing is ever answered, so the verdict has no reply.
    ///
    /// An open fails at once, as in Linux, when the error quotes its SYN and says that it cannot arrive. In the synchronised
    /// states every error is soft (MUST-54, MUST-56; RFC 5927, section 5.2; Linux): retransmission decides, and if it gives up,
    /// the error says why. A packet that is too big is sent again in smaller segments.
    pub fn on_icmp_error(&mut self, now: Instant, error: &IcmpError) -> Decision {
        let Self { tuple, settings, phase } = self;
        match phase {
            Phase::SynSent(syn_sent) if !syn_sent.is_outstanding(error.seq) => out_of_window(),
            Phase::SynSent(_) => match failure(error) {
                Some(failure) => self.fail_to_open(failure, Counts::NONE),
                None => dropped(DropReason::IcmpIgnored, &[]),
            },
            Phase::Synchronised(synchronised) if !synchronised.stage.is_over() => {
                synchronised.on_icmp_error(&Context { now, tuple, settings }, error)
            }
            Phase::Synchronised(_) | Phase::NeverOpened(_) => dropped(DropReason::IcmpNoConnection, &[]),
        }
    }
}

impl Synchronised {
    fn on_icmp_error(&mut self, context: &Context<'_>, error: &IcmpError) -> Decision {
        // RFC 5927, section 4: SND.UNA <= SEQ < SND.NXT.
        if !self.sender.is_outstanding(error.seq) {
            return out_of_window();
        }
        match (error.kind, failure(error)) {
            (IcmpKind::PacketTooBig { mtu }, _) => self.on_packet_too_big(context, mtu),
            (_, None) => dropped(DropReason::IcmpIgnored, &[]),
            (_, Some(failure)) => {
                self.soft_error = Some(failure);
                Decision::NOTHING
            }
        }
    }

    fn on_packet_too_big(&mut self, context: &Context<'_>, claimed: u32) -> Decision {
        let sent = OnTheWay { bytes: self.sender.in_flight(), timeouts: self.sender.timeouts() };
        match self.path.judge(context.now, context.tuple, self.mss(), claimed, &sent) {
            Claim::Void => dropped(DropReason::IcmpIgnored, &[]),
            Claim::Doubted => Decision::NOTHING,
            Claim::Believed => {
                self.resize_segments(context);
                self.sender.resend_in_flight();
                self.arm_timers(context.now, context.settings);
                Decision { events: Events::PATH_MTU, ..Decision::NOTHING }
            }
        }
    }

    /// Forgets a path MTU that has lasted its time.
    pub fn expire_path(&mut self, context: &Context<'_>) {
        if self.path.expire(context.now) {
            self.resize_segments(context);
        }
    }

    /// The retransmission timer fired: the segments may have been too big.
    pub fn review_path(&mut self, context: &Context<'_>) -> Events {
        // What lies beyond a window that was taken back is not expected to arrive.
        let sent =
            OnTheWay { bytes: self.sender.in_flight().min(self.sender.window()), timeouts: self.sender.timeouts() };
        let events = match self.path.on_timeout(context.now, context.tuple, self.mss(), &sent) {
            TimedOut::Unchanged => return Events::empty(),
            TimedOut::Believed => Events::PATH_MTU,
            // No other connection is to go by a guess.
            TimedOut::Guessed => {
                self.count(&[Counter::TCPMTUPFail]);
                Events::empty()
            }
        };
        self.resize_segments(context);
        events
    }
}

fn out_of_window() -> Decision {
    dropped(DropReason::IcmpOutOfWindow, &[Counter::OutOfWindowIcmps])
}

fn dropped(reason: DropReason, counters: &[Counter]) -> Decision {
    Decision { verdict: Verdict::dropped(reason).counting(Counts::of(counters)), events: Events::empty() }
}

/// How an open fails that meets this error, and what a connection remembers of it (Linux: `icmp_unreach`, `icmp_err_convert`, `icmpv6_err_convert` and what
/// `tcp_v4_err` and `tcp_v6_err` add); `None` when it means nothing to either.
fn failure(error: &IcmpError) -> Option<Failure> {
    let is_ipv6 = error.tuple.is_ipv6();
    match error.kind {
        IcmpKind::Unreachable(why) => unreachable(why, is_ipv6),
        // A SYN fits the least MTU of either family. Of a connection's segments `path_mtu` judges.
        IcmpKind::PacketTooBig { .. } => None,
        IcmpKind::TimeExceeded => Some(Failure::HostUnreachable),
        IcmpKind::ReassemblyTimeExceeded => is_ipv6.then_some(Failure::HostUnreachable),
        IcmpKind::ParameterProblem => Some(Failure::NotUnderstood),
    }
}

fn unreachable(why: Unreachable, is_ipv6: bool) -> Option<Failure> {
    match why {
        Unreachable::Network => Some(Failure::NetworkUnreachable),
        Unreachable::Host => Some(Failure::HostUnreachable),
        Unreachable::Protocol => Some(Failure::NoProtocol),
        Unreachable::Port => Some(Failure::Refused),
        Unreachable::SourceRoute => Some(Failure::SourceRoute),
        Unreachable::HostUnknown => Some(Failure::HostUnknown),
        Unreachable::Isolated => Some(Failure::Isolated),
        Unreachable::Prohibited if is_ipv6 => Some(Failure::Prohibited),
        Unreachable::Prohibited => Some(Failure::HostUnreachable),
        Unreachable::Other(_) => is_ipv6.then_some(Failure::NotUnderstood),
    }
}
