//! The connections of a run, and the one loop that drives them.

use super::Tally;
use super::conversation::{Conversation, Progress, Subject};
use crate::descriptors;
use anyhow::{Context, Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How many start at once, each until its first answer, so that opening the connections is not itself a flood.
const STARTING: usize = 64;
/// Events taken in one turn.
const EVENTS: usize = 256;
/// How much is read at once.
const SCRATCH: usize = 64 * 1024;
/// How often overdue answers are looked for, and failed connections tried again: not at once, since failing may be fast.
const LOOK: Duration = Duration::from_millis(20);
/// Descriptors of the process beside the connections.
const OTHERS: u64 = 256;

/// What becomes of a connection that was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// It is closed, and another one opened.
    ConnectAgain,
    /// It is asked again.
    AskAgain,
    /// It stays open.
    Stay,
}

/// What a driver is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) subject: Subject,
    pub(super) connections: u32,
    pub(super) then: Then,
    /// How long an answer may take, connecting included.
    pub(super) patience: Duration,
    /// Requests that may be started.
    pub(super) requests: u64,
}

/// Connections to one target.
pub(super) struct Driver {
    plan: Plan,
    epoll: OwnedFd,
    slots: Vec<Slot>,
    /// Slots that are to start, one after another.
    waiting: Vec<usize>,
    /// Slots that failed since the last look.
    failed: Vec<usize>,
    starting: usize,
    next_look: Instant,
    events: Vec<epoll::Event>,
    scratch: Vec<u8>,
}

/// The place of one connection.
#[derive(Debug, Default)]
struct Slot {
    conversation: Option<Conversation>,
    /// Whether it counts among those that start.
    starts: bool,
}

impl Driver {
    pub(super) fn new(plan: Plan) -> Result<Self> {
        ensure!(plan.connections > 0, "load takes at least one connection");
        descriptors::raise_limit(u64::from(plan.connections) + OTHERS)?;
        let count = plan.connections as usize;
        Ok(Self {
            plan,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create")?,
            slots: (0..count).map(|_| Slot::default()).collect(),
            waiting: (0..count).rev().collect(),
            failed: Vec::new(),
            starting: 0,
            next_look: Instant::now() + LOOK,
            events: Vec::with_capacity(EVENTS),
            scratch: vec![0; SCRATCH],
        })
    }

    /// Lets those that stayed be asked once more, with new requests for that.
    pub(super) fn ask_once_more(&mut self) {
        self.waiting = (0..self.slots.len()).filter(|slot| self.slots[*slot].conversation.is_some()).collect();
        self.failed.clear();
        self.plan.requests = self.waiting.len() as u64;
    }

    /// One turn: starts, waits for events, and handles them.
    pub(super) fn turn(&mut self, tally: &mut Tally) -> Result<()> {
        while self.starting < STARTING
            && let Some(slot) = self.waiting.pop()
        {
            self.starting += 1;
            self.slots[slot].starts = true;
            self.next_request(slot, tally);
        }
        let mut events = std::mem::take(&mut self.events);
        let wait = self.next_look.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll_wait"),
        }
        for event in events.drain(..) {
            // The number was a slot's when it was registered.
            self.on_event(event.data.u64() as usize, event.flags, tally);
        }
        self.events = events;
        if Instant::now() >= self.next_look {
            self.look(tally);
        }
        Ok(())
    }

    fn on_event(&mut self, slot: usize, events: epoll::EventFlags, tally: &mut Tally) {
        // Closed in this turn already.
        let Some(conversation) = &mut self.slots[slot].conversation else { return };
        match conversation.on_event(events, &mut self.scratch) {
            Ok(Progress::Pending) => {}
            Ok(Progress::Answered(time)) => {
                tally.answered(time);
                self.started(slot);
                match self.plan.then {
                    Then::ConnectAgain => {
                        self.slots[slot].conversation = None;
                        self.next_request(slot, tally);
                    }
                    Then::AskAgain => self.next_request(slot, tally),
                    Then::Stay => {}
                }
            }
            Err(error) => self.fail(slot, &error, tally),
        }
    }

    /// Starts one more request, if there is one: on the connection of this slot, or on a new one.
    fn next_request(&mut self, slot: usize, tally: &mut Tally) {
        if self.plan.requests == 0 {
            self.slots[slot].conversation = None;
            return self.started(slot);
        }
        self.plan.requests -= 1;
        let asked = match &mut self.slots[slot].conversation {
            Some(conversation) => conversation.ask(),
            None => self.open(slot),
        };
        if let Err(error) = asked {
            self.fail(slot, &error, tally);
        }
    }

    fn open(&mut self, slot: usize) -> io::Result<()> {
        let conversation = Conversation::open(self.plan.subject)?;
        let data = epoll::EventData::new_u64(slot as u64);
        epoll::add(&self.epoll, &conversation, data, Conversation::EVENTS)?;
        self.slots[slot].conversation = Some(conversation);
        Ok(())
    }

    fn fail(&mut self, slot: usize, error: &io::Error, tally: &mut Tally) {
        tally.failed(error);
        self.started(slot);
        self.slots[slot].conversation = None;
        self.failed.push(slot);
    }

    fn started(&mut self, slot: usize) {
        if std::mem::take(&mut self.slots[slot].starts) {
            self.starting -= 1;
        }
    }

    /// Gives up what is overdue, and lets those that failed start again, unless the connections are to stay as they are.
    fn look(&mut self, tally: &mut Tally) {
        let now = Instant::now();
        self.next_look = now + LOOK;
        if let Some(moment) = now.checked_sub(self.plan.patience) {
            let overdue = |slot: &Slot| slot.conversation.as_ref().is_some_and(|open| open.waits_since(moment));
            let late: Vec<_> = (0..self.slots.len()).filter(|number| overdue(&self.slots[*number])).collect();
            let error = io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} ms", self.plan.patience.as_millis()),
            );
            late.into_iter().for_each(|slot| self.fail(slot, &error, tally));
        }
        match self.plan.then {
            Then::ConnectAgain | Then::AskAgain => self.waiting.append(&mut self.failed),
            Then::Stay => self.failed.clear(),
        }
    }
}
