//! ICMP errors: those about segments of ours go where segments go, and the engine reads them as the program does.

use std::net::IpAddr;

use synward_ebpf::ShieldCounter::{DroppedNoSocket, RedirectedIcmp};
use synward_ebpf::XdpAction::{Drop, Redirect};
use synward_ebpf::{Protocol, Shield, ShieldConfig, ShieldCounter, XdpAction};
use synward_proto::DropReason::{
    IcmpChecksum, IcmpQuote, IcmpTruncated, IpChecksum, IpLength, IpOptions, Ipv6Extension, Land, MartianDestination,
    MartianSource,
};
use synward_proto::wire::checksum::Sum;
use synward_proto::wire::parse_icmp_error;
use synward_proto::{DropReason, Endpoint};

use crate::Test;
use crate::bench::{
    Bench, ETHERNET, KERNEL, MORE_FRAGMENTS, OPTION_PADDING, OTHER4, OTHER6, PORT, Row, V4, V6, eth, kernel, owned,
    random, tagged,
};
use crate::frame::{DESTINATION_OPTIONS, FRAGMENT, Frame, HOP_BY_HOP, ICMP, ICMPV6, TCP, UDP};
use crate::namespace::isolated;

pub const TESTS: &[Test] = &[
    ("icmp_error_follows_what_is_owned", || isolated(follows_what_is_owned)),
    ("icmp_error_without_a_socket_is_dropped", || isolated(without_a_socket)),
    ("engine_and_program_agree_on_icmp_errors", || isolated(agreement)),
];

const ENGINE: (XdpAction, ShieldCounter) = (Redirect, RedirectedIcmp);

/// A row of ours: decided when ports and sequence number are there.
fn error(what: &'static str, up_to_tcp: Frame) -> Row {
    let decided_at = up_to_tcp.len() + 8;
    Row { what, frame: up_to_tcp.quoted_tcp(PORT).payload(12), verdict: ENGINE, decided_at }
}

/// An ICMP message to `V4`, its header included; and one to `V6`.
fn icmp4(icmp_type: u8, code: u8) -> Frame {
    eth().ipv4(V4, ICMP).icmp(icmp_type, code)
}

fn icmp6(icmp_type: u8, code: u8) -> Frame {
    eth().ipv6(V6, ICMPV6).icmp(icmp_type, code)
}

fn errors() -> Vec<Row> {
    let segment4 = |frame: Frame| frame.quoted_ipv4(V4, TCP);
    let segment6 = |frame: Frame| frame.quoted_ipv6(V6, TCP);
    vec![
        error("ICMP, network unreachable", segment4(icmp4(3, 0))),
        error("ICMP, fragmentation needed", segment4(icmp4(3, 4))),
        error("ICMP, unreachable with a code of nobody", segment4(icmp4(3, 255))),
        error("ICMP, time exceeded", segment4(icmp4(11, 0))),
        error("ICMP, parameter problem", segment4(icmp4(12, 0))),
        error("ICMP, two tags", segment4(tagged(&[0x88a8, 0x8100]).ipv4(V4, ICMP).icmp(3, 1))),
        error("ICMP, options outside", segment4(eth().ipv4_with(V4, ICMP, 0, &[1; 40]).icmp(3, 1))),
        error("ICMP, options quoted", icmp4(3, 1).quoted_ipv4_with(V4, TCP, 0, &[1; 40])),
        error("ICMP, options on both", {
            eth().ipv4_with(V4, ICMP, 0, &[1; 40]).icmp(3, 1).quoted_ipv4_with(V4, TCP, 0, &[1; 4])
        }),
        // The quote says whose it is, not where it is going.
        error("ICMP, to another address", segment4(eth().ipv4(OTHER4, ICMP).icmp(3, 1))),
        error("ICMPv6, unreachable", segment6(icmp6(1, 0))),
        error("ICMPv6, packet too big", segment6(icmp6(2, 0))),
        error("ICMPv6, time exceeded", segment6(icmp6(3, 0))),
        error("ICMPv6, parameter problem", segment6(icmp6(4, 1))),
        error("ICMPv6, one tag", segment6(tagged(&[0x8100]).ipv6(V6, ICMPV6).icmp(1, 3))),
        error("ICMPv6, behind two headers", {
            let frame = eth().ipv6(V6, HOP_BY_HOP).extension(DESTINATION_OPTIONS, 0, OPTION_PADDING);
            segment6(frame.extension(ICMPV6, 1, OPTION_PADDING).icmp(1, 3))
        }),
    ]
}

fn of_others() -> Vec<Row> {
    let segment4 = |frame: Frame| frame.quoted_ipv4(V4, TCP).quoted_tcp(PORT);
    let segment6 = |frame: Frame| frame.quoted_ipv6(V6, TCP).quoted_tcp(PORT);
    vec![
        kernel("ICMP, echo", segment4(icmp4(8, 0))),
        kernel("ICMP, echo reply", segment4(icmp4(0, 0))),
        kernel("ICMP, source quench", segment4(icmp4(4, 0))),
        kernel("ICMP, redirect", segment4(icmp4(5, 1))),
        kernel("ICMP, about another port", icmp4(3, 1).quoted_ipv4(V4, TCP).quoted_tcp(81)),
        kernel("ICMP, about the port with its bytes swapped", {
            icmp4(3, 1).quoted_ipv4(V4, TCP).quoted_tcp(PORT.swap_bytes())
        }),
        kernel("ICMP, about another address", icmp4(3, 1).quoted_ipv4(OTHER4, TCP).quoted_tcp(PORT)),
        kernel("ICMP, about UDP", icmp4(3, 3).quoted_ipv4(V4, UDP).quoted_tcp(PORT)),
        kernel("ICMP, about an ICMP message", icmp4(3, 1).quoted_ipv4(V4, ICMP).icmp(8, 0)),
        kernel("ICMP, about a first fragment", {
            icmp4(11, 1).quoted_ipv4_with(V4, TCP, MORE_FRAGMENTS, &[]).quoted_tcp(PORT)
        }),
        kernel("ICMP, about a last fragment", icmp4(3, 1).quoted_ipv4_with(V4, TCP, 3, &[]).quoted_tcp(PORT)),
        kernel("ICMP, about a header of four words", segment4(icmp4(3, 1)).patch(ETHERNET + 28, 0x44)),
        kernel("ICMP, about another version", segment4(icmp4(3, 1)).patch(ETHERNET + 28, 0x65)),
        kernel("ICMP, about options past the frame", segment4(icmp4(3, 1)).patch(ETHERNET + 28, 0x48)),
        kernel("ICMP, first fragment", segment4(eth().ipv4_with(V4, ICMP, MORE_FRAGMENTS, &[]).icmp(3, 1))),
        kernel("ICMP, last fragment", segment4(eth().ipv4_with(V4, ICMP, 3, &[]).icmp(3, 1))),
        kernel("ICMP, about an IPv6 packet", icmp4(3, 1).quoted_ipv6(V6, TCP).quoted_tcp(PORT)),
        kernel("ICMPv6 over IPv4", segment4(eth().ipv4(V4, ICMPV6).icmp(3, 1))),
        kernel("ICMPv6, echo", segment6(icmp6(128, 0))),
        kernel("ICMPv6, neighbour solicitation", segment6(icmp6(135, 0))),
        kernel("ICMPv6, the types of ICMP", segment6(icmp6(11, 0))),
        kernel("ICMPv6, about another port", icmp6(1, 3).quoted_ipv6(V6, TCP).quoted_tcp(81)),
        kernel("ICMPv6, about another address", icmp6(1, 3).quoted_ipv6(OTHER6, TCP).quoted_tcp(PORT)),
        kernel("ICMPv6, about UDP", icmp6(1, 4).quoted_ipv6(V6, UDP).quoted_tcp(PORT)),
        kernel("ICMPv6, about a header of ours with an extension", {
            let frame = icmp6(1, 3).quoted_ipv6(V6, DESTINATION_OPTIONS).extension(TCP, 0, OPTION_PADDING);
            frame.quoted_tcp(PORT)
        }),
        kernel("ICMPv6, about another version", segment6(icmp6(1, 3)).patch(ETHERNET + 48, 0x45)),
        kernel("ICMPv6, fragment", segment6(eth().ipv6(V6, FRAGMENT).fragment(ICMPV6, 1).icmp(1, 3))),
        kernel("ICMP over IPv6", segment6(eth().ipv6(V6, ICMP).icmp(3, 1))),
    ]
}

/// What the tests of all frames take in, too.
pub fn rows() -> Vec<Row> {
    [errors(), of_others()].into_iter().flatten().collect()
}

fn follows_what_is_owned() {
    let mut bench = Bench::new();
    let about4 = |port| icmp4(3, 1).quoted_ipv4(OTHER4, TCP).quoted_tcp(port);
    let about6 = |port| icmp6(1, 3).quoted_ipv6(OTHER6, TCP).quoted_tcp(port);
    let verdicts = |bench: &Bench, port| [about4(port), about6(port)].map(|frame| bench.judge(frame.bytes()));
    let own_range = |shield: &mut Shield, address: &str| {
        shield.own_range(Protocol::Tcp, address.parse().unwrap(), 0x4000..=0x7fff).unwrap()
    };

    assert_eq!(verdicts(&bench, 0x4000), [KERNEL, KERNEL]);
    own_range(&mut bench.shield, OTHER4);
    own_range(&mut bench.shield, "::");
    for (port, verdict) in [(0x3fff, KERNEL), (0x4000, ENGINE), (0x7fff, ENGINE), (0x8000, KERNEL)] {
        assert_eq!(verdicts(&bench, port), [verdict; 2], "{port}");
    }
    bench.shield.own(owned("0.0.0.0", 9)).unwrap();
    assert_eq!(verdicts(&bench, 9), [ENGINE, KERNEL]);
    bench.shield.disown_range(Protocol::Tcp, OTHER4.parse().unwrap()).unwrap();
    assert_eq!(verdicts(&bench, 0x4000), [KERNEL, ENGINE]);
}

fn without_a_socket() {
    let mut bench = Bench::new();
    bench.shield = Shield::load(&ShieldConfig::default()).unwrap();
    bench.shield.own(owned(V4, PORT)).unwrap();
    let frame = icmp4(3, 1).quoted_ipv4(V4, TCP).quoted_tcp(PORT);
    assert_eq!(bench.judge(frame.bytes()), (Drop, DroppedNoSocket));
}

/// What the engine checks and the program leaves to it.
const LEFT_TO_THE_ENGINE: &[DropReason] = &[
    IpLength,
    IpChecksum,
    IpOptions,
    Ipv6Extension,
    MartianSource,
    MartianDestination,
    Land,
    IcmpTruncated,
    IcmpChecksum,
    IcmpQuote,
];

/// Every ICMP error about a port of ours that the engine would take is sent to it, none about another port is, and what is
/// sent to it is such an error, or was refused for one of the reasons that the program does not look at.
fn agreement() {
    let bench = Bench::new();
    let ours = [V4, V6].map(|address| Endpoint::new(address.parse::<IpAddr>().unwrap(), PORT));
    let rows = rows();
    let mut random = random();
    let (mut taken, mut refused, mut of_others) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut frame = rows[random(rows.len())].frame.bytes().to_vec();
        for _ in 0..random(3) {
            let at = random(frame.len());
            frame[at] ^= 1 << random(8);
        }
        if random(4) == 0 {
            frame.truncate(ETHERNET + random(frame.len() - ETHERNET + 1));
        }
        if random(8) > 0 {
            complete(&mut frame);
        }
        let sent_to_engine = bench.judge(&frame) == ENGINE;
        match parse_icmp_error(&frame) {
            Ok(error) => {
                assert_eq!(sent_to_engine, ours.contains(&error.tuple.local), "{error:?}: {frame:02x?}");
                *(if sent_to_engine { &mut taken } else { &mut of_others }) += 1;
            }
            Err(reason) if sent_to_engine => {
                assert!(LEFT_TO_THE_ENGINE.contains(&reason), "{reason:?}: {frame:02x?}");
                refused += 1;
            }
            Err(_) => {}
        }
    }
    assert!(
        taken > 1000 && refused > 1000 && of_others > 1000,
        "{taken} taken, {refused} refused, {of_others} of others"
    );
}

/// Makes lengths and checksums right, of as much as there is.
fn complete(frame: &mut [u8]) {
    let mut network = ETHERNET;
    while matches!(frame.get(network - 2..network), Some([0x81, 0x00] | [0x88, 0xa8])) {
        network += 4;
    }
    let Some(packet) = frame.get_mut(network..) else { return };
    let length = u16::try_from(packet.len()).unwrap();
    if length >= 20 && packet[0] >> 4 == 4 {
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        set_sum(&mut packet[..20], 10, Sum::ZERO);
        let transport = 4 * usize::from(packet[0] & 0x0f);
        set_sum(packet.get_mut(transport..).unwrap_or_default(), 2, Sum::ZERO);
    } else if length >= 40 && packet[0] >> 4 == 6 {
        let length = length - 40;
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        let end = |at: usize| <[u8; 16]>::try_from(&packet[at..at + 16]).unwrap().into();
        let pseudo_header = Sum::pseudo_header_icmpv6(end(8), end(24), length);
        set_sum(&mut packet[40..], 2, pseudo_header);
    }
}

fn set_sum(bytes: &mut [u8], at: usize, pseudo_header: Sum) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.fill(0);
        let sum = pseudo_header.plus(Sum::of(bytes)).finished();
        bytes[at..at + 2].copy_from_slice(&sum);
    }
}
