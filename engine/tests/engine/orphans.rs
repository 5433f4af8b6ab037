//! Connections that their application has closed, and whose peers say nothing more.

use crate::bed::{SERVER, config, small_budget};
use crate::peer::{Wire, establish, frame, read};
use std::time::Duration;
use synward_engine::{EngineConfig, ListenConfig};
use synward_proto::{Counter, Flags, Options};

/// Linux: `tcp_max_orphans`, `tcp_check_oom`.
#[test]
fn past_the_limit_a_close_is_a_reset() {
    let mut wire = Wire::new(EngineConfig { orphan_limit: 2, ..config(2) }, small_budget());
    let listener = wire.host.sockets.listen(ListenConfig::new(SERVER)).expect("listens");
    wire.exchange([]);
    let close = |wire: &mut Wire, n| {
        let numbers = establish(wire, n);
        let socket = wire.host.sockets.accept(listener).expect("accepted").socket;
        wire.host.sockets.close(socket).expect("closes");
        let last = wire.exchange([]).pop().expect("the end of it");
        (read(&last).flags, numbers)
    };
    let fin = Flags::FIN | Flags::ACK;
    let (_, (seq, ack)) = close(&mut wire, 0);
    assert_eq!(close(&mut wire, 1).0, fin);
    let orphans = |wire: &Wire| wire.host.observer.snapshot().gauges.orphans;
    assert_eq!((orphans(&wire), wire.host.count(Counter::TCPAbortOnMemory)), (2, 0));
    assert_eq!(close(&mut wire, 2).0, Flags::RST | Flags::ACK);
    assert_eq!((orphans(&wire), wire.host.count(Counter::TCPAbortOnMemory)), (2, 1));

    // One ends in order, and makes room; it is in TIME-WAIT, which has a limit of its own.
    wire.exchange([frame(0, seq, ack.wrapping_add(1), fin, Options::NONE, b"").as_slice()]);
    assert_eq!((orphans(&wire), wire.host.observer.snapshot().gauges.time_waits), (1, 1));
    assert_eq!(close(&mut wire, 3).0, fin);

    for _ in 0..600 {
        wire.now += Duration::from_secs(1);
        wire.exchange([]);
    }
    let gauges = wire.host.observer.snapshot().gauges;
    assert_eq!((gauges.orphans, gauges.connections, gauges.time_waits), (0, 0, 0));
    wire.host.assert_balanced();
}
