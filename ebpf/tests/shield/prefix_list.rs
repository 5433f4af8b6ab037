//! Prefixes that are dropped or let through: the program's answer against that of a plain list of prefixes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use synward_ebpf::ShieldCounter::{DroppedBlocked, DroppedSynRate, RedirectedIcmp};
use synward_ebpf::XdpAction::{Drop, Redirect};
use synward_ebpf::{
    EbpfError, Limits, ListVerdict, Listed, Prefix, Protocol, Shield, ShieldConfig, ShieldCounter, XdpAction,
};

use crate::Test;
use crate::bench::{Bench, KERNEL, OTHER4, OTHER6, OURS, PORT, V4, eth, random};
use crate::frame::{ICMP, TCP};
use crate::limits::rate;
use crate::namespace::isolated;
use crate::sources::{guarded, is_martian, now, syn_from};

pub const TESTS: &[Test] = &[
    ("prefix_list_agrees_with_a_plain_list", || isolated(agrees_with_a_plain_list)),
    ("prefix_list_of_all_lengths", || isolated(all_lengths)),
    ("prefix_list_keeps_what_others_need", || isolated(keeps_what_others_need)),
    ("prefix_list_expires_and_is_swept", || isolated(expires)),
    ("prefix_list_is_bounded", || isolated(bounded)),
    ("prefix_list_takes_a_hundred_thousand", || isolated(a_hundred_thousand)),
    ("prefix_list_is_about_clients_only", || isolated(clients_only)),
];

const BLOCKED: (XdpAction, ShieldCounter) = (Drop, DroppedBlocked);

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn insert(shield: &mut Shield, text: &str, verdict: ListVerdict) -> bool {
    shield.prefix_list().insert(prefix(text), verdict, None).unwrap()
}

fn remove(shield: &mut Shield, text: &str) -> bool {
    shield.prefix_list().remove(prefix(text)).unwrap()
}

/// What is listed, and nothing clever.
type Model = HashMap<Prefix, ListVerdict>;

fn verdict_of(model: &Model, source: IpAddr) -> Option<ListVerdict> {
    (0..=128).rev().find_map(|length| model.get(&Prefix::of(source, length)).copied())
}

/// A bench on which nobody may send two SYNs at once but those who are let past the limits.
fn limited() -> Bench {
    let (mut bench, _) = guarded();
    bench.shield.set_limits(&Limits { syn_per_source: rate(1, 1), ..Limits::default() }).unwrap();
    bench
}

/// What the program takes `source` for on such a bench.
fn answer(bench: &Bench, source: IpAddr) -> Option<ListVerdict> {
    for _ in 0..4 {
        match bench.judge(syn_from(source).bytes()) {
            BLOCKED => return Some(ListVerdict::Drop),
            (Drop, DroppedSynRate) => return None,
            OURS => {}
            other => panic!("{source}: {other:?}"),
        }
    }
    Some(ListVerdict::Allow)
}

fn check(bench: &Bench, model: &Model, source: IpAddr) {
    if is_martian(source) {
        return;
    }
    let matching = || model.iter().filter(|(prefix, _)| prefix.contains(source)).collect::<Vec<_>>();
    assert_eq!(answer(bench, source), verdict_of(model, source), "{source} with {:?}", matching());
}

/// An address near the others: their bits differ at few places, and often at the edge of some prefix.
fn near(random: &mut impl FnMut(usize) -> usize) -> IpAddr {
    let mut address = if random(2) == 0 { ip("10.20.30.40") } else { ip("2001:db8:a:b::1") };
    for _ in 0..random(4) {
        address = match address {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() ^ 1 << random(32)).into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() ^ 1 << random(128)).into(),
        };
    }
    address
}

/// The neighbours of a prefix and its first and last addresses.
fn edges(prefix: Prefix) -> [IpAddr; 4] {
    match prefix.address() {
        IpAddr::V4(first) => {
            let first = first.to_bits();
            let last = first | u32::MAX.checked_shr(prefix.length().into()).unwrap_or(0);
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(first) => {
            let first = first.to_bits();
            let last = first | u128::MAX.checked_shr(prefix.length().into()).unwrap_or(0);
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    }
}

fn agrees_with_a_plain_list() {
    let mut bench = limited();
    let mut random = random();
    let mut model = Model::new();
    for _ in 0..3_000 {
        let address = near(&mut random);
        let prefix = Prefix::of(address, u8::try_from(random(if address.is_ipv4() { 33 } else { 129 })).unwrap());
        if model.len() < 24 && random(2) == 0 {
            let verdict = if random(3) == 0 { ListVerdict::Allow } else { ListVerdict::Drop };
            let is_new = bench.shield.prefix_list().insert(prefix, verdict, None).unwrap();
            assert_eq!(is_new, model.insert(prefix, verdict).is_none());
        } else if let Some(prefix) = model.keys().min_by_key(|_| random(1000)).copied() {
            assert!(bench.shield.prefix_list().remove(prefix).unwrap());
            assert!(!bench.shield.prefix_list().remove(prefix).unwrap());
            model.remove(&prefix);
        }
        for source in edges(prefix).into_iter().chain([near(&mut random), near(&mut random)]) {
            check(&bench, &model, source);
        }
        assert_eq!(bench.shield.prefix_list().len(), model.len());
    }
    let listed: Model = bench.shield.prefix_list().iter().map(|listed| (listed.prefix, listed.verdict)).collect();
    assert_eq!(listed, model);
}

fn all_lengths() {
    let mut bench = limited();
    for (inside, most) in [(ip("198.51.100.7"), 32), (ip("2001:db8:1:2:3:4:5:6"), 128)] {
        for length in 0..=most {
            let prefix = Prefix::of(inside, length);
            bench.shield.prefix_list().insert(prefix, ListVerdict::Drop, None).unwrap();
            for source in edges(prefix) {
                check(&bench, &Model::from([(prefix, ListVerdict::Drop)]), source);
            }
            bench.shield.prefix_list().remove(prefix).unwrap();
            for source in edges(prefix) {
                check(&bench, &Model::new(), source);
            }
        }
    }
}

/// Removed prefixes share bits of the bitmaps with others.
fn keeps_what_others_need() {
    for (wide, narrow, inside_narrow, inside_wide) in [
        ("10.0.0.0/8", "10.1.2.3/32", "10.1.2.3", "10.1.2.4"),
        ("10.1.2.0/25", "10.1.2.128/25", "10.1.2.200", "10.1.2.3"),
        ("10.1.2.0/24", "10.1.2.3/32", "10.1.2.3", "10.1.2.4"),
        ("0.0.0.0/0", "10.1.2.0/23", "10.1.3.0", "10.1.4.0"),
        ("2000::/3", "2001:db8::/32", "2001:db8::1", "2001:db7::1"),
        ("2001:db8::/29", "2001:db8::/32", "2001:db8::1", "2001:db9::1"),
        ("2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::1", "2001:db8:2::1"),
        ("2001:db8:1::/49", "2001:db8:1:8000::/49", "2001:db8:1:8000::1", "2001:db8:1::1"),
    ] {
        let (mut bench, _) = guarded();
        let verdict = |bench: &Bench, source: &str| bench.judge(syn_from(ip(source)).bytes());
        insert(&mut bench.shield, wide, ListVerdict::Drop);
        insert(&mut bench.shield, narrow, ListVerdict::Drop);
        assert!(remove(&mut bench.shield, wide));
        assert_eq!(verdict(&bench, inside_narrow), BLOCKED, "{narrow} without {wide}");
        assert_eq!(verdict(&bench, inside_wide), OURS, "{narrow} without {wide}");
        insert(&mut bench.shield, wide, ListVerdict::Drop);
        assert!(remove(&mut bench.shield, narrow));
        assert_eq!(
            verdict(&bench, inside_narrow),
            if prefix(wide).contains(ip(inside_narrow)) { BLOCKED } else { OURS }
        );
        assert_eq!(verdict(&bench, inside_wide), BLOCKED, "{wide} without {narrow}");
    }
}

fn expires() {
    let (mut bench, _) = guarded();
    let (network, host) = (prefix("10.0.0.0/8"), prefix("10.0.0.1"));
    let verdict = |bench: &Bench| bench.judge(syn_from(host.address()).bytes());
    let hour = now() + 3_600_000_000_000;
    let list = bench.shield.prefix_list();
    list.insert(host, ListVerdict::Drop, Some(hour)).unwrap();
    assert_eq!(list.get(host), Some(Listed { prefix: host, verdict: ListVerdict::Drop, expiry: Some(hour) }));
    assert_eq!(verdict(&bench), BLOCKED);
    // The program's clock may lag behind by a tick, but not by a second.
    for past in [0, 1, now() - 1_000_000_000] {
        assert!(!bench.shield.prefix_list().insert(host, ListVerdict::Drop, Some(past)).unwrap());
        assert_eq!(verdict(&bench), OURS, "expired at {past}");
    }

    let list = bench.shield.prefix_list();
    list.insert(network, ListVerdict::Drop, None).unwrap();
    assert_eq!(verdict(&bench), OURS, "what has expired hides what is shorter");
    let list = bench.shield.prefix_list();
    assert_eq!(list.sweep(0).unwrap(), []);
    assert_eq!(list.sweep(now()).unwrap(), [host]);
    assert_eq!(list.sweep(u64::MAX).unwrap(), [], "forever is not a moment");
    assert_eq!(verdict(&bench), BLOCKED);

    // Listed anew, a prefix forgets its former expiry.
    let list = bench.shield.prefix_list();
    list.insert(host, ListVerdict::Allow, Some(1)).unwrap();
    list.insert(host, ListVerdict::Allow, Some(hour)).unwrap();
    assert_eq!(list.sweep(hour - 1).unwrap(), []);
    list.insert(host, ListVerdict::Allow, None).unwrap();
    assert_eq!(list.sweep(hour).unwrap(), []);
    assert_eq!(list.get(host).unwrap().expiry, None);
    list.insert(host, ListVerdict::Allow, Some(hour)).unwrap();
    list.remove(host).unwrap();
    assert_eq!(list.sweep(hour).unwrap(), []);
    assert_eq!(verdict(&bench), BLOCKED);
}

fn bounded() {
    let mut shield = Shield::load(&ShieldConfig { prefixes: 2, ..ShieldConfig::default() }).unwrap();
    insert(&mut shield, "10.0.0.0/8", ListVerdict::Drop);
    insert(&mut shield, "2001:db8::/32", ListVerdict::Drop);
    let full = shield.prefix_list().insert(prefix("10.0.0.1"), ListVerdict::Drop, None).unwrap_err();
    assert!(matches!(full, EbpfError::PrefixListFull { capacity: 2 }), "{full}");
    assert!(!insert(&mut shield, "10.0.0.0/8", ListVerdict::Allow), "what is listed may change");
    assert!(remove(&mut shield, "2001:db8::/32"));
    assert!(insert(&mut shield, "10.0.0.1", ListVerdict::Drop));
    assert!(!insert(&mut shield, "10.0.0.1", ListVerdict::Allow), "in a full trie, too");
    assert_eq!(shield.prefix_list().len(), 2);
}

/// One of either family, as a list of networks and single hosts has them.
fn any(random: &mut impl FnMut(usize) -> usize) -> Prefix {
    let bits = random(1 << 31) as u128;
    match random(2) {
        0 => Prefix::of(Ipv4Addr::from_bits((bits << 1) as u32).into(), 16 + random(17) as u8),
        _ => Prefix::of(Ipv6Addr::from_bits(0x2000 << 112 | bits << 82).into(), 29 + random(36) as u8),
    }
}

fn a_hundred_thousand() {
    let mut bench = limited();
    let mut random = random();
    let mut model = Model::new();
    while model.len() < 100_000 {
        model.insert(any(&mut random), ListVerdict::Drop);
    }
    for prefix in model.keys() {
        bench.shield.prefix_list().insert(*prefix, ListVerdict::Drop, None).unwrap();
    }
    let mut left = model.clone();
    for (turn, prefix) in model.keys().enumerate() {
        if turn % 500 == 0 {
            edges(*prefix).into_iter().for_each(|source| check(&bench, &left, source));
        }
        if turn % 2 == 0 {
            assert!(bench.shield.prefix_list().remove(*prefix).unwrap());
            left.remove(prefix);
        }
    }
    assert_eq!(bench.shield.prefix_list().len(), 50_000);
    for prefix in model.keys().step_by(500) {
        edges(*prefix).into_iter().for_each(|source| check(&bench, &left, source));
    }
}

fn clients_only() {
    let (mut bench, _) = guarded();
    bench.shield.own_range(Protocol::Tcp, ip(OTHER4), 9000..=9999).unwrap();
    insert(&mut bench.shield, "0.0.0.0/0", ListVerdict::Drop);
    let segment = |address, port| eth().ipv4(address, TCP).tcp(port);
    let icmp = eth().ipv4(OTHER4, ICMP).icmp(3, 1).quoted_ipv4(OTHER4, TCP).quoted_tcp(PORT);
    for (frame, verdict, why) in [
        (segment(OTHER4, PORT), BLOCKED, "a client"),
        (segment(OTHER4, PORT + 1), KERNEL, "what the kernel owns is the kernel's to refuse"),
        (segment(V4, PORT), OURS, "nobody guards that port"),
        (segment(OTHER4, 9000), OURS, "a peer whom we have called"),
        (icmp, (Redirect, RedirectedIcmp), "routers report from anywhere"),
        (eth().ipv6(OTHER6, TCP).tcp(PORT), OURS, "the other family"),
    ] {
        assert_eq!(bench.judge(frame.bytes()), verdict, "{why}");
    }
}
