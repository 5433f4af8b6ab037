//! How many frames a port needs, as a sum.

use std::fmt;

/// The frames of one port: one line per holder, each the most that it may hold, so that all of them can be at their
/// limit at once. The ring lines are the sizes of the rings.
///
/// Enforced here: [`Port::refill`](crate::Port::refill) never leaves fewer than `reply_reserve` frames free, and never
/// has more than `fill_ring + rx_ring` on the receive side; the rings hold their size. The lines `burst`,
/// `transmit_backlog` and `readers` are kept by whoever drives the port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameBudget {
    /// Empty frames waiting for packets: the fill ring.
    pub fill_ring: u32,
    /// Received frames waiting for the poll loop: the rx ring.
    pub rx_ring: u32,
    /// Received frames that the poll loop works on: one burst.
    pub burst: u32,
    /// Frames waiting to be sent: the tx ring.
    pub tx_ring: u32,
    /// Frames sent, or being sent, and not yet reclaimed: the completion ring. The kernel sends nothing without a
    /// place there, so it bounds what is under way.
    pub completion_ring: u32,
    /// Frames written that wait for a place in the tx ring.
    pub transmit_backlog: u32,
    /// Received payload that readers hold in its frames; past it, payload is copied out.
    pub readers: u32,
    /// Kept free for control segments that no received frame carries: retransmitted SYN-ACKs, probes, resets.
    pub reply_reserve: u32,
}

impl Default for FrameBudget {
    /// About 17,700 frames: 35 MiB at 2,048 bytes each. The rings are deep because on veth a completion comes back
    /// only when the peer has freed the packet.
    fn default() -> Self {
        Self {
            fill_ring: 4096,
            rx_ring: 2048,
            burst: 64,
            tx_ring: 2048,
            completion_ring: 4096,
            transmit_backlog: 1024,
            readers: 4096,
            reply_reserve: 256,
        }
    }
}

impl FrameBudget {
    /// The lines, each with the name of its holder.
    pub fn lines(&self) -> [(&'static str, u32); 8] {
        let Self { fill_ring, rx_ring, burst, tx_ring, completion_ring, transmit_backlog, readers, reply_reserve } =
            *self;
        [
            ("fill ring", fill_ring),
            ("rx ring", rx_ring),
            ("burst in hand", burst),
            ("tx ring", tx_ring),
            ("completion ring", completion_ring),
            ("transmit backlog", transmit_backlog),
            ("readers", readers),
            ("reply reserve", reply_reserve),
        ]
    }

    /// The sum of the lines; `None` when it does not fit in 32 bits.
    pub fn total(&self) -> Option<u32> {
        self.lines().into_iter().try_fold(0, |sum: u32, (_, frames)| sum.checked_add(frames))
    }
}

impl fmt::Display for FrameBudget {
    /// One line per holder, then the sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (holder, frames) in self.lines() {
            writeln!(f, "{holder:<16} {frames:>8}")?;
        }
        let total: u64 = self.lines().into_iter().map(|(_, frames)| u64::from(frames)).sum();
        write!(f, "{:<16} {total:>8} frames", "total")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_has_one_line_per_holder_and_the_sum() {
        let budget = FrameBudget { fill_ring: 8, rx_ring: 4, burst: 2, tx_ring: 4, ..FrameBudget::default() };
        assert_eq!(
            budget.to_string(),
            "fill ring               8\n\
             rx ring                 4\n\
             burst in hand           2\n\
             tx ring                 4\n\
             completion ring      4096\n\
             transmit backlog     1024\n\
             readers              4096\n\
             reply reserve         256\n\
             total                9490 frames"
        );
        assert_eq!(budget.total(), Some(9490));
    }

    #[test]
    fn default_is_as_large_as_its_comment_says() {
        let total = FrameBudget::default().total().unwrap();
        assert!((17_650..17_750).contains(&total), "{total}");
        assert_eq!((u64::from(total) * 2048 + (1 << 19)) >> 20, 35);
    }

    #[test]
    fn a_sum_that_does_not_fit_is_none() {
        assert_eq!(FrameBudget { readers: u32::MAX, ..FrameBudget::default() }.total(), None);
    }
}
