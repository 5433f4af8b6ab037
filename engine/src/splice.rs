//! Two connections of one shard whose bytes go from each to the other without leaving the shard.
//!
//! Back-pressure, the end of a stream and a failure go across by themselves: bytes stay unread, and the window of the sender
//! closes, until the other connection has room for them; FIN follows the bytes before it; a reset or a time-out on one
//! side resets the other.

use crate::SocketError;
use crate::connections::{ConnId, Entry, Owner};
use crate::handoff::Event;
use crate::orphans::Parting;
use crate::shard::{Shard, TimerKey};
use crate::socket::SocketId;
use crate::timer_wheel::TimerId;
use slab::Slab;
use std::collections::VecDeque;
use std::time::Duration;
use synward_nic::Port;
use synward_proto::Instant;
use synward_proto::connection::Events;

/// How two spliced connections ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SpliceEnd {
    /// In order: both streams were carried to their ends.
    Closed,
    /// The first failed, and the second was reset.
    First(SocketError),
    /// The second failed, and the first was reset.
    Second(SocketError),
    /// Nothing came for as long as was allowed: both were closed.
    Idle,
    /// The worker ended them.
    Ended,
}

/// What became of two spliced connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpliceReport {
    /// Bytes that went from the first to the second.
    pub forward: u64,
    /// Bytes that went from the second to the first.
    pub backward: u64,
    /// How they ended.
    pub end: SpliceEnd,
}

/// What a worker wants to be spliced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpliceRequest {
    /// The first connection; its socket hears the report.
    pub(crate) first: (ConnId, SocketId),
    pub(crate) second: ConnId,
    /// How long nothing may come from either side.
    pub(crate) idle: Duration,
}

/// An end of a splice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SplicedEnd {
    pub(crate) splice: u32,
    /// 0 or 1.
    side: usize,
}

/// Two connections that are joined.
#[derive(Debug)]
struct Splice {
    worker: u16,
    socket: SocketId,
    sides: [Side; 2],
    idle: Duration,
    /// When bytes last went either way.
    moved: Instant,
    timer: Option<TimerId>,
}

/// One of them, and what came from it.
#[derive(Clone, Copy, Debug)]
struct Side {
    /// None once it is over and all that came from it was carried across.
    connection: Option<u32>,
    bytes: u64,
    /// Whether the end of its stream was carried across.
    ended: bool,
}

/// The splices of a shard.
#[derive(Debug, Default)]
pub(crate) struct Splices {
    splices: Slab<Splice>,
    /// Reports that wait for room in a ring.
    reports: VecDeque<(u16, SocketId, SpliceReport)>,
}

impl Splices {
    /// No splices, and room for so many.
    pub(crate) fn with_capacity(limit: usize) -> Self {
        Self { splices: Slab::with_capacity(limit), reports: VecDeque::new() }
    }

    /// Whose splice it is.
    pub(crate) fn worker_of(&self, end: SplicedEnd) -> Option<u16> {
        self.splices.get(end.splice as usize).map(|splice| splice.worker)
    }

    /// Splices that are not over.
    pub(crate) fn len(&self) -> usize {
        self.splices.len()
    }
}

impl Shard {
    /// Joins two connections.
    pub(crate) fn splice(&mut self, now: Instant, worker: u16, request: &SpliceRequest, port: &mut impl Port) {
        let SpliceRequest { first: (first, socket), second, idle } = *request;
        let (Some(a), Some(b)) = (self.connections.resolve(first), self.connections.resolve(second)) else {
            return self.splice_with_nobody(now, worker, request, port);
        };
        let side = |index| Side { connection: Some(index), bytes: 0, ended: false };
        let splice = Splice { worker, socket, sides: [a, b].map(side), idle, moved: now, timer: None };
        let id = self.splices.splices.insert(splice) as u32;
        for (side, index) in [a, b].into_iter().enumerate() {
            if let Some(entry) = self.connections.get_mut(index) {
                entry.owner = Owner::Spliced(SplicedEnd { splice: id, side });
                entry.outbox.held = false;
                // What is passed on is complete as it is: waiting for more of it would only delay it.
                entry.connection.set_nagle(false);
            }
        }
        let timer = self.wheel.schedule(now + idle, TimerKey::Splice(id));
        if let Some(splice) = self.splices.splices.get_mut(id as usize) {
            splice.timer = Some(timer);
        }
        self.pump(now, id);
    }

    /// One of the two has ended meanwhile, and its worker may not know yet.
    fn splice_with_nobody(&mut self, now: Instant, worker: u16, request: &SpliceRequest, port: &mut impl Port) {
        let SpliceRequest { first: (first, socket), second, idle: _ } = *request;
        let (first, second) = (self.connections.resolve(first), self.connections.resolve(second));
        let reset = SocketError::ConnectionReset;
        let end = if first.is_none() { SpliceEnd::First(reset) } else { SpliceEnd::Second(reset) };
        for index in [first, second].into_iter().flatten() {
            self.part(now, index, Parting::Reset, port);
        }
        self.splices.reports.push_back((worker, socket, SpliceReport { forward: 0, backward: 0, end }));
        self.tell_reports();
    }

    /// Carries across what has come and what there is room for, and draws the consequences of an end.
    pub(crate) fn pump(&mut self, now: Instant, id: u32) {
        for from in 0..2 {
            self.carry(now, id, from);
        }
        self.conclude(id);
    }

    /// Moves bytes, and then the end of the stream, from one side to the other.
    fn carry(&mut self, now: Instant, id: u32, from: usize) {
        let Some(splice) = self.splices.splices.get_mut(id as usize) else { return };
        let (Some(source), Some(sink)) = (splice.sides[from].connection, splice.sides[1 - from].connection) else {
            return;
        };
        let Some((from_entry, to_entry)) = self.connections.pair_mut(source, sink) else { return };
        let bytes = carry_bytes(now, from_entry, to_entry);
        let side = &mut splice.sides[from];
        let outbox = &mut from_entry.outbox;
        let ends = outbox.end_of_stream && outbox.received.is_empty() && !side.ended;
        if ends {
            side.ended = true;
            to_entry.connection.shutdown(now);
        }
        side.bytes += u64::from(bytes);
        (outbox.sent, outbox.connected) = (0, None);
        if bytes > 0 {
            splice.moved = now;
        }
        if bytes > 0 || ends {
            self.settle_alone(now, sink, Events::empty());
            self.settle_alone(now, source, Events::empty());
        }
    }

    /// Lets go of sides that are over; when one has failed, or both are over, the splice is.
    fn conclude(&mut self, id: u32) {
        for number in 0..2 {
            let Some(splice) = self.splices.splices.get_mut(id as usize) else { return };
            let side = &mut splice.sides[number];
            let Some(index) = side.connection else { continue };
            let Some(entry) = self.connections.get_mut(index).filter(|entry| entry.outbox.over) else { continue };
            if let Some(failure) = entry.outbox.failure {
                let end = if number == 0 { SpliceEnd::First } else { SpliceEnd::Second };
                return self.end_splice(id, end(failure.into()));
            }
            if entry.outbox.received.is_empty() && side.ended {
                side.connection = None;
                drop(self.connections.remove(index));
            } else if !entry.outbox.end_of_stream {
                let gone = SocketError::ConnectionReset;
                let end = if number == 0 { SpliceEnd::First(gone) } else { SpliceEnd::Second(gone) };
                return self.end_splice(id, end);
            }
        }
        let over = |splice: &Splice| splice.sides.iter().all(|side| side.connection.is_none());
        if self.splices.splices.get(id as usize).is_some_and(over) {
            self.end_splice(id, SpliceEnd::Closed);
        }
    }

    /// Forgets the splice and tells its worker. Connections that are left are closed when it was idle and reset otherwise,
    /// later in this turn.
    pub(crate) fn end_splice(&mut self, id: u32, end: SpliceEnd) {
        let Some(splice) = self.splices.splices.try_remove(id as usize) else { return };
        if let Some(timer) = splice.timer {
            self.wheel.cancel(timer);
        }
        let parting = if end == SpliceEnd::Idle { Parting::Close } else { Parting::Reset };
        for index in splice.sides.iter().filter_map(|side| side.connection) {
            if let Some(entry) = self.connections.get_mut(index) {
                entry.owner = Owner::Nobody;
                let conn = ConnId { index, generation: entry.generation() };
                self.orphans.doom(conn, parting);
            }
        }
        let [forward, backward] = splice.sides.map(|side| side.bytes);
        self.splices.reports.push_back((splice.worker, splice.socket, SpliceReport { forward, backward, end }));
        self.tell_reports();
    }

    /// The timer of a splice: it is over if nothing has moved since it was set.
    pub(crate) fn on_splice_timer(&mut self, now: Instant, id: u32) {
        let Some(splice) = self.splices.splices.get_mut(id as usize) else { return };
        splice.timer = None;
        let due = splice.moved + splice.idle;
        if due > now {
            splice.timer = Some(self.wheel.schedule(due, TimerKey::Splice(id)));
        } else {
            self.end_splice(id, SpliceEnd::Idle);
        }
    }

    /// Passes on reports for which there is room.
    pub(crate) fn tell_reports(&mut self) {
        for _ in 0..self.splices.reports.len() {
            let Some((worker, socket, report)) = self.splices.reports.pop_front() else { return };
            if self.workers.end(worker).push((socket, Event::Spliced(report))).is_err() {
                self.splices.reports.push_back((worker, socket, report));
            }
        }
    }

    /// Whether a report waits that its worker could take now.
    pub(crate) fn can_report(&mut self) -> bool {
        let Self { splices, workers, .. } = self;
        splices.reports.iter().any(|(worker, ..)| workers.end(*worker).has_room())
    }
}

/// Moves as many bytes as the sink has room for; returns how many.
fn carry_bytes(now: Instant, source: &mut Entry, sink: &mut Entry) -> u32 {
    let mut moved = 0;
    loop {
        let room = sink.connection.send_space();
        let Some((bytes, taken)) = source.outbox.received.take(room as usize) else { return moved };
        moved += taken.bytes;
        sink.connection.send(now, bytes);
        source.frames_held = source.frames_held.saturating_sub(taken.frames);
        source.connection.consumed(now, taken.bytes);
    }
}
