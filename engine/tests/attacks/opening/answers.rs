//! What an attacker can make the engine send to others.

use crate::bed::{Bed, SERVER, client, config, frame, on_the_wire, read, segment, third, usual};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use synward_engine::EngineConfig;
use synward_proto::{Counter, DropReason, Endpoint, Flags};
use synward_testkit::wire::{WireOption, WireSegment};

const RETRIES: usize = 5;

/// Longer than any half-open entry lives.
const LIFE: Duration = Duration::from_secs(130);

fn victims() -> [Endpoint; 2] {
    let v4 = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 9, 0, 0, 0, 9));
    [v4, v6].map(|address| Endpoint::new(address, 4_000))
}

/// A SYN with each set of options, as tightly packed as it can be.
fn syns(victim: Endpoint) -> impl Iterator<Item = WireSegment> {
    (0..16_u32).map(move |set| {
        let all = [
            WireOption::Mss(1460),
            WireOption::WindowScale(7),
            WireOption::SackPermitted,
            WireOption::Timestamps(9, 0),
        ];
        let chosen = all.into_iter().enumerate().filter(|(bit, _)| set >> bit & 1 != 0).map(|(_, option)| option);
        WireSegment { options: chosen.collect(), ..segment(victim, Flags::SYN, 77, 0) }
    })
}

/// All that comes back for one forged SYN: bytes of IP packets, and of frames on the wire; and how many.
fn drawn(bed: &mut Bed, syn: &WireSegment) -> (usize, usize, usize) {
    let mut answers = bed.exchange(&[frame(syn)]);
    answers.extend(bed.pass(LIFE));
    assert!(answers.iter().all(|answer| read(answer).destination == syn.source && read(answer).payload.is_empty()));
    let packets = answers.iter().map(|answer| answer.len() - 14).sum();
    (packets, answers.iter().map(|answer| on_the_wire(answer)).sum(), answers.len())
}

/// With the table, a forged SYN that is never answered draws a SYN-ACK and its repetitions, each no larger than the SYN; one
/// without MSS draws four bytes more, for ours is always announced.
#[test]
fn a_forged_syn_draws_its_size_once_and_once_for_each_retry() {
    for victim in victims() {
        let mut bed = Bed::new(config());
        for syn in syns(victim) {
            let asked = frame(&syn).len() - 14;
            let (bytes, _, answers) = drawn(&mut bed, &syn);
            assert_eq!(answers, 1 + RETRIES, "{syn:?}");
            let announced = if syn.options.contains(&WireOption::Mss(1460)) { 0 } else { 4 };
            assert!(bytes <= (1 + RETRIES) * (asked + announced), "{bytes} bytes for {asked}: {syn:?}");
        }
        bed.assert_drains();
    }
    // On the wire Ethernet pads, and over IPv4 a SYN without any option draws no more than its size, too.
    let syn = segment(victims()[0], Flags::SYN, 77, 0);
    let (_, bytes, _) = drawn(&mut Bed::new(config()), &syn);
    assert_eq!(bytes, (1 + RETRIES) * on_the_wire(&frame(&syn)));
}

#[test]
fn a_cookie_is_no_larger_than_its_syn_and_never_sent_again() {
    for victim in victims() {
        let mut bed = Bed::new(EngineConfig { syncookies: 2, ..config() });
        for syn in syns(victim) {
            let asked = frame(&syn).len();
            let (bytes, on_wire, answers) = drawn(&mut bed, &syn);
            assert_eq!(answers, 1);
            assert!(bytes + 14 <= asked && on_wire <= on_the_wire(&frame(&syn)), "{bytes} bytes for {syn:?}");
        }
        assert_eq!(bed.gauges().half_open, 0);
        bed.assert_drains();
    }
}

/// Past the share of its network, a victim gets cookies: of a flood in its name it sees no more than was sent.
#[test]
fn a_flood_in_the_name_of_one_victim_is_not_multiplied() {
    const SYNS: u16 = 4_000;
    let mut bed = Bed::new(EngineConfig { half_opens_per_prefix: Some(100), ..config() });
    let victim = |port| Endpoint { port, ..victims()[0] };
    let flood: Vec<_> = (1..=SYNS)
        .map(|port| frame(&WireSegment { options: usual(), ..segment(victim(port), Flags::SYN, 7, 0) }))
        .collect();
    let mut answers = bed.exchange(&flood);
    answers.extend(bed.pass(LIFE));
    let (asked, drawn) = (flood.iter().map(Vec::len).sum::<usize>(), answers.iter().map(Vec::len).sum::<usize>());
    // 100 entries draw six SYN-ACKs each.
    assert_eq!(answers.len(), usize::from(SYNS) + 100 * RETRIES);
    assert!(drawn * 8 <= asked * 9, "{drawn} bytes for {asked}");
    bed.assert_drains();
}

/// Requests without a handshake, as middleboxes answer with whole pages: one reset of 40 bytes each, and not many of them.
#[test]
fn requests_without_a_handshake_draw_bare_resets_and_few() {
    let closed = Endpoint { port: 8_080, ..SERVER };
    let request = b"GET / HTTP/1.1\r\nHost: blocked.example\r\n\r\n";
    for (syncookies, destination) in [(1, SERVER), (2, SERVER), (1, closed)] {
        let mut bed = Bed::new(EngineConfig { syncookies, ..config() });
        let flags = Flags::PSH | Flags::ACK;
        let asks = |seq| WireSegment {
            destination,
            payload: request.to_vec(),
            ..segment(victims()[0], flags, seq, seq.wrapping_mul(3))
        };
        let asked: Vec<_> = (0..1_000).map(|seq| frame(&asks(seq))).collect();
        let answers = bed.exchange(&asked);
        assert_eq!(answers.len(), 50, "one victim draws so many a second");
        for answer in &answers {
            assert_eq!((answer.len(), read(answer).flags), (14 + 40, Flags::RST));
        }
        assert_eq!(bed.count(Counter::RstsLimited), 950);
        let reason = if destination == closed { DropReason::NoListener } else { DropReason::BadCookie };
        assert_eq!(bed.drops(reason), 1_000);
        assert!(bed.pass(LIFE).is_empty());
        bed.assert_drains();
    }
}

/// SYN+ACK as in a SYN-ACK reflection, which must draw one reset, and a bare RST or FIN, which must draw nothing.
#[test]
fn other_probes_draw_one_reset_or_nothing() {
    for (flags, answers) in [
        (Flags::SYN | Flags::ACK, 1),
        (Flags::ACK, 1),
        (Flags::FIN | Flags::ACK, 1),
        (Flags::FIN, 0),
        (Flags::PSH | Flags::URG, 0),
        (Flags::RST, 0),
        (Flags::RST | Flags::ACK, 0),
    ] {
        for victim in victims() {
            let mut bed = Bed::new(config());
            let probe = WireSegment { payload: vec![1; 1_000], ..segment(victim, flags, 5, 6) };
            let drawn = bed.exchange(&[frame(&probe)]);
            let header = if victim.addr.is_ipv4() { 40 } else { 60 };
            assert_eq!(drawn.len(), answers, "{flags:?}");
            assert!(drawn.iter().all(|answer| answer.len() == 14 + header && read(answer).flags.contains(Flags::RST)));
            assert!(bed.pass(LIFE).is_empty());
            bed.assert_drains();
        }
    }
}

/// The last segment of a handshake is lost: the SYN-ACK comes again, and whatever the client sends next completes it.
#[test]
fn a_lost_third_segment() {
    let mut bed = Bed::new(config());
    let syn_ack = bed.syn_ack(&crate::bed::syn(client(0), 10));
    let again = bed.pass(Duration::from_secs(1));
    assert_eq!(again.iter().map(|frame| read(frame)).collect::<Vec<_>>(), std::slice::from_ref(&syn_ack));
    let data = WireSegment { payload: b"hello".to_vec(), flags: Flags::ACK | Flags::PSH, ..third(&syn_ack) };
    bed.send(&data);
    let listener = bed.listener;
    let socket = bed.sockets().accept(listener).expect("accepted").socket;
    bed.exchange(&[]);
    let mut bytes = [0; 10];
    assert_eq!(bed.sockets().recv(socket, &mut bytes), Ok(5));
    bed.assert_drains();
}
