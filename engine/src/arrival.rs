//! From a received frame to its verdict: who takes the segment, and what they say.

use crate::accept_queue::Waiting;
use crate::connections::{Owner, Slot};
use crate::demux::Route;
use crate::shard::Shard;
use std::sync::Arc;
use synward_nic::{Frame, Port};
use synward_proto::connection::{Connection, Decision, TimeWaitOutcome};
use synward_proto::listener::Outcome;
use synward_proto::wire::{parse, parse_icmp_error};
use synward_proto::{
    Counter, Counts, DropReason, Fate, Flags, IcmpError, Instant, Link, Segment, Verdict, half_open::HalfOpen, reset,
};

/// On whose queue a frame arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrived {
    /// On this shard's.
    Here,
    /// On another's, which has found out that it is ours.
    AtAnother,
}

impl Shard {
    /// Takes one received frame to its end.
    pub(crate) fn on_frame(&mut self, now: Instant, arrived: Arrived, frame: Frame, port: &mut impl Port) {
        match parse(frame.as_slice(), self.config.checksums) {
            Ok(segment) => {
                if arrived == Arrived::Here {
                    self.stats.count(Counter::InSegs);
                    if segment.unfinished_checksum {
                        self.stats.count(Counter::UnfinishedChecksums);
                    }
                }
                self.on_segment(now, arrived, &segment, frame, port);
            }
            Err(DropReason::NotTcp) => self.on_icmp(now, arrived, frame, port),
            Err(reason) => self.unreadable(reason, frame, port),
        }
    }

    fn unreadable(&mut self, reason: DropReason, frame: Frame, port: &mut impl Port) {
        let verdict = Verdict::dropped(reason).counting(counts_of_unreadable(reason));
        self.apply(frame, &Link::default(), verdict, None, port);
    }

    fn on_segment(&mut self, now: Instant, arrived: Arrived, segment: &Segment, frame: Frame, port: &mut impl Port) {
        let route = self.route(&segment.tuple);
        if arrived == Arrived::Here {
            self.crossing.note_arrival(&segment.tuple);
        }
        // A connection that is here is ours. Whatever else the owner may know, it knows alone.
        if arrived == Arrived::Here
            && matches!(route, Route::Listener(_) | Route::Nobody)
            && let Some(owner) = self.crossing.foreign_owner(&segment.tuple)
        {
            return self.at_foreign(now, owner, route, segment, frame, port);
        }
        match route {
            Route::Connection(index) => self.at_connection(now, index, segment, frame, port),
            Route::TimeWait(index) => self.at_time_wait(now, index, segment, frame, port),
            Route::Listener(slot) => self.at_listener(now, slot, segment, frame, port),
            Route::Nobody => self.at_nobody(now, segment, frame, port),
        }
    }

    /// An ICMP error about a segment that we sent: its connection's, or that of a half-open entry, wherever that is.
    fn on_icmp(&mut self, now: Instant, arrived: Arrived, frame: Frame, port: &mut impl Port) {
        let error = match parse_icmp_error(frame.as_slice()) {
            Ok(error) => error,
            Err(reason) => return self.unreadable(reason, frame, port),
        };
        let verdict = match self.connections.find(&error.tuple) {
            Some(Slot::Connection(index)) => return self.icmp_at_connection(now, index, &error, frame, port),
            // What is in TIME-WAIT has nothing to lose (Linux: `tcp_v4_err`).
            Some(Slot::TimeWait(_)) => Verdict::dropped(DropReason::IcmpNoConnection),
            None => match self.crossing.foreign_owner(&error.tuple).filter(|_| arrived == Arrived::Here) {
                Some(owner) => return self.hand_over(owner, frame, port),
                None => self.half_opens.on_icmp_error(&error),
            },
        };
        self.apply(frame, &error.link, verdict, None, port);
    }

    fn icmp_at_connection(&mut self, now: Instant, index: u32, error: &IcmpError, frame: Frame, port: &mut impl Port) {
        let Some(entry) = self.connections.get_mut(index) else { return port.recycle(frame) };
        let Decision { verdict, events } = entry.connection.on_icmp_error(now, error);
        self.apply(frame, &error.link, verdict, Some(index), port);
        self.settle(now, index, events);
    }

    fn at_connection(&mut self, now: Instant, index: u32, segment: &Segment, frame: Frame, port: &mut impl Port) {
        let Some(entry) = self.connections.get_mut(index) else { return self.at_nobody(now, segment, frame, port) };
        let Decision { verdict, events } = entry.connection.on_segment(now, segment, frame.as_slice());
        match verdict.fate {
            // Only segments that were right about the connection say where its peer is.
            Fate::Consumed | Fate::Delivered(_) => entry.link = segment.link,
            Fate::Dropped(_) => {}
        }
        self.apply(frame, &segment.link, verdict, Some(index), port);
        self.settle(now, index, events);
    }

    fn at_time_wait(&mut self, now: Instant, index: u32, segment: &Segment, frame: Frame, port: &mut impl Port) {
        let Some(entry) = self.connections.time_wait_mut(index) else {
            return self.at_nobody(now, segment, frame, port);
        };
        match entry.state.on_segment(now, segment) {
            TimeWaitOutcome::Settled(verdict) => {
                self.apply(frame, &segment.link, verdict, None, port);
            }
            TimeWaitOutcome::Reopen => match self.route_to_listener(&segment.tuple) {
                Route::Listener(slot) => {
                    self.leave_time_wait(index);
                    self.stats.count(Counter::TWRecycled);
                    self.at_listener(now, slot, segment, frame, port);
                }
                Route::Connection(_) | Route::TimeWait(_) | Route::Nobody => {
                    self.at_nobody(now, segment, frame, port);
                }
            },
        }
    }

    fn at_listener(&mut self, now: Instant, slot: u32, segment: &Segment, frame: Frame, port: &mut impl Port) {
        let Some(entry) = self.listeners.get_mut(slot) else { return self.at_nobody(now, segment, frame, port) };
        let outcome = entry.listener.on_segment(now, segment, &mut self.half_opens, &*entry.shared);
        self.tell_entered();
        match outcome {
            Outcome::Settled(verdict) => self.apply(frame, &segment.link, verdict, None, port),
            Outcome::Open(half_open, counts) => {
                self.stats.count_all(counts);
                self.open(now, slot, &half_open, segment, frame, port);
            }
        }
    }

    /// Makes a connection of a completed handshake. Its place in the accept queue is reserved.
    fn open(
        &mut self,
        now: Instant,
        slot: u32,
        half_open: &HalfOpen,
        segment: &Segment,
        frame: Frame,
        port: &mut impl Port,
    ) {
        let home = self.limits.home;
        let Some(entry) = self.listeners.get_mut(slot) else { return self.at_nobody(now, segment, frame, port) };
        let (tuple, shared) = (segment.tuple, Arc::clone(&entry.shared));
        let mut connection = Connection::accept(now, tuple, half_open, entry.terms.of(&tuple));
        let Some((worker, queue)) = entry.next_taker(home).map(|(worker, queue)| (worker, Arc::clone(queue))) else {
            shared.release();
            return self.at_nobody(now, segment, frame, port);
        };
        self.path_mtus.tell(now, &mut connection);
        self.make_room(now, port);
        let send_space = connection.send_space();
        let Some(conn) = self.connections.insert(segment.link, connection, Owner::Queue(worker)) else {
            shared.release();
            return self.refuse(now, segment, frame, port);
        };
        let pushed = queue.push(Waiting { conn, tuple, send_space });
        debug_assert!(pushed, "the place was reserved");
        self.workers.end(worker).nudge();
        self.at_connection(now, conn.index, segment, frame, port);
    }

    /// The table is full: the peer believes in the connection, so it is told.
    fn refuse(&mut self, now: Instant, segment: &Segment, frame: Frame, port: &mut impl Port) {
        let counts = Counts::of(&[Counter::ConnectionTableFull, Counter::AttemptFails]);
        let verdict = Verdict::dropped(DropReason::ConnectionTableFull).counting(counts);
        let verdict = self.resetting(now, segment, verdict);
        self.apply(frame, &segment.link, verdict, None, port);
    }

    /// RFC 9293, section 3.10.7.1: "all data in the incoming segment is discarded", and a reset answers, unless a reset
    /// asked.
    fn at_nobody(&mut self, now: Instant, segment: &Segment, frame: Frame, port: &mut impl Port) {
        let is_reset = segment.flags.contains(Flags::RST);
        let reason = if is_reset { DropReason::StrayRst } else { DropReason::NoListener };
        let verdict = self.resetting(now, segment, Verdict::dropped(reason));
        self.apply(frame, &segment.link, verdict, None, port);
    }

    /// The verdict with a reset, where one is due and the sender has not drawn too many of them.
    fn resetting(&mut self, now: Instant, segment: &Segment, verdict: Verdict) -> Verdict {
        match reset::answer(segment) {
            None => verdict,
            Some(head) if self.half_opens.resets.allow(now, segment.tuple.remote.addr) => verdict.reply(head),
            Some(_) => verdict.counting(Counts::of(&[Counter::RstsLimited])),
        }
    }
}

/// Linux counts what reached TCP as received, and what could not be read there as received in error, too.
fn counts_of_unreadable(reason: DropReason) -> Counts {
    use DropReason as R;
    match reason {
        R::TcpChecksum => Counts::of(&[Counter::InSegs, Counter::InErrs, Counter::InCsumErrors]),
        R::TcpDataOffset => Counts::of(&[Counter::InSegs, Counter::InErrs]),
        R::TcpFlags | R::PortZero => Counts::of(&[Counter::InSegs]),
        _ => Counts::NONE,
    }
}
