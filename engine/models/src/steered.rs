//! Cells of one word: `engine/src/steering.rs` and `engine/src/tally.rs`.

use crate::explore;
use crate::steering::Steering;
use crate::stubs::Rss;
use crate::tally::Tally;
use loom::thread;
use std::net::Ipv4Addr;
use std::sync::Arc;
use synward_proto::{Endpoint, Tuple};

/// First segments arrive at two shards at once, of which one shows that RSS is as the device says, the other that it is not: both
/// go by the same rule afterwards.
pub fn steering_changes_its_mind_once() {
    explore(|| {
        let end = Endpoint::new(Ipv4Addr::LOCALHOST.into(), 80);
        let tuple = Tuple { local: end, remote: end };
        let steering = Arc::new(Steering::new(0..2, &[0; 16], Some(Rss)));
        let shards = [0, 1].map(|shard| {
            let steering = Arc::clone(&steering);
            thread::spawn(move || {
                steering.prove(&tuple, shard);
                steering.owner(&tuple)
            })
        });
        let owners = shards.map(|shard| shard.join().expect("no shard panics"));
        assert_eq!(owners, [steering.owner(&tuple); 2]);
    });
}

/// A reader never sees a tally go down, and sees all of it in the end.
pub fn a_tally_never_runs_backwards() {
    explore(|| {
        let tally = Arc::new(Tally::default());
        let counting = {
            let tally = Arc::clone(&tally);
            thread::spawn(move || (0..3).for_each(|_| tally.add(1)))
        };
        let reading = {
            let tally = Arc::clone(&tally);
            thread::spawn(move || assert!([tally.get(), tally.get(), tally.get()].is_sorted()))
        };
        [counting, reading].into_iter().for_each(|thread| thread.join().expect("nobody panics"));
        assert_eq!(tally.get(), 3);
    });
}
