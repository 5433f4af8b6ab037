//! The state of one shard: everything a poll loop has but its port.

use crate::answers::Answers;
use crate::config::EngineConfig;
use crate::connections::{Connections, Owner, Reader};
use crate::crossing::Crossing;
use crate::handoff::ShardEnds;
use crate::held::Held;
use crate::interface_mtu::MtuChange;
use crate::listeners::Listeners;
use crate::observe::Gauges;
use crate::orphans::Orphans;
use crate::outbox::{Flushed, Outbox};
use crate::path_mtus::PathMtus;
use crate::ready::ReadyList;
use crate::received::Chunk;
use crate::shield_link::ShieldLink;
use crate::source_ports::SourcePorts;
use crate::splice::Splices;
use crate::stats::ShardStats;
use crate::time_waits::TimeWaitEntry;
use crate::timer_wheel::{TimerId, TimerWheel};
use std::collections::VecDeque;
use std::sync::Arc;
use synward_nic::Frame;
use synward_proto::connection::{Connection, Events, SocketOption, State, Terms, TimeWait};
use synward_proto::listener::HalfOpens;
use synward_proto::{Instant, Tuple};

/// Whose timer it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimerKey {
    /// A connection's, by index.
    Connection(u32),
    /// That of an entry in TIME-WAIT, by index.
    TimeWait(u32),
    /// That of a splice, by index.
    Splice(u32),
}

/// How much of everything, and for how long.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Frames taken from the port per turn.
    pub(crate) burst: usize,
    /// Frames that may wait for a place in the tx ring.
    pub(crate) transmit_backlog: usize,
    /// Received frames that all readers together may hold, other shards among them.
    pub(crate) readers: u32,
    /// The same without those of other shards: readers that take nothing must not stop what belongs to others.
    pub(crate) own_readers: u32,
    /// Received frames that one reader may hold.
    pub(crate) frames_per_reader: u32,
    /// The largest MTU whose packets fit in a frame, bytes.
    pub(crate) largest_mtu: u16,
    /// The worker that runs on this shard's thread and gets all its connections, where there is one.
    pub(crate) home: Option<u16>,
    /// Among so many shards the limits of SYN queues are divided.
    pub(crate) shards: u32,
}

/// What new connections are told, by address family.
#[derive(Clone, Debug)]
pub(crate) struct FamilyTerms {
    pub(crate) v4: Terms,
    pub(crate) v6: Terms,
}

impl FamilyTerms {
    /// Those for the family of `tuple`.
    pub(crate) fn of(&self, tuple: &Tuple) -> &Terms {
        if tuple.is_ipv6() { &self.v6 } else { &self.v4 }
    }

    /// The same with `options` set.
    pub(crate) fn with(&self, options: &[SocketOption]) -> Self {
        Self { v4: self.v4.with(options), v6: self.v6.with(options) }
    }
}

/// One shard without its port.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Its number within the engine.
    pub(crate) id: u16,
    pub(crate) connections: Connections,
    pub(crate) listeners: Listeners,
    pub(crate) half_opens: HalfOpens,
    pub(crate) wheel: TimerWheel<TimerKey>,
    /// Connections that have something to send.
    pub(crate) ready: ReadyList,
    /// By worker: connections that have news which found no room in the ring.
    pub(crate) undelivered: Box<[ReadyList]>,
    pub(crate) workers: ShardEnds,
    pub(crate) splices: Splices,
    pub(crate) source_ports: SourcePorts,
    pub(crate) path_mtus: PathMtus,
    pub(crate) mtu_change: Option<MtuChange>,
    pub(crate) crossing: Crossing,
    pub(crate) orphans: Orphans,
    pub(crate) held: Held,
    pub(crate) answers: Answers,
    /// Frames to send, in order.
    pub(crate) outgoing: VecDeque<Frame>,
    pub(crate) stats: Arc<ShardStats>,
    pub(crate) limits: Limits,
    pub(crate) config: EngineConfig,
    pub(crate) terms: FamilyTerms,
    pub(crate) shield: Option<ShieldLink>,
    /// Frames with readers, as far as known: those lent this turn included, those that came home since it began not.
    pub(crate) lent: u32,
}

impl Shard {
    /// Tells the shield which half-open connections are new.
    pub(crate) fn tell_entered(&mut self) {
        let Some(ShieldLink { shield, .. }) = &self.shield else { return };
        self.half_opens.table.take_entered().for_each(|tuple| shield.flow_opened(&tuple));
    }

    /// Tells the shield which flows are over, and that the poll loop has turned at `now`, on its caller's clock.
    pub(crate) fn tell_turned(&mut self, now: Instant) {
        let Some(ShieldLink { shield, queue }) = &self.shield else { return };
        self.half_opens.table.take_left().for_each(|tuple| shield.flow_closed(&tuple));
        self.connections.end_turn();
        shield.turned(*queue, now);
    }

    /// Tells the shield that all flows are over.
    pub(crate) fn tell_ended(&mut self) {
        let Some(ShieldLink { shield, .. }) = &self.shield else { return };
        self.half_opens.table.take_left().for_each(|tuple| shield.flow_closed(&tuple));
        self.connections.end_turn();
        self.half_opens.table.iter(Instant::ZERO).for_each(|half_open| shield.flow_closed(&half_open.tuple));
        self.connections.tuples().for_each(|tuple| shield.flow_closed(tuple));
    }

    /// How things stand.
    pub(crate) fn gauges(&self) -> Gauges {
        let (connections, time_waits, table) =
            (&self.connections, self.connections.time_waits(), &self.half_opens.table);
        Gauges {
            connections: connections.len() as u64,
            connections_limit: connections.limit() as u64,
            time_waits: time_waits.len() as u64,
            time_waits_limit: time_waits.limit() as u64,
            half_open: table.len().into(),
            half_open_limit: table.capacity() as u64,
            frames_lent: self.lent.into(),
            frames_lent_limit: self.limits.readers.into(),
            spliced: self.splices.len() as u64,
            source_ports_used: self.source_ports.used(),
            orphans: self.orphans.count().into(),
            buffered: self.held.total(),
            buffered_limit: self.config.buffer_memory,
        }
    }

    /// Whether something waits for room that nothing will announce.
    pub(crate) fn is_congested(&self) -> bool {
        !self.outgoing.is_empty() || !self.ready.is_empty()
    }

    /// Whether others have left something to do since the last turn.
    pub(crate) fn has_outside_work(&mut self) -> bool {
        let workers = 0..self.workers.len() as u16;
        let asked = workers.clone().any(|worker| self.can_take_request(worker));
        let lost = |worker| self.workers.end(worker).is_far_gone() && !self.orphans.knows_worker_is_gone(worker);
        asked || workers.into_iter().any(lost) || self.workers.has_room_again() || self.is_asked()
    }

    fn is_asked(&self) -> bool {
        self.answers.has_work() || self.crossing.has_work()
    }

    /// Whether there is news that some worker could take now.
    pub(crate) fn can_tell_more(&mut self) -> bool {
        let Self { undelivered, workers, .. } = self;
        let told = undelivered.iter().zip(workers.iter_mut());
        told.into_iter().any(|(list, end)| !list.is_empty() && end.has_room()) || self.can_report()
    }

    /// Draws the consequences of whatever a connection has just been through: its events, its timer, its place on the
    /// ready list, its end; and tells whoever reads it.
    pub(crate) fn settle(&mut self, now: Instant, index: u32, events: Events) {
        self.settle_alone(now, index, events);
        match self.connections.get(index).map(|entry| entry.owner) {
            Some(Owner::Socket(_)) => self.tell_worker(index),
            Some(Owner::Spliced(id)) => self.pump(now, id),
            Some(Owner::Queue(_) | Owner::Nobody) | None => {}
        }
    }

    /// As [`settle`](Self::settle), without telling.
    pub(crate) fn settle_alone(&mut self, now: Instant, index: u32, events: Events) {
        // One that is over has nothing more to say, and its tuple may be another's already.
        let Some(entry) = self.connections.get_mut(index).filter(|entry| !entry.outbox.over) else { return };
        let (connection, outbox) = (&mut entry.connection, &mut entry.outbox);
        if entry.owner != Owner::Nobody {
            take_events(connection, events, outbox);
        }
        self.stats.count_all(connection.take_counts());
        self.held.set(now, index, connection.held());
        if events.contains(Events::PATH_MTU)
            && let Some(mtu) = connection.path_mtu()
        {
            self.path_mtus.learn(now, connection.tuple().remote.addr, mtu);
        }
        if events.contains(Events::TIME_WAIT) {
            let (tuple, state) = (*connection.tuple(), connection.time_wait(now));
            self.finish(index);
            return self.enter_time_wait(tuple, state);
        }
        if events.contains(Events::CLOSED) || connection.state() == State::Closed {
            let tuple = *connection.tuple();
            self.finish(index);
            return self.source_ports.release(&tuple);
        }
        if connection.wants_transmit(now) {
            self.ready.push(index);
        }
        arm(&mut self.wheel, &mut entry.timer, connection.deadline(), TimerKey::Connection(index));
    }

    /// Passes a connection's news on to its worker, or notes that there was no room.
    pub(crate) fn tell_worker(&mut self, index: u32) {
        let Some(entry) = self.connections.get_mut(index) else { return };
        let Owner::Socket(reader) = entry.owner else { return };
        let Reader { worker, socket } = reader;
        match entry.outbox.flush(socket, self.workers.end(worker)) {
            Flushed::Partly => self.undelivered[usize::from(worker)].push(index),
            Flushed::Wholly => {}
            Flushed::Finally => drop(self.connections.remove(index)),
        }
    }

    /// Ends a connection: its tuple is free from now on, and it is gone once its reader knows.
    fn finish(&mut self, index: u32) {
        self.connections.unmap(index);
        let Some(entry) = self.connections.get_mut(index) else { return };
        if let Some(timer) = entry.timer.take() {
            self.wheel.cancel(timer);
        }
        entry.outbox.over = true;
        entry.connection.discard();
        self.held.release(index);
        if entry.owner == Owner::Nobody {
            self.orphans.bury_one();
            drop(self.connections.remove(index));
        }
    }

    fn enter_time_wait(&mut self, tuple: Tuple, state: TimeWait) {
        if self.connections.time_waits().limit() == 0 {
            return self.source_ports.release(&tuple);
        }
        if let Some(oldest) = self.connections.time_wait_to_evict() {
            self.leave_time_wait(oldest);
        }
        self.source_ports.linger(&tuple);
        let (deadline, timer) = (state.deadline(), None);
        let index = self.connections.insert_time_wait(TimeWaitEntry { tuple, state, timer });
        let timer = self.wheel.schedule(deadline, TimerKey::TimeWait(index));
        if let Some(entry) = self.connections.time_wait_mut(index) {
            entry.timer = Some(timer);
        }
    }

    /// Removes an entry in TIME-WAIT; its port is free.
    pub(crate) fn leave_time_wait(&mut self, index: u32) {
        if let Some(tuple) = self.remove_time_wait(index) {
            self.source_ports.release(&tuple);
        }
    }

    /// Removes an entry in TIME-WAIT and its timer; returns what it stood for.
    pub(crate) fn remove_time_wait(&mut self, index: u32) -> Option<Tuple> {
        let TimeWaitEntry { tuple, timer, .. } = self.connections.remove_time_wait(index)?;
        if let Some(timer) = timer {
            self.wheel.cancel(timer);
        }
        Some(tuple)
    }
}

/// Notes what a worker is to be told of `events`.
fn take_events(connection: &mut Connection, events: Events, outbox: &mut Outbox) {
    if events.contains(Events::CONNECTED) {
        outbox.news().connected = Some(connection.send_space());
    }
    if events.contains(Events::REASSEMBLED) {
        while let Some(bytes) = connection.take_reassembled() {
            outbox.news().received.push(Chunk::on_heap(bytes));
        }
    }
    if events.contains(Events::SENT) {
        let news = outbox.news();
        news.sent = news.sent.saturating_add(connection.take_acked());
    }
    if events.contains(Events::PEER_CLOSED) {
        outbox.news().end_of_stream = true;
    }
    if events.contains(Events::FAILED) {
        outbox.news().failure = connection.failure();
    }
}

/// Sees to it that a timer fires no later than `deadline`. One that fires too early is armed again then, so that a
/// deadline which keeps moving away, as a retransmission timeout does, costs nothing.
fn arm(wheel: &mut TimerWheel<TimerKey>, timer: &mut Option<TimerId>, deadline: Option<Instant>, key: TimerKey) {
    match (*timer, deadline) {
        (None, None) => {}
        (None, Some(deadline)) => *timer = Some(wheel.schedule(deadline, key)),
        (Some(running), None) => {
            wheel.cancel(running);
            *timer = None;
        }
        (Some(running), Some(deadline)) => {
            if wheel.deadline_of(running).is_none_or(|set| set > deadline) {
                wheel.reschedule(running, deadline);
            }
        }
    }
}
