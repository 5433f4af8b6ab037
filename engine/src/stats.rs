//! What a shard counts: written by its loop alone, read by anyone.

use synward_nic::{Ledger, PortStatistics};
use synward_proto::{Counter, Counts, DropReason};

use crate::observe::{Gauges, Outcomes};
use crate::tally::Tally;

/// What became of a received frame. Every frame has exactly one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameOutcome {
    /// It did its work.
    Consumed,
    /// It did its work and carried an answer home.
    Answered,
    /// It went to a reader.
    Delivered,
    /// It died, answered or not.
    Dropped(DropReason),
    /// It went to the shard that owns its connection, and counts as received there, too.
    Steered,
}

/// The numbers of one shard. Only its poll loop calls what takes a count; everybody may call what gives one.
#[derive(Debug)]
pub(crate) struct ShardStats {
    counters: [Tally; Counter::ALL.len()],
    drops: [Tally; DropReason::ALL.len()],
    received: Tally,
    consumed: Tally,
    answered: Tally,
    delivered: Tally,
    steered: Tally,
    ledger: [Tally; LEDGER],
    port: [Tally; PORT],
    gauges: [Tally; GAUGES],
}

const LEDGER: usize = 7;
const PORT: usize = 8;
const GAUGES: usize = 13;

impl ShardStats {
    /// All zero.
    pub(crate) fn new() -> Self {
        Self {
            counters: std::array::from_fn(|_| Tally::default()),
            drops: std::array::from_fn(|_| Tally::default()),
            received: Tally::default(),
            consumed: Tally::default(),
            answered: Tally::default(),
            delivered: Tally::default(),
            steered: Tally::default(),
            ledger: std::array::from_fn(|_| Tally::default()),
            port: std::array::from_fn(|_| Tally::default()),
            gauges: std::array::from_fn(|_| Tally::default()),
        }
    }

    /// Raises one counter by one.
    pub(crate) fn count(&self, counter: Counter) {
        self.counters[counter as usize].add(1);
    }

    /// Raises every counter of a set by one.
    pub(crate) fn count_all(&self, counts: Counts) {
        counts.iter().for_each(|counter| self.count(counter));
    }

    /// Counts received frames before anything else is known of them.
    pub(crate) fn frames_received(&self, frames: u64) {
        self.received.add(frames);
    }

    /// Counts what became of a received frame.
    pub(crate) fn frame_became(&self, outcome: FrameOutcome) {
        match outcome {
            FrameOutcome::Consumed => self.consumed.add(1),
            FrameOutcome::Answered => self.answered.add(1),
            FrameOutcome::Delivered => self.delivered.add(1),
            FrameOutcome::Steered => self.steered.add(1),
            FrameOutcome::Dropped(reason) => self.drops[reason as usize].add(1),
        }
    }

    /// Shows where the frames are.
    pub(crate) fn set_ledger(&self, ledger: &Ledger) {
        let Ledger { total, free, receiving, sending, in_hand, lent } = *ledger;
        let lines = [total, free, receiving, sending, in_hand, lent].map(u64::from);
        let missing = u64::try_from(ledger.missing()).unwrap_or(u64::MAX);
        self.ledger.iter().zip(lines.into_iter().chain([missing])).for_each(|(tally, value)| tally.set(value));
    }

    /// Shows what was lost below the rings.
    pub(crate) fn set_port(&self, statistics: &PortStatistics) {
        self.port.iter().zip(port_lines(statistics)).for_each(|(tally, (_, value))| tally.set(value));
    }

    /// Shows how things stand.
    pub(crate) fn set_gauges(&self, gauges: &Gauges) {
        let Gauges {
            connections,
            connections_limit,
            time_waits,
            time_waits_limit,
            half_open,
            half_open_limit,
            frames_lent,
            frames_lent_limit,
            spliced,
            source_ports_used,
            orphans,
            buffered,
            buffered_limit,
        } = *gauges;
        let values = [
            connections,
            connections_limit,
            time_waits,
            time_waits_limit,
            half_open,
            half_open_limit,
            frames_lent,
            frames_lent_limit,
            spliced,
            source_ports_used,
            orphans,
            buffered,
            buffered_limit,
        ];
        self.gauges.iter().zip(values).for_each(|(tally, value)| tally.set(value));
    }

    /// The value of a counter.
    pub(crate) fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].get()
    }

    /// Frames dropped for a reason.
    pub(crate) fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].get()
    }

    /// What became of the received frames.
    pub(crate) fn outcomes(&self) -> Outcomes {
        Outcomes {
            received: self.received.get(),
            consumed: self.consumed.get(),
            answered: self.answered.get(),
            delivered: self.delivered.get(),
            steered: self.steered.get(),
            dropped: self.drops.iter().map(Tally::get).sum(),
        }
    }

    /// Where the frames are: name and number.
    pub(crate) fn ledger(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names: [_; LEDGER] = ["total", "free", "receiving", "sending", "in_hand", "lent", "missing"];
        names.into_iter().zip(self.ledger.iter().map(Tally::get))
    }

    /// What was lost below the rings: name and number.
    pub(crate) fn port(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = port_lines(&PortStatistics::default()).map(|(name, _)| name);
        names.into_iter().zip(self.port.iter().map(Tally::get))
    }

    /// How things stand.
    pub(crate) fn gauges(&self) -> Gauges {
        let [
            connections,
            connections_limit,
            time_waits,
            time_waits_limit,
            half_open,
            half_open_limit,
            frames_lent,
            frames_lent_limit,
            spliced,
            source_ports_used,
            orphans,
            buffered,
            buffered_limit,
        ] = std::array::from_fn(|index| self.gauges[index].get());
        Gauges {
            connections,
            connections_limit,
            time_waits,
            time_waits_limit,
            half_open,
            half_open_limit,
            frames_lent,
            frames_lent_limit,
            spliced,
            source_ports_used,
            orphans,
            buffered,
            buffered_limit,
        }
    }
}

fn port_lines(statistics: &PortStatistics) -> [(&'static str, u64); PORT] {
    let PortStatistics {
        rx_dropped,
        rx_invalid_descriptors,
        tx_invalid_descriptors,
        rx_ring_full,
        fill_ring_empty,
        tx_ring_empty,
        rx_split,
        bad_descriptors,
    } = *statistics;
    [
        ("rx_dropped", rx_dropped),
        ("rx_invalid_descriptors", rx_invalid_descriptors),
        ("tx_invalid_descriptors", tx_invalid_descriptors),
        ("rx_ring_full", rx_ring_full),
        ("fill_ring_empty", fill_ring_empty),
        ("tx_ring_empty", tx_ring_empty),
        ("rx_split", rx_split),
        ("bad_descriptors", bad_descriptors),
    ]
}

#[cfg(test)]
mod tests {
    use super::{FrameOutcome, ShardStats};
    use crate::observe::{Gauges, Outcomes};
    use synward_nic::{Ledger, PortStatistics};
    use synward_proto::{Counter, Counts, DropReason};

    #[test]
    fn every_number_comes_back_where_it_was_put() {
        let stats = ShardStats::new();
        stats.count_all(Counts::of(&[Counter::InSegs, Counter::RstsLimited]));
        stats.count(Counter::InSegs);
        assert_eq!([Counter::InSegs, Counter::RstsLimited, Counter::OutSegs].map(|c| stats.counter(c)), [2, 1, 0]);

        stats.frames_received(6);
        for outcome in [FrameOutcome::Consumed, FrameOutcome::Answered, FrameOutcome::Delivered, FrameOutcome::Steered]
        {
            stats.frame_became(outcome);
        }
        stats.frame_became(FrameOutcome::Dropped(DropReason::Land));
        stats.frame_became(FrameOutcome::Dropped(DropReason::NotTcp));
        assert_eq!((stats.drops(DropReason::Land), stats.drops(DropReason::Paws)), (1, 0));
        let outcomes = Outcomes { received: 6, consumed: 1, answered: 1, delivered: 1, steered: 1, dropped: 2 };
        assert_eq!(stats.outcomes(), outcomes);

        let gauges = Gauges {
            connections: 1,
            connections_limit: 2,
            time_waits: 3,
            time_waits_limit: 4,
            half_open: 5,
            half_open_limit: 6,
            frames_lent: 7,
            frames_lent_limit: 8,
            spliced: 9,
            source_ports_used: 10,
            orphans: 11,
            buffered: 12,
            buffered_limit: 13,
        };
        stats.set_gauges(&gauges);
        assert_eq!(stats.gauges(), gauges);

        stats.set_ledger(&Ledger { total: 28, free: 1, receiving: 2, sending: 3, in_hand: 4, lent: 5 });
        let ledger: Vec<_> = stats.ledger().collect();
        let wanted = [
            ("total", 28),
            ("free", 1),
            ("receiving", 2),
            ("sending", 3),
            ("in_hand", 4),
            ("lent", 5),
            ("missing", 13),
        ];
        assert_eq!(ledger, wanted);

        stats.set_port(&PortStatistics { rx_ring_full: 9, bad_descriptors: 2, ..PortStatistics::default() });
        let lost: Vec<_> = stats.port().filter(|&(_, value)| value > 0).collect();
        assert_eq!(lost, [("rx_ring_full", 9), ("bad_descriptors", 2)]);
    }
}
