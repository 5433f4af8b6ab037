//! What a handshake costs: nanoseconds for a SYN that gets an entry, for one that gets a cookie, and for the third
//! segment, beside the least that any of them could cost.
//!
//! Every SYN comes from another peer, as in a flood, so every access to the table is one to a cold cache line.

use criterion::{Criterion, criterion_group, criterion_main};
use siphasher::sip::SipHasher13;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{self, Duration};
use synward_proto::flood_guard::{CookieTimestamps, Syncookies};
use synward_proto::half_open::{Negotiated, Offer, Syn};
use synward_proto::isn::Secrets;
use synward_proto::listener::{AcceptRoom, HalfOpens, Listener, ListenerConfig, Outcome};
use synward_proto::segment::{DataOptions, Mss, SynOptions, Timestamps, WindowScale};
use synward_proto::syn_cookie::{CookieJar, Echo};
use synward_proto::syn_table::{ListenerId, Newcomer, SynTable, SynTableConfig};
use synward_proto::{
    Codepoint, Endpoint, Fate, Flags, Head, Instant, Link, Options, Segment, SeqNum, Span, Tuple, Verdict,
};

/// Entries of the table: 4 MiB of slots, more than an L2 cache holds.
const CAPACITY: u32 = 1 << 16;

const NOW: Instant = Instant::from_millis(1_000_000);

/// How long a cookie key is in force.
const KEY_LIFE: Duration = Duration::from_secs(600);

/// An accept queue that is never full.
struct Endless;

impl AcceptRoom for Endless {
    fn is_full(&self) -> bool {
        false
    }

    fn reserve(&self) -> bool {
        true
    }

    fn cookie_sent(&self, _: Instant) {}

    fn awaits_cookies(&self, _: Instant) -> bool {
        false
    }
}

fn secrets() -> Secrets {
    Secrets::from_seed(&std::array::from_fn(|byte| byte as u8))
}

fn table_config(capacity: u32) -> SynTableConfig {
    SynTableConfig { capacity, ..SynTableConfig::default() }
}

/// The `n`th peer: no two of four billion are the same.
fn tuple(n: u32) -> Tuple {
    Tuple {
        local: Endpoint::new(Ipv4Addr::new(192, 0, 2, 1).into(), 80),
        remote: Endpoint::new(Ipv4Addr::from(n.wrapping_mul(0x9e37_79b9)).into(), 40_000),
    }
}

fn options(stamped: bool) -> SynOptions {
    SynOptions {
        mss: Mss::announced(1460),
        window_scale: Some(WindowScale::clamped(7)),
        sack_permitted: true,
        timestamps: stamped.then_some(Timestamps { value: 7, echo: 0 }),
    }
}

fn syn(n: u32, stamped: bool) -> Segment {
    Segment {
        link: Link::default(),
        tuple: tuple(n),
        seq: SeqNum(n),
        ack: SeqNum(0),
        flags: Flags::SYN,
        window: 64_240,
        ecn: Codepoint::NotEct,
        options: Options::Syn(options(stamped)),
        payload: Span::default(),
        unfinished_checksum: false,
    }
}

fn third(syn_ack: &Head) -> Segment {
    let timestamps = syn_ack.options.timestamps().map(|ours| Timestamps { value: ours.echo, echo: ours.value });
    Segment {
        seq: syn_ack.ack,
        ack: syn_ack.seq + 1,
        flags: Flags::ACK,
        options: Options::Data(DataOptions { timestamps, ..DataOptions::default() }),
        tuple: syn_ack.tuple,
        ..syn(0, false)
    }
}

fn agreed(tuple: &Tuple, stamped: bool) -> Negotiated {
    let syn = Syn { tuple: *tuple, irs: SeqNum(5), options: options(stamped), ecn: false };
    Negotiated::new(&syn, &Offer::default(), SeqNum(0), 0)
}

/// The least that a SYN could cost: one hash of its tuple, and one cache line that nobody has touched lately.
fn floor(criterion: &mut Criterion) {
    #[derive(Clone)]
    #[repr(align(64))]
    struct Line([u64; 8]);

    let mut group = criterion.benchmark_group("floor");
    let hasher = SipHasher13::new_with_key(&[7; 16]);
    let hash = |n: u32| {
        let mut bytes = [192, 0, 2, 1, 0, 0, 0, 0, 0, 80, 156, 64];
        bytes[4..8].copy_from_slice(&n.to_be_bytes());
        hasher.hash(black_box(&bytes))
    };
    let mut n = 0u32;
    group.bench_function("hash", |bencher| {
        bencher.iter(|| {
            n = n.wrapping_add(1);
            hash(n)
        });
    });
    let mut lines = vec![Line([0; 8]); CAPACITY as usize];
    group.bench_function("hash_and_cache_line", |bencher| {
        bencher.iter(|| {
            n = n.wrapping_add(1);
            let line = &mut lines[hash(n) as usize % CAPACITY as usize];
            std::mem::replace(line, black_box(Line([u64::from(n); 8]))).0
        });
    });
    group.finish();
}

/// Times `step` on a subject that lasts for a quarter of the table's capacity, and is then made anew outside the clock.
fn timed<S>(iterations: u64, make: impl Fn() -> S, mut step: impl FnMut(&mut S, u32)) -> Duration {
    let mut elapsed = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let run = left.min(u64::from(CAPACITY / 4)) as u32;
        let mut subject = make();
        let start = time::Instant::now();
        (0..run).for_each(|n| step(&mut subject, n));
        elapsed += start.elapsed();
        left -= u64::from(run);
    }
    elapsed
}

/// A table and a listener's queue in it.
struct Queue {
    table: SynTable,
    listener: ListenerId,
}

impl Queue {
    fn empty() -> Self {
        let mut table = SynTable::new(&table_config(CAPACITY), &secrets());
        let listener = table.add_listener(u32::MAX, &Offer::default()).expect("the first listener");
        Self { table, listener }
    }

    /// A quarter full: as full as it should become.
    fn filled() -> Self {
        let mut queue = Self::empty();
        (0..CAPACITY / 4).for_each(|n| queue.insert(n));
        queue
    }

    fn insert(&mut self, n: u32) {
        let tuple = tuple(n);
        let vacancy = self.table.find(&tuple).expect_err("every peer comes once");
        let negotiated = agreed(&tuple, false);
        let (listener, link) = (self.listener, &Link::default());
        let newcomer = Newcomer { listener, tuple: &tuple, link, negotiated: &negotiated };
        self.table.insert(NOW, vacancy, &newcomer).expect("all come by one link");
    }
}

fn table(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table");
    let filled = Queue::filled();
    let mut n = 0;
    group.bench_function("find_absent", |bencher| {
        bencher.iter(|| {
            n += 1;
            filled.table.find(black_box(&tuple(u32::MAX - n)))
        });
    });
    group.bench_function("find_present", |bencher| {
        bencher.iter(|| {
            n = (n + 7919) % (CAPACITY / 4);
            filled.table.find(black_box(&tuple(n)))
        });
    });
    group.bench_function("find_and_insert", |bencher| {
        bencher.iter_custom(|iterations| timed(iterations, Queue::empty, Queue::insert));
    });
    group.bench_function("find_and_remove", |bencher| {
        bencher.iter_custom(|iterations| {
            timed(iterations, Queue::filled, |queue, n| {
                let entry = queue.table.find(&tuple(n)).expect("every peer is there");
                black_box(queue.table.remove(entry));
            })
        });
    });
    // The first timeout of each: the SYN-ACK is made again.
    group.bench_function("expire", |bencher| {
        bencher.iter_custom(|iterations| {
            timed(iterations, Queue::filled, |queue, _| {
                black_box(queue.table.poll_expired(NOW + Duration::from_secs(1)));
            })
        });
    });
    group.finish();
}

fn cookie(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cookie");
    let mut jar = CookieJar::new(secrets().cookie_keys(KEY_LIFE));
    for (name, stamped) in [("plain", false), ("timestamps", true)] {
        let tuple = tuple(1);
        let agreed = agreed(&tuple, stamped);
        group.bench_function(format!("encode_{name}"), |bencher| {
            bencher.iter(|| jar.encode(black_box(NOW), &tuple, black_box(&agreed)));
        });
        let cookie = jar.encode(NOW, &tuple, &agreed).negotiated;
        let timestamps = cookie.timestamps.map(|clock| Timestamps { value: 8, echo: clock.stamp(NOW).value });
        let echo = Echo { iss: cookie.iss, irs: cookie.irs, timestamps };
        assert!(jar.decode(NOW, &tuple, &echo, &Offer::default()).is_some());
        group.bench_function(format!("decode_{name}"), |bencher| {
            bencher.iter(|| jar.decode(black_box(NOW), &tuple, black_box(&echo), &Offer::default()));
        });
        let forged = Echo { iss: cookie.iss + 1, ..echo };
        assert!(jar.decode(NOW, &tuple, &forged, &Offer::default()).is_none());
        group.bench_function(format!("refuse_{name}"), |bencher| {
            bencher.iter(|| jar.decode(black_box(NOW), &tuple, black_box(&forged), &Offer::default()));
        });
    }
    group.finish();
}

/// A listener and what it shares.
struct Bed {
    shared: HalfOpens,
    listener: Listener,
}

impl Bed {
    fn new(syncookies: Syncookies) -> Self {
        let mut shared = HalfOpens::new(&table_config(CAPACITY), secrets(), KEY_LIFE);
        let config = ListenerConfig {
            local: Endpoint::new(Ipv4Addr::UNSPECIFIED.into(), 80),
            syn_queue_limit: u32::MAX,
            max_syn_backlog: u32::MAX,
            syncookies,
            cookie_timestamps: CookieTimestamps::Optional,
            abort_on_overflow: false,
            offer: Offer::default(),
        };
        let listener = Listener::new(&config, &mut shared).expect("the first listener");
        Self { shared, listener }
    }

    fn give(&mut self, segment: &Segment) -> Outcome {
        self.listener.on_segment(NOW, segment, &mut self.shared, &Endless)
    }

    /// The SYN-ACK that a SYN draws.
    fn syn(&mut self, n: u32, stamped: bool) -> Head {
        match self.give(&syn(n, stamped)) {
            Outcome::Settled(Verdict { reply: Some(syn_ack), .. }) => syn_ack,
            other => panic!("{other:?} answers no SYN"),
        }
    }
}

/// Whole segments through the listener: everything but the frame.
fn listener(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("listener");
    for (name, syncookies) in [("table", Syncookies::Never), ("cookie", Syncookies::Always)] {
        for (form, stamped) in [("plain", false), ("timestamps", true)] {
            group.bench_function(format!("syn_{name}_{form}"), |bencher| {
                let make = || Bed::new(syncookies);
                bencher.iter_custom(|iterations| timed(iterations, make, |bed, n| _ = black_box(bed.syn(n, stamped))));
            });
        }
        group.bench_function(format!("third_{name}"), |bencher| {
            let make = || {
                let mut bed = Bed::new(syncookies);
                let thirds: Vec<_> = (0..CAPACITY / 4).map(|n| third(&bed.syn(n, true))).collect();
                (bed, thirds)
            };
            bencher.iter_custom(|iterations| {
                timed(iterations, make, |(bed, thirds), n| {
                    let outcome = bed.give(&thirds[n as usize]);
                    assert!(matches!(black_box(outcome), Outcome::Open(..)));
                })
            });
        });
    }
    let mut bed = Bed::new(Syncookies::Always);
    let ack = third(&bed.syn(1, true));
    let forged = Segment { ack: ack.ack + 1, ..ack };
    group.bench_function("forged_ack", |bencher| {
        bencher.iter(|| {
            let outcome = bed.give(black_box(&forged));
            assert!(matches!(outcome, Outcome::Settled(Verdict { fate: Fate::Dropped(_), .. })));
            outcome
        });
    });
    group.finish();
}

criterion_group!(benches, floor, table, cookie, listener);
criterion_main!(benches);
