//! What is due.

use crate::apply::SENT;
use crate::shard::{Shard, TimerKey};
use synward_nic::Port;
use synward_proto::connection::Decision;
use synward_proto::syn_table::Expired;
use synward_proto::{Fate, Instant};

/// Timers of connections run per turn, moves within the wheel included. After a stall the rest follows turn by turn.
const TIMERS_PER_TURN: u32 = 256;
/// Half-open connections looked after per turn.
const EXPIRIES_PER_TURN: u32 = 256;

impl Shard {
    /// Runs what is due; returns how much that was.
    pub(crate) fn run_timers(&mut self, now: Instant, port: &mut impl Port) -> u32 {
        let mut budget = TIMERS_PER_TURN;
        while let Some(key) = self.wheel.pop(now, &mut budget) {
            match key {
                TimerKey::Connection(index) => self.on_connection_timer(now, index, port),
                TimerKey::TimeWait(index) => self.on_time_wait_timer(now, index),
                TimerKey::Splice(id) => self.on_splice_timer(now, id),
            }
        }
        TIMERS_PER_TURN - budget + self.expire_half_opens(now, port)
    }

    /// When the next timer is due.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        [self.wheel.next_deadline(), self.half_opens.table.deadline(now)].into_iter().flatten().min()
    }

    fn on_connection_timer(&mut self, now: Instant, index: u32, port: &mut impl Port) {
        let Some(entry) = self.connections.get_mut(index) else { return };
        entry.timer = None;
        let Decision { verdict, events } = entry.connection.on_timer(now);
        debug_assert!(matches!(verdict.fate, Fate::Consumed), "a timer has no frame to drop or deliver");
        self.stats.count_all(verdict.counts);
        if let Some(head) = verdict.reply {
            let link = entry.link;
            self.send_head(&link, &head, SENT, port);
        }
        self.settle(now, index, events);
    }

    fn on_time_wait_timer(&mut self, now: Instant, index: u32) {
        let Some(entry) = self.connections.time_wait_mut(index) else { return };
        entry.timer = None;
        let deadline = entry.state.deadline();
        if deadline > now {
            // A late FIN has restarted it.
            entry.timer = Some(self.wheel.schedule(deadline, TimerKey::TimeWait(index)));
        } else {
            self.leave_time_wait(index);
        }
    }

    fn expire_half_opens(&mut self, now: Instant, port: &mut impl Port) -> u32 {
        let mut done = 0;
        while done < EXPIRIES_PER_TURN
            && let Some(expired) = self.half_opens.table.poll_expired(now)
        {
            done += 1;
            match expired {
                Expired::Resend { link, head, counts } => self.send_head(&link, &head, counts, port),
                Expired::Forgotten { counts } => self.stats.count_all(counts),
            }
        }
        done
    }
}
