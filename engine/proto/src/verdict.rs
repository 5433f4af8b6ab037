//! One packet, one verdict.

use crate::{Counts, DropReason, Head, Span};

/// What becomes of a received frame. Every frame gets exactly one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Its segment did its work; the frame goes home (or carries the reply).
    Consumed,
    /// `Span` of it is the next bytes of the stream; the frame goes to the reader.
    Delivered(Span),
    /// It was dead on arrival, for this reason; the frame goes home (or carries the reply).
    Dropped(DropReason),
}

/// What a state decided about one segment. State code returns it; only the engine's `apply` acts on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Verdict {
    /// What becomes of the frame.
    pub fate: Fate,
    /// At most one immediate answer, written over the frame that asked. Never together with [`Fate::Delivered`].
    pub reply: Option<Head>,
    /// Counters to raise by one.
    pub counts: Counts,
}

impl Verdict {
    /// The segment did its work.
    pub const CONSUMED: Self = Self { fate: Fate::Consumed, reply: None, counts: Counts::NONE };

    /// The segment is dead for `reason`.
    pub const fn dropped(reason: DropReason) -> Self {
        Self { fate: Fate::Dropped(reason), ..Self::CONSUMED }
    }

    /// `span` of the frame is the next bytes of the stream.
    pub const fn delivered(span: Span) -> Self {
        Self { fate: Fate::Delivered(span), ..Self::CONSUMED }
    }

    /// The same verdict with an immediate answer.
    pub const fn reply(self, head: Head) -> Self {
        Self { reply: Some(head), ..self }
    }

    /// The same verdict with `counts` raised too.
    pub const fn counting(self, counts: Counts) -> Self {
        Self { counts: self.counts.and(counts), ..self }
    }
}
