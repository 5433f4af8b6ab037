//! Peers that go away in the middle of closing, and such as are dead: nothing is kept for ever.

use crate::bed::{Bed, PLAIN, Peer, config};
use std::time::Duration;
use synward_engine::{EngineConfig, SocketError};
use synward_proto::connection::Keepalive;
use synward_proto::{Counter, Flags};

const FIN_ACK: Flags = Flags::FIN.union(Flags::ACK);

/// The peer of this number falls silent once we are in a state.
fn abandoned_in(bed: &mut Bed, n: u32, state: &str) -> Peer {
    let (mut peer, socket) = bed.open(n, PLAIN);
    if state == "LAST-ACK" {
        bed.send(&peer.says(FIN_ACK, b""));
        peer.seq = peer.seq.wrapping_add(1);
    }
    bed.close(socket);
    if state == "FIN-WAIT-2" {
        peer.ack = peer.ack.wrapping_add(1);
        bed.send(&peer.acks());
    }
    if state == "CLOSING" {
        bed.send(&peer.says(FIN_ACK, b""));
    }
    peer
}

/// FIN-WAIT-2 lasts `fin_wait_2`, 60 s. In the others our FIN is sent nine times at doubling intervals from 200 ms: 102 s.
#[test]
fn every_state_ends_when_the_peer_is_gone() {
    for (state, least, most) in
        [("FIN-WAIT-1", 50, 103), ("FIN-WAIT-2", 59, 60), ("CLOSING", 50, 103), ("LAST-ACK", 50, 103)]
    {
        let mut bed = Bed::new(config());
        for n in 0..500 {
            abandoned_in(&mut bed, n, state);
        }
        bed.taken();
        bed.pass(Duration::from_secs(least));
        assert_eq!((bed.gauges().connections, bed.gauges().orphans), (500, 500), "{state} lasts a while");
        let sent = bed.pass(Duration::from_secs(most - least) + Duration::from_millis(1));
        assert_eq!((bed.gauges().connections, bed.gauges().orphans), (0, 0), "{state} is over");
        assert!(sent.len() <= 500 * 9, "{state}: {} segments", sent.len());
        bed.end();
    }
}

/// A peer that goes on sending an old acknowledgment does not hold it: the last interval is waited for once more, 205 s in all.
#[test]
fn old_acknowledgments_keep_no_closed_connection() {
    let mut bed = Bed::new(config());
    let peer = abandoned_in(&mut bed, 0, "FIN-WAIT-1");
    let mut sent = 0;
    for _ in 0..2_050 {
        sent += bed.pass(Duration::from_millis(100)).len();
        sent += bed.send(&peer.acks()).len();
    }
    assert_eq!(bed.gauges().connections, 0);
    // The FIN, a tail loss probe, ten copies, and a reset for an acknowledgment that comes after the end.
    assert!(sent <= 13, "{sent} segments");
    bed.end();
}

/// MUST-24 to MUST-29: off unless asked for; then two hours of silence, and nine probes 75 s apart.
#[test]
fn a_dead_peer_is_noticed_only_by_keepalive() {
    let usual = Keepalive { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), probes: 9 };
    for keepalive in [None, Some(usual)] {
        let mut bed = Bed::new(EngineConfig { keepalive, ..config() });
        let (_, socket) = bed.open(0, PLAIN);
        let early = bed.pass(Duration::from_secs(7_199));
        assert_eq!(early, [], "silence for two hours");
        let probes = bed.pass(Duration::from_secs(9 * 75 + 2));
        match keepalive {
            None => assert_eq!((probes.len(), bed.read(socket)), (0, Ok(vec![]))),
            Some(_) => {
                // Nine probes, and a reset for the peer, should it live after all.
                assert_eq!((probes.len(), bed.read(socket)), (10, Err(SocketError::TimedOut)));
                assert!(probes[..9].iter().all(|probe| probe.payload.is_empty()));
                assert_eq!(bed.count(Counter::TCPKeepAlive), 9);
            }
        }
        bed.end();
    }
}
