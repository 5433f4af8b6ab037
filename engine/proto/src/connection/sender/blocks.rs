//! SACK blocks on the sending side: RFC 2018, section 5; D-SACK: RFC 2883, section 4; Linux: `tcp_sacktag_write_queue`,
//! `tcp_check_dsack`.

use super::Sender;
use super::acks::{Acknowledgment, Walk};
use super::flight::Flight;
use crate::connection::scoreboard::{Findings, is_valid};
use crate::segment::SackBlock;
use crate::{Counter, SeqNum};

impl Sender {
    /// Reads the blocks of an acknowledgment, lowest first.
    pub(super) fn read_blocks(
        &mut self,
        flight: &mut Flight,
        walk: &Walk,
        ack: &Acknowledgment,
        findings: &mut Findings,
    ) {
        let blocks = ack.sack.as_slice();
        let Some(first) = blocks.first() else { return };
        let is_duplicate = self.is_dsack(flight, ack.ack, blocks);
        if is_duplicate {
            self.take_dsack(flight, *first, findings);
        }
        if self.outstanding() {
            let reading = self.reading(flight, walk);
            let mut left = [None; 4];
            for (slot, &block) in left.iter_mut().zip(blocks).skip(usize::from(is_duplicate && findings.dsacks)) {
                *slot = self.check(flight, walk, ack.ack, block).then_some(block);
            }
            while let Some(block) = take_lowest(&mut left) {
                flight.board.sack(block, &reading, findings);
            }
        }
        if findings.dsacks {
            let end = first.end;
            let unneeded =
                if end.after(walk.prior) { flight.board.duplicate(*first, findings) } else { self.segments_in(*first) };
            flight.recovery.on_unneeded(end, unneeded);
        }
    }

    /// Whether the first block reports something received twice: it lies below the acknowledgment, or within the second block.
    fn is_dsack(&self, flight: &mut Flight, ack: SeqNum, blocks: &[SackBlock]) -> bool {
        let [first, rest @ ..] = blocks else { return false };
        if first.start.before(ack) {
            flight.count(Counter::TCPDSACKRecv);
            return true;
        }
        let within =
            rest.first().is_some_and(|second| !first.end.after(second.end) && !first.start.before(second.start));
        if within {
            flight.count(Counter::TCPDSACKOfoRecv);
        }
        within
    }

    /// The peer has received `block` twice: what was sent once too often. More than was sent again is not believed.
    fn take_dsack(&mut self, flight: &mut Flight, block: SackBlock, findings: &mut Findings) {
        let len = block.end.distance_from(block.start);
        let segments = self.segments_in(block);
        flight.reported_twice = flight.reported_twice.saturating_add(segments);
        if !block.start.before(block.end) || len > self.max_window || flight.reported_twice > self.retransmits {
            return flight.count(Counter::TCPDSACKIgnoredDubious);
        }
        findings.dsacks = true;
        findings.delivered += segments;
        findings.dsacks_probe = segments == 1 && flight.probe.is_some_and(|probe| probe.end == block.end);
        self.count_dsack(flight, block);
    }

    /// How many segments `block` stands for.
    fn segments_in(&self, block: SackBlock) -> u32 {
        block.end.distance_from(block.start).div_ceil(u32::from(self.mss).max(1))
    }

    /// A D-SACK of something acknowledged is counted where it changes nothing (Linux: `tcp_is_sackblock_valid`).
    fn count_dsack(&self, flight: &mut Flight, block: SackBlock) {
        if block.start.after(self.una) {
            return;
        }
        match flight.recovery.undo_marker() {
            None => flight.count(Counter::TCPDSACKIgnoredNoUndo),
            Some(marker) if block.end.after(self.una) || !block.end.after(marker) => {
                flight.count(Counter::TCPDSACKIgnoredOld);
            }
            Some(_) => {}
        }
    }

    /// Whether a block makes sense; if not, it is counted as Linux counts it.
    fn check(&self, flight: &mut Flight, walk: &Walk, ack: SeqNum, block: SackBlock) -> bool {
        if is_valid(block, self.una, self.nxt) {
            return true;
        }
        let is_old = !block.end.after(walk.prior.latest(self.una));
        // Acknowledgments that overtook each other tell of what is acknowledged meanwhile.
        if !(is_old && ack != self.una) {
            flight.count(Counter::TCPSACKDiscard);
        }
        false
    }
}

/// The block that begins first, which is taken out.
fn take_lowest(blocks: &mut [Option<SackBlock>; 4]) -> Option<SackBlock> {
    let mut lowest: Option<usize> = None;
    for (index, block) in blocks.iter().enumerate() {
        let Some(block) = block else { continue };
        let before = |&best: &usize| blocks[best].is_some_and(|best| block.start.before(best.start));
        if lowest.as_ref().is_none_or(before) {
            lowest = Some(index);
        }
    }
    lowest.and_then(|index| blocks[index].take())
}
