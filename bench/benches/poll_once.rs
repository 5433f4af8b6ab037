//! One turn of a poll loop on a port without system calls: nanoseconds per burst of SYNs, through the table and through
//! cookies, beside a floor.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use synward_bench::syn_cost::{BURST, Floor, Path, SynRig};

fn poll_once(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("poll_once");
    group.throughput(Throughput::Elements(BURST as u64));
    for (name, path) in [("syn through the table", Path::Table), ("syn through a cookie", Path::Cookie)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|turns| {
                let mut rig = SynRig::new(path).expect("an engine in memory");
                (0..turns).map(|_| rig.turn().expect("every SYN is answered")).sum()
            });
        });
    }
    let mut floor = Floor::default();
    group.bench_function("floor", |bencher| {
        bencher.iter_custom(|turns| (0..turns).map(|_| floor.turn()).sum());
    });
}

criterion_group!(benches, poll_once);
criterion_main!(benches);
