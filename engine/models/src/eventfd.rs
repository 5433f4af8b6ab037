//! An eventfd as loom sees one. A sleep has no limit: a wake-up that is lost is a deadlock, which loom reports.

use loom::sync::{Condvar, Mutex};
use std::io;
use std::time::Duration;

/// As the engine's.
#[derive(Debug)]
pub(crate) struct Eventfd {
    signalled: Mutex<bool>,
    changed: Condvar,
}

impl Eventfd {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { signalled: Mutex::new(false), changed: Condvar::new() })
    }

    pub(crate) fn signal(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }

    pub(crate) fn clear(&self) {
        *self.lock() = false;
    }

    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        assert_eq!(timeout, None, "models sleep without a limit");
        let mut signalled = self.lock();
        while !*signalled {
            signalled = self.changed.wait(signalled).expect("no thread panics with it");
        }
    }

    fn lock(&self) -> loom::sync::MutexGuard<'_, bool> {
        self.signalled.lock().expect("no thread panics with it")
    }
}
