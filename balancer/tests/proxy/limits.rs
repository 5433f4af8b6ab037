//! How many clients there may be, and how they come to an end.

use crate::Test;
use crate::bed::{Backend, Bed, Family, Layout, Side, Spec};
use crate::end::{End, pattern};
use std::time::Duration;
use synward_engine::{EngineConfig, SocketError, Workers};

pub const TESTS: &[Test] = &[
    ("a_thousand_clients_at_once", a_thousand),
    ("at_its_limit_a_listener_leaves_clients_to_wait", at_the_limit),
    ("a_full_engine_turns_clients_away_and_recovers", full_engine),
    ("draining_takes_no_more_and_lets_the_others_finish", draining),
    ("aborting_ends_all", aborting),
    ("workers_share_and_a_stalled_one_hinders_only_its_own", stalled_worker),
];

fn a_thousand(layout: Layout) {
    const CLIENTS: usize = 1_000;
    let mut bed = Bed::new(&Spec { backends: &[Backend::Serving; 4], ..Spec::new(layout) });
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(End::new(bed.dial(Family::V4)).sends(pattern(number as u64, 3_000)).ends());
        if number % 50 == 49 {
            bed.settle();
        }
    }
    let mut backends: Vec<_> = std::iter::from_fn(|| bed.accept_any())
        .map(|(number, accepted)| End::new(accepted.socket).sends(vec![number as u8; 2_000]).ends())
        .collect();
    assert_eq!((backends.len(), bed.connections()), (CLIENTS, CLIENTS));
    assert_eq!(bed.front_gauges().connections, 2 * CLIENTS as u64);
    let mut ends: Vec<_> = clients.iter_mut().map(|end| (Side::Client, end)).collect();
    ends.extend(backends.iter_mut().map(|end| (Side::Backend, end)));
    bed.advance_with(Duration::from_secs(10), &mut ends);
    for (side, end) in ends {
        assert!(end.eof && end.error.is_none());
        bed.host(side).sockets.close(end.socket).expect("open");
    }
    let mut wanted: Vec<_> = (0..CLIENTS as u64).map(|number| pattern(number, 3_000)).collect();
    let mut got: Vec<_> = backends.into_iter().map(|end| end.received).collect();
    wanted.sort();
    got.sort();
    assert!(got == wanted, "every backend connection has the bytes of one client");
    assert!(
        clients.iter().all(|end| end.received.len() == 2_000 && end.received.iter().all(|it| *it == end.received[0]))
    );
    assert_eq!(bed.report().listeners[0].accepted, CLIENTS as u64);
    bed.assert_clean();
}

fn at_the_limit(layout: Layout) {
    let mut bed = Bed::new(&Spec { listener: "max_connections = 3", ..Spec::new(layout) });
    let clients: Vec<_> = (0..8).map(|_| bed.dial(Family::V4)).collect();
    bed.advance(Duration::from_secs(1));
    assert_eq!((bed.connections(), bed.report().listeners[0].clients), (3, 3));
    // Each that goes makes room for one that waits.
    for (done, _) in clients.iter().enumerate() {
        let Some(accepted) = bed.accept(0) else { panic!("{done} were served") };
        bed.abort(Side::Backend, accepted.socket);
        bed.advance(Duration::from_millis(20));
        assert_eq!(bed.connections(), (8 - 1 - done).min(3));
    }
    for client in clients {
        bed.abort(Side::Client, client);
    }
    assert_eq!(bed.report().listeners[0].accepted, 8);
    bed.assert_clean();
}

fn tiny(config: EngineConfig) -> EngineConfig {
    EngineConfig { max_connections: 16, ..config }
}

fn full_engine(layout: Layout) {
    let mut bed = Bed::new(&Spec { front: tiny, ..Spec::new(layout) });
    let mut clients: Vec<_> = (0..80).map(|_| End::new(bed.dial(Family::V4))).collect();
    let mut ends: Vec<_> = clients.iter_mut().map(|end| (Side::Client, end)).collect();
    bed.advance_with(Duration::from_secs(2), &mut ends);
    let joined = std::iter::from_fn(|| bed.accept(0)).map(|accepted| accepted.socket).collect::<Vec<_>>();
    assert!(joined.len() < 80, "{}", joined.len());
    assert_eq!(bed.connections(), joined.len());
    for socket in joined {
        bed.abort(Side::Backend, socket);
    }
    for client in clients {
        bed.abort(Side::Client, client.socket);
    }
    bed.advance(Duration::from_secs(1));
    let (client, backend) = bed.pair();
    bed.abort(Side::Client, client.socket);
    bed.abort(Side::Backend, backend.socket);
    while let Some(accepted) = bed.accept(0) {
        bed.abort(Side::Backend, accepted.socket);
    }
    bed.assert_clean();
}

fn for_each_proxy(bed: &mut Bed, act: fn(&mut synward::proxy::Guarded, &mut synward_engine::SocketCore)) {
    for (proxy, core) in bed.proxies.iter_mut().zip(&mut bed.front.workers) {
        act(proxy, core);
    }
    bed.settle();
}

fn draining(layout: Layout) {
    let mut bed = Bed::new(&Spec::new(layout));
    let (mut client, mut backend) = bed.pair();
    for_each_proxy(&mut bed, |proxy, core| proxy.drain(core));
    let mut late = End::new(bed.dial(Family::V4));
    bed.run(&mut [(Side::Client, &mut late)]);
    assert_eq!(late.error, Some(SocketError::ConnectionRefused));
    bed.abort(Side::Client, late.socket);
    (client, backend) = (client.sends(pattern(1, 300_000)).ends(), backend.sends(pattern(2, 300_000)).ends());
    bed.advance_with(Duration::from_secs(5), &mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    assert!(client.received == pattern(2, 300_000) && backend.received == pattern(1, 300_000));
    bed.clients.sockets.close(client.socket).expect("open");
    bed.backends.sockets.close(backend.socket).expect("open");
    bed.settle();
    bed.assert_clean();
}

fn aborting(layout: Layout) {
    let mut bed = Bed::new(&Spec { backends: &[Backend::Serving, Backend::Silent], ..Spec::new(layout) });
    let mut clients: Vec<_> = (0..20).map(|_| End::new(bed.dial(Family::V4))).collect();
    bed.settle();
    assert_eq!(bed.connections(), 20);
    for_each_proxy(&mut bed, |proxy, core| proxy.abort_all(core));
    assert_eq!((bed.connections(), bed.front_gauges().connections), (0, 0));
    for client in &mut clients {
        bed.run(&mut [(Side::Client, client)]);
        assert_eq!(client.error, Some(SocketError::ConnectionReset));
        bed.abort(Side::Client, client.socket);
    }
    while let Some(accepted) = bed.accept(0) {
        bed.abort(Side::Backend, accepted.socket);
    }
    bed.assert_clean();
}

fn stalled_worker(layout: Layout) {
    if layout.workers != Workers::Threads(2) {
        return;
    }
    let mut bed = Bed::new(&Spec::new(layout));
    let mut pairs: Vec<_> = (0..20).map(|_| bed.pair()).collect();
    let counts: Vec<_> = bed.proxies.iter().map(synward::proxy::Guarded::connections).collect();
    assert!(counts.iter().all(|&count| count >= 5), "{counts:?}");
    bed.stalled = Some(1);
    let mut late: Vec<_> = (0..20).map(|_| End::new(bed.dial(Family::V4))).collect();
    bed.settle();
    let accepted: Vec<_> = std::iter::from_fn(|| bed.accept(0)).map(|it| End::new(it.socket)).collect();
    // It is given a connection for each that waits there already: hardly any while the other takes what comes.
    assert!(accepted.len() >= 10, "{}", accepted.len());
    let mut ends: Vec<_> = pairs.iter_mut().map(|(client, _)| (Side::Client, client)).collect();
    for (_, end) in &mut ends {
        **end = End::new(end.socket).sends(pattern(1, 20_000));
    }
    bed.advance_with(Duration::from_secs(1), &mut ends);
    for (_, backend) in &mut pairs {
        bed.run(&mut [(Side::Backend, backend)]);
    }
    let served = pairs.iter().filter(|(_, backend)| backend.received == pattern(1, 20_000)).count();
    // A splice needs no worker at all.
    let wanted = if layout.splices() { 20 } else { counts[0] };
    assert_eq!(served, wanted);

    bed.stalled = None;
    bed.settle();
    for (_, backend) in &mut pairs {
        bed.run(&mut [(Side::Backend, backend)]);
        assert_eq!(backend.received, pattern(1, 20_000));
    }
    let rest: Vec<_> = std::iter::from_fn(|| bed.accept(0)).map(|it| End::new(it.socket)).collect();
    assert_eq!(accepted.len() + rest.len(), 20);
    for end in pairs.iter().map(|(client, _)| client).chain(&late) {
        bed.clients.sockets.abort(end.socket).expect("open");
    }
    for end in pairs.iter().map(|(_, backend)| backend).chain(&accepted).chain(&rest) {
        bed.backends.sockets.abort(end.socket).expect("open");
    }
    late.clear();
    bed.settle();
    bed.assert_clean();
}
