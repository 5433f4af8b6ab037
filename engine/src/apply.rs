//! The only place where something happens: a received frame and its verdict become counters, answers, bytes for a
//! reader, and a frame that is free again.

use crate::connections::Owner;
use crate::received::Chunk;
use crate::shard::Shard;
use crate::stats::FrameOutcome;
use synward_nic::{Frame, Port};
use synward_proto::wire::write_segment;
use synward_proto::{Counter, Counts, Fate, Flags, Head, Link, Span, Verdict};

/// What an ordinary segment counts as. Linux counts those sent again apart (`RetransSegs`).
pub(crate) const SENT: Counts = Counts::of(&[Counter::OutSegs]);

impl Shard {
    /// Acts on a verdict; `connection` is whose it is, if anybody's. Every received frame comes through here exactly
    /// once.
    pub(crate) fn apply(
        &mut self,
        frame: Frame,
        link: &Link,
        verdict: Verdict,
        connection: Option<u32>,
        port: &mut impl Port,
    ) {
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
        if entry.frames_held < self.limits.frames_per_reader && self.lent < self.limits.own_readers {
            entry.frames_held += 1;
            self.lent += 1;
            entry.outbox.news().received.push(Chunk::in_frame(frame, span));
        } else {
            entry.outbox.news().received.push(Chunk::on_heap(span.of(frame.as_slice()).to_vec()));
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
