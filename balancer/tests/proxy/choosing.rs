//! Which backend a client gets, and what becomes of those that do not answer.

use crate::Test;
use crate::bed::{Backend, Bed, Family, Layout, Side, Spec};
use crate::end::{End, pattern};
use std::collections::HashMap;
use std::time::Duration;
use synward_engine::{EngineConfig, SocketError};
use synward_proto::Counter;

pub const TESTS: &[Test] = &[
    ("backends_take_turns", in_turn),
    ("maglev_keeps_a_client_with_its_backend", maglev),
    ("one_that_refuses_is_passed_over_and_left_alone", refused),
    ("one_that_is_silent_is_given_up_in_time", silent),
    ("one_that_cannot_be_reached_is_passed_over", unreachable),
    ("a_way_that_is_gone_is_waited_for", way_returns),
    ("a_way_that_stays_away_is_not_waited_for_longer_than_a_backend", way_stays_away),
    ("an_only_backend_that_was_not_heard_is_asked_once_more", asked_once_more),
    ("when_none_takes_it_the_client_is_reset", none_left),
    ("when_all_are_draining_the_client_is_reset", draining),
    ("when_source_ports_run_out_the_client_is_reset_and_nobody_blamed", source_ports),
    ("source_addresses_take_turns_and_stand_in_for_each_other", source_addresses),
];

/// Connects a client and says which backend got it; the backend answers with its number.
fn place(bed: &mut Bed, client: End) -> (usize, End, End) {
    let mut client = client;
    bed.run(&mut [(Side::Client, &mut client)]);
    let (number, accepted) = bed.accept_any().expect("a backend was asked");
    let mut backend = End::new(accepted.socket).sends(vec![number as u8]);
    bed.run(&mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    assert_eq!(client.received, [number as u8]);
    (number, client, backend)
}

fn part(bed: &mut Bed, client: &End, backend: &End) {
    bed.abort(Side::Client, client.socket);
    bed.abort(Side::Backend, backend.socket);
}

fn in_turn(layout: Layout) {
    let mut bed = Bed::new(&Spec { backends: &[Backend::Serving; 3], ..Spec::new(layout) });
    let mut counts = [0; 3];
    for _ in 0..60 {
        let client = End::new(bed.dial(Family::V4));
        let (number, client, backend) = place(&mut bed, client);
        counts[number] += 1;
        part(&mut bed, &client, &backend);
    }
    // Each worker has turns of its own, so that with several of them a few clients are shared out unevenly.
    let workers = bed.proxies.len() as i32;
    assert!(counts.iter().all(|count: &i32| (count - 20).abs() < workers), "{counts:?}");
    bed.assert_clean();
}

fn maglev(layout: Layout) {
    let mut bed = Bed::new(&Spec { backends: &[Backend::Serving; 3], pool: "balance = 'maglev'", ..Spec::new(layout) });
    let mut homes = HashMap::new();
    for round in 0..3 {
        for client in 0..20_u16 {
            let socket = bed.dial_from(client as u8 + 1, 1000 + client);
            let (number, client_end, backend) = place(&mut bed, End::new(socket));
            let home = *homes.entry(client).or_insert(number);
            assert_eq!(home, number, "client {client} in round {round}");
            part(&mut bed, &client_end, &backend);
        }
    }
    let used: std::collections::HashSet<_> = homes.values().collect();
    assert_eq!(used.len(), 3, "{homes:?}");
    bed.assert_clean();
}

fn refused(layout: Layout) {
    let mut bed = Bed::new(&Spec {
        backends: &[Backend::Refusing, Backend::Serving],
        pool: "backoff = { first = '1h', longest = '1h' }",
        ..Spec::new(layout)
    });
    for _ in 0..12 {
        let client = End::new(bed.dial(Family::V4)).sends(pattern(1, 50_000));
        let (number, client, backend) = place(&mut bed, client);
        assert_eq!(number, 1);
        assert_eq!(backend.received, pattern(1, 50_000), "what the client had sent before");
        part(&mut bed, &client, &backend);
    }
    let report = bed.report();
    let [down, up] = &report.pools[0].backends[..] else { panic!("{report:?}") };
    assert!((1..=bed.proxies.len() as u64).contains(&down.refused), "{down:?}");
    assert_eq!((down.state.as_str(), down.total), ("backoff", 0));
    assert_eq!((up.state.as_str(), up.total, up.refused), ("up", 12, 0));
    bed.assert_clean();
}

fn silent(layout: Layout) {
    let mut bed = Bed::new(&Spec {
        backends: &[Backend::Silent, Backend::Serving],
        pool: "connect_timeout = '700ms'\nbackoff = { first = '1h', longest = '1h' }",
        ..Spec::new(layout)
    });
    let mut clients: Vec<_> = (0..10).map(|_| End::new(bed.dial(Family::V4))).collect();
    bed.settle();
    let asked_silent = (bed.report().pools[0].backends[0].connecting, bed.connections());
    assert!(asked_silent.0 >= 4 && asked_silent.1 == 10, "{asked_silent:?}");
    bed.advance(Duration::from_millis(699));
    assert_eq!(bed.report().pools[0].backends[0].timed_out, 0);
    bed.advance(Duration::from_millis(1));
    assert_eq!(bed.report().pools[0].backends[0].timed_out, asked_silent.0);
    let mut served = 0;
    while let Some(accepted) = bed.accept(1) {
        bed.abort(Side::Backend, accepted.socket);
        served += 1;
    }
    assert_eq!(served, 10);
    for client in &mut clients {
        bed.run(&mut [(Side::Client, client)]);
        assert_eq!(client.error, Some(SocketError::ConnectionReset));
        bed.abort(Side::Client, client.socket);
    }
    assert_eq!(bed.report().pools[0].backends[0].state, "backoff");
    bed.assert_clean();
}

fn unreachable(layout: Layout) {
    let mut bed = Bed::new(&Spec { backends: &[Backend::Unreachable, Backend::Serving], ..Spec::new(layout) });
    for _ in 0..4 {
        let client = End::new(bed.dial(Family::V4));
        let (number, client, backend) = place(&mut bed, client);
        assert_eq!(number, 1);
        part(&mut bed, &client, &backend);
    }
    assert!(bed.report().pools[0].backends[0].refused >= 1);
    bed.assert_clean();
}

/// As when a link flaps: the kernel takes the routes away with it.
fn way_returns(layout: Layout) {
    let backends = &[Backend::Serving; 2];
    let mut bed = Bed::new(&Spec { backends, pool: "connect_timeout = '1s'", ..Spec::new(layout) });
    bed.take_ways(true);
    let mut clients: Vec<_> = (0..4).map(|_| End::new(bed.dial(Family::V4)).sends(pattern(1, 9_000))).collect();
    bed.advance(Duration::from_millis(850));
    assert_eq!((bed.connections(), bed.report().listeners[0].no_backend), (4, 0));
    let mut gives_up = End::new(bed.dial(Family::V4));
    bed.run(&mut [(Side::Client, &mut gives_up)]);
    bed.abort(Side::Client, gives_up.socket);
    assert_eq!(bed.connections(), 4);

    bed.take_ways(false);
    bed.advance(Duration::from_millis(100));
    let accepted = std::iter::from_fn(|| bed.accept_any());
    let mut served: Vec<_> = accepted.map(|(_, accepted)| End::new(accepted.socket)).collect();
    let near = clients.iter_mut().map(|client| (Side::Client, client));
    let far = served.iter_mut().map(|backend| (Side::Backend, backend));
    bed.run(&mut near.chain(far).collect::<Vec<_>>());
    assert_eq!(served.len(), clients.len());
    for (client, backend) in clients.iter().zip(&served) {
        assert!(client.error.is_none() && backend.received == pattern(1, 9_000), "{:?}", client.error);
        part(&mut bed, client, backend);
    }
    bed.assert_clean();
}

fn way_stays_away(layout: Layout) {
    let mut bed = Bed::new(&Spec { pool: "connect_timeout = '700ms'", ..Spec::new(layout) });
    bed.take_ways(true);
    let mut client = End::new(bed.dial(Family::V4));
    bed.run(&mut [(Side::Client, &mut client)]);
    bed.advance_with(Duration::from_millis(699), &mut [(Side::Client, &mut client)]);
    assert_eq!((client.error, bed.connections()), (None, 1));
    bed.advance_with(Duration::from_millis(1), &mut [(Side::Client, &mut client)]);
    assert_eq!((client.error, bed.connections()), (Some(SocketError::ConnectionReset), 0));
    assert_eq!(bed.report().listeners[0].no_backend, 1);
    bed.abort(Side::Client, client.socket);
    bed.assert_clean();
}

/// As when a SYN is lost: without another backend, one that does not answer in time gets as much time again.
fn asked_once_more(layout: Layout) {
    for comes_back in [true, false] {
        let mut bed = Bed::new(&Spec { pool: "connect_timeout = '700ms'", ..Spec::new(layout) });
        bed.lose_backends(true);
        let mut client = End::new(bed.dial(Family::V4));
        bed.advance_with(Duration::from_millis(710), &mut [(Side::Client, &mut client)]);
        assert_eq!((client.error, bed.report().pools[0].backends[0].timed_out), (None, 1));
        if comes_back {
            bed.lose_backends(false);
            bed.advance(Duration::from_millis(100));
            let (_, client, backend) = place(&mut bed, client);
            part(&mut bed, &client, &backend);
        } else {
            bed.advance_with(Duration::from_millis(900), &mut [(Side::Client, &mut client)]);
            assert_eq!(client.error, Some(SocketError::ConnectionReset));
            assert_eq!(bed.report().pools[0].backends[0].timed_out, 2);
            bed.abort(Side::Client, client.socket);
        }
        bed.assert_clean();
    }
}

/// Connects a client that will get no backend.
fn turned_away(bed: &mut Bed) -> Option<SocketError> {
    let mut client = End::new(bed.dial(Family::V4)).sends(pattern(1, 5_000));
    bed.advance_with(Duration::from_secs(5), &mut [(Side::Client, &mut client)]);
    bed.abort(Side::Client, client.socket);
    client.error
}

fn none_left(layout: Layout) {
    let backends = &[Backend::Refusing, Backend::Silent, Backend::Unreachable, Backend::Refusing];
    let mut bed = Bed::new(&Spec { backends, ..Spec::new(layout) });
    for _ in 0..4 {
        assert_eq!(turned_away(&mut bed), Some(SocketError::ConnectionReset));
    }
    let report = bed.report();
    assert_eq!((report.listeners[0].accepted, report.listeners[0].no_backend), (4, 4));
    assert!(report.pools[0].backends.iter().all(|it| it.total == 0 && it.refused + it.timed_out > 0), "{report:?}");
    bed.assert_clean();
}

fn draining(layout: Layout) {
    let mut bed = Bed::new(&Spec { draining: true, ..Spec::new(layout) });
    assert_eq!(turned_away(&mut bed), Some(SocketError::ConnectionReset));
    assert_eq!(bed.report().listeners[0].no_backend, 1);
    assert_eq!(bed.report().pools[0].backends[0].state, "draining");
    bed.assert_clean();
}

fn few_ports(config: EngineConfig) -> EngineConfig {
    EngineConfig { source_ports: 20_000..=20_003, ..config }
}

fn source_ports(layout: Layout) {
    let mut bed = Bed::new(&Spec { front: few_ports, backends: &[Backend::Serving; 2], ..Spec::new(layout) });
    let mut joined = Vec::new();
    let mut turned = 0;
    for _ in 0..24 {
        let mut client = End::new(bed.dial(Family::V4));
        bed.run(&mut [(Side::Client, &mut client)]);
        match bed.accept_any() {
            Some((_, accepted)) => joined.push((client, End::new(accepted.socket))),
            None => {
                assert_eq!(client.error, Some(SocketError::ConnectionReset));
                bed.abort(Side::Client, client.socket);
                turned += 1;
            }
        }
    }
    // Four ports towards either backend, each port with one shard.
    assert!(joined.len() <= 8 && turned >= 16, "{} {turned}", joined.len());
    if layout.queues.iter().all(|&queues| queues == 1) {
        assert_eq!(joined.len(), 8);
    }
    let report = bed.report();
    assert_eq!(report.no_source_port, turned);
    assert!(report.pools[0].backends.iter().all(|it| it.state == "up" && it.refused == 0), "{report:?}");
    assert!(bed.front.observer.counter(Counter::SourcePortsExhausted) >= turned);

    // A port that was reset is free at once.
    let (client, backend) = joined.pop().expect("some were joined");
    part(&mut bed, &client, &backend);
    for (client, backend) in &joined {
        part(&mut bed, client, backend);
    }
    let client = End::new(bed.dial(Family::V4));
    if layout.queues.iter().all(|&queues| queues == 1) {
        let (_, client, backend) = place(&mut bed, client);
        part(&mut bed, &client, &backend);
    } else {
        bed.settle();
        bed.abort(Side::Client, client.socket);
        while let Some((_, accepted)) = bed.accept_any() {
            bed.abort(Side::Backend, accepted.socket);
        }
    }
    bed.assert_clean();
}

fn source_addresses(layout: Layout) {
    let sources = &[[10, 0, 0, 7], [10, 0, 0, 8], [10, 0, 0, 9]];
    let mut bed = Bed::new(&Spec { front: few_ports, sources, ..Spec::new(layout) });
    let (mut joined, mut by_source) = (Vec::new(), HashMap::new());
    for _ in 0..40 {
        let client = End::new(bed.dial(Family::V4));
        bed.settle();
        match bed.accept(0) {
            Some(accepted) => {
                *by_source.entry(accepted.peer.addr).or_insert(0) += 1;
                joined.push((client, End::new(accepted.socket)));
            }
            None => bed.abort(Side::Client, client.socket),
        }
        if joined.len() == 6 {
            assert_eq!(by_source.len(), 3, "they take turns: {by_source:?}");
        }
    }
    // Every port of every address is used up before a client is turned away, as far as its shard has them.
    assert!(by_source.keys().all(|addr| sources.iter().any(|&source| *addr == std::net::IpAddr::from(source))));
    assert!(joined.len() <= 12);
    if layout.queues.iter().all(|&queues| queues == 1) {
        assert_eq!(joined.len(), 12, "{by_source:?}");
    }
    for (client, backend) in &joined {
        part(&mut bed, client, backend);
    }
    bed.assert_clean();
}
