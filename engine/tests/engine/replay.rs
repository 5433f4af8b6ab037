//! Equal secrets, equal times, equal frames: equal frames.

use crate::bed::{config, small_budget};
use crate::peer::{Wire, frame, read, syn};
use std::time::Duration;
use synward_engine::{EngineConfig, ListenConfig};
use synward_proto::{Flags, Options};

fn play(seed: u64) -> Vec<Vec<u8>> {
    let mut wire = Wire::new(EngineConfig { syncookies: 1, ..config(seed) }, small_budget());
    let listener = wire
        .host
        .sockets
        .listen(ListenConfig { backlog: 4, ..ListenConfig::new(crate::bed::SERVER) })
        .expect("listens");
    wire.exchange([]);
    let mut all = Vec::new();
    for n in 0..20 {
        // More than the SYN queue holds: the last ones are answered with cookies.
        let answers = wire.exchange([syn(n, 1_000 * n).as_slice()]);
        if n < 3 {
            let next = read(&answers[0]).seq.0.wrapping_add(1);
            all.extend(wire.exchange([frame(n, 1_000 * n + 1, next, Flags::ACK, Options::NONE, b"ping").as_slice()]));
        }
        all.extend(answers);
        wire.now += Duration::from_millis(700);
        all.extend(wire.exchange([]));
        while let Ok(accepted) = wire.host.sockets.accept(listener) {
            wire.exchange([]);
            let bytes = wire.host.read(accepted.socket).expect("reads").expect("no end");
            wire.host.sockets.send(accepted.socket, &bytes).expect("sends");
            wire.host.sockets.close(accepted.socket).expect("closes");
        }
    }
    all
}

#[test]
fn the_same_run_twice_and_another_one() {
    let (first, second, other) = (play(7), play(7), play(8));
    assert!(first.len() > 30, "{}", first.len());
    assert!(first == second, "the same secrets");
    assert_eq!(first.len(), other.len());
    assert!(first != other, "other secrets: other sequence numbers");
}
