//! Sleep and wake-ups: `engine/src/bell.rs`.

use crate::bell::Bell;
use crate::explore;
use crate::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use std::sync::Arc;

/// Two threads leave work and ring, while the owner goes to sleep whenever it finds none: no work is slept through.
pub fn no_ring_is_lost() {
    explore(|| {
        let bell = Arc::new(Bell::new().expect("a model"));
        let work = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let ringers = work.clone().map(|work| {
            let bell = Arc::clone(&bell);
            thread::spawn(move || {
                work.store(true, Ordering::Relaxed);
                bell.ring();
            })
        });
        for work in work {
            while !work.load(Ordering::Relaxed) {
                bell.doze();
                if !work.load(Ordering::Relaxed) {
                    bell.eventfd().wait(None);
                }
                bell.rise();
            }
        }
        ringers.into_iter().for_each(|ringer| ringer.join().expect("no ringer panics"));
    });
}
