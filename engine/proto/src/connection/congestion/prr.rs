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
    /// acknowledgment, less what SACK had reported before it (RFC 9937, section 6.1).
    pub const fn new(flight: u32) -> Self {
        Self { flight: if flight > 0 { flight } else { 1 }, delivered: 0, sent: 0 }
    }

    /// So many of the bytes were delivered by earlier acknowledgments, which nothing was sent for: they count as if this one had
    /// delivered them.
    pub const fn owing(self, delivered: u32) -> Self {
        Self { delivered, ..self }
    }

    /// The window after an acknowledgment that does not end the episode (RFC 9937, section 6.2; Linux: `tcp_cwnd_reduction`);
    /// `None` when it delivered nothing and so changes nothing.
    pub fn on_ack(&mut self, delivery: &Delivery, threshold: u32, mss: u32) -> Option<u32> {
        let Delivery { bytes, in_flight, is_safe } = *delivery;
        if bytes == 0 {
            return None;
        }
        self.delivered = self.delivered.saturating_add(bytes);
        let allowed = if in_flight > threshold {
            self.share(threshold, mss).saturating_sub(self.sent)
        } else {
            // Conservation, and one segment more while recovery makes progress (PRR-CRB, PRR-SSRB).
            let conserved = self.delivered.saturating_sub(self.sent).max(bytes);
            let allowed = if is_safe { conserved.saturating_add(mss) } else { conserved };
            allowed.min(threshold - in_flight)
        };
        // The first acknowledgment always sends something again.
        let allowed = if self.sent == 0 { allowed.max(mss) } else { allowed };
        Some(in_flight.saturating_add(allowed))
    }

    /// What may have been sent of what was delivered so far, in whole segments, rounded up.
    fn share(&self, threshold: u32, mss: u32) -> u32 {
        let due = u64::from(self.delivered) * u64::from(threshold);
        let segments = due.div_ceil(u64::from(self.flight) * u64::from(mss.max(1)));
        u32::try_from(segments.saturating_mul(mss.into())).unwrap_or(u32::MAX)
    }

    /// Bytes were sent, new ones or again.
    pub fn on_sent(&mut self, bytes: u32) {
        self.sent = self.sent.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const MSS: u32 = 1000;

    /// Plays duplicate acknowledgments that each report one segment, with `in_flight` segments left after the first and one
    /// segment sent whenever the window has room. Returns window, pipe and segments sent after each.
    fn play(prr: &mut Prr, threshold: u32, mut in_flight: u32, acks: u32) -> Vec<(u32, u32, u32)> {
        let mut seen = Vec::new();
        for ack in 0..acks {
            in_flight -= u32::from(ack > 0);
            let delivery = Delivery { bytes: MSS, in_flight: in_flight * MSS, is_safe: false };
            let window = prr.on_ack(&delivery, threshold * MSS, MSS).expect("delivered something") / MSS;
            let sent = window - in_flight;
            prr.on_sent(sent * MSS);
            seen.push((window, in_flight, sent));
            in_flight += sent;
        }
        seen
    }

    /// RFC 9937, section 8, first example: one segment of 20 is lost, limited transmit has sent two more, ssthresh is 10. From
    /// the third duplicate acknowledgment on, every other one sends a segment. (The example's figure sends one at the 19th
    /// with exactly ssthresh in flight; by the algorithm itself, and in Linux, that one goes with the 20th.)
    #[test]
    fn a_single_loss_comes_down_evenly() {
        let mut prr = Prr::new(20 * MSS);
        let seen = play(&mut prr, 10, 18, 19);
        let windows: Vec<u32> = seen.iter().map(|&(window, ..)| window).collect();
        assert_eq!(windows, [19, 18, 18, 17, 17, 16, 16, 15, 15, 14, 14, 13, 13, 12, 12, 11, 10, 10, 10]);
        let pipes: Vec<u32> = seen.iter().map(|&(_, in_flight, _)| in_flight).collect();
        assert_eq!(pipes, [18, 18, 17, 17, 16, 16, 15, 15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 9, 9]);
        let sent: u32 = seen.iter().map(|&(.., sent)| sent).sum();
        assert_eq!(sent, 10, "half of what was delivered, rounded up");
    }

    /// RFC 9937, section 8, second example: 15 of 20 are lost, so the pipe is below ssthresh at once. Each acknowledgment sends
    /// one segment, and two once SND.UNA advances.
    #[test]
    fn a_burst_of_losses_conserves_packets_and_then_catches_up() {
        let mut prr = Prr::new(20 * MSS);
        assert_eq!(play(&mut prr, 10, 4, 5), [(5, 4, 1); 5]);
        let safe = Delivery { bytes: MSS, in_flight: 4 * MSS, is_safe: true };
        assert_eq!(prr.on_ack(&safe, 10 * MSS, MSS), Some(6 * MSS), "slow start");
        prr.on_sent(2 * MSS);
        let near = Delivery { bytes: MSS, in_flight: 9 * MSS, is_safe: true };
        assert_eq!(prr.on_ack(&near, 10 * MSS, MSS), Some(10 * MSS), "up to ssthresh and no further");
    }

    #[test]
    fn what_could_not_be_sent_at_once_may_be_later() {
        let mut prr = Prr::new(20 * MSS);
        for _ in 0..3 {
            let _ = prr.on_ack(&Delivery { bytes: MSS, in_flight: 5 * MSS, is_safe: false }, 10 * MSS, MSS);
        }
        let late = Delivery { bytes: MSS, in_flight: 4 * MSS, is_safe: false };
        assert_eq!(prr.on_ack(&late, 10 * MSS, MSS), Some(8 * MSS), "four delivered, none sent");
    }

    /// Four in flight, the first lost: three acknowledgments that come together send it again and one more, as they would have
    /// sent three had they come one by one.
    #[test]
    fn what_was_delivered_before_and_not_answered_counts() {
        let last = Delivery { bytes: MSS, in_flight: 0, is_safe: false };
        assert_eq!(Prr::new(2 * MSS).on_ack(&last, 2 * MSS, MSS), Some(MSS));
        assert_eq!(Prr::new(4 * MSS).owing(2 * MSS).on_ack(&last, 2 * MSS, MSS), Some(2 * MSS));
    }

    #[test]
    fn an_acknowledgment_without_delivery_changes_nothing_and_the_first_always_sends() {
        let mut prr = Prr::new(20 * MSS);
        assert_eq!(prr.on_ack(&Delivery { bytes: 0, in_flight: 5 * MSS, is_safe: true }, 10 * MSS, MSS), None);
        let full = Delivery { bytes: MSS, in_flight: 10 * MSS, is_safe: false };
        assert_eq!(prr.on_ack(&full, 10 * MSS, MSS), Some(11 * MSS), "the retransmission");
        prr.on_sent(MSS);
        assert_eq!(prr.on_ack(&full, 10 * MSS, MSS), Some(10 * MSS));
    }

    proptest! {
        /// Above ssthresh no more is ever sent than its share of what was delivered; below, the pipe never grows past it.
        #[test]
        fn the_window_approaches_the_threshold(
            flight in 0u32..1 << 30, threshold in 2u32..1 << 30, mss in 1u32..=65_535,
            acks in proptest::collection::vec((0u32..1 << 20, 0u32..1 << 30, any::<bool>()), 1..30),
        ) {
            let mut prr = Prr::new(flight);
            let (mut delivered, mut sent) = (0u64, 0u64);
            for (bytes, in_flight, is_safe) in acks {
                let Some(window) = prr.on_ack(&Delivery { bytes, in_flight, is_safe }, threshold, mss) else { continue };
                delivered += u64::from(bytes);
                prop_assert!(window >= in_flight);
                let allowed = window - in_flight;
                if in_flight > threshold {
                    let share = delivered * u64::from(threshold) / u64::from(flight.max(1)) + u64::from(mss);
                    prop_assert!(sent + u64::from(allowed) <= share.max(sent));
                } else {
                    prop_assert!(window <= threshold || sent == 0 && allowed <= mss);
                }
                prr.on_sent(allowed);
                sent += u64::from(allowed);
            }
        }
    }
}
