//! The heart: one turn of a shard.

use crate::ShardId;
use crate::arrival::Arrived;
use crate::clock::SteadyTime;
use crate::handoff::Side;
use crate::shard::Shard;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use synward_nic::{Frame, Port};
use synward_proto::Instant;

/// One shard: a port, its connections and listeners, and its ends of the rings to the workers. Dropping it ends every
/// socket of its connections with [`NetworkDown`](crate::SocketError::NetworkDown).
pub struct PollLoop<P: Port> {
    pub(crate) port: P,
    pub(crate) shard: Shard,
    pub(crate) stop: Arc<AtomicBool>,
    /// Frames received this turn; empty between turns.
    received: VecDeque<Frame>,
    time: SteadyTime,
}

/// What one turn did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Turn {
    /// Frames received, those from other shards included.
    pub received: u32,
    /// Frames given to the port for sending.
    pub sent: u32,
    /// Timers run.
    pub timers: u32,
    /// Requests taken from the workers, and connections whose news found room at last in the ring to one.
    pub requests: u32,
    /// Whether work was left over for want of budget: turn again without sleeping.
    pub unfinished: bool,
}

impl Turn {
    /// Whether nothing was done and nothing is left to do before the next frame, request or deadline.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

/// Asks a running loop to end, from any thread. Clones share one flag.
#[derive(Clone)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    shard: Arc<Side>,
}

impl Stop {
    /// Asks. A sleeping loop wakes up to notice.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        self.shard.bell.force();
    }

    /// Whether it was asked.
    pub fn is_stopped(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}

impl<P: Port> PollLoop<P> {
    pub(crate) fn new(port: P, shard: Shard) -> Self {
        let received = VecDeque::with_capacity(shard.limits.burst);
        let mut poll_loop = Self { port, shard, stop: Arc::default(), received, time: SteadyTime::default() };
        poll_loop.port.refill();
        poll_loop.publish();
        poll_loop
    }

    /// One turn: frames in, timers, requests, frames out; each step bounded. `now` is read by the caller, once per turn.
    /// It may stand still, jump or step back: after a step back, the engine's time goes on from where it was. Shards of one engine
    /// go by one clock, which does not step back: each would go on from where it was itself, and cookies of one shard mean nothing
    /// to another whose time is another tick.
    pub fn poll_once(&mut self, now: Instant) -> Turn {
        let Self { port, shard, received, time, stop: _ } = self;
        let callers = now;
        let now = time.tick(callers);
        let reclaimed = port.reclaim();
        shard.lent = port.ledger().lent;

        let frames = port.rx_burst(received, shard.limits.burst);
        shard.stats.frames_received(frames as u64);
        for frame in received.drain(..) {
            shard.on_frame(now, Arrived::Here, frame, port);
        }
        let foreign = shard.take_foreign(now, port);
        let timers = shard.run_timers(now, port);
        let requests = shard.take_requests(now, port);
        shard.bury_orphans(now, port);
        let more_to_relieve = shard.relieve(now, port);
        let more_to_tell = shard.spread_mtu(now);
        let more_to_send = shard.transmit(now, port);
        let sent = port.tx_burst(&mut shard.outgoing);
        port.refill();

        let more_to_answer = shard.answer_questions(now);
        shard.workers.publish();
        shard.crossing.publish();
        shard.tell_turned(callers);
        let more = more_to_send || more_to_answer || more_to_tell || more_to_relieve;
        let unfinished = more || shard.can_tell_more() || !shard.orphans.is_empty();
        let turn = Turn { received: frames as u32 + foreign, sent: sent as u32, timers, requests, unfinished };
        if !turn.is_idle() || reclaimed > 0 {
            self.publish();
        }
        self.check_books();
        turn
    }

    /// When, on the caller's clock, which shows `now`, a turn is due even if no frame and no request comes.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let due = self.shard.next_deadline(self.time.at(now))?;
        Some(self.time.on_callers_clock(due))
    }

    /// The interface's MTU is now `mtu` bytes: what [`run`](Self::run) hears from its link watch, for those who turn the loop
    /// themselves. Packets that do not fit in a frame stay out of use.
    pub fn set_mtu(&mut self, mtu: u32) {
        self.shard.set_mtu(mtu);
    }

    /// What ends [`run`](Self::run).
    pub fn stopper(&self) -> Stop {
        Stop { asked: Arc::clone(&self.stop), shard: Arc::clone(self.shard.workers.side()) }
    }

    /// Its number within the engine.
    pub fn id(&self) -> ShardId {
        ShardId(self.shard.id)
    }

    /// The port, for what tests and tools need of it between turns.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// Shows observers how things stand.
    fn publish(&self) {
        self.shard.stats.set_ledger(&self.port.ledger());
        self.shard.stats.set_gauges(&self.shard.gauges());
    }

    /// Every frame has one owner, and every received frame became one thing. In debug builds, after every turn.
    fn check_books(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let ledger = self.port.ledger();
        debug_assert!(ledger.is_balanced(), "{ledger:?}");
        debug_assert_eq!(
            ledger.in_hand as usize,
            self.shard.outgoing.len(),
            "between turns, only what waits to be sent"
        );
        let outcomes = self.shard.stats.outcomes();
        debug_assert!(outcomes.is_balanced(), "{outcomes:?}");
    }
}

impl<P: Port> Drop for PollLoop<P> {
    /// Takes home what waits to be sent, and takes leave of the shield.
    fn drop(&mut self) {
        self.shard.tell_ended();
        for frame in self.shard.outgoing.drain(..) {
            self.port.recycle(frame);
        }
    }
}
