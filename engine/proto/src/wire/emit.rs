//! A head and its payload become a frame, in one pass over the bytes.

use crate::{Head, Link};

/// The most bytes that headers take: Ethernet, two VLAN tags, IPv6, TCP with 40 bytes of options.
pub const HEADROOM: usize = 14 + 8 + 40 + 60;

/// Writes one segment into a frame: headers first, then payload piece by piece (each piece is copied and checksummed in
/// one pass), then lengths and checksums.
#[derive(Debug)]
pub struct SegmentWriter<'a> {
    frame: &'a mut [u8],
}

impl<'a> SegmentWriter<'a> {
    /// Writes the headers. `frame` must hold [`HEADROOM`] bytes and the payload.
    pub fn new(frame: &'a mut [u8], link: &Link, head: &Head) -> Self {
        let _ = (link, head);
        Self { frame }
    }

    /// Copies payload; what does not fit in the frame is left out, and the number of bytes taken is returned.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let _ = (bytes, &mut self.frame);
        todo!()
    }

    /// Fills in lengths and checksums, and returns the length of the frame.
    pub fn finish(self) -> usize {
        todo!()
    }
}

/// Writes a segment without payload; returns the length of the frame.
pub fn write_segment(frame: &mut [u8], link: &Link, head: &Head) -> usize {
    SegmentWriter::new(frame, link, head).finish()
}
