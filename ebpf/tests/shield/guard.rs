//! The guard: which segments reach the engine while the shield is up, and what each of the others dies as.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use synward_ebpf::ShieldCounter::{self, *};
use synward_ebpf::XdpAction::{self, Drop, Pass, Redirect, Tx};
use synward_ebpf::{CookieOffer, ListenerId, OnStall, Owned, Protocol, ShieldConfig};
use synward_proto::DropReason;
use synward_proto::wire::{self, ChecksumPolicy};

use crate::bench::{Bench, PORT, V4, V6, owned, random};
use crate::segment::{Raw, any_segment, repair_checksums};

const CLIENT: &str = "10.1.2.3";

/// A guarded listener at `V4` and one at `V6`, with a key for every epoch that a test can live in.
struct Guard {
    bench: Bench,
    v4: ListenerId,
    v6: ListenerId,
}

impl Guard {
    fn new() -> Self {
        Self::with(&ShieldConfig { flows: 64, ..ShieldConfig::default() })
    }

    fn with(config: &ShieldConfig) -> Self {
        let mut bench = Bench::with(&ShieldConfig { ticks_per_key: u32::MAX, ..*config });
        let [v4, v6] =
            [V4, V6].map(|address| bench.shield.own_listener(owned(address, PORT), &CookieOffer::default()).unwrap());
        bench.shield.set_cookie_key(0, &[9; 16]).unwrap();
        Self { bench, v4, v6 }
    }

    fn raised() -> Self {
        let guard = Self::new();
        guard.raise(true);
        guard
    }

    fn raise(&self, up: bool) {
        for listener in [self.v4, self.v6] {
            self.bench.shield.listeners().set_up(listener, up);
        }
    }

    fn judge(&self, segment: &Raw) -> (XdpAction, ShieldCounter) {
        self.bench.judge(&segment.frame())
    }
}

fn segment(flags: u16) -> Raw {
    Raw {
        tags: Vec::new(),
        source: CLIENT.parse().unwrap(),
        source_port: 4000,
        seq: 1000,
        ack: 2000,
        flags,
        options: Vec::new(),
        payload: Vec::new(),
    }
}

fn ends(segment: &Raw) -> [SocketAddr; 2] {
    let local = if segment.source.is_ipv4() { V4 } else { V6 };
    [SocketAddr::new(local.parse().unwrap(), PORT), SocketAddr::new(segment.source, segment.source_port)]
}

const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const PSH: u16 = 0x08;
const ACK: u16 = 0x10;
const URG: u16 = 0x20;

/// (control bits, payload, what it dies as while the shield is up)
const STRAYS: [(u16, usize, ShieldCounter); 12] = [
    (ACK, 0, DroppedAck),
    (ACK | URG, 0, DroppedAck),
    (ACK, 5, DroppedData),
    (ACK | PSH, 1400, DroppedData),
    (FIN | ACK, 0, DroppedFin),
    (FIN | ACK, 7, DroppedFin),
    (RST, 0, DroppedRst),
    (RST | ACK, 0, DroppedRst),
    (RST | SYN, 0, DroppedRst),
    (SYN | ACK, 0, DroppedSynAck),
    (FIN, 0, DroppedNoAck),
    (PSH, 9, DroppedNoAck),
];

fn strays_die_each_under_its_counter() {
    let guard = Guard::raised();
    for (flags, payload, counter) in STRAYS {
        let stray = Raw { payload: vec![0; payload], ..segment(flags) };
        assert_eq!(guard.judge(&stray), (Drop, counter), "{flags:#x}");
        let v6 = Raw { source: "2001:db8:9::1".parse().unwrap(), ..stray };
        assert_eq!(guard.judge(&v6), (Drop, counter), "{flags:#x}");
    }
    let refused = guard.bench.shield.listener_counts(guard.v4).unwrap().refused;
    assert_eq!(refused, STRAYS.len() as u64);
    guard.raise(false);
    for (flags, payload, _) in STRAYS {
        let stray = Raw { payload: vec![0; payload], ..segment(flags) };
        assert_eq!(guard.judge(&stray), (Redirect, Redirected), "the shield is down: {flags:#x}");
    }
    let counts = guard.bench.shield.listener_counts(guard.v4).unwrap();
    assert_eq!((counts.passed, counts.syns), (STRAYS.len() as u64, 0));
}

fn a_known_flow_passes_whatever_it_sends() {
    let guard = Guard::raised();
    let flows = guard.bench.shield.flows();
    for source in [CLIENT, "2001:db8:9::1"] {
        for (flags, payload, counter) in STRAYS.into_iter().chain([(SYN, 0, AnsweredCookie)]) {
            let it = Raw { source: source.parse().unwrap(), payload: vec![0; payload], ..segment(flags) };
            let [local, remote] = ends(&it);
            flows.insert(local, remote);
            assert_eq!(guard.judge(&it), (Redirect, RedirectedKnown), "{flags:#x}");
            let other = Raw { source_port: 4001, ..it };
            assert_eq!(guard.judge(&other).1, counter, "of another port: {flags:#x}");
            flows.remove(local, remote);
            assert_eq!(guard.judge(&Raw { source_port: 4000, ..other }).1, counter, "no longer known: {flags:#x}");
        }
    }
    assert_eq!((flows.count(), flows.overflows()), (0, 0));
}

/// Through every fill level: never is a flow unknown that was inserted as often as it was not removed.
fn no_known_flow_is_ever_taken_for_unknown() {
    let guard = Guard::raised();
    let flows = guard.bench.shield.flows();
    let mut random = random();
    let mut known: HashMap<u16, u32> = HashMap::new();
    let mut untold = 0;
    for round in 0..6_000 {
        let port = 1 + u16::try_from(random(2000)).unwrap();
        let it = Raw { source_port: port, ..segment(ACK) };
        let [local, remote] = ends(&it);
        let count = known.entry(port).or_default();
        // Up to twice as many as there are places, then down to none.
        let grows = round < 3_000;
        if grows && *count < 3 {
            flows.insert(local, remote);
            *count += 1;
        } else if *count > 0 {
            flows.remove(local, remote);
            *count -= 1;
        }
        let (action, counter) = guard.judge(&it);
        match counter {
            RedirectedKnown => assert!(*count > 0 || action == Redirect),
            RedirectedUntold => untold += 1,
            _ => assert_eq!((*count, counter), (0, DroppedAck)),
        }
    }
    assert!(untold > 100, "the buckets must have been full: {untold}");
    for (port, count) in known {
        let [local, remote] = ends(&Raw { source_port: port, ..segment(ACK) });
        (0..count).for_each(|_| flows.remove(local, remote));
    }
    assert_eq!(flows.count(), 0);
    assert!(flows.overflows() > 0);
}

/// Four threads insert and remove in the same few buckets; at the end nothing is left, and in between nothing is lost.
fn flows_of_many_threads() {
    let guard = Guard::raised();
    let flows = guard.bench.shield.flows();
    std::thread::scope(|scope| {
        for thread in 0..4_u16 {
            let flows = Arc::clone(&flows);
            scope.spawn(move || {
                for round in 0..20_000_u16 {
                    let it = Raw { source_port: 1 + thread * 100 + round % 100, ..segment(ACK) };
                    let [local, remote] = ends(&it);
                    flows.insert(local, remote);
                    flows.insert(local, remote);
                    flows.remove(local, remote);
                    flows.remove(local, remote);
                }
            });
        }
    });
    assert_eq!(flows.count(), 0);
}

/// As many flows as the filter may have, in the size that is the fullest then: hardly a stranger passes for somebody known, and
/// hardly a flow finds its bucket full.
fn a_filter_at_its_size_lets_hardly_a_stranger_pass() {
    const FLOWS: u32 = 2_048 * 15 * 10 / 19;
    let guard = Guard::with(&ShieldConfig { flows: FLOWS, ..ShieldConfig::default() });
    guard.raise(true);
    let flows = guard.bench.shield.flows();
    let of = |number: u32| Raw { source: std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into(), ..segment(ACK) };
    for number in 0..FLOWS {
        let [local, remote] = ends(&of(number));
        flows.insert(local, remote);
    }
    assert!(flows.overflows() * 100 < u64::from(FLOWS), "{} of {FLOWS} did not fit", flows.overflows());
    for number in (0..FLOWS).step_by(10) {
        assert_eq!(guard.judge(&of(number)).0, Redirect);
    }
    let strangers = (FLOWS..3 * FLOWS).step_by(10).filter(|&number| guard.judge(&of(number)).0 == Redirect).count();
    assert!(strangers < 100, "{strangers} of 3,233 strangers passed");
}

fn a_full_accept_queue_gives_no_cookie() {
    let guard = Guard::raised();
    let listeners = guard.bench.shield.listeners();
    assert_eq!(guard.judge(&segment(SYN)), (Tx, AnsweredCookie));
    listeners.set_accept_queue_full(guard.v4, true);
    assert_eq!(guard.judge(&segment(SYN)), (Drop, DroppedAcceptQueueFull));
    let v6 = Raw { source: "2001:db8:9::1".parse().unwrap(), ..segment(SYN) };
    assert_eq!(guard.judge(&v6), (Tx, AnsweredCookie), "another listener");
    listeners.set_accept_queue_full(guard.v4, false);
    assert_eq!(guard.judge(&segment(SYN)), (Tx, AnsweredCookie));
}

fn without_a_key_syns_go_to_the_engine() {
    let mut bench = Bench::with(&ShieldConfig { ticks_per_key: u32::MAX, ..ShieldConfig::default() });
    let listener = bench.shield.own_listener(owned(V4, PORT), &CookieOffer::default()).unwrap();
    bench.shield.listeners().set_up(listener, true);
    assert_eq!(bench.judge(&segment(SYN).frame()), (Redirect, RedirectedUntold));
    assert_eq!(bench.judge(&segment(ACK).frame()), (Drop, DroppedAck));
    // That of another epoch in the same place.
    bench.shield.set_cookie_key(4, &[1; 16]).unwrap();
    assert_eq!(bench.judge(&segment(SYN).frame()), (Redirect, RedirectedUntold));
    bench.shield.set_cookie_key(0, &[1; 16]).unwrap();
    assert_eq!(bench.judge(&segment(SYN).frame()), (Tx, AnsweredCookie));
}

/// A cookie that has come home opens the way for the rest of the first flight, before the engine has said that it knows.
fn a_returned_cookie_marks_its_flow() {
    let guard = Guard::raised();
    let (_, _, answer) = guard.bench.run(&segment(SYN).frame());
    let syn_ack = wire::parse(&answer, ChecksumPolicy::Full).unwrap();
    let first = Raw { seq: 1001, ack: syn_ack.seq.0.wrapping_add(1), ..segment(ACK) };
    let second = Raw { seq: 1101, payload: vec![0; 100], ack: first.ack, ..segment(ACK) };
    let fin = Raw { seq: 1201, ack: first.ack, ..segment(FIN | ACK) };
    assert_eq!(guard.judge(&second), (Drop, DroppedData), "before the cookie");
    assert_eq!(guard.judge(&first), (Redirect, RedirectedCookie));
    assert_eq!(guard.judge(&second), (Redirect, RedirectedKnown));
    assert_eq!(guard.judge(&fin), (Redirect, RedirectedKnown));
    assert_eq!(guard.judge(&Raw { source_port: 4001, ..second }), (Drop, DroppedData), "another flow");
}

fn source_ports_are_open_to_known_flows_only() {
    let mut guard = Guard::new();
    let address = V4.parse().unwrap();
    guard.bench.shield.own_range(Protocol::Tcp, address, 20_000..=20_100).unwrap();
    let to = |port: u16, flags| {
        let mut frame = segment(flags).frame();
        frame[36..38].copy_from_slice(&port.to_be_bytes());
        frame
    };
    let flows = guard.bench.shield.flows();
    flows.insert(SocketAddr::new(address, 20_001), SocketAddr::new(CLIENT.parse().unwrap(), 4000));
    let judge = |port, flags| guard.bench.judge(&to(port, flags));
    assert_eq!(judge(20_000, SYN | ACK), (Redirect, Redirected));
    // One shield is enough.
    guard.bench.shield.listeners().set_up(guard.v6, true);
    assert_eq!(judge(20_001, SYN | ACK), (Redirect, RedirectedKnown));
    assert_eq!(judge(20_000, SYN | ACK), (Drop, DroppedSynAck));
    assert_eq!(judge(20_000, SYN), (Drop, DroppedSyn));
    assert_eq!(judge(20_000, ACK), (Drop, DroppedAck));
    guard.bench.shield.listeners().set_up(guard.v6, false);
    assert_eq!(judge(20_000, SYN), (Redirect, Redirected));
}

fn places_of_listeners_are_used_again() {
    let mut guard = Guard::raised();
    let shield = &mut guard.bench.shield;
    let twice = shield.own_listener(owned(V4, PORT), &CookieOffer::default()).unwrap_err().to_string();
    assert_eq!(twice, format!("port {PORT} of {V4} is owned already; disown it first"));
    for _ in 0..3 {
        let more: Vec<_> = (0..1022).map(|number| owned(V4, 10_000 + number)).collect();
        for &it in &more {
            shield.own_listener(it, &CookieOffer::default()).unwrap();
        }
        let error = shield.own_listener(owned(V4, 9_999), &CookieOffer::default()).unwrap_err().to_string();
        assert!(error.starts_with("1024 listeners are guarded already"), "{error}");
        for &it in &more {
            assert!(shield.disown(it).unwrap() && !shield.disown(it).unwrap());
        }
    }
    assert!(shield.own(Owned { port: 9_999, ..owned(V4, 1) }).unwrap());
}

/// A poll loop that does not turn while a frame waits for it is given no more, until it turns.
fn a_stalled_poll_loop_is_spared() {
    let mut guard = Guard::new();
    let limit = Duration::from_millis(20);
    guard.bench.shield.set_stall(Some(limit), OnStall::Drop).unwrap();
    let beats = guard.bench.shield.heartbeats();
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
    };
    let frame = segment(ACK).frame();
    let judge_until = |guard: &Guard, wanted| {
        let began = now();
        while guard.bench.judge(&frame) != wanted {
            assert!(now() - began < 5_000_000_000, "never {wanted:?}");
        }
    };
    // Never has a poll loop turned; but one frame waits only now.
    assert_eq!(guard.bench.judge(&frame), (Redirect, Redirected));
    judge_until(&guard, (Drop, DroppedStalled));
    beats.beat(0, now());
    assert_eq!(guard.bench.judge(&frame), (Redirect, Redirected));
    judge_until(&guard, (Drop, DroppedStalled));
    guard.bench.shield.set_stall(Some(limit), OnStall::Pass).unwrap();
    assert_eq!(guard.bench.judge(&frame), (Pass, PassedStalled));
    guard.bench.shield.set_stall(None, OnStall::Pass).unwrap();
    assert_eq!(guard.bench.judge(&frame), (Redirect, Redirected));
}

/// What the engine would throw away is refused under the same name; the shield need not be up for that.
fn nonsense_is_refused_early() {
    let guard = Guard::new();
    let bytes = |at: usize, value: &[u8]| {
        let mut frame = segment(ACK).frame();
        frame[at..at + value.len()].copy_from_slice(value);
        frame
    };
    let v6 = |at: usize, value: &[u8]| {
        let mut frame = Raw { source: "2001:db8:9::1".parse().unwrap(), ..segment(ACK) }.frame();
        frame[at..at + value.len()].copy_from_slice(value);
        frame
    };
    let local: std::net::Ipv4Addr = V4.parse().unwrap();
    let local6: std::net::Ipv6Addr = V6.parse().unwrap();
    for (what, frame, counter) in [
        ("sound", bytes(0, &[2]), Redirected),
        ("no flags", bytes(47, &[0]), DroppedFlags),
        ("SYN with FIN", bytes(47, &[0x03]), DroppedFlags),
        ("SYN with FIN and RST", bytes(47, &[0x07]), Redirected),
        ("AE alone", bytes(46, &[0x51, 0]), Redirected),
        ("a header of 16 bytes", bytes(46, &[0x40]), DroppedHeader),
        ("a header beyond the packet", bytes(46, &[0x60]), DroppedHeader),
        ("a packet beyond the frame", bytes(16, &[0x05, 0xdc]), DroppedHeader),
        ("a packet that ends in TCP", bytes(16, &[0, 39]), DroppedHeader),
        ("from port zero", bytes(34, &[0, 0]), DroppedPortZero),
        ("from itself", bytes(26, &local.octets()), DroppedLand),
        ("from 127/8", bytes(26, &[127]), DroppedMartian),
        ("from 0/8", bytes(26, &[0]), DroppedMartian),
        ("from multicast", bytes(26, &[224]), DroppedMartian),
        ("from broadcast", bytes(26, &[255; 4]), DroppedMartian),
        ("from a group on the link", bytes(6, &[1]), DroppedMartian),
        ("to a group on the link", bytes(0, &[0xff; 6]), DroppedMartian),
        ("v6 sound", v6(0, &[2]), Redirected),
        ("v6 from itself", v6(22, &local6.octets()), DroppedLand),
        ("v6 from nobody", v6(22, &[0; 16]), DroppedMartian),
        ("v6 from ::1", v6(22, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), DroppedMartian),
        ("v6 from multicast", v6(22, &[0xff]), DroppedMartian),
        ("v6 mapped", v6(22, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]), DroppedMartian),
        ("v6 beyond the frame", v6(18, &[0x05, 0xdc]), DroppedHeader),
    ] {
        assert_eq!(guard.bench.judge(&frame).1, counter, "{what}");
    }
}

/// Mutated frames: what the engine takes for a segment to a guarded end reaches the engine, and what the program refuses, the
/// engine would refuse, too, for the reason that the program counts it under.
fn program_and_engine_agree_on_what_a_segment_is() {
    let guard = Guard::new();
    let mut random = random();
    let mut seen: HashMap<ShieldCounter, u32> = HashMap::new();
    for _ in 0..40_000 {
        let mut segment = any_segment(&mut random);
        match random(40) {
            0 => segment.source_port = 0,
            1 => segment.source = V4.parse().unwrap(),
            _ => {}
        }
        let mut frame = segment.frame();
        for _ in 0..random(4) {
            let at = random(frame.len().min(80));
            frame[at] = if random(2) == 0 { random(256) as u8 } else { frame[at] ^ 1 << random(8) };
        }
        if random(8) == 0 {
            frame.truncate(14 + random(frame.len() - 13));
        }
        // What only the checksums protect is the engine's to find: give the frame right ones, where it has any.
        repair_checksums(&mut frame);
        let (action, counter) = guard.bench.judge(&frame);
        *seen.entry(counter).or_default() += 1;
        let parsed = wire::parse(&frame, ChecksumPolicy::Full);
        let is_ours = |segment: &synward_proto::Segment| {
            segment.tuple.local.port == PORT && [V4, V6].contains(&segment.tuple.local.addr.to_string().as_str())
        };
        match (parsed, counter) {
            (Ok(segment), Redirected) => assert!(is_ours(&segment), "{frame:02x?}"),
            (Ok(segment), Passed) => assert!(!is_ours(&segment), "{frame:02x?}"),
            (Err(reason), DroppedFlags) => assert_eq!(reason, DropReason::TcpFlags, "{frame:02x?}"),
            (Err(reason), DroppedPortZero) => assert_eq!(reason, DropReason::PortZero, "{frame:02x?}"),
            (Err(reason), DroppedLand) => assert_eq!(reason, DropReason::Land, "{frame:02x?}"),
            (Err(reason), DroppedMartian) => {
                let wanted = [DropReason::MartianSource, DropReason::MartianDestination];
                assert!(wanted.contains(&reason), "{reason:?} {frame:02x?}");
            }
            (Err(reason), DroppedHeader) => {
                use DropReason::*;
                // A frame may be wrong in two ways; the engine looks at addresses before it looks at TCP.
                let twice = [MartianSource, MartianDestination, Land];
                let wanted = [IpLength, IpHeaderLength, IpOptions, TcpDataOffset, FrameTooShort, Ipv6Extension];
                let wanted = [&wanted[..], &twice].concat();
                assert!(wanted.contains(&reason), "{reason:?} {frame:02x?}");
            }
            (Err(_), Redirected | Passed | PassedMalformed | RedirectedIcmp) => {}
            (Err(_), DroppedFragment | DroppedExtensionHeaders) => {}
            (parsed, counter) => panic!("{parsed:?} is {action:?} {counter:?}: {frame:02x?}"),
        }
    }
    for counter in [Redirected, Passed, DroppedFlags, DroppedPortZero, DroppedMartian, DroppedLand, DroppedHeader] {
        assert!(seen.get(&counter).is_some_and(|&times| times > 20), "{counter:?} must be reached: {seen:?}");
    }
}

pub const TESTS: &[crate::Test] = &[
    ("guard::strays_die_each_under_its_counter", strays_die_each_under_its_counter),
    ("guard::a_known_flow_passes_whatever_it_sends", a_known_flow_passes_whatever_it_sends),
    ("guard::no_known_flow_is_ever_taken_for_unknown", no_known_flow_is_ever_taken_for_unknown),
    ("guard::flows_of_many_threads", flows_of_many_threads),
    ("guard::a_filter_at_its_size_lets_hardly_a_stranger_pass", a_filter_at_its_size_lets_hardly_a_stranger_pass),
    ("guard::a_full_accept_queue_gives_no_cookie", a_full_accept_queue_gives_no_cookie),
    ("guard::without_a_key_syns_go_to_the_engine", without_a_key_syns_go_to_the_engine),
    ("guard::a_returned_cookie_marks_its_flow", a_returned_cookie_marks_its_flow),
    ("guard::source_ports_are_open_to_known_flows_only", source_ports_are_open_to_known_flows_only),
    ("guard::places_of_listeners_are_used_again", places_of_listeners_are_used_again),
    ("guard::a_stalled_poll_loop_is_spared", a_stalled_poll_loop_is_spared),
    ("guard::nonsense_is_refused_early", nonsense_is_refused_early),
    ("guard::program_and_engine_agree_on_what_a_segment_is", program_and_engine_agree_on_what_a_segment_is),
];
