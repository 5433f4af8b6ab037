//! Payload that came before its turn: RFC 9293, section 3.10.7.4, seventh check; SACK blocks by RFC 2018.
//!
//! Bounded in pieces here and in bytes by the receive window, ordered, and the first copy of a byte wins. What a peer
//! makes us do for one segment is bounded by [`MAX_PIECES`] steps and one copy of its payload.

use crate::SeqNum;
use crate::segment::{SackBlock, SackBlocks};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The most pieces that wait (SegmentSmack, CVE-2018-5390: without a limit one-byte segments make long lists).
pub(super) const MAX_PIECES: usize = 256;
/// The most bytes that contiguous payload is joined to.
const PIECE_BYTES: usize = 16 * 1024;

#[derive(Clone, Debug)]
struct Piece {
    start: SeqNum,
    bytes: Vec<u8>,
}

impl Piece {
    fn end(&self) -> SeqNum {
        self.start + self.bytes.len() as u32
    }
}

/// Pieces that do not overlap, in order. Those before RCV.NXT wait for the reader, the others for a gap to close.
#[derive(Clone, Debug, Default)]
pub(super) struct Reassembly {
    pieces: VecDeque<Piece>,
    /// Where the most recent arrivals began, latest first (RFC 2018, section 4).
    recent: [SeqNum; 4],
}

impl Reassembly {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Where the first piece at or after `nxt` begins.
    pub fn first_start(&self, nxt: SeqNum) -> Option<SeqNum> {
        self.pieces.get(self.index_after(nxt)).map(|piece| piece.start)
    }

    /// Where the last piece ends.
    pub fn last_end(&self) -> Option<SeqNum> {
        self.pieces.back().map(Piece::end)
    }

    /// Keeps what of `bytes`, from `start` on, is not here yet; false when a piece had to be left out.
    pub fn insert(&mut self, start: SeqNum, bytes: &[u8]) -> bool {
        let complete = self.fill(start, bytes);
        self.note(start);
        complete
    }

    fn fill(&mut self, mut start: SeqNum, mut bytes: &[u8]) -> bool {
        let mut at = self.index_after(start);
        while !bytes.is_empty() {
            let ahead = self.pieces.get(at).map(|next| (next.start, next.end()));
            let (gap, known) = match ahead {
                None => (bytes.len(), 0),
                Some((next, _)) if next.after(start) => (next.distance_from(start) as usize, 0),
                Some((_, end)) => (0, end.distance_from(start) as usize),
            };
            let take = gap.max(known).min(bytes.len());
            let (piece, rest) = bytes.split_at(take);
            if known > 0 {
                at += 1;
            } else {
                match self.put(at, start, piece) {
                    Put::Joined => {}
                    Put::Inserted => at += 1,
                    Put::Full => return false,
                }
            }
            start += take as u32;
            bytes = rest;
        }
        true
    }

    /// The end of the bytes that continue without a gap from `nxt`.
    pub fn contiguous_end(&self, nxt: SeqNum) -> SeqNum {
        let mut end = nxt;
        for piece in self.pieces.range(self.index_after(nxt)..) {
            if piece.start.after(end) {
                break;
            }
            end = piece.end();
        }
        end
    }

    /// Takes the first piece, once it lies before `nxt`.
    pub fn take_before(&mut self, nxt: SeqNum) -> Option<Vec<u8>> {
        let ready = self.pieces.front().is_some_and(|piece| !piece.end().after(nxt));
        ready.then(|| self.pieces.pop_front()).flatten().map(|piece| piece.bytes)
    }

    /// Whether a piece before `nxt` waits for the reader.
    pub fn has_before(&self, nxt: SeqNum) -> bool {
        self.pieces.front().is_some_and(|piece| piece.start.before(nxt))
    }

    /// At most `limit` blocks of what lies beyond `nxt`: the one that the latest segment belongs to first, then those
    /// reported most recently, then any (RFC 2018, section 4).
    pub fn blocks(&self, nxt: SeqNum, limit: usize) -> SackBlocks {
        let mut blocks = SackBlocks::NONE;
        let starts = self.recent.iter().copied().chain(self.pieces.iter().map(|piece| piece.start));
        for seq in starts {
            if blocks.as_slice().len() >= limit {
                break;
            }
            let known = blocks.as_slice().iter().any(|block| !seq.before(block.start) && seq.before(block.end));
            if known || seq.before(nxt) {
                continue;
            }
            if let Some(block) = self.block_at(seq) {
                blocks.push(block);
            }
        }
        blocks
    }

    /// The contiguous bytes around `seq`.
    fn block_at(&self, seq: SeqNum) -> Option<SackBlock> {
        let index = self.index_after(seq);
        let piece = self.pieces.get(index).filter(|piece| !piece.start.after(seq))?;
        let mut start = piece.start;
        for before in self.pieces.range(..index).rev() {
            if before.end() != start {
                break;
            }
            start = before.start;
        }
        Some(SackBlock { start, end: self.contiguous_end(piece.start) })
    }

    /// The index of the first piece that ends after `seq`.
    fn index_after(&self, seq: SeqNum) -> usize {
        self.pieces.partition_point(|piece| !piece.end().after(seq))
    }

    /// Remembers an arrival at `start`; one that belongs to the same block as the latest takes its place.
    fn note(&mut self, start: SeqNum) {
        let [a, b, c, _] = self.recent;
        let same = self.block_at(a).is_some_and(|block| !start.before(block.start) && start.before(block.end));
        self.recent = if same { [start, b, c, self.recent[3]] } else { [start, a, b, c] };
    }

    /// Stores bytes that touch no other piece's bytes, behind the piece before `at` when they continue it.
    fn put(&mut self, at: usize, start: SeqNum, bytes: &[u8]) -> Put {
        let full = self.pieces.len() >= MAX_PIECES;
        match at.checked_sub(1).and_then(|index| self.pieces.get_mut(index)) {
            Some(piece) if piece.end() == start && piece.bytes.len() + bytes.len() <= PIECE_BYTES => {
                piece.bytes.extend_from_slice(bytes);
                Put::Joined
            }
            Some(_) | None if full => Put::Full,
            Some(_) | None => {
                self.pieces.insert(at, Piece { start, bytes: bytes.to_vec() });
                Put::Inserted
            }
        }
    }
}

enum Put {
    /// The piece before grew.
    Joined,
    /// A piece more.
    Inserted,
    /// No room for another piece.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn block(start: u32, end: u32) -> SackBlock {
        SackBlock { start: SeqNum(start), end: SeqNum(end) }
    }

    fn with(ranges: &[(u32, u32)]) -> Reassembly {
        let mut reassembly = Reassembly::default();
        for &(start, end) in ranges {
            assert!(reassembly.insert(SeqNum(start), &vec![0; (end - start) as usize]));
        }
        reassembly
    }

    #[test]
    fn contiguous_payload_is_joined() {
        let mut reassembly = with(&[(10, 20), (20, 30), (40, 50), (30, 40)]);
        assert_eq!(reassembly.pieces.len(), 2, "joined to the one before, not to the one after");
        assert_eq!(reassembly.contiguous_end(SeqNum(10)), SeqNum(50));
        assert_eq!(reassembly.take_before(SeqNum(50)).map(|bytes| bytes.len()), Some(30));
        assert_eq!(reassembly.take_before(SeqNum(50)).map(|bytes| bytes.len()), Some(10));
        assert!(reassembly.is_empty());
    }

    #[test]
    fn pieces_are_joined_up_to_their_limit() {
        let limit = PIECE_BYTES as u32;
        let reassembly = with(&[(0, limit - 1000), (limit - 1000, limit), (limit, limit + 1)]);
        let lengths: Vec<usize> = reassembly.pieces.iter().map(|piece| piece.bytes.len()).collect();
        assert_eq!(lengths, [PIECE_BYTES, 1]);
    }

    /// RFC 2018, section 4: the block of the latest segment first, then the most recently reported ones.
    #[test]
    fn blocks_are_reported_latest_first() {
        let reassembly = with(&[(10, 20), (30, 40), (50, 60), (70, 80), (90, 95)]);
        let latest = [block(90, 95), block(70, 80), block(50, 60), block(30, 40)];
        assert_eq!(reassembly.blocks(SeqNum(0), 4).as_slice(), latest);
        assert_eq!(reassembly.blocks(SeqNum(0), 3).as_slice(), &latest[..3]);
        let mut joined = reassembly;
        assert!(joined.insert(SeqNum(95), &[0; 5]) && joined.insert(SeqNum(100), &[0; 5]));
        assert_eq!(joined.blocks(SeqNum(0), 4).as_slice()[..3], [block(90, 105), block(70, 80), block(50, 60)]);
        assert!(joined.insert(SeqNum(20), &[0; 10]));
        assert_eq!(joined.blocks(SeqNum(0), 2).as_slice(), [block(10, 40), block(90, 105)]);
        assert_eq!(joined.blocks(SeqNum(40), 4).as_slice(), [block(90, 105), block(70, 80), block(50, 60)]);
    }

    #[test]
    fn the_number_of_pieces_is_limited_but_growth_of_one_is_not() {
        let mut reassembly = Reassembly::default();
        for index in 0..MAX_PIECES as u32 {
            assert!(reassembly.insert(SeqNum(2 * index), &[1]));
        }
        assert!(!reassembly.insert(SeqNum(2 * MAX_PIECES as u32), &[1]));
        assert!(reassembly.insert(SeqNum(1), &[1]), "it continues the first piece");
        assert_eq!(reassembly.pieces.len(), MAX_PIECES);
    }

    proptest! {
        /// Against a plain array: the first copy of each byte wins, and what is contiguous comes out in order.
        #[test]
        fn the_first_copy_wins(
            base in prop_oneof![any::<u32>(), u32::MAX - 100..u32::MAX],
            arrivals in proptest::collection::vec((0usize..200, 1usize..60), 1..40),
        ) {
            let mut reassembly = Reassembly::default();
            let mut model = [None; 300];
            for (copy, &(start, len)) in arrivals.iter().enumerate() {
                prop_assert!(reassembly.insert(SeqNum(base) + start as u32, &vec![copy as u8; len]));
                for slot in &mut model[start..start + len] {
                    *slot = slot.or(Some(copy as u8));
                }
            }
            let contiguous = model.iter().take_while(|slot| slot.is_some()).count();
            let nxt = reassembly.contiguous_end(SeqNum(base));
            prop_assert_eq!(nxt.distance_from(SeqNum(base)) as usize, contiguous);
            for block in reassembly.blocks(SeqNum(base), 4).as_slice() {
                let (start, end) = (block.start.distance_from(SeqNum(base)), block.end.distance_from(SeqNum(base)));
                prop_assert!(model[start as usize..end as usize].iter().all(Option::is_some));
                prop_assert!(model[end as usize].is_none() && (start == 0 || model[start as usize - 1].is_none()));
            }
            let mut out = Vec::new();
            while let Some(bytes) = reassembly.take_before(nxt) {
                out.extend(bytes);
            }
            prop_assert_eq!(out, model.iter().map_while(|slot| *slot).collect::<Vec<u8>>());
            prop_assert!(!reassembly.has_before(nxt));
        }
    }
}
