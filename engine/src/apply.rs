//! The only place where something happens: a received frame and its verdict become counters, answers, bytes for a
//! reader, and a frame that is free again.

use crate::accept_queue::Waiting;
use crate::connections::Owner;
use crate::demux::Route;
use crate::received::Chunk;
use crate::shard::Shard;
use crate::stats::FrameOutcome;
use synward_nic::{Frame, Port};
use synward_proto::connection::{Connection, Decision, TimeWaitOutcome};
use synward_proto::listener::Outcome;
use synward_proto::wire::{parse, write_segment};
use synward_proto::{
    Counter, Counts, DropReason, Fate, Flags, Head, Instant, Link, Segment, Span, Verdict, half_open::HalfOpen, reset,
};

impl Shard {
    /// Takes one received frame to its end.
    pub(crate) fn on_frame(&mut self, now: Instant, frame: Frame, port: &mut impl Port) {
        match parse(frame.as_slice(), self.config.checksums) {
            Ok(segment) => {
                self.stats.count(Counter::InSegs);
                if segment.unfinished_checksum {
                    self.stats.count(Counter::UnfinishedChecksums);
                }
                self.on_segment(now, &segment, frame, port);
            }
            Err(reason) => {
                let verdict = Verdict::dropped(reason).counting(counts_of_unreadable(reason));
                self.apply(frame, &Link::default(), verdict, None, port);
            }
        }
    }

    fn on_segment(&mut self, now: Instant, segment: &Segment, frame: Frame, port: &mut impl Port) {
        match self.route(&segment.tuple) {
            Route::Connection(index) => self.to_connection(now, index, segment, frame, port),
            Route::TimeWait(index) => self.to_time_wait(now, index, segment, frame, port),
            Route::Listener(slot) => self.to_listener(now, slot, segment, frame, port),
            Route::Nobody => self.to_nobody(now, segment, frame, port),
        }
    }

    fn to_connection(&mut self, now: Instant, index: u32, segment: &Segment, frame: Frame, port: &mut impl Port) {
        let Some(entry) = self.connections.get_mut(index) else { return self.to_nobody(now, segment, frame, port) };
        let Decision { verdict, events } = entry.connection.on_segment(now, segment, frame.as_slice());
        match verdict.fate {
            // Only segments that were right about the connection say where its peer is.
            Fate::Consumed | Fate::Delivered(_) => entry.link = segment.link,
            Fate::Dropped(_) => {}
        }
        self.apply(frame, &segment.link, verdict, Some(index), port);
        self.settle(now, index, events);
    }

    fn to_time_wait(&mut self, now: Instant, index: u32, segment: &Segment, frame: Frame, port: &mut impl Port) {
        let Some(entry) = self.connections.time_wait_mut(index) else {
            return self.to_nobody(now, segment, frame, port);
        };
        match entry.state.on_segment(now, segment) {
            TimeWaitOutcome::Settled(verdict) => {
                self.apply(frame, &segment.link, verdict, None, port);
            }
            TimeWaitOutcome::Reopen => match self.route_to_listener(&segment.tuple) {
                Route::Listener(slot) => {
                    self.leave_time_wait(index);
                    self.to_listener(now, slot, segment, frame, port);
                }
                Route::Connection(_) | Route::TimeWait(_) | Route::Nobody => {
                    self.to_nobody(now, segment, frame, port);
                }
            },
        }
    }

    fn to_listener(&mut self, now: Instant, slot: u32, segment: &Segment, frame: Frame, port: &mut impl Port) {
        let Some(entry) = self.listeners.get_mut(slot) else { return self.to_nobody(now, segment, frame, port) };
        match entry.listener.on_segment(now, segment, &mut self.half_opens, &*entry.queue) {
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
        let Some(listener) = self.listeners.get(slot) else { return self.to_nobody(now, segment, frame, port) };
        let (owner, queue) = (Owner::Queue(listener.id), &listener.queue);
        let tuple = segment.tuple;
        let connection = Connection::accept(now, tuple, half_open, self.terms.of(&tuple));
        let send_space = connection.send_space();
        let Some(conn) = self.connections.insert(tuple, segment.link, connection, owner) else {
            queue.release();
            return self.refuse(now, segment, frame, port);
        };
        let pushed = queue.push(Waiting { conn, tuple, send_space });
        debug_assert!(pushed, "the place was reserved");
        self.worker.nudge();
        self.to_connection(now, conn.index, segment, frame, port);
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
    fn to_nobody(&mut self, now: Instant, segment: &Segment, frame: Frame, port: &mut impl Port) {
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

    /// Acts on a verdict; `connection` is whose it is, if anybody's. Every received frame comes through here exactly
    /// once.
    fn apply(&mut self, frame: Frame, link: &Link, verdict: Verdict, connection: Option<u32>, port: &mut impl Port) {
        let Verdict { fate, reply, counts } = verdict;
        self.stats.count_all(counts);
        self.stats.frame_became(match (fate, reply) {
            (Fate::Consumed, None) => FrameOutcome::Consumed,
            (Fate::Consumed, Some(_)) => FrameOutcome::Answered,
            (Fate::Delivered(_), _) => FrameOutcome::Delivered,
            (Fate::Dropped(reason), _) => FrameOutcome::Dropped(reason),
        });
        match (fate, reply) {
            (Fate::Delivered(span), _) => self.deliver(frame, span, connection, port),
            (Fate::Consumed | Fate::Dropped(_), Some(head)) => self.write_and_send(frame, link, &head, SENT, port),
            (Fate::Consumed | Fate::Dropped(_), None) => port.recycle(frame),
        }
    }

    /// Hands payload to the reader of a connection: in its frame while the reader has its share, copied out past it.
    fn deliver(&mut self, frame: Frame, span: Span, connection: Option<u32>, port: &mut impl Port) {
        let entry = connection.and_then(|index| self.connections.get_mut(index));
        let Some(entry) = entry else { return port.recycle(frame) };
        if entry.owner == Owner::Nobody {
            return port.recycle(frame);
        }
        if entry.frames_held < self.limits.frames_per_reader && self.lent < self.limits.readers {
            entry.frames_held += 1;
            self.lent += 1;
            entry.outbox.received.push(Chunk::in_frame(frame, span));
        } else {
            entry.outbox.received.push(Chunk::on_heap(span.of(frame.as_slice()).to_vec()));
            self.stats.count(Counter::FramesCopiedOut);
            port.recycle(frame);
        }
    }

    /// Sends a segment without payload that no received frame carries, and raises `counts` if it leaves.
    pub(crate) fn send_head(&mut self, link: &Link, head: &Head, counts: Counts, port: &mut impl Port) {
        match port.alloc() {
            Some(frame) => self.write_and_send(frame, link, head, counts, port),
            None => self.stats.count(Counter::TxBacklogDrops),
        }
    }

    /// Writes a segment over whatever the frame held and sends it, unless too many wait already.
    fn write_and_send(&mut self, mut frame: Frame, link: &Link, head: &Head, counts: Counts, port: &mut impl Port) {
        if self.outgoing.len() >= self.limits.transmit_backlog {
            self.stats.count(Counter::TxBacklogDrops);
            return port.recycle(frame);
        }
        let len = write_segment(frame.buffer_mut(), link, head);
        frame.set_len(len);
        self.outgoing.push_back(frame);
        self.stats.count_all(counts);
        if head.flags.contains(Flags::RST) {
            self.stats.count(Counter::OutRsts);
        }
    }
}

/// What an ordinary segment counts as. Linux counts those sent again apart (`RetransSegs`).
pub(crate) const SENT: Counts = Counts::of(&[Counter::OutSegs]);

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
