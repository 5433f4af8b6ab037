//! Received bytes on their way to a reader.

use std::collections::VecDeque;
use synward_nic::{Frame, LentFrame};
use synward_proto::Span;

/// Consecutive bytes of a stream, in the frame they came in or copied out of it.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Where they arrived. Dropping it sends the frame home.
    Frame(LentFrame),
    /// On the heap; those before `read` are read.
    Heap {
        /// The bytes.
        bytes: Vec<u8>,
        /// How many of them were read.
        read: usize,
    },
}

impl Chunk {
    /// The payload of a frame, in the frame. `span` lies within it.
    pub(crate) fn in_frame(mut frame: Frame, span: Span) -> Self {
        let start = usize::from(span.start).min(frame.len());
        frame.trim_front(start);
        frame.set_len(usize::from(span.len).min(frame.len()));
        Self::Frame(frame.lend())
    }

    /// Bytes of our own.
    pub(crate) fn on_heap(bytes: Vec<u8>) -> Self {
        Self::Heap { bytes, read: 0 }
    }

    fn unread(&self) -> &[u8] {
        match self {
            Self::Frame(frame) => frame,
            Self::Heap { bytes, read } => bytes.get(*read..).unwrap_or_default(),
        }
    }

    /// The unread bytes; a frame goes home.
    fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Heap { bytes, read: 0 } => bytes,
            other => other.unread().to_vec(),
        }
    }

    fn consume(&mut self, count: usize) {
        match self {
            Self::Frame(frame) => frame.consume(count.min(frame.len())),
            Self::Heap { read, .. } => *read += count,
        }
    }
}

/// Unread bytes of one connection, in order.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// There is none unless there is a first.
    rest: VecDeque<Chunk>,
    /// Mostly the only one, and then no queue is allocated for it.
    first: Option<Chunk>,
    len: usize,
}

/// What one read took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Taken {
    /// Bytes copied to the reader.
    pub(crate) bytes: u32,
    /// Frames read to their end and sent home.
    pub(crate) frames: u32,
}

impl std::ops::AddAssign for Taken {
    fn add_assign(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.frames += more.frames;
    }
}

/// Small heap chunks are joined up to this many bytes, so that a peer which sends single bytes costs about as many bytes of
/// heap as it sent.
const JOIN: usize = 4096;

impl Received {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes from the `skip`th on, as many as there are and fit, and leaves them all.
    pub(crate) fn peek(&self, mut skip: usize, into: &mut [u8]) -> usize {
        let mut done = 0;
        for unread in self.first.iter().chain(&self.rest).map(Chunk::unread) {
            let seen = unread.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(unread.len());
            let count = seen.len().min(into.len() - done);
            into[done..done + count].copy_from_slice(&seen[..count]);
            done += count;
        }
        done
    }

    /// Adds bytes at the end.
    pub(crate) fn push(&mut self, chunk: Chunk) {
        let more = chunk.unread().len();
        self.len += more;
        let last = self.rest.back_mut().or(self.first.as_mut());
        if let (Some(Chunk::Heap { bytes, .. }), Chunk::Heap { bytes: new, read }) = (last, &chunk)
            && bytes.len() + more <= JOIN
        {
            bytes.extend_from_slice(new.get(*read..).unwrap_or_default());
            return;
        }
        match self.first {
            None => self.first = Some(chunk),
            Some(_) => self.rest.push_back(chunk),
        }
    }

    /// Takes the first chunk whole.
    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        let chunk = std::mem::replace(&mut self.first, self.rest.pop_front())?;
        self.len -= chunk.unread().len();
        Some(chunk)
    }

    /// Copies as many bytes as there are and fit.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Taken {
        let (mut done, mut frames) = (0, 0);
        while let Some(chunk) = &mut self.first {
            let unread = chunk.unread();
            let count = unread.len().min(into.len() - done);
            into[done..done + count].copy_from_slice(&unread[..count]);
            done += count;
            let all = count == unread.len();
            chunk.consume(count);
            if !all {
                break;
            }
            frames += u32::from(matches!(chunk, Chunk::Frame(_)));
            self.first = self.rest.pop_front();
        }
        self.len -= done;
        Taken { bytes: done as u32, frames }
    }

    /// Takes at most `most` bytes off the front, in memory of their own; `None` when there are none or none are wanted.
    pub(crate) fn take(&mut self, most: usize) -> Option<(Vec<u8>, Taken)> {
        let front = self.first.as_mut().filter(|_| most > 0)?;
        if front.unread().len() > most {
            let bytes = front.unread()[..most].to_vec();
            front.consume(most);
            self.len -= most;
            return Some((bytes, Taken { bytes: most as u32, frames: 0 }));
        }
        let chunk = self.pop()?;
        let frames = u32::from(matches!(chunk, Chunk::Frame(_)));
        let bytes = chunk.into_bytes();
        let taken = Taken { bytes: bytes.len() as u32, frames };
        Some((bytes, taken))
    }

    /// Throws everything away, as a read that nobody looks at.
    pub(crate) fn discard(&mut self) -> Taken {
        let Self { first, rest, len } = std::mem::take(self);
        let frames = first.iter().chain(&rest).filter(|chunk| matches!(chunk, Chunk::Frame(_))).count() as u32;
        Taken { bytes: len as u32, frames }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunk, JOIN, Received, Taken};
    use proptest::prelude::*;

    #[test]
    fn single_bytes_are_joined() {
        let mut received = Received::default();
        for byte in 0..=255 {
            received.push(Chunk::on_heap(vec![byte]));
        }
        assert_eq!((received.len, received.rest.len()), (256, 0));
        for _ in 0..JOIN {
            received.push(Chunk::on_heap(vec![0]));
        }
        assert_eq!(received.rest.len(), 1);
        assert_eq!(received.discard(), Taken { bytes: 256 + JOIN as u32, frames: 0 });
        assert!(received.is_empty() && received.pop().is_none());
    }

    proptest! {
        #[test]
        fn bytes_come_out_once_and_in_order(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3 * JOIN / 2), 0..12),
            reads in prop::collection::vec(0..5_000_usize, 0..12),
            takes in prop::collection::vec(0..5_000_usize, 0..12),
        ) {
            let mut received = Received::default();
            let sent = chunks.concat();
            for chunk in chunks {
                received.push(Chunk::on_heap(chunk));
            }
            prop_assert_eq!(received.len, sent.len());
            let mut got = Vec::new();
            for size in reads {
                let (mut ahead, skip) = (vec![0; size], size / 2);
                let seen = received.peek(skip, &mut ahead);
                let rest = sent.len() - got.len();
                prop_assert_eq!(seen, size.min(rest.saturating_sub(skip)));
                prop_assert_eq!(&ahead[..seen], sent.get(got.len() + skip..).map_or(&[][..], |rest| &rest[..seen]));
                let mut buffer = vec![0; size];
                let taken = received.read(&mut buffer);
                prop_assert_eq!(taken.bytes as usize, size.min(sent.len() - got.len()));
                got.extend_from_slice(&buffer[..taken.bytes as usize]);
            }
            for most in takes {
                let Some((bytes, taken)) = received.take(most) else { continue };
                prop_assert!(!bytes.is_empty() && bytes.len() <= most && taken.bytes as usize == bytes.len());
                got.extend_from_slice(&bytes);
                prop_assert_eq!(received.len, sent.len() - got.len());
            }
            while let Some(mut chunk) = received.pop() {
                got.extend_from_slice(chunk.unread());
                chunk.consume(0);
            }
            prop_assert_eq!(got, sent);
            prop_assert!(received.is_empty());
        }
    }
}
