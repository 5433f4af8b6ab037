//! Blocking calls: `engine/src/parking.rs`.

use crate::explore;
use crate::parking::BlockingSockets;
use crate::rings::one_to_one;
use crate::stubs::{SocketCore, SocketId};
use loom::thread;

/// A wait ends that somebody unparks, before it or while it sleeps, also where a call that blocks has taken the wake-up; and
/// the next one, when it is unparked again.
pub fn an_unparked_wait_ends() {
    explore(|| {
        let (mut shard, worker) = one_to_one(1);
        let mut sockets = BlockingSockets::new(SocketCore::new(worker));
        for message in [1, 2] {
            let unparker = sockets.unparker();
            let waking = thread::spawn(move || {
                unparker.unpark();
                shard.end(0).push(message).expect("room");
                shard.publish();
                shard
            });
            assert_eq!(sockets.recv(SocketId, &mut [0], None), Ok(1));
            sockets.wait(None);
            shard = waking.join().expect("nobody panics");
        }
    });
}

/// A call that blocks hears what the shard says, one message after the other.
pub fn a_blocked_call_hears_what_is_said() {
    explore(|| {
        let (mut shard, worker) = one_to_one(2);
        let mut sockets = BlockingSockets::new(SocketCore::new(worker));
        let telling = thread::spawn(move || {
            for message in [1, 2] {
                shard.end(0).push(message).expect("room");
                shard.publish();
            }
            shard
        });
        for message in [1, 2] {
            let mut heard = [0];
            assert_eq!(sockets.recv(SocketId, &mut heard, None), Ok(1));
            assert_eq!(heard, [message]);
        }
        drop(telling.join());
    });
}
