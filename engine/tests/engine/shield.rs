//! A shield in front of an engine: what it is told, and cookies that it sends in the engine's name.

use crate::bed::{PORT, SERVER, client, config, small_budget};
use crate::peer::{Wire, establish, frame, syn};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use synward_engine::{EngineConfig, ListenConfig, Pressure, SHIELD_GRAIN, Shield};
use synward_proto::half_open::Negotiated;
use synward_proto::segment::Mss;
use synward_proto::syn_cookie::{CookieJar, LIFE};
use synward_proto::{Counter, Endpoint, Flags, Instant, Options, SeqNum, Tuple};

/// Where these listeners listen: the shield knows them by what was given to `listen`.
const ANY: Endpoint = Endpoint::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);

#[derive(Debug, Default)]
struct Front {
    accept_queue_full: AtomicBool,
    listening: AtomicBool,
    last_cookie: Mutex<Option<Instant>>,
    /// What it was told to announce.
    mss: Mutex<Vec<[u16; 2]>>,
    /// How often it was asked for that.
    asked: AtomicU64,
}

impl Shield for Front {
    fn flow_opened(&self, _: &Tuple) {}
    fn flow_closed(&self, _: &Tuple) {}
    fn turned(&self, _: u32, _: Instant) {}

    fn set_accept_queue_full(&self, local: &Endpoint, full: bool) {
        assert_eq!(*local, ANY);
        self.accept_queue_full.store(full, Ordering::Relaxed);
    }

    fn set_listening(&self, local: &Endpoint, listening: bool) {
        assert_eq!(*local, ANY);
        self.listening.store(listening, Ordering::Relaxed);
    }

    fn set_mss(&self, v4: Mss, v6: Mss) {
        self.mss.lock().unwrap().push([v4.get(), v6.get()]);
    }

    fn last_cookie(&self, local: &Endpoint) -> Option<Instant> {
        assert_eq!(*local, ANY);
        self.asked.fetch_add(1, Ordering::Relaxed);
        *self.last_cookie.lock().unwrap()
    }
}

impl Front {
    fn is_full(&self) -> bool {
        self.accept_queue_full.load(Ordering::Relaxed)
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// The third segment of client `n` to a cookie that was sent at `now` by somebody who knows no more than the engine's keys.
fn third_segment(n: u32, now: Instant) -> Vec<u8> {
    let EngineConfig { secrets, cookie_key_life, .. } = config(2);
    let mut jar = CookieJar::new(secrets.expect("they are known").cookie_keys(cookie_key_life));
    let (irs, send_mss) = (SeqNum(500), Mss::announced(1_460).expect("an MSS"));
    let agreed = Negotiated { iss: SeqNum(0), irs, send_mss, scales: None, sack: true, timestamps: None, ecn: false };
    let cookie = jar.encode(now, &Tuple { local: SERVER, remote: client(n) }, &agreed);
    frame(n, irs.0 + 1, cookie.negotiated.iss.0.wrapping_add(1), Flags::ACK, Options::NONE, b"")
}

#[test]
fn a_calm_listener_takes_the_cookies_of_its_shield_and_only_while_they_live() {
    let front = Arc::<Front>::default();
    let mut wire = Wire::behind(Arc::clone(&front) as _, config(2));
    let listener = wire.host.sockets.listen(ListenConfig::new(ANY)).expect("listens");
    // The first moment of a tick: its cookies live longest.
    let sent = Instant::from_millis(16_000 * 100);
    wire.now = sent;
    assert_eq!(wire.exchange([third_segment(0, sent).as_slice()]).len(), 1, "nobody has sent a cookie: a reset");
    assert_eq!(wire.host.count(Counter::SyncookiesRecv), 0);

    *front.last_cookie.lock().unwrap() = Some(sent);
    for (n, later) in [(1, Duration::ZERO), (2, LIFE - Duration::from_nanos(1))] {
        wire.now = sent + later;
        assert!(wire.exchange([third_segment(n, sent).as_slice()]).is_empty());
        assert_eq!(wire.host.sockets.accept(listener).expect("accepted").peer, client(n));
    }
    // The shield may have sent another since it said so: they are looked at for so much longer.
    for (later, failed) in [(LIFE + SHIELD_GRAIN, 1), (LIFE + SHIELD_GRAIN + Duration::from_nanos(1), 1)] {
        wire.now = sent + later;
        wire.exchange([third_segment(3, sent).as_slice()]);
        assert_eq!(wire.host.count(Counter::SyncookiesFailed), failed, "{later:?}");
    }
    assert_eq!(wire.host.count(Counter::SyncookiesRecv), 2);
    assert_eq!(wire.host.count(Counter::SyncookiesSent), 0);
}

#[test]
fn the_shield_is_asked_only_when_the_engine_has_sent_no_cookie_itself() {
    let front = Arc::<Front>::default();
    let mut wire = Wire::behind(Arc::clone(&front) as _, config(2));
    wire.host.sockets.listen(ListenConfig { backlog: 0, ..ListenConfig::new(ANY) }).expect("listens");
    wire.exchange([]);
    wire.exchange([third_segment(0, wire.now).as_slice()]);
    assert_eq!(front.asked(), 1);
    wire.exchange([syn(1, 1), syn(2, 1)].iter().map(Vec::as_slice));
    assert_eq!(wire.host.count(Counter::SyncookiesSent), 1);
    assert!(wire.exchange([third_segment(3, wire.now).as_slice()]).is_empty());
    assert_eq!((front.asked(), wire.host.count(Counter::SyncookiesRecv)), (1, 1));
}

#[test]
fn a_listener_without_cookies_takes_none_of_its_shield() {
    let front = Arc::<Front>::default();
    let mut wire = Wire::behind(Arc::clone(&front) as _, EngineConfig { syncookies: 0, ..config(2) });
    wire.host.sockets.listen(ListenConfig::new(ANY)).expect("listens");
    *front.last_cookie.lock().unwrap() = Some(wire.now);
    assert_eq!(wire.exchange([third_segment(0, wire.now).as_slice()]).len(), 1, "a reset");
    assert_eq!((front.asked(), wire.host.count(Counter::SyncookiesRecv)), (0, 0));
}

#[test]
fn the_shield_knows_when_the_accept_queue_is_full() {
    let front = Arc::<Front>::default();
    let mut wire = Wire::behind(Arc::clone(&front) as _, config(2));
    let listen = ListenConfig { backlog: 1, ..ListenConfig::new(ANY) };
    let listener = wire.host.sockets.listen(listen.clone()).expect("listens");
    wire.exchange([]);
    establish(&mut wire, 0);
    assert!(!front.is_full());
    establish(&mut wire, 1);
    assert!(front.is_full());
    wire.host.sockets.accept(listener).expect("accepted");
    assert!(!front.is_full());
    establish(&mut wire, 2);
    assert!(front.is_full());
    assert!(front.listening.load(Ordering::Relaxed));
    wire.host.sockets.unlisten(listener).expect("ends");
    assert!(!front.is_full(), "at once: another may listen there before those who waited are reset");
    assert!(!front.listening.load(Ordering::Relaxed));
    wire.host.sockets.listen(listen).expect("listens again");
    assert!(front.listening.load(Ordering::Relaxed));
    wire.exchange([]);
    for n in 3..5 {
        establish(&mut wire, n);
    }
    assert!(front.is_full());
}

#[test]
fn the_pressure_on_a_listener_shows_without_a_question_to_its_shard() {
    let mut wire = Wire::new(config(2), small_budget());
    let pressure = |wire: &Wire| wire.host.observer.listener_pressure(&SERVER);
    assert_eq!(pressure(&wire), None);
    let listen = ListenConfig { backlog: 2, ..ListenConfig::new(SERVER) };
    let listener = wire.host.sockets.listen(listen).expect("listens");
    let calm = Pressure { last_cookie: None, syn_queue_limit: 2, accept_queue: 0, accept_queue_limit: 2 };
    assert_eq!(pressure(&wire), Some(calm));
    wire.exchange([]);
    establish(&mut wire, 0);
    assert_eq!(pressure(&wire), Some(Pressure { accept_queue: 1, ..calm }));
    wire.exchange((1..5).map(|n| syn(n, 1)).collect::<Vec<_>>().iter().map(Vec::as_slice));
    assert_eq!(pressure(&wire), Some(Pressure { accept_queue: 1, last_cookie: Some(wire.now), ..calm }));
    wire.host.sockets.unlisten(listener).expect("ends");
    assert_eq!(pressure(&wire), None);
}

#[test]
fn a_shield_hears_what_fits_the_interface_from_now_on() {
    let front = Arc::<Front>::default();
    let mut wire = Wire::behind(Arc::clone(&front) as _, config(2));
    for mtu in [1_500, 1_300, 1_300, 9_000, 1_500] {
        wire.host.poll_loop.set_mtu(mtu);
    }
    let mut told = front.mss.lock().unwrap().clone();
    let jumbo = told.remove(1);
    assert_eq!(told, [[1_260, 1_240], [1_460, 1_440]], "each change once, and none is none");
    assert!(1_460 < jumbo[0] && jumbo[0] < 8_960 && jumbo[0] == jumbo[1] + 20, "no more than a frame holds: {jumbo:?}");
}
