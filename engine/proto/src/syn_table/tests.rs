use super::{Expired, Inserted, ListenerId, Newcomer, Refused, SynTable, SynTableConfig, WAYS};
use crate::half_open::{Clock, HalfOpen, Negotiated, Offer, Scales};
use crate::isn::Secrets;
use crate::segment::{MacAddr, Mss, WindowScale};
use crate::{Counter, Counts, Endpoint, Instant, Link, Options, SeqNum, Tuple};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use proptest::prelude::*;

const LINK: Link = Link { local: MacAddr([2; 6]), remote: MacAddr([4; 6]), outer: None, inner: None };

const PLAIN: Negotiated = Negotiated {
    iss: SeqNum(7),
    irs: SeqNum(1000),
    send_mss: Mss::DEFAULT_V4,
    scales: None,
    sack: false,
    timestamps: None,
    ecn: false,
};

fn secrets() -> Secrets {
    Secrets::from_seed(&core::array::from_fn(|byte| byte as u8))
}

fn table(capacity: u32) -> (SynTable, ListenerId) {
    let config = SynTableConfig { capacity, links: 16, synack_retries: 5, ..SynTableConfig::default() };
    let mut table = SynTable::new(&config, &secrets());
    let listener = table.add_listener(1_000_000, &Offer::default()).unwrap();
    (table, listener)
}

/// The `n`th peer over IPv4.
fn peer(n: u32) -> Tuple {
    Tuple {
        local: Endpoint::new(Ipv4Addr::new(192, 0, 2, 1).into(), 80),
        remote: Endpoint::new(Ipv4Addr::from(0x0a00_0000 + (n >> 8)).into(), 1024 + (n & 0xff) as u16),
    }
}

fn insert(table: &mut SynTable, listener: ListenerId, tuple: &Tuple, now: Instant) -> Inserted {
    let vacancy = table.find(tuple).expect_err("not there yet");
    table.insert(now, vacancy, &Newcomer { listener, tuple, link: &LINK, negotiated: &PLAIN }).unwrap()
}

fn secs(seconds: u64) -> Instant {
    Instant::from_millis(1000 * seconds)
}

/// Everything that expires at `now`: (SYN-ACKs sent again, entries forgotten).
fn expire(table: &mut SynTable, now: Instant) -> (usize, usize) {
    let mut seen = (0, 0);
    while let Some(expired) = table.poll_expired(now) {
        match expired {
            Expired::Resend { .. } => seen.0 += 1,
            Expired::Forgotten { .. } => seen.1 += 1,
        }
    }
    seen
}

fn any_addr() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(a, b)| (Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into())),
        any::<(u128, u128)>().prop_map(|(a, b)| (Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into())),
    ]
}

fn any_negotiated() -> impl Strategy<Value = Negotiated> {
    let options =
        (48u16.., prop::option::of((0u8..=14, 0u8..=14)), any::<(bool, bool)>(), prop::option::of(any::<(u32, u32)>()));
    (any::<(u32, u32)>(), options).prop_map(|((iss, irs), (mss, scales, (sack, ecn), clock))| Negotiated {
        iss: SeqNum(iss),
        irs: SeqNum(irs),
        send_mss: Mss::announced(mss).unwrap(),
        scales: scales
            .map(|(peer, ours)| Scales { peer: WindowScale::clamped(peer), ours: WindowScale::clamped(ours) }),
        sack,
        timestamps: clock.map(|(recent, offset)| Clock { recent, offset }),
        ecn,
    })
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        (local, remote) in any_addr(),
        ports: (u16, u16),
        negotiated in any_negotiated(),
        now: u64,
    ) {
        let (mut table, listener) = table(8);
        let tuple = Tuple { local: Endpoint::new(local, ports.0), remote: Endpoint::new(remote, ports.1) };
        let vacancy = table.find(&tuple).unwrap_err();
        let newcomer = Newcomer { listener, tuple: &tuple, link: &LINK, negotiated: &negotiated };
        prop_assert_eq!(table.insert(Instant::from_nanos(now), vacancy, &newcomer), Ok(Inserted::Free));
        let entry = table.find(&tuple).unwrap();
        let listed: Vec<_> = table.iter(Instant::from_nanos(now)).map(|half| (half.listener, half.tuple)).collect();
        prop_assert_eq!(listed, [(listener, tuple)]);
        prop_assert_eq!(table.half_open(entry), HalfOpen { negotiated, timeouts: 0, round_trip: None });
        prop_assert_eq!(table.remove(entry), HalfOpen { negotiated, timeouts: 0, round_trip: None });
        prop_assert!(table.is_empty() && table.find(&tuple).is_err());
    }

    /// Against a map of what should be there, in a table so small that buckets overflow all the time.
    #[test]
    fn behaves_like_a_map(steps in prop::collection::vec((0u32..40, 0u8..4, 0u64..3000), 1..400)) {
        let (mut table, first) = table(16);
        let second = table.add_listener(5, &Offer::default()).unwrap();
        let mut model: BTreeMap<u32, ListenerId> = BTreeMap::new();
        let mut now = Instant::ZERO;
        for (who, action, pause) in steps {
            now += Duration::from_millis(pause);
            let tuple = peer(who);
            match (action, table.find(&tuple)) {
                (0..=1, Err(vacancy)) => {
                    let listener = if action == 0 { first } else { second };
                    let newcomer = Newcomer { listener, tuple: &tuple, link: &LINK, negotiated: &PLAIN };
                    if table.insert(now, vacancy, &newcomer) == Ok(Inserted::Evicting) {
                        model.retain(|&other, _| table.find(&peer(other)).is_ok());
                        prop_assert_eq!(model.len() as u32 + 1, table.len(), "exactly one made room");
                    }
                    model.insert(who, listener);
                }
                (0..=1, Ok(entry)) => table.restart_wait(entry, now),
                (2, Ok(entry)) => {
                    table.remove(entry);
                    model.remove(&who);
                }
                (3, _) => {
                    expire(&mut table, now);
                    model.retain(|&other, _| table.find(&peer(other)).is_ok());
                }
                _ => {}
            }
            prop_assert_eq!(table.len() as usize, model.len());
            prop_assert!(table.len() as usize <= table.capacity());
            for (&other, &listener) in &model {
                prop_assert_eq!(table.find(&peer(other)).map(|entry| table.listener(entry)), Ok(listener));
            }
            for listener in [first, second] {
                let held = model.values().filter(|&&owner| owner == listener).count();
                let young = table.iter(now).filter(|half| half.listener == listener && half.timeouts == 0).count();
                let queue = table.queue(listener);
                prop_assert_eq!((queue.len as usize, queue.young as usize), (held, young));
            }
            prop_assert_eq!(table.deadline(now).is_some(), !model.is_empty());
        }
    }
}

#[test]
fn the_syn_ack_is_sent_again_at_1_3_7_15_and_31_seconds_and_forgotten_at_63() {
    let (mut table, listener) = table(64);
    insert(&mut table, listener, &peer(1), secs(0));
    let mut seen = Vec::new();
    let mut now = secs(0);
    while let Some(due) = table.deadline(now) {
        assert_eq!(table.poll_expired(Instant::from_nanos(due.as_nanos() - 1_000_000)), None, "not a moment early");
        seen.push((due.as_millis() / 1000, table.poll_expired(due).unwrap()));
        assert_eq!(table.poll_expired(due), None);
        now = due;
    }
    let (last, resent) = seen.split_last().unwrap();
    assert_eq!(resent.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 3, 7, 15, 31]);
    let again = Counts::of(&[Counter::TCPTimeouts, Counter::RetransSegs, Counter::TCPSynRetrans]);
    for (_, expired) in resent {
        let head = PLAIN.syn_ack(now, &peer(1), &Offer::default());
        assert_eq!(*expired, Expired::Resend { link: LINK, head, counts: again });
    }
    assert_eq!(*last, (63, Expired::Forgotten { counts: Counts::of(&[Counter::TCPTimeouts]) }));
    assert!(table.is_empty() && table.deadline(now).is_none());
}

#[test]
fn a_syn_ack_sent_again_shows_the_time_of_its_sending() {
    let (mut table, listener) = table(8);
    let tuple = peer(1);
    let negotiated = Negotiated { timestamps: Some(Clock { recent: 5, offset: 100 }), ..PLAIN };
    let vacancy = table.find(&tuple).unwrap_err();
    let newcomer = Newcomer { listener, tuple: &tuple, link: &LINK, negotiated: &negotiated };
    table.insert(secs(10), vacancy, &newcomer).unwrap();
    let Some(Expired::Resend { head, .. }) = table.poll_expired(secs(11)) else { panic!("due") };
    assert_eq!(head.options.timestamps().map(|stamps| (stamps.value, stamps.echo)), Some((11_100, 5)));
    assert!(matches!(head.options, Options::Syn(_)));
}

#[test]
fn other_numbers_of_retries() {
    for (retries, want) in [(0, 1), (1, 3), (2, 7), (5, 63), (6, 127), (200, 127)] {
        let config = SynTableConfig { capacity: 8, links: 1, synack_retries: retries, ..SynTableConfig::default() };
        let mut table = SynTable::new(&config, &secrets());
        let listener = table.add_listener(100, &Offer::default()).unwrap();
        insert(&mut table, listener, &peer(1), secs(0));
        let gone = (0..200).find(|&second| expire(&mut table, secs(second)).1 == 1);
        assert_eq!(gone, Some(want), "{retries} retries");
    }
}

#[test]
fn a_crowd_of_old_entries_is_forgotten_sooner() {
    let config = SynTableConfig { capacity: 64, links: 1, synack_retries: 5, ..SynTableConfig::default() };
    let mut table = SynTable::new(&config, &secrets());
    let listener = table.add_listener(8, &Offer::default()).unwrap();
    (0..9).for_each(|n| _ = insert(&mut table, listener, &peer(n), secs(0)));
    let gone: Vec<_> = (0..=63).map(|second| expire(&mut table, secs(second)).1).collect();
    // At 7 s old entries go until the queue is half empty; the four that are left keep their patience.
    assert_eq!(gone[7], 5);
    assert_eq!(gone[63], 4);
    assert_eq!(gone.iter().sum::<usize>(), 9);
}

#[test]
fn restarting_the_wait_postpones_the_timeout_but_does_not_count_one() {
    let (mut table, listener) = table(8);
    insert(&mut table, listener, &peer(1), secs(0));
    insert(&mut table, listener, &peer(2), Instant::from_millis(300));
    let entry = table.find(&peer(1)).unwrap();
    table.restart_wait(entry, Instant::from_millis(900));
    assert_eq!(table.deadline(secs(0)), Some(Instant::from_millis(1300)));
    assert_eq!(expire(&mut table, Instant::from_millis(1899)), (1, 0), "the other one");
    assert_eq!(table.half_open(table.find(&peer(1)).unwrap()).timeouts, 0);
    assert_eq!(expire(&mut table, Instant::from_millis(1900)), (1, 0));
    assert_eq!(table.half_open(table.find(&peer(1)).unwrap()).timeouts, 1);
}

#[test]
fn clocks_that_wrap_stop_or_step_back_neither_lose_entries_nor_send_early() {
    let wrap = u64::from(u32::MAX) + 1;
    for (start, moments) in [
        // Across the wrap of the millisecond clock.
        (wrap - 500, [(wrap + 499, (0, 0)), (wrap + 500, (1, 0)), (wrap + 2499, (0, 0)), (wrap + 2500, (1, 0))]),
        // The poll loop stood still for an hour: one timeout, then the next wait starts.
        (0, [(3_600_000, (1, 0)), (3_600_000, (0, 0)), (3_601_999, (0, 0)), (3_602_000, (1, 0))]),
        // An hour back: due at once, rather than in an hour.
        (7_200_000, [(3_600_000, (1, 0)), (3_601_999, (0, 0)), (3_602_000, (1, 0)), (3_602_000, (0, 0))]),
        // A little back: nothing is sent early.
        (10_000, [(9_900, (0, 0)), (10_999, (0, 0)), (11_000, (1, 0)), (11_000, (0, 0))]),
    ] {
        let (mut table, listener) = table(8);
        insert(&mut table, listener, &peer(1), Instant::from_millis(start));
        for (at, want) in moments {
            assert_eq!(expire(&mut table, Instant::from_millis(at)), want, "from {start} at {at}");
        }
    }
}

#[test]
fn a_full_bucket_gives_up_its_oldest() {
    let (mut table, listener) = table(WAYS as u32);
    assert_eq!(table.capacity(), WAYS, "one bucket");
    for n in 0..WAYS as u32 {
        // Inserted out of the order of their slots: the first slot does not hold the oldest.
        assert_eq!(insert(&mut table, listener, &peer(n), secs(100)), Inserted::Free);
    }
    table.remove(table.find(&peer(0)).unwrap());
    insert(&mut table, listener, &peer(0), secs(101));
    table.remove(table.find(&peer(3)).unwrap());
    insert(&mut table, listener, &peer(3), secs(99));
    assert_eq!(insert(&mut table, listener, &peer(50), secs(102)), Inserted::Evicting);
    assert!(table.find(&peer(3)).is_err(), "the oldest");
    assert_eq!(table.len() as usize, WAYS);
    assert_eq!(table.queue(listener).len as usize, WAYS);
}

/// The promise at [`SynTableConfig::capacity`].
#[test]
fn at_a_quarter_of_the_capacity_a_full_bucket_is_rare() {
    let (mut table, listener) = table(1 << 16);
    let quarter = 1 << 14;
    (0..quarter).for_each(|n| _ = insert(&mut table, listener, &peer(n), secs(0)));
    let evicting = (quarter..2 * quarter).filter(|&n| {
        let found = insert(&mut table, listener, &peer(n), secs(0)) == Inserted::Evicting;
        table.remove(table.find(&peer(n)).unwrap());
        if found {
            // Put one back, to stay at a quarter.
            insert(&mut table, listener, &peer(n + 2 * quarter), secs(0));
        }
        found
    });
    let per_million = evicting.count() * 1_000_000 / quarter as usize;
    assert!(per_million < 2000, "{per_million} in a million; about 1100 were foretold");
}

proptest! {
    /// However entries come and go (completed, evicted, expired, with their listener), a network has no more than its share,
    /// and is refused only at it.
    #[test]
    fn no_network_has_more_than_its_share(
        steps in prop::collection::vec((0u32..3, 0u16..30, 0u8..6, 0u64..3000), 1..400),
    ) {
        const SHARE: u16 = 7;
        let config = SynTableConfig { capacity: 16, links: 4, synack_retries: 1, per_prefix: Some(SHARE) };
        let mut table = SynTable::new(&config, &secrets());
        let mut listener = table.add_listener(1_000_000, &Offer::default()).unwrap();
        // No two of these three meet in one of the sixteen classes under this key.
        let peer = |network: u32, port: u16| {
            let remote = Endpoint::new(Ipv4Addr::from(0x0a00_0000 + (network << 8) + u32::from(port)).into(), port);
            Tuple { remote, ..peer(0) }
        };
        let of = |table: &SynTable, network: u32| {
            table.iter(secs(0)).filter(|half| half.tuple.remote.addr == peer(network, half.tuple.remote.port).remote.addr).count()
        };
        let mut now = secs(1);
        for (network, port, act, millis) in steps {
            now += Duration::from_millis(millis);
            let tuple = peer(network, port);
            match (act, table.find(&tuple)) {
                (0, Ok(entry)) => _ = table.complete(entry, now),
                (1, _) => _ = expire(&mut table, now),
                (2, _) if port == 0 => {
                    table.remove_listener(listener);
                    listener = table.add_listener(1_000_000, &Offer::default()).unwrap();
                }
                (_, Err(vacancy)) => {
                    let full = of(&table, network) == usize::from(SHARE);
                    let newcomer = Newcomer { listener, tuple: &tuple, link: &LINK, negotiated: &PLAIN };
                    let inserted = table.insert(now, vacancy, &newcomer);
                    prop_assert_eq!(inserted == Err(Refused::PrefixFull), full, "{:?}", inserted);
                }
                _ => {}
            }
            prop_assert!((0..3).all(|network| of(&table, network) <= usize::from(SHARE)));
        }
    }
}

#[test]
fn families_do_not_meet() {
    let (mut table, listener) = table(8);
    let v4 = peer(1);
    let mapped = |end: Endpoint| Endpoint::new(Ipv6Addr::from(end.addr_bytes()).into(), end.port);
    let v6 = Tuple { local: mapped(v4.local), remote: mapped(v4.remote) };
    insert(&mut table, listener, &v4, secs(0));
    insert(&mut table, listener, &v6, secs(0));
    let listed: Vec<_> = table.iter(secs(0)).map(|half| half.tuple).collect();
    assert!(listed.contains(&v4) && listed.contains(&v6));
}

#[test]
fn other_local_addresses_and_ports_are_other_connections() {
    let (mut table, listener) = table(64);
    let base = peer(1);
    let other_addr = Tuple { local: Endpoint::new(Ipv4Addr::new(192, 0, 2, 2).into(), 80), ..base };
    let other_port = Tuple { local: Endpoint::new(base.local.addr, 81), ..base };
    insert(&mut table, listener, &base, secs(0));
    assert!(table.find(&other_addr).is_err() && table.find(&other_port).is_err());
    insert(&mut table, listener, &other_addr, secs(0));
    insert(&mut table, listener, &other_port, secs(0));
    assert_eq!(table.len(), 3);
}

/// A tag has 15 bits: of so many tuples some share it by chance, and are told apart all the same.
#[test]
fn a_shared_tag_is_not_taken_for_the_entry() {
    let (mut table, listener) = table(WAYS as u32);
    let base = peer(1);
    insert(&mut table, listener, &base, secs(0));
    let others = (1..1u32 << 18).flat_map(|n| {
        let addr = |end: Endpoint| Endpoint { addr: Ipv4Addr::from(n).into(), ..end };
        let port = |end: Endpoint| Endpoint { port: n as u16, ..end };
        [
            Tuple { local: addr(base.local), ..base },
            Tuple { local: port(base.local), ..base },
            Tuple { remote: addr(base.remote), ..base },
            Tuple { remote: port(base.remote), ..base },
        ]
    });
    assert!(others.filter(|other| *other != base).all(|other| table.find(&other).is_err()));
}

#[test]
fn without_a_free_row_for_the_link_nothing_changes() {
    let config = SynTableConfig { capacity: 64, links: 2, synack_retries: 5, ..SynTableConfig::default() };
    let mut table = SynTable::new(&config, &secrets());
    let listener = table.add_listener(100, &Offer::default()).unwrap();
    let mut from = |neighbour: u8| {
        let link = Link { remote: MacAddr([neighbour; 6]), ..LINK };
        let tuple = peer(u32::from(neighbour));
        let vacancy = table.find(&tuple).unwrap_err();
        let newcomer = Newcomer { listener, tuple: &tuple, link: &link, negotiated: &PLAIN };
        (table.insert(secs(0), vacancy, &newcomer), table.len())
    };
    assert_eq!(from(1), (Ok(Inserted::Free), 1));
    assert_eq!(from(2), (Ok(Inserted::Free), 2));
    assert_eq!(from(3), (Err(Refused::LinksExhausted), 2));
    assert!(table.find(&peer(3)).is_err());
}

#[test]
fn an_entry_that_goes_gives_its_link_back() {
    let config = SynTableConfig { capacity: 8, links: 1, synack_retries: 0, ..SynTableConfig::default() };
    let mut table = SynTable::new(&config, &secrets());
    let listener = table.add_listener(100, &Offer::default()).unwrap();
    for neighbour in 0..100 {
        let link = Link { remote: MacAddr([neighbour; 6]), ..LINK };
        let tuple = peer(0);
        let vacancy = table.find(&tuple).unwrap_err();
        let newcomer = Newcomer { listener, tuple: &tuple, link: &link, negotiated: &PLAIN };
        table.insert(secs(u64::from(neighbour)), vacancy, &newcomer).unwrap();
        if neighbour % 2 == 0 {
            table.remove(table.find(&tuple).unwrap());
        } else {
            assert_eq!(expire(&mut table, secs(u64::from(neighbour) + 1)), (0, 1));
        }
    }
}

/// Whatever comes new, what is known longest is seen to first.
#[test]
fn a_flood_of_young_entries_does_not_hold_up_the_old() {
    let (mut table, listener) = table(64);
    insert(&mut table, listener, &peer(1), secs(0));
    assert_eq!(expire(&mut table, secs(1)), (1, 0));
    (10..20).for_each(|n| _ = insert(&mut table, listener, &peer(n), secs(1)));
    // All eleven are due; a turn that has room for one takes the old one.
    let Some(Expired::Resend { head, .. }) = table.poll_expired(secs(3)) else { panic!("due") };
    assert_eq!(head.tuple, peer(1));
}

#[test]
fn removing_a_listener_forgets_its_entries_and_no_others() {
    let (mut table, first) = table(256);
    let second = table.add_listener(100, &Offer::default()).unwrap();
    (0..20).for_each(|n| _ = insert(&mut table, if n % 3 == 0 { first } else { second }, &peer(n), secs(0)));
    assert_eq!(table.remove_listener(first), 7);
    assert_eq!((table.len(), table.queue(second).len), (13, 13));
    assert!(table.iter(secs(0)).all(|half| half.listener == second));
    assert_eq!(expire(&mut table, secs(1)), (13, 0));
}

#[test]
fn one_invalid_segment_in_500_ms_is_answered() {
    let (mut table, listener) = table(8);
    insert(&mut table, listener, &peer(1), secs(0));
    insert(&mut table, listener, &peer(2), secs(0));
    let (one, two) = (table.find(&peer(1)).unwrap(), table.find(&peer(2)).unwrap());
    let mut ask = |entry, millis| table.may_answer(entry, Instant::from_millis(millis));
    assert!(ask(one, 0));
    assert!(!ask(one, 0) && !ask(one, 499));
    assert!(ask(two, 499), "each entry has a limit of its own");
    assert!(ask(one, 500));
    assert!(!ask(one, 999));
}

#[test]
fn who_watches_sees_every_tuple_enter_and_leave_once() {
    let (mut table, listener) = table(WAYS as u32);
    insert(&mut table, listener, &peer(0), secs(0));
    assert_eq!((table.take_entered().count(), table.take_left().count()), (0, 0), "nobody watches yet");
    table.watch();
    let tuples: Vec<_> = (1..=WAYS as u32).map(peer).collect();
    for tuple in &tuples {
        insert(&mut table, listener, tuple, secs(1));
    }
    assert_eq!(table.take_entered().collect::<Vec<_>>(), tuples);
    assert_eq!(table.take_left().collect::<Vec<_>>(), [peer(0)], "the oldest was evicted");
    let entry = table.find(&peer(3)).unwrap();
    table.remove(entry);
    assert_eq!(table.take_left().collect::<Vec<_>>(), [peer(3)]);
    insert(&mut table, listener, &peer(3), secs(2));
    assert_eq!((table.take_entered().count(), table.take_left().count()), (1, 0));
    for second in 3..70 {
        expire(&mut table, secs(second));
    }
    let mut left: Vec<_> = table.take_left().collect();
    insert(&mut table, listener, &peer(9), secs(70));
    assert!(table.remove_listener(listener) > 0);
    left.extend(table.take_left());
    left.sort_by_key(|tuple| tuple.remote);
    assert_eq!(left, [&tuples[..], &[peer(9)]].concat(), "forgotten one by one, or with their listener");
    assert_eq!(table.take_entered().collect::<Vec<_>>(), [peer(9)]);
}
