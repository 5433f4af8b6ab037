//! Ten thousand connections.

use crate::bed::{Bed, config};
use std::time::Duration;
use synward_engine::EngineConfig;
use synward_nic::FrameBudget;
use synward_proto::Counter;

const CONNECTIONS: u32 = 10_000;

#[test]
fn ten_thousand_connections_echo_after_a_silence() {
    let large = |seed| EngineConfig { max_connections: CONNECTIONS + 16, max_time_waits: 1_000, ..config(seed) };
    let mut bed = Bed::with(large(1), large(2), FrameBudget::default());
    let listener = bed.listen(4096);
    let mut pairs = Vec::new();
    while pairs.len() < CONNECTIONS as usize {
        let near = bed.dial_many(1_000);
        let far: Vec<_> = std::iter::from_fn(|| bed.server.sockets.accept(listener).ok()).collect();
        assert_eq!(far.len(), near.len());
        pairs.extend(near.into_iter().zip(far.into_iter().map(|accepted| accepted.socket)));
    }
    bed.advance(Duration::from_secs(30));
    assert_eq!(bed.server.observer.snapshot().gauges.connections, u64::from(CONNECTIONS));

    // A thousand at a time: neither the rings to the shards nor those of the ports hold more.
    for pairs in pairs.chunks(1_000) {
        for &(near, _) in pairs {
            bed.client.sockets.send(near, b"anyone there?").expect("sends");
        }
        bed.settle();
        for &(_, far) in pairs {
            let bytes = bed.server.read(far).expect("reads").expect("no end");
            assert_eq!(bytes, b"anyone there?");
            bed.server.sockets.send(far, &bytes).expect("sends");
        }
        bed.settle();
    }
    for pairs in pairs.chunks(1_000) {
        for &(near, far) in pairs {
            assert_eq!(bed.client.read(near), Ok(Some(b"anyone there?".to_vec())));
            bed.client.sockets.close(near).expect("closes");
            bed.server.sockets.close(far).expect("closes");
        }
        bed.settle();
    }
    let gauges = bed.client.observer.snapshot().gauges;
    assert_eq!((gauges.connections, gauges.time_waits), (0, 1_000), "the oldest made room");
    assert_eq!(bed.client.count(Counter::TW), u64::from(CONNECTIONS));
    bed.advance(Duration::from_secs(61));
    bed.assert_clean();
    let retransmitted = bed.client.count(Counter::RetransSegs) + bed.server.count(Counter::RetransSegs);
    assert_eq!(retransmitted, 0);
}
