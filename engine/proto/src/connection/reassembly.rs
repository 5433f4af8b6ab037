//! Payload that came before its turn: RFC 9293, section 3.10.7.4, seventh check; SACK blocks by RFC 2018.
//!
//! Bounded in pieces here and in bytes by the receive window, ordered, and the first copy of a byte wins. What a peer
//! makes us do for one segment is bounded by [`MAX_PIECES`] steps and one copy of its payload.

use crate::segment::{SackBlock, SackBlocks};
use crate::{Segment, SeqNum};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The most pieces that wait (SegmentSmack, CVE-2018-5390: without a limit one-byte segments make long lists).
pub(super) const MAX_PIECES: usize = 256;
/// The most bytes that contiguous payload is joined to. One gap in a window of 6 MiB (the largest by default) does not use up the
/// pieces.
const PIECE_BYTES: usize = 64 * 1024;
const _: () = assert!(MAX_PIECES * PIECE_BYTES >= 2 * (6 << 20));

/// What a piece costs besides its bytes: its place in the queue, and what an allocator adds to a small block.
const PIECE_OVERHEAD: usize = 64;
const _: () = assert!(size_of::<Piece>() <= PIECE_OVERHEAD / 2);

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

/// What of a segment was here already: the first such range (RFC 2883, section 4), grown by others that touch it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Repeated(pub Option<SackBlock>);

impl Repeated {
    /// Nothing, or the bytes from `start` to `end`.
    pub fn of(start: SeqNum, end: SeqNum) -> Self {
        Self(end.after(start).then_some(SackBlock { start, end }))
    }

    /// Whether it is all of a segment's payload.
    pub fn is_all_of(self, segment: &Segment) -> bool {
        let end = segment.seq + u32::from(segment.payload.len);
        self.0.is_some_and(|block| block.start == segment.seq && block.end == end)
    }

    /// Adds the bytes from `start` to `end` (Linux: `tcp_dsack_extend`).
    fn add(&mut self, start: SeqNum, end: SeqNum) {
        match &mut self.0 {
            Some(block) if start == block.end => block.end = end,
            Some(_) => {}
            none @ None => *none = Some(SackBlock { start, end }),
        }
    }
}

/// Pieces that do not overlap, in order. Those before RCV.NXT wait for the reader, the others for a gap to close.
#[derive(Clone, Debug, Default)]
pub(super) struct Reassembly {
    pieces: VecDeque<Piece>,
    /// Payload of all pieces.
    bytes: usize,
    /// Where the most recent arrivals began, latest first, each in another block (RFC 2018, section 4).
    recent: [SeqNum; 4],
    /// What the next acknowledgment reports as received twice (RFC 2883).
    repeated: Option<SackBlock>,
}

impl Reassembly {
    /// Whether nothing waits, for the reader, a gap or the next acknowledgment.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.repeated.is_none()
    }

    /// The bytes that the pieces take, payload and what surrounds it.
    pub fn footprint(&self) -> u32 {
        u32::try_from(self.bytes + self.pieces.len() * PIECE_OVERHEAD).unwrap_or(u32::MAX)
    }

    /// Drops what lies beyond a gap after `nxt`; true when there was something. Whoever reported it by SACK may do so
    /// (RFC 2018, section 8): the peer keeps it until it is acknowledged.
    pub fn prune(&mut self, nxt: SeqNum) -> bool {
        let kept = self.pieces.partition_point(|piece| !piece.start.after(nxt));
        let had_gap = kept < self.pieces.len();
        self.bytes -= self.pieces.drain(kept..).map(|piece| piece.bytes.len()).sum::<usize>();
        had_gap
    }

    /// The next acknowledgment reports that `block` was received twice.
    pub fn report(&mut self, block: SackBlock) {
        self.repeated = Some(block);
    }

    /// An acknowledgment has reported it (RFC 2883, section 4: once).
    pub fn reported(&mut self) {
        self.repeated = None;
    }

    /// Whether something lies beyond a gap after `nxt`.
    pub fn has_gap(&self, nxt: SeqNum) -> bool {
        self.pieces.back().is_some_and(|piece| piece.start.after(nxt))
    }

    /// Where the first piece at or after `nxt` begins.
    pub fn first_start(&self, nxt: SeqNum) -> Option<SeqNum> {
        self.pieces.get(self.index_after(nxt)).map(|piece| piece.start)
    }

    /// Where the last piece ends.
    pub fn last_end(&self) -> Option<SeqNum> {
        self.pieces.back().map(Piece::end)
    }

    /// Keeps what of `bytes`, from `start` on, is not here yet, and adds what is to `repeated`; false when a piece had to be left
    /// out.
    pub fn insert(&mut self, start: SeqNum, bytes: &[u8], repeated: &mut Repeated) -> bool {
        let complete = self.fill(start, bytes, repeated);
        self.note(start);
        complete
    }

    fn fill(&mut self, mut start: SeqNum, mut bytes: &[u8], repeated: &mut Repeated) -> bool {
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
                repeated.add(start, start + take as u32);
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
        let bytes = ready.then(|| self.pieces.pop_front()).flatten()?.bytes;
        self.bytes -= bytes.len();
        Some(bytes)
    }

    /// Whether a piece before `nxt` waits for the reader.
    pub fn has_before(&self, nxt: SeqNum) -> bool {
        self.pieces.front().is_some_and(|piece| piece.start.before(nxt))
    }

    /// At most `limit` blocks: what was received twice (RFC 2883, section 4), then of what lies beyond `nxt` the block that the
    /// latest segment belongs to, then those reported most recently, then any (RFC 2018, section 4).
    pub fn blocks(&self, nxt: SeqNum, limit: usize) -> SackBlocks {
        let mut blocks = SackBlocks::NONE;
        let mut known = SackBlocks::NONE;
        if let Some(repeated) = self.repeated {
            blocks.push(repeated);
        }
        let starts = self.recent.iter().copied().chain(self.pieces.iter().map(|piece| piece.start));
        for seq in starts {
            if blocks.as_slice().len() >= limit {
                break;
            }
            if known.as_slice().iter().any(|block| block.contains(seq)) || seq.before(nxt) {
                continue;
            }
            if let Some(block) = self.block_at(seq) {
                blocks.push(block);
                known.push(block);
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

    /// Remembers an arrival at `start` in place of those that belong to the same block (Linux: `tcp_sack_new_ofo_skb`).
    fn note(&mut self, start: SeqNum) {
        let block = self.block_at(start);
        let others = self.recent.into_iter().filter(|&seq| !block.is_some_and(|block| block.contains(seq)));
        let mut recent = [start; 4];
        recent[1..].iter_mut().zip(others).for_each(|(place, seq)| *place = seq);
        self.recent = recent;
    }

    /// Stores bytes that touch no other piece's bytes, behind the piece before `at` when they continue it.
    fn put(&mut self, at: usize, start: SeqNum, bytes: &[u8]) -> Put {
        let full = self.pieces.len() >= MAX_PIECES;
        let put = match at.checked_sub(1).and_then(|index| self.pieces.get_mut(index)) {
            Some(piece) if piece.end() == start && piece.bytes.len() + bytes.len() <= PIECE_BYTES => {
                piece.bytes.extend_from_slice(bytes);
                Put::Joined
            }
            Some(_) | None if full => Put::Full,
            Some(_) | None => {
                self.pieces.insert(at, Piece { start, bytes: bytes.to_vec() });
                Put::Inserted
            }
        };
        if put != Put::Full {
            self.bytes += bytes.len();
        }
        put
    }
}

#[derive(PartialEq, Eq, Debug)]
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
            assert!(reassembly.insert(SeqNum(start), &vec![0; (end - start) as usize], &mut Repeated::default()));
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

    /// RFC 2883, section 4: one range, the first, whatever else of the segment was here.
    #[test]
    fn what_was_here_already_is_found() {
        for (segment, repeated) in [
            ((0, 10), None),
            ((20, 30), None),
            ((12, 18), Some((12, 18))),
            ((10, 20), Some((10, 20))),
            ((15, 25), Some((15, 20))),
            ((5, 25), Some((10, 20))),
            ((25, 35), Some((30, 35))),
            ((15, 45), Some((15, 20))),
            ((35, 55), Some((35, 50))),
        ] {
            let mut reassembly = with(&[(10, 20), (30, 40)]);
            assert!(reassembly.put(2, SeqNum(40), &[0; 10]) == Put::Joined);
            let mut found = Repeated::default();
            let (start, end) = segment;
            assert!(reassembly.insert(SeqNum(start), &vec![0; (end - start) as usize], &mut found));
            assert_eq!(found.0, repeated.map(|(start, end)| block(start, end)), "{segment:?}");
        }
        let mut two = with(&[(0, 60_000)]);
        assert!(two.insert(SeqNum(60_000), &vec![0; 10_000], &mut Repeated::default()));
        assert_eq!(two.pieces.len(), 2);
        let mut found = Repeated::default();
        assert!(two.insert(SeqNum(50_000), &vec![0; 15_000], &mut found));
        assert_eq!(found.0, Some(block(50_000, 65_000)), "pieces that touch are one range");
    }

    #[test]
    fn what_came_twice_is_reported_first_and_once() {
        let mut reassembly = with(&[(10, 20), (30, 40), (50, 60), (70, 80)]);
        reassembly.report(block(1, 5));
        let all = [block(1, 5), block(70, 80), block(50, 60), block(30, 40)];
        assert_eq!(reassembly.blocks(SeqNum(8), 4).as_slice(), all);
        assert_eq!(reassembly.blocks(SeqNum(8), 3).as_slice(), &all[..3]);
        reassembly.report(block(52, 55));
        assert_eq!(reassembly.blocks(SeqNum(8), 3).as_slice(), [block(52, 55), block(70, 80), block(50, 60)]);
        reassembly.reported();
        assert_eq!(reassembly.blocks(SeqNum(8), 1).as_slice(), [block(70, 80)]);
    }

    /// RFC 2018, section 4: the block of the latest segment first, then the most recently reported ones.
    #[test]
    fn blocks_are_reported_latest_first() {
        let reassembly = with(&[(10, 20), (30, 40), (50, 60), (70, 80), (90, 95)]);
        let latest = [block(90, 95), block(70, 80), block(50, 60), block(30, 40)];
        assert_eq!(reassembly.blocks(SeqNum(0), 4).as_slice(), latest);
        assert_eq!(reassembly.blocks(SeqNum(0), 3).as_slice(), &latest[..3]);
        let mut joined = reassembly;
        assert!(
            joined.insert(SeqNum(95), &[0; 5], &mut Repeated::default())
                && joined.insert(SeqNum(100), &[0; 5], &mut Repeated::default())
        );
        assert_eq!(joined.blocks(SeqNum(0), 4).as_slice()[..3], [block(90, 105), block(70, 80), block(50, 60)]);
        assert!(joined.insert(SeqNum(20), &[0; 10], &mut Repeated::default()));
        assert_eq!(joined.blocks(SeqNum(0), 2).as_slice(), [block(10, 40), block(90, 105)]);
        assert_eq!(joined.blocks(SeqNum(40), 4).as_slice(), [block(90, 105), block(70, 80), block(50, 60)]);
        assert!(joined.insert(SeqNum(60), &[0; 5], &mut Repeated::default()));
        assert_eq!(joined.blocks(SeqNum(0), 3).as_slice(), [block(50, 65), block(10, 40), block(90, 105)]);
    }

    #[test]
    fn the_number_of_pieces_is_limited_but_growth_of_one_is_not() {
        let mut reassembly = Reassembly::default();
        for index in 0..MAX_PIECES as u32 {
            assert!(reassembly.insert(SeqNum(2 * index), &[1], &mut Repeated::default()));
        }
        assert!(!reassembly.insert(SeqNum(2 * MAX_PIECES as u32), &[1], &mut Repeated::default()));
        assert!(reassembly.insert(SeqNum(1), &[1], &mut Repeated::default()), "it continues the first piece");
        assert_eq!(reassembly.pieces.len(), MAX_PIECES);
        let (payload, around) = (MAX_PIECES + 1, MAX_PIECES * PIECE_OVERHEAD);
        assert_eq!(reassembly.footprint() as usize, payload + around, "what found no room counts for nothing");
    }

    /// What is dropped is what no acknowledgment covers, and every byte is accounted for.
    #[test]
    fn what_lies_beyond_the_gap_can_be_dropped() {
        let mut reassembly = with(&[(0, 10), (10, 20), (30, 40), (50, 51)]);
        let pieces = |count: usize| (count * PIECE_OVERHEAD) as u32;
        assert_eq!(reassembly.footprint(), 31 + pieces(3));
        assert!(reassembly.prune(SeqNum(20)));
        assert_eq!((reassembly.footprint(), reassembly.contiguous_end(SeqNum(0))), (20 + pieces(1), SeqNum(20)));
        assert!(!reassembly.prune(SeqNum(20)), "the rest is acknowledged");
        assert_eq!(reassembly.take_before(SeqNum(20)).map(|bytes| bytes.len()), Some(20));
        assert_eq!(reassembly.footprint(), 0);
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
                prop_assert!(reassembly.insert(SeqNum(base) + start as u32, &vec![copy as u8; len], &mut Repeated::default()));
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
