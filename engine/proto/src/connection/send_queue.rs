//! Bytes from the application that the peer has not acknowledged: chunks as they came, none when idle.

use crate::SeqNum;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A chunk that fits behind the last one without making it longer than this is copied there, so that an application
/// that sends byte by byte costs neither a chunk for each byte nor a long search for each segment.
const JOIN_LIMIT: usize = 4096;

#[derive(Clone, Debug)]
struct Chunk {
    /// The sequence number of the first byte.
    start: SeqNum,
    bytes: Vec<u8>,
}

/// The bytes from SND.UNA on.
#[derive(Clone, Debug)]
pub(super) struct SendQueue {
    chunks: VecDeque<Chunk>,
    /// Bytes from SND.UNA to the end of the last chunk.
    len: u32,
}

impl SendQueue {
    /// No bytes.
    pub const fn new() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }

    /// Bytes in the queue.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Adds bytes behind the last; `una` is SND.UNA. A chunk that would fill half of sequence space is refused.
    pub fn push(&mut self, una: SeqNum, bytes: Vec<u8>) -> bool {
        let total = u32::try_from(bytes.len()).ok().and_then(|len| self.len.checked_add(len));
        let Some(total) = total.filter(|&total| total <= i32::MAX as u32) else { return false };
        if bytes.is_empty() {
            return true;
        }
        let start = una + self.len;
        self.len = total;
        match self.chunks.back_mut() {
            Some(last) if last.bytes.len() + bytes.len() <= JOIN_LIMIT => last.bytes.extend_from_slice(&bytes),
            _ => self.chunks.push_back(Chunk { start, bytes }),
        }
        true
    }

    /// Removes the bytes before `una`, the new SND.UNA; `acked` is their number, at most [`Self::len`].
    pub fn acknowledge(&mut self, una: SeqNum, acked: u32) {
        self.len = self.len.saturating_sub(acked);
        if self.len == 0 {
            // Capacity goes too: an idle connection owns no heap.
            self.chunks = VecDeque::new();
            return;
        }
        while self.chunks.front().is_some_and(|chunk| !chunk.end().after(una)) {
            self.chunks.pop_front();
        }
    }

    /// The pieces of the `len` bytes from `from` on, found by binary search.
    pub fn slices(&self, from: SeqNum, len: u32) -> impl Iterator<Item = &[u8]> {
        let first = self.chunks.partition_point(|chunk| !chunk.end().after(from));
        let (mut at, mut left) = (from, len as usize);
        self.chunks.iter().skip(first).map_while(move |chunk| {
            let skip = at.distance_from(chunk.start) as usize;
            let rest = chunk.bytes.get(skip..)?;
            let piece = rest.get(..left.min(rest.len()))?;
            left -= piece.len();
            at += piece.len() as u32;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

impl Chunk {
    fn end(&self) -> SeqNum {
        self.start + self.bytes.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn gathered(queue: &SendQueue, from: SeqNum, len: u32) -> Vec<u8> {
        queue.slices(from, len).flatten().copied().collect()
    }

    #[test]
    fn small_chunks_are_joined_and_large_ones_kept() {
        let mut queue = SendQueue::new();
        for byte in 0..100u8 {
            assert!(queue.push(SeqNum(7), vec![byte]));
        }
        assert_eq!((queue.chunks.len(), queue.len()), (1, 100));
        assert!(queue.push(SeqNum(7), vec![1; JOIN_LIMIT]));
        assert_eq!(queue.chunks.len(), 2);
        assert_eq!(gathered(&queue, SeqNum(7), 100), (0..100).collect::<Vec<u8>>());
        queue.acknowledge(SeqNum(7) + queue.len(), queue.len());
        assert_eq!((queue.len(), queue.chunks.capacity()), (0, 0), "nothing is kept when idle");
    }

    #[test]
    fn more_than_half_of_sequence_space_is_refused() {
        let mut queue = SendQueue { len: i32::MAX as u32, ..SendQueue::new() };
        assert!(!queue.push(SeqNum(0), vec![1]));
        assert!(queue.push(SeqNum(0), Vec::new()));
    }

    proptest! {
        /// Whatever was pushed and acknowledged, every slice equals the same range of the stream, across the wrap.
        #[test]
        fn slices_are_ranges_of_the_stream(
            start in prop_oneof![any::<u32>(), u32::MAX - 3000..u32::MAX],
            sizes in proptest::collection::vec(0usize..3000, 1..20),
            acked in 0u32..20_000, from in 0u32..20_000, len in 0u32..5000,
        ) {
            let una = SeqNum(start);
            let mut queue = SendQueue::new();
            let mut stream = Vec::new();
            for size in sizes {
                let chunk: Vec<u8> = (0..size).map(|i| (stream.len() + i) as u8).collect();
                stream.extend_from_slice(&chunk);
                prop_assert!(queue.push(una, chunk));
            }
            prop_assert_eq!(queue.len() as usize, stream.len());
            let acked = acked.min(queue.len());
            queue.acknowledge(una + acked, acked);
            prop_assert_eq!(queue.len() as usize, stream.len() - acked as usize);
            let from = (acked + from).min(stream.len() as u32);
            let end = (from + len).min(stream.len() as u32);
            prop_assert_eq!(gathered(&queue, una + from, len), &stream[from as usize..end as usize]);
        }
    }
}
