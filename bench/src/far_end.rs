//! The far end of a flood: a validator on its interface, and a thread that completes what it samples.

use crate::affinity::pin;
use crate::completion::{Completion, Completions};
use crate::validator::{Expectation, Records, Sights, Validator};
use anyhow::{Context, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use synward_lab::{Host, PacketSocket, SPOOFED_V4};
use synward_proto::{Link, MacAddr};

/// How long the thread sleeps at most; with each turn it also guesses a cookie.
const TURN: Duration = Duration::from_millis(1);

/// The far end of a flood. Ends when it is dropped.
pub struct FarEnd {
    validator: Validator,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Nothing is completed or forged meanwhile.
    resting: AtomicBool,
    standing: Mutex<Standing>,
}

/// What the thread says of itself after every turn.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    turns: u64,
    waiting: usize,
    completions: Completions,
    failed: bool,
}

impl FarEnd {
    /// Judges what arrives at the interface of `attacker`, and completes samples of it from there on `cores`; `mac` is the
    /// hardware address of the target.
    ///
    /// # Errors
    /// As [`Validator::load`] and [`Validator::attach`]; no packet socket is to be had.
    pub fn start(attacker: &Host, mac: [u8; 6], expectation: &Expectation, cores: &[usize]) -> Result<Self> {
        let mut validator = Validator::load(expectation)?;
        attacker.enter(|| validator.attach(attacker.interface()))??;
        let records = validator.take_records().context("a fresh validator has its records")?;
        let link = Link { local: MacAddr(attacker.mac()), remote: MacAddr(mac), ..Link::default() };
        let completer = Completer { completion: Completion::new(link, expectation.target), records };
        let shared = Arc::<Shared>::default();
        let (report, started) = mpsc::channel();
        let run = {
            let (shared, attacker, cores) = (Arc::clone(&shared), attacker.clone(), cores.to_vec());
            move || {
                let entered = attacker.enter(|| {
                    let socket = pin(&cores).and_then(|()| Ok(PacketSocket::open(attacker.interface())?));
                    match socket {
                        Ok(socket) => {
                            let _ = report.send(Ok(()));
                            completer.run(&socket, &shared);
                        }
                        Err(error) => drop(report.send(Err(error))),
                    }
                });
                if entered.is_err() {
                    shared.standing().failed = true;
                }
            }
        };
        let thread = thread::Builder::new().name("completer".into()).spawn(run).context("starting a completer")?;
        let far_end = Self { validator, shared, thread: Some(thread) };
        started.recv().map_err(|_| anyhow!("the completer could not enter {}", attacker.namespace()))??;
        Ok(far_end)
    }

    /// Judges by this from now on; the target must be the same.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn expect(&mut self, expectation: &Expectation) -> Result<()> {
        self.validator.expect(expectation)
    }

    /// Whether nothing is completed or forged, so that there is nothing on the wire but the flood and its answers. They are judged
    /// all the same.
    pub fn rest(&self, resting: bool) {
        self.shared.resting.store(resting, Relaxed);
    }

    /// What has been seen so far.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn sights(&self) -> Result<Sights> {
        self.validator.sights()
    }

    /// How handshakes fared, once all that are under way have echoed or been given up.
    ///
    /// # Errors
    /// The thread has failed.
    pub fn settle(&self) -> Result<Completions> {
        let before = self.shared.standing().turns;
        loop {
            let Standing { turns, waiting, completions, failed } = *self.shared.standing();
            anyhow::ensure!(!failed, "the completer has failed: its interface is gone, or the validator's records are");
            // A turn that began before this was called may have missed what it is asked for.
            if waiting == 0 && turns > before + 1 {
                return Ok(completions);
            }
            thread::sleep(TURN);
        }
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread works with.
struct Completer {
    completion: Completion,
    records: Records,
}

impl Completer {
    fn run(mut self, socket: &PacketSocket, shared: &Shared) {
        while !shared.stop.load(Relaxed) {
            let turned = self.turn(socket, shared.resting.load(Relaxed));
            let mut standing = shared.standing();
            standing.turns += 1;
            standing.completions = self.completion.completions();
            match turned {
                Ok(waiting) => standing.waiting = waiting,
                Err(_) => {
                    standing.failed = true;
                    return;
                }
            }
        }
    }

    /// Returns how many handshakes are under way.
    fn turn(&mut self, socket: &PacketSocket, resting: bool) -> Result<usize> {
        let (now, mut send) = (Instant::now(), Vec::new());
        while let Some(frame) = self.records.take()? {
            if !resting {
                self.completion.on_frame(&frame, now, &mut send);
            }
        }
        if !resting {
            self.completion.forge(SOURCES, &mut send);
        }
        let waiting = self.completion.on_time(now, &mut send);
        for frame in send {
            // A full ring at the other end is part of the flood: what was lost is sent again.
            let _ = socket.send(&frame);
        }
        let timeout = Timespec::try_from(TURN)?;
        // A signal ends the sleep early, and that is all.
        let _ = poll(&mut [PollFd::from_borrowed_fd(self.records.as_fd(), PollFlags::IN)], Some(&timeout));
        Ok(waiting)
    }
}

/// Where guesses come from: the same prefix as floods of the lab.
const SOURCES: (Ipv4Addr, u8) = match SPOOFED_V4.address {
    IpAddr::V4(address) => (address, SPOOFED_V4.length),
    IpAddr::V6(_) => panic!("SPOOFED_V4 is of IPv4"),
};
