//! More connections than there is room for.

use crate::bed::{Bed, PLAIN, Peer, config};
use synward_engine::EngineConfig;
use synward_proto::{Counter, DropReason, Flags};
use synward_testkit::heap;

const CAP: u32 = 1_000;

/// Whether the handshake of this one comes to a connection; else it is told by a reset, once.
fn opens(bed: &mut Bed, n: u32) -> bool {
    let mut peer = Peer::new(n);
    let answers = bed.send(&peer.syn(PLAIN));
    (peer.seq, peer.ack) = (answers[0].ack, answers[0].seq.wrapping_add(1));
    match bed.send(&peer.acks()).as_slice() {
        [] => true,
        [reset] if reset.flags.contains(Flags::RST) => false,
        other => panic!("neither nothing nor a reset: {other:?}"),
    }
}

/// The cap and one more, then one less: refusals are told and counted, hold nothing, and end when there is room.
#[test]
fn one_more_than_the_cap_is_refused_and_one_less_makes_room() {
    let mut bed = Bed::new(EngineConfig { max_connections: CAP, ..config() });
    let sockets: Vec<_> = (0..CAP).map(|n| bed.open(n, PLAIN).1).collect();
    assert!(!opens(&mut bed, CAP));
    let before = heap::live();
    for n in 0..20 {
        assert!(!opens(&mut bed, CAP + 1 + n));
    }
    let grown = heap::live() - before;
    assert!(grown < 4_096, "{grown} bytes for what was refused");
    let gauges = bed.gauges();
    assert_eq!((gauges.connections, gauges.connections_limit, gauges.half_open), (CAP.into(), CAP.into(), 0));
    assert_eq!((bed.count(Counter::ConnectionTableFull), bed.drops(DropReason::ConnectionTableFull)), (21, 21));
    bed.abort(sockets[17]);
    bed.taken();
    assert!(opens(&mut bed, 5_000), "one is gone, one may come");
    assert!(!opens(&mut bed, 5_001), "and no more than one");
    bed.end();
}
