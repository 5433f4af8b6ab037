//! How many half-open connections each listener has.

use crate::half_open::Offer;
use alloc::vec::Vec;

/// Names a listener's SYN queue within one [`SynTable`](super::SynTable).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId(pub(super) u16);

/// A listener's share of the table, as `ss -l` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SynQueue {
    /// Half-open connections now.
    pub len: u32,
    /// The limit: full means *more than* that many (Linux 6.14 and later: `inet_csk_reqsk_queue_is_full`).
    pub limit: u32,
    /// Those of `len` whose SYN-ACK never timed out.
    pub young: u32,
}

impl SynQueue {
    /// Whether the next SYN finds no room.
    pub const fn is_full(&self) -> bool {
        self.len > self.limit
    }
}

/// The SYN queues by listener.
#[derive(Debug)]
pub(super) struct Queues {
    rows: Vec<Row>,
    /// Rows of listeners that are gone.
    free: Vec<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    queue: SynQueue,
    offer: Offer,
}

/// However crowded a queue is, a SYN-ACK is sent again this often (Linux: `reqsk_timer_handler`).
const LEAST_RETRIES: u8 = 2;

impl Queues {
    pub(super) const fn new() -> Self {
        Self { rows: Vec::new(), free: Vec::new() }
    }

    /// Starts an empty queue; `None` when 65,536 exist.
    pub(super) fn add(&mut self, limit: u32, offer: &Offer) -> Option<ListenerId> {
        let row = Row { queue: SynQueue { limit, ..SynQueue::default() }, offer: *offer };
        if let Some(index) = self.free.pop() {
            self.rows[usize::from(index)] = row;
            return Some(ListenerId(index));
        }
        let index = u16::try_from(self.rows.len()).ok()?;
        self.rows.push(row);
        Some(ListenerId(index))
    }

    /// Ends a queue that has no entries.
    pub(super) fn remove(&mut self, listener: ListenerId) {
        self.free.push(listener.0);
    }

    pub(super) fn get(&self, listener: ListenerId) -> SynQueue {
        self.rows[usize::from(listener.0)].queue
    }

    pub(super) fn offer(&self, listener: ListenerId) -> &Offer {
        &self.rows[usize::from(listener.0)].offer
    }

    pub(super) fn set_offer(&mut self, listener: ListenerId, offer: &Offer) {
        self.rows[usize::from(listener.0)].offer = *offer;
    }

    /// An entry came.
    pub(super) fn entered(&mut self, listener: ListenerId) {
        let queue = self.get_mut(listener);
        queue.len += 1;
        queue.young += 1;
    }

    /// An entry that had timed out `timeouts` times went.
    pub(super) fn left(&mut self, listener: ListenerId, timeouts: u8) {
        let queue = self.get_mut(listener);
        queue.len -= 1;
        queue.young -= u32::from(timeouts == 0);
    }

    /// An entry that had timed out `timeouts` times timed out again.
    pub(super) fn timed_out(&mut self, listener: ListenerId, timeouts: u8) {
        self.get_mut(listener).young -= u32::from(timeouts == 0);
    }

    /// How often the SYN-ACKs of a listener are sent again. Once its queue is more than half full, old entries have to
    /// make room for young ones: the fewer of them are young, the fewer retries (Linux: `reqsk_timer_handler`).
    pub(super) fn retries(&self, listener: ListenerId, configured: u8) -> u8 {
        let SynQueue { len, limit, young } = self.get(listener);
        if len.saturating_mul(2) <= limit.max(8) {
            return configured;
        }
        let mut retries = configured;
        let mut share = young.saturating_mul(2);
        while retries > LEAST_RETRIES && len >= share {
            retries -= 1;
            share = share.saturating_mul(2);
        }
        retries
    }

    fn get_mut(&mut self, listener: ListenerId) -> &mut SynQueue {
        &mut self.rows[usize::from(listener.0)].queue
    }
}

#[cfg(test)]
mod tests {
    use super::Queues;
    use crate::half_open::Offer;

    #[test]
    fn a_crowded_queue_has_less_patience() {
        // (limit, entries that timed out, young entries) and the retries left of five.
        for (limit, old, young, want) in [
            (100, 0, 50, 5),
            (100, 50, 0, 5),
            (100, 51, 0, 2),
            (100, 40, 20, 4),
            (100, 48, 12, 3),
            (100, 60, 1, 2),
            (100, 10, 60, 5),
            (1, 4, 0, 5),
            (1, 5, 0, 2),
        ] {
            let mut queues = Queues::new();
            let listener = queues.add(limit, &Offer::default()).unwrap();
            (0..old + young).for_each(|_| queues.entered(listener));
            (0..old).for_each(|_| queues.timed_out(listener, 0));
            assert_eq!(queues.retries(listener, 5), want, "{limit} {old} {young}");
            assert_eq!(queues.retries(listener, 1), 1, "never more than configured");
        }
    }

    #[test]
    fn names_are_given_again_and_run_out() {
        let mut queues = Queues::new();
        let names: alloc::vec::Vec<_> = (0..=u16::MAX).map(|_| queues.add(1, &Offer::default()).unwrap()).collect();
        assert_eq!(queues.add(1, &Offer::default()), None);
        queues.entered(names[7]);
        queues.left(names[7], 0);
        queues.remove(names[7]);
        assert_eq!(queues.add(9, &Offer::default()), Some(names[7]));
        assert_eq!((queues.get(names[7]).len, queues.get(names[7]).limit), (0, 9));
    }
}
