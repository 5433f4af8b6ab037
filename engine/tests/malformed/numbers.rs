//! Windows and sequence numbers at the ends of what 16 and 32 bits say (MUST-1).

use crate::server::{Family, PSH_ACK, Peer, Server, V4, config};
use std::collections::VecDeque;
use std::time::Duration;
use synward_engine::SocketId;
use synward_proto::Flags;
use synward_testkit::wire::{WireOption, WireSegment};

/// A SYN and a third segment that offer nothing: the connection stands, and sends when there is room.
#[test]
fn a_window_of_zero_from_the_beginning() {
    let mut server = Server::new(V4, config());
    let mut peer = Peer { window: 0, ..Peer::new(V4, 1) };
    let (socket, _) = server.open(&mut peer, &[WireOption::Mss(1000)]);
    let (written, sent) = server.write(socket, b"patience");
    assert_eq!((written, sent), (8, vec![]));
    // A probe carries a byte at most, and probes thin out.
    let probes = server.pass(Duration::from_secs(60));
    assert!((1..=20).contains(&probes.len()) && probes.iter().all(|probe| probe.payload.len() <= 1), "{probes:?}");
    peer.window = 64_240;
    let sent = server.send(&peer.says(Flags::ACK, b""));
    assert_eq!(sent.iter().map(|segment| segment.payload.as_slice()).collect::<Vec<_>>(), [b"patience"]);
    peer.ack = peer.ack.wrapping_add(8);
    server.send(&peer.says(Flags::ACK, b""));
    server.end();
}

/// The highest bit of a window is a bit like others.
#[test]
fn windows_are_unsigned() {
    for window in [1, 0x7fff, 0x8000, 0x8001, 0xffff] {
        for shift in [None, Some(0), Some(1), Some(14)] {
            let mut server = Server::new(V4, config());
            let mut peer = Peer { window, ..Peer::new(V4, 1) };
            let options: Vec<_> =
                [WireOption::Mss(1000)].into_iter().chain(shift.map(WireOption::WindowScale)).collect();
            let (socket, _) = server.open(&mut peer, &options);
            let offered = u32::from(window) << shift.unwrap_or(0);
            assert_eq!(server.row(&peer).expect("it stands").send_window, offered);
            // Ten segments are the congestion window.
            let (_, sent) = server.write(socket, &[1; 20_000]);
            let bytes: usize = sent.iter().map(|segment| segment.payload.len()).sum();
            let room = offered.min(10_000) as usize;
            assert!(bytes <= room && (bytes == room || room < 1_000), "{bytes} bytes within {offered}");
            server.send(&peer.says(Flags::RST, b""));
            server.end();
        }
    }
}

const TOTAL: usize = 200_000;

/// Byte `n` of a stream that does not repeat itself at segment boundaries.
fn stream() -> Vec<u8> {
    (0..TOTAL as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A whole transfer each way across 2³¹ and 2³², our numbers and the peer's: segments lost and overtaken exactly there.
#[test]
fn sequence_numbers_wrap() {
    for family in Family::ALL {
        for boundary in [0, 1 << 31] {
            for options in [vec![], vec![WireOption::SackPermitted]] {
                let options = [vec![WireOption::Mss(1000), WireOption::WindowScale(7)], options].concat();
                let mut server = Server::new(family, config());
                let mut peer = Peer { seq: start(boundary), ..Peer::new(family, 1) };
                wait_for_number(&mut server, &peer, start(boundary));
                let (socket, syn_ack) = server.open(&mut peer, &options);
                assert_eq!(syn_ack.seq, start(boundary), "the number that was waited for");
                receive(&mut server, &mut peer, socket, boundary);
                send(&mut server, &mut peer, socket);
                server.end();
            }
        }
    }
}

/// Half of the stream before the boundary.
fn start(boundary: u32) -> u32 {
    boundary.wrapping_sub(TOTAL as u32 / 2)
}

/// Our numbers of a tuple rise with a clock of 4 µs (MUST-8): asks for one, and waits until it is due.
fn wait_for_number(server: &mut Server, peer: &Peer, wanted: u32) {
    let asked = server.send(&peer.syn(&[]));
    server.send(&WireSegment { seq: peer.seq.wrapping_add(1), ..peer.says(Flags::RST, b"") });
    let ticks = wanted.wrapping_sub(asked[0].seq);
    server.pass(Duration::from_micros(4) * ticks);
}

/// The peer takes the stream; it loses the first copy of whatever crosses the boundary.
fn receive(server: &mut Server, peer: &mut Peer, socket: SocketId, boundary: u32) {
    let (wanted, base) = (stream(), peer.ack);
    let (mut written, mut got, mut lost) = (0, Vec::new(), false);
    for _ in 0..2_000 {
        let (more, sent) = server.write(socket, &wanted[written..]);
        written += more;
        let mut sent = VecDeque::from(sent);
        sent.extend(server.pass(Duration::from_millis(5)));
        while let Some(WireSegment { seq, payload, .. }) = sent.pop_front() {
            let at = seq.wrapping_sub(base) as usize;
            let crosses = boundary.wrapping_sub(seq) < payload.len() as u32;
            if crosses && !lost {
                lost = true;
            } else if at <= got.len() && at + payload.len() > got.len() {
                got.extend_from_slice(&payload[got.len() - at..]);
            }
            peer.ack = base.wrapping_add(got.len() as u32);
            sent.extend(server.send(&peer.says(Flags::ACK, b"")));
        }
        if got.len() == TOTAL {
            break;
        }
    }
    assert!(lost && got == wanted, "{} of {TOTAL} bytes, one lost: {lost}", got.len());
}

/// The peer sends the stream, every second segment before its forerunner.
fn send(server: &mut Server, peer: &mut Peer, socket: SocketId) {
    let (wanted, base) = (stream(), peer.seq);
    let mut got = Vec::new();
    for (n, pair) in wanted.chunks(2_000).enumerate() {
        let (first, second) = pair.split_at(1_000);
        for (part, at) in [(second, 1_000), (first, 0)] {
            let seq = base.wrapping_add((2_000 * n + at) as u32);
            server.send(&WireSegment { seq, ..peer.says(PSH_ACK, part) });
        }
        got.extend(server.read(socket));
    }
    assert!(got == wanted, "{} of {TOTAL} bytes", got.len());
    peer.seq = base.wrapping_add(TOTAL as u32);
    let mut answers = server.send(&peer.says(PSH_ACK, b"."));
    answers.extend(server.pass(Duration::from_millis(200)));
    assert_eq!(answers.last().map(|answer| answer.ack), Some(peer.seq.wrapping_add(1)), "all is acknowledged");
    assert_eq!(server.read(socket), b".");
}
