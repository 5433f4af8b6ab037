//! The flood generator: forged SYNs and ACKs from one core, by BPF test-run in live-frames mode.
//!
//! A BPF program writes each frame and redirects it to the interface, without a socket or a system call per frame. It
//! transmits **only on veth**: a flood must not leave the machine, and [`Flood::start`] refuses every other kind of device.
//!
//! The program waits for the next frame by spinning, so a running flood takes what it can get of one core, whatever its
//! rate. Its frames are received on that core, too.

mod generator;
mod interrupt;
mod rehearsal;
mod template;

use std::net::SocketAddr;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;
use synward_ebpf::Interface;
use synward_lab::plan::Prefix;
use synward_lab::{SPOOFED_V4, SPOOFED_V6};

use generator::{Gauge, Generator};

pub(crate) use generator::number_key;
pub use rehearsal::{RunCost, run_cost};

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Attack {
    /// SYNs.
    Syn,
    /// ACKs with random acknowledgment numbers: blind guesses at a SYN cookie.
    Ack,
    /// Each frame is one or the other, half and half.
    Mixed,
}

/// How a SYN looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum SynForm {
    /// Without options: 60 bytes over IPv4 (padded to Ethernet's least), 74 over IPv6.
    Bare,
    /// With the options of a Linux client (MSS, SACK permitted, timestamps, window scale): 74 bytes over IPv4, 94 over
    /// IPv6.
    Client,
}

/// A flood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FloodConfig {
    /// A veth in the network namespace of the thread that starts the flood. Its far end must poll itself, by an XDP program
    /// or by GRO.
    pub interface: String,
    /// Where the frames go on the link.
    pub mac: [u8; 6],
    /// Whom the segments are for.
    pub target: SocketAddr,
    /// Where they claim to come from: an address of this prefix at random for each.
    pub sources: Prefix,
    /// Frames a second.
    pub rate: u64,
    /// What is sent.
    pub attack: Attack,
    /// How a SYN looks. An ACK has no options, and the length of the SYN.
    pub form: SynForm,
    /// When the flood stops by itself.
    pub duration: Duration,
    /// How late a frame may leave: what falls behind further, because the core was taken away, is never sent. While it catches up,
    /// the flood is as fast as it can be.
    pub catch_up: Duration,
    /// Frames that leave at once, from 1 to `batch`; the rate stays what it is.
    pub burst: u32,
    /// Frames between two looks of the kernel at its other work, from 1 to 256: a frame that is due may leave that many
    /// frames' time later.
    pub batch: u32,
    /// The same seed draws the same addresses, ports and numbers. The numbers are a hash of address and port under the seed: a
    /// [`Validator`](crate::validator::Validator) of the same seed knows them.
    pub seed: u64,
}

impl FloodConfig {
    /// 100,000 bare SYNs a second for 10 seconds, from the prefix that the lab sets apart for forged sources.
    pub fn new(interface: &str, mac: [u8; 6], target: SocketAddr) -> Self {
        Self {
            interface: interface.into(),
            mac,
            target,
            sources: if target.is_ipv4() { SPOOFED_V4 } else { SPOOFED_V6 },
            rate: 100_000,
            attack: Attack::Syn,
            form: SynForm::Bare,
            duration: Duration::from_secs(10),
            catch_up: Duration::from_millis(100),
            burst: 1,
            batch: 64,
            seed: 1,
        }
    }

    fn check(&self) -> Result<()> {
        ensure!(self.rate > 0, "a flood needs a rate above zero");
        ensure!((1..=256).contains(&self.batch), "a batch is 1 to 256 frames, not {}", self.batch);
        ensure!(
            (1..=self.batch).contains(&self.burst),
            "a burst is 1 to as many frames as a batch ({}), not {}",
            self.batch,
            self.burst
        );
        let longest = if self.sources.address.is_ipv4() { 32 } else { 128 };
        ensure!(self.sources.length <= longest, "{} is not a prefix", self.sources);
        ensure!(
            self.sources.address.is_ipv4() == self.target.is_ipv4(),
            "sources {} and target {} are of different families",
            self.sources,
            self.target
        );
        Ok(())
    }
}

/// What a flood has done.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct FloodReport {
    /// Frames handed to the interface.
    pub sent: u64,
    /// Frames that its far end received, by the interface's own counter; what else was sent on it in the meantime is
    /// counted, too.
    pub accepted: u64,
    /// Seconds from the first frame to the last look for a frame that is due.
    pub seconds: f64,
}

impl FloodReport {
    /// Frames sent a second.
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.seconds
    }
}

/// The flood generator.
#[derive(Debug)]
pub struct Flood;

impl Flood {
    /// Starts a flood on a thread of its own, in the network namespace of this thread and on its cores; the first frame has
    /// been sent when this returns.
    ///
    /// # Errors
    /// An interface that is not veth, a configuration that contradicts itself, missing privileges, a kernel older than
    /// 5.18 (live frames).
    pub fn start(config: &FloodConfig) -> Result<Running> {
        let (mut generator, gauge) = load(config)?;
        let (wake, woken) = mpsc::channel();
        let flood = {
            let (interface, ended) = (config.interface.clone(), wake.clone());
            move || {
                let outcome = generate(&mut generator, &interface);
                // Nobody listens any more if the flood is being stopped.
                let _ = ended.send(());
                outcome
            }
        };
        let warden = {
            let (gauge, duration) = (gauge.clone(), config.duration);
            move || {
                let flood = thread::Builder::new().name("flood".into()).spawn(flood)?;
                let _ = woken.recv_timeout(duration);
                end(flood, &gauge)
            }
        };
        let warden = thread::Builder::new().name("flood-warden".into()).spawn(warden)?;
        let mut running = Running { gauge, wake, warden: Some(warden) };
        running.await_first_frame()?;
        Ok(running)
    }

    /// The first frames of a flood, without sending any.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn preview(config: &FloodConfig, frames: usize) -> Result<Vec<Vec<u8>>> {
        let (mut generator, _gauge) = load(config)?;
        (0..frames).map(|_| generator.preview()).collect()
    }
}

fn load(config: &FloodConfig) -> Result<(Generator, Gauge)> {
    config.check()?;
    let interface = Interface::by_name(&config.interface)?;
    refuse_all_but_veth(&interface)?;
    Generator::load(config, &interface)
}

fn refuse_all_but_veth(interface: &Interface) -> Result<()> {
    let kind = match interface.kind.as_deref() {
        Some("veth") => return Ok(()),
        Some(kind) => kind,
        None => "hardware or the loopback",
    };
    bail!("interface {} is {kind}: floods are sent on veth only, so that none leaves the machine", interface.name)
}

/// Runs until it is stopped; returns how many frames the interface passed to its far end.
fn generate(generator: &mut Generator, interface: &str) -> Result<u64> {
    let before = Interface::by_name(interface)?.tx_packets;
    generator.run()?;
    // The interface may have been deleted under the flood.
    let after = Interface::by_name(interface).context("the interface of the flood is gone")?.tx_packets;
    Ok(after.saturating_sub(before))
}

/// Sees to it that the flood has ended, and says what it did.
fn end(flood: JoinHandle<Result<u64>>, gauge: &Gauge) -> Result<FloodReport> {
    gauge.stop();
    // A signal that arrives between two system calls interrupts neither, so one may not be enough.
    while !flood.is_finished() {
        interrupt::interrupt(&flood)?;
        thread::sleep(Duration::from_millis(1));
    }
    let accepted = flood.join().map_err(|_| anyhow!("the flood panicked"))??;
    let progress = gauge.progress()?;
    let (sent, seconds) = (progress.sent, progress.seconds());
    // A deaf far end takes nothing, but the kernel's own few packets are counted in the same place.
    ensure!(
        accepted >= sent / 100,
        "{accepted} of {sent} frames arrived: the far end of the veth must be up and poll itself (attach an XDP program \
         there, or turn its GRO on)"
    );
    Ok(FloodReport { sent, accepted, seconds })
}

/// A flood that goes on until its deadline, [`stop`](Running::stop), or the drop of this.
pub struct Running {
    gauge: Gauge,
    wake: Sender<()>,
    /// `None` once it has been asked for the report.
    warden: Option<JoinHandle<Result<FloodReport>>>,
}

impl Running {
    /// Frames sent so far.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn sent(&self) -> Result<u64> {
        Ok(self.gauge.progress()?.sent)
    }

    /// Stops the flood, unless it has stopped by itself, and reports.
    ///
    /// # Errors
    /// What went wrong in the flood since it started, above all that hardly a frame arrived at the far end.
    pub fn stop(mut self) -> Result<FloodReport> {
        // The warden has left if the flood is over.
        let _ = self.wake.send(());
        self.report()
    }

    /// Waits until the flood stops by itself, and reports.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub fn wait(mut self) -> Result<FloodReport> {
        self.report()
    }

    fn report(&mut self) -> Result<FloodReport> {
        let warden = self.warden.take().context("the flood has been reported")?;
        warden.join().map_err(|_| anyhow!("the flood's warden panicked"))?
    }

    fn await_first_frame(&mut self) -> Result<()> {
        while self.sent()? == 0 {
            if self.warden.as_ref().is_none_or(JoinHandle::is_finished) {
                self.report()?;
                bail!("the flood ended before its first frame");
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.wake.send(());
        if let Some(warden) = self.warden.take() {
            // Whoever wants to know how it went calls `stop`.
            let _ = warden.join();
        }
    }
}
