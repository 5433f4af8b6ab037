//! Congestion avoidance of RFC 5681, which NewReno (RFC 6582) leaves as it is.

/// Half of what is in flight (RFC 5681, equation 4, without its floor).
pub(super) const fn reduced(flight: u32) -> u32 {
    flight / 2
}

/// Bytes that were acknowledged and have not opened the window yet (RFC 5681, section 3.1: appropriate byte counting;
/// Linux: `snd_cwnd_cnt`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Credit(u32);

impl Credit {
    /// Takes `bytes` newly acknowledged; by how much the window opens when one segment is due for each `price` bytes (Linux:
    /// `tcp_cong_avoid_ai`). NewReno's price is the window: one segment a round trip.
    pub fn earn(&mut self, bytes: u32, price: u32, mss: u32) -> u32 {
        let price = price.max(1);
        // Bytes that were saved at a higher price open the window once: not by a burst.
        let saved = if self.0 >= price { 1 } else { 0 };
        let total = if saved > 0 { bytes } else { self.0.saturating_add(bytes) };
        self.0 = total % price;
        (total / price).saturating_add(saved).saturating_mul(mss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    #[test]
    fn a_window_of_acknowledged_bytes_buys_a_segment() {
        let mut credit = Credit::default();
        for _ in 0..9 {
            assert_eq!(credit.earn(MSS, 10 * MSS, MSS), 0);
        }
        assert_eq!(credit.earn(MSS, 10 * MSS, MSS), MSS);
        assert_eq!(credit.earn(25 * MSS, 10 * MSS, MSS), 2 * MSS, "a stretch ACK loses nothing");
        assert_eq!(credit, Credit(5 * MSS));
    }

    #[test]
    fn what_was_saved_at_a_higher_price_buys_one_segment() {
        let mut credit = Credit(95 * MSS);
        assert_eq!(credit.earn(MSS, 2 * MSS, MSS), MSS);
        assert_eq!(credit, Credit(MSS));
    }
}
