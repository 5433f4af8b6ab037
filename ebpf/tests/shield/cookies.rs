//! Cookies: what the program sends is, to the byte, what the engine's listener sends; and it takes home what that takes home.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use synward_ebpf::ShieldCounter::{self, *};
use synward_ebpf::XdpAction::{self, Drop, Redirect, Tx};
use synward_ebpf::{CookieOffer, ListenerId, ShieldConfig};
use synward_proto::flood_guard::{CookieTimestamps, Syncookies};
use synward_proto::half_open::{Negotiated, Offer, Syn};
use synward_proto::isn::Secrets;
use synward_proto::listener::{AcceptRoom, HalfOpens, Listener, ListenerConfig, Outcome};
use synward_proto::segment::{Mss, SynOptions, WindowScale};
use synward_proto::syn_cookie::{CookieJar, TICK, tick};
use synward_proto::syn_table::SynTableConfig;
use synward_proto::wire::{self, ChecksumPolicy};
use synward_proto::{Endpoint, Fate, Instant, Options, Segment, SeqNum};

use crate::bench::{Bench, PORT, V4, V6, owned, random};
use crate::segment::{Raw, any_syn};

const KEY_LIFE: Duration = Duration::from_secs(16 * 5);

/// Room for everybody.
struct Room;

impl AcceptRoom for Room {
    fn is_full(&self) -> bool {
        false
    }
    fn reserve(&self) -> bool {
        true
    }
    fn cookie_sent(&self, _now: Instant) {}
    fn awaits_cookies(&self, _now: Instant) -> bool {
        false
    }
}

/// A guarded listener whose shield is up, and the engine's listener with the same keys and the same offer.
struct Twins {
    bench: Bench,
    listeners: [ListenerId; 2],
    shared: HalfOpens,
    engines: [Listener; 2],
}

fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    Instant::from_nanos(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

impl Twins {
    fn new(offer: &Offer, timestamps: CookieTimestamps, unfinished_checksums: bool) -> Self {
        let secrets = Secrets::from_seed(&[7; Secrets::SEED_LEN]);
        let schedule = secrets.cookie_keys(KEY_LIFE);
        let ticks_per_key = schedule.ticks_per_key();
        let mut bench = Bench::with(&ShieldConfig { unfinished_checksums, ticks_per_key, ..ShieldConfig::default() });
        let theirs = CookieOffer {
            mss_v4: offer.mss_v4.get(),
            mss_v6: offer.mss_v6.get(),
            window: offer.window,
            window_scale: offer.window_scale.map(WindowScale::shift),
            sack: offer.sack,
            timestamps: offer.timestamps,
            timestamps_required: timestamps == CookieTimestamps::Required,
        };
        let listeners = [V4, V6].map(|address| bench.shield.own_listener(owned(address, PORT), &theirs).unwrap());
        for listener in listeners {
            bench.shield.listeners().set_up(listener, true);
        }
        let epoch = schedule.epoch(now());
        for epoch in epoch.saturating_sub(1)..=epoch + 1 {
            bench.shield.set_cookie_key(epoch, &schedule.key(epoch)).unwrap();
        }
        let table = SynTableConfig { capacity: 16, links: 16, synack_retries: 5, ..SynTableConfig::default() };
        let mut shared = HalfOpens::new(&table, secrets, KEY_LIFE);
        let engines = [V4, V6].map(|address| {
            let config = ListenerConfig {
                local: Endpoint::new(address.parse().unwrap(), PORT),
                syn_queue_limit: 8,
                max_syn_backlog: 8,
                syncookies: Syncookies::Always,
                cookie_timestamps: timestamps,
                abort_on_overflow: false,
                offer: *offer,
            };
            Listener::new(&config, &mut shared).unwrap()
        });
        Self { bench, listeners, shared, engines }
    }

    /// What the program does, what it counts, and the frame that it leaves.
    fn program(&self, frame: &[u8]) -> (XdpAction, ShieldCounter, Vec<u8>) {
        self.bench.run(frame)
    }

    /// What the engine makes of the frame at `now`.
    fn engine(&mut self, now: Instant, frame: &[u8]) -> Option<(Segment, Outcome)> {
        let policy = match self.bench.shield.config().unfinished_checksums {
            true => ChecksumPolicy::AllowUnfinished,
            false => ChecksumPolicy::Full,
        };
        let segment = wire::parse(frame, policy).ok()?;
        let engine = &mut self.engines[usize::from(segment.tuple.is_ipv6())];
        Some((segment, engine.on_segment(now, &segment, &mut self.shared, &Room)))
    }

    /// The frame that the engine answers with, if it answers with a SYN-ACK.
    fn engine_answer(&mut self, now: Instant, frame: &[u8]) -> Option<Vec<u8>> {
        let (segment, outcome) = self.engine(now, frame)?;
        let Outcome::Settled(verdict) = outcome else { panic!("a SYN opens nothing") };
        let head = verdict.reply.filter(|_| matches!(verdict.fate, Fate::Consumed))?;
        let mut answer = vec![0xee; frame.len().max(wire::HEADROOM)];
        let length = wire::write_segment(&mut answer, &segment.link, &head);
        answer.truncate(length);
        Some(answer)
    }
}

fn offers() -> [Offer; 4] {
    let usual = Offer::default();
    let mss = |size| Mss::announced(size).unwrap();
    [
        usual,
        Offer { window_scale: None, sack: false, ..usual },
        Offer { timestamps: false, window: 29_200, window_scale: Some(WindowScale::clamped(14)), ..usual },
        Offer { mss_v4: mss(8960), mss_v6: mss(8940), window_scale: Some(WindowScale::clamped(0)), ..usual },
    ]
}

/// Byte for byte, over random SYNs: addresses of both families, tags, options in any order and disorder, with and without
/// payload, under each offer.
fn syn_acks_are_those_of_the_engine() {
    let mut random = random();
    let (mut answered, mut silent, mut ticks) = (0, 0, 0);
    for (number, offer) in offers().iter().enumerate() {
        let required = if number == 3 { CookieTimestamps::Required } else { CookieTimestamps::Optional };
        let mut twins = Twins::new(offer, required, false);
        for _ in 0..6_000 {
            let frame = any_syn(&mut random).frame();
            // The program's clock is coarse, and behind by up to a jiffy.
            let before = Instant::from_nanos(now().as_nanos() - 50_000_000);
            let (action, counter, bytes) = twins.program(&frame);
            let after = now();
            if tick(before) != tick(after) {
                ticks += 1;
                continue;
            }
            match twins.engine_answer(after, &frame) {
                Some(answer) => {
                    assert_eq!((action, counter), (Tx, AnsweredCookie), "{frame:02x?}");
                    assert_eq!(bytes, answer, "{frame:02x?}");
                    answered += 1;
                }
                None => {
                    assert_eq!((action, counter), (Drop, DroppedNoTimestamps), "{frame:02x?}");
                    silent += 1;
                }
            }
        }
        let counts = twins.listeners.map(|it| twins.bench.shield.listener_counts(it).unwrap());
        assert_eq!(counts[0].syns + counts[1].syns, 6_000);
    }
    assert!(answered > 15_000 && silent > 1_000 && ticks < 1_000, "{answered} {silent} {ticks}");
}

/// What came home of a SYN-ACK, as a client answers it.
pub fn third(syn: &Raw, syn_ack: &Segment) -> Raw {
    let Options::Syn(theirs) = syn_ack.options else { panic!("a SYN-ACK") };
    let options = theirs.timestamps.map_or(Vec::new(), |stamps| {
        let mut options = vec![1, 1, 8, 10, 9, 9, 9, 9];
        options.extend(stamps.value.to_be_bytes());
        options
    });
    Raw {
        tags: syn.tags.clone(),
        source: syn.source,
        source_port: syn.source_port,
        seq: syn.seq.wrapping_add(1),
        ack: syn_ack.seq.0.wrapping_add(1),
        flags: 0x10,
        options,
        payload: Vec::new(),
    }
}

/// The program's cookie is the engine's to take, and the other way round; one bit off, and neither takes it.
fn cookies_come_home_on_both_sides() {
    let mut random = random();
    for offer in &offers() {
        let mut twins = Twins::new(offer, CookieTimestamps::Optional, false);
        for round in 0..1_500 {
            let syn = Raw { payload: Vec::new(), ..any_syn(&mut random) };
            let (action, _, answer) = twins.program(&syn.frame());
            assert_eq!(action, Tx);
            let syn_ack = wire::parse(&answer, ChecksumPolicy::Full).unwrap();
            let mut ack = third(&syn, &syn_ack);
            if round % 4 == 1 {
                ack.payload = vec![0x47; 1 + random(100)];
            }
            if round % 8 == 2 {
                ack.flags |= 0x01;
            }
            let spoilt = round % 3 == 0;
            let bit = 1_u32 << random(32);
            match random(3) {
                _ if !spoilt => {}
                0 => ack.ack ^= bit,
                1 => ack.seq ^= bit,
                _ if ack.options.is_empty() => ack.source_port ^= 1 << random(15),
                _ => ack.options[8 + random(4)] ^= 1 << random(8),
            }
            if ack.source_port == 0 {
                continue;
            }
            let frame = ack.frame();
            let (action, counter, _) = twins.program(&frame);
            let (_, outcome) = twins.engine(now(), &frame).expect("a whole segment");
            let taken = matches!(outcome, Outcome::Open(..));
            assert_eq!(taken, !spoilt, "{frame:02x?}");
            let wanted = match () {
                () if taken => (Redirect, RedirectedCookie),
                () if ack.flags & 1 == 1 => (Drop, DroppedFin),
                () if !ack.payload.is_empty() => (Drop, DroppedData),
                () => (Drop, DroppedAck),
            };
            assert_eq!((action, counter), wanted, "{frame:02x?}");
        }
        let counts = twins.listeners.map(|it| twins.bench.shield.listener_counts(it).unwrap());
        assert_eq!(counts.map(|it| it.cookies_valid).iter().sum::<u64>(), 1_000);
    }
}

/// Through every change of keys: with a key of its own for each tick, a cookie of this tick and of the one before is taken, also
/// that of the key before, and of no other tick.
fn cookies_outlive_their_key() {
    let mut twins = Twins::new(&Offer::default(), CookieTimestamps::Optional, false);
    let schedule = Secrets::from_seed(&[7; Secrets::SEED_LEN]).cookie_keys(TICK);
    let mut jar = CookieJar::new(schedule.clone());
    twins.bench = Bench::with(&ShieldConfig { ticks_per_key: schedule.ticks_per_key(), ..ShieldConfig::default() });
    let offer = CookieOffer::default();
    let listener = twins.bench.shield.own_listener(owned(V4, PORT), &offer).unwrap();
    twins.bench.shield.listeners().set_up(listener, true);
    // Until a whole check has been made within one tick.
    let mut checked = 0;
    while checked < 5 {
        let present = now();
        let epoch = schedule.epoch(present);
        for epoch in [epoch.wrapping_sub(1), epoch, epoch + 1] {
            twins.bench.shield.set_cookie_key(epoch, &schedule.key(epoch)).unwrap();
        }
        checked = 0;
        for (ticks, wanted) in
            [(0_i64, RedirectedCookie), (1, RedirectedCookie), (2, DroppedAck), (3, DroppedAck), (-1, DroppedAck)]
        {
            let Some(minted) = present.as_nanos().checked_add_signed(-ticks * TICK.as_nanos() as i64) else {
                // The machine was not up yet.
                checked += 1;
                continue;
            };
            let syn = Raw { options: Vec::new(), ..any_syn(&mut random()) };
            let syn = Raw {
                tags: Vec::new(),
                source: "10.9.8.7".parse().unwrap(),
                source_port: 7000 + checked as u16,
                ..syn
            };
            let tuple = wire::parse(&syn.frame(), ChecksumPolicy::Full).unwrap().tuple;
            let options = SynOptions::default();
            let agreed = Negotiated::new(
                &Syn { tuple, irs: SeqNum(syn.seq), options, ecn: false },
                &Offer::default(),
                SeqNum(0),
                0,
            );
            let cookie = jar.encode(Instant::from_nanos(minted), &tuple, &agreed);
            let ack = cookie.negotiated.iss.0.wrapping_add(1);
            let third = Raw { flags: 0x10, seq: syn.seq.wrapping_add(1), ack, payload: Vec::new(), ..syn };
            let (_, counter, _) = twins.program(&third.frame());
            if tick(present) != tick(now()) {
                break;
            }
            assert_eq!(counter, wanted, "minted {ticks} ticks ago");
            checked += 1;
        }
    }
}

pub const TESTS: &[crate::Test] = &[
    ("cookies::syn_acks_are_those_of_the_engine", syn_acks_are_those_of_the_engine),
    ("cookies::cookies_outlive_their_key", cookies_outlive_their_key),
    ("cookies::cookies_come_home_on_both_sides", cookies_come_home_on_both_sides),
];
