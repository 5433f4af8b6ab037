//! How busy a core is, whoever keeps it busy.
//!
//! Charging a server with the CPU time of its threads leaves out what the kernel does for it in the interrupts and softirqs of
//! others. Here everything counts: a thread of the least priority (`SCHED_IDLE`) spins on the core and takes what is left over,
//! and what it did not get is the share of all others.
//!
//! The thread finds out itself what it got: it reads the clock all the time, and where two readings are further apart than its
//! own turn takes, somebody else had the core. The scheduler's account of its run time would do where interrupts are accounted
//! for (`CONFIG_IRQ_TIME_ACCOUNTING`); elsewhere it charges them to whomever they interrupt, which here is the spinner.
//!
//! The core never sleeps while it is watched, so whoever wakes up there starts sooner than otherwise.
//!
//! The one unsafe call changes the priority of the calling thread, which this module has started.

use crate::affinity::pin;
use anyhow::{Context, Result, anyhow};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Readings of the clock this close together have nobody between them: one turn of the spinner takes some tens of nanoseconds,
/// and a switch to another thread and back takes longer than this.
const OWN_TURN: Duration = Duration::from_micros(1);

/// A core under watch, until this is dropped.
#[derive(Debug)]
pub struct CoreShare {
    spinner: Arc<Spinner>,
    thread: Option<JoinHandle<()>>,
    mark: Mark,
}

/// How a core was used during an interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Use {
    /// The length of the interval.
    pub wall: Duration,
    /// What of it was used: by threads, the kernel's among them, by interrupts, and by a hypervisor for other machines.
    pub busy: Duration,
}

impl Use {
    /// The share that was used, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.wall.is_zero() { 0.0 } else { self.busy.as_secs_f64() / self.wall.as_secs_f64() }
    }
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    left_over: Duration,
}

/// What the spinning thread shares with its watcher.
#[derive(Debug, Default)]
struct Spinner {
    /// Nanoseconds that the spinner had for itself.
    left_over: AtomicU64,
    stop: AtomicBool,
}

impl CoreShare {
    /// Watches a core from now on.
    ///
    /// # Errors
    /// There is no such core, or this process may not run there.
    pub fn watch(core: usize) -> Result<Self> {
        let spinner = Arc::new(Spinner::default());
        let (report, ready) = mpsc::channel();
        let run = {
            let spinner = Arc::clone(&spinner);
            move || {
                let prepared = pin(&[core]).and_then(|()| yield_to_all());
                let willing = prepared.is_ok();
                // The watcher waits for this.
                let _ = report.send(prepared);
                if willing {
                    spinner.spin();
                }
            }
        };
        let thread = thread::Builder::new().name(format!("spinner-{core}")).spawn(run).context("starting a spinner")?;
        let mark = Mark { at: Instant::now(), left_over: Duration::ZERO };
        let mut share = Self { spinner, thread: Some(thread), mark };
        ready.recv().map_err(|_| anyhow!("the spinner panicked"))??;
        share.lap();
        Ok(share)
    }

    /// How the core was used since this was asked last, or since the watch began.
    pub fn lap(&mut self) -> Use {
        let left_over = Duration::from_nanos(self.spinner.left_over.load(Relaxed));
        let now = Mark { at: Instant::now(), left_over };
        let before = std::mem::replace(&mut self.mark, now);
        let wall = now.at - before.at;
        Use { wall, busy: wall.saturating_sub(now.left_over - before.left_over) }
    }
}

impl Drop for CoreShare {
    fn drop(&mut self) {
        self.spinner.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}

impl Spinner {
    fn spin(&self) {
        let mut left_over = Duration::ZERO;
        let mut last = Instant::now();
        while !self.stop.load(Relaxed) {
            let now = Instant::now();
            let turn = now - last;
            if turn < OWN_TURN {
                left_over += turn;
                self.left_over.store(left_over.as_nanos() as u64, Relaxed);
            }
            last = now;
        }
    }
}

/// Gives the calling thread the least of all priorities. Takes no privilege.
fn yield_to_all() -> Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a live structure that the kernel only reads; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const priority) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()).context("SCHED_IDLE") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::time::{ClockId, clock_gettime};

    /// CPU time of the calling thread.
    fn cpu_time() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).expect("nanoseconds"))
    }

    /// A lap that ends when the spinner has had a turn, and thereby knows what it did not get: even the least priority gets
    /// its turn sooner or later.
    fn lap_to_a_turn(watched: &mut CoreShare) -> Use {
        let before = watched.spinner.left_over.load(Relaxed);
        while watched.spinner.left_over.load(Relaxed) == before {
            thread::yield_now();
        }
        watched.lap()
    }

    #[test]
    fn what_a_thread_used_is_not_left_over() {
        let mut watched = CoreShare::watch(0).expect("every machine has a core 0");
        let worked = thread::spawn(|| {
            pin(&[0]).expect("core 0");
            while cpu_time() < Duration::from_millis(50) {}
            cpu_time()
        });
        let worked = worked.join().expect("work");
        let Use { wall, busy } = lap_to_a_turn(&mut watched);
        // The scheduler's clock may run a little faster or slower than that of the wall.
        assert!(busy >= worked * 99 / 100, "{worked:?} of work, {busy:?} of {wall:?} used");
    }

    #[test]
    fn what_is_left_over_was_not_used() {
        let mut watched = CoreShare::watch(0).expect("every machine has a core 0");
        for _ in 0..3 {
            let lap = lap_to_a_turn(&mut watched);
            assert!(lap.busy < lap.wall && (0.0..1.0).contains(&lap.share()), "{lap:?}");
        }
        assert_eq!(Use::default().share(), 0.0);
    }

    #[test]
    fn a_core_that_is_not_there_cannot_be_watched() {
        for core in [1023, usize::MAX] {
            let error = CoreShare::watch(core).expect_err("too many cores").to_string();
            assert!(error.contains(&core.to_string()), "{error}");
        }
    }
}
