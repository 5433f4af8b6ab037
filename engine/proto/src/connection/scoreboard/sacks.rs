//! What the peer reports: SACK (RFC 2018), D-SACK (RFC 2883), and duplicate acknowledgments where there is neither.

use super::{Findings, Marks, Reading, Scoreboard};
use crate::SeqNum;
use crate::segment::SackBlock;

impl Scoreboard {
    /// Marks what lies wholly within `block` as received. A segment that is covered in part is left alone: the rest of it must
    /// be sent again anyway.
    pub fn sack(&mut self, block: SackBlock, reading: &Reading, findings: &mut Findings) {
        let highest = self.highest_sacked();
        let mut at = self.runs.skip(block.start);
        let mut index = self.index_of(at);
        if self.start_of(index).before(at) {
            index += 1;
        }
        let from = self.start_of(index);
        at = from;
        while let Some(&sent) = self.segments.get(index)
            && !sent.end.after(block.end)
        {
            self.work.note();
            if sent.marks.contains(Marks::SACKED) {
                at = self.runs.skip(sent.end);
                index = self.index_of(at);
                continue;
            }
            findings.on_sacked(at, &sent, highest, reading);
            self.mark(index, received(sent.marks));
            (at, index) = (sent.end, index + 1);
        }
        if at.after(from) {
            self.runs.insert(from, at);
        }
        self.settle();
    }

    /// The peer has received the segments of `block` twice (RFC 2883, section 4): one copy too many was sent. Returns how many
    /// of those that are outstanding were.
    pub fn duplicate(&mut self, block: SackBlock, findings: &mut Findings) -> u32 {
        let mut index = self.index_of(block.start);
        if self.start_of(index).before(block.start) {
            index += 1;
        }
        let mut unneeded = 0;
        while let Some(&sent) = self.segments.get(index)
            && !sent.end.after(block.end)
        {
            if sent.marks.intersects(Marks::AGAIN | Marks::RESENT) {
                unneeded += 1;
                if sent.marks.contains(Marks::SACKED) {
                    let start = self.start_of(index);
                    findings.reordered = Some(findings.reordered.map_or(start, |lowest| lowest.earliest(start)));
                }
                if !sent.marks.contains(Marks::LOST) {
                    self.mark(index, sent.marks - Marks::RESENT);
                }
            }
            index += 1;
        }
        unneeded
    }

    /// Without SACK a duplicate acknowledgment says that some segment has arrived. There can be no more of them than segments
    /// outstanding, less the lost ones (Linux: `tcp_limit_reno_sacked`): false when there are, so that some of them came in
    /// another order than they were sent.
    pub fn on_duplicate(&mut self, findings: &mut Findings) -> bool {
        let before = self.duplicates;
        let plausible = self.limit_duplicates(before + 1);
        findings.delivered += self.duplicates - before.min(self.duplicates);
        plausible
    }

    /// Without SACK, `acked` segments were acknowledged: one of them filled the hole, the others are those that duplicates had
    /// told of (Linux: `tcp_remove_reno_sacks`). Returns how many have arrived of which nothing was known.
    pub fn on_hole_filled(&mut self, acked: u32) -> (u32, bool) {
        let delivered = acked.saturating_sub(self.duplicates).max(1);
        let plausible = self.limit_duplicates(self.duplicates.saturating_sub(acked - acked.min(1)));
        (delivered, plausible)
    }

    /// Without SACK: nothing beyond SND.UNA is known to have arrived.
    pub fn forget_duplicates(&mut self) {
        self.duplicates = 0;
    }

    /// The peer has dropped what it had reported (RFC 2018, section 8).
    pub fn forget_sacks(&mut self) {
        for index in 0..self.segments.len() {
            let marks = self.segments[index].marks;
            self.mark(index, marks - Marks::SACKED);
        }
        self.runs.clear();
        self.search_anew();
    }

    fn limit_duplicates(&mut self, duplicates: u32) -> bool {
        let holes = self.tally.lost.max(1);
        let most = self.outstanding().saturating_sub(holes);
        self.duplicates = duplicates.min(most);
        duplicates <= most
    }
}

/// The marks of a segment that was `marks` and has been reported. A copy of something that was never thought lost may be on
/// its way still (Linux: `tcp_sacktag_one`).
fn received(marks: Marks) -> Marks {
    let mut received = marks | Marks::SACKED;
    if marks.contains(Marks::LOST) {
        received -= Marks::LOST | Marks::RESENT;
    }
    received
}

/// Whether `block` is one that the peer can have sent (Linux: `tcp_is_sackblock_valid`): it holds something, lies beyond SND.UNA
/// and not beyond SND.NXT.
pub(in crate::connection) fn is_valid(block: SackBlock, una: SeqNum, nxt: SeqNum) -> bool {
    block.start.before(block.end) && block.start.after(una) && block.start.before(nxt) && !block.end.after(nxt)
}
