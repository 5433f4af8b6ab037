//! What one SYN costs a poll loop, on a port without system calls, beside a floor measured in the same process.

use anyhow::{Context, Result};
use core::net::Ipv4Addr;
use siphasher::sip::SipHasher24;
use std::hint::black_box;
use std::time::{Duration, Instant as Clock};
use synward_engine::{Engine, EngineConfig, ListenConfig, Secrets, SocketCore, build};
use synward_nic::{MemoryPort, MemoryPortConfig, MemoryWire};
use synward_proto::segment::{Mss, SynOptions, Timestamps, WindowScale};
use synward_proto::wire::{HEADROOM, write_segment};
use synward_proto::{Endpoint, Flags, Head, Instant, Link, Marking, Options, SeqNum, Tuple};

/// Frames handled by one turn.
pub const BURST: usize = 64;

/// Half-open connections that a rig's listener has room for: the most that an engine takes.
const ROOM: u32 = 65_535;

/// How a SYN is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// By an entry in the SYN table.
    Table,
    /// By a cookie.
    Cookie,
}

/// An engine on a port in memory, and SYNs of ever new sources for it.
pub struct SynRig {
    path: Path,
    engine: Engine<MemoryPort>,
    wire: MemoryWire,
    next: u32,
    now: Instant,
}

impl SynRig {
    /// A rig with one listener that answers by `path`.
    ///
    /// # Errors
    /// When the engine cannot be built.
    pub fn new(path: Path) -> Result<Self> {
        let (port, wire) = MemoryPort::with_wire(MemoryPortConfig::default())?;
        let config = EngineConfig {
            somaxconn: ROOM,
            max_syn_backlog: ROOM,
            syncookies: if path == Path::Cookie { 2 } else { 1 },
            secrets: Some(Secrets::from_seed(1)),
            ..EngineConfig::default()
        };
        let mut engine = build(config, port)?;
        listen(&mut engine.sockets)?;
        let mut rig = Self { path, engine, wire, next: 0, now: Instant::from_millis(1) };
        rig.engine.poll_loop.poll_once(rig.now);
        Ok(rig)
    }

    /// Lets one burst of SYNs arrive, and returns how long the turn that answers them took. A full table is first replaced
    /// by an empty one.
    ///
    /// # Errors
    /// When not every SYN is answered.
    pub fn turn(&mut self) -> Result<Duration> {
        if self.next + BURST as u32 > ROOM {
            *self = Self::new(self.path)?;
        }
        for _ in 0..BURST {
            let (frame, len) = syn(self.next);
            self.next += 1;
            anyhow::ensure!(self.wire.push(&frame[..len]), "the port lost a SYN");
        }
        let start = Clock::now();
        self.engine.poll_loop.poll_once(self.now);
        let spent = start.elapsed();
        let answered = self.wire.take_with(BURST, |bytes| {
            black_box(bytes);
        });
        anyhow::ensure!(answered == BURST, "{answered} of {BURST} SYNs answered");
        Ok(spent)
    }
}

fn listen(sockets: &mut SocketCore) -> Result<()> {
    let local = Endpoint::new(Ipv4Addr::new(10, 0, 0, 1).into(), 80);
    sockets.listen(ListenConfig { backlog: ROOM, ..ListenConfig::new(local) }).context("listening")?;
    sockets.poll();
    Ok(())
}

/// The `number`th SYN, as a Linux client sends it: 74 bytes with MSS, SACK, timestamps and window scale.
fn syn(number: u32) -> ([u8; HEADROOM], usize) {
    let source = Ipv4Addr::from_bits(Ipv4Addr::new(11, 0, 0, 0).to_bits() + number / 1000);
    let head = Head {
        tuple: Tuple {
            local: Endpoint::new(source.into(), 1024 + (number % 1000) as u16),
            remote: Endpoint::new(Ipv4Addr::new(10, 0, 0, 1).into(), 80),
        },
        seq: SeqNum(number.wrapping_mul(0x9e37_79b9)),
        ack: SeqNum(0),
        flags: Flags::SYN,
        window: 64240,
        options: Options::Syn(SynOptions {
            mss: Mss::announced(1460),
            window_scale: Some(WindowScale::clamped(7)),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: number, echo: 0 }),
        }),
        marking: Marking::DEFAULT,
    };
    let mut frame = [0; HEADROOM];
    let len = write_segment(&mut frame, &Link::default(), &head);
    (frame, len)
}

/// The least that a stateful answer can cost: a keyed hash of the tuple, one random cache line out of 256 MiB whose load
/// overlaps with those of the burst, and one copy of the frame.
pub struct Floor {
    lines: Vec<[u64; 8]>,
    frames: Vec<[u8; 74]>,
    out: Vec<[u8; 74]>,
    hasher: SipHasher24,
    next: u32,
}

impl Default for Floor {
    fn default() -> Self {
        let lines = (0..256 * 1024 * 1024 / 64).map(|line| [line; 8]).collect();
        let (frames, out) = (vec![[1; 74]; BURST], vec![[0; 74]; BURST]);
        Self { lines, frames, out, hasher: SipHasher24::new_with_key(&[7; 16]), next: 0 }
    }
}

impl Floor {
    /// Does that for one burst, and returns how long it took.
    pub fn turn(&mut self) -> Duration {
        let mut key = [0; 36];
        let mut places = [0; BURST];
        let start = Clock::now();
        for place in &mut places {
            key[..4].copy_from_slice(&self.next.to_ne_bytes());
            self.next += 1;
            *place = self.hasher.hash(&key) as usize % self.lines.len();
        }
        // The loads do not depend on each other, so the processor overlaps them as it would prefetched ones.
        let touched = places.iter().fold(0_u64, |sum, place| sum.wrapping_add(self.lines[*place][0]));
        for (to, from) in self.out.iter_mut().zip(&self.frames) {
            *to = *from;
        }
        let spent = start.elapsed();
        black_box((touched, &self.out));
        spent
    }
}

/// Nanoseconds per SYN: medians over many bursts, measured in turn so that a noisy machine disturbs all alike.
#[derive(Clone, Copy, Debug)]
pub struct SynCost {
    /// Through the SYN table.
    pub table_ns: f64,
    /// Through a cookie.
    pub cookie_ns: f64,
    /// The floor.
    pub floor_ns: f64,
}

/// Measures over `bursts` bursts of each.
///
/// # Errors
/// When an engine cannot be built or does not answer.
pub fn measure(bursts: usize) -> Result<SynCost> {
    let (mut table, mut cookie, mut floor) = (SynRig::new(Path::Table)?, SynRig::new(Path::Cookie)?, Floor::default());
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..bursts {
        times[0].push(table.turn()?);
        times[1].push(cookie.turn()?);
        times[2].push(floor.turn());
    }
    let [table_ns, cookie_ns, floor_ns] = times.map(|mut spent| {
        spent.sort_unstable();
        spent[spent.len() / 2].as_nanos() as f64 / BURST as f64
    });
    Ok(SynCost { table_ns, cookie_ns, floor_ns })
}
