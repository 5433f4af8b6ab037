//! Attacks that aim at one queue: only its shard feels them.

use crate::bed::{SERVER, client, config, frame, read, syn, third};
use std::net::Ipv4Addr;
use synward_engine::{
    EngineConfig, Fleet, HashedFields, Interface, ListenConfig, ListenerId, Queue, Rss, Workers, build_fleet,
};
use synward_nic::{MemoryPort, MemoryPortConfig, MemoryWire};
use synward_proto::{Counter, DropReason, Endpoint, Instant, Tuple};
use synward_testkit::engine::small_budget;
use synward_testkit::hostile::Rng;

const QUEUES: u32 = 4;

/// An engine of a shard for each queue, behind a device that spreads frames by RSS.
struct Bed {
    fleet: Fleet<MemoryPort>,
    wires: Vec<MemoryWire>,
    rss: Rss,
    listener: ListenerId,
    now: Instant,
}

impl Bed {
    fn new() -> Self {
        let fields = HashedFields::AddressesAndPorts;
        let rss = Rss::new(&[0x6d; Rss::KEY_LEN], (0..QUEUES).collect(), fields, fields).expect("a device");
        let port = || MemoryPort::with_wire(MemoryPortConfig { budget: small_budget(), ..MemoryPortConfig::default() });
        let (ports, wires): (Vec<_>, Vec<_>) = (0..QUEUES).map(|_| port().expect("memory")).unzip();
        let queues = ports.into_iter().map(|port| Queue { port, core: None }).collect();
        let config = EngineConfig { max_connections: 4_096, ..config() };
        let interface = Interface { config, rss: Some(rss.clone()), queues, shield: None };
        let mut fleet = build_fleet(vec![interface], Workers::Threads(1)).expect("builds");
        let listener =
            fleet.workers[0].listen(ListenConfig { backlog: 256, ..ListenConfig::new(SERVER) }).expect("listens");
        let mut bed = Self { fleet, wires, rss, listener, now: Instant::from_millis(1_000) };
        bed.settle();
        // The first segment shows that RSS is as the device says.
        assert!(bed.connects(client(0)));
        bed
    }

    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for poll_loop in &mut self.fleet.poll_loops {
                idle &= poll_loop.poll_once(self.now).is_idle();
            }
            if self.fleet.workers[0].poll() == 0 && idle {
                return;
            }
        }
    }

    fn queue_of(&self, remote: Endpoint) -> usize {
        self.rss.queue_of(&Tuple { local: SERVER, remote }) as usize
    }

    /// Puts a frame on a queue; what comes back on any.
    fn send(&mut self, queue: usize, frame: &[u8]) -> Vec<Vec<u8>> {
        self.wires[queue].push(frame);
        self.settle();
        self.wires.iter_mut().flat_map(|wire| std::iter::from_fn(|| wire.take())).collect()
    }

    /// A whole handshake on the queue that RSS names.
    fn connects(&mut self, from: Endpoint) -> bool {
        let queue = self.queue_of(from);
        let answers = self.send(queue, &frame(&syn(from, 9)));
        let [syn_ack] = &answers[..] else { return false };
        let none = self.send(queue, &frame(&third(&read(syn_ack)))).is_empty();
        let accepted = self.fleet.workers[0].accept(self.listener);
        none && accepted.is_ok_and(|accepted| {
            let gone = self.fleet.workers[0].abort(accepted.socket).is_ok();
            self.settle();
            self.wires.iter_mut().for_each(|wire| while wire.take().is_some() {});
            gone && accepted.peer == from
        })
    }

    /// A counter of each shard.
    fn each(&self, counter: Counter) -> Vec<u64> {
        self.fleet.observer.snapshots().map(|shard| shard.counters[counter.name()]).collect()
    }

    fn assert_balanced(&self) {
        for shard in self.fleet.observer.snapshots() {
            assert!(shard.outcomes.is_balanced(), "{:?}", shard.outcomes);
        }
    }
}

fn spoofed(random: &mut Rng) -> Endpoint {
    let address = Ipv4Addr::from(0x2800_0000 | random.next() as u32 & 0x03ff_ffff);
    Endpoint::new(address.into(), random.next() as u16 | 1)
}

/// Tuples chosen by Toeplitz: all SYNs of the flood arrive on queue 0. It sends cookies; the others have their tables, and
/// no frame goes from one to another.
#[test]
fn tuples_of_one_queue_overload_its_shard_alone() {
    let mut bed = Bed::new();
    let mut random = Rng::new(5);
    let before = bed.each(Counter::InSegs);
    let (mut flooded, mut served) = (0_u64, [0_u64; QUEUES as usize]);
    while flooded < 20_000 {
        let from = spoofed(&mut random);
        if bed.queue_of(from) == 0 {
            flooded += bed.send(0, &frame(&syn(from, 1))).len() as u64;
            if flooded % 100 == 0 {
                let from = client(flooded as u32);
                served[bed.queue_of(from)] += u64::from(bed.connects(from));
            }
        }
    }
    assert_eq!(served.iter().sum::<u64>(), 200, "everybody");
    assert!(served.iter().all(|&served| served > 20), "{served:?}: on every queue");
    let cookies = bed.each(Counter::SyncookiesSent);
    assert!(cookies[0] > 19_000 && cookies[1..] == [0; 3], "{cookies:?}");
    assert_eq!(bed.each(Counter::FramesSteered), [0; 4]);
    let received: Vec<_> = bed.each(Counter::InSegs).iter().zip(before).map(|(after, before)| after - before).collect();
    for (queue, served) in served.iter().enumerate().skip(1) {
        // SYN and third segment.
        assert_eq!(received[queue], 2 * served, "a shard works for its own clients alone");
    }
    bed.assert_balanced();
}

/// All frames on queue 0, whoever owns them: what is to be remembered is handed over through bounded rings, the rest is answered
/// where it arrives; the others go on serving what arrives at their own queues.
#[test]
fn frames_of_all_tuples_on_one_queue() {
    let mut bed = Bed::new();
    let mut random = Rng::new(6);
    for round in 0..5_000 {
        let from = spoofed(&mut random);
        bed.send(0, &frame(&syn(from, 1)));
        if round % 50 == 0 {
            assert!(bed.connects(client(100_000 + round)), "round {round}");
        }
    }
    let snapshot = bed.fleet.observer.snapshot();
    // 256 divided among four, and one more each.
    assert!(snapshot.gauges.half_open <= 4 * 65, "{:?}", snapshot.gauges);
    assert_eq!((snapshot.gauges.frames_lent, bed.fleet.observer.drops(DropReason::SteeringFull)), (0, 0));
    bed.assert_balanced();

    // The owners stand still: their rings fill, the rest is counted, and nothing else stops.
    for _ in 0..4_000 {
        bed.wires[0].push(&frame(&crate::bed::segment(spoofed(&mut random), synward_proto::Flags::ACK, 1, 1)));
        bed.fleet.poll_loops[0].poll_once(bed.now);
        while bed.wires[0].take().is_some() {}
    }
    assert!(bed.fleet.observer.drops(DropReason::SteeringFull) > 1_000);
    let lent = bed.fleet.observer.snapshot().gauges.frames_lent;
    assert!(lent <= u64::from(small_budget().readers), "{lent} frames at most wait for others");
    let from = (200_000..).map(client).find(|&from| bed.queue_of(from) == 0).expect("there is one");
    bed.settle();
    bed.wires.iter_mut().for_each(|wire| while wire.take().is_some() {});
    assert!(bed.connects(from));
    bed.assert_balanced();
}
