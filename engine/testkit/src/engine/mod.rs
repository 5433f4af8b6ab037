//! Synward's engine in virtual time, on one thread, without a kernel.
//!
//! Moving the time runs each timer at its exact deadline, so the time of everything that comes out is known to the
//! nanosecond and no tolerance is needed.

mod host;

pub use host::Host;

use crate::play::{self, Failure, MACS};
use crate::script::{LISTEN_PORT, Script, Setup, TargetKind};
use crate::target::{Io, Sent, SocketKey, Target, Tolerance, errno_name};
use anyhow::{Context, Result};
use std::time::Duration;
use synward_engine::{ConnectConfig, EngineConfig, ListenConfig, ListenerId, Secrets, Shutdown, SocketError, SocketId};
use synward_nic::FrameBudget;
use synward_proto::connection::Keepalive;
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
    listener: ListenerId,
    sockets: Vec<SocketId>,
    now: Duration,
}

impl EngineTarget {
    fn new(setup: &Setup) -> Result<Self> {
        let mut host = Host::new(config(setup))?;
        let local = Endpoint::new(setup.our_address(), LISTEN_PORT);
        let sockets = host.sockets().context("sockets")?;
        let listener = sockets.listen(ListenConfig { backlog: setup.backlog, ..ListenConfig::new(local) })?;
        let mut target = Self { host, listener, sockets: Vec::new(), now: Duration::ZERO };
        target.rest();
        Ok(target)
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
        let Some(id) = self.sockets.get(socket.0).copied() else { return Io::Failed(String::from("EBADF")) };
        self.call(|sockets| call(sockets, id))
    }

    fn keep(&mut self, socket: SocketId) -> SocketKey {
        self.sockets.push(socket);
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
        keepalive: setup.keepalive.map(|crate::script::Keepalive { idle, interval, probes }| Keepalive {
            idle,
            interval,
            probes,
        }),
        nagle: setup.nagle,
        retries: setup.retries,
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

    fn accept(&mut self) -> Io<(SocketKey, Endpoint)> {
        let listener = self.listener;
        self.call(|sockets| sockets.accept(listener)).map(|accepted| (self.keep(accepted.socket), accepted.peer))
    }

    fn connect(&mut self, local: Endpoint, remote: Endpoint) -> Io<SocketKey> {
        self.call(|sockets| sockets.connect(ConnectConfig::new(local, remote, LINK))).map(|socket| self.keep(socket))
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

    fn shutdown(&mut self, socket: SocketKey) -> Io<()> {
        self.call_on(socket, |sockets, id| sockets.shutdown(id, Shutdown::Write))
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
