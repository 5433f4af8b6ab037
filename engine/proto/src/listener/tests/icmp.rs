//! ICMP errors about SYN-ACKs: the table of Linux (`tcp_v4_err`, `icmpv6_err_convert`).

use super::*;
use crate::icmp::{IcmpError, IcmpKind, Unreachable as U};

#[test]
fn which_errors_end_a_half_open_connection() {
    let unreachable = IcmpKind::Unreachable;
    for (kind, v4, v6) in [
        (unreachable(U::Network), true, false),
        (unreachable(U::Host), true, false),
        (unreachable(U::Protocol), false, false),
        (unreachable(U::Port), false, true),
        (unreachable(U::SourceRoute), false, false),
        (unreachable(U::HostUnknown), false, false),
        (unreachable(U::Isolated), false, false),
        (unreachable(U::Prohibited), false, true),
        (unreachable(U::Other(99)), false, true),
        (IcmpKind::TimeExceeded, true, false),
        (IcmpKind::ReassemblyTimeExceeded, false, false),
        (IcmpKind::ParameterProblem, true, true),
        (IcmpKind::PacketTooBig { mtu: 68 }, false, false),
    ] {
        for (tuple, ends) in [(tuple(1), v4), (tuple_v6(1), v6)] {
            let mut bed = Bed::new(Syncookies::Never, 8);
            let (syn_ack, _) = bed.syn_ack(&syn(tuple, SynOptions::default()));
            let link = Link::default();
            let verdict = bed.shared.on_icmp_error(&IcmpError { link, tuple, seq: syn_ack.seq + 1, kind });
            assert_eq!(verdict, dropped(DropReason::IcmpOutOfWindow, &[Counter::OutOfWindowIcmps]));
            let verdict = bed.shared.on_icmp_error(&IcmpError { link, tuple, seq: syn_ack.seq, kind });
            let wanted = match ends {
                true => Verdict::CONSUMED.counting(Counts::of(&[Counter::ListenDrops])),
                false => dropped(DropReason::IcmpIgnored, &[]),
            };
            assert_eq!((verdict, bed.half_open()), (wanted, u32::from(!ends)), "{kind:?} about {tuple:?}");
        }
    }
}

/// A cookie leaves nothing that an error could end.
#[test]
fn an_error_about_a_cookie_is_nobodys() {
    let mut bed = Bed::new(Syncookies::Always, 8);
    let (syn_ack, _) = bed.syn_ack(&plain_syn(1));
    let error =
        IcmpError { link: Link::default(), tuple: tuple(1), seq: syn_ack.seq, kind: IcmpKind::ParameterProblem };
    assert_eq!(bed.shared.on_icmp_error(&error), dropped(DropReason::IcmpNoConnection, &[]));
    let _ = bed.open(&third(&syn_ack, 0));
}
