//! How the ends of veth pairs are configured.

use serde::{Deserialize, Serialize};

/// One end of a veth pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What the kernel leaves to "hardware" when it sends from this end.
    pub offloads: Offloads,
    /// Whether this end carries a native XDP program that passes everything to the kernel.
    ///
    /// Frames that the *peer* transmits by `XDP_TX` or by redirect arrive only at an end that polls itself, and this makes it
    /// poll; sending to it from an AF_XDP socket is then also about twice as cheap.
    pub xdp_pass: bool,
    /// Whether NAPI of this end runs in a kernel thread of its own instead of in softirq context, whenever this end polls
    /// itself: now, if it carries a program or has GRO on, or once a program is attached to it later.
    pub threaded_napi: bool,
}

/// The offloads of one interface, by the names of `ethtool -k`. The default is a fresh veth's: everything on but GRO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offloads {
    /// `tx-checksumming`: on, a sender leaves the TCP and UDP checksum unfinished (the field holds the pseudo-header sum).
    pub tx_checksum: bool,
    /// `tcp-segmentation-offload`: on, a sender emits TCP segments of up to 64 KiB. Needs `tx_checksum`, and the kernel
    /// segments all the same towards an end that carries an XDP program.
    pub tso: bool,
    /// `generic-segmentation-offload`: on, segmentation happens as late as possible.
    pub gso: bool,
    /// `generic-receive-offload`: on, an end that polls itself merges TCP segments before the stack sees them.
    pub gro: bool,
}

impl Offloads {
    /// Everything off: each packet is on the wire as TCP sees it, with a finished checksum.
    pub const NONE: Self = Self { tx_checksum: false, tso: false, gso: false, gro: false };
}

impl Default for Offloads {
    fn default() -> Self {
        Self { tx_checksum: true, tso: true, gso: true, gro: false }
    }
}
