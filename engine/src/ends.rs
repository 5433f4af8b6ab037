//! Two rings for each pair of a shard and a worker, and one bell for each of them.
//!
//! Neither end ever waits for the other. What does not fit in a ring stays with whoever wanted to push it: a connection
//! keeps its news in its `Outbox`, the worker its requests in a queue, and both are bounded by the byte credits
//! of the connections. A ring that was full when its producer went to sleep rings the producer's bell once it has room.

use crate::bell::Bell;
use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::sync::spsc::{Consumer, Producer, PushError, RingBuffer};
use std::io;
use std::sync::Arc;

/// What a shard or a worker shows all those that it is joined to.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) bell: Bell,
    /// It went to sleep with something to push into a full ring.
    starved: AtomicBool,
    /// It is no more.
    gone: AtomicBool,
}

impl Side {
    /// A side that is awake.
    ///
    /// # Errors
    /// When the kernel gives no eventfd.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let bell = Bell::new()?;
        Ok(Arc::new(Self { bell, starved: AtomicBool::new(false), gone: AtomicBool::new(false) }))
    }
}

/// One end: what it says goes into one ring, what it hears comes from the other.
#[derive(Debug)]
pub(crate) struct End<Said, Heard> {
    outgoing: Producer<Said>,
    incoming: Consumer<Heard>,
    own: Arc<Side>,
    far: Arc<Side>,
    /// Pushed since the far end was last told.
    pushed: bool,
    /// Popped since the far end was last told.
    popped: bool,
    /// Found the outgoing ring full, and has not found room since.
    stuck: bool,
    /// The far end is no more, and what is said goes nowhere.
    is_deaf: bool,
}

/// Two ends with rings of `slots` messages each way.
pub(crate) fn pair<Event, Request>(
    slots: usize,
    shard: &Arc<Side>,
    worker: &Arc<Side>,
) -> (End<Event, Request>, End<Request, Event>) {
    let (events, heard) = RingBuffer::new(slots);
    let (requests, asked) = RingBuffer::new(slots);
    (End::new(events, asked, shard, worker), End::new(requests, heard, worker, shard))
}

impl<Said, Heard> End<Said, Heard> {
    pub(crate) fn new(outgoing: Producer<Said>, incoming: Consumer<Heard>, own: &Arc<Side>, far: &Arc<Side>) -> Self {
        let (own, far) = (Arc::clone(own), Arc::clone(far));
        Self { outgoing, incoming, own, far, pushed: false, popped: false, stuck: false, is_deaf: false }
    }

    /// Whether [`push`](Self::push) would succeed.
    pub(crate) fn has_room(&mut self) -> bool {
        self.stuck = !self.is_deaf && self.outgoing.is_full();
        !self.stuck
    }

    /// Says something; gives it back when there is no room. The far end hears of it at the next [`publish`](Self::publish).
    pub(crate) fn push(&mut self, message: Said) -> Result<(), Said> {
        if self.is_deaf {
            return Ok(());
        }
        match self.outgoing.push(message) {
            Ok(()) => {
                self.pushed = true;
                Ok(())
            }
            Err(PushError::Full(message)) => {
                self.stuck = true;
                Err(message)
            }
        }
    }

    /// Says something that need not wake a far end that sleeps; gives it back when there is no room.
    pub(crate) fn whisper(&mut self, message: Said) -> Result<(), Said> {
        let pushed = self.pushed;
        let result = self.push(message);
        self.pushed = pushed;
        result
    }

    /// Has the far end woken at the next [`publish`](Self::publish): there is news for it outside of the ring.
    pub(crate) fn nudge(&mut self) {
        self.pushed = true;
    }

    /// Hears the next message.
    pub(crate) fn pop(&mut self) -> Option<Heard> {
        let message = self.incoming.pop().ok()?;
        self.popped = true;
        Some(message)
    }

    /// The next message, before it is heard.
    pub(crate) fn peek(&self) -> Option<&Heard> {
        self.incoming.peek().ok()
    }

    /// Wakes the far end if it sleeps and there is news for it, or room that it waits for.
    pub(crate) fn publish(&mut self) {
        let (pushed, popped) = (std::mem::take(&mut self.pushed), std::mem::take(&mut self.popped));
        if !pushed && !popped {
            return;
        }
        // Between the ring's own writes and the look at the far end's flags: see `Bell`.
        fence(Ordering::SeqCst);
        let starved = popped && self.far.starved.load(Ordering::Relaxed);
        if pushed || starved {
            self.far.bell.ring();
        }
    }

    /// Whether there is room again in a ring that was full.
    pub(crate) fn has_room_again(&mut self) -> bool {
        self.stuck && self.has_room()
    }

    /// Whether the outgoing ring is full. One that was full stays so for [`has_room_again`](Self::has_room_again), though there
    /// may be room meanwhile: nobody has used that yet.
    fn starves(&mut self) -> bool {
        let is_full = !self.is_deaf && self.outgoing.is_full();
        self.stuck |= is_full;
        is_full
    }

    /// Lets go of the ring to a far end that is no more, with what lies in it: frames among that come home only so. From now on
    /// there is always room, and whatever is said is forgotten.
    pub(crate) fn forget_far(&mut self) {
        if !std::mem::replace(&mut self.is_deaf, true) {
            self.outgoing = RingBuffer::new(1).0;
        }
    }

    /// Whether the far end is no more. What it had said by then can still be heard.
    pub(crate) fn is_far_gone(&self) -> bool {
        self.far.gone.load(Ordering::Acquire)
    }
}

impl<Said, Heard> Drop for End<Said, Heard> {
    fn drop(&mut self) {
        self.own.gone.store(true, Ordering::Release);
        self.far.bell.ring();
    }
}

/// The ends of each shard, and those of each worker.
type Mesh<Event, Request> = (Vec<Ends<Event, Request>>, Vec<Ends<Request, Event>>);

/// Joins every shard to every worker.
pub(crate) fn mesh<Event, Request>(slots: usize, shards: &[Arc<Side>], workers: &[Arc<Side>]) -> Mesh<Event, Request> {
    let mut of_workers: Vec<Vec<_>> = workers.iter().map(|_| Vec::new()).collect();
    let mut ends_of = |shard: &Arc<Side>| {
        let to_each = workers.iter().zip(&mut of_workers);
        let ends = to_each.map(|(worker, ends)| {
            let (here, there) = pair(slots, shard, worker);
            ends.push(there);
            here
        });
        Ends::new(Arc::clone(shard), ends.collect())
    };
    let of_shards = shards.iter().map(&mut ends_of).collect();
    let of_workers = workers.iter().zip(of_workers).map(|(side, ends)| Ends::new(Arc::clone(side), ends)).collect();
    (of_shards, of_workers)
}

/// All the ends of one shard or worker, by the number of who is at the other, and the bell that they share.
#[derive(Debug)]
pub(crate) struct Ends<Said, Heard> {
    side: Arc<Side>,
    ends: Box<[End<Said, Heard>]>,
}

impl<Said, Heard> Ends<Said, Heard> {
    /// The ends of `side`.
    pub(crate) fn new(side: Arc<Side>, ends: Vec<End<Said, Heard>>) -> Self {
        Self { side, ends: ends.into() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The end whose far side has a number that came from here.
    pub(crate) fn end(&mut self, number: u16) -> &mut End<Said, Heard> {
        &mut self.ends[usize::from(number)]
    }

    /// Every end.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &End<Said, Heard>> {
        self.ends.iter()
    }

    /// Every end.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut End<Said, Heard>> {
        self.ends.iter_mut()
    }

    /// Wakes those that sleep and for whom there is news, or room that they wait for.
    pub(crate) fn publish(&mut self) {
        self.iter_mut().for_each(End::publish);
    }

    /// Says that this side is about to sleep. It must look for work once more before it does.
    pub(crate) fn doze(&mut self) {
        let mut starved = false;
        for end in self.iter_mut() {
            // Also one that the last push filled: the next, which may be asked for just now, would find no room.
            starved |= end.starves();
        }
        self.side.starved.store(starved, Ordering::Relaxed);
        self.side.bell.doze();
    }

    /// Says that this side is awake.
    pub(crate) fn rise(&mut self) {
        self.side.starved.store(false, Ordering::Relaxed);
        self.side.bell.rise();
    }

    /// Whether there is room again in a ring that was full.
    pub(crate) fn has_room_again(&mut self) -> bool {
        self.iter_mut().any(End::has_room_again)
    }

    /// This side, for those who may wake it.
    pub(crate) fn side(&self) -> &Arc<Side> {
        &self.side
    }
}
