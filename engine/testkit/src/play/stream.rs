//! The two byte streams of a conversation, so that every byte is checked wherever it shows up.

use crate::script::{Bytes, pattern};
use crate::wire::WireSegment;
use synward_proto::Flags;

/// Bytes further into a stream than this are not remembered: the sequence number is a made-up one.
const HORIZON: usize = 16 << 20;

/// What one peer sent and what was written towards it.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    /// The peer's initial sequence number, once it has sent a SYN.
    irs: Option<u32>,
    /// The target's, once it has.
    iss: Option<u32>,
    /// What went in, by offset; the first copy counts.
    sent: Vec<Option<u8>>,
    /// What the sockets were given.
    written: Vec<u8>,
}

impl Streams {
    /// The payload of a segment with sequence number `seq` that the script writes as `bytes`.
    pub fn payload(&self, flags: Flags, seq: u32, bytes: &Bytes) -> Vec<u8> {
        match bytes {
            Bytes::Literal(bytes) => bytes.clone(),
            Bytes::Pattern(len) => {
                let start = self.irs.map_or(0, |irs| offset(irs, flags, seq));
                (start..start + len).map(pattern).collect()
            }
        }
    }

    /// Notes a segment that goes in. A SYN with another sequence number begins a new conversation.
    pub fn inject(&mut self, segment: &WireSegment) {
        if segment.flags.contains(Flags::SYN) && self.irs != Some(segment.seq) {
            let iss = self.iss.filter(|_| segment.flags.contains(Flags::ACK));
            let written = if iss.is_some() { std::mem::take(&mut self.written) } else { Vec::new() };
            *self = Self { irs: Some(segment.seq), iss, sent: Vec::new(), written };
        }
        let Some(irs) = self.irs else { return };
        let start = offset(irs, segment.flags, segment.seq);
        let end = start.saturating_add(segment.payload.len());
        if segment.payload.is_empty() || end > HORIZON {
            return;
        }
        if self.sent.len() < end {
            self.sent.resize(end, None);
        }
        for (slot, byte) in self.sent[start..end].iter_mut().zip(&segment.payload) {
            slot.get_or_insert(*byte);
        }
    }

    /// Notes a segment that came out, and checks its bytes against what was written.
    pub fn came_out(&mut self, segment: &WireSegment) -> Result<(), String> {
        if segment.flags.contains(Flags::SYN) {
            self.iss = Some(segment.seq);
        }
        let Some(iss) = self.iss else { return Ok(()) };
        let start = offset(iss, segment.flags, segment.seq);
        for (place, byte) in (start..).zip(&segment.payload) {
            match self.written.get(place) {
                Some(written) if written == byte => {}
                Some(written) => {
                    return Err(format!("byte {place} of the stream is {byte:#04x}, written was {written:#04x}"));
                }
                None => return Err(format!("byte {place} of the stream was never written")),
            }
        }
        Ok(())
    }

    /// The bytes that a write is given.
    pub fn to_write(&self, bytes: &Bytes) -> Vec<u8> {
        match bytes {
            Bytes::Literal(bytes) => bytes.clone(),
            Bytes::Pattern(len) => (self.written.len()..self.written.len() + len).map(pattern).collect(),
        }
    }

    /// Notes what a socket took.
    pub fn wrote(&mut self, bytes: &[u8]) {
        self.written.extend_from_slice(bytes);
    }

    /// What went in at `start..start + len`, where all of it is known.
    pub fn sent(&self, start: usize, len: usize) -> Option<Vec<u8>> {
        self.sent.get(start..start + len)?.iter().copied().collect()
    }
}

/// Where in the stream the payload of a segment begins; the SYN takes a place of its own.
fn offset(initial: u32, flags: Flags, seq: u32) -> usize {
    let first = if flags.contains(Flags::SYN) { seq.wrapping_add(1) } else { seq };
    first.wrapping_sub(initial.wrapping_add(1)) as usize
}
