//! Limits on SYNs: whom they hit, how hard, and when.

use std::net::IpAddr;
use std::num::NonZeroU32;

use synward_ebpf::ShieldCounter::DroppedSynRate;
use synward_ebpf::XdpAction::Drop;
use synward_ebpf::{Limits, ListVerdict, Rate, ShieldCounter, XdpAction};

use crate::Test;
use crate::bench::{Bench, OURS, PORT, V4, eth};
use crate::frame::TCP;
use crate::namespace::isolated;
use crate::sources::{guarded, now, syn_from};

pub const TESTS: &[Test] = &[
    ("syns_of_a_source_are_limited", || isolated(per_source)),
    ("syns_of_a_prefix_are_limited", || isolated(per_prefix)),
    ("syns_that_one_limit_refuses_cost_nothing_at_the_other", || isolated(both)),
    ("no_more_than_a_burst_is_saved_up", || isolated(nothing_is_saved_up)),
    ("only_syns_of_unlisted_clients_are_limited", || isolated(only_syns_of_clients)),
    ("limits_change_at_run_time", || isolated(change)),
];

const REFUSED: (XdpAction, ShieldCounter) = (Drop, DroppedSynRate);

pub fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    let nonzero = |number| NonZeroU32::new(number).unwrap();
    Some(Rate { per_second: nonzero(per_second), burst: nonzero(burst) })
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn judge(bench: &Bench, source: &str) -> (XdpAction, ShieldCounter) {
    bench.judge(syn_from(ip(source)).bytes())
}

/// Whether the next of these SYNs, sent in turn, passes.
fn syns(bench: &Bench, sources: &[&str]) -> impl FnMut() -> bool {
    let mut sources = sources.iter().cycle();
    move || match judge(bench, sources.next().unwrap()) {
        OURS => true,
        REFUSED => false,
        other => panic!("{other:?}"),
    }
}

/// Just the burst of a limit to one a second passes, and what the seconds bring that it takes.
pub fn assert_burst(burst: u64, passes: impl FnMut() -> bool) {
    assert_burst_at(1, burst, passes);
}

/// The same at `per_second`; the clock may step just then, and bring one more.
fn assert_burst_at(per_second: u64, burst: u64, mut passes: impl FnMut() -> bool) {
    let began = now();
    let passed = (0..).find(|_| !passes()).unwrap();
    let brought = ((now() - began) * per_second).div_ceil(1_000_000_000) + 1;
    assert!((burst..=burst + brought).contains(&passed), "{passed} of a burst of {burst}, and {brought}");
}

fn per_source() {
    let (mut bench, _) = guarded();
    bench.shield.set_limits(&Limits { syn_per_source: rate(1, 20), ..Limits::default() }).unwrap();
    for sources in
        [&["192.0.2.77"][..], &["192.0.2.78"], &["2001:db8:0:7::1", "2001:db8:0:7:ffff::"], &["2001:db8:0:8::1"]]
    {
        assert_burst(20, syns(&bench, sources));
    }
}

fn per_prefix() {
    let (mut bench, _) = guarded();
    bench.shield.set_limits(&Limits { syn_per_prefix: rate(1, 20), ..Limits::default() }).unwrap();
    for sources in [
        &["198.51.100.1", "198.51.100.255", "198.51.100.0"][..],
        &["198.51.101.1"],
        &["2001:db8:7:1::1", "2001:db8:7:ffff::1"],
        &["2001:db8:8::"],
    ] {
        assert_burst(20, syns(&bench, sources));
    }
}

fn both() {
    let (mut bench, _) = guarded();
    let limits = Limits { syn_per_source: rate(1, 2), syn_per_prefix: rate(1, 100), ..Limits::default() };
    bench.shield.set_limits(&limits).unwrap();
    let refused = (0..1000).filter(|_| judge(&bench, "198.51.100.1") == REFUSED).count();
    assert!(refused > 900, "{refused}");
    // The neighbours have what is left of the prefix's, two each.
    let neighbours: Vec<_> = (2..48).map(|host| format!("198.51.100.{host}")).collect();
    for source in neighbours.iter().flat_map(|source| [source, source]) {
        assert_eq!(judge(&bench, source), OURS, "{source}");
    }
}

fn nothing_is_saved_up() {
    let (mut bench, _) = guarded();
    bench.shield.set_limits(&Limits { syn_per_source: rate(100, 20), ..Limits::default() }).unwrap();
    assert_burst_at(100, 20, syns(&bench, &["192.0.2.77"]));
    // Others send meanwhile, and this one could have sent twice its burst.
    let later = now() + 400_000_000;
    while now() < later {
        judge(&bench, "192.0.2.78");
    }
    assert_burst_at(100, 20, syns(&bench, &["192.0.2.77"]));
}

fn only_syns_of_clients() {
    let (mut bench, _) = guarded();
    let source = "198.51.100.1";
    bench.shield.set_limits(&Limits { syn_per_source: rate(1, 1), ..Limits::default() }).unwrap();
    assert_burst(1, syns(&bench, &[source]));
    // Flags stand at byte 47 of such a frame: those of a SYN-ACK, an ACK, a RST.
    for flags in [0x12, 0x10, 0x04] {
        assert_eq!(bench.judge(syn_from(ip(source)).patch(47, flags).bytes()), OURS, "{flags:02x}");
    }
    for _ in 0..100 {
        assert_eq!(bench.judge(eth().ipv4(V4, TCP).tcp(PORT).bytes()), OURS, "nobody guards that port");
    }
    bench.shield.prefix_list().insert(source.parse().unwrap(), ListVerdict::Allow, None).unwrap();
    for _ in 0..100 {
        assert_eq!(judge(&bench, source), OURS, "it is listed to be let through");
    }
}

fn change() {
    let (mut bench, _) = guarded();
    let source = "198.51.100.1";
    let limit = |syn_per_source| Limits { syn_per_source, ..Limits::default() };
    for _ in 0..100 {
        assert_eq!(judge(&bench, source), OURS, "there is no limit at first");
    }
    // A bucket that is empty for so long as to be full again only after a quarter of an hour …
    bench.shield.set_limits(&limit(rate(1, 1000))).unwrap();
    assert_burst(1000, syns(&bench, &[source]));
    // … is not for another limit to wait for.
    bench.shield.set_limits(&limit(rate(1000, 20))).unwrap();
    let deadline = now() + 60_000_000_000;
    while judge(&bench, source) == REFUSED {
        assert!(now() < deadline, "the former limit is still there");
    }
    bench.shield.set_limits(&Limits::default()).unwrap();
    for _ in 0..100 {
        assert_eq!(judge(&bench, source), OURS, "there is no limit again");
    }
}
