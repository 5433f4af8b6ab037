//! How the send queue is cut into segments: RFC 9293, sections 3.7.1, 3.7.4 and 3.8.6.2.1; RFC 5681.

use super::{Fin, Sender};
use crate::SeqNum;
use crate::connection::recovery::Cause;

/// A segment to send, cut from the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::connection) struct Slice {
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// Payload bytes.
    pub len: u32,
    /// Whether it ends the queued bytes: PSH (MUST-61).
    pub push: bool,
    /// Whether it carries the FIN.
    pub fin: bool,
    /// Why it is sent again, if it is.
    pub again: Option<Cause>,
}

impl Slice {
    /// The sequence number after the segment.
    pub fn end(&self) -> SeqNum {
        self.seq + self.len + u32::from(self.fin)
    }
}

/// How short a segment may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::connection) enum Patience {
    /// Short segments wait while another is unacknowledged (Nagle).
    Nagle,
    /// Short segments go at once (TCP_NODELAY).
    NoDelay,
    /// Anything that fits the window goes: silly window avoidance has waited long enough (SHLD-15).
    Exhausted,
}

impl Sender {
    /// The segment to send next, with at most `limit` bytes: nothing new goes while something lost waits.
    pub fn next_slice(&self, limit: u32, patience: Patience) -> Option<Slice> {
        match self.recovery.pending() {
            Some((from, cause)) => self.next_again(from, cause, limit),
            None => self.next_new(limit, patience),
        }
    }

    /// The payload of `slice`.
    pub fn payload(&self, slice: &Slice) -> impl Iterator<Item = &[u8]> {
        self.queue.slices(slice.seq, slice.len)
    }

    /// Whether something waits, nothing is outstanding, and the window lets nothing through: then only the persist timer
    /// goes on.
    pub fn stuck(&self, patience: Patience) -> bool {
        !self.outstanding() && self.busy() && self.next_new(self.mss.into(), patience).is_none()
    }

    pub(super) fn unsent(&self) -> u32 {
        self.queue.len().saturating_sub(self.nxt.distance_from(self.una))
    }

    /// The sequence number of our FIN, whether it is sent or not.
    fn stream_end(&self) -> SeqNum {
        self.una + self.queue.len()
    }

    /// Window left beyond SND.NXT; nothing when the peer took some back (MUST-34).
    fn usable_window(&self) -> u32 {
        self.window.saturating_sub(self.nxt.distance_from(self.una))
    }

    fn next_again(&self, from: SeqNum, cause: Cause, limit: u32) -> Option<Slice> {
        let ahead = from.distance_from(self.una);
        // The first unacknowledged segment goes even into a window that was taken back: it is the probe then (MUST-35).
        let window = match self.window.saturating_sub(ahead) {
            0 if ahead == 0 => limit,
            left => left,
        };
        let sent = self.nxt.distance_from(from);
        let bytes = self.stream_end().distance_from(from).min(sent);
        let len = bytes.min(limit).min(window);
        let fin = len == bytes && sent > bytes;
        let allowed = match cause {
            Cause::FastRetransmit => true,
            Cause::Timeout => ahead == 0 || ahead.saturating_add(len) <= self.congestion.window(),
        };
        let push = len > 0 && len == bytes && self.unsent() == 0;
        (allowed && (len > 0 || fin)).then_some(Slice { seq: from, len, push, fin, again: Some(cause) })
    }

    fn next_new(&self, limit: u32, patience: Patience) -> Option<Slice> {
        let fin_waits = self.fin == Fin::Queued && !self.nxt.after(self.stream_end());
        let (unsent, window) = (self.unsent(), self.usable_window());
        let len = unsent.min(window).min(limit);
        let rest = len == unsent;
        // FIN takes a place in the window, but waits for no acknowledgment (Linux: `tcp_cwnd_test`).
        let fin = fin_waits && rest && window > len;
        if len == 0 {
            return fin.then_some(Slice { seq: self.nxt, len, push: false, fin, again: None });
        }
        let allowed = self.congestion_allows(len) && (len == limit || fin || self.may_be_short(len, rest, patience));
        allowed.then_some(Slice { seq: self.nxt, len, push: rest, fin, again: None })
    }

    fn congestion_allows(&self, len: u32) -> bool {
        let flight = self.recovery.in_flight(self.una, self.nxt);
        let extra = self.recovery.limited_transmit() * u32::from(self.mss);
        flight == 0 || flight.saturating_add(len) <= self.congestion.window().saturating_add(extra)
    }

    /// Whether a segment of `len` bytes may go though it is not full-sized. When it is the `rest` of what is queued,
    /// Nagle's algorithm decides, in Minshall's form: it waits only while another short segment is unacknowledged. When
    /// the window cut it, it must be half of the largest window seen (RFC 9293, section 3.8.6.2.1, case 3).
    fn may_be_short(&self, len: u32, rest: bool, patience: Patience) -> bool {
        let short_outstanding = self.short_end.after(self.una) && !self.short_end.after(self.nxt);
        let window_share = len >= self.max_window / 2;
        match patience {
            Patience::Exhausted => true,
            Patience::NoDelay => rest || window_share,
            Patience::Nagle if rest => !short_outstanding,
            Patience::Nagle => window_share,
        }
    }
}
