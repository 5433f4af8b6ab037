//! What fails on one side is told to the other.

use crate::Test;
use crate::bed::{Backend, Bed, Family, Layout, Side, Spec};
use crate::end::{End, pattern};
use std::time::Duration;
use synward_engine::SocketError;

pub const TESTS: &[Test] = &[
    ("a_reset_goes_across", reset),
    ("a_reset_goes_across_a_full_pipe", reset_of_a_full_pipe),
    ("a_reset_goes_across_after_one_stream_has_ended", reset_when_half_closed),
    ("a_client_that_goes_away_while_connecting_costs_its_backend_nothing", gone_while_connecting),
    ("a_client_that_is_gone_before_it_is_accepted_is_let_go", gone_before_accept),
    ("a_pair_that_is_idle_is_reset", idle),
    ("a_pair_that_is_stuck_is_reset", stuck),
    ("a_slow_reader_is_not_idle", slow_reader),
    ("activity_in_one_direction_keeps_a_pair", one_way_activity),
    ("a_pair_that_has_closed_one_side_and_is_aborted_is_gone", aborted_when_half_over),
    ("a_worker_that_is_dropped_resets_its_clients", dropped_worker),
    ("a_proxy_that_panics_resets_its_clients_and_the_next_ones_are_served", panicked),
    ("a_backend_that_is_lost_without_a_word_times_out", lost),
];

fn reset(layout: Layout) {
    for from in Side::BOTH {
        let mut bed = Bed::new(&Spec::new(layout));
        let (client, backend) = bed.pair();
        let (mut near, mut far) = if from == Side::Client { (client, backend) } else { (backend, client) };
        let other = other(from);
        near = near.sends(pattern(1, 10_000));
        bed.run(&mut [(from, &mut near), (other, &mut far)]);
        assert_eq!(far.received, pattern(1, 10_000));
        bed.abort(from, near.socket);
        bed.run(&mut [(other, &mut far)]);
        assert_eq!(far.error, Some(SocketError::ConnectionReset));
        assert_eq!(bed.connections(), 0);
        bed.abort(other, far.socket);
        bed.assert_clean();
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Backend,
        Side::Backend => Side::Client,
    }
}

fn reset_of_a_full_pipe(layout: Layout) {
    for from in Side::BOTH {
        let mut bed = Bed::new(&Spec::new(layout));
        let (client, backend) = bed.pair();
        let (near, far) = if from == Side::Client { (client, backend) } else { (backend, client) };
        let other = other(from);
        let (mut near, mut far) = (near.sends(pattern(1, 3_000_000)), far.stalls());
        bed.advance_with(Duration::from_secs(5), &mut [(from, &mut near), (other, &mut far)]);
        bed.abort(from, near.socket);
        assert_eq!(bed.connections(), 0);
        far.reads = true;
        bed.advance_with(Duration::from_secs(5), &mut [(other, &mut far)]);
        assert_eq!(far.error, Some(SocketError::ConnectionReset));
        assert!(pattern(1, 3_000_000).starts_with(&far.received));
        bed.abort(other, far.socket);
        bed.assert_clean();
    }
}

fn reset_when_half_closed(layout: Layout) {
    for from in Side::BOTH {
        for by in Side::BOTH {
            let mut bed = Bed::new(&Spec::new(layout));
            let (client, backend) = bed.pair();
            let (near, far) = if from == Side::Client { (client, backend) } else { (backend, client) };
            let (mut near, mut far) = (near.sends(pattern(1, 1_000)).ends(), far);
            bed.run(&mut [(from, &mut near), (other(from), &mut far)]);
            assert!(far.eof && bed.connections() == 1);
            let (gone, left) = if by == from { (near, &mut far) } else { (far, &mut near) };
            bed.abort(by, gone.socket);
            let left_side = other(by);
            left.eof = false;
            bed.run(&mut [(left_side, left)]);
            // One that had read the end of the stream before reads nothing else.
            assert!(left.error == Some(SocketError::ConnectionReset) || left.eof, "{left:?}");
            assert_eq!(bed.connections(), 0);
            let socket = left.socket;
            bed.abort(left_side, socket);
            bed.assert_clean();
        }
    }
}

fn gone_while_connecting(layout: Layout) {
    let mut bed = Bed::new(&Spec { backends: &[Backend::Silent], ..Spec::new(layout) });
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = End::new(bed.dial(Family::V4)).sends(pattern(1, 60_000));
        bed.run(&mut [(Side::Client, &mut client)]);
        clients.push(client);
    }
    assert_eq!((bed.connections(), bed.report().pools[0].backends[0].connecting), (6, 6));
    for client in clients {
        bed.abort(Side::Client, client.socket);
    }
    assert_eq!(bed.connections(), 0);
    let report = bed.report();
    assert_eq!((report.listeners[0].client_gone, report.listeners[0].no_backend), (6, 0));
    let backend = &report.pools[0].backends[0];
    assert_eq!((backend.connecting, backend.timed_out, backend.state.as_str()), (0, 0, "up"));
    bed.assert_clean();
}

fn gone_before_accept(layout: Layout) {
    let mut bed =
        Bed::new(&Spec { backends: &[Backend::Silent], listener: "max_connections = 1", ..Spec::new(layout) });
    let first = bed.dial(Family::V4);
    bed.settle();
    let second = bed.dial(Family::V4);
    bed.settle();
    assert_eq!(bed.connections(), 1);
    bed.abort(Side::Client, second);
    bed.abort(Side::Client, first);
    bed.advance(Duration::from_millis(100));
    assert_eq!(bed.connections(), 0);
    assert_eq!(bed.report().listeners[0].client_gone, 2);
    bed.assert_clean();
}

fn idle(layout: Layout) {
    let mut bed = Bed::new(&Spec { listener: "idle_timeout = '10s'", ..Spec::new(layout) });
    let (mut client, mut backend) = bed.pair();
    bed.advance(Duration::from_secs(9));
    client = client.sends(vec![1]);
    let mut ends = [(Side::Client, &mut client), (Side::Backend, &mut backend)];
    bed.advance_with(Duration::from_millis(9_900), &mut ends);
    assert_eq!(bed.connections(), 1);
    // A relay looks four times per timeout whether anything was acknowledged.
    bed.advance_with(Duration::from_millis(2_600), &mut ends);
    assert_eq!((bed.connections(), bed.report().idle), (0, 1));
    assert_eq!((client.error, backend.error), (Some(SocketError::ConnectionReset), Some(SocketError::ConnectionReset)));
    bed.abort(Side::Client, client.socket);
    bed.abort(Side::Backend, backend.socket);
    bed.assert_clean();
}

/// Both are alive and acknowledge, but nothing moves.
fn stuck(layout: Layout) {
    let mut bed = Bed::new(&Spec { listener: "idle_timeout = '1m'", ..Spec::new(layout) });
    let (client, backend) = bed.pair();
    let (mut client, mut backend) = (client.stalls().ends(), backend.sends(pattern(1, 3_000_000)));
    bed.advance_with(Duration::from_secs(50), &mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    assert!(backend.eof && bed.connections() == 1);
    bed.advance_with(Duration::from_secs(20), &mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    assert_eq!((bed.connections(), bed.report().idle), (0, 1));
    bed.abort(Side::Client, client.socket);
    bed.abort(Side::Backend, backend.socket);
    bed.assert_clean();
}

/// Everything has been carried across, and the client takes its time.
fn slow_reader(layout: Layout) {
    let mut bed = Bed::new(&Spec { listener: "idle_timeout = '10s'", ..Spec::new(layout) });
    let (client, backend) = bed.pair();
    let (mut client, mut backend) = (client.stalls(), backend.sends(pattern(1, 500_000)).ends());
    bed.advance_with(Duration::from_secs(1), &mut [(Side::Backend, &mut backend)]);
    for _ in 0..4 {
        client.read_some(&mut bed.clients, 70_000);
        bed.advance(Duration::from_secs(8));
    }
    client.reads = true;
    let mut client = client.ends();
    bed.advance_with(Duration::from_secs(1), &mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    assert!(client.eof && client.received == pattern(1, 500_000), "{client:?}");
    bed.clients.sockets.close(client.socket).expect("open");
    bed.backends.sockets.close(backend.socket).expect("open");
    bed.settle();
    assert_eq!(bed.report().idle, 0);
    bed.assert_clean();
}

fn one_way_activity(layout: Layout) {
    let mut bed = Bed::new(&Spec { listener: "idle_timeout = '10s'", ..Spec::new(layout) });
    let (client, mut backend) = bed.pair();
    let mut client = client.ends();
    for _ in 0..20 {
        backend = backend.sends(vec![7]);
        bed.advance_with(Duration::from_secs(8), &mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    }
    assert_eq!(client.received, [7; 20]);
    backend = backend.ends();
    bed.run(&mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    assert!(client.eof && backend.eof && client.error.is_none());
    bed.clients.sockets.close(client.socket).expect("open");
    bed.backends.sockets.close(backend.socket).expect("open");
    bed.settle();
    assert_eq!(bed.report().idle, 0);
    bed.assert_clean();
}

/// The client's connection is over in good order, and its backend still has bytes to take: aborting must reach those.
fn aborted_when_half_over(layout: Layout) {
    for slow in Side::BOTH {
        let mut bed = Bed::new(&Spec::new(layout));
        let (client, backend) = bed.pair();
        let ends = [client, backend];
        // One side has sent much that the other does not read, and both have shut down.
        let [mut client, mut backend] = ends.map(|end| end.ends());
        let fast = other(slow);
        let (sender, stalled) =
            if slow == Side::Client { (&mut backend, &mut client) } else { (&mut client, &mut backend) };
        *sender = End::new(sender.socket).sends(pattern(1, 400_000)).ends();
        stalled.reads = false;
        bed.advance_with(Duration::from_secs(3), &mut [(fast, sender), (slow, stalled)]);
        assert!(sender.eof);
        // The fast side's connection ends; the other one cannot.
        bed.host(fast).sockets.close(sender.socket).expect("open");
        bed.settle();
        for (proxy, core) in bed.proxies.iter_mut().zip(&mut bed.front.workers) {
            proxy.abort_all(core);
        }
        bed.settle();
        assert_eq!(bed.connections(), 0);
        if layout.splices() {
            assert_eq!(bed.front_gauges().connections, 0, "a splice ends whole");
        }
        let socket = stalled.socket;
        bed.abort(slow, socket);
        bed.assert_clean();
    }
}

fn dropped_worker(layout: Layout) {
    let mut bed = Bed::new(&Spec { backends: &[Backend::Serving, Backend::Silent], ..Spec::new(layout) });
    let mut clients: Vec<_> = (0..12).map(|_| End::new(bed.dial(Family::V4))).collect();
    bed.settle();
    let mut backends: Vec<_> = std::iter::from_fn(|| bed.accept(0))
        .map(|accepted| End::new(accepted.socket).sends(pattern(1, 9_000)))
        .collect();
    assert!(backends.len() >= 6);
    let mut ends: Vec<_> = clients.iter_mut().map(|end| (Side::Client, end)).collect();
    ends.extend(backends.iter_mut().map(|end| (Side::Backend, end)));
    bed.run(&mut ends);
    // All workers end, one after the other.
    while bed.drop_worker() {
        bed.run(&mut ends);
    }
    for (side, end) in ends {
        assert_eq!(end.error, Some(SocketError::ConnectionReset), "{side:?}");
        bed.host(side).sockets.abort(end.socket).expect("open");
    }
    assert_eq!(bed.front_gauges().connections, 0);
    let mut turned = End::new(bed.dial(Family::V4));
    bed.run(&mut [(Side::Client, &mut turned)]);
    assert_eq!(turned.error, Some(SocketError::ConnectionRefused));
    bed.abort(Side::Client, turned.socket);
    bed.assert_clean();
}

fn lost(layout: Layout) {
    let mut bed = Bed::new(&Spec { listener: "idle_timeout = '2h'", ..Spec::new(layout) });
    let (client, backend) = bed.pair();
    let mut client = client.sends(pattern(1, 2_000));
    bed.lose_backends(true);
    bed.advance_with(Duration::from_secs(3_000), &mut [(Side::Client, &mut client)]);
    assert_eq!(client.error, Some(SocketError::ConnectionReset));
    assert_eq!((bed.connections(), bed.report().idle), (0, 0));
    bed.lose_backends(false);
    bed.abort(Side::Client, client.socket);
    bed.abort(Side::Backend, backend.socket);
    bed.assert_clean();
}

fn panicked(layout: Layout) {
    let mut bed = Bed::new(&Spec::new(layout));
    let (mut client, mut backend) = bed.pair();
    bed.panic(true);
    let mut unlucky: Vec<_> = (0..12).map(|_| End::new(bed.dial(Family::V4))).collect();
    let mut ends: Vec<_> = unlucky.iter_mut().map(|end| (Side::Client, end)).collect();
    bed.run(&mut ends);
    assert!(ends.iter().all(|(_, end)| end.error == Some(SocketError::ConnectionReset)), "somebody waits in vain");
    for (_, end) in ends {
        bed.abort(Side::Client, end.socket);
    }
    bed.panic(false);
    let panics = bed.report().worker_panics;
    assert!((1..=12).contains(&panics), "{panics}");

    // The pair that was there is reset with the worker that had it, and lives on with another.
    client = client.sends(pattern(1, 9_000));
    bed.run(&mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    assert!(client.error == Some(SocketError::ConnectionReset) || backend.received == pattern(1, 9_000));
    bed.abort(Side::Client, client.socket);
    bed.abort(Side::Backend, backend.socket);

    let (mut client, mut backend) = bed.pair();
    client = client.sends(pattern(2, 9_000));
    bed.run(&mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    assert_eq!(backend.received, pattern(2, 9_000));
    assert_eq!(bed.report().worker_panics, panics, "it panicked again");
    bed.abort(Side::Client, client.socket);
    bed.run(&mut [(Side::Backend, &mut backend)]);
    bed.abort(Side::Backend, backend.socket);
    bed.assert_clean();
}
