//! How the send queue is cut into segments: RFC 9293, sections 3.7.1, 3.7.4 and 3.8.6.2.1; RFC 5681.

use super::flight::{Flight, Forced};
use super::{Fin, Sender};
use crate::connection::recovery::{CaState, Cause};
use crate::{Instant, SeqNum};

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
    /// Whether it is the tail loss probe.
    pub probe: bool,
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
    /// Short segments wait (TCP_CORK).
    Cork,
    /// Short segments wait while another is unacknowledged (Nagle).
    Nagle,
    /// Short segments go at once (TCP_NODELAY).
    NoDelay,
    /// Anything that fits the window goes: silly window avoidance has waited long enough (SHLD-15).
    Exhausted,
}

impl Sender {
    /// The segment to send next, with at most `limit` bytes: nothing new goes while something lost waits.
    pub fn next_slice(&self, now: Instant, limit: u32, patience: Patience) -> Option<Slice> {
        let flight = self.flight.as_deref()?;
        let forced = match flight.forced {
            Some(Forced::Oldest) => self.oldest(flight, limit),
            Some(Forced::Probe) => self.tail(flight, limit),
            None => None,
        };
        let by_window = || self.next_by_window(flight, limit, patience);
        forced.or_else(|| flight.pacing.until(now).is_none().then(by_window).flatten())
    }

    /// The payload of `slice`.
    pub fn payload(&self, slice: &Slice) -> impl Iterator<Item = &[u8]> {
        let Slice { seq, len, .. } = *slice;
        self.flight.iter().flat_map(move |flight| flight.queue.slices(seq, len))
    }

    /// Whether something waits, nothing is outstanding, and the window lets nothing through: then only the persist timer
    /// goes on.
    pub fn stuck(&self, patience: Patience) -> bool {
        let goes = |flight: &Flight| self.next_by_window(flight, self.mss.into(), patience).is_some();
        !self.outstanding() && self.busy() && !self.flight.as_deref().is_some_and(goes)
    }

    /// Whether nothing but pacing holds a segment back.
    pub(super) fn waits_for_pacing(&self, flight: &Flight, patience: Patience) -> bool {
        flight.forced.is_none() && self.next_by_window(flight, self.mss.into(), patience).is_some()
    }

    pub(super) fn unsent(&self, flight: &Flight) -> u32 {
        flight.queue.len().saturating_sub(self.in_flight())
    }

    /// What goes as far as the congestion window allows.
    fn next_by_window(&self, flight: &Flight, limit: u32, patience: Patience) -> Option<Slice> {
        if !flight.recovery.holds_back
            && let Some((start, end)) = flight.board.next_lost()
        {
            let cause = match flight.recovery.state {
                CaState::Loss => Cause::SlowStart,
                CaState::Open | CaState::Disorder | CaState::Cwr | CaState::Recovery => Cause::FastRetransmit,
            };
            return self.congestion_allows(flight).then(|| self.again(flight, start, end, cause, limit)).flatten();
        }
        let patience = if flight.recovery.holds_back { Patience::Exhausted } else { patience };
        self.congestion_allows(flight).then(|| self.next_new(flight, limit, patience)).flatten()
    }

    /// The oldest segment, whose timer fired.
    fn oldest(&self, flight: &Flight, limit: u32) -> Option<Slice> {
        self.again(flight, self.una, flight.board.head_end()?, Cause::Timeout, limit)
    }

    /// The tail loss probe: one segment more, or else the end of what is outstanding (RFC 8985, section 7.3).
    fn tail(&self, flight: &Flight, limit: u32) -> Option<Slice> {
        let new = self.next_new(flight, limit, Patience::Exhausted);
        let slice = new.or_else(|| {
            let (start, end) = flight.board.last()?;
            let bytes = end.earliest(self.stream_end(flight)).distance_from(start);
            self.again(flight, start + bytes.saturating_sub(limit), end, Cause::Probe, limit)
        })?;
        Some(Slice { probe: true, ..slice })
    }

    /// The sequence number of our FIN, whether it is sent or not.
    fn stream_end(&self, flight: &Flight) -> SeqNum {
        self.una + flight.queue.len()
    }

    /// Window left beyond SND.NXT; nothing when the peer took some back (MUST-34).
    pub(super) fn usable_window(&self) -> u32 {
        self.window.saturating_sub(self.in_flight())
    }

    /// `[start, end)` once more, a segment that was sent; or as much of it as fits, or the segments after it that fit as well.
    fn again(&self, flight: &Flight, start: SeqNum, end: SeqNum, cause: Cause, limit: u32) -> Option<Slice> {
        let ahead = start.distance_from(self.una);
        // The first unacknowledged segment goes even into a window that was taken back: it is the probe then (MUST-35).
        let room = match self.window.saturating_sub(ahead) {
            0 if ahead == 0 => limit,
            left => left.min(limit),
        };
        let fin = self.stream_end(flight);
        let whole = end.earliest(fin).distance_from(start) <= room;
        let end = if whole { flight.board.end_within(start, room).latest(end) } else { start + room };
        let len = end.earliest(fin).distance_from(start);
        let fin = end.after(fin);
        let push = len > 0 && start + len == self.stream_end(flight);
        (len > 0 || fin).then_some(Slice { seq: start, len, push, fin, again: Some(cause), probe: false })
    }

    /// What was never sent, whatever the congestion window says. FIN takes a place in the peer's window, but waits for no
    /// acknowledgment.
    pub(super) fn next_new(&self, flight: &Flight, limit: u32, patience: Patience) -> Option<Slice> {
        let fin_waits = self.fin == Fin::Queued && !self.nxt.after(self.stream_end(flight));
        let (unsent, window) = (self.unsent(flight), self.usable_window());
        let len = unsent.min(window).min(limit);
        let rest = len == unsent;
        let fin = fin_waits && rest && window > len;
        let allowed =
            if len == 0 { fin } else { len == limit || fin || self.may_be_short(flight, len, rest, patience) };
        let push = len > 0 && rest;
        allowed.then_some(Slice { seq: self.nxt, len, push, fin, again: None, probe: false })
    }

    /// Whether the congestion window has room for a segment. As in Linux a short one counts as a full one: it costs the
    /// network as many headers.
    pub(super) fn congestion_allows(&self, flight: &Flight) -> bool {
        let in_flight = flight.board.in_flight();
        in_flight == 0 || (in_flight + 1).saturating_mul(self.mss.into()) <= self.congestion.window()
    }

    /// Whether a segment of `len` bytes may go though it is not full-sized. When it is the `rest` of what is queued,
    /// Nagle's algorithm decides, in Minshall's form: it waits only while another short segment is unacknowledged. When
    /// the window cut it, it must be half of the largest window seen (RFC 9293, section 3.8.6.2.1, case 3).
    fn may_be_short(&self, flight: &Flight, len: u32, rest: bool, patience: Patience) -> bool {
        let short_outstanding = flight.short_end.after(self.una) && !flight.short_end.after(self.nxt);
        let window_share = len >= self.max_window / 2;
        match patience {
            Patience::Exhausted => true,
            Patience::Cork => false,
            Patience::NoDelay => rest || window_share,
            Patience::Nagle if rest => !short_outstanding,
            Patience::Nagle => window_share,
        }
    }
}
