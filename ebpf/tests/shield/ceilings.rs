//! Ceilings on replies to those who have proved nothing, and what a cookie that comes home changes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use synward_ebpf::ShieldCounter::{AnsweredCookie, DroppedReplyCeiling, RedirectedCookie};
use synward_ebpf::XdpAction::{Drop, Redirect, Tx};
use synward_ebpf::{Arrival, CookieOffer, Interface, Limits, ShieldConfig};
use synward_proto::wire::{self, ChecksumPolicy};

use crate::Test;
use crate::bench::{Bench, PORT, V4, V6, owned};
use crate::cookies::third;
use crate::limits::{assert_burst, rate};
use crate::namespace::{isolated, veth_pair};
use crate::segment::Raw;

pub const TESTS: &[Test] = &[
    ("replies_to_a_prefix_are_limited", || isolated(per_prefix)),
    ("replies_in_all_are_limited_queue_by_queue", || isolated(in_all)),
    ("replies_that_one_ceiling_refuses_cost_nothing_at_the_other", || isolated(one_refuses_for_both)),
    ("cookies_that_come_home_no_longer_count", || isolated(credit)),
];

/// A bench whose shields are up, on an interface with two queues.
pub fn up(limits: &Limits) -> Bench {
    veth_pair();
    let mut bench = Bench::with(&ShieldConfig { queues: 2, ticks_per_key: u32::MAX, ..ShieldConfig::default() });
    for address in [V4, V6] {
        let listener = bench.shield.own_listener(owned(address, PORT), &CookieOffer::default()).unwrap();
        bench.shield.listeners().set_up(listener, true);
    }
    bench.shield.set_cookie_key(0, &[7; 16]).unwrap();
    bench.shield.set_limits(limits).unwrap();
    bench.arrival = Arrival { ifindex: Interface::by_name("near").unwrap().index, queue: 0 };
    bench
}

/// A SYN without options.
pub fn syn(source: IpAddr) -> Raw {
    Raw {
        tags: Vec::new(),
        source,
        source_port: 40_000,
        seq: 1,
        ack: 0,
        flags: 0x02,
        options: Vec::new(),
        payload: Vec::new(),
    }
}

/// Whether a SYN from each of these is answered.
fn answers(bench: &Bench, mut sources: impl Iterator<Item = IpAddr>) -> impl FnMut() -> bool {
    move || match bench.judge(&syn(sources.next().unwrap()).frame()) {
        (Tx, AnsweredCookie) => true,
        (Drop, DroppedReplyCeiling) => false,
        other => panic!("{other:?}"),
    }
}

/// Addresses of one /24, again and again.
fn block(number: u8) -> impl Iterator<Item = IpAddr> {
    (0..=255).cycle().map(move |host| Ipv4Addr::new(203, 0, number, host).into())
}

/// Addresses of one /48, never the same /64.
fn site(number: u16) -> impl Iterator<Item = IpAddr> {
    (0..=u16::MAX).map(move |subnet| Ipv6Addr::new(0x2001, 0xdb8, number, subnet, 0, 0, 0, 1).into())
}

/// Addresses of as many /24.
fn blocks() -> impl Iterator<Item = IpAddr> {
    (1..=u32::MAX).map(|number| Ipv4Addr::from_bits(0x0b00_0000 + (number << 8)).into())
}

fn per_prefix() {
    let bench = up(&Limits { replies_per_prefix: rate(1, 20), ..Limits::default() });
    for number in 1..4 {
        assert_burst(20, answers(&bench, block(number)));
        assert_burst(20, answers(&bench, site(number.into())));
    }
}

fn in_all() {
    let mut bench = up(&Limits { replies: rate(2, 40), ..Limits::default() });
    for queue in [0, 1] {
        bench.arrival.queue = queue;
        assert_burst(20, answers(&bench, blocks()));
    }
}

fn one_refuses_for_both() {
    let bench = up(&Limits { replies_per_prefix: rate(1, 2), replies: rate(2, 200), ..Limits::default() });
    let mut to_one = answers(&bench, block(1));
    let refused = (0..1000).filter(|_| !to_one()).count();
    assert!(refused > 900, "{refused}");
    // Of the hundred of this queue, one block has taken a few.
    let mut to_all = answers(&bench, blocks());
    assert!((0..90).all(|_| to_all()));
}

/// Sends a SYN, and the answer of a client who gets the SYN-ACK.
pub fn connect(bench: &Bench, source: IpAddr, source_port: u16) {
    let syn = Raw { source_port, ..syn(source) };
    let (action, counter, answer) = bench.run(&syn.frame());
    assert_eq!((action, counter), (Tx, AnsweredCookie), "{source}, port {source_port}");
    let syn_ack = wire::parse(&answer, ChecksumPolicy::Full).unwrap();
    assert_eq!(bench.judge(&third(&syn, &syn_ack).frame()), (Redirect, RedirectedCookie));
}

fn credit() {
    for (limits, burst) in [
        (Limits { replies_per_prefix: rate(1, 10), ..Limits::default() }, 10),
        (Limits { replies: rate(2, 20), ..Limits::default() }, 10),
        (Limits { replies_per_prefix: rate(1, 30), replies: rate(2, 20), ..Limits::default() }, 10),
    ] {
        for source in ["203.0.113.1", "2001:db8:7::1"] {
            isolated(move || credit_of(source.parse().unwrap(), &limits, burst));
        }
    }
}

fn credit_of(source: IpAddr, limits: &Limits, burst: u64) {
    let bench = up(limits);
    // More than the ceiling lets out unproved: for who proves each, there is none.
    for port in 1..=200 {
        connect(&bench, source, port);
    }
    // But nobody has saved up more than a burst.
    assert_burst(burst, answers(&bench, std::iter::repeat(source)));
}
