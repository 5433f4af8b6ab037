//! Resets, SYNs and data from somebody who cannot see the connection: RFC 5961, RFC 7323 section 5.

use crate::bed::{Bed, PLAIN, Peer, config};
use std::time::Duration;
use synward_engine::{SocketError, SocketId};
use synward_proto::{Counter, Flags};
use synward_testkit::wire::{WireOption, WireSegment};

const PSH_ACK: Flags = Flags::PSH.union(Flags::ACK);
const FIN_ACK: Flags = Flags::FIN.union(Flags::ACK);
/// Longer than challenges are withheld after one.
const QUIET: Duration = Duration::from_millis(600);
/// The window that the engine offers without scaling.
const WINDOW: u32 = 65_535;

/// Exactly what the RFC calls a challenge: it says what is expected, and nothing else.
fn is_challenge(answers: &[WireSegment], peer: &Peer) -> bool {
    matches!(answers, [answer] if answer.flags == Flags::ACK
        && answer.payload.is_empty() && answer.ack == peer.seq && answer.seq == peer.ack)
}

#[test]
fn of_a_sweep_of_resets_only_the_exact_one_counts() {
    let mut bed = Bed::new(config());
    for (n, offset) in (0..).zip([u32::MAX, 0, 1, WINDOW - 1, WINDOW]) {
        let (mut peer, socket) = bed.open(n, PLAIN);
        let answers = bed.send(&peer.forges(Flags::RST, offset, b""));
        let challenged = offset == 1 || offset == WINDOW - 1;
        assert_eq!(is_challenge(&answers, &peer), challenged, "at {offset:#x}: {answers:?}");
        assert!(challenged || answers.is_empty(), "at {offset:#x}: {answers:?}");
        if offset == 0 {
            assert_eq!(bed.read(socket), Err(SocketError::ConnectionReset));
        } else {
            assert!(bed.is_alive(&mut peer, socket), "after a reset at {offset:#x}");
        }
    }
    assert_eq!(bed.gauges().connections, 4);
    bed.end();
}

/// Brings a connection to a state by name.
fn in_state(bed: &mut Bed, n: u32, state: &str) -> (Peer, SocketId) {
    let (mut peer, socket) = bed.open(n, PLAIN);
    let peer_closes_first = matches!(state, "CLOSE-WAIT" | "LAST-ACK");
    if peer_closes_first {
        bed.send(&peer.says(FIN_ACK, b""));
        peer.seq = peer.seq.wrapping_add(1);
    }
    if !matches!(state, "ESTABLISHED" | "CLOSE-WAIT") {
        bed.close(socket);
        assert_eq!(bed.taken().len(), 1, "a FIN");
        if state == "FIN-WAIT-2" {
            peer.ack = peer.ack.wrapping_add(1);
            bed.send(&peer.acks());
        }
    }
    if state == "CLOSING" {
        bed.send(&peer.says(FIN_ACK, b""));
        peer.seq = peer.seq.wrapping_add(1);
    }
    bed.now += QUIET;
    bed.taken();
    (peer, socket)
}

#[test]
fn a_syn_is_challenged_in_every_state_and_everywhere() {
    let mut bed = Bed::new(config());
    let states = ["ESTABLISHED", "CLOSE-WAIT", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "LAST-ACK"];
    let mut number = 0..;
    for state in states {
        for offset in [0_u32.wrapping_sub(100_000), u32::MAX, 0, 1, WINDOW - 1, WINDOW, 1_000_000] {
            for flags in [Flags::SYN, Flags::SYN | Flags::ACK] {
                let (peer, _) = in_state(&mut bed, number.next().expect("another"), state);
                let before = bed.gauges().connections;
                let answers = bed.send(&peer.forges(flags, offset, b""));
                let [answer] = answers.as_slice() else { panic!("{state}, {flags:?} at {offset:#x}: {answers:?}") };
                let sent = (answer.flags, answer.ack, answer.payload.len());
                assert_eq!(sent, (Flags::ACK, peer.seq, 0), "{state}, {flags:?} at {offset:#x}");
                assert_eq!(bed.gauges().connections, before, "{state} lives on");
            }
        }
    }
    bed.end();
}

/// The peer has lost its state and begins anew from the same port while we are in LAST-ACK: the challenge makes it reset
/// what is old, and its next SYN opens.
#[test]
fn a_client_that_begins_anew_in_last_ack_gets_through() {
    let mut bed = Bed::new(config());
    let (old, _) = in_state(&mut bed, 0, "LAST-ACK");
    let new = Peer { seq: old.seq.wrapping_add(0x4000_0000), ..old.clone() };
    let answers = bed.send(&new.syn(PLAIN));
    let [challenge] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(challenge.flags, Flags::ACK);
    let reset = Peer { seq: challenge.ack, ..old.clone() };
    assert_eq!(bed.send(&reset.says(Flags::RST, b"")), []);
    assert_eq!(bed.gauges().connections, 0);
    bed.now += Duration::from_secs(1);
    let (mut peer, socket) = {
        let mut peer = Peer { ack: 0, ..new };
        bed.shake(&mut peer, PLAIN);
        (peer, bed.accept())
    };
    assert!(bed.is_alive(&mut peer, socket));
    bed.end();
}

/// Acknowledgments in `[SND.UNA - MAX.SND.WND, SND.NXT]` count, and no others (RFC 5961, section 5.2).
#[test]
fn blind_data_must_acknowledge_what_its_sender_could_have_seen() {
    const PEER_WINDOW: u16 = 2_000;
    let mut bed = Bed::new(config());
    let (mut peer, socket) = bed.open(0, PLAIN);
    peer.window = PEER_WINDOW;
    // Scripts of the handshake: MAX.SND.WND is what the SYN's window was.
    let largest = Peer::new(0).window;
    for _ in 0..100 {
        assert_eq!(bed.write(socket, &[7; 1_000]), 1_000);
        let sent = bed.taken();
        peer.ack = peer.ack.wrapping_add(sent.iter().map(|segment| segment.payload.len() as u32).sum());
        bed.send(&peer.acks());
    }
    let (una, largest) = (peer.ack, u32::from(largest));
    assert_eq!(bed.write(socket, &[7; 500]), 500);
    assert_eq!(bed.taken().len(), 1, "SND.NXT is 500 further");
    for (ack, counts) in [
        (una.wrapping_add(501), false),
        (una.wrapping_sub(largest + 1), false),
        (una.wrapping_add(0x7fff_ffff), false),
        (una.wrapping_sub(0x7fff_ffff), false),
        (una.wrapping_sub(largest), true),
        (una.wrapping_add(500), true),
    ] {
        bed.now += QUIET / 10;
        let forged = Peer { ack, ..peer.clone() };
        bed.send(&forged.says(PSH_ACK, b"data!"));
        let wanted: &[u8] = if counts { b"data!" } else { b"" };
        assert_eq!(bed.read(socket).as_deref(), Ok(wanted), "una{:+}", ack.wrapping_sub(una) as i32);
        if counts {
            peer.seq = peer.seq.wrapping_add(5);
        }
    }
    assert!(bed.count(Counter::TCPChallengeACK) >= 1);
    bed.end();
}

/// RFC 7323, section 5: TS.Recent moves only with segments that are right in every other respect; a reset is exempt.
#[test]
fn a_forged_timestamp_from_the_future_stops_nobody() {
    let mut bed = Bed::new(config());
    let stamped = [WireOption::Mss(1460), WireOption::SackPermitted, WireOption::Timestamps(5_000, 0)];
    let (mut peer, socket) = bed.open(0, &stamped);
    let (value, echo) = peer.timestamps.expect("both have timestamps");
    let future = Peer { timestamps: Some((value.wrapping_add(0x7000_0000), echo)), ..peer.clone() };
    let wrong_ack = Peer { ack: peer.ack.wrapping_add(1), ..future.clone() };
    let old_ack = Peer { ack: peer.ack.wrapping_sub(0x4000_0000), ..future.clone() };
    let forged = [
        future.forges(PSH_ACK, 0x1000_0000, b"beyond the window"),
        future.forges(PSH_ACK, 0_u32.wrapping_sub(0x1000_0000), b"before it"),
        future.forges(PSH_ACK, 2_000, b"before its turn"),
        wrong_ack.says(PSH_ACK, b"of what was never sent"),
        old_ack.says(PSH_ACK, b"of what is too old"),
        wrong_ack.says(Flags::ACK, b""),
        future.forges(Flags::RST, 5, b""),
        future.forges(Flags::RST | Flags::ACK, 5, b""),
        future.forges(Flags::SYN, 0, b""),
        future.forges(Flags::SYN | Flags::ACK, 1, b""),
        future.says(Flags::PSH, b"without ACK"),
    ];
    for segment in forged {
        bed.now += QUIET;
        bed.send(&segment);
        peer.timestamps = peer.timestamps.map(|(value, echo)| (value + 1, echo));
        assert!(bed.is_alive(&mut peer, socket), "after {segment:?}: {:?}", bed.drops_by_reason());
    }
    // However old its timestamp, an exact reset counts.
    let old = Peer { timestamps: Some((1, echo)), ..peer.clone() };
    bed.send(&old.says(Flags::RST, b""));
    assert_eq!(bed.read(socket), Err(SocketError::ConnectionReset));
    bed.end();
}
