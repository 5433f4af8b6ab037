//! The answer of nobody: which segment gets which RST (RFC 9293, section 3.5.2).

use crate::{Head, Segment};

/// The RST that answers a segment for which there is no connection; `None` for a segment with RST.
pub fn answer(segment: &Segment) -> Option<Head> {
    let _ = segment;
    todo!()
}
