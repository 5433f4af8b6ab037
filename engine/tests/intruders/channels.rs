//! What a stranger may learn of one connection from another, and what he can predict.

use crate::bed::{Bed, PLAIN, Peer, client, config};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use synward_proto::{Counter, Endpoint, Flags};
use synward_testkit::wire::WireOption;

/// Resets at random places of the window of `peer`, 50 in each of 200 steps of 50 ms; challenges that came.
fn provoke(bed: &mut Bed, peers: &[&Peer]) -> Vec<usize> {
    let mut challenges = vec![0; peers.len()];
    for step in 0..200 {
        for (peer, challenges) in peers.iter().zip(&mut challenges) {
            let forged = (0..50).map(|n| peer.forges(Flags::RST, 1 + 50 * step + n, b""));
            *challenges += forged.map(|segment| bed.send(&segment).len()).sum::<usize>();
        }
        bed.pass(Duration::from_millis(50));
    }
    challenges
}

/// CVE-2016-5696: an attacker counts the challenges that his own connection draws, and learns how many others drew.
#[test]
fn challenges_of_one_connection_say_nothing_of_another() {
    let alone = {
        let mut bed = Bed::new(config());
        let (own, _) = bed.open(0, PLAIN);
        let alone = provoke(&mut bed, &[&own]);
        bed.end();
        alone[0]
    };
    // 10 s at no more than one in 500 ms.
    assert_eq!(alone, 20);

    let mut bed = Bed::new(config());
    let (own, _) = bed.open(0, PLAIN);
    let (victim, _) = bed.open(1, PLAIN);
    assert_eq!(provoke(&mut bed, &[&own, &victim]), [alone, alone], "as many as without the other");
    bed.end();

    // A's allowance is used up, that of a thousand others is whole.
    let mut bed = Bed::new(config());
    let (own, _) = bed.open(0, PLAIN);
    for _ in 0..1_000 {
        bed.send(&own.forges(Flags::RST, 9, b""));
    }
    assert_eq!(bed.count(Counter::TCPChallengeACK), 1);
    for n in 1..1_000 {
        let (other, _) = bed.open(n, PLAIN);
        assert_eq!(bed.send(&other.forges(Flags::RST, 9, b"")).len(), 1, "connection {n}");
    }
    bed.end();
}

/// The resets that a stranger draws from closed ports are counted by source: a greedy one takes nothing from others.
#[test]
fn resets_are_counted_by_source() {
    let mut bed = Bed::new(config());
    let stray = |source: Endpoint| {
        let peer = Peer { local: source, remote: Endpoint { port: 9, ..crate::bed::SERVER }, ..Peer::new(0) };
        peer.says(Flags::ACK, b"")
    };
    let drawn = (0..5_000).map(|_| bed.send(&stray(client(0))).len()).sum::<usize>();
    assert!(drawn > 0 && drawn <= 50, "{drawn} at one instant");
    let others = (1..=100).map(|n| client(50_000 * n));
    let answered = others.map(|source| bed.send(&stray(source)).len()).sum::<usize>();
    // One of 256 classes is used up: that a hundred others miss it all has a chance of two in three.
    assert!(answered >= 97, "{answered} of 100 other sources are answered");
    bed.end();
}

/// The sequence number of the SYN-ACK that `peer` gets now; the half-open entry is gone afterwards.
fn initial(bed: &mut Bed, peer: &Peer) -> u32 {
    let answers = bed.send(&peer.syn(PLAIN));
    let [syn_ack] = answers.as_slice() else { panic!("{answers:?}") };
    let reset = Peer { seq: syn_ack.ack, ..peer.clone() };
    bed.send(&reset.says(Flags::RST, b""));
    assert_eq!(bed.gauges().half_open, 0);
    syn_ack.seq
}

/// How far counts in 256 classes are from uniform: Pearson's statistic, 255 on average with a standard deviation of 22.6.
fn chi_square(values: &[u32], class: impl Fn(u32) -> u8) -> f64 {
    let mut counts = [0_f64; 256];
    values.iter().for_each(|&value| counts[usize::from(class(value))] += 1.0);
    let mean = values.len() as f64 / 256.0;
    counts.iter().map(|count| (count - mean).powi(2) / mean).sum()
}

/// Five standard deviations around the mean of 255 degrees of freedom: a uniform sample lies outside in one of a million.
fn assert_uniform(values: &[u32], what: &str) {
    for shift in [0, 8, 16, 24] {
        let statistic = chi_square(values, |value| (value >> shift) as u8);
        assert!((142.0..368.0).contains(&statistic), "{what}: byte {} has {statistic:.0}", shift / 8);
    }
}

/// RFC 9293, section 3.4.1: whoever sees the numbers of his own connections learns nothing of those of others.
#[test]
fn initial_sequence_numbers_of_tuples_are_independent() {
    let mut bed = Bed::new(config());
    let samples: Vec<u32> = (0..20_000).map(|n| initial(&mut bed, &Peer::new(n))).collect();
    let steps: Vec<u32> = samples.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert_uniform(&samples, "numbers at one instant");
    assert_uniform(&steps, "steps from one port to the next");
    // A birthday among 2^32: 20,000 values have 0.05 pairs on average.
    let distinct: HashSet<u32> = steps.iter().copied().collect();
    assert!(distinct.len() + 3 >= steps.len(), "{} of {} steps are distinct", distinct.len(), steps.len());
    bed.end();
}

/// MUST-8: for one tuple the numbers rise with the clock, one every 4 µs, whatever the peer's own number was.
#[test]
fn initial_sequence_numbers_of_one_tuple_rise_with_the_clock() {
    let mut bed = Bed::new(config());
    let mut last = initial(&mut bed, &Peer::new(0));
    for (step, millis) in (1..).zip([1, 10, 100, 1_000, 60_000, 600_000, 1, 1]) {
        bed.pass(Duration::from_millis(millis));
        let next = initial(&mut bed, &Peer { seq: 77 * step, ..Peer::new(0) });
        assert_eq!(u64::from(next.wrapping_sub(last)), millis * 250, "after {millis} ms");
        last = next;
    }
    bed.end();
}

/// RFC 7323, section 7.1: timestamps of two hosts have nothing in common, though the clock behind them is one.
#[test]
fn timestamps_do_not_tell_how_long_the_engine_runs() {
    let mut bed = Bed::new(config());
    let stamped = [WireOption::Mss(1460), WireOption::Timestamps(1, 0)];
    let mut value = |source: Endpoint| {
        let peer = Peer { local: source, ..Peer::new(0) };
        let answers = bed.send(&peer.syn(&stamped));
        let [syn_ack] = answers.as_slice() else { panic!("{answers:?}") };
        bed.send(&Peer { seq: syn_ack.ack, ..peer }.says(Flags::RST, b""));
        syn_ack.options.iter().find_map(|option| match *option {
            WireOption::Timestamps(value, _) => Some(value),
            _ => None,
        })
    };
    let host = |n: u32| Endpoint::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + n)), 40_000);
    let values: Vec<u32> = (0..20_000).map(|n| value(host(n)).expect("timestamps")).collect();
    assert_uniform(&values, "timestamps at one instant");
    // One pair of hosts has one clock, so that reconnects are not taken for old duplicates.
    let other_port = Endpoint { port: 40_001, ..host(7) };
    assert_eq!(value(other_port), Some(values[7]));
    bed.end();
}

/// RFC 6864: packets that are not to be fragmented need no identification, and a count of them would be one of everybody's.
#[test]
fn no_packet_carries_a_count_in_its_identification() {
    let mut bed = Bed::new(config());
    let mut frames = Vec::new();
    for n in 0..50 {
        let mut peer = Peer::new(n);
        bed.send(&peer.syn(PLAIN));
        bed.now += Duration::from_secs(1);
        frames.extend(bed.frames());
        peer.seq = peer.seq.wrapping_add(9);
        bed.send(&Peer { ack: 5, ..peer.clone() }.acks());
        frames.extend(bed.frames());
    }
    let (peer, socket) = bed.open(60, PLAIN);
    bed.write(socket, &[1; 9_000]);
    frames.extend(bed.frames());
    assert_eq!(bed.send(&peer.forges(Flags::RST, 1, b"")).len(), 1);
    bed.now += Duration::from_secs(3);
    frames.extend(bed.frames());
    assert!(frames.len() > 50);
    for frame in frames {
        let (identification, fragmenting) = (&frame[18..20], &frame[20..22]);
        assert_eq!((identification, fragmenting), (&[0, 0][..], &[0x40, 0][..]), "no number, and DF alone");
    }
    bed.end();
}
