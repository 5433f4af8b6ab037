//! Floods of SYNs and of forged ACKs: what honest clients notice, and what is remembered.

use crate::bed::{Bed, SERVER, client, config, frame, segment, syn};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use synward_engine::{EngineConfig, ListenConfig};
use synward_proto::{Counter, DropReason, Endpoint, Flags};
use synward_testkit::heap;
use synward_testkit::hostile::Rng;
use synward_testkit::wire::WireSegment;

/// A source that nobody has, drawn from all of 40.0.0.0/6.
fn spoofed(random: &mut Rng) -> Endpoint {
    let address = Ipv4Addr::from(0x2800_0000 | random.next() as u32 & 0x03ff_ffff);
    Endpoint::new(address.into(), random.next() as u16 | 1)
}

/// 64 SYNs of spoofed sources.
fn burst(random: &mut Rng) -> Vec<Vec<u8>> {
    (0..64).map(|_| frame(&syn(spoofed(random), random.next() as u32))).collect()
}

#[test]
fn spoofed_sources() {
    const BACKLOG: u32 = 256;
    let mut bed = Bed::with_backlog(config(), BACKLOG);
    let mut random = Rng::new(1);
    let (mut served, mut heap_before) = (0, 0);
    // 100,000 SYNs a second for 2 s, and an honest client for each 64 of them.
    for round in 0..3_125 {
        let answers = bed.exchange(&burst(&mut random));
        assert_eq!(answers.len(), 64, "an entry or a cookie for each");
        drop(answers);
        served += u32::from(bed.connects(client(round)));
        assert!(bed.gauges().half_open <= u64::from(BACKLOG) + 1);
        bed.pass(Duration::from_micros(640));
        if round == 100 {
            heap_before = heap::live();
        }
    }
    assert_eq!(served, 3_125);
    let growth = heap::live() - heap_before;
    assert!(growth < 16 * 1024, "{growth} bytes for 190,000 SYNs");
    // What is left of it goes by itself, and nobody is kept out meanwhile.
    for second in 0..70 {
        assert!(bed.connects(client(10_000 + second)), "{second} s after the flood");
        bed.pass(Duration::from_secs(1));
    }
    assert_eq!(bed.gauges().half_open, 0);
    let cookies = bed.count(Counter::SyncookiesSent);
    assert!(bed.connects(client(20_000)));
    assert_eq!(bed.count(Counter::SyncookiesSent), cookies, "calm again: the table serves");
    bed.assert_drains();
}

/// Sources of one /24 and of one /64.
fn of_one_network(n: u32) -> [Endpoint; 2] {
    let v4 = Ipv4Addr::from(0xc633_6400 | n & 0xff);
    let v6 = Ipv6Addr::from_bits(0x2001_0db8_0000_0007 << 64 | u128::from(n) << 40 | 1);
    let port = 1_024 + (n >> 8) as u16;
    [Endpoint::new(v4.into(), port), Endpoint::new(v6.into(), port)]
}

/// Neighbours in the networks beside them.
fn beside(n: u32) -> [Endpoint; 2] {
    let v4 = Ipv4Addr::from((0xc633_6500 + (n << 8)) | 9);
    let v6 = Ipv6Addr::from_bits(((0x2001_0db8_0000_0008 + u128::from(n)) << 64) | 9);
    [Endpoint::new(v4.into(), 5_000), Endpoint::new(v6.into(), 5_000)]
}

#[test]
fn one_network_has_its_share_and_neighbours_notice_nothing() {
    const SYNS: u32 = 5_000;
    const SHARE: u16 = 100;
    for family in [0, 1] {
        let mut bed = Bed::new(EngineConfig { half_opens_per_prefix: Some(SHARE), ..config() });
        let flood: Vec<_> = (0..SYNS).map(|n| frame(&syn(of_one_network(n)[family], n))).collect();
        assert_eq!(bed.exchange(&flood).len(), SYNS as usize);
        let refused = u64::from(SYNS) - u64::from(SHARE);
        assert_eq!(bed.gauges().half_open, u64::from(SHARE));
        let counted = [Counter::HalfOpenPrefixFull, Counter::SyncookiesSent].map(|counter| bed.count(counter));
        assert_eq!(counted, [refused; 2], "and the rest got cookies");

        for n in 0..100 {
            bed.syn_ack(&syn(beside(n)[family], 1));
        }
        assert_eq!(bed.gauges().half_open, u64::from(SHARE) + 100, "entries, as ever");
        assert_eq!(bed.count(Counter::SyncookiesSent), refused);
        // An honest client in the network of the flood is served all the same, by cookie.
        assert!(bed.connects(of_one_network(SYNS)[family]));
        assert_eq!(bed.count(Counter::SyncookiesRecv), 1);
        bed.assert_drains();
    }
}

#[test]
fn one_source_without_cookies_is_dropped_at_its_share() {
    let mut bed = Bed::new(EngineConfig { syncookies: 0, ..config() });
    let from = |n: u16| Endpoint::new(Ipv4Addr::new(198, 51, 100, 9).into(), 1_024 + n);
    let flood: Vec<_> = (0..2_000).map(|n| frame(&syn(from(n), 1))).collect();
    assert_eq!(bed.exchange(&flood).len(), 256, "the default");
    assert_eq!([DropReason::SynPrefixFull, DropReason::SynQueueFull].map(|reason| bed.drops(reason)), [1_744, 0]);
    assert!((0..200).all(|n| bed.connects(client(n))));
    bed.assert_drains();
}

#[test]
fn a_flood_of_one_listener_leaves_the_other_alone() {
    const BACKLOG: u32 = 128;
    let mut bed = Bed::with_backlog(config(), BACKLOG);
    let calm = Endpoint { port: 81, ..SERVER };
    let calm_listener = bed.sockets().listen(ListenConfig::new(calm)).expect("listens");
    bed.exchange(&[]);
    let mut random = Rng::new(2);
    for n in 0..500 {
        bed.exchange(&burst(&mut random));
        let cookies = bed.count(Counter::SyncookiesSent);
        let syn_ack = bed.syn_ack(&WireSegment { destination: calm, ..syn(client(n), 7) });
        assert_eq!(bed.count(Counter::SyncookiesSent), cookies, "an entry");
        let third = WireSegment { destination: calm, ..crate::bed::third(&syn_ack) };
        assert!(bed.send(&third).is_empty());
        let accepted = bed.sockets().accept(calm_listener).expect("accepted").socket;
        bed.sockets().abort(accepted).expect("aborts");
        bed.pass(Duration::from_millis(1));
    }
    assert!(bed.count(Counter::SyncookiesSent) > 30_000);
    assert_eq!(bed.count(Counter::HalfOpenEvicted), 0);
    bed.assert_drains();
}

/// Forged ACKs, while cookies are being sent and while none is.
#[test]
fn forged_acks_leave_nothing_and_draw_few_resets() {
    const BURSTS: u64 = 3_000;
    for syncookies in [1, 2] {
        let mut bed = Bed::new(EngineConfig { syncookies, ..config() });
        let mut random = Rng::new(3);
        let (mut bytes_in, mut bytes_out, mut resets, mut heap_before, mut allocations) = (0, 0, 0, 0, 0);
        // A million a second.
        for round in 0..BURSTS {
            let forged: Vec<_> = (0..64)
                .map(|_| {
                    let (seq, ack) = (random.next() as u32, random.next() as u32);
                    frame(&segment(spoofed(&mut random), Flags::ACK, seq, ack))
                })
                .collect();
            for frame in &forged {
                assert!(bed.host.receive(frame));
                bytes_in += frame.len();
            }
            let before = heap::calls();
            while bed.host.turn_loop(bed.now) {}
            allocations += if round > 0 { heap::calls() - before } else { 0 };
            bed.host.rest(bed.now);
            while let Some(answer) = bed.host.take_sent() {
                assert_eq!(crate::bed::read(&answer).flags, Flags::RST);
                (bytes_out, resets) = (bytes_out + answer.len(), resets + 1);
            }
            bed.now += Duration::from_micros(64);
            if round == 10 {
                heap_before = heap::live();
            }
        }
        assert_eq!(allocations, 0, "work of a forged ACK: nothing is allocated");
        let growth = heap::live() - heap_before;
        assert!(growth < 16 * 1024, "{growth} bytes");
        let gauges = bed.gauges();
        assert_eq!((gauges.connections, gauges.half_open), (0, 0));
        assert_eq!(bed.drops(DropReason::BadCookie), 64 * BURSTS);
        let checked = if syncookies == 2 { 64 * BURSTS } else { 0 };
        assert_eq!(bed.count(Counter::SyncookiesFailed), checked, "hashed only while cookies are sent");
        // 256 classes of peers, each with a burst of 50 and 50 a second, for 0.192 s.
        assert!(resets <= 256 * 60, "{resets} resets");
        assert_eq!(bed.count(Counter::RstsLimited), 64 * BURSTS - resets);
        assert!(bytes_out < bytes_in / 10, "{bytes_out} bytes for {bytes_in}");
        bed.assert_drains();
    }
}

/// Real handshakes, and then silence: nobody accepts. The queue holds its limit and one; each refusal has its counter; and those
/// who were refused get in once there is room.
#[test]
fn handshakes_and_then_silence() {
    const BACKLOG: u32 = 64;
    let mut bed = Bed::with_backlog(EngineConfig { max_connections: 200, ..config() }, BACKLOG);
    let bots: Vec<_> = (0..300).map(client).collect();
    let mut answered = Vec::new();
    for &bot in &bots {
        let answers = bed.send(&syn(bot, 5));
        for syn_ack in &answers {
            assert!(bed.send(&crate::bed::third(syn_ack)).is_empty(), "no reset");
        }
        answered.extend(answers);
    }
    let held = u64::from(BACKLOG) + 1;
    assert_eq!((answered.len() as u64, bed.gauges().connections), (held, held));
    assert_eq!(bed.drops(DropReason::SynAcceptQueueFull), 300 - held);
    assert_eq!([Counter::ListenOverflows, Counter::ListenDrops].map(|counter| bed.count(counter)), [300 - held; 2]);
    // The application takes them and lets those go that say nothing: whoever comes now is served.
    while let Ok(accepted) = {
        let listener = bed.listener;
        bed.sockets().accept(listener)
    } {
        bed.sockets().abort(accepted.socket).expect("aborts");
    }
    bed.pass(Duration::from_millis(1));
    assert_eq!(bed.gauges().connections, 0);
    assert!((1_000..1_100).all(|n| bed.connects(client(n))));
    bed.assert_drains();
}

/// A SYN with 1,400 bytes: the SYN alone is acknowledged, the bytes are not kept, and a flood of such SYNs costs no more than one
/// of others.
#[test]
fn syns_with_data() {
    let loaded = |from, seq| WireSegment { payload: vec![b'x'; 1_400], ..syn(from, seq) };
    let mut bed = Bed::new(config());
    let syn_ack = bed.syn_ack(&loaded(client(0), 100));
    assert!(bed.send(&crate::bed::third(&syn_ack)).is_empty());
    let listener = bed.listener;
    let socket = bed.sockets().accept(listener).expect("accepted").socket;
    assert_eq!(
        bed.sockets().recv(socket, &mut [0; 10]),
        Err(synward_engine::SocketError::WouldBlock),
        "nothing was kept"
    );
    let data = WireSegment { payload: b"again".to_vec(), ..crate::bed::third(&syn_ack) };
    bed.send(&WireSegment { flags: Flags::ACK | Flags::PSH, ..data });
    let mut bytes = [0; 10];
    assert_eq!(bed.sockets().recv(socket, &mut bytes), Ok(5));
    bed.sockets().abort(socket).expect("aborts");
    bed.exchange(&[]);

    let (mut random, mut heap_before) = (Rng::new(4), 0);
    for round in 0..200 {
        let flood: Vec<_> = (0..64).map(|_| frame(&loaded(spoofed(&mut random), 1))).collect();
        let answers = bed.exchange(&flood);
        assert!(answers.iter().all(|answer| crate::bed::read(answer).ack == 2));
        drop((answers, flood));
        if round == 20 {
            heap_before = heap::live();
        }
    }
    let growth = heap::live() - heap_before;
    assert!(growth < 16 * 1024, "{growth} bytes");
    assert!(bed.gauges().half_open <= 1_025);
    assert_eq!(bed.gauges().frames_lent, 0);
    bed.assert_drains();
}
