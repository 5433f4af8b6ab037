//! The places of a listener: `engine/src/accept_queue.rs`.

use crate::accept_queue::{AcceptQueue, Shared, Waiting};
use crate::connections::ConnId;
use crate::explore;
use crate::shield_link::Shield;
use crate::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use std::net::Ipv4Addr;
use std::sync::Arc;
use synward_proto::listener::AcceptRoom;
use synward_proto::segment::Mss;
use synward_proto::{Endpoint, Instant, Tuple};

fn local() -> Endpoint {
    Endpoint::new(Ipv4Addr::LOCALHOST.into(), 80)
}

fn waiting(number: u32) -> Waiting {
    Waiting { conn: ConnId(number), tuple: Tuple { local: local(), remote: local() }, send_space: 0 }
}

/// Two shards complete handshakes while a worker accepts: who has reserved a place finds it, never more than the limit and one
/// wait, and places and connections agree in the end.
pub fn more_than_the_limit_never_wait() {
    const LIMIT: u32 = 0;
    explore(|| {
        let shared = Shared::new(local(), LIMIT, Arc::new([]));
        let queue = Arc::new(AcceptQueue::new(Arc::clone(&shared)));
        let shards = [1, 2].map(|number| {
            let (shared, queue) = (Arc::clone(&shared), Arc::clone(&queue));
            thread::spawn(move || {
                let reserved = shared.reserve();
                assert!(!reserved || queue.push(waiting(number)), "{number} has no place");
                reserved
            })
        });
        let worker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                assert!(queue.len() <= LIMIT as usize + 1);
                usize::from(queue.pop().is_some()) + usize::from(queue.pop().is_some())
            })
        };
        let came = shards.map(|shard| shard.join().expect("no shard panics")).into_iter().filter(|&came| came).count();
        let went = worker.join().expect("the worker does not panic");
        assert_eq!((queue.len(), shared.len() as usize), (came - went, came - went));
    });
}

/// Remembers what it was told last.
#[derive(Debug, Default)]
struct Told(AtomicBool);

impl Shield for Told {
    fn flow_opened(&self, _: &Tuple) {}

    fn flow_closed(&self, _: &Tuple) {}

    fn turned(&self, _: u32, _: Instant) {}

    fn set_accept_queue_full(&self, _: &Endpoint, full: bool) {
        self.0.store(full, Ordering::Relaxed);
    }

    fn set_listening(&self, _: &Endpoint, _: bool) {}

    fn set_mss(&self, _: Mss, _: Mss) {}

    fn last_cookie(&self, _: &Endpoint) -> Option<Instant> {
        None
    }
}

/// The last place is given back, while another shard takes it and, in the second run, while the listener is closed: what the
/// shield hears last is true.
pub fn shields_hear_the_truth_last() {
    for closes in [false, true] {
        explore(move || {
            let told = Arc::new(Told::default());
            let shared = Shared::new(local(), 0, Arc::new([Arc::clone(&told) as Arc<dyn Shield>]));
            assert!(shared.reserve() && told.0.load(Ordering::Relaxed));
            let other = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || if closes { shared.close() } else { _ = shared.reserve() })
            };
            shared.release();
            other.join().expect("nobody panics");
            assert_eq!(told.0.load(Ordering::Relaxed), shared.is_full() && !closes);
        });
    }
}
