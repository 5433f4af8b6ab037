//! The rings between shards and workers: `engine/src/ends.rs`.

use crate::ends::{Ends, Side, mesh};
use crate::explore;
use loom::thread;

/// One of each, joined by rings of so many messages.
pub(crate) fn one_to_one(slots: usize) -> (Ends<u8, u8>, Ends<u8, u8>) {
    let sides = [Side::new().expect("a model"), Side::new().expect("a model")];
    let (mut shards, mut workers) = mesh(slots, &sides[..1], &sides[1..]);
    (shards.remove(0), workers.remove(0))
}

fn sleep(ends: &Ends<u8, u8>) {
    ends.side().bell.eventfd().wait(None);
}

/// A producer that sleeps when the ring is full and a consumer that sleeps when it is empty: both come to an end, whatever the
/// messages, and all of those arrive in order.
pub fn full_and_empty_rings_lose_no_wake_up() {
    const MESSAGES: u8 = 3;
    explore(|| {
        let (mut producer, mut consumer) = one_to_one(1);
        let producing = thread::spawn(move || {
            for message in 0..MESSAGES {
                while producer.end(0).push(message).is_err() {
                    producer.doze();
                    if !producer.has_room_again() {
                        sleep(&producer);
                    }
                    producer.rise();
                }
                producer.publish();
            }
            producer
        });
        for message in 0..MESSAGES {
            let mut heard = consumer.end(0).pop();
            while heard.is_none() {
                consumer.doze();
                if consumer.end(0).peek().is_none() {
                    sleep(&consumer);
                }
                consumer.rise();
                heard = consumer.end(0).pop();
            }
            consumer.publish();
            assert_eq!(heard, Some(message));
        }
        drop(producing.join());
    });
}

/// An end that goes wakes the other, which then hears all that was said.
pub fn an_end_that_goes_is_noticed() {
    explore(|| {
        let (mut shard, mut worker) = one_to_one(2);
        let working = thread::spawn(move || {
            worker.end(0).push(7).expect("room");
            drop(worker);
        });
        while !shard.end(0).is_far_gone() {
            shard.doze();
            if !shard.end(0).is_far_gone() {
                sleep(&shard);
            }
            shard.rise();
        }
        assert_eq!(shard.end(0).pop(), Some(7));
        working.join().expect("no worker panics");
    });
}
