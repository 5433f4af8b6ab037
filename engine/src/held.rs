//! The bytes that connections hold, and which of them gives way when that is too much.

use crate::apply::SENT;
use crate::shard::Shard;
use std::time::Duration;
use synward_nic::Port;
use synward_proto::Instant;
use synward_proto::connection::Decision;

/// Connections that give way in one turn at most.
const EVICTIONS_PER_TURN: u32 = 64;
/// When the table is full, a connection gives its place to a new one once nothing of what it holds has moved for so long.
const STALLED: Duration = Duration::from_secs(10);

/// No holder.
const NONE: u32 = u32::MAX;

/// A connection, by its index. The links are meaningless while it holds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Holder {
    /// Bytes that it holds.
    bytes: u32,
    /// The second in which some of them last left, or the first of them came.
    moved: u32,
    staler: u32,
    fresher: u32,
}

/// Who holds bytes, in the order in which some of them last left: sent bytes because the peer took them, received ones because the
/// application did or because a gap closed. At the stale end are those whose peer has closed its window or is gone, or sends
/// beyond a gap and never closes it. The peer of one that moves chooses neither its place nor that of others.
#[derive(Debug)]
pub(crate) struct Held {
    /// By the index of the connection.
    holders: Box<[Holder]>,
    stalest: u32,
    freshest: u32,
    total: u64,
}

impl Held {
    /// So many connections, none of which holds anything.
    pub(crate) fn new(connections: usize) -> Self {
        Self { holders: vec![Holder::default(); connections].into(), stalest: NONE, freshest: NONE, total: 0 }
    }

    /// Bytes that all of them hold.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The one of which nothing has moved for the longest.
    pub(crate) fn stalest(&self) -> Option<u32> {
        (self.stalest != NONE).then_some(self.stalest)
    }

    /// The same, if that is as long as `span`.
    fn stalest_since(&self, now: Instant, span: Duration) -> Option<u32> {
        let index = self.stalest()?;
        let moved = self.holders[index as usize].moved;
        (u64::from(second(now).saturating_sub(moved)) > span.as_secs()).then_some(index)
    }

    /// The connection at `index` holds so many bytes from now on. Fewer than before: some have left.
    pub(crate) fn set(&mut self, now: Instant, index: u32, bytes: u32) {
        let before = self.holders[index as usize].bytes;
        if bytes == before {
            return;
        }
        if bytes < before && bytes > 0 && self.freshest != index {
            self.unlink(index);
            self.link(index);
        }
        if bytes < before || before == 0 {
            self.holders[index as usize].moved = second(now);
        }
        self.adjust(index, bytes);
    }

    /// The same, where what left was dropped: that is no progress.
    fn adjust(&mut self, index: u32, bytes: u32) {
        let before = std::mem::replace(&mut self.holders[index as usize].bytes, bytes);
        match (before, bytes) {
            (0, 0) => {}
            (0, _) => self.link(index),
            (_, 0) => self.unlink(index),
            _ => {}
        }
        self.total = self.total - u64::from(before) + u64::from(bytes);
    }

    /// The connection at `index` is over.
    pub(crate) fn release(&mut self, index: u32) {
        self.adjust(index, 0);
    }

    /// Puts a holder at the fresh end.
    fn link(&mut self, index: u32) {
        let holder = &mut self.holders[index as usize];
        (holder.staler, holder.fresher) = (self.freshest, NONE);
        match self.holders.get_mut(self.freshest as usize) {
            Some(before) => before.fresher = index,
            None => self.stalest = index,
        }
        self.freshest = index;
    }

    fn unlink(&mut self, index: u32) {
        let Holder { staler, fresher, .. } = self.holders[index as usize];
        match self.holders.get_mut(staler as usize) {
            Some(holder) => holder.fresher = fresher,
            None => self.stalest = fresher,
        }
        match self.holders.get_mut(fresher as usize) {
            Some(holder) => holder.staler = staler,
            None => self.freshest = staler,
        }
    }
}

fn second(now: Instant) -> u32 {
    u32::try_from(now.since(Instant::ZERO).as_secs()).unwrap_or(u32::MAX)
}

impl Shard {
    /// While connections hold more than they may together, the stalest drops what it keeps beyond a gap, and gives way if that is
    /// not enough. True when too much is left for one turn.
    pub(crate) fn relieve(&mut self, now: Instant, port: &mut impl Port) -> bool {
        for _ in 0..EVICTIONS_PER_TURN {
            if self.held.total() <= self.config.buffer_memory {
                return false;
            }
            let Some(index) = self.held.stalest() else { return false };
            if !self.prune(index) {
                self.evict(now, index, port);
            }
        }
        self.held.total() > self.config.buffer_memory
    }

    /// Where the table is full, takes its place from a connection that has stalled: whoever never reads cannot keep others out.
    pub(crate) fn make_room(&mut self, now: Instant, port: &mut impl Port) {
        if self.connections.is_full()
            && let Some(stalled) = self.held.stalest_since(now, STALLED)
        {
            self.evict(now, stalled, port);
        }
    }

    /// Drops what a connection keeps beyond a gap; true when there was something.
    fn prune(&mut self, index: u32) -> bool {
        let Some(entry) = self.connections.get_mut(index) else { return false };
        let pruned = entry.connection.prune();
        if pruned {
            self.held.adjust(index, entry.connection.held());
            self.stats.count_all(entry.connection.take_counts());
        }
        pruned
    }

    fn evict(&mut self, now: Instant, index: u32, port: &mut impl Port) {
        let Some(entry) = self.connections.get_mut(index) else { return };
        let Decision { verdict, events } = entry.connection.evict(now);
        let link = entry.link;
        self.stats.count_all(verdict.counts);
        if let Some(head) = verdict.reply {
            self.send_head(&link, &head, SENT, port);
        }
        self.settle(now, index, events);
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, STALLED};
    use synward_proto::Instant;

    /// Holders from the stalest on, both ways round.
    fn order(held: &Held) -> Vec<u32> {
        let walk = |mut at: u32, next: fn(&super::Holder) -> u32| {
            std::iter::from_fn(move || {
                let holder = held.holders.get(at as usize)?;
                Some(std::mem::replace(&mut at, next(holder)))
            })
            .collect::<Vec<_>>()
        };
        let order = walk(held.stalest, |holder| holder.fresher);
        let mut back = walk(held.freshest, |holder| holder.staler);
        back.reverse();
        assert_eq!(order, back);
        assert_eq!(held.total, order.iter().map(|&index| u64::from(held.holders[index as usize].bytes)).sum::<u64>());
        order
    }

    #[test]
    fn who_moves_is_fresh_and_who_only_takes_more_is_not() {
        let mut held = Held::new(4);
        let at = Instant::from_millis;
        for index in 0..4 {
            held.set(at(0), index, 100);
        }
        assert_eq!(order(&held), [0, 1, 2, 3]);
        held.set(at(1_000), 0, 99);
        held.set(at(1_000), 1, 200);
        held.set(at(1_000), 2, 0);
        assert_eq!(order(&held), [1, 3, 0]);
        held.adjust(1, 50);
        assert_eq!((order(&held), held.total()), (vec![1, 3, 0], 249), "what was dropped has not moved");
        held.release(3);
        held.release(3);
        held.set(at(2_000), 2, 1);
        assert_eq!(order(&held), [1, 0, 2]);
    }

    #[test]
    fn stalled_is_who_has_not_moved_for_so_long() {
        let mut held = Held::new(2);
        let at = Instant::from_millis;
        held.set(at(500), 1, 10);
        held.set(at(9_000), 1, 20);
        assert_eq!(held.stalest_since(at(10_900), STALLED), None);
        assert_eq!(held.stalest_since(at(11_000), STALLED), Some(1));
        held.set(at(11_000), 1, 19);
        assert_eq!(held.stalest_since(at(21_999), STALLED), None);
    }
}
