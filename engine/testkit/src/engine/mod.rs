//! Synward's engine in virtual time, on one thread, without a kernel.
//!
//! Moving the time runs each timer at its exact deadline, so the time of everything that comes out is known to the
//! nanosecond and no tolerance is needed.

mod host;
mod info;
mod options;

pub use host::Host;

use crate::play::{self, Failure, MACS};
use crate::script::{LISTEN_PORT, Script, Setting, Setup, TargetKind};
use crate::target::{Direction, Io, Queue, Ready, Sent, SocketKey, Target, Tolerance, errno_name};
use anyhow::Result;
use std::time::Duration;
use synward_engine::{
    ConnectConfig, EngineConfig, Interest, ListenConfig, ListenerId, Secrets, Shutdown, SocketError, SocketId, Source,
};
use synward_nic::FrameBudget;
use synward_proto::segment::Link;
use synward_proto::{Endpoint, MacAddr};

/// The way to whoever is on the wire.
pub const LINK: Link =
    Link { local: MacAddr(MACS.destination), remote: MacAddr(MACS.source), outer: None, inner: None };

/// A budget small enough for a test to exhaust.
pub fn small_budget() -> FrameBudget {
    FrameBudget {
        fill_ring: 256,
        rx_ring: 256,
        burst: 64,
        tx_ring: 256,
        completion_ring: 256,
        transmit_backlog: 256,
        readers: 256,
        reply_reserve: 64,
    }
}

/// Plays `script` against the engine.
///
/// # Errors
/// The outer one when the engine could not be built; the inner one is the first line that did not happen as written.
pub fn play(script: &Script) -> Result<Result<(), Box<Failure>>> {
    let mut target = EngineTarget::new(&script.setup)?;
    Ok(play::play(script, TargetKind::Engine, &mut target))
}

/// The engine as a [`Target`].
struct EngineTarget {
    host: Host,
    setup: Setup,
    listeners: Vec<ListenerId>,
    sockets: Vec<Ends>,
    now: Duration,
}

/// A socket and its two ends.
#[derive(Clone, Copy)]
struct Ends {
    socket: SocketId,
    local: Endpoint,
    remote: Endpoint,
}

impl EngineTarget {
    fn new(setup: &Setup) -> Result<Self> {
        let host = Host::new(config(setup))?;
        let mut target =
            Self { host, setup: setup.clone(), listeners: Vec::new(), sockets: Vec::new(), now: Duration::ZERO };
        match target.listen(LISTEN_PORT) {
            Io::Done(()) => Ok(target),
            came => anyhow::bail!("listen: {came:?}"),
        }
    }

    fn rest(&mut self) {
        self.host.rest(self.now);
    }

    /// Makes a call on the sockets and lets the engine act on it.
    fn call<T>(&mut self, call: impl FnOnce(&mut synward_engine::SocketCore) -> Result<T, SocketError>) -> Io<T> {
        let outcome = self.host.sockets().map_or(Err(SocketError::NetworkDown), call);
        self.rest();
        match outcome {
            Ok(value) => Io::Done(value),
            Err(SocketError::WouldBlock) => Io::Blocks,
            Err(error) => Io::Failed(errno_name(error.errno())),
        }
    }

    fn call_on<T>(
        &mut self,
        socket: SocketKey,
        call: impl FnOnce(&mut synward_engine::SocketCore, SocketId) -> Result<T, SocketError>,
    ) -> Io<T> {
        let Some(id) = self.sockets.get(socket.0).map(|ends| ends.socket) else {
            return Io::Failed(String::from("EBADF"));
        };
        self.call(|sockets| call(sockets, id))
    }

    fn keep(&mut self, ends: Ends) -> SocketKey {
        self.sockets.push(ends);
        SocketKey(self.sockets.len() - 1)
    }
}

fn config(setup: &Setup) -> EngineConfig {
    let defaults = EngineConfig::default();
    EngineConfig {
        max_connections: 1024,
        max_time_waits: 1024,
        somaxconn: setup.somaxconn,
        max_syn_backlog: setup.max_syn_backlog,
        syncookies: setup.syncookies,
        synack_retries: setup.synack_retries,
        abort_on_overflow: setup.abort_on_overflow,
        mtu: setup.mtu,
        receive_buffer: setup.receive_buffer.unwrap_or(defaults.receive_buffer),
        receive_buffer_max: setup.receive_buffer.unwrap_or(defaults.receive_buffer_max),
        send_buffer: setup.send_buffer.unwrap_or(defaults.send_buffer),
        send_buffer_max: setup.send_buffer.unwrap_or(defaults.send_buffer_max),
        sack: setup.sack,
        timestamps: setup.timestamps,
        ecn: options::ecn(setup.ecn),
        user_timeout: setup.user_timeout,
        congestion: setup.congestion.map_or(defaults.congestion, options::algorithm),
        keepalive: setup.keepalive.map(|_| options::keepalive(setup)),
        nagle: setup.nagle,
        retries: setup.retries,
        syn_retries: setup.syn_retries,
        secrets: Some(Secrets::from_seed(1)),
        ..defaults
    }
}

impl Target for EngineTarget {
    fn now(&self) -> Duration {
        self.now
    }

    fn inject(&mut self, frame: &[u8]) -> bool {
        let received = self.host.receive(frame);
        self.rest();
        received
    }

    fn next_frame(&mut self, until: Duration) -> Option<Sent> {
        loop {
            if let Some(frame) = self.host.take_sent() {
                return Some(Sent { at: self.now, frame });
            }
            if until <= self.now {
                return None;
            }
            let deadline = self.host.next_deadline(self.now).filter(|deadline| *deadline <= until);
            self.now = deadline.map_or(until, |deadline| deadline.max(self.now + Duration::from_nanos(1)));
            self.rest();
        }
    }

    fn tolerance(&self, _step: Duration) -> Tolerance {
        Tolerance::NONE
    }

    fn settle(&mut self, _at: Duration) {}

    fn pause(&mut self) -> bool {
        false
    }

    fn set_mtu(&mut self, mtu: u16) -> Io<()> {
        self.host.set_mtu(mtu);
        self.rest();
        Io::Done(())
    }

    fn listen(&mut self, port: u16) -> Io<()> {
        let local = Endpoint::new(self.setup.our_address(), port);
        let config = ListenConfig { backlog: self.setup.backlog, ..ListenConfig::new(local) };
        self.call(|sockets| sockets.listen(config)).map(|listener| self.listeners.push(listener))
    }

    fn accept(&mut self) -> Io<(SocketKey, Endpoint)> {
        let mut accepted = Io::Blocks;
        for listener in self.listeners.clone() {
            accepted = self.call(|sockets| sockets.accept(listener));
            if accepted != Io::Blocks {
                break;
            }
        }
        accepted.map(|accepted| {
            let ends = Ends { socket: accepted.socket, local: accepted.local, remote: accepted.peer };
            (self.keep(ends), accepted.peer)
        })
    }

    fn connect(&mut self, local: Endpoint, remote: Endpoint) -> Io<SocketKey> {
        let opened = self.call(|sockets| sockets.connect(ConnectConfig::new(local, remote, LINK)));
        opened.map(|socket| self.keep(Ends { socket, local, remote }))
    }

    fn connected(&mut self, socket: SocketKey) -> Io<()> {
        self.call_on(socket, |sockets, id| sockets.send(id, &[]).map(|_| ()))
    }

    fn read(&mut self, socket: SocketKey, max: usize) -> Io<Vec<u8>> {
        self.call_on(socket, |sockets, id| {
            let mut bytes = vec![0; max];
            let length = sockets.recv(id, &mut bytes)?;
            bytes.truncate(length);
            Ok(bytes)
        })
    }

    fn write(&mut self, socket: SocketKey, bytes: &[u8]) -> Io<usize> {
        self.call_on(socket, |sockets, id| sockets.send(id, bytes))
    }

    fn shutdown(&mut self, socket: SocketKey, direction: Direction) -> Io<()> {
        let how = match direction {
            Direction::Read => Shutdown::Read,
            Direction::Write => Shutdown::Write,
            Direction::Both => Shutdown::Both,
        };
        self.call_on(socket, |sockets, id| sockets.shutdown(id, how))
    }

    fn set(&mut self, socket: SocketKey, setting: Setting) -> Io<()> {
        let option = options::option(&self.setup, setting);
        self.call_on(socket, |sockets, id| sockets.set(id, option.ok_or(SocketError::Invalid)?))
    }

    fn ready(&mut self, socket: SocketKey) -> Io<Ready> {
        self.call_on(socket, |sockets, id| {
            sockets.set_interest(id, Interest::BOTH)?;
            sockets.poll();
            let mut told = std::iter::from_fn(|| sockets.next_ready());
            let found = told.find(|(source, _)| *source == Source::Socket(id));
            Ok(found.map_or(Ready::empty(), |(_, ready)| ready.into()))
        })
    }

    fn queued(&mut self, socket: SocketKey, queue: Queue) -> Io<u64> {
        match queue {
            Queue::In => self.call_on(socket, synward_engine::SocketCore::status).map(|status| status.unread as u64),
            Queue::Out => self.row(socket).map(|row| row.send_queue.into()),
        }
    }

    fn info(&mut self, socket: SocketKey, field: &str) -> Io<Option<u64>> {
        self.row(socket).map(|row| info::field(&row, field))
    }

    fn close(&mut self, socket: SocketKey) -> Io<()> {
        self.call_on(socket, |sockets, id| sockets.close(id))
    }

    fn abort(&mut self, socket: SocketKey) -> Io<()> {
        self.call_on(socket, |sockets, id| sockets.abort(id))
    }

    fn counter(&mut self, name: &str) -> Option<u64> {
        self.host.observer().snapshot().counters.get(name).copied()
    }

    fn drops(&mut self, reason: &str) -> Option<u64> {
        self.host.observer().snapshot().drops.get(reason).copied()
    }

    fn half_open(&mut self) -> u64 {
        self.host.observer().snapshot().gauges.half_open
    }

    fn check_end(&mut self) -> Result<(), String> {
        self.host.drain(self.now)
    }
}
