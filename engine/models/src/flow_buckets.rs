//! The fingerprints of known flows: `ebpf/src/flow_bucket.rs`.

use crate::explore;
use crate::flow_bucket::{Bucket, FINGERPRINTS, Inserted};
use crate::sync::atomic::{AtomicU16, Ordering};
use loom::thread;
use std::sync::Arc;

const OURS: u16 = 7;
const OTHER: u16 = 8;

/// A bucket with so many places left, of flows that stay.
fn bucket_with(free: usize) -> Arc<Bucket> {
    let bucket = Bucket::default();
    (free..FINGERPRINTS).for_each(|_| assert_eq!(bucket.insert(OTHER), Inserted::Placed));
    Arc::new(bucket)
}

/// `flow_published` of bpf/flows.h, on a processor that does not reorder loads.
fn lets_through(bucket: &Bucket, fingerprint: u16) -> bool {
    let overflowed = || bucket.overflowed.load(Ordering::Acquire) != 0;
    let is_it = |place: &AtomicU16| place.load(Ordering::Acquire) == fingerprint;
    overflowed() || bucket.fingerprints.iter().any(is_it) || overflowed()
}

/// The program looks for a flow while others of the same fingerprint come and go: in a bucket that has no place for them, and in
/// one that has a place in front.
pub fn a_known_flow_is_never_taken_for_unknown() {
    for free in [1, 3] {
        explore(move || {
            let bucket = bucket_with(free);
            assert_eq!(bucket.insert(OURS), Inserted::Placed);
            let others = [(); 2].map(|()| {
                let bucket = Arc::clone(&bucket);
                thread::spawn(move || {
                    bucket.insert(OURS);
                    assert!(bucket.remove(OURS));
                })
            });
            let program = {
                let bucket = Arc::clone(&bucket);
                thread::spawn(move || assert!(lets_through(&bucket, OURS)))
            };
            others.into_iter().chain([program]).for_each(|thread| thread.join().expect("nobody panics"));
            assert!(lets_through(&bucket, OURS));
        });
    }
}

/// Two shards put flows in and take them out where one place is left: nothing is left in the end, and nobody misses what it
/// has put in.
pub fn what_is_taken_out_is_what_was_put_in() {
    explore(|| {
        let bucket = bucket_with(1);
        let before = bucket.count();
        let shards = [OURS, OTHER].map(|fingerprint| {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || {
                bucket.insert(fingerprint);
                bucket.insert(OURS);
                assert!(bucket.remove(fingerprint) && bucket.remove(OURS));
            })
        });
        shards.into_iter().for_each(|shard| shard.join().expect("no shard panics"));
        let is_ours = |place: &AtomicU16| place.load(Ordering::Relaxed) == OURS;
        assert_eq!((bucket.count(), bucket.fingerprints.iter().any(is_ours)), (before, false));
    });
}
