//! TCP options (RFC 9293, section 3.2; RFC 2018; RFC 7323).
//!
//! Read as Linux reads them (`tcp_parse_options`): a length that is no length ends the walk and what was read before
//! stands (MUST-7), an unknown option is skipped (MUST-6), a known one of the wrong length too, and of two alike the
//! later counts. Written as Linux writes them (`tcp_options_write`), to the byte.

use crate::segment::{DataOptions, Mss, SackBlock, SackBlocks, SynOptions, Timestamps, WindowScale};
use crate::{Options, SeqNum};

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// The most bytes of options: a data offset of 15 words, less the fixed header.
pub(super) const MAX_LEN: usize = 40;

/// Reads the options of a segment with SYN.
pub(super) fn parse_syn(bytes: &[u8]) -> SynOptions {
    let mut options = SynOptions::default();
    for (kind, body) in Walk(bytes) {
        match (kind, body) {
            // An MSS of zero says nothing, not even against an earlier one (Linux).
            (MSS, &[high, low]) => options.mss = Mss::announced(u16::from_be_bytes([high, low])).or(options.mss),
            (WINDOW_SCALE, &[shift]) => options.window_scale = Some(WindowScale::clamped(shift)),
            (SACK_PERMITTED, []) => options.sack_permitted = true,
            (TIMESTAMPS, body) => options.timestamps = timestamps(body).or(options.timestamps),
            _ => {}
        }
    }
    options
}

/// Reads the options of a segment without SYN.
#[inline]
pub(super) fn parse_data(bytes: &[u8]) -> DataOptions {
    let mut options = DataOptions::default();
    for (kind, body) in Walk(bytes) {
        match kind {
            TIMESTAMPS => options.timestamps = timestamps(body).or(options.timestamps),
            SACK => options.sack = sack_blocks(body).unwrap_or(options.sack),
            _ => {}
        }
    }
    options
}

/// The options of a header, as (kind, body).
struct Walk<'a>(&'a [u8]);

impl<'a> Iterator for Walk<'a> {
    type Item = (u8, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match *self.0 {
                [NOP, ref after @ ..] => self.0 = after,
                [] | [END, ..] | [_] => return None,
                [kind, len, ref after @ ..] => {
                    // The length counts kind and length too.
                    let body_len = usize::from(len).checked_sub(2)?;
                    let (body, rest) = after.split_at_checked(body_len)?;
                    self.0 = rest;
                    return Some((kind, body));
                }
            }
        }
    }
}

fn timestamps(body: &[u8]) -> Option<Timestamps> {
    let &[a, b, c, d, e, f, g, h] = body else { return None };
    Some(Timestamps { value: u32::from_be_bytes([a, b, c, d]), echo: u32::from_be_bytes([e, f, g, h]) })
}

/// The blocks of a SACK option: one to four, nothing left over.
fn sack_blocks(body: &[u8]) -> Option<SackBlocks> {
    let (chunks, []) = body.as_chunks::<8>() else { return None };
    if chunks.is_empty() {
        return None;
    }
    let mut blocks = SackBlocks::NONE;
    for &[a, b, c, d, e, f, g, h] in chunks {
        let (start, end) = (SeqNum(u32::from_be_bytes([a, b, c, d])), SeqNum(u32::from_be_bytes([e, f, g, h])));
        blocks.push(SackBlock { start, end });
    }
    Some(blocks)
}

/// Options as they stand on the wire.
pub(super) struct Encoded {
    words: [[u8; 4]; MAX_LEN / 4],
    len: usize,
}

impl Encoded {
    /// Lays options out in Linux's order, each padded to whole words.
    pub(super) fn new(options: &Options) -> Self {
        let mut encoded = Self { words: [[NOP; 4]; MAX_LEN / 4], len: 0 };
        match options {
            Options::Syn(options) => encoded.put_syn(options),
            Options::Data(options) => encoded.put_data(options),
        }
        encoded
    }

    /// The bytes: whole words, at most [`MAX_LEN`].
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.words.get(..self.len).unwrap_or_default().as_flattened()
    }

    fn put_syn(&mut self, options: &SynOptions) {
        let SynOptions { mss, window_scale, sack_permitted, timestamps } = options;
        if let Some(mss) = mss {
            let [high, low] = mss.get().to_be_bytes();
            self.put([MSS, 4, high, low]);
        }
        match (timestamps, sack_permitted) {
            (Some(timestamps), true) => self.put_timestamps([SACK_PERMITTED, 2], timestamps),
            (Some(timestamps), false) => self.put_timestamps([NOP, NOP], timestamps),
            (None, true) => self.put([NOP, NOP, SACK_PERMITTED, 2]),
            (None, false) => {}
        }
        if let Some(scale) = window_scale {
            self.put([NOP, WINDOW_SCALE, 3, scale.shift()]);
        }
    }

    fn put_data(&mut self, options: &DataOptions) {
        let DataOptions { timestamps, sack } = options;
        if let Some(timestamps) = timestamps {
            self.put_timestamps([NOP, NOP], timestamps);
        }
        // "A SACK option that specifies n blocks will have a length of 8*n+2 bytes, so the 40 bytes available for TCP
        // options can specify a maximum of 4 blocks", three with timestamps (RFC 2018, section 3).
        let room = (self.words.len() - self.len).saturating_sub(1) / 2;
        let blocks = sack.as_slice();
        let blocks = blocks.get(..room).unwrap_or(blocks);
        if blocks.is_empty() {
            return;
        }
        self.put([NOP, NOP, SACK, 2 + 8 * blocks.len() as u8]);
        for block in blocks {
            self.put(block.start.0.to_be_bytes());
            self.put(block.end.0.to_be_bytes());
        }
    }

    /// `before` are the two bytes that align the values: SACK-permitted where it is due, else padding.
    fn put_timestamps(&mut self, before: [u8; 2], timestamps: &Timestamps) {
        let [first, second] = before;
        self.put([first, second, TIMESTAMPS, 10]);
        self.put(timestamps.value.to_be_bytes());
        self.put(timestamps.echo.to_be_bytes());
    }

    fn put(&mut self, word: [u8; 4]) {
        if let Some(slot) = self.words.get_mut(self.len) {
            *slot = word;
            self.len += 1;
        }
    }
}

#[cfg(test)]
mod tests;
