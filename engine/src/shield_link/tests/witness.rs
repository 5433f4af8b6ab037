//! A port that looks at what leaves.

use super::Book;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;
use synward_nic::{Frame, FrameBudget, Ledger, MemoryPort, Modes, Port, PortStatistics, PortStatus};
use synward_proto::Flags;
use synward_proto::wire::{ChecksumPolicy, parse};

/// A port on which no SYN, nor SYN-ACK that is no cookie, leaves before its flow is known.
pub(super) struct Witness {
    pub(super) port: MemoryPort,
    pub(super) book: Arc<Book>,
    /// Whether a SYN-ACK may be a cookie.
    pub(super) cookies: bool,
}

impl Witness {
    fn look_at(&self, frame: &Frame) {
        let segment = parse(frame.as_slice(), ChecksumPolicy::Full).expect("the engine sends what can be read");
        let may_be_unknown = !segment.flags.contains(Flags::SYN) || segment.flags.contains(Flags::ACK) && self.cookies;
        let tuple = segment.tuple.reversed();
        assert!(may_be_unknown || self.book.knows(&tuple), "{tuple:?} is not known, and {:?} leaves", segment.flags);
    }
}

impl Port for Witness {
    fn tx_burst(&mut self, frames: &mut VecDeque<Frame>) -> usize {
        frames.iter().for_each(|frame| self.look_at(frame));
        self.port.tx_burst(frames)
    }

    fn rx_burst(&mut self, out: &mut VecDeque<Frame>, max: usize) -> usize {
        self.port.rx_burst(out, max)
    }

    fn reclaim(&mut self) -> usize {
        self.port.reclaim()
    }

    fn refill(&mut self) -> usize {
        self.port.refill()
    }

    fn alloc(&mut self) -> Option<Frame> {
        self.port.alloc()
    }

    fn recycle(&mut self, frame: Frame) {
        self.port.recycle(frame);
    }

    fn ledger(&self) -> Ledger {
        self.port.ledger()
    }

    fn budget(&self) -> &FrameBudget {
        self.port.budget()
    }

    fn wait(&mut self, wake: Option<BorrowedFd<'_>>, timeout: Option<Duration>) {
        self.port.wait(wake, timeout);
    }

    fn modes(&self) -> Modes {
        self.port.modes()
    }

    fn status(&mut self) -> PortStatus {
        self.port.status()
    }

    fn statistics(&self) -> PortStatistics {
        self.port.statistics()
    }
}
