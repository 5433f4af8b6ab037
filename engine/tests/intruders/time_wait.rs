//! What can be done to a tuple in TIME-WAIT, and by very many of them.

use crate::bed::{Bed, PLAIN, Peer, config};
use std::time::Duration;
use synward_engine::EngineConfig;
use synward_proto::{Counter, Flags};
use synward_testkit::wire::WireOption;

const FIN_ACK: Flags = Flags::FIN.union(Flags::ACK);

/// Ends a connection so that the engine is in TIME-WAIT.
fn part(bed: &mut Bed, peer: &mut Peer) {
    let socket = bed.accept();
    bed.close(socket);
    peer.ack = peer.ack.wrapping_add(1);
    bed.send(&peer.says(FIN_ACK, b""));
    peer.seq = peer.seq.wrapping_add(1);
}

/// RFC 1337: neither resets nor old duplicates end the wait, and none of them opens anything.
#[test]
fn nothing_old_ends_it_early() {
    let mut bed = Bed::new(config());
    let stamped = [WireOption::Mss(1460), WireOption::Timestamps(90_000, 0)];
    let mut peer = Peer::new(0);
    bed.shake(&mut peer, &stamped);
    part(&mut bed, &mut peer);
    let offsets = [0, 1, u32::MAX, 1_000, 0_u32.wrapping_sub(1_000), 65_534, 1 << 31];
    let old = Peer { timestamps: peer.timestamps.map(|(value, echo)| (value - 50_000, echo)), ..peer.clone() };
    for offset in offsets {
        for flags in [Flags::RST, Flags::RST | Flags::ACK, Flags::ACK, Flags::ACK | Flags::PSH, Flags::SYN | Flags::FIN]
        {
            for from in [&peer, &old] {
                bed.now += Duration::from_millis(10);
                let payload: &[u8] = if flags.contains(Flags::PSH) { b"old" } else { b"" };
                let answers = bed.send(&from.forges(flags, offset, payload));
                assert!(
                    answers.iter().all(|answer| answer.flags == Flags::ACK),
                    "{flags:?} at {offset:#x}: {answers:?}"
                );
                let gauges = bed.gauges();
                assert_eq!(
                    (gauges.time_waits, gauges.connections, gauges.half_open),
                    (1, 0, 0),
                    "{flags:?} {offset:#x}"
                );
            }
        }
    }
    // A SYN of before: its numbers and its timestamp are old.
    let syn = Peer { seq: peer.seq.wrapping_sub(5_000), ..peer.clone() };
    let answers = bed.send(&syn.syn(&[WireOption::Mss(1460), WireOption::Timestamps(80_000, 0)]));
    assert!(answers.iter().all(|answer| answer.flags == Flags::ACK), "{answers:?}");
    assert_eq!((bed.gauges().time_waits, bed.gauges().half_open), (1, 0));
    // As in Linux, what is old and acknowledges begins the wait anew; then it lasts as long as ever.
    bed.pass(Duration::from_secs(60) - Duration::from_millis(1));
    assert_eq!(bed.gauges().time_waits, 1);
    bed.pass(Duration::from_millis(2));
    assert_eq!(bed.gauges().time_waits, 0);
    bed.end();
}

/// A newer SYN opens at once (RFC 6191), by its number or by its timestamp alone.
#[test]
fn what_is_newer_opens_at_once() {
    let mut bed = Bed::new(config());
    for (n, ahead, stamp) in [(0, 1_000, None), (1, 0_u32.wrapping_sub(1_000), Some(100_000))] {
        let mut peer = Peer::new(n);
        let options = |value: Option<u32>| {
            let stamped = value.map(|value| WireOption::Timestamps(value, 0));
            [WireOption::Mss(1460)].into_iter().chain(stamped).collect::<Vec<_>>()
        };
        bed.shake(&mut peer, &options(stamp.map(|_| 90_000)));
        part(&mut bed, &mut peer);
        bed.now += Duration::from_millis(5);
        let mut again = Peer { seq: peer.seq.wrapping_add(ahead), timestamps: None, ..peer };
        bed.shake(&mut again, &options(stamp));
        let socket = bed.accept();
        assert!(bed.is_alive(&mut again, socket));
    }
    assert_eq!(bed.count(Counter::TWRecycled), 2);
    bed.end();
}

/// A million connections a minute from one address, each closed by us: fifty thousand ports, used again every three seconds. After
/// two seconds the table of TIME-WAIT is at its limit and stays there, the oldest gives way, and every connect succeeds.
#[test]
fn short_connections_at_a_million_a_minute_all_succeed() {
    const CONNECTIONS: u32 = 200_000;
    const LIMIT: u32 = 32_768;
    let mut bed = Bed::new(EngineConfig { max_time_waits: LIMIT, ..config() });
    let (mut heap, mut most) = (0, 0);
    for n in 0..CONNECTIONS {
        let port = n % 50_000;
        // Numbers of a client that is new each time: they rise, as the RFC wants.
        let mut peer = Peer { seq: n.wrapping_mul(4_001), ..Peer::new(port) };
        bed.shake(&mut peer, PLAIN);
        part(&mut bed, &mut peer);
        bed.now += Duration::from_micros(60);
        if n == 100_000 {
            heap = synward_testkit::heap::live();
        }
        if n % 1_000 == 0 {
            bed.taken();
            most = most.max(bed.gauges().time_waits);
        }
    }
    let grown = synward_testkit::heap::live() - heap;
    assert!(grown < 64 * 1024, "{grown} bytes more after 100,000 connections");
    assert_eq!((most, bed.gauges().connections), (LIMIT.into(), 0));
    assert_eq!(bed.count(Counter::PassiveOpens), u64::from(CONNECTIONS));
    bed.end();
}
