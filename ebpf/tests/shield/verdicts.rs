//! Frame in, verdict out: the table, and what holds for every frame.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use synward_ebpf::ShieldCounter::{
    DroppedExtensionHeaders, DroppedFragment, DroppedNoSocket, Passed, PassedFragment, PassedMalformed, Redirected,
    RedirectedIcmp,
};
use synward_ebpf::XdpAction::{Drop, Pass, Redirect};
use synward_ebpf::{Arrival, EbpfError, Fragments, Interface, Owned, Protocol, Shield, ShieldConfig, ShieldCounter};

use crate::Test;
use crate::bench::{
    Bench, DONT_FRAGMENT, ETHERNET, KERNEL, MORE_FRAGMENTS, OPTION_PADDING, OTHER4, OTHER6, OURS, PORT, Row, V4, V6,
    eth, kernel, owned, random, tagged,
};
use crate::frame::{DESTINATION_OPTIONS, ESP, FRAGMENT, Frame, HOP_BY_HOP, ICMP, ROUTING, TCP, UDP};
use crate::icmp;
use crate::namespace::{isolated, veth_pair};
use crate::xdp_socket::xdp_socket;

pub const TESTS: &[Test] = &[
    ("verdict_table", || isolated(verdict_table)),
    ("truncated_at_every_byte", || isolated(truncated_at_every_byte)),
    ("mutated_frames_get_one_counted_verdict", || isolated(mutated_frames)),
    ("fragments_pass_by_config", || isolated(fragments_pass_by_config)),
    ("owned_set_changes_at_run_time", || isolated(owned_set_changes)),
    ("wildcard_owns_its_family_only", || isolated(wildcard)),
    ("owned_set_is_bounded", || isolated(owned_set_is_bounded)),
    ("queue_selects_the_socket", || isolated(queue_selects_the_socket)),
    ("sockets_are_checked", || isolated(sockets_are_checked)),
];

const SEGMENTS_LEFT: [u8; 6] = [0, 1, 0, 0, 0, 0];

/// A row of ours: decided when the four bytes of the ports are there.
fn segment(what: &'static str, up_to_tcp: Frame) -> Row {
    let decided_at = up_to_tcp.len() + 4;
    Row { what, frame: up_to_tcp.tcp(PORT), verdict: OURS, decided_at }
}

/// A row that is dropped, decided when the headers given so far are there.
fn dropped(what: &'static str, headers: Frame, counter: ShieldCounter) -> Row {
    let decided_at = headers.len();
    Row { what, frame: headers.tcp(PORT), verdict: (Drop, counter), decided_at }
}

fn malformed(what: &'static str, frame: Frame) -> Row {
    Row { what, frame, verdict: (Pass, PassedMalformed), decided_at: 0 }
}

/// `count` headers of destination options, at least one, then TCP.
fn chain(count: usize) -> Frame {
    chain_to(count, TCP)
}

fn chain_to(count: usize, last: u8) -> Frame {
    (0..count).rev().fold(eth().ipv6(V6, DESTINATION_OPTIONS), |frame, left| {
        frame.extension(if left == 0 { last } else { DESTINATION_OPTIONS }, 0, OPTION_PADDING)
    })
}

fn segments() -> Vec<Row> {
    vec![
        segment("IPv4", eth().ipv4(V4, TCP)),
        segment("IPv4, one 802.1Q tag", tagged(&[0x8100]).ipv4(V4, TCP)),
        segment("IPv4, one 802.1ad tag", tagged(&[0x88a8]).ipv4(V4, TCP)),
        segment("IPv4, two tags", tagged(&[0x88a8, 0x8100]).ipv4(V4, TCP)),
        segment("IPv4, two 802.1Q tags", tagged(&[0x8100, 0x8100]).ipv4(V4, TCP)),
        segment("IPv4, DF", eth().ipv4_with(V4, TCP, DONT_FRAGMENT, &[])),
        segment("IPv4, one word of options", eth().ipv4_with(V4, TCP, 0, &[1, 1, 1, 0])),
        segment("IPv4, forty bytes of options", eth().ipv4_with(V4, TCP, 0, &[1; 40])),
        segment("IPv6", eth().ipv6(V6, TCP)),
        segment("IPv6, one tag", tagged(&[0x8100]).ipv6(V6, TCP)),
        segment("IPv6, two tags", tagged(&[0x88a8, 0x8100]).ipv6(V6, TCP)),
        segment("IPv6, hop-by-hop", eth().ipv6(V6, HOP_BY_HOP).extension(TCP, 0, OPTION_PADDING)),
        segment("IPv6, destination options", eth().ipv6(V6, DESTINATION_OPTIONS).extension(TCP, 2, OPTION_PADDING)),
        segment("IPv6, routing at its end", eth().ipv6(V6, ROUTING).extension(TCP, 2, [0; 6])),
        segment("IPv6, the longest header", eth().ipv6(V6, DESTINATION_OPTIONS).extension(TCP, 255, OPTION_PADDING)),
        segment("IPv6, all three", {
            let frame = eth().ipv6(V6, HOP_BY_HOP).extension(DESTINATION_OPTIONS, 1, OPTION_PADDING);
            frame.extension(ROUTING, 0, OPTION_PADDING).extension(TCP, 1, [0; 6])
        }),
        segment("IPv6, eight headers", chain(8)),
        segment("IPv6, eight headers under two tags", {
            let mut frame = tagged(&[0x88a8, 0x8100]).ipv6(V6, DESTINATION_OPTIONS);
            for _ in 0..7 {
                frame = frame.extension(DESTINATION_OPTIONS, 3, OPTION_PADDING);
            }
            frame.extension(TCP, 3, OPTION_PADDING)
        }),
    ]
}

fn drops() -> Vec<Row> {
    vec![
        dropped("IPv4, first fragment", eth().ipv4_with(V4, TCP, MORE_FRAGMENTS, &[]), DroppedFragment),
        dropped("IPv4, middle fragment", eth().ipv4_with(V4, TCP, MORE_FRAGMENTS | 3, &[]), DroppedFragment),
        dropped("IPv4, last fragment", eth().ipv4_with(V4, TCP, 3, &[]), DroppedFragment),
        dropped("IPv4, fragment under two tags", tagged(&[0x8100; 2]).ipv4_with(V4, TCP, 3, &[]), DroppedFragment),
        dropped("IPv6, first fragment", eth().ipv6(V6, FRAGMENT).fragment(TCP, 1), DroppedFragment),
        dropped("IPv6, last fragment", eth().ipv6(V6, FRAGMENT).fragment(TCP, 8), DroppedFragment),
        dropped("IPv6, only fragment", eth().ipv6(V6, FRAGMENT).fragment(TCP, 0), DroppedFragment),
        dropped(
            "IPv6, fragment that hides TCP",
            eth().ipv6(V6, FRAGMENT).fragment(DESTINATION_OPTIONS, 8),
            DroppedFragment,
        ),
        dropped(
            "IPv6, fragment behind hop-by-hop",
            eth().ipv6(V6, HOP_BY_HOP).extension(FRAGMENT, 0, OPTION_PADDING).fragment(TCP, 8),
            DroppedFragment,
        ),
        dropped("IPv6, fragment behind eight headers", chain_to(8, FRAGMENT).fragment(TCP, 8), DroppedFragment),
        // The ninth header need not be there: eight of them name it.
        Row {
            what: "IPv6, nine headers",
            decided_at: chain(9).len() - 8,
            frame: chain(9).tcp(PORT),
            verdict: (Drop, DroppedExtensionHeaders),
        },
    ]
}

fn not_ours() -> Vec<Row> {
    vec![
        kernel("IPv4, another port", eth().ipv4(V4, TCP).tcp(81)),
        kernel("IPv4, the port with its bytes swapped", eth().ipv4(V4, TCP).tcp(PORT.swap_bytes())),
        kernel("IPv4, another address", eth().ipv4(OTHER4, TCP).tcp(PORT)),
        kernel("IPv4, the wildcard address itself", eth().ipv4("0.0.0.0", TCP).tcp(PORT)),
        kernel("IPv4, UDP to our port", eth().ipv4(V4, UDP).tcp(PORT)),
        kernel("IPv4, ICMP that quotes nothing", eth().ipv4(V4, ICMP).payload(8)),
        kernel("IPv4, fragment for another address", eth().ipv4_with(OTHER4, TCP, MORE_FRAGMENTS, &[]).tcp(PORT)),
        kernel("IPv4, fragment of UDP", eth().ipv4_with(V4, UDP, MORE_FRAGMENTS, &[]).payload(64)),
        kernel("IPv4 under three tags", tagged(&[0x8100; 3]).ipv4(V4, TCP).tcp(PORT)),
        kernel("IPv6, another port", eth().ipv6(V6, TCP).tcp(8080)),
        kernel("IPv6, another address", eth().ipv6(OTHER6, TCP).tcp(PORT)),
        kernel("IPv6, our IPv4 address in the first bytes", eth().ipv6("c000:201::", TCP).tcp(PORT)),
        kernel("IPv6, our IPv4 address mapped", eth().ipv6("::ffff:192.0.2.1", TCP).tcp(PORT)),
        kernel("IPv6, UDP to our port", eth().ipv6(V6, UDP).tcp(PORT)),
        kernel("IPv6, UDP behind hop-by-hop", eth().ipv6(V6, HOP_BY_HOP).extension(UDP, 0, OPTION_PADDING).tcp(PORT)),
        kernel("IPv6, ESP", eth().ipv6(V6, ESP).tcp(PORT)),
        kernel("IPv6, on its way to another node", eth().ipv6(V6, ROUTING).extension(TCP, 2, SEGMENTS_LEFT).tcp(PORT)),
        kernel("IPv6, fragment of UDP", eth().ipv6(V6, FRAGMENT).fragment(UDP, 8).payload(64)),
        kernel("IPv6, fragment for another address", eth().ipv6(OTHER6, FRAGMENT).fragment(TCP, 8).tcp(PORT)),
        kernel("IPv6, nine headers for another address", chain(9).patch(ETHERNET + 39, 2).tcp(PORT)),
        kernel("ARP", eth().of_type(0x0806).payload(28)),
        kernel("802.3 with a length", eth().of_type(0x0040).payload(64)),
        malformed("IPv4, header of four words", eth().ipv4(V4, TCP).tcp(PORT).patch(ETHERNET, 0x44)),
        malformed("IPv4, header of four words, long frame", {
            eth().ipv4(V4, TCP).tcp(PORT).payload(2100).patch(ETHERNET, 0x44)
        }),
        malformed("IPv4, version six", eth().ipv4(V4, TCP).tcp(PORT).patch(ETHERNET, 0x65)),
        malformed("IPv4, header past the frame", eth().ipv4(V4, TCP).tcp(PORT).patch(ETHERNET, 0x4f)),
        malformed("IPv6, version four", eth().ipv6(V6, TCP).tcp(PORT).patch(ETHERNET, 0x45)),
        malformed("IPv6, option past the frame", {
            eth().ipv6(V6, HOP_BY_HOP).extension(TCP, 0, OPTION_PADDING).tcp(PORT).patch(ETHERNET + 41, 200)
        }),
    ]
}

fn rows() -> Vec<Row> {
    [segments(), drops(), not_ours(), icmp::rows()].into_iter().flatten().collect()
}

fn verdict_table() {
    let bench = Bench::new();
    for Row { what, frame, verdict, decided_at: _ } in rows() {
        assert_eq!(bench.judge(frame.bytes()), verdict, "{what}: {:02x?}", frame.bytes());
    }
}

fn truncated_at_every_byte() {
    let bench = Bench::new();
    for Row { what, frame, verdict, decided_at } in rows() {
        for length in ETHERNET..=frame.len() {
            let (action, counter) = bench.judge(&frame.bytes()[..length]);
            if length >= decided_at && decided_at > 0 {
                assert_eq!((action, counter), verdict, "{what}, {length} bytes");
            } else {
                assert_eq!(action, Pass, "{what}, {length} bytes");
                assert!([Passed, PassedMalformed].contains(&counter), "{what}, {length} bytes: {counter:?}");
            }
        }
    }
}

/// Any bytes at all: never XDP_ABORTED, always one counter, and only the counters that go with the action.
fn mutated_frames() {
    let bench = Bench::new();
    let rows = rows();
    let mut random = random();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20_000 {
        let mut frame = rows[random(rows.len())].frame.bytes().to_vec();
        for _ in 0..=random(4) {
            let at = random(frame.len());
            frame[at] = u8::try_from(random(256)).unwrap();
        }
        frame.truncate(ETHERNET + random(frame.len() - ETHERNET + 1));
        let (action, counter) = bench.judge(&frame);
        let fits = match counter {
            Redirected | RedirectedIcmp => action == Redirect,
            Passed | PassedMalformed => action == Pass,
            DroppedFragment | DroppedExtensionHeaders => action == Drop,
            _ => false,
        };
        assert!(fits, "{action:?} counted as {counter:?}: {frame:02x?}");
        seen.insert(counter);
    }
    assert_eq!(seen.len(), 6, "the mutations must reach every outcome, not only {seen:?}");
}

fn fragments_pass_by_config() {
    let mut bench = Bench::new();
    let fragment = eth().ipv4_with(V4, TCP, MORE_FRAGMENTS, &[]).tcp(PORT);
    let hidden = eth().ipv6(V6, FRAGMENT).fragment(DESTINATION_OPTIONS, 8).payload(32);
    for (fragments, verdict) in [
        (Fragments::Pass, (Pass, PassedFragment)),
        (Fragments::Drop, (Drop, DroppedFragment)),
        (Fragments::Pass, (Pass, PassedFragment)),
    ] {
        bench.shield.set_fragments(fragments).unwrap();
        assert_eq!(bench.shield.config().fragments, fragments);
        assert_eq!(bench.judge(fragment.bytes()), verdict);
        assert_eq!(bench.judge(hidden.bytes()), verdict);
        assert_eq!(bench.judge(chain(9).tcp(PORT).bytes()), (Drop, DroppedExtensionHeaders));
    }
    let loaded = Shield::load(&ShieldConfig { fragments: Fragments::Pass, ..ShieldConfig::default() }).unwrap();
    bench.shield = loaded;
    bench.shield.own(owned(V4, 443)).unwrap();
    assert_eq!(bench.judge(fragment.bytes()), (Pass, PassedFragment));
}

fn owned_set_changes() {
    let mut bench = Bench::new();
    let to_80 = eth().ipv4(OTHER4, TCP).tcp(80);
    let to_443 = eth().ipv4(OTHER4, TCP).tcp(443);
    let fragment = eth().ipv4_with(OTHER4, TCP, MORE_FRAGMENTS, &[]).tcp(80);
    let verdicts = |bench: &Bench| [&to_80, &to_443, &fragment].map(|frame| bench.judge(frame.bytes()));
    let dropped = (Drop, DroppedFragment);

    assert_eq!(verdicts(&bench), [KERNEL, KERNEL, KERNEL]);
    assert!(bench.shield.own(owned(OTHER4, 80)).unwrap());
    assert_eq!(verdicts(&bench), [OURS, KERNEL, dropped]);
    assert!(!bench.shield.own(owned(OTHER4, 80)).unwrap());
    assert!(bench.shield.own(owned(OTHER4, 443)).unwrap());
    assert_eq!(verdicts(&bench), [OURS, OURS, dropped]);
    assert!(bench.shield.disown(owned(OTHER4, 80)).unwrap());
    assert!(!bench.shield.disown(owned(OTHER4, 80)).unwrap());
    assert_eq!(verdicts(&bench), [KERNEL, OURS, dropped]);
    assert!(bench.shield.disown(owned(OTHER4, 443)).unwrap());
    assert_eq!(verdicts(&bench), [KERNEL, KERNEL, KERNEL]);
    assert!(!bench.shield.disown(owned(OTHER4, 443)).unwrap());
    assert_eq!(bench.judge(eth().ipv4(V4, TCP).tcp(PORT).bytes()), OURS);
}

fn wildcard() {
    let mut bench = Bench::new();
    let frames = [eth().ipv4(OTHER4, TCP), eth().ipv6(OTHER6, TCP)].map(|frame| frame.tcp(9000));
    let fragments =
        [eth().ipv4_with(OTHER4, TCP, 3, &[]), eth().ipv6(OTHER6, FRAGMENT).fragment(TCP, 8)].map(|it| it.tcp(9000));
    let verdicts = |bench: &Bench, frames: &[Frame; 2]| [&frames[0], &frames[1]].map(|it| bench.judge(it.bytes()));
    let dropped = (Drop, DroppedFragment);

    bench.shield.own(owned("0.0.0.0", 9000)).unwrap();
    assert_eq!(verdicts(&bench, &frames), [OURS, KERNEL]);
    assert_eq!(verdicts(&bench, &fragments), [dropped, KERNEL]);
    bench.shield.own(owned("::", 9000)).unwrap();
    assert_eq!(verdicts(&bench, &frames), [OURS, OURS]);
    assert_eq!(verdicts(&bench, &fragments), [dropped, dropped]);
    bench.shield.disown(owned("0.0.0.0", 9000)).unwrap();
    assert_eq!(verdicts(&bench, &frames), [KERNEL, OURS]);
    assert_eq!(verdicts(&bench, &fragments), [KERNEL, dropped]);
    assert_eq!(bench.judge(eth().ipv6(OTHER6, TCP).tcp(9001).bytes()), KERNEL);
}

fn owned_set_is_bounded() {
    let mut bench = Bench::new();
    let address: IpAddr = OTHER4.parse().unwrap();
    let port_zero = bench.shield.own(Owned { protocol: Protocol::Tcp, address, port: 0 });
    assert!(matches!(port_zero, Err(EbpfError::PortZero { .. })));
    // Bench::new owns two of sixteen.
    for port in 1..=14 {
        assert!(bench.shield.own(owned(OTHER4, port)).unwrap());
    }
    for address in [OTHER4, "192.0.2.3"] {
        let full = bench.shield.own(owned(address, 15));
        assert!(matches!(full, Err(EbpfError::OwnedSetFull { capacity: 16 })), "{full:?}");
        assert_eq!(bench.judge(eth().ipv4(address, TCP).tcp(15).bytes()), KERNEL);
    }
    let fragment = eth().ipv4_with("192.0.2.3", TCP, 3, &[]).tcp(15);
    assert_eq!(bench.judge(fragment.bytes()), KERNEL, "a refused port leaves no owned address behind");
    bench.shield.disown(owned(OTHER4, 1)).unwrap();
    bench.shield.own(owned("192.0.2.3", 15)).unwrap();
    assert_eq!(bench.judge(fragment.bytes()), (Drop, DroppedFragment));
}

fn queue_selects_the_socket() {
    veth_pair();
    let ifindex = Interface::by_name("near").unwrap().index;
    let mut bench = Bench::new();
    bench.shield = Shield::load(&ShieldConfig { queues: 2, ..ShieldConfig::default() }).unwrap();
    bench.shield.own(owned(V4, PORT)).unwrap();
    let frame = eth().ipv4(V4, TCP).tcp(PORT);
    let verdicts = |bench: &mut Bench| {
        [0, 1].map(|queue| {
            bench.arrival = Arrival { ifindex, queue };
            bench.judge(frame.bytes())
        })
    };
    let lost = (Drop, DroppedNoSocket);

    assert_eq!(verdicts(&mut bench), [lost, lost]);
    let second = xdp_socket();
    bench.shield.set_socket(1, &second).unwrap();
    assert_eq!(verdicts(&mut bench), [lost, OURS]);
    let first = xdp_socket();
    bench.shield.set_socket(0, &first).unwrap();
    assert_eq!(verdicts(&mut bench), [OURS, OURS]);
    drop(second);
    assert_eq!(verdicts(&mut bench), [OURS, lost], "the kernel takes a closed socket out");

    bench.shield = Shield::load(&ShieldConfig { queues: 1, ..ShieldConfig::default() }).unwrap();
    bench.shield.own(owned(V4, PORT)).unwrap();
    bench.shield.set_socket(0, &first).unwrap();
    assert_eq!(verdicts(&mut bench), [OURS, lost], "a queue beyond those loaded for");
}

fn sockets_are_checked() {
    let mut bench = Bench::new();
    let beyond = bench.shield.set_socket(1, xdp_socket());
    assert!(matches!(beyond, Err(EbpfError::NoSuchQueue { queue: 1, queues: 1 })), "{beyond:?}");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    for wrong in [OwnedFd::from(udp), OwnedFd::from(file)] {
        let refused = bench.shield.set_socket(0, wrong);
        assert!(matches!(refused, Err(EbpfError::NotAnXdpSocket { queue: 0 })), "{refused:?}");
    }
}
