//! Two connections of one shard whose bytes go from each to the other without leaving the shard.
//!
//! Back-pressure, the end of a stream and a failure go across by themselves: bytes stay unread, and the window of the sender
//! closes, until the other connection has room for them; FIN follows the bytes before it; a reset or a time-out on one
//! side resets the other.

use crate::SocketError;
use crate::connections::{ConnId, Entry, Owner, Reader};
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
use synward_proto::connection::{Events, SocketOption};

/// How two spliced connections ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SpliceEnd {
    /// In order: both streams were carried to their ends.
    Closed,
    /// The first failed, and the second was reset.
    First(SocketError),
    /// The second failed, and the first was reset.
    Second(SocketError),
    /// The second failed before a byte had gone either way: the first is open and [held](crate::Delivery::Held), as it was before.
    Unused(SocketError),
    /// No byte came, or was taken, for as long as was allowed: both were reset.
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

/// Two connections that are joined.
#[derive(Debug)]
struct Splice {
    worker: u16,
    socket: SocketId,
    sides: [Side; 2],
    idle: Duration,
    /// When bytes last went either way, or were acknowledged: a slow reader is not idle while it takes what waits for it.
    moved: Instant,
    timer: Option<TimerId>,
}

/// One of them, and what came from it.
#[derive(Clone, Copy, Debug)]
struct Side {
    connection: u32,
    bytes: u64,
    /// Whether the end of its stream was carried across.
    ended: bool,
}

impl Splice {
    /// Whether nothing has gone either way, not even the end of a stream.
    fn is_unused(&self) -> bool {
        self.sides.iter().all(|side| side.bytes == 0 && !side.ended)
    }
}

/// How far a side has come.
enum SideState {
    /// More may come from it, or what came is not carried across.
    Alive,
    /// It is over, and all that came from it was carried across.
    Done,
    /// It is over before its time.
    Failed(SocketError),
}

/// The splices of a shard.
#[derive(Debug, Default)]
pub(crate) struct Splices {
    splices: Slab<Splice>,
    /// By worker: reports that wait for room in the ring.
    reports: Box<[VecDeque<(SocketId, SpliceReport)>]>,
}

impl Splices {
    /// No splices of so many workers, and room for `limit`.
    pub(crate) fn with_capacity(limit: usize, workers: usize) -> Self {
        Self { splices: Slab::with_capacity(limit), reports: (0..workers).map(|_| VecDeque::new()).collect() }
    }

    /// Whose splice it is.
    pub(crate) fn worker_of(&self, id: u32) -> Option<u16> {
        self.splices.get(id as usize).map(|splice| splice.worker)
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
        let side = |connection| Side { connection, bytes: 0, ended: false };
        let splice = Splice { worker, socket, sides: [a, b].map(side), idle, moved: now, timer: None };
        let id = self.splices.splices.insert(splice) as u32;
        for index in [a, b] {
            if let Some(entry) = self.connections.get_mut(index) {
                entry.owner = Owner::Spliced(id);
                entry.outbox.held = false;
                // What is passed on is complete as it is: waiting for more of it would only delay it.
                entry.connection.set(now, SocketOption::NoDelay(true));
            }
        }
        let timer = self.wheel.schedule(now + idle, TimerKey::Splice(id));
        if let Some(splice) = self.splices.splices.get_mut(id as usize) {
            splice.timer = Some(timer);
        }
        self.pump(now, id);
        for index in [a, b] {
            self.acknowledge_syn(now, index);
        }
    }

    /// Sends the third segment of a handshake if it waits for bytes to carry it and there are none.
    pub(crate) fn acknowledge_syn(&mut self, now: Instant, index: u32) {
        if let Some(entry) = self.connections.get_mut(index)
            && !entry.connection.wants_transmit(now)
        {
            entry.connection.acknowledge_syn();
            self.settle_alone(now, index, Events::empty());
        }
    }

    /// One of the two has ended meanwhile, and its worker may not know yet.
    fn splice_with_nobody(&mut self, now: Instant, worker: u16, request: &SpliceRequest, port: &mut impl Port) {
        let SpliceRequest { first: (first, socket), second, idle: _ } = *request;
        let (first, second) = (self.connections.resolve(first), self.connections.resolve(second));
        let reset = SocketError::ConnectionReset;
        let is_open = first.and_then(|index| self.connections.get(index)).is_some_and(|entry| !entry.outbox.over);
        let end = if is_open { SpliceEnd::Unused(reset) } else { SpliceEnd::First(reset) };
        for index in [first.filter(|_| !is_open), second].into_iter().flatten() {
            self.part(now, index, Parting::Reset, port);
        }
        self.report(worker, socket, SpliceReport { forward: 0, backward: 0, end });
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
        let (source, sink) = (splice.sides[from].connection, splice.sides[1 - from].connection);
        let Some((from_entry, to_entry)) = self.connections.pair_mut(source, sink) else { return };
        let bytes = carry_bytes(now, from_entry, to_entry);
        let side = &mut splice.sides[from];
        let news = from_entry.outbox.peek_mut();
        let ends = !side.ended && news.as_ref().is_some_and(|news| news.end_of_stream && news.received.is_empty());
        if ends {
            side.ended = true;
            to_entry.connection.shutdown(now);
        }
        side.bytes += u64::from(bytes);
        let acknowledged = news.map_or(0, |news| {
            news.connected = None;
            std::mem::take(&mut news.sent)
        });
        from_entry.outbox.tidy();
        if bytes > 0 || acknowledged > 0 {
            splice.moved = now;
        }
        if bytes > 0 || ends {
            self.settle_alone(now, sink, Events::empty());
            self.settle_alone(now, source, Events::empty());
        }
    }

    /// Ends the splice when a side has failed, or when both are over and all that came from them was carried across.
    fn conclude(&mut self, id: u32) {
        let Some(splice) = self.splices.splices.get(id as usize) else { return };
        let states = splice.sides.map(|side| self.state_of(side));
        let end = match states {
            [SideState::Failed(error), _] => SpliceEnd::First(error),
            [SideState::Alive, SideState::Failed(error)] if splice.is_unused() => SpliceEnd::Unused(error),
            [_, SideState::Failed(error)] => SpliceEnd::Second(error),
            [SideState::Done, SideState::Done] => SpliceEnd::Closed,
            [SideState::Alive | SideState::Done, SideState::Alive | SideState::Done] => return,
        };
        self.end_splice(id, end);
    }

    fn state_of(&self, side: Side) -> SideState {
        let Some(Entry { outbox, .. }) = self.connections.get(side.connection) else {
            return SideState::Failed(SocketError::ConnectionReset);
        };
        if !outbox.over {
            return SideState::Alive;
        }
        let news = outbox.peek();
        if let Some(failure) = news.and_then(|news| news.failure) {
            SideState::Failed(failure.into())
        } else if !news.is_some_and(|news| news.end_of_stream) {
            // Its failure was told before the splice.
            SideState::Failed(SocketError::ConnectionReset)
        } else if side.ended {
            SideState::Done
        } else {
            SideState::Alive
        }
    }

    /// Forgets the splice and tells its worker. Connections that are left are reset later in this turn.
    pub(crate) fn end_splice(&mut self, id: u32, end: SpliceEnd) {
        let Some(splice) = self.splices.splices.try_remove(id as usize) else { return };
        if let Some(timer) = splice.timer {
            self.wheel.cancel(timer);
        }
        for (number, Side { connection: index, .. }) in splice.sides.into_iter().enumerate() {
            if let Some(entry) = self.connections.get_mut(index) {
                if number == 0 && matches!(end, SpliceEnd::Unused(_)) {
                    entry.owner = Owner::Socket(Reader { worker: splice.worker, socket: splice.socket });
                    entry.outbox.held = true;
                    continue;
                }
                self.orphans.disown(entry);
                let conn = ConnId { index, generation: entry.generation() };
                self.orphans.doom(conn, Parting::Reset);
            }
        }
        let [forward, backward] = splice.sides.map(|side| side.bytes);
        self.report(splice.worker, splice.socket, SpliceReport { forward, backward, end });
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

    fn report(&mut self, worker: u16, socket: SocketId, report: SpliceReport) {
        if let Some(reports) = self.splices.reports.get_mut(usize::from(worker)) {
            reports.push_back((socket, report));
        }
        self.tell_reports(worker);
    }

    /// Passes on the reports for which there is room.
    pub(crate) fn tell_reports(&mut self, worker: u16) {
        let Some(reports) = self.splices.reports.get_mut(usize::from(worker)) else { return };
        let end = self.workers.end(worker);
        while !reports.is_empty() && end.has_room() {
            if let Some((socket, report)) = reports.pop_front() {
                // There is room.
                let _ = end.push((socket, Event::Spliced(report)));
            }
        }
    }

    /// Whether a report waits that its worker could take now.
    pub(crate) fn can_report(&mut self) -> bool {
        let Self { splices, workers, .. } = self;
        let reports = splices.reports.iter().zip(workers.iter_mut());
        reports.into_iter().any(|(reports, end)| !reports.is_empty() && end.has_room())
    }
}

/// Moves as many bytes as the sink has room for; returns how many.
fn carry_bytes(now: Instant, source: &mut Entry, sink: &mut Entry) -> u32 {
    let mut moved = 0;
    loop {
        let room = sink.connection.send_space();
        let taken = source.outbox.peek_mut().and_then(|news| news.received.take(room as usize));
        let Some((bytes, taken)) = taken else { return moved };
        moved += taken.bytes;
        sink.connection.send(now, bytes);
        source.frames_held = source.frames_held.saturating_sub(taken.frames);
        source.connection.consumed(now, taken.bytes);
    }
}
