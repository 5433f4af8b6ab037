//! Frames that arrived on another queue than their owner's.
//!
//! The NIC chooses the queue, steering the owner. Where the two differ, the frame is lent to the owner through a ring; the owner
//! copies it into a frame of its own, once, and so sends it home to the memory that it came from.

use crate::arrival::Arrived;
use crate::demux::Route;
use crate::handoff::Side;
use crate::listeners::ListenerEntry;
use crate::shard::Shard;
use crate::stats::FrameOutcome;
use crate::steering::Steering;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use synward_nic::{Frame, LentFrame, Port};
use synward_proto::{Counter, DropReason, Instant, Link, Segment, Tuple, Verdict};

/// Frames under way from one shard to another.
const RING_SLOTS: usize = 512;
/// Frames taken from each other shard per turn.
const FRAMES_PER_TURN: usize = 64;

/// What joins a shard to the others of its interface.
#[derive(Debug)]
pub(crate) struct Crossing {
    id: u16,
    steering: Arc<Steering>,
    /// By number within the interface; none to itself.
    outlets: Box<[Option<Outlet>]>,
    inlets: Box<[Consumer<LentFrame>]>,
}

/// The way to another shard.
#[derive(Debug)]
struct Outlet {
    ring: Producer<LentFrame>,
    far: Arc<Side>,
    /// Pushed since the other was last told.
    pushed: bool,
}

impl Crossing {
    /// Joins the shards of an interface, each by its side, to all others.
    pub(crate) fn between(steering: &Arc<Steering>, sides: &[Arc<Side>]) -> Vec<Self> {
        let count = sides.len();
        let mut inlets: Vec<Vec<Consumer<LentFrame>>> = (0..count).map(|_| Vec::new()).collect();
        let mut outlets_of = |from: usize| -> Box<[Option<Outlet>]> {
            let to_each = sides.iter().zip(&mut inlets).enumerate();
            to_each
                .map(|(to, (far, inlets))| {
                    (to != from).then(|| {
                        let (ring, inlet) = RingBuffer::new(RING_SLOTS);
                        inlets.push(inlet);
                        Outlet { ring, far: Arc::clone(far), pushed: false }
                    })
                })
                .collect()
        };
        let outlets: Vec<_> = (0..count).map(&mut outlets_of).collect();
        let joined = outlets.into_iter().zip(inlets).zip(steering.shards());
        joined
            .map(|((outlets, inlets), id)| Self { id, steering: Arc::clone(steering), outlets, inlets: inlets.into() })
            .collect()
    }

    /// The number of this shard.
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    /// Whether there are no other shards.
    pub(crate) fn is_alone(&self) -> bool {
        self.inlets.is_empty()
    }

    /// The owner of a tuple, unless it is this shard.
    pub(crate) fn foreign_owner(&self, tuple: &Tuple) -> Option<u16> {
        Some(self.steering.owner(tuple)).filter(|&owner| owner != self.id)
    }

    /// A segment of `tuple` has arrived on this shard's queue.
    pub(crate) fn note_arrival(&self, tuple: &Tuple) {
        if !self.is_alone() {
            self.steering.prove(tuple, self.id);
        }
    }

    /// Changes when ownership does.
    pub(crate) fn steering_epoch(&self) -> u8 {
        self.steering.epoch()
    }

    /// Whether this shard owns a tuple.
    pub(crate) fn owns(&self, tuple: &Tuple) -> bool {
        self.foreign_owner(tuple).is_none()
    }

    /// Whether frames wait that others received.
    pub(crate) fn has_work(&self) -> bool {
        self.inlets.iter().any(|inlet| !inlet.is_empty())
    }

    /// Wakes those that sleep and for whom there are frames.
    pub(crate) fn publish(&mut self) {
        for outlet in self.outlets.iter_mut().flatten().filter(|outlet| outlet.pushed) {
            outlet.pushed = false;
            outlet.far.bell.ring();
        }
    }

    fn outlet(&mut self, owner: u16) -> Option<&mut Outlet> {
        let number = usize::from(owner.checked_sub(self.steering.shards().start)?);
        let outlet = self.outlets.get_mut(number)?;
        // What lies in the ring to a shard that has ended comes home with the ring.
        drop(outlet.take_if(|outlet| outlet.ring.is_abandoned()));
        outlet.as_mut()
    }
}

impl Shard {
    /// A segment that belongs to another shard: only state has to move, so a SYN that gets a cookie is answered here.
    pub(crate) fn at_foreign(
        &mut self,
        now: Instant,
        owner: u16,
        route: Route,
        segment: &Segment,
        frame: Frame,
        port: &mut impl Port,
    ) {
        if let Route::Listener(slot) = route
            && let Some(ListenerEntry { listener, shared, .. }) = self.listeners.get_mut(slot)
            && let Some(verdict) = listener.on_foreign_syn(now, segment, &mut self.half_opens, &**shared)
        {
            return self.apply(frame, &segment.link, verdict, None, port);
        }
        self.hand_over(owner, frame, port);
    }

    /// Lends a frame to the shard whose it is.
    pub(crate) fn hand_over(&mut self, owner: u16, frame: Frame, port: &mut impl Port) {
        let has_share = self.lent < self.limits.readers;
        let room = |outlet: &&mut Outlet| has_share && !outlet.ring.is_full();
        let Some(outlet) = self.crossing.outlet(owner).filter(room) else {
            let verdict = Verdict::dropped(DropReason::SteeringFull);
            return self.apply(frame, &Link::default(), verdict, None, port);
        };
        // There is room; and if not, the frame would go home by being dropped.
        let _ = outlet.ring.push(frame.lend());
        outlet.pushed = true;
        self.lent += 1;
        self.stats.frame_became(FrameOutcome::Steered);
    }

    /// Takes frames that others received and that are ours; returns how many.
    pub(crate) fn take_foreign(&mut self, now: Instant, port: &mut impl Port) -> u32 {
        let mut taken = 0;
        for inlet in 0..self.crossing.inlets.len() {
            for _ in 0..FRAMES_PER_TURN {
                let Ok(foreign) = self.crossing.inlets[inlet].pop() else { break };
                taken += 1;
                self.stats.frames_received(1);
                match port.alloc().map(|frame| copy_into(frame, &foreign)) {
                    Some(Ok(frame)) => self.on_frame(now, Arrived::AtAnother, frame, port),
                    Some(Err(frame)) => {
                        port.recycle(frame);
                        self.stats.frame_became(FrameOutcome::Dropped(DropReason::SteeringFull));
                    }
                    None => self.stats.frame_became(FrameOutcome::Dropped(DropReason::SteeringFull)),
                }
                self.stats.count(Counter::FramesSteered);
            }
        }
        taken
    }
}

/// Copies the bytes of another shard's frame; gives the frame back unchanged when they do not fit.
fn copy_into(mut frame: Frame, foreign: &LentFrame) -> Result<Frame, Frame> {
    if foreign.len() > frame.capacity() {
        return Err(frame);
    }
    frame.set_len(foreign.len());
    frame.as_mut_slice().copy_from_slice(foreign);
    Ok(frame)
}
