//! What ICMP errors and the interface say about the size of packets, and what else ICMP errors do.

use crate::bed::{CLIENT_LINK, SERVER, client, config, small_budget};
use crate::peer::{Wire, establish, frame, read, syn};
use std::time::Duration;
use synward_engine::{ConnectConfig, EngineConfig, ListenConfig, ListenerId, SocketId};
use synward_proto::segment::Mss;
use synward_proto::wire::checksum::Sum;
use synward_proto::{Counter, DropReason, Flags, Options};

/// An ICMP error of this type and code over IPv4 that quotes `packet`, a frame of the engine's, with an MTU.
fn icmp(icmp_type: u8, code: u8, mtu: u16, packet: &[u8]) -> Vec<u8> {
    let mut message = vec![icmp_type, code, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend_from_slice(&packet[14..14 + 28]);
    let sum = Sum::of(&message).finished();
    message[2..4].copy_from_slice(&sum);
    let mut bytes = Vec::new();
    bytes.extend([packet[6..12].to_vec(), packet[..6].to_vec(), vec![0x08, 0x00]].concat());
    let mut header = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 1, 0, 0];
    header[2..4].copy_from_slice(&(20 + message.len() as u16).to_be_bytes());
    // From a router on the way.
    header.extend([198, 51, 100, 254]);
    header.extend_from_slice(&packet[26..30]);
    let sum = Sum::of(&header).finished();
    header[10..12].copy_from_slice(&sum);
    bytes.extend(header);
    bytes.extend(message);
    bytes
}

struct Server {
    wire: Wire,
    listener: ListenerId,
}

impl Server {
    fn new() -> Self {
        Self::with(config(2))
    }

    fn with(config: EngineConfig) -> Self {
        let mut wire = Wire::new(config, small_budget());
        let listener = wire.host.sockets.listen(ListenConfig::new(SERVER)).expect("listens");
        wire.exchange([]);
        Self { wire, listener }
    }

    /// A connection from the client with this number: its socket, and the numbers that it goes on with.
    fn accept(&mut self, n: u32) -> (SocketId, (u32, u32)) {
        let numbers = establish(&mut self.wire, n);
        (self.wire.host.sockets.accept(self.listener).expect("accepted").socket, numbers)
    }

    /// The frames that so many bytes become.
    fn send(&mut self, socket: SocketId, len: usize) -> Vec<Vec<u8>> {
        assert_eq!(self.wire.host.sockets.send(socket, &vec![7; len]), Ok(len));
        self.wire.exchange([])
    }
}

fn lengths(frames: &[Vec<u8>]) -> Vec<u16> {
    frames.iter().map(|frame| read(frame).payload.len).collect()
}

/// One connection finds the way, and the next begins with it; those to other peers do not.
#[test]
fn a_path_that_one_connection_has_learnt_is_known_to_the_next() {
    let mut server = Server::new();
    let (first, _) = server.accept(0);
    let sent = server.send(first, 4380);
    assert_eq!(lengths(&sent), [1460, 1460, 1460]);
    let again = server.wire.exchange([icmp(3, 4, 1300, &sent[1]).as_slice()]);
    assert_eq!(lengths(&again), [1260, 1260, 1260, 600], "at once, and what fits");

    let (second, _) = server.accept(1);
    assert_eq!(lengths(&server.send(second, 3000)), [1260, 1260, 480]);
    let elsewhere = 50_000;
    let (other, _) = server.accept(elsewhere);
    assert_eq!(lengths(&server.send(other, 2920)), [1460, 1460]);

    let near = server.wire.host.sockets.connect(ConnectConfig::new(SERVER, client(7), CLIENT_LINK));
    let opened = server.wire.exchange([]);
    let syn = opened.iter().map(|frame| read(frame)).find(|sent| sent.flags == Flags::SYN).expect("a SYN");
    let Options::Syn(options) = syn.options else { panic!("a SYN has its options") };
    assert_eq!(options.mss, Mss::announced(1460), "the way back may be wider");
    let answer = frame(7, 500, syn.seq.0.wrapping_add(1), Flags::SYN | Flags::ACK, Options::Syn(options), b"");
    server.wire.exchange([answer.as_slice()]);
    assert_eq!(lengths(&server.send(near.expect("connects"), 1500)), [1248, 252], "timestamps take twelve bytes");

    server.wire.now += Duration::from_secs(700);
    server.wire.exchange([]);
    let (late, _) = server.accept(2);
    assert_eq!(lengths(&server.send(late, 2920)), [1460, 1460]);
}

/// Whoever has not seen a segment cannot make us believe anything.
#[test]
fn an_error_about_what_was_not_sent_teaches_nothing() {
    let mut server = Server::new();
    let (first, _) = server.accept(0);
    let mut forged = server.send(first, 2920).remove(0);
    forged[14 + 20 + 4 + 3] ^= 0x80;
    forged[14 + 20 + 4] ^= 0x80;
    assert_eq!(server.wire.exchange([icmp(3, 4, 600, &forged).as_slice()]).len(), 0);
    assert_eq!(server.wire.host.count(Counter::OutOfWindowIcmps), 1);
    let (second, _) = server.accept(1);
    assert_eq!(lengths(&server.send(second, 1460)), [1460]);
}

/// Linux: `tcp_req_err`.
#[test]
fn an_error_about_a_syn_ack_ends_the_half_open_connection() {
    let mut server = Server::new();
    let syn_ack = server.wire.exchange([syn(0, 1_000).as_slice()]).remove(0);
    let half_open = |server: &Server| server.wire.host.observer.snapshot().gauges.half_open;
    let mut other = syn_ack.clone();
    other[14 + 20 + 7] ^= 1;
    for (error, reason) in [
        (icmp(3, 1, 0, &other), DropReason::IcmpOutOfWindow),
        (icmp(3, 4, 600, &syn_ack), DropReason::IcmpIgnored),
        (icmp(3, 3, 0, &syn_ack), DropReason::IcmpIgnored),
    ] {
        let before = server.wire.host.observer.drops(reason);
        assert!(server.wire.exchange([error.as_slice()]).is_empty());
        assert_eq!((half_open(&server), server.wire.host.observer.drops(reason)), (1, before + 1));
    }
    assert!(server.wire.exchange([icmp(3, 1, 0, &syn_ack).as_slice()]).is_empty());
    assert_eq!((half_open(&server), server.wire.host.count(Counter::ListenDrops)), (0, 1));
    server.wire.exchange([icmp(3, 1, 0, &syn_ack).as_slice()]);
    assert_eq!(server.wire.host.observer.drops(DropReason::IcmpNoConnection), 1);
}

/// THREATS, section 2, "MTU change": listeners, half-open connections and established ones go by the new one.
#[test]
fn the_interface_takes_other_packets_from_now_on() {
    let mut server = Server::new();
    let (old, (seq, mut ack)) = server.accept(0);
    let announced = |frames: &[Vec<u8>]| match read(&frames[0]).options {
        Options::Syn(options) => options.mss.map(Mss::get),
        Options::Data(_) => None,
    };
    let first = server.wire.exchange([syn(1, 1_000).as_slice()]);
    assert_eq!(announced(&first), Some(1460));
    for (mtu, mss) in [(1400, 1360), (900, 860), (1500, 1460)] {
        server.wire.host.poll_loop.set_mtu(mtu);
        let sent = lengths(&server.send(old, 3 * usize::from(mss)));
        assert_eq!(sent, [mss; 3], "the connection that was there");
        ack = ack.wrapping_add(3 * u32::from(mss));
        server.wire.exchange([frame(0, seq, ack, Flags::ACK, Options::NONE, b"").as_slice()]);
        server.wire.now += Duration::from_secs(1);
        let again = server.wire.exchange([syn(1, 1_000).as_slice()]);
        assert_eq!(announced(&again), Some(mss), "the half-open connection that was there");
        let fresh = server.wire.exchange([syn(mtu, 1_000).as_slice()]);
        assert_eq!(announced(&fresh), Some(mss), "the listener that was there");
    }
}

/// RFC 5927, section 5.2; Linux: `tcp_v4_err`.
#[test]
fn errors_about_established_connections_and_time_wait_change_nothing() {
    let mut server = Server::new();
    let (socket, (seq, ack)) = server.accept(0);
    let sent = server.send(socket, 100);
    for (icmp_type, code) in [(3, 0), (3, 1), (3, 2), (3, 3), (3, 13), (4, 0), (11, 0), (12, 0)] {
        assert!(server.wire.exchange([icmp(icmp_type, code, 0, &sent[0]).as_slice()]).is_empty());
    }
    server.wire.host.sockets.close(socket).expect("closes");
    let fin = server.wire.exchange([frame(0, seq, ack.wrapping_add(100), Flags::ACK, Options::NONE, b"").as_slice()]);
    let last = read(fin.last().expect("a FIN"));
    assert!(last.flags.contains(Flags::FIN));
    let end = last.seq.0.wrapping_add(1);
    server.wire.exchange([frame(0, seq, end, Flags::FIN | Flags::ACK, Options::NONE, b"").as_slice()]);
    let time_waits = |server: &Server| server.wire.host.observer.snapshot().gauges.time_waits;
    assert_eq!(time_waits(&server), 1);
    let before = server.wire.host.observer.drops(DropReason::IcmpNoConnection);
    server.wire.exchange([icmp(3, 1, 0, fin.last().expect("a FIN")).as_slice()]);
    assert_eq!((time_waits(&server), server.wire.host.observer.drops(DropReason::IcmpNoConnection)), (1, before + 1));
}
