//! ICMP errors about SYN-ACKs: Linux, `tcp_req_err`.

use super::HalfOpens;
use crate::icmp::{IcmpError, IcmpKind, Unreachable};
use crate::{Counter, Counts, DropReason, Verdict};

impl HalfOpens {
    /// Takes an ICMP error about a segment of a tuple that has no connection. Where it quotes the SYN-ACK of a half-open one
    /// and says that it cannot arrive, that one is forgotten: nobody will complete it. Nothing is ever answered, and a
    /// cookie, of which nothing is remembered, cannot be taken back.
    pub fn on_icmp_error(&mut self, error: &IcmpError) -> Verdict {
        let Ok(entry) = self.table.find(&error.tuple) else { return Verdict::dropped(DropReason::IcmpNoConnection) };
        if error.seq != self.table.half_open(entry).negotiated.iss {
            let counts = Counts::of(&[Counter::OutOfWindowIcmps]);
            return Verdict::dropped(DropReason::IcmpOutOfWindow).counting(counts);
        }
        if !ends_half_open(error.kind, error.tuple.is_ipv6()) {
            return Verdict::dropped(DropReason::IcmpIgnored);
        }
        self.table.remove(entry);
        Verdict::CONSUMED.counting(Counts::of(&[Counter::ListenDrops]))
    }
}

/// Over IPv4, what Linux names in `tcp_v4_err`; over IPv6, what it calls fatal in `icmpv6_err_convert`. A SYN-ACK is never too
/// big: it fits the least MTU of either family.
const fn ends_half_open(kind: IcmpKind, is_ipv6: bool) -> bool {
    use Unreachable as U;
    match kind {
        IcmpKind::Unreachable(U::Network | U::Host) => !is_ipv6,
        IcmpKind::Unreachable(U::Port | U::Prohibited | U::Other(_)) => is_ipv6,
        IcmpKind::Unreachable(U::Protocol | U::SourceRoute | U::HostUnknown | U::Isolated) => false,
        IcmpKind::TimeExceeded => !is_ipv6,
        IcmpKind::ParameterProblem => true,
        IcmpKind::ReassemblyTimeExceeded | IcmpKind::PacketTooBig { .. } => false,
    }
}
