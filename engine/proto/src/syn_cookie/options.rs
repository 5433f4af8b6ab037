//! What a cookie encodes besides its hash: a few bits for each option.

use crate::Tuple;
use crate::segment::{Mss, WindowScale};

/// The option bits of a sequence number, and those of a TSval.
pub(super) const ISS_OPTION_BITS: u32 = 7;
pub(super) const STAMP_OPTION_BITS: u32 = 5;

/// The MSS classes over IPv4 (Linux: `msstab`). The least is what every IPv4 host must be able to receive (RFC 1122,
/// section 3.3.2), so it is safe for peers that announced less.
const MSS_V4: [u16; 4] = [536, 1300, 1440, 1460];

/// The MSS classes over IPv6 (Linux: `msstab` of IPv6). The least is what every IPv6 link carries (RFC 8200, section 5).
const MSS_V6: [u16; 4] = [1220, 1420, 1440, 8940];

/// The window scale classes from 1 on; class 0 is no scaling. Those that systems use by default are met exactly, others
/// are rounded down: the peer's window then looks smaller than it is, which costs speed but never overruns it.
const SCALES: [u8; 7] = [0, 2, 4, 6, 7, 8, 10];

const _: () = assert!(1 + 2 + 3 + 1 == ISS_OPTION_BITS && 4 + 1 == STAMP_OPTION_BITS);
const _: () = assert!(MSS_V4.len() == 1 << 2 && MSS_V6.len() == 1 << 2 && 1 + SCALES.len() == 1 << 3);

/// In the options word: the form with timestamps.
const STAMPED: u32 = 1 << 8;

/// In the TSval: no window scaling, and ECN.
const NO_SCALE: u32 = 15;
const ECN: u32 = 1;

/// What a cookie encodes, before the mask: the low bits of the sequence number and, with timestamps, of the TSval.
pub(super) struct Options {
    pub(super) iss: u32,
    pub(super) stamp: Option<u32>,
}

impl Options {
    /// What is encoded in `tick`; `stamped` says whether there is a TSval to encode it in.
    pub(super) fn new(tick: u32, mss: MssClass, peer_scale: Option<WindowScale>, sack: bool, stamped: bool) -> Self {
        let scale_class = peer_scale.map_or(0, |scale| SCALES.partition_point(|&class| class <= scale.shift()) as u32);
        let exact_scale = peer_scale.map_or(NO_SCALE, |scale| u32::from(scale.shift()));
        Self {
            iss: (tick & 1) << 6 | mss.0 << 4 | scale_class << 1 | u32::from(sack),
            stamp: stamped.then_some(exact_scale << 1),
        }
    }

    /// The options word of the message.
    pub(super) fn word(&self) -> u32 {
        self.iss | self.stamp.map_or(0, |bits| STAMPED | bits << 16)
    }

    /// The only tick that a cookie with this parity can come from, if it is valid in `tick`.
    pub(super) fn minted(&self, tick: u32) -> u32 {
        tick.wrapping_sub((tick ^ self.iss >> 6) & 1)
    }

    /// The class of the peer's MSS.
    pub(super) fn mss_class(&self) -> MssClass {
        MssClass(self.iss >> 4 & 3)
    }

    /// The peer's window scale, if it scales; `None` for what [`new`](Self::new) never says.
    pub(super) fn peer_scale(&self) -> Option<Option<WindowScale>> {
        let Some(bits) = self.stamp else {
            let class = (self.iss >> 1 & 7) as usize;
            return Some(class.checked_sub(1).map(|index| WindowScale::clamped(SCALES[index])));
        };
        let scale = (bits >> 1 != NO_SCALE).then(|| WindowScale::clamped((bits >> 1) as u8));
        (bits & ECN == 0).then_some(scale)
    }

    /// Whether SACK is permitted.
    pub(super) fn sack(&self) -> bool {
        self.iss & 1 == 1
    }
}

/// A class of MSS, 0 to 3.
#[derive(Clone, Copy)]
pub(super) struct MssClass(u32);

impl MssClass {
    /// The largest class that is not above `mss`, or the least.
    pub(super) fn of(mss: Mss, tuple: &Tuple) -> Self {
        Self(Self::sizes(tuple).partition_point(|&size| size <= mss.get()).saturating_sub(1) as u32)
    }

    /// The MSS that the class stands for.
    pub(super) fn size(self, tuple: &Tuple) -> Mss {
        Mss::announced(Self::sizes(tuple)[(self.0 & 3) as usize]).unwrap_or(Mss::MIN)
    }

    fn sizes(tuple: &Tuple) -> &'static [u16; 4] {
        if tuple.is_ipv6() { &MSS_V6 } else { &MSS_V4 }
    }
}

/// The largest scale class that is not above `scale`.
pub(super) fn round_down(scale: WindowScale) -> WindowScale {
    let class = SCALES.iter().rfind(|&&class| class <= scale.shift());
    class.map_or(WindowScale::default(), |&class| WindowScale::clamped(class))
}
