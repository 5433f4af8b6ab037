//! Threads that run seeds, and what came of them.

use crate::memory::Memory;
use anyhow::Result;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use synward_testkit::simulator::{Outcome, simulate};

/// Between two looks at the memory.
const SAMPLE: Duration = Duration::from_secs(1);

/// What all threads share.
struct Shared {
    next: AtomicU64,
    end: u64,
    stop: AtomicBool,
    found: Mutex<Found>,
    /// A thread has ended.
    ended: Condvar,
}

/// What came of the seeds.
#[derive(Clone, Default)]
struct Found {
    seeds: u64,
    sum: Outcome,
    finding: Option<(u64, String)>,
    running: usize,
}

/// Seeds under way.
pub struct Hunt {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    began: Instant,
    memory: Memory,
}

impl Hunt {
    /// Begins to run seeds on so many threads.
    pub fn begin(seeds: Range<u64>, threads: usize) -> Self {
        let shared = Arc::new(Shared {
            next: AtomicU64::new(seeds.start),
            end: seeds.end,
            stop: AtomicBool::new(false),
            found: Mutex::new(Found { running: threads, ..Found::default() }),
            ended: Condvar::new(),
        });
        let spawn = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.run())
        };
        Self { threads: (0..threads).map(spawn).collect(), shared, began: Instant::now(), memory: Memory::default() }
    }

    /// Waits so long at most. Whether all threads have ended.
    ///
    /// # Errors
    /// When the kernel does not say how large the process is.
    pub fn wait(&mut self, span: Duration) -> Result<bool> {
        let until = Instant::now() + span;
        loop {
            let found = self.shared.found();
            let left = until.saturating_duration_since(Instant::now()).min(SAMPLE);
            let waited = self.shared.ended.wait_timeout_while(found, left, |found| found.running > 0);
            let all_ended = waited.unwrap_or_else(PoisonError::into_inner).0.running == 0;
            self.memory.sample()?;
            if all_ended {
                // A thread that panicked has left its seed in the finding, or did so while nothing was held.
                self.threads.drain(..).for_each(|thread| drop(thread.join()));
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
    }

    /// No more seeds are begun.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// The seed that broke a promise, and which.
    pub fn finding(&self) -> Option<(u64, String)> {
        self.shared.found().finding.clone()
    }

    /// How large the process was.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What was seen, in one line.
    pub fn line(&self) -> String {
        let Found { seeds, sum, .. } = self.shared.found().clone();
        let minutes = self.began.elapsed().as_secs_f64() / 60.0;
        let hours = sum.took.as_secs_f64() / 3600.0;
        let (giga, millions) = (sum.bytes as f64 / 1e9, |count: u64| count as f64 / 1e6);
        format!(
            "{minutes:.1} min: {seeds} seeds, {} connections ({} complete, {} of attackers), {hours:.0} simulated hours, \
             {giga:.1} GB, {:.1} million frames, {:.1} million attack frames, RSS {:.0} MiB",
            sum.opened,
            sum.complete,
            sum.guests,
            millions(sum.frames),
            millions(sum.attacks),
            self.memory.now_mib(),
        )
    }
}

impl Shared {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end {
                break;
            }
            let outcome = simulate(seed);
            let mut found = self.found();
            found.seeds += 1;
            match outcome {
                Ok(outcome) => found.sum += outcome,
                Err(problem) => {
                    found.finding.get_or_insert((seed, problem));
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        }
        self.found().running -= 1;
        self.ended.notify_all();
    }
}
