//! Where every frame is.

/// Where the frames of one port are: each is in exactly one place, so the lines add up to `total`.
///
/// Exact as far as user space can know. Of a frame given to the receive side, only the kernel knows whether it waits
/// in the fill ring, is with the device or lies in the rx ring; of a frame to send, whether it was sent: so each
/// side is one line.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ledger {
    /// Frames that the pool was made with.
    pub total: u32,
    /// In the pool.
    pub free: u32,
    /// Given to the receive side and not yet received: fill ring, device and rx ring.
    pub receiving: u32,
    /// Given to the transmit side and not yet reclaimed: tx ring, device and completion ring.
    pub sending: u32,
    /// With whoever drives the port: received or allocated, and not yet sent, lent or recycled.
    pub in_hand: u32,
    /// With readers, or come home from them since the last reclaim.
    pub lent: u32,
}

impl Ledger {
    /// Whether every frame is somewhere.
    pub fn is_balanced(&self) -> bool {
        self.missing() == 0
    }

    /// Frames that are nowhere: dropped instead of recycled, or never given back by the device. Negative when some
    /// are in two places, which would be a defect here.
    pub fn missing(&self) -> i64 {
        let Self { total, free, receiving, sending, in_hand, lent } = *self;
        i64::from(total) - [free, receiving, sending, in_hand, lent].map(i64::from).iter().sum::<i64>()
    }
}
