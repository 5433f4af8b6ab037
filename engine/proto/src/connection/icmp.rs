//! ICMP errors about a connection's segments: RFC 5927, sections 4 and 5; RFC 9293, section 3.9.2.2; Linux: `tcp_v4_err`,
//! `tcp_v6_err`.

use super::{Connection, Decision, Events, Failure, Phase};
use crate::icmp::{IcmpError, IcmpKind, Unreachable};
use crate::{Counter, Counts, DropReason, Verdict};

impl Connection {
    /// Takes an ICMP error about a segment of this connection. Nothing is ever answered, so the verdict has no reply.
    ///
    /// An open fails at once, as in Linux, when the error quotes its SYN and says that it cannot arrive. In the synchronised
    /// states every error is soft (MUST-56; RFC 5927, section 5.2; Linux): retransmission decides.
    pub fn on_icmp_error(&mut self, error: &IcmpError) -> Decision {
        let is_outstanding = match &self.phase {
            Phase::SynSent(syn_sent) => syn_sent.is_outstanding(error.seq),
            Phase::Synchronised(synchronised) if !synchronised.stage.is_over() => {
                synchronised.sender.is_outstanding(error.seq)
            }
            Phase::Synchronised(_) | Phase::NeverOpened(_) => return dropped(DropReason::IcmpNoConnection, &[]),
        };
        if !is_outstanding {
            return dropped(DropReason::IcmpOutOfWindow, &[Counter::OutOfWindowIcmps]);
        }
        match (&self.phase, failure(error)) {
            (Phase::SynSent(_), Some(failure)) => self.fail_to_open(failure, Counts::NONE),
            (Phase::SynSent(_), None) | (Phase::Synchronised(_) | Phase::NeverOpened(_), _) => {
                dropped(DropReason::IcmpIgnored, &[])
            }
        }
    }
}

fn dropped(reason: DropReason, counters: &[Counter]) -> Decision {
    Decision { verdict: Verdict::dropped(reason).counting(Counts::of(counters)), events: Events::empty() }
}

/// How an open fails that meets this error (Linux: `icmp_unreach`, `icmp_err_convert`, `icmpv6_err_convert` and what
/// `tcp_v4_err` and `tcp_v6_err` add); `None` when it goes on.
fn failure(error: &IcmpError) -> Option<Failure> {
    let is_ipv6 = error.tuple.is_ipv6();
    match error.kind {
        IcmpKind::Unreachable(why) => unreachable(why, is_ipv6),
        // A SYN fits the least MTU of either family.
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
