//! Samples: who is in them, and how many segments they stand for.

use std::net::IpAddr;

use synward_ebpf::ShieldCounter::{DroppedAck, DroppedBlocked};
use synward_ebpf::XdpAction::Drop;
use synward_ebpf::{Limits, ListVerdict, Sample, SampleKind};

use crate::Test;
use crate::bench::Bench;
use crate::ceilings::{connect, syn, up};
use crate::namespace::isolated;
use crate::segment::Raw;

pub const TESTS: &[Test] = &[
    ("samples_say_who_sent_what", || isolated(who_sent_what)),
    ("samples_stand_for_all_that_came", || isolated(stand_for_all)),
    ("samples_do_not_fall_into_step", || isolated(no_step)),
];

fn stray_ack(source: IpAddr) -> Vec<u8> {
    Raw { flags: 0x10, ..syn(source) }.frame()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn weight(samples: &[Sample]) -> u64 {
    samples.iter().map(|sample| sample.weight).sum()
}

/// Of so many events, one in 32 is drawn, at random.
fn assert_about(weight: u64, events: u64) {
    assert!((events * 2 / 3..=events * 3 / 2).contains(&weight), "{weight} of {events}");
}

/// What the samples of events of one kind are that come from one source.
fn taken(bench: &mut Bench, events: u64, mut event: impl FnMut(&Bench)) -> Vec<(IpAddr, SampleKind)> {
    assert_eq!(bench.shield.take_samples(), [], "nothing is taken twice");
    (0..events).for_each(|_| event(bench));
    let samples = bench.shield.take_samples();
    assert_about(weight(&samples), events);
    let mut kinds: Vec<_> = samples.iter().map(|sample| (sample.source, sample.kind)).collect();
    kinds.dedup();
    kinds
}

fn who_sent_what() {
    let mut bench = up(&Limits::default());
    for source in [ip("203.0.113.1"), ip("2001:db8:7::1")] {
        let answered = taken(&mut bench, 3000, |bench| {
            bench.judge(&syn(source).frame());
        });
        assert_eq!(answered, [(source, SampleKind::Answered)]);
        let refused = taken(&mut bench, 3000, |bench| {
            assert_eq!(bench.judge(&stray_ack(source)), (Drop, DroppedAck));
        });
        assert_eq!(refused, [(source, SampleKind::Refused)]);
        bench.shield.prefix_list().insert(source.into(), ListVerdict::Drop, None).unwrap();
        let blocked = taken(&mut bench, 3000, |bench| {
            assert_eq!(bench.judge(&stray_ack(source)), (Drop, DroppedBlocked));
        });
        assert_eq!(blocked, [(source, SampleKind::Refused)]);
        bench.shield.prefix_list().remove(source.into()).unwrap();

        (1..=100).for_each(|port| connect(&bench, source, port));
        let mut samples = bench.shield.take_samples();
        samples.retain(|sample| sample.kind == SampleKind::Proven);
        assert_eq!(samples, vec![Sample { source, kind: SampleKind::Proven, weight: 1 }; 100]);
    }
}

/// Far more than a ring holds is written over, and what is left stands for it.
fn stand_for_all() {
    let mut bench = up(&Limits::default());
    let source = ip("203.0.113.1");
    for _ in 0..3 {
        let frame = stray_ack(source);
        (0..200_000).for_each(|_| assert_eq!(bench.shield.judge(&frame, bench.arrival).unwrap(), Drop));
        let samples = bench.shield.take_samples();
        assert!(samples.iter().all(|sample| (sample.source, sample.kind) == (source, SampleKind::Refused)));
        assert!(samples.len() < 200_000 / 32 / 2, "a ring is far smaller than {}", samples.len());
        assert_about(weight(&samples), 200_000);
    }
}

/// Two sources that take turns are both seen.
fn no_step() {
    let mut bench = up(&Limits::default());
    let sources = [ip("203.0.113.1"), ip("203.0.113.2")];
    for source in sources.iter().cycle().take(10_000) {
        bench.judge(&stray_ack(*source));
    }
    let samples = bench.shield.take_samples();
    for source in sources {
        let seen: Vec<_> = samples.iter().copied().filter(|sample| sample.source == source).collect();
        assert_about(weight(&seen), 5_000);
    }
}
