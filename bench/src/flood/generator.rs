//! The BPF program of the flood, and the one long system call that runs it.
//!
//! Invariant defended (by the `Pod` implementations): every byte of a map's value is initialised, and any bytes are a valid
//! one.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use aya::maps::{Array, MapData};
use aya::programs::{ProgramError, TestRun, TestRunAttrs, TestRunOptions};
use aya::{Ebpf, include_bytes_aligned};
use synward_ebpf::Interface;

use crate::object::{program, take_map};

use super::template::{Headers, Template};
use super::{Attack, FloodConfig, SynForm};

/// Frames are paced in units of 1/1024 ns, so that the rounding of the interval is below 1 in 100,000 up to 10 million
/// frames a second.
const UNITS_PER_SECOND: u64 = 1_024 * 1_000_000_000;
const _: () = assert!(UNITS_PER_SECOND / 10_000_000 > 100_000);

/// `struct order` of the program.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Order {
    syn: Template,
    ack: Template,
    source: [u64; 2],
    source_free: [u64; 2],
    key: u64,
    interval: u64,
    most_behind: u64,
    ifindex: u32,
    is_ipv6: u32,
    is_client: u32,
    acks_in_256: u32,
    burst: u32,
    batch: u32,
}

/// `struct progress` of the program.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Progress {
    random: u64,
    first: u64,
    last: u64,
    due: u64,
    /// Frames redirected to the interface.
    pub(super) sent: u64,
    runs: u64,
    left: u64,
}

const _: () = assert!(size_of::<Order>() == 2 * 120 + 32 + 24 + 24);
const _: () = assert!(size_of::<Progress>() == 56);

// SAFETY: integers only, and the sizes asserted here and in the program leave no padding.
unsafe impl aya::Pod for Order {}
// SAFETY: as above.
unsafe impl aya::Pod for Progress {}

impl Order {
    /// What `config` orders, sent on `interface`.
    pub(super) fn new(config: &FloodConfig, interface: &Interface) -> Result<Self> {
        let from_mac = interface.mac.context("the interface has no Ethernet address")?;
        let to = config.target.ip();
        let headers = Headers { to_mac: config.mac, from_mac, to, port: config.target.port() };
        let (address, length) = (config.sources.address, config.sources.length);
        let (source, source_free) = match address {
            IpAddr::V4(address) => {
                let free = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                ([word4(address.to_bits() & !free), 0], [word4(free), 0])
            }
            IpAddr::V6(address) => {
                let free = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                (words6(address.to_bits() & !free), words6(free))
            }
        };
        Ok(Self {
            syn: headers.syn(config.form),
            ack: headers.ack(),
            source,
            source_free,
            key: number_key(config.seed),
            interval: (UNITS_PER_SECOND.saturating_mul(config.burst.into()) / config.rate).max(1),
            most_behind: u64::try_from(config.catch_up.as_nanos()).unwrap_or(u64::MAX >> 10) << 10,
            ifindex: interface.index,
            is_ipv6: u32::from(to.is_ipv6()),
            is_client: u32::from(config.form == SynForm::Client),
            acks_in_256: match config.attack {
                Attack::Syn => 0,
                Attack::Mixed => 128,
                Attack::Ack => 256,
            },
            burst: config.burst,
            batch: config.batch,
        })
    }
}

/// The key of the numbers that a flood of this seed writes into its segments.
pub(crate) const fn number_key(seed: u64) -> u64 {
    // Any constant will do that keeps it apart from the addresses that it is mixed with.
    seed ^ 0x5eed_7e57_f100_d5ee
}

/// Four bytes of an address as they lie in a packet, read as a word of this machine.
fn word4(bits: u32) -> u64 {
    u32::from_ne_bytes(bits.to_be_bytes()).into()
}

fn words6(bits: u128) -> [u64; 2] {
    let halves = [(bits >> 64) as u64, bits as u64];
    halves.map(|half| u64::from_ne_bytes(half.to_be_bytes()))
}

impl Progress {
    /// Nothing has happened yet.
    pub(super) fn of_seed(seed: u64) -> Self {
        Self { random: seed, ..Self::default() }
    }

    /// Seconds from the first run of the program to its last.
    pub(super) fn seconds(&self) -> f64 {
        (self.last - self.first) as f64 / 1e9
    }
}

/// The program, loaded and told what to do.
pub(super) struct Generator {
    object: Ebpf,
    gauge: Gauge,
    frame: Vec<u8>,
    batch: u32,
}

impl Generator {
    /// Loads the program for `config` on `interface`; nothing is sent yet.
    pub(super) fn load(config: &FloodConfig, interface: &Interface) -> Result<(Self, Gauge)> {
        let mut object = Ebpf::load(include_bytes_aligned!(concat!(env!("OUT_DIR"), "/flood.bpf.o")))
            .context("loading the flood generator (it needs CAP_BPF and CAP_NET_ADMIN)")?;
        program(&mut object, "flood")?.load().context("loading the flood generator")?;
        let mut orders: Array<_, Order> = take_map(&mut object, "orders")?;
        orders.set(0, Order::new(config, interface)?, 0)?;
        let mut progresses = take_map(&mut object, "progresses")?;
        Array::set(&mut progresses, 0, Progress::of_seed(config.seed), 0)?;
        let gauge = Gauge { progresses: Arc::new(progresses), stopped: Arc::default() };
        let frame = vec![0; config.form.frame_bytes(config.target.is_ipv6())];
        Ok((Self { object, gauge: gauge.clone(), frame, batch: config.batch }, gauge))
    }

    /// The next frame, which goes nowhere.
    pub(super) fn preview(&mut self) -> Result<Vec<u8>> {
        let mut frame = vec![0; self.frame.len()];
        let sent = self.gauge.progress()?.sent;
        while self.gauge.progress()?.sent == sent {
            let (data_in, data_out) = (Some(&self.frame[..]), Some(&mut frame[..]));
            program(&mut self.object, "flood")?.test_run(TestRunOptions {
                data_in,
                data_out,
                ..TestRunOptions::new()
            })?;
        }
        Ok(frame)
    }

    /// Sends until the gauge says stop and this thread is interrupted. One call covers minutes; between two calls the
    /// kernel pauses for tens of milliseconds.
    pub(super) fn run(&mut self) -> Result<()> {
        while !self.gauge.is_stopped() {
            let options = TestRunOptions {
                data_in: Some(&self.frame),
                // Whole batches only, since the program counts them.
                repeat: u32::MAX / self.batch * self.batch,
                attrs: TestRunAttrs::new().xdp_live_frames(self.batch),
                ..TestRunOptions::new()
            };
            match program(&mut self.object, "flood")?.test_run(options) {
                Ok(_) => {}
                Err(ProgramError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("running the flood generator (live frames need Linux 5.18)"),
            }
        }
        Ok(())
    }
}

/// How the run goes, and its stop.
#[derive(Clone)]
pub(super) struct Gauge {
    progresses: Arc<Array<MapData, Progress>>,
    stopped: Arc<AtomicBool>,
}

impl Gauge {
    /// Once the generator's thread has been interrupted, no more frames are sent.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// What has been done so far.
    pub(super) fn progress(&self) -> Result<Progress> {
        self.progresses.get(&0, 0).context("reading the flood's progress")
    }
}
