//! Bytes and the ends of streams go across, both ways.

use crate::Test;
use crate::bed::{Backend, Bed, Family, Layout, Side, Spec};
use crate::end::{End, pattern};
use std::time::Duration;
use synward_nic::FrameBudget;

pub const TESTS: &[Test] = &[
    ("bytes_go_both_ways", both_ways),
    ("bytes_go_both_ways_between_large_ports", between_large_ports),
    ("families_may_differ", families),
    ("one_direction_goes_on_when_the_other_has_ended", half_closed),
    ("a_client_that_asks_before_it_is_joined_is_heard", early_bytes),
    ("a_backend_that_speaks_first_is_heard", backend_first),
    ("a_client_that_never_reads_stops_its_backend", back_pressure),
    ("single_bytes_go_across_at_once", single_bytes),
];

fn both_ways(layout: Layout) {
    exchange(&mut Bed::new(&Spec::new(layout)));
}

fn between_large_ports(layout: Layout) {
    exchange(&mut Bed::new(&Spec {
        budget: FrameBudget { readers: 64, ..FrameBudget::default() },
        ..Spec::new(layout)
    }));
}

/// More than every buffer on the way, both ways at once, then an orderly end.
fn exchange(bed: &mut Bed) {
    let (up, down) = (pattern(1, 1_500_000), pattern(2, 2_000_000));
    let (client, backend) = bed.pair();
    let (mut client, mut backend) = (client.sends(up.clone()).ends(), backend.sends(down.clone()).ends());
    let mut ends = [(Side::Client, &mut client), (Side::Backend, &mut backend)];
    bed.advance_with(Duration::from_secs(60), &mut ends);
    assert!(client.eof && backend.eof, "{:?} {:?}", client.error, backend.error);
    assert!(client.received == down && backend.received == up);
    close(bed, &client, &backend);

    let report = bed.report();
    let (spliced, relayed) = if bed.layout.splices() { (1, 0) } else { (0, 1) };
    assert_eq!((report.spliced, report.relayed), (spliced, relayed));
    let it = &report.pools[0].backends[0];
    assert_eq!((it.bytes_to, it.bytes_from, it.total), (up.len() as u64, down.len() as u64, 1));
    assert_eq!(report.listeners[0].accepted, 1);
    bed.assert_clean();
}

fn close(bed: &mut Bed, client: &End, backend: &End) {
    bed.clients.sockets.close(client.socket).expect("open");
    bed.backends.sockets.close(backend.socket).expect("open");
    bed.settle();
}

fn families(layout: Layout) {
    for backend in [Backend::Serving, Backend::ServingV6] {
        let mut bed = Bed::new(&Spec { backends: &[backend], ..Spec::new(layout) });
        for family in [Family::V4, Family::V6] {
            let client = bed.dial(family);
            bed.settle();
            let accepted = bed.accept(0).expect("asked");
            assert_eq!(accepted.peer.addr.is_ipv4(), backend == Backend::Serving);
            let mut client = End::new(client).sends(pattern(1, 10_000)).ends();
            let mut backend = End::new(accepted.socket).sends(pattern(2, 10_000)).ends();
            bed.run(&mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
            assert!(client.received == pattern(2, 10_000) && backend.received == pattern(1, 10_000));
            close(&mut bed, &client, &backend);
        }
        bed.assert_clean();
    }
}

fn half_closed(layout: Layout) {
    for first in Side::BOTH {
        let mut bed = Bed::new(&Spec::new(layout));
        let (client, backend) = bed.pair();
        let mut ends = [client, backend];
        let (quick, slow) = if first == Side::Client { (0, 1) } else { (1, 0) };
        ends[quick] = End::new(ends[quick].socket).sends(pattern(3, 700_000)).ends();
        run_both(&mut bed, &mut ends);
        assert!(ends[slow].eof && ends[slow].received == pattern(3, 700_000));
        assert!(!ends[quick].eof);

        // Minutes later the other direction is as good as ever.
        bed.advance(Duration::from_secs(200));
        ends[slow] = End::new(ends[slow].socket).sends(pattern(4, 700_000)).ends();
        run_both(&mut bed, &mut ends);
        assert!(ends[quick].eof && ends[quick].received == pattern(4, 700_000), "{:?}", ends[quick].error);
        let [client, backend] = ends;
        close(&mut bed, &client, &backend);
        assert_eq!(bed.report().idle, 0);
        bed.assert_clean();
    }
}

fn run_both(bed: &mut Bed, [client, backend]: &mut [End; 2]) {
    bed.advance_with(Duration::from_secs(30), &mut [(Side::Client, client), (Side::Backend, backend)]);
}

fn early_bytes(layout: Layout) {
    let mut bed = Bed::new(&Spec::new(layout));
    let mut client = End::new(bed.dial(Family::V4)).sends(pattern(5, 100_000)).ends();
    bed.run(&mut [(Side::Client, &mut client)]);
    let accepted = bed.accept(0).expect("asked");
    let mut backend = End::new(accepted.socket).ends();
    bed.run(&mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    assert!(backend.eof && backend.received == pattern(5, 100_000));
    assert!(client.eof && client.received.is_empty());
    close(&mut bed, &client, &backend);
    bed.assert_clean();
}

fn backend_first(layout: Layout) {
    let mut bed = Bed::new(&Spec::new(layout));
    let (mut client, backend) = bed.pair();
    let mut backend = backend.sends(b"220 ready\r\n".to_vec());
    bed.run(&mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
    assert_eq!(client.received, b"220 ready\r\n");
    bed.abort(Side::Client, client.socket);
    bed.abort(Side::Backend, backend.socket);
    bed.assert_clean();
}

fn back_pressure(layout: Layout) {
    let mut bed = Bed::new(&Spec::new(layout));
    let (client, backend) = bed.pair();
    let (mut client, mut backend) = (client.stalls(), backend.sends(pattern(6, 4_000_000)).ends());
    let mut ends = [(Side::Client, &mut client), (Side::Backend, &mut backend)];
    bed.advance_with(Duration::from_secs(20), &mut ends);
    // A send buffer at the backend, a receive buffer and a send buffer here, and a receive buffer at the client.
    let stopped = backend.sent;
    assert!((256 * 1024..=4 * 256 * 1024).contains(&stopped), "{stopped}");
    // And of frames no more than the share of one reader on either side.
    assert!(bed.front_gauges().frames_lent <= 2 * 32, "{:?}", bed.front_gauges());
    let mut ends = [(Side::Client, &mut client), (Side::Backend, &mut backend)];
    bed.advance_with(Duration::from_secs(60), &mut ends);
    assert_eq!(backend.sent, stopped);

    // It had only slept.
    client.reads = true;
    let mut ends = [(Side::Client, &mut client), (Side::Backend, &mut backend)];
    bed.advance_with(Duration::from_secs(120), &mut ends);
    assert!(client.eof && client.received == pattern(6, 4_000_000), "{:?}", client.error);
    close(&mut bed, &client, &backend);
    bed.assert_clean();
}

/// What is passed on is complete as it is: nothing waits for more of it, nor for an acknowledgment.
fn single_bytes(layout: Layout) {
    let mut bed = Bed::new(&Spec::new(layout));
    let (mut client, mut backend) = bed.pair();
    for byte in 0..50 {
        let told = [&mut client, &mut backend].map(|end| std::mem::replace(end, End::new(end.socket)));
        client = End::new(told[0].socket).sends(vec![byte]);
        backend = End::new(told[1].socket).sends(vec![byte]);
        bed.run(&mut [(Side::Client, &mut client), (Side::Backend, &mut backend)]);
        assert_eq!((&client.received, &backend.received), (&vec![byte], &vec![byte]), "byte {byte}");
    }
    bed.abort(Side::Client, client.socket);
    bed.abort(Side::Backend, backend.socket);
    bed.assert_clean();
}
