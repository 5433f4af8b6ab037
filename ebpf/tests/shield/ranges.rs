//! Ranges of ports: which are ours, and how they live beside ports that are owned one by one.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use synward_ebpf::ShieldCounter::DroppedFragment;
use synward_ebpf::XdpAction::Drop;
use synward_ebpf::{EbpfError, Protocol, Shield, ShieldCounter, XdpAction};

use crate::Test;
use crate::bench::{Bench, KERNEL, MORE_FRAGMENTS, OTHER4, OTHER6, OURS, PORT, V4, eth, owned, tagged};
use crate::frame::{DESTINATION_OPTIONS, FRAGMENT, Frame, TCP};
use crate::namespace::isolated;

pub const TESTS: &[Test] = &[
    ("range_owns_its_ports_and_no_others", || isolated(boundaries)),
    ("range_is_of_one_address", || isolated(one_address)),
    ("range_at_the_wildcard_owns_its_family_only", || isolated(wildcard)),
    ("range_and_ports_come_and_go_independently", || isolated(beside_ports)),
    ("range_keeps_its_address_for_fragments", || isolated(fragments)),
    ("range_that_cannot_be_is_named", || isolated(refusals)),
    ("range_takes_one_entry", || isolated(one_entry)),
];

/// In either byte order the bounds differ, and swapped they lie outside: 64 and 65,407.
const RANGE: RangeInclusive<u16> = 0x4000..=0x7fff;
const FRAGMENT_DROPPED: (XdpAction, ShieldCounter) = (Drop, DroppedFragment);

fn at(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn own_range(shield: &mut Shield, address: &str, ports: RangeInclusive<u16>) -> Result<bool, EbpfError> {
    shield.own_range(Protocol::Tcp, at(address), ports)
}

fn disown_range(shield: &mut Shield, address: &str) -> bool {
    shield.disown_range(Protocol::Tcp, at(address)).unwrap()
}

/// Every way for a segment to reach an address, up to its TCP header.
fn ways() -> [(&'static str, Frame); 6] {
    [
        ("IPv4", eth().ipv4(OTHER4, TCP)),
        ("IPv4, one tag", tagged(&[0x8100]).ipv4(OTHER4, TCP)),
        ("IPv4, two tags and options", tagged(&[0x88a8, 0x8100]).ipv4_with(OTHER4, TCP, 0, &[1; 4])),
        ("IPv6", eth().ipv6(OTHER6, TCP)),
        ("IPv6, two tags", tagged(&[0x88a8, 0x8100]).ipv6(OTHER6, TCP)),
        ("IPv6, destination options", eth().ipv6(OTHER6, DESTINATION_OPTIONS).extension(TCP, 0, [1, 4, 0, 0, 0, 0])),
    ]
}

fn boundaries() {
    let mut bench = Bench::new();
    for (range, ours, others) in [
        (RANGE, &[0x4000, 0x4001, 0x7ffe, 0x7fff][..], &[0, 1, 0x3fff, 0x8000, 0x0040, 0xff7f, 0xffff][..]),
        (443..=443, &[443], &[0, 442, 444, 443_u16.swap_bytes()]),
        (1..=u16::MAX, &[1, 80, 0x8000, 0xffff], &[0]),
    ] {
        for address in [OTHER4, OTHER6] {
            assert!(own_range(&mut bench.shield, address, range.clone()).unwrap());
        }
        for (way, frame) in ways() {
            for (ports, verdict) in [(ours, OURS), (others, KERNEL)] {
                for &port in ports {
                    let judged = bench.judge(frame.clone().tcp(port).bytes());
                    assert_eq!(judged, verdict, "{way}, port {port} with {range:?}");
                }
            }
        }
        for address in [OTHER4, OTHER6] {
            assert!(disown_range(&mut bench.shield, address));
        }
        for (way, frame) in ways() {
            for &port in ours {
                assert_eq!(bench.judge(frame.clone().tcp(port).bytes()), KERNEL, "{way}, port {port} disowned");
            }
        }
    }
}

fn one_address() {
    let mut bench = Bench::new();
    own_range(&mut bench.shield, OTHER4, RANGE).unwrap();
    own_range(&mut bench.shield, "192.0.2.3", 100..=200).unwrap();
    for (address, port, verdict) in [
        (OTHER4, 20_000, OURS),
        (OTHER4, 150, KERNEL),
        ("192.0.2.3", 150, OURS),
        ("192.0.2.3", 20_000, KERNEL),
        // The address of one port that is ours has no range.
        (V4, 20_000, KERNEL),
        (V4, 0, KERNEL),
        (V4, PORT, OURS),
        ("192.0.2.4", 20_000, KERNEL),
    ] {
        assert_eq!(bench.judge(eth().ipv4(address, TCP).tcp(port).bytes()), verdict, "{address}, port {port}");
    }
    let embedded = eth().ipv6("c000:202::", TCP).tcp(20_000);
    assert_eq!(bench.judge(embedded.bytes()), KERNEL, "the other family");
}

fn wildcard() {
    let mut bench = Bench::new();
    own_range(&mut bench.shield, "0.0.0.0", RANGE).unwrap();
    let verdicts = |bench: &Bench, port: u16| {
        [eth().ipv4(OTHER4, TCP), eth().ipv4(V4, TCP), eth().ipv6(OTHER6, TCP)]
            .map(|frame| bench.judge(frame.tcp(port).bytes()))
    };
    assert_eq!(verdicts(&bench, 0x4000), [OURS, OURS, KERNEL]);
    assert_eq!(verdicts(&bench, 0x3fff), [KERNEL, KERNEL, KERNEL]);
    own_range(&mut bench.shield, "::", 0x3fff..=0x3fff).unwrap();
    assert_eq!(verdicts(&bench, 0x3fff), [KERNEL, KERNEL, OURS]);
    // A range of the address itself counts beside that of the wildcard.
    own_range(&mut bench.shield, OTHER4, 0x3fff..=0x3fff).unwrap();
    assert_eq!(verdicts(&bench, 0x3fff), [OURS, KERNEL, OURS]);
    assert_eq!(verdicts(&bench, 0x4000), [OURS, OURS, KERNEL]);
    assert!(disown_range(&mut bench.shield, "0.0.0.0"));
    assert_eq!(verdicts(&bench, 0x4000), [KERNEL, KERNEL, KERNEL]);
    assert_eq!(verdicts(&bench, 0x3fff), [OURS, KERNEL, OURS]);
}

fn beside_ports() {
    let mut bench = Bench::new();
    // One port outside the range, one inside it, one of the range alone.
    let frames = [80, 0x5000, 0x5001].map(|port| eth().ipv4(OTHER4, TCP).tcp(port));
    let verdicts = |bench: &Bench| [0, 1, 2].map(|index: usize| bench.judge(frames[index].bytes()));
    let (outside, inside) = (owned(OTHER4, 80), owned(OTHER4, 0x5000));

    assert!(bench.shield.own(outside).unwrap());
    assert!(own_range(&mut bench.shield, OTHER4, RANGE).unwrap());
    assert_eq!(verdicts(&bench), [OURS, OURS, OURS]);
    assert!(bench.shield.own(inside).unwrap(), "a port of the range may be owned by itself too");
    assert!(disown_range(&mut bench.shield, OTHER4));
    assert!(!disown_range(&mut bench.shield, OTHER4));
    assert_eq!(verdicts(&bench), [OURS, OURS, KERNEL], "ports outlive the range");

    assert!(own_range(&mut bench.shield, OTHER4, RANGE).unwrap());
    assert!(bench.shield.disown(inside).unwrap());
    assert_eq!(verdicts(&bench), [OURS, OURS, OURS], "the range outlives its port");
    assert!(bench.shield.disown(outside).unwrap());
    assert_eq!(verdicts(&bench), [KERNEL, OURS, OURS], "the range keeps the address");
    assert!(bench.shield.own(outside).unwrap());
    assert_eq!(verdicts(&bench), [OURS, OURS, OURS], "another port leaves the range as it is");
    assert!(bench.shield.disown(outside).unwrap());
    assert!(disown_range(&mut bench.shield, OTHER4));
    assert_eq!(verdicts(&bench), [KERNEL, KERNEL, KERNEL]);
}

fn fragments() {
    let mut bench = Bench::new();
    let fragments = [
        eth().ipv4_with(OTHER4, TCP, MORE_FRAGMENTS, &[]).tcp(9),
        eth().ipv6(OTHER6, FRAGMENT).fragment(TCP, 8).tcp(9),
    ];
    let verdicts = |bench: &Bench| [0, 1].map(|index: usize| bench.judge(fragments[index].bytes()));

    assert_eq!(verdicts(&bench), [KERNEL, KERNEL]);
    for address in [OTHER4, OTHER6] {
        own_range(&mut bench.shield, address, RANGE).unwrap();
        bench.shield.own(owned(address, 80)).unwrap();
    }
    assert_eq!(verdicts(&bench), [FRAGMENT_DROPPED; 2]);
    disown_range(&mut bench.shield, OTHER4);
    bench.shield.disown(owned(OTHER6, 80)).unwrap();
    assert_eq!(verdicts(&bench), [FRAGMENT_DROPPED; 2], "a port here, a range there");
    bench.shield.disown(owned(OTHER4, 80)).unwrap();
    disown_range(&mut bench.shield, OTHER6);
    assert_eq!(verdicts(&bench), [KERNEL, KERNEL]);
}

fn refusals() {
    let mut bench = Bench::new();
    let refused = |shield: &mut Shield, ports| own_range(shield, OTHER4, ports).unwrap_err();
    let zero = refused(&mut bench.shield, 0..=9);
    assert!(matches!(zero, EbpfError::PortZero { address } if address == at(OTHER4)), "{zero}");
    #[expect(clippy::reversed_empty_ranges, reason = "an empty range is what is tried")]
    let empty = refused(&mut bench.shield, 9..=8);
    assert!(matches!(empty, EbpfError::EmptyPortRange { first: 9, last: 8, .. }), "{empty}");
    assert_eq!(bench.judge(eth().ipv4_with(OTHER4, TCP, 3, &[]).tcp(9).bytes()), KERNEL, "nothing is left behind");

    assert!(own_range(&mut bench.shield, OTHER4, RANGE).unwrap());
    assert!(!own_range(&mut bench.shield, OTHER4, RANGE).unwrap(), "the same range again");
    for other in [0x4000..=0x7ffe, 0x4001..=0x7fff, 1..=1] {
        let taken = refused(&mut bench.shield, other);
        assert!(matches!(taken, EbpfError::PortRangeTaken { first: 0x4000, last: 0x7fff, .. }), "{taken}");
        assert!(taken.to_string().contains("ports 16384 to 32767 of 192.0.2.2"), "{taken}");
    }
    assert_eq!(bench.judge(eth().ipv4(OTHER4, TCP).tcp(1).bytes()), KERNEL);
    assert_eq!(bench.judge(eth().ipv4(OTHER4, TCP).tcp(0x7fff).bytes()), OURS);
}

fn one_entry() {
    let mut bench = Bench::new();
    // Of sixteen addresses Bench::new has taken two.
    let address = |last: u8| format!("198.51.100.{last}");
    for last in 1..=14 {
        assert!(own_range(&mut bench.shield, &address(last), RANGE).unwrap());
    }
    let full = own_range(&mut bench.shield, &address(15), RANGE).unwrap_err();
    assert!(matches!(full, EbpfError::OwnedSetFull { capacity: 16 }), "{full}");
    assert!(!disown_range(&mut bench.shield, &address(15)));
    assert!(disown_range(&mut bench.shield, &address(14)));
    assert!(own_range(&mut bench.shield, &address(15), RANGE).unwrap());
    assert_eq!(bench.judge(eth().ipv4(&address(15), TCP).tcp(0x4000).bytes()), OURS);
}
