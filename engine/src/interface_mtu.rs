//! The interface's MTU has changed: listeners announce another MSS at once, connections hear of it by and by.

use crate::config::MIN_MTU;
use crate::shard::{FamilyTerms, Shard};
use crate::shield_link::ShieldLink;
use synward_proto::Instant;
use synward_proto::connection::Events;

/// Places of connections that are told per turn.
const TOLD_PER_TURN: u32 = 1024;

/// A change that not all connections have heard of.
#[derive(Debug)]
pub(crate) struct MtuChange {
    /// The terms before it.
    old: FamilyTerms,
    /// The first connection that has not heard.
    next: u32,
}

impl Shard {
    /// Learns that the interface's MTU is another. Listeners announce what fits, to half-open connections, too, should their
    /// SYN-ACK be sent again, and so does the shield; new connections go by it, and established ones do from one of the next
    /// turns on. A packet that does not fit in a frame is no use to us.
    pub(crate) fn set_mtu(&mut self, mtu: u32) {
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX).clamp(MIN_MTU, self.limits.largest_mtu);
        if mtu == self.config.mtu {
            return;
        }
        tracing::info!(mtu, "the interface has another MTU");
        self.config.mtu = mtu;
        let old = std::mem::replace(&mut self.terms, self.config.terms());
        self.mtu_change = Some(MtuChange { old, next: 0 });
        self.listeners.set_terms(&self.terms);
        let offer = self.config.offer();
        for entry in self.listeners.iter() {
            self.half_opens.table.set_offer(entry.listener.id(), &offer.with(&entry.options));
        }
        if let Some(ShieldLink { shield, .. }) = &self.shield {
            shield.set_mss(offer.mss_v4, offer.mss_v6);
        }
    }

    /// Tells a few connections of a change; true when others are left.
    pub(crate) fn spread_mtu(&mut self, now: Instant) -> bool {
        let Some(MtuChange { old, next }) = self.mtu_change.take() else { return false };
        let end = next.saturating_add(TOLD_PER_TURN);
        for index in next..end {
            let Some(entry) = self.connections.get_mut(index) else { continue };
            let tuple = *entry.connection.tuple();
            entry.connection.on_interface_mtu(now, old.of(&tuple), self.terms.of(&tuple));
            self.settle(now, index, Events::empty());
        }
        if (end as usize) < self.connections.limit() {
            self.mtu_change = Some(MtuChange { old, next: end });
        }
        self.mtu_change.is_some()
    }
}
