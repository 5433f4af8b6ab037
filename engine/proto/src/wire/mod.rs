//! Bytes to [`Segment`](crate::Segment) and [`Head`](crate::Head) to bytes.

mod emit;
mod parse;

pub use emit::{HEADROOM, SegmentWriter, write_segment};
pub use parse::{ChecksumPolicy, parse};
