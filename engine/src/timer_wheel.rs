//! Timers at millisecond grain: a hierarchical wheel (Varghese and Lauck, 1987).
//!
//! Level *n* has 64 slots of 64ⁿ ms. A timer lies at the level of the highest base-64 digit in which its deadline differs
//! from the wheel's time, in the slot of that digit; so every level's slots lie ahead of the wheel's time within one
//! turn of that level, and the lowest level that is not empty holds the next deadline. Scheduling and cancelling are O(1);
//! a timer is moved at most once per level before it fires, however many others there are and however long the loop
//! slept.

use slab::Slab;
use std::num::NonZeroU32;
use synward_proto::Instant;

/// Bits of time per level.
const DIGIT: u32 = 6;
/// Slots per level.
const SLOTS: usize = 1 << DIGIT;
/// Enough levels for every [`Instant`] (2⁶⁴ ns are less than 2⁴⁵ ms).
const LEVELS: usize = 8;
const _: () = assert!(u64::MAX / 1_000_000 < 1 << (DIGIT as usize * LEVELS));

/// List of timers whose time has come.
const DUE: usize = LEVELS * SLOTS;
/// List of timers on their way to a lower level.
const MOVING: usize = DUE + 1;
const LISTS: usize = MOVING + 1;

/// No node.
const NONE: u32 = u32::MAX;

/// Names a timer from `schedule` until it fires or is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerId(NonZeroU32);

impl TimerId {
    /// Not zero, so that no timer takes no room in an `Option`.
    fn of(node: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(node))
    }

    fn node(self) -> u32 {
        self.0.get() - 1
    }
}

#[derive(Debug)]
struct Node<K> {
    key: K,
    /// Milliseconds.
    deadline: u64,
    list: u16,
    prev: u32,
    next: u32,
}

/// Timers, each with a key that says whose it is.
#[derive(Debug)]
pub(crate) struct TimerWheel<K> {
    /// Milliseconds; every timer up to here is due.
    time: u64,
    /// Which slots of a level are not empty, one bit each.
    occupied: [u64; LEVELS],
    /// First node of every list.
    heads: [u32; LISTS],
    nodes: Slab<Node<K>>,
}

impl<K: Copy> TimerWheel<K> {
    /// An empty wheel with room for `capacity` timers before it grows.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { time: 0, occupied: [0; LEVELS], heads: [NONE; LISTS], nodes: Slab::with_capacity(capacity) }
    }

    /// Starts a timer. It fires at the first whole millisecond at or after `deadline`.
    pub(crate) fn schedule(&mut self, deadline: Instant, key: K) -> TimerId {
        let node = Node { key, deadline: ceil_millis(deadline), list: 0, prev: NONE, next: NONE };
        let id = self.nodes.insert(node) as u32;
        self.place(id);
        TimerId::of(id)
    }

    /// Moves a running timer to another deadline.
    pub(crate) fn reschedule(&mut self, timer: TimerId, deadline: Instant) {
        self.unlink(timer.node());
        if let Some(node) = self.nodes.get_mut(timer.node() as usize) {
            node.deadline = ceil_millis(deadline);
            self.place(timer.node());
        }
    }

    /// Stops a running timer.
    pub(crate) fn cancel(&mut self, timer: TimerId) {
        self.unlink(timer.node());
        self.nodes.try_remove(timer.node() as usize);
    }

    /// The whole millisecond at which a running timer fires, as an [`Instant`].
    pub(crate) fn deadline_of(&self, timer: TimerId) -> Option<Instant> {
        self.nodes.get(timer.node() as usize).map(|node| Instant::from_millis(node.deadline))
    }

    /// Takes one timer that is due at `now`; its id ends with it. `budget` falls by one for every timer taken or moved
    /// to a lower level; at zero nothing is taken.
    pub(crate) fn pop(&mut self, now: Instant, budget: &mut u32) -> Option<K> {
        let now = now.as_millis();
        while *budget > 0 {
            if let Some(key) = self.take_due() {
                *budget -= 1;
                return Some(key);
            }
            let moving = self.heads[MOVING];
            if moving != NONE {
                *budget -= 1;
                self.unlink(moving);
                self.place(moving);
            } else if !self.advance(now) {
                return None;
            }
        }
        None
    }

    /// When [`pop`](Self::pop) next has something to do: never later than the earliest deadline, and earlier only while
    /// timers still have to move to a lower level.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.heads[DUE] != NONE || self.heads[MOVING] != NONE {
            return Some(Instant::from_millis(self.time));
        }
        self.next_slot().map(|(_, start)| Instant::from_millis(start))
    }

    fn take_due(&mut self) -> Option<K> {
        let id = self.heads[DUE];
        self.unlink(id);
        self.nodes.try_remove(id as usize).map(|node| node.key)
    }

    /// Moves the wheel's time to the next slot that is not empty, or to `now` when there is none before it. True when a
    /// slot was reached.
    fn advance(&mut self, now: u64) -> bool {
        match self.next_slot().filter(|&(_, start)| start <= now) {
            Some((list, start)) => {
                self.time = start;
                self.splice(list);
                true
            }
            None => {
                self.time = self.time.max(now);
                false
            }
        }
    }

    /// The list and the start of the earliest slot that is not empty.
    fn next_slot(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = DIGIT * level as u32;
        let turn = self.time >> (shift + DIGIT) << (shift + DIGIT);
        Some((level * SLOTS + slot, turn + ((slot as u64) << shift)))
    }

    /// Renames the list of a slot that the wheel's time has reached: its timers are due (level 0) or move on.
    fn splice(&mut self, list: usize) {
        let into = if list < SLOTS { DUE } else { MOVING };
        let first = std::mem::replace(&mut self.heads[list], NONE);
        self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        self.heads[into] = first;
        if let Some(node) = self.nodes.get_mut(first as usize) {
            node.list = into as u16;
        }
    }

    /// Puts an unlinked node where its deadline belongs.
    fn place(&mut self, id: u32) {
        let Some(deadline) = self.nodes.get(id as usize).map(|node| node.deadline) else { return };
        let list = if deadline <= self.time {
            DUE
        } else {
            let level = (self.time ^ deadline).ilog2() / DIGIT;
            let slot = (deadline >> (DIGIT * level)) as usize % SLOTS;
            self.occupied[level as usize] |= 1 << slot;
            level as usize * SLOTS + slot
        };
        let next = std::mem::replace(&mut self.heads[list], id);
        if let Some(after) = self.nodes.get_mut(next as usize) {
            after.prev = id;
        }
        if let Some(node) = self.nodes.get_mut(id as usize) {
            (node.list, node.prev, node.next) = (list as u16, NONE, next);
        }
    }

    /// Takes a node out of its list; nothing when there is no such node.
    fn unlink(&mut self, id: u32) {
        let Some(node) = self.nodes.get(id as usize) else { return };
        let (prev, next) = (node.prev, node.next);
        if let Some(after) = self.nodes.get_mut(next as usize) {
            after.prev = prev;
        }
        if let Some(before) = self.nodes.get_mut(prev as usize) {
            before.next = next;
            return;
        }
        // The first of its list: only there is the list's name kept current (see `splice`).
        let Some(list) = self.nodes.get(id as usize).map(|node| usize::from(node.list)) else { return };
        self.heads[list] = next;
        if let Some(after) = self.nodes.get_mut(next as usize) {
            after.list = list as u16;
        } else if list < DUE {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }
}

/// The first whole millisecond at or after `at`.
fn ceil_millis(at: Instant) -> u64 {
    at.as_nanos().div_ceil(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::{TimerId, TimerWheel};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;
    use synward_proto::Instant;

    fn drain(wheel: &mut TimerWheel<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| wheel.pop(now, &mut u32::MAX.clone())).collect()
    }

    #[test]
    fn a_deadline_within_a_millisecond_is_rounded_up() {
        let mut wheel = TimerWheel::with_capacity(1);
        wheel.schedule(Instant::from_nanos(1_000_001), 7);
        assert_eq!(wheel.next_deadline(), Some(Instant::from_millis(2)));
        assert_eq!(drain(&mut wheel, Instant::from_nanos(1_999_999)), Vec::<u32>::new());
        assert_eq!(drain(&mut wheel, Instant::from_millis(2)), [7]);
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn work_per_call_is_bounded_by_the_budget_even_after_a_long_sleep() {
        let mut wheel = TimerWheel::with_capacity(10_000);
        for key in 0..10_000_u32 {
            wheel.schedule(Instant::from_millis(5_000 + u64::from(key)), key);
        }
        let now = Instant::from_millis(86_400_000);
        let (mut fired, mut calls) = (0, 0);
        while wheel.next_deadline().is_some() {
            let mut budget = 64;
            let before = fired;
            while wheel.pop(now, &mut budget).is_some() {
                fired += 1;
            }
            assert!(fired - before <= 64);
            calls += 1;
        }
        assert_eq!(fired, 10_000);
        // One move per level at most, and here at most two levels below the first place.
        assert!(calls <= 3 * 10_000 / 64 + 1, "{calls}");
    }

    #[test]
    fn a_clock_that_steps_back_fires_nothing() {
        let mut wheel = TimerWheel::with_capacity(1);
        assert_eq!(drain(&mut wheel, Instant::from_millis(1_000)), Vec::<u32>::new());
        wheel.schedule(Instant::from_millis(1_500), 1);
        assert_eq!(drain(&mut wheel, Instant::from_millis(10)), Vec::<u32>::new());
        assert_eq!(drain(&mut wheel, Instant::from_millis(1_500)), [1]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Schedule(u64),
        Cancel(prop::sample::Index),
        Reschedule(prop::sample::Index, u64),
        Advance(u64, u32),
    }

    fn span() -> impl Strategy<Value = u64> {
        // As many short as long spans, up to years, in nanoseconds.
        (0u32..58, any::<u64>()).prop_map(|(bits, value)| value & ((1 << bits) - 1))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => span().prop_map(Step::Schedule),
            1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
            1 => (any::<prop::sample::Index>(), span()).prop_map(|(which, at)| Step::Reschedule(which, at)),
            2 => (span(), 1u32..20).prop_map(|(by, budget)| Step::Advance(by, budget)),
        ]
    }

    proptest! {
        /// The model: a map from key to deadline, searched linearly.
        #[test]
        fn fires_exactly_what_is_due_and_never_sleeps_past_a_deadline(steps in prop::collection::vec(step(), 1..200)) {
            let mut wheel = TimerWheel::with_capacity(0);
            let mut model: BTreeMap<u32, (TimerId, u64)> = BTreeMap::new();
            let (mut now, mut next_key) = (Instant::ZERO, 0);
            for step in steps {
                match step {
                    Step::Schedule(after) => {
                        let at = now + Duration::from_nanos(after);
                        model.insert(next_key, (wheel.schedule(at, next_key), at.as_nanos().div_ceil(1_000_000)));
                        next_key += 1;
                    }
                    Step::Cancel(which) if !model.is_empty() => {
                        let key = *which.get(&model.keys().copied().collect::<Vec<_>>());
                        let (timer, _) = model.remove(&key).unwrap();
                        wheel.cancel(timer);
                    }
                    Step::Reschedule(which, after) if !model.is_empty() => {
                        let key = *which.get(&model.keys().copied().collect::<Vec<_>>());
                        let at = now + Duration::from_nanos(after);
                        let (timer, deadline) = model.get_mut(&key).unwrap();
                        *deadline = at.as_nanos().div_ceil(1_000_000);
                        wheel.reschedule(*timer, at);
                    }
                    Step::Cancel(_) | Step::Reschedule(..) => {}
                    Step::Advance(by, budget) => {
                        now += Duration::from_nanos(by);
                        loop {
                            let mut left = budget;
                            while let Some(key) = wheel.pop(now, &mut left) {
                                let (_, deadline) = model.remove(&key).expect("fires once");
                                prop_assert!(deadline <= now.as_millis());
                            }
                            if left > 0 {
                                break;
                            }
                        }
                        prop_assert!(model.values().all(|&(_, deadline)| deadline > now.as_millis()));
                    }
                }
                let earliest = model.values().map(|&(_, deadline)| deadline).min();
                prop_assert_eq!(earliest.is_some(), wheel.next_deadline().is_some());
                if let (Some(earliest), Some(next)) = (earliest, wheel.next_deadline()) {
                    prop_assert!(next.as_millis() <= earliest);
                    prop_assert!(next.as_millis() > now.as_millis() || earliest <= now.as_millis());
                }
                for (timer, deadline) in model.values() {
                    prop_assert_eq!(wheel.deadline_of(*timer), Some(Instant::from_millis(*deadline)));
                }
            }
        }
    }
}
