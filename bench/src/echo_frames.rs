//! Frames without end through an echo server of several shards, on ports without system calls.
//!
//! Many small peers send one message each, on a queue of no choice of theirs, and the next one once the echo has come; so most
//! frames arrive at a shard that does not own their connection, and move. Every echo is compared with what was sent, and every
//! frame has to be accounted for in the end.

use crate::clock::Clock;
use anyhow::{Context, Result, bail, ensure};
use core::net::Ipv4Addr;
use std::time::Duration;
use synward_engine::{
    EngineConfig, Fleet, Interface, ListenConfig, Outcomes, Queue, Secrets, SocketCore, SocketError, SocketId, Source,
    Workers, build_fleet,
};
use synward_nic::{MemoryPort, MemoryPortConfig, MemoryWire, Port};
use synward_proto::segment::{Mss, SynOptions};
use synward_proto::wire::{ChecksumPolicy, SegmentWriter, parse};
use synward_proto::{Endpoint, Flags, Head, Instant, Link, Marking, Options, Segment, SeqNum, Tuple};

/// Connections, each with one message under way.
const PEERS: u16 = 1024;
/// Bytes of a message.
const MESSAGE: usize = 64;
/// The virtual time of one turn of all.
const TURN: Duration = Duration::from_micros(10);
/// Turns in which nothing comes, after which something is lost.
const PATIENCE: u32 = 10_000;
const FIRST_PORT: u16 = 1024;
const SERVER: Endpoint = Endpoint::new(core::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 7);
const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// What was seen.
#[derive(Clone, Debug)]
pub struct EchoFrames {
    /// Frames that crossed the wires, in both directions.
    pub frames: u64,
    /// How long it took.
    pub seconds: f64,
    /// CPU time that it took, the peers' own work included.
    pub cpu_seconds: f64,
    /// Messages that came back as they were sent.
    pub echoes: u64,
    /// Frames that crossed towards the server, which its shards must have received.
    pub sent: u64,
    /// What became of those, all shards together.
    pub outcomes: Outcomes,
    /// Whether in every shard every frame received became one thing.
    pub outcomes_balanced: bool,
    /// Whether in every shard every frame of the pool had one holder, whenever it was looked at.
    pub ledgers_balanced: bool,
    /// Frames of the pools that were not home in the end.
    pub frames_abroad: u64,
    /// Connections that were left in the end.
    pub connections: u64,
}

/// Sends until so many frames have crossed the wires, and then ends all connections.
///
/// # Errors
/// An engine cannot be built; an echo differs or does not come.
pub fn run(shards: usize, frames: u64) -> Result<EchoFrames> {
    let mut rig = Rig::new(shards)?;
    let clock = Clock::start();
    while rig.crossed() < frames {
        rig.turn(Wish::Talk)?;
    }
    while rig.peers.iter().any(|peer| peer.state != State::Over) {
        rig.turn(Wish::End)?;
    }
    rig.settle();
    Ok(rig.account(&clock))
}

/// What peers do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Talk,
    End,
}

struct Rig {
    fleet: Fleet<MemoryPort>,
    wires: Vec<MemoryWire>,
    peers: Vec<Peer>,
    /// Peers that have something to send.
    ready: Vec<u16>,
    now: Instant,
    random: u64,
    sent: u64,
    received: u64,
    echoes: u64,
    turns: u64,
    /// Turns since something came.
    silent: u32,
    ledgers_balanced: bool,
    scratch: Vec<u8>,
}

impl Rig {
    fn new(shards: usize) -> Result<Self> {
        let ports = (0..shards).map(|_| MemoryPort::with_wire(MemoryPortConfig::default()));
        let (ports, wires): (Vec<_>, Vec<_>) = ports.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let queues = ports.into_iter().map(|port| Queue { port, core: None }).collect();
        let config = EngineConfig {
            checksums: ChecksumPolicy::Full,
            syncookies: 0,
            // All peers are of one network.
            half_opens_per_prefix: None,
            secrets: Some(Secrets::from_seed(1)),
            ..EngineConfig::default()
        };
        let mut fleet = build_fleet(vec![Interface { config, rss: None, queues, shield: None }], Workers::OnPollLoops)?;
        for worker in &mut fleet.workers {
            worker.listen(ListenConfig { shared: true, ..ListenConfig::new(SERVER) }).context("listening")?;
        }
        Ok(Self {
            fleet,
            wires,
            peers: (0..PEERS).map(Peer::new).collect(),
            ready: (0..PEERS).collect(),
            now: Instant::from_millis(1),
            random: 1,
            sent: 0,
            received: 0,
            echoes: 0,
            turns: 0,
            silent: 0,
            ledgers_balanced: true,
            scratch: vec![0; 64 * 1024],
        })
    }

    fn crossed(&self) -> u64 {
        self.sent + self.received
    }

    /// Everybody once: the peers that have something to send, the shards with their workers, the peers that get something.
    fn turn(&mut self, wish: Wish) -> Result<()> {
        self.now += TURN;
        self.turns += 1;
        self.serve()?;
        for number in std::mem::take(&mut self.ready) {
            self.send(number, wish)?;
        }
        self.serve()?;
        let before = self.received;
        self.receive()?;
        self.silent = if self.received == before { self.silent + 1 } else { 0 };
        ensure!(self.silent < PATIENCE, "an echo does not come: {:?}", self.fleet.observer.snapshot());
        if self.turns.is_multiple_of(256) {
            self.look_at_ledgers();
        }
        Ok(())
    }

    fn send(&mut self, number: u16, wish: Wish) -> Result<()> {
        let mut frame = [0; 256];
        let len = self.peers[usize::from(number)].write(&mut frame, wish);
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let queue = (self.random >> 33) as usize % self.wires.len();
        ensure!(self.wires[queue].push(&frame[..len]), "queue {queue} is full");
        self.sent += 1;
        Ok(())
    }

    fn serve(&mut self) -> Result<()> {
        for (poll_loop, worker) in self.fleet.poll_loops.iter_mut().zip(&mut self.fleet.workers) {
            poll_loop.poll_once(self.now);
            echo(worker, &mut self.scratch)?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let Self { wires, peers, ready, received, echoes, .. } = self;
        let mut outcome = Ok(());
        for wire in wires {
            *received += wire.take_with(usize::MAX, |frame| match take(peers, frame) {
                Ok((number, taken)) => {
                    *echoes += u64::from(taken == Taken::Echo);
                    if taken != Taken::Nothing {
                        ready.push(number);
                    }
                }
                Err(error) => outcome = Err(error),
            }) as u64;
        }
        outcome
    }

    fn look_at_ledgers(&mut self) {
        for poll_loop in &mut self.fleet.poll_loops {
            self.ledgers_balanced &= poll_loop.port().ledger().is_balanced();
        }
    }

    /// Lets the last acknowledgments arrive, and the frames come home.
    fn settle(&mut self) {
        for _ in 0..4 {
            for poll_loop in &mut self.fleet.poll_loops {
                poll_loop.poll_once(self.now);
                poll_loop.port().reclaim();
            }
        }
        self.look_at_ledgers();
    }

    fn account(mut self, clock: &Clock) -> EchoFrames {
        let ledgers = self.fleet.poll_loops.iter_mut().map(|poll_loop| poll_loop.port().ledger());
        let frames_abroad = ledgers.map(|ledger| u64::from(ledger.lent + ledger.in_hand)).sum();
        let snapshot = self.fleet.observer.snapshot();
        EchoFrames {
            frames: self.crossed(),
            seconds: clock.elapsed().as_secs_f64(),
            cpu_seconds: clock.cpu().as_secs_f64(),
            echoes: self.echoes,
            sent: self.sent,
            outcomes: snapshot.outcomes,
            outcomes_balanced: self.fleet.observer.snapshots().all(|shard| shard.outcomes.is_balanced()),
            ledgers_balanced: self.ledgers_balanced,
            frames_abroad,
            connections: snapshot.gauges.connections,
        }
    }
}

/// The server: returns what has come, and closes when the peer has.
fn echo(core: &mut SocketCore, scratch: &mut [u8]) -> Result<()> {
    core.poll();
    while let Some((source, _)) = core.next_ready() {
        match source {
            Source::Listener(listener) => while core.accept(listener).is_ok() {},
            Source::Socket(socket) => echo_one(core, socket, scratch)?,
        }
    }
    Ok(())
}

fn echo_one(core: &mut SocketCore, socket: SocketId, scratch: &mut [u8]) -> Result<()> {
    loop {
        match core.recv(socket, scratch) {
            Ok(0) => return core.close(socket).context("closing"),
            Ok(count) => {
                let sent = core.send(socket, &scratch[..count]).context("echoing")?;
                ensure!(sent == count, "no room for an echo");
            }
            Err(SocketError::WouldBlock) => return Ok(()),
            Err(error) => return Err(error).context("receiving"),
        }
    }
}

/// One end of a connection that does as little as it may.
#[derive(Debug)]
struct Peer {
    number: u16,
    state: State,
    /// What it sends next.
    seq: SeqNum,
    /// What it expects next.
    ack: SeqNum,
    /// Messages so far, which their bytes depend on.
    messages: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Its SYN is to be sent, or under way.
    Connecting,
    /// A message may be sent, or is under way.
    Open,
    /// Its FIN is under way.
    Ending,
    /// Both FINs have come; the last acknowledgment is to be sent.
    Ended,
    Over,
}

/// What a frame was to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    /// It need not answer.
    Nothing,
    /// Its message came back.
    Echo,
    /// It has to answer something else.
    Other,
}

impl Peer {
    fn new(number: u16) -> Self {
        let iss = SeqNum(u32::from(number).wrapping_mul(0x9e37_79b9));
        Self { number, state: State::Connecting, seq: iss, ack: SeqNum(0), messages: 0 }
    }

    fn message(&self) -> [u8; MESSAGE] {
        let word = (u64::from(self.number) << 48 | self.messages).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut message = [0; MESSAGE];
        message.chunks_exact_mut(8).for_each(|eight| eight.copy_from_slice(&word.to_be_bytes()));
        message
    }

    /// Writes what it has to send next, and returns the length of the frame.
    fn write(&mut self, frame: &mut [u8], wish: Wish) -> usize {
        let syn = Options::Syn(SynOptions { mss: Mss::announced(1460), ..SynOptions::default() });
        let (flags, options, message) = match (self.state, wish) {
            (State::Connecting, _) => (Flags::SYN, syn, None),
            (State::Open, Wish::Talk) => (Flags::ACK | Flags::PSH, Options::NONE, Some(self.message())),
            (State::Open, Wish::End) => (Flags::ACK | Flags::FIN, Options::NONE, None),
            (State::Ending | State::Ended | State::Over, _) => (Flags::ACK, Options::NONE, None),
        };
        let local = Endpoint::new(CLIENTS.into(), FIRST_PORT + self.number);
        let tuple = Tuple { local, remote: SERVER };
        let head =
            Head { tuple, seq: self.seq, ack: self.ack, flags, window: 65_535, options, marking: Marking::DEFAULT };
        let mut writer = SegmentWriter::new(frame, &Link::default(), &head);
        if let Some(message) = message {
            writer.append(&message);
            self.seq += MESSAGE as u32;
        }
        match self.state {
            State::Open if wish == Wish::End => {
                self.seq += 1;
                self.state = State::Ending;
            }
            State::Ended => self.state = State::Over,
            State::Connecting | State::Open | State::Ending | State::Over => {}
        }
        writer.finish()
    }

    fn take(&mut self, segment: &Segment, payload: &[u8]) -> Result<Taken> {
        ensure!(!segment.flags.contains(Flags::RST), "a reset for {self:?}");
        if self.state == State::Connecting {
            ensure!(segment.flags.contains(Flags::SYN | Flags::ACK) && segment.ack == self.seq + 1, "{segment:?}");
            (self.state, self.seq, self.ack) = (State::Open, self.seq + 1, segment.seq + 1);
            return Ok(Taken::Other);
        }
        if segment.seq_len() == 0 {
            return Ok(Taken::Nothing);
        }
        ensure!(segment.seq == self.ack && segment.ack == self.seq, "{self:?} got {segment:?}");
        self.ack += segment.seq_len();
        if segment.flags.contains(Flags::FIN) {
            ensure!(self.state == State::Ending && payload.is_empty(), "{self:?} got {segment:?}");
            self.state = State::Ended;
            return Ok(Taken::Other);
        }
        ensure!(payload == self.message(), "the echo of message {} of peer {} differs", self.messages, self.number);
        self.messages += 1;
        Ok(Taken::Echo)
    }
}

/// Gives a frame to the peer that it is for.
fn take(peers: &mut [Peer], frame: &[u8]) -> Result<(u16, Taken)> {
    let Ok(segment) = parse(frame, ChecksumPolicy::Full) else { bail!("no segment: {frame:02x?}") };
    let number = segment.tuple.local.port.wrapping_sub(FIRST_PORT);
    let peer = peers.get_mut(usize::from(number)).context("a segment for nobody")?;
    Ok((number, peer.take(&segment, segment.payload.of(frame))?))
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn every_frame_is_accounted_for_and_most_have_moved() {
        let seen = run(4, 100_000).expect("echoes");
        assert!(seen.outcomes_balanced && seen.ledgers_balanced, "{seen:?}");
        assert_eq!((seen.frames_abroad, seen.connections), (0, 0), "{seen:?}");
        // What moved was received twice: where it arrived and where it belongs.
        assert_eq!(seen.outcomes.received, seen.sent + seen.outcomes.steered, "{seen:?}");
        assert!(seen.frames >= 100_000 && seen.outcomes.dropped == 0 && seen.echoes > 45_000, "{seen:?}");
        assert!(seen.outcomes.steered * 3 > seen.sent * 2, "three of four arrive elsewhere: {seen:?}");
    }
}
