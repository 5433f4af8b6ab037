//! What goes out next, one segment at a time.

use super::persist::Due;
use super::sender::{Patience, Slice};
use super::synchronised::{Context, Synchronised};
use crate::wire::{HEADROOM, SegmentWriter, write_segment};
use crate::{Codepoint, Flags, Head, Link};

/// The next segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    /// Bytes, FIN, or both.
    Data(Slice),
    /// A segment that the peer must answer: an old sequence number and no bytes (Linux: `tcp_xmit_probe_skb`).
    Probe,
    /// A bare acknowledgment.
    Acknowledgment,
}

impl Synchronised {
    /// Whether [`Self::transmit`] would write a segment.
    pub fn wants_transmit(&self, context: &Context<'_>) -> bool {
        self.plan(context, usize::MAX).is_some()
    }

    /// Writes the next segment into `frame`.
    pub fn transmit(&mut self, context: &Context<'_>, link: &Link, frame: &mut [u8]) -> Option<usize> {
        let room = frame.len().checked_sub(HEADROOM)?;
        let len = match self.plan(context, room)? {
            Plan::Data(slice) => self.send_data(context, &slice, link, frame),
            Plan::Probe => {
                self.persist.due = Due::Nothing;
                self.keepalive.due = false;
                let head = self.head(context, self.sender.una() - 1, Flags::empty());
                write_segment(frame, link, &head)
            }
            Plan::Acknowledgment => {
                let head = self.acknowledgment(context);
                write_segment(frame, link, &head)
            }
        };
        self.arm_timers(context.now, context.settings);
        Some(len)
    }

    fn plan(&self, context: &Context<'_>, room: usize) -> Option<Plan> {
        if self.stage.is_over() {
            return None;
        }
        let patience = match self.persist.due {
            Due::Override => Patience::Exhausted,
            Due::Nothing | Due::Probe => Self::patience(context.settings),
        };
        let limit = self.payload_limit().min(u32::try_from(room).unwrap_or(u32::MAX));
        if let Some(slice) = self.sender.next_slice(context.now, limit, patience) {
            Some(Plan::Data(slice))
        } else if self.persist.due == Due::Probe || self.keepalive.due {
            Some(Plan::Probe)
        } else {
            self.receiver.acks.due.then_some(Plan::Acknowledgment)
        }
    }

    /// Payload bytes that fit beside the options (RFC 6691).
    fn payload_limit(&self) -> u32 {
        let blocks = self.sack_blocks().as_slice().len() as u32;
        let sack = if blocks == 0 { 0 } else { 4 + 8 * blocks };
        u32::from(self.sender.mss()).saturating_sub(sack).max(1)
    }

    fn send_data(&mut self, context: &Context<'_>, slice: &Slice, link: &Link, frame: &mut [u8]) -> usize {
        let mut flags = Flags::empty();
        flags.set(Flags::PSH, slice.push);
        flags.set(Flags::FIN, slice.fin);
        self.receiver.acks.on_send(context.now);
        // Only new data is ECN-capable: not what is sent again, no bare acknowledgment, no probe (RFC 3168, sections 6.1.4 to 6.1.6).
        let is_new = slice.again.is_none() && slice.len > 0;
        let ecn = if self.ecn.is_agreed() && is_new { Codepoint::Ect0 } else { Codepoint::NotEct };
        flags.set(Flags::CWR, self.ecn.is_agreed() && is_new && self.sender.take_cwr());
        let head = self.head(context, slice.seq, flags);
        let head = Head { marking: head.marking.with(ecn), ..head };
        let mut writer = SegmentWriter::new(frame, link, &head);
        for piece in self.sender.payload(slice) {
            writer.append(piece);
        }
        let len = writer.finish();
        let counts = self.sender.sent(context.now, slice);
        self.counts = self.counts.and(counts);
        self.persist.due = Due::Nothing;
        len
    }
}
