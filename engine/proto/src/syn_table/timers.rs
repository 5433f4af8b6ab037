//! The waits of the table: one queue for each number of timeouts.
//!
//! All entries whose SYN-ACK has timed out equally often wait equally long, so each queue is sorted by itself: what is
//! added goes to its end, what is due stands at its front, and adding, removing and finding the next are O(1).

use super::slot::{NIL, Slot, millis};
use crate::Instant;
use core::time::Duration;

/// Queues: entries that timed out 0, 1, … times.
pub(super) const LEVELS: usize = super::SynTable::MAX_RETRIES as usize + 1;

/// How long entries that timed out `level` times wait: 1 s, doubled each time (RFC 6298, section 5.5; RFC 9293,
/// section 3.8.1).
pub(super) const fn wait_millis(level: u8) -> u32 {
    1_000 << level
}

/// The queues; the entries are linked through their slots.
#[derive(Debug)]
pub(super) struct Waits {
    ends: [Ends; LEVELS],
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

impl Waits {
    /// Nothing waits.
    pub(super) const fn new() -> Self {
        Self { ends: [Ends { first: NIL, last: NIL }; LEVELS] }
    }

    /// Stores `slot` under `index` and lets it wait from `now` on, at the end of its queue.
    pub(super) fn push(&mut self, slots: &mut [Slot], index: u32, mut slot: Slot, now: Instant) {
        let level = slot.timeouts();
        let ends = &mut self.ends[usize::from(level)];
        slot.due = millis(now).wrapping_add(wait_millis(level));
        slot.prev = ends.last;
        slot.next = NIL;
        slots[index as usize] = slot;
        match ends.last {
            NIL => ends.first = index,
            last => slots[last as usize].next = index,
        }
        ends.last = index;
    }

    /// Takes `index` out of its queue; its slot is returned.
    pub(super) fn remove(&mut self, slots: &mut [Slot], index: u32) -> Slot {
        let slot = slots[index as usize];
        let ends = &mut self.ends[usize::from(slot.timeouts())];
        match slot.prev {
            NIL => ends.first = slot.next,
            before => slots[before as usize].next = slot.next,
        }
        match slot.next {
            NIL => ends.last = slot.prev,
            after => slots[after as usize].prev = slot.prev,
        }
        slot
    }

    /// The time until the next entry is due; `None` when nothing waits.
    pub(super) fn until_due(&self, slots: &[Slot], now: Instant) -> Option<Duration> {
        self.fronts().map(|first| remaining(&slots[first as usize], now)).min()
    }

    /// An entry that is due at `now`; the longest known first, so that a flood of new ones cannot keep old ones alive.
    pub(super) fn due(&self, slots: &[Slot], now: Instant) -> Option<u32> {
        self.fronts().rev().find(|&first| remaining(&slots[first as usize], now).is_zero())
    }

    fn fronts(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.ends.iter().map(|ends| ends.first).filter(|&first| first != NIL)
    }
}

/// How long `slot` still waits. A time that seems more than two waits away has passed long ago, or the clock stepped back:
/// either way the entry is due.
pub(super) fn remaining(slot: &Slot, now: Instant) -> Duration {
    let left = slot.due.wrapping_sub(millis(now));
    let left = if left > 2 * wait_millis(slot.timeouts()) { 0 } else { left };
    Duration::from_millis(u64::from(left))
}
