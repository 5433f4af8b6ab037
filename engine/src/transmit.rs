//! Connections that have something to send take turns.

use crate::shard::Shard;
use synward_nic::Port;
use synward_proto::connection::Events;
use synward_proto::{Counter, Instant};

/// Segments written per turn.
const SEGMENTS_PER_TURN: usize = 256;
/// Segments that one connection writes before the next has its turn.
const SEGMENTS_PER_CONNECTION: usize = 16;

/// What one connection's turn came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Written {
    /// So many segments.
    Segments(usize),
    /// There was no frame to write into.
    NoFrames,
}

impl Shard {
    /// Lets ready connections write segments until the turn's budget or the room for frames is used up. True when work is
    /// left that the next turn could do.
    pub(crate) fn transmit(&mut self, now: Instant, port: &mut impl Port) -> bool {
        let mut budget = SEGMENTS_PER_TURN;
        while budget > 0 {
            let room = self.limits.transmit_backlog.saturating_sub(self.outgoing.len());
            if room == 0 {
                return false;
            }
            let Some(index) = self.ready.pop() else { return false };
            let most = SEGMENTS_PER_CONNECTION.min(budget).min(room);
            match self.transmit_one(now, index, most, port) {
                Written::Segments(written) => budget -= written.max(1),
                // Whoever holds the frames has to give some back first.
                Written::NoFrames => return false,
            }
        }
        !self.ready.is_empty()
    }

    /// Lets one connection write at most so many segments.
    fn transmit_one(&mut self, now: Instant, index: u32, most: usize, port: &mut impl Port) -> Written {
        let Some(entry) = self.connections.get_mut(index) else { return Written::Segments(0) };
        let mut written = 0;
        let mut frames = true;
        while written < most && entry.connection.wants_transmit(now) {
            let Some(mut frame) = port.alloc() else {
                frames = false;
                break;
            };
            let Some(len) = entry.connection.poll_transmit(now, &entry.link, frame.buffer_mut()) else {
                debug_assert!(false, "wants to transmit and writes nothing: {:?}", entry.connection.tuple());
                port.recycle(frame);
                break;
            };
            frame.set_len(len);
            self.outgoing.push_back(frame);
            let counts = entry.connection.take_counts();
            self.stats.count_all(counts);
            if !counts.contains(Counter::RetransSegs) {
                self.stats.count(Counter::OutSegs);
            }
            written += 1;
        }
        self.settle(now, index, Events::empty());
        if frames { Written::Segments(written) } else { Written::NoFrames }
    }
}
