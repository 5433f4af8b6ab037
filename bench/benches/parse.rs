//! What the door costs: nanoseconds to read a frame, to write one, and to sum its bytes.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::IpAddr;
use synward_proto::segment::{DataOptions, Mss, SackBlocks, SynOptions, Timestamps, WindowScale};
use synward_proto::wire::checksum::Sum;
use synward_proto::wire::{ChecksumPolicy, HEADROOM, SegmentWriter, parse};
use synward_proto::{Endpoint, Flags, Head, Link, Marking, Options, SeqNum, Tuple};

const TIMESTAMPS: Timestamps = Timestamps { value: 7, echo: 9 };

/// The kinds of frame that a busy front end sees, each with its payload.
fn kinds() -> Vec<(&'static str, Head, Vec<u8>)> {
    let (v4, v6) = (tuple(["192.0.2.1", "198.51.100.2"]), tuple(["2001:db8:1::1", "2001:db8:2::2"]));
    let flooder = SynOptions { mss: Mss::announced(1460), ..SynOptions::default() };
    let client = SynOptions {
        window_scale: Some(WindowScale::clamped(7)),
        sack_permitted: true,
        timestamps: Some(TIMESTAMPS),
        ..flooder
    };
    let data = Options::Data(DataOptions { timestamps: Some(TIMESTAMPS), sack: SackBlocks::NONE });
    vec![
        // 58 bytes, and two of padding on the wire.
        ("syn_60", head(v4, Flags::SYN, Options::Syn(flooder)), Vec::new()),
        ("syn_74", head(v4, Flags::SYN, Options::Syn(client)), Vec::new()),
        ("data_v4_1460", head(v4, Flags::ACK, Options::NONE), vec![0x5a; 1460]),
        ("data_v4_1448_timestamps", head(v4, Flags::ACK, data), vec![0x5a; 1448]),
        ("data_v6_1440", head(v6, Flags::ACK, Options::NONE), vec![0x5a; 1440]),
    ]
}

fn tuple([local, remote]: [&str; 2]) -> Tuple {
    let addr = |text: &str| text.parse::<IpAddr>().expect("an address");
    Tuple { local: Endpoint::new(addr(local), 40000), remote: Endpoint::new(addr(remote), 80) }
}

fn head(tuple: Tuple, flags: Flags, options: Options) -> Head {
    Head { tuple, seq: SeqNum(1000), ack: SeqNum(2000), flags, window: 64240, options, marking: Marking::DEFAULT }
}

fn emit(frame: &mut [u8], head: &Head, payload: &[u8]) -> usize {
    let mut writer = SegmentWriter::new(frame, &Link::default(), head);
    writer.append(payload);
    writer.finish()
}

fn door(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for (name, head, payload) in kinds() {
        let mut frame = vec![0; HEADROOM + payload.len()];
        let len = emit(&mut frame, &head, &payload);
        frame.truncate(len.max(60));
        assert!(parse(&frame, ChecksumPolicy::Full).is_ok());
        group.bench_function(name, |bencher| bencher.iter(|| parse(black_box(&frame), ChecksumPolicy::Full)));
    }
    group.finish();

    let mut group = criterion.benchmark_group("emit");
    for (name, head, payload) in kinds() {
        let mut frame = vec![0; HEADROOM + payload.len()];
        group.bench_function(name, |bencher| {
            bencher.iter(|| emit(black_box(&mut frame), black_box(&head), black_box(&payload)));
        });
    }
    group.finish();
}

fn checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for len in [20, 40, 1460] {
        let (from, mut to) = (vec![0x5a; len], vec![0; len]);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("sum", len), |bencher| bencher.iter(|| Sum::of(black_box(&from))));
        group.bench_function(BenchmarkId::new("copy", len), |bencher| {
            bencher.iter(|| Sum::copy(black_box(&from), black_box(&mut to)));
        });
    }
    group.finish();
}

criterion_group!(benches, door, checksum);
criterion_main!(benches);
