//! An ICMP error about a segment of ours, after the door (RFC 792; RFC 4443).

use crate::{Link, SeqNum, Tuple};

/// What a router or the peer's host says about a segment that we sent. Anybody can send one: what it claims is believed
/// only where the quoted sequence number shows that its sender has seen the segment (RFC 5927, section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IcmpError {
    /// The way back to the neighbour that sent the frame; nothing is ever answered to it.
    pub link: Link,
    /// The ends of the quoted segment: local is its source, remote its destination.
    pub tuple: Tuple,
    /// The sequence number of the quoted segment.
    pub seq: SeqNum,
    /// What happened to it.
    pub kind: IcmpKind,
}

/// What happened to a segment. IPv4 and IPv6 say it with different numbers; where the same words have different
/// consequences, the family of the tuple decides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IcmpKind {
    /// It cannot be delivered (ICMP type 3; ICMPv6 type 1).
    Unreachable(Unreachable),
    /// It is too big for the next hop (ICMP type 3, code 4; ICMPv6 type 2).
    PacketTooBig {
        /// The next hop's MTU, bytes, as claimed: any number. Zero from routers older than RFC 1191.
        mtu: u32,
    },
    /// Its hop limit ran out (ICMP type 11; ICMPv6 type 3).
    TimeExceeded,
    /// Its fragments did not all come, though we send none (code 1 of the same types).
    ReassemblyTimeExceeded,
    /// Somebody did not understand its header (ICMP type 12; ICMPv6 type 4).
    ParameterProblem,
}

/// Why a segment cannot be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unreachable {
    /// No way to the network (ICMP codes 0, 6, 9 and 11; ICMPv6 code 0).
    Network,
    /// No way to the host (ICMP codes 1, 10 and 12; ICMPv6 codes 2 and 3).
    Host,
    /// The host has no TCP (ICMP code 2).
    Protocol,
    /// The port is closed (ICMP code 3; ICMPv6 code 4).
    Port,
    /// A source route failed, though we ask for none (ICMP code 5).
    SourceRoute,
    /// There is no such host (ICMP code 7).
    HostUnknown,
    /// We are cut off ourselves (ICMP code 8, obsolete).
    Isolated,
    /// Somebody forbids it: a filter (ICMP codes 13 to 15; ICMPv6 codes 1, 5 and 6).
    Prohibited,
    /// A code that says nothing to us.
    Other(u8),
}

impl IcmpKind {
    /// What an ICMP message (IPv4) of this type and code says, with the last four bytes of its header; `None` when it is
    /// no error that quotes what it is about.
    pub(crate) const fn of_v4(icmp_type: u8, code: u8, [_, _, mtu_high, mtu_low]: [u8; 4]) -> Option<Self> {
        match (icmp_type, code) {
            // RFC 1191, section 4.
            (3, 4) => Some(Self::PacketTooBig { mtu: u16::from_be_bytes([mtu_high, mtu_low]) as u32 }),
            (3, code) => Some(Self::Unreachable(Unreachable::of_v4(code))),
            (11, 1) => Some(Self::ReassemblyTimeExceeded),
            (11, _) => Some(Self::TimeExceeded),
            (12, _) => Some(Self::ParameterProblem),
            (_, _) => None,
        }
    }

    /// The same of an ICMPv6 message.
    pub(crate) const fn of_v6(icmp_type: u8, code: u8, rest: [u8; 4]) -> Option<Self> {
        match (icmp_type, code) {
            (1, code) => Some(Self::Unreachable(Unreachable::of_v6(code))),
            // RFC 4443, section 3.2; the code is of no importance.
            (2, _) => Some(Self::PacketTooBig { mtu: u32::from_be_bytes(rest) }),
            (3, 1) => Some(Self::ReassemblyTimeExceeded),
            (3, _) => Some(Self::TimeExceeded),
            (4, _) => Some(Self::ParameterProblem),
            (_, _) => None,
        }
    }
}

impl Unreachable {
    /// RFC 792; RFC 1122, section 3.2.2.1; RFC 1812, section 5.2.7.1. Grouped as Linux does (`icmp_err_convert`).
    const fn of_v4(code: u8) -> Self {
        match code {
            0 | 6 | 9 | 11 => Self::Network,
            1 | 10 | 12 => Self::Host,
            2 => Self::Protocol,
            3 => Self::Port,
            5 => Self::SourceRoute,
            7 => Self::HostUnknown,
            8 => Self::Isolated,
            13..=15 => Self::Prohibited,
            _ => Self::Other(code),
        }
    }

    /// RFC 4443, section 3.1. Grouped as Linux does (`icmpv6_err_convert`).
    const fn of_v6(code: u8) -> Self {
        match code {
            0 => Self::Network,
            1 | 5 | 6 => Self::Prohibited,
            2 | 3 => Self::Host,
            4 => Self::Port,
            _ => Self::Other(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::IcmpKind::{self, PacketTooBig, ParameterProblem, ReassemblyTimeExceeded, TimeExceeded};
    use super::Unreachable::{self, *};

    fn unreachable(why: Unreachable) -> Option<IcmpKind> {
        Some(IcmpKind::Unreachable(why))
    }

    fn time_exceeded(code: u8) -> Option<IcmpKind> {
        Some(if code == 1 { ReassemblyTimeExceeded } else { TimeExceeded })
    }

    #[test]
    fn codes_of_icmp() {
        const REST: [u8; 4] = [1, 2, 3, 4];
        let codes = [
            unreachable(Network),
            unreachable(Host),
            unreachable(Protocol),
            unreachable(Port),
            Some(PacketTooBig { mtu: 0x0304 }),
            unreachable(SourceRoute),
            unreachable(Network),
            unreachable(HostUnknown),
            unreachable(Isolated),
            unreachable(Network),
            unreachable(Host),
            unreachable(Network),
            unreachable(Host),
            unreachable(Prohibited),
            unreachable(Prohibited),
            unreachable(Prohibited),
        ];
        for code in 0..=u8::MAX {
            let wanted = codes.get(usize::from(code)).copied().unwrap_or(unreachable(Other(code)));
            assert_eq!(IcmpKind::of_v4(3, code, REST), wanted, "{code}");
            assert_eq!(IcmpKind::of_v4(11, code, REST), time_exceeded(code));
            assert_eq!(IcmpKind::of_v4(12, code, REST), Some(ParameterProblem));
            // Echo and its reply, source quench, redirect.
            assert_eq!([8, 0, 4, 5].map(|icmp_type| IcmpKind::of_v4(icmp_type, code, REST)), [None; 4]);
        }
    }

    #[test]
    fn codes_of_icmpv6() {
        const REST: [u8; 4] = [1, 2, 3, 4];
        let codes = [Network, Prohibited, Host, Host, Port, Prohibited, Prohibited];
        for code in 0..=u8::MAX {
            let why = codes.get(usize::from(code)).copied().unwrap_or(Other(code));
            assert_eq!(IcmpKind::of_v6(1, code, REST), unreachable(why), "{code}");
            assert_eq!(IcmpKind::of_v6(2, code, REST), Some(PacketTooBig { mtu: 0x0102_0304 }));
            assert_eq!(IcmpKind::of_v6(3, code, REST), time_exceeded(code));
            assert_eq!(IcmpKind::of_v6(4, code, REST), Some(ParameterProblem));
            // Echo and its reply, neighbour discovery, redirect.
            assert_eq!([128, 129, 135, 136, 137].map(|icmp_type| IcmpKind::of_v6(icmp_type, code, REST)), [None; 5]);
        }
    }
}
