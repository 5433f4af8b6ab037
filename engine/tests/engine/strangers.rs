//! Segments that belong to nobody, and frames that nobody can read.

use crate::bed::{CLIENT_LINK, SERVER, config, small_budget};
use crate::peer::{Wire, establish, frame, read, syn};
use std::time::Duration;
use synward_engine::{ConnectConfig, EngineConfig, ListenConfig, SocketError};
use synward_proto::connection::SocketOption;
use synward_proto::wire::ChecksumPolicy;
use synward_proto::{Counter, DropReason, Flags, MacAddr, Options};

#[test]
fn resets_for_strangers_are_limited_and_every_segment_has_its_reason() {
    let mut wire = Wire::new(config(2), small_budget());
    let mut answers = Vec::new();
    for _ in 0..10 {
        let probes: Vec<_> =
            (0..100).map(|n| frame(0, n, 0, Flags::SYN, Options::Syn(Default::default()), b"")).collect();
        answers.extend(wire.exchange(probes.iter().map(Vec::as_slice)));
    }
    assert!(answers.iter().all(|answer| read(answer).flags == Flags::RST | Flags::ACK));
    let (sent, withheld) = (answers.len() as u64, wire.host.count(Counter::RstsLimited));
    assert!(sent > 0 && sent < 1_000 && sent + withheld == 1_000, "{sent} sent, {withheld} withheld");
    assert_eq!(wire.host.count(Counter::OutRsts), sent);
    assert_eq!(wire.host.observer.drops(DropReason::NoListener), 1_000);

    wire.now += Duration::from_secs(1);
    assert_eq!(wire.exchange([syn(0, 1).as_slice()]).len(), 1, "a second later there are some again");
    assert_eq!(wire.exchange([frame(0, 1, 1, Flags::RST, Options::NONE, b"").as_slice()]).len(), 0);
    assert_eq!(wire.host.observer.drops(DropReason::StrayRst), 1);
    wire.host.assert_balanced();
}

#[test]
fn what_cannot_be_read_is_counted_as_linux_does() {
    let mut wire = Wire::new(EngineConfig { checksums: ChecksumPolicy::Full, ..config(2) }, small_budget());
    let good = syn(0, 1);
    let mut bad_sum = good.clone();
    bad_sum[50] ^= 1;
    let mut udp = good.clone();
    udp[12] = 0x86;
    wire.exchange([good.as_slice(), &bad_sum, &udp, &good[..20]]);
    let counters = [Counter::InSegs, Counter::InErrs, Counter::InCsumErrors].map(|c| wire.host.count(c));
    assert_eq!(counters, [2, 1, 1]);
    let drops =
        [DropReason::NoListener, DropReason::TcpChecksum, DropReason::NotIp].map(|r| wire.host.observer.drops(r));
    assert_eq!(drops, [1, 1, 1]);
    assert_eq!(wire.host.observer.snapshot().outcomes.dropped, 4);
}

/// "A reply goes back to the MAC it came from, refreshed only by valid in-window segments."
#[test]
fn only_valid_segments_move_a_connection_to_another_neighbour() {
    let mut wire = Wire::new(config(2), small_budget());
    let listener = wire.host.sockets.listen(ListenConfig::new(SERVER)).expect("listens");
    wire.exchange([]);
    let (seq, ack) = establish(&mut wire, 0);
    let socket = wire.host.sockets.accept(listener).expect("accepted").socket;
    let from = |n: u8, mut bytes: Vec<u8>| {
        bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 9, n]);
        bytes
    };
    let next_hop = |wire: &mut Wire| {
        wire.host.sockets.set(socket, SocketOption::NoDelay(true)).expect("set");
        wire.host.sockets.send(socket, b"where to?").expect("sends");
        let frames = wire.exchange([]);
        read(frames.last().expect("a segment")).link.local
    };
    assert_eq!(next_hop(&mut wire), CLIENT_LINK.local);
    wire.exchange([from(1, frame(0, seq.wrapping_sub(9_000), ack, Flags::ACK, Options::NONE, b"old")).as_slice()]);
    wire.exchange([from(2, frame(0, seq + 5, ack, Flags::RST, Options::NONE, b"")).as_slice()]);
    assert_eq!(next_hop(&mut wire), CLIENT_LINK.local, "forgers move nothing");
    wire.exchange([from(3, frame(0, seq, ack, Flags::ACK | Flags::PSH, Options::NONE, b"moved")).as_slice()]);
    assert_eq!(next_hop(&mut wire), MacAddr([2, 0, 0, 0, 9, 3]));
}

/// An ICMP port unreachable from `router` about a segment that the engine sent.
fn port_unreachable(sent: &[u8]) -> Vec<u8> {
    let quoted = &sent[14..14 + 28];
    let mut icmp = vec![3, 3, 0, 0, 0, 0, 0, 0];
    icmp.extend_from_slice(quoted);
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum);
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 203, 0, 113, 1];
    ip.extend_from_slice(&sent[14 + 12..14 + 16]);
    ip[2..4].copy_from_slice(&(20 + icmp.len() as u16).to_be_bytes());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    [&sent[6..12], &sent[..6], &sent[12..14], &ip, &icmp].concat()
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let sum = words.sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!((folded & 0xffff) + (folded >> 16)) as u16).to_be_bytes()
}

#[test]
fn an_icmp_error_ends_the_open_that_it_quotes_and_nothing_else() {
    let mut wire = Wire::new(config(1), small_budget());
    let link = synward_proto::Link { local: CLIENT_LINK.local, remote: CLIENT_LINK.remote, ..Default::default() };
    let dial = |wire: &mut Wire, n| {
        let config = ConnectConfig::new(crate::bed::client(n), SERVER, link);
        let socket = wire.host.sockets.connect(config).expect("connects");
        (socket, wire.exchange([]).remove(0))
    };
    let (first, syn) = dial(&mut wire, 0);
    let (second, _) = dial(&mut wire, 1);
    let mut wrong = port_unreachable(&syn);
    wrong[14 + 20 + 8 + 20 + 4] ^= 1;
    let sum = checksum(&[&wrong[34..36], &[0, 0], &wrong[38..]].concat());
    wrong[36..38].copy_from_slice(&sum);
    wire.exchange([wrong.as_slice()]);
    assert_eq!(wire.host.sockets.take_error(first), Ok(None), "it quotes a sequence number that was never sent");
    wire.exchange([port_unreachable(&syn).as_slice()]);
    assert_eq!(wire.host.sockets.take_error(first), Ok(Some(SocketError::ConnectionRefused)));
    assert_eq!(wire.host.sockets.take_error(second), Ok(None));
    wire.exchange([port_unreachable(&syn).as_slice()]);
    let drops = [DropReason::IcmpOutOfWindow, DropReason::IcmpNoConnection].map(|r| wire.host.observer.drops(r));
    assert_eq!(drops, [1, 1]);
    wire.host.assert_balanced();
}
