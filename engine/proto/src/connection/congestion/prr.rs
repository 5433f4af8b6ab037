//! Proportional rate reduction (RFC 9937): how the window comes down while losses are repaired.

/// What one acknowledgment did during recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::connection) struct Delivery {
    /// Bytes that it reports delivered for the first time, cumulatively or by SACK (DeliveredData).
    pub bytes: u32,
    /// Bytes in flight after it (pipe).
    pub in_flight: u32,
    /// Whether SND.UNA advanced and nothing more was found lost (SafeACK).
    pub is_safe: bool,
}

/// One episode of recovery, or of a reduced window after an ECN echo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::connection) struct Prr {
    /// RecoverFS: bytes that the network held when the episode began.
    flight: u32,
    /// prr_delivered.
    delivered: u32,
    /// prr_out.
    sent: u32,
}

impl Prr {
    /// An episode begins with `flight` bytes outstanding of which the peer had none: SND.NXT - SND.UNA before this
    /// acknowledgment, less what SACK had reported before it (RFC 9937, section 5).
    pub const fn new(flight: u32) -> Self {
        Self { flight: if flight > 0 { flight } else { 1 }, delivered: 0, sent: 0 }
    }

    /// The window after an acknowledgment that does not end the episode (RFC 9937, section 5; Linux: `tcp_cwnd_reduction`);
    /// `None` when it delivered nothing and so changes nothing.
    pub fn on_ack(&mut self, delivery: &Delivery, threshold: u32, mss: u32) -> Option<u32> {
        let Delivery { bytes, in_flight, is_safe } = *delivery;
        if bytes == 0 {
            return None;
        }
        self.delivered = self.delivered.saturating_add(bytes);
        let allowed = if in_flight > threshold {
            let due = (u64::from(self.delivered) * u64::from(threshold)).div_ceil(u64::from(self.flight));
            u32::try_from(due).unwrap_or(u32::MAX).saturating_sub(self.sent)
        } else {
            // Conservation, and one segment more while recovery makes progress (PRR-CRB, PRR-SSRB).
            let conserved = self.delivered.saturating_sub(self.sent).max(bytes);
            let allowed = if is_safe { conserved.saturating_add(mss) } else { conserved };
            allowed.min(threshold - in_flight)
        };
        // The first acknowledgment always sends something again.
        let allowed = if self.sent == 0 && allowed == 0 { mss } else { allowed };
        Some(in_flight.saturating_add(allowed))
    }

    /// Bytes were sent, new ones or again.
    pub fn on_sent(&mut self, bytes: u32) {
        self.sent = self.sent.saturating_add(bytes);
    }
}
