//! An engine that the caller turns, in a time that the caller sets.

use crate::engine::{Drive, State};
use crate::errno::{Errno, Result};
use crate::threaded::Ends;
use std::collections::VecDeque;
use std::time::Duration;
use synward_engine::{BuildError, EngineConfig, PollLoop, build};
use synward_nic::{FrameBudget, MemoryPort, MemoryPortConfig, MemoryWire, PortError};
use synward_proto::Instant;

/// The caller's zero. Not the engine's: the time there is never taken for one that was forgotten.
const EPOCH: Instant = Instant::from_millis(1_000_000);

/// Frames by holder: enough for a window of full segments, and small, for there may be many engines in a process.
pub(crate) const BUDGET: FrameBudget = FrameBudget {
    fill_ring: 512,
    rx_ring: 512,
    burst: 64,
    tx_ring: 512,
    completion_ring: 512,
    transmit_backlog: 256,
    readers: 512,
    reply_reserve: 64,
};

/// A frame that was sent.
pub(crate) struct Sent {
    /// When, in the caller's time.
    pub(crate) at: Duration,
    pub(crate) frame: Vec<u8>,
}

/// A poll loop, its wire and its time.
pub(crate) struct Stepper {
    poll_loop: PollLoop<MemoryPort>,
    wire: MemoryWire,
    now: Duration,
    sent: VecDeque<Sent>,
}

/// Why there is no port in memory.
pub(crate) fn no_port(error: PortError) -> (Errno, String) {
    (Errno(libc::ENOMEM), error.to_string())
}

/// Why there is no engine.
pub(crate) fn no_engine(error: BuildError) -> (Errno, String) {
    let errno = match &error {
        BuildError::NoEntropy => Errno::IO,
        BuildError::Descriptor { source, .. } => Errno(source.raw_os_error().unwrap_or(libc::EMFILE)),
        BuildError::NoFrames => Errno(libc::ENOMEM),
        BuildError::NoShards | BuildError::TooManyShards | BuildError::Setting { .. } => Errno::INVALID,
    };
    (errno, error.to_string())
}

impl Stepper {
    /// Builds an engine, and what its sockets are made with.
    ///
    /// # Errors
    /// When a setting is out of range or there is no memory.
    pub(crate) fn new(config: EngineConfig) -> std::result::Result<(Self, Ends), (Errno, String)> {
        let port = MemoryPortConfig { budget: BUDGET, frame_size: frame_size(config.mtu) };
        let (port, wire) = MemoryPort::with_wire(port).map_err(no_port)?;
        let engine = build(config, port).map_err(no_engine)?;
        let stepper = Self { poll_loop: engine.poll_loop, wire, now: Duration::ZERO, sent: VecDeque::new() };
        Ok((stepper, Ends { sockets: engine.sockets, observer: engine.observer }))
    }

    /// Makes one turn at the present time; whether it did anything.
    pub(crate) fn turn(&mut self) -> bool {
        let turn = self.poll_loop.poll_once(EPOCH + self.now);
        while let Some(frame) = self.wire.take() {
            self.sent.push_back(Sent { at: self.now, frame });
        }
        !turn.is_idle()
    }

    /// A frame arrives, and waits for the next turn. False when there is no room.
    pub(crate) fn inject(&mut self, frame: &[u8]) -> bool {
        self.wire.push(frame)
    }

    /// The frame that was sent first of those not taken.
    pub(crate) fn next_sent(&self) -> Option<&Sent> {
        self.sent.front()
    }

    /// Takes that frame.
    pub(crate) fn take_sent(&mut self) -> Option<Sent> {
        self.sent.pop_front()
    }

    /// The present time.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// When to turn next though no frame comes, later than now: no timer is due before.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let due = self.poll_loop.next_deadline(EPOCH + self.now)?;
        Some(due.since(EPOCH).max(self.now + Duration::from_nanos(1)))
    }
}

/// The smallest frame that holds a packet with all that may surround it.
pub(crate) fn frame_size(mtu: u16) -> u16 {
    /// In front of the data, and for tags and headers of the link.
    const AROUND: u16 = 256 + 64;
    mtu.saturating_add(AROUND).checked_next_power_of_two().unwrap_or(1 << 15).max(2048)
}

impl State {
    /// The caller's way to turn the engine.
    ///
    /// # Errors
    /// EINVAL where the caller does not.
    pub(crate) fn stepper(&mut self) -> Result<&mut Stepper> {
        match &mut self.drive {
            Drive::Stepped(stepper) => Ok(stepper),
            Drive::Threaded(_) | Drive::Closed => Err(Errno::INVALID),
        }
    }

    /// Lets time pass until `end`, and runs each timer at its time.
    ///
    /// # Errors
    /// EINVAL when that is in the past, or the caller does not turn the engine.
    pub(crate) fn run_until(&mut self, end: Duration) -> Result<()> {
        if end < self.stepper()?.now {
            return Err(Errno::INVALID);
        }
        loop {
            self.settle();
            let stepper = self.stepper()?;
            match stepper.deadline().filter(|&due| due <= end) {
                Some(due) => stepper.now = due,
                None if stepper.now == end => return Ok(()),
                None => stepper.now = end,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::frame_size;

    #[test]
    fn frames_are_powers_of_two_that_hold_the_packet() {
        assert_eq!([576, 1500, 1728, 1729, 9000, u16::MAX].map(frame_size), [2048, 2048, 2048, 4096, 16_384, 32_768]);
    }
}
