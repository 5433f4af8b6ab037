//! The send buffer: what the application hands over, and how much of it there may be.

use super::flight::Flight;
use super::{Fin, Sender};
use crate::Instant;
use alloc::vec::Vec;
use core::mem;

impl Sender {
    /// Adds bytes to the queue, unless the application has ended it.
    pub fn push(&mut self, now: Instant, bytes: Vec<u8>) {
        if self.fin != Fin::Open {
            return;
        }
        let idle = now - self.last_sent;
        if !self.outstanding() && self.queued() == 0 && idle > self.rtt.rto() {
            self.congestion.on_restart(idle, self.rtt.rto(), self.mss.into());
        }
        let una = self.una;
        self.flight_mut().queue.push(una, bytes);
    }

    /// Drops what is queued: the connection is over.
    pub fn discard(&mut self) {
        self.flight = None;
    }

    /// FIN follows the queued bytes.
    pub fn finish(&mut self) {
        if self.fin == Fin::Open {
            self.fin = Fin::Queued;
            self.flight_mut();
        }
    }

    /// Bytes that the application may have unsent or unacknowledged, of which the settings allow `buffer`.
    pub fn buffer(&self, buffer: u32) -> u32 {
        buffer.saturating_add(self.grown)
    }

    /// The application has set the size of the send buffer: it does not grow any more.
    pub fn set_buffer(&mut self) {
        self.grown = 0;
    }

    /// Lets the send buffer grow from `buffer` to twice the congestion window, at most to `most`, when it held the sender back
    /// (Linux: `tcp_sndbuf_expand`, `tcp_should_expand_sndbuf`). The acknowledgment that makes it grow freed `freed` bytes.
    pub fn grow_buffer(&mut self, freed: u32, buffer: u32, most: u32) {
        let (mss, size) = (u32::from(self.mss), self.buffer(buffer));
        let was_full = self.queued().saturating_add(freed).saturating_add(mss) > size;
        let waits = |flight: &Flight| !self.congestion_allows(flight) || self.unsent(flight) > 0;
        if !was_full || self.flight.as_deref().is_some_and(waits) {
            return;
        }
        let reordered = (u32::from(self.reordering.degree()) + 1).saturating_mul(mss);
        let wanted = self.congestion.window().max(reordered).saturating_mul(2).min(most);
        let growth = wanted.saturating_sub(size);
        self.grown = self.grown.saturating_add(growth);
        self.freed = self.freed.saturating_add(growth);
    }

    /// Bytes by which the send buffer has room since the last call.
    pub fn take_freed(&mut self) -> u32 {
        mem::take(&mut self.freed)
    }
}
