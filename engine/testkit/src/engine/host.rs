//! An engine on a port in memory, turned by hand in virtual time.

use anyhow::Result;
use std::collections::VecDeque;
use std::time::Duration;
use synward_engine::{EngineConfig, Observer, PollLoop, SocketCore, build};
use synward_nic::{FrameBudget, MemoryPort, MemoryPortConfig, MemoryWire, Port};
use synward_proto::Instant;

/// Virtual time does not begin at zero, where a forgotten field would look like a time.
const EPOCH: Instant = Instant::from_millis(1_000_000);
/// An engine that has not come to rest after so many turns at one time never will.
const MAX_TURNS: u32 = 100_000;

/// An engine, its application's sockets and the wire that it is plugged into.
pub struct Host {
    /// The loop, to be turned by [`rest`](Self::rest) and [`turn_loop`](Self::turn_loop) only.
    pub poll_loop: PollLoop<MemoryPort>,
    wire: MemoryWire,
    sockets: Option<SocketCore>,
    observer: Observer,
    sent: VecDeque<Vec<u8>>,
    complaint: Option<String>,
}

impl Host {
    /// Builds an engine with a small pool of frames.
    ///
    /// # Errors
    /// When a setting is out of range or there is no memory.
    pub fn new(config: EngineConfig) -> Result<Self> {
        let budget = FrameBudget {
            fill_ring: 512,
            rx_ring: 256,
            burst: 64,
            tx_ring: 256,
            completion_ring: 512,
            transmit_backlog: 128,
            readers: 256,
            reply_reserve: 64,
        };
        let (port, wire) = MemoryPort::with_wire(MemoryPortConfig { budget, ..MemoryPortConfig::default() })?;
        let engine = build(config, port)?;
        Ok(Self {
            poll_loop: engine.poll_loop,
            wire,
            sockets: Some(engine.sockets),
            observer: engine.observer,
            sent: VecDeque::new(),
            complaint: None,
        })
    }

    /// The application's sockets.
    pub fn sockets(&mut self) -> Option<&mut SocketCore> {
        self.sockets.as_mut()
    }

    /// What the engine shows.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// A frame arrives. False when the port had no room for it.
    pub fn receive(&mut self, frame: &[u8]) -> bool {
        self.wire.push(frame)
    }

    /// The next frame that the engine has sent.
    pub fn take_sent(&mut self) -> Option<Vec<u8>> {
        self.sent.pop_front()
    }

    /// The interface's MTU changes.
    pub fn set_mtu(&mut self, mtu: u16) {
        self.poll_loop.set_mtu(mtu.into());
    }

    /// Turns the loop alone once at time `now`, and leaves what it sent on the wire; false when it had nothing to do.
    pub fn turn_loop(&mut self, now: Duration) -> bool {
        !self.poll_loop.poll_once(EPOCH + now).is_idle()
    }

    /// Turns the engine at time `now` until it has nothing more to do.
    pub fn rest(&mut self, now: Duration) {
        for _ in 0..MAX_TURNS {
            let turn = self.poll_loop.poll_once(EPOCH + now);
            let events = self.sockets.as_mut().map_or(0, SocketCore::poll);
            while let Some(frame) = self.wire.take() {
                self.sent.push_back(frame);
            }
            if turn.is_idle() && events == 0 {
                return;
            }
        }
        self.complaint.get_or_insert(format!("no rest after {MAX_TURNS} turns at {now:?}"));
    }

    /// When the engine must be turned next, in time since the start.
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        self.poll_loop.next_deadline(EPOCH + now).map(|deadline| deadline.since(EPOCH))
    }

    /// The application goes away; then time passes until nothing is left of it, at most an hour: two hours are past
    /// every timer that remains then.
    ///
    /// # Errors
    /// What is still there, or what went wrong before.
    pub fn drain(&mut self, now: Duration) -> Result<(), String> {
        const LIMIT: Duration = Duration::from_secs(3600);
        self.sockets = None;
        let (end, mut now) = (now + LIMIT, now);
        loop {
            self.rest(now);
            self.sent.clear();
            match self.next_deadline(now) {
                Some(deadline) if deadline <= end && self.complaint.is_none() => {
                    now = deadline.max(now + Duration::from_nanos(1));
                }
                _ => break,
            }
        }
        self.check_drained()
    }

    fn check_drained(&mut self) -> Result<(), String> {
        if let Some(complaint) = self.complaint.take() {
            return Err(complaint);
        }
        let ledger = self.poll_loop.port().ledger();
        let gauges = self.observer.snapshot().gauges;
        if !ledger.is_balanced() || ledger.lent != 0 || ledger.in_hand != 0 {
            return Err(format!("frames are not home: {ledger:?}"));
        }
        if gauges.connections != 0 || gauges.time_waits != 0 || gauges.half_open != 0 {
            return Err(format!("connections are left over: {gauges:?}"));
        }
        Ok(())
    }
}
