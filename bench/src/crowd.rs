//! A crowd of connections on a port without system calls: what an idle one takes, and whether the others make a segment or
//! a timer dearer.

use crate::processes::resident;
use anyhow::{Context, Result, ensure};
use core::net::Ipv4Addr;
use siphasher::sip::SipHasher24;
use std::time::{Duration, Instant as Clock};
use synward_engine::{Engine, EngineConfig, ListenConfig, ListenerId, Secrets, Source, build};
use synward_nic::{FrameBudget, MemoryPort, MemoryPortConfig, MemoryWire};
use synward_proto::connection::Keepalive;
use synward_proto::segment::{DataOptions, Mss, SynOptions, Timestamps, WindowScale};
use synward_proto::wire::{ChecksumPolicy, HEADROOM, SegmentWriter, parse};
use synward_proto::{Endpoint, Flags, Head, Instant, Link, Marking, Options, Segment, SeqNum, Tuple};

/// Segments handled by one turn.
pub const BURST: usize = 64;
/// Connections that talk while the others are idle.
pub const TALKERS: u32 = 256;
/// Bytes of a request, and of the answer to it.
const REQUEST: [u8; 64] = [b'?'; 64];
/// A frame with a request.
const FRAME: usize = HEADROOM + REQUEST.len();
/// Silence before the first keepalive probe, and between probes.
const IDLE: Duration = Duration::from_secs(7200);
const INTERVAL: Duration = Duration::from_secs(75);
/// Probes before a connection is given up, and how often all timers are let fire: less often than that.
const PROBES: u8 = 9;
const FIRINGS: usize = 7;
const _: () = assert!(FIRINGS < PROBES as usize);

/// What a client knows of its connection.
#[derive(Clone, Copy, Default)]
struct Client {
    /// The next of its bytes.
    next: SeqNum,
    /// What it acknowledges.
    expected: SeqNum,
    /// What it echoes.
    echo: u32,
}

/// An engine with many established connections, every client a Linux one that has asked once and been answered.
pub struct Crowd {
    engine: Engine<MemoryPort>,
    wire: MemoryWire,
    listener: ListenerId,
    clients: Vec<Client>,
    now: Instant,
    /// Resident memory of the process before the first connection, and with all of them; bytes.
    memory: (u64, u64),
}

impl Crowd {
    /// So many connections; with `keepalive` each has a timer running.
    ///
    /// # Errors
    /// When the engine cannot be built, or one of the connections comes to nothing.
    pub fn new(size: u32, keepalive: bool) -> Result<Self> {
        let (port, wire) = MemoryPort::with_wire(MemoryPortConfig::default())?;
        let config = EngineConfig {
            max_connections: size,
            keepalive: keepalive.then_some(Keepalive { idle: IDLE, interval: INTERVAL, probes: PROBES }),
            secrets: Some(Secrets::from_seed(1)),
            ..EngineConfig::default()
        };
        let mut engine = build(config, port)?;
        let local = Endpoint::new(Ipv4Addr::new(10, 0, 0, 1).into(), 80);
        let listener = engine.sockets.listen(ListenConfig::new(local)).context("listening")?;
        // Written to, so that it is resident before the first connection is.
        let mut clients = vec![Client { echo: 1, ..Client::default() }; size as usize];
        clients.fill(Client::default());
        let mut crowd = Self { engine, wire, listener, clients, now: Instant::from_millis(1), memory: (0, 0) };
        crowd.warm_up();
        crowd.memory.0 = resident(std::process::id())?;
        for first in (0..size).step_by(BURST) {
            let numbers: Vec<u32> = (first..size.min(first + BURST as u32)).collect();
            crowd.open(&numbers)?;
            crowd.ask(&numbers)?;
        }
        crowd.memory.1 = resident(std::process::id())?;
        Ok(crowd)
    }

    /// Resident memory that each connection has added, with all that belongs to it; bytes.
    pub fn bytes_each(&self) -> f64 {
        (self.memory.1.saturating_sub(self.memory.0)) as f64 / self.clients.len() as f64
    }

    /// Lets these clients ask and be answered, and returns how long the turn took that received the questions.
    ///
    /// # Errors
    /// When one of them is not answered.
    pub fn ask(&mut self, numbers: &[u32]) -> Result<Duration> {
        for &number in numbers {
            self.send(number, Flags::PSH | Flags::ACK, &REQUEST)?;
        }
        let start = Clock::now();
        self.turn();
        let spent = start.elapsed();
        self.answer()?;
        self.turn();
        self.hear(numbers)?;
        for &number in numbers {
            self.send(number, Flags::ACK, &[])?;
        }
        self.turn();
        Ok(spent)
    }

    /// The application: whoever is ready has asked, and is answered.
    fn answer(&mut self) -> Result<()> {
        let sockets = &mut self.engine.sockets;
        sockets.poll();
        let mut bytes = [0; REQUEST.len()];
        while let Some((source, _)) = sockets.next_ready() {
            let Source::Socket(socket) = source else { continue };
            let count = sockets.recv(socket, &mut bytes)?;
            ensure!(count == bytes.len(), "{count} bytes of a request came");
            sockets.send(socket, &bytes)?;
        }
        Ok(())
    }

    /// Lets the keepalive timers of all connections fire again and again, and returns the median of how long that took for each.
    ///
    /// # Errors
    /// When not all of them fire.
    pub fn fire_all_timers(&mut self) -> Result<Duration> {
        // Every silence began before now.
        self.now += IDLE;
        let mut spent = Vec::new();
        for _ in 0..FIRINGS {
            spent.push(self.fire_once()?);
            self.now += INTERVAL;
        }
        spent.sort_unstable();
        Ok(spent[FIRINGS / 2])
    }

    fn fire_once(&mut self) -> Result<Duration> {
        let (mut spent, mut probes, mut in_vain) = (Duration::ZERO, 0, 0);
        while probes < self.clients.len() {
            let start = Clock::now();
            self.turn();
            spent += start.elapsed();
            let sent = self.wire.take_with(usize::MAX, |_| ());
            // A turn may be spent on moving timers towards their time.
            in_vain = if sent == 0 { in_vain + 1 } else { 0 };
            ensure!(in_vain < self.clients.len(), "{probes} of {} timers fired", self.clients.len());
            probes += sent;
        }
        Ok(spent / self.clients.len() as u32)
    }

    /// Has every frame of the port used, so that none becomes resident later.
    fn warm_up(&mut self) {
        let frames = FrameBudget::default().total().unwrap_or_default();
        for number in 0..2 * frames {
            self.wire.push(&[0; FRAME]);
            if (number as usize).is_multiple_of(BURST) {
                self.turn();
            }
        }
        self.turn();
    }

    fn turn(&mut self) {
        self.engine.poll_loop.poll_once(self.now);
    }

    /// Handshakes.
    fn open(&mut self, numbers: &[u32]) -> Result<()> {
        for &number in numbers {
            self.clients[number as usize].next = first_of(number);
            self.send(number, Flags::SYN, &[])?;
        }
        self.turn();
        self.hear(numbers)?;
        for &number in numbers {
            self.send(number, Flags::ACK, &[])?;
        }
        self.turn();
        for _ in numbers {
            self.engine.sockets.accept(self.listener).context("accepting")?;
        }
        self.turn();
        Ok(())
    }

    /// A segment of a client's: what it sends is what comes next.
    fn send(&mut self, number: u32, flags: Flags, payload: &[u8]) -> Result<()> {
        let client = &mut self.clients[number as usize];
        let timestamps = Some(Timestamps { value: self.now.as_millis() as u32, echo: client.echo });
        let syn = SynOptions {
            mss: Mss::announced(1460),
            window_scale: Some(WindowScale::clamped(7)),
            sack_permitted: true,
            timestamps,
        };
        let data = DataOptions { timestamps, ..DataOptions::default() };
        let is_syn = flags.contains(Flags::SYN);
        let head = Head {
            tuple: tuple_of(number),
            seq: client.next,
            ack: client.expected,
            flags,
            window: if is_syn { 64_240 } else { 502 },
            options: if is_syn { Options::Syn(syn) } else { Options::Data(data) },
            marking: Marking::default(),
        };
        client.next += u32::from(is_syn) + payload.len() as u32;
        let mut frame = [0; FRAME];
        let mut writer = SegmentWriter::new(&mut frame, &Link::default(), &head);
        writer.append(payload);
        let len = writer.finish();
        ensure!(self.wire.push(&frame[..len]), "the port lost a segment");
        Ok(())
    }

    /// What the engine has sent, each to its client; each of these clients must have been sent something.
    fn hear(&mut self, numbers: &[u32]) -> Result<()> {
        let Self { wire, clients, .. } = self;
        let mut heard = 0;
        wire.take_with(usize::MAX, |bytes| {
            let Ok(segment) = parse(bytes, ChecksumPolicy::Full) else { return };
            let Segment { tuple, seq, options, .. } = segment;
            let client = &mut clients[number_of(tuple.local) as usize];
            client.expected = seq + segment.seq_len();
            client.echo = options.timestamps().map_or(0, |it| it.value);
            heard += usize::from(segment.seq_len() > 0);
        });
        ensure!(heard == numbers.len(), "{heard} of {} clients heard something", numbers.len());
        Ok(())
    }
}

const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 0);
const PORTS_EACH: u32 = 1000;
const FIRST_PORT: u32 = 1024;

fn tuple_of(number: u32) -> Tuple {
    let source = Ipv4Addr::from_bits(FIRST_SOURCE.to_bits() + number / PORTS_EACH);
    Tuple {
        local: Endpoint::new(source.into(), (FIRST_PORT + number % PORTS_EACH) as u16),
        remote: Endpoint::new(Ipv4Addr::new(10, 0, 0, 1).into(), 80),
    }
}

fn number_of(client: Endpoint) -> u32 {
    match client.addr {
        core::net::IpAddr::V4(addr) => {
            (addr.to_bits() - FIRST_SOURCE.to_bits()) * PORTS_EACH + u32::from(client.port) - FIRST_PORT
        }
        core::net::IpAddr::V6(_) => u32::MAX,
    }
}

fn first_of(number: u32) -> SeqNum {
    SeqNum(number.wrapping_mul(0x9e37_79b9))
}

/// What a crowd of a certain size costs.
#[derive(Clone, Copy, Debug)]
pub struct CrowdCost {
    /// Connections.
    pub size: u32,
    /// Nanoseconds for a segment with a request, [`TALKERS`] of the connections taking turns.
    pub segment_ns: f64,
    /// The same, every segment of another of all connections: what the caches cannot hold is waited for.
    pub spread_ns: f64,
    /// Nanoseconds for a keepalive timer and the probe that it sends.
    pub timer_ns: f64,
}

/// Measures crowds of these sizes, at least [`TALKERS`] each, turn by turn in an order that lets the machine's noise reach all of them alike.
///
/// # Errors
/// As those of [`Crowd`].
pub fn measure(sizes: &[u32], rounds: usize) -> Result<Vec<CrowdCost>> {
    let mut crowds = sizes.iter().map(|&size| Crowd::new(size, true)).collect::<Result<Vec<_>>>()?;
    let mut times = vec![[const { Vec::new() }; 2]; sizes.len()];
    let mut spread = Draw::default();
    for _ in 0..rounds {
        for ((crowd, times), &size) in crowds.iter_mut().zip(&mut times).zip(sizes) {
            let talkers: Vec<u32> = (0..TALKERS).map(|talker| talker * (size / TALKERS)).collect();
            // Those of the other crowds have just had the caches.
            for burst in talkers.chunks(BURST) {
                crowd.ask(burst)?;
            }
            for burst in talkers.chunks(BURST) {
                times[0].push(crowd.ask(burst)?);
            }
            times[1].push(crowd.ask(&spread.distinct(size))?);
        }
    }
    let costs = crowds.iter_mut().zip(times).zip(sizes).map(|((crowd, times), &size)| {
        let [segment_ns, spread_ns] = times.map(|mut spent| {
            spent.sort_unstable();
            spent[spent.len() / 2].as_nanos() as f64 / BURST as f64
        });
        Ok(CrowdCost { size, segment_ns, spread_ns, timer_ns: crowd.fire_all_timers()?.as_nanos() as f64 })
    });
    costs.collect()
}

/// Numbers at random, the same in every run.
#[derive(Default)]
struct Draw(u64);

impl Draw {
    /// A burst of different numbers below `size`.
    fn distinct(&mut self, size: u32) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(BURST);
        while numbers.len() < BURST {
            self.0 += 1;
            let number = (SipHasher24::new_with_key(&[3; 16]).hash(&self.0.to_ne_bytes()) % u64::from(size)) as u32;
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_crowd_asks_and_is_answered_and_its_timers_fire() {
        let costs = measure(&[TALKERS, 300], 3).expect("measures");
        assert!(costs.iter().all(|cost| cost.segment_ns > 0.0 && cost.spread_ns > 0.0 && cost.timer_ns > 0.0));
    }
}
