//! The simplest test bed: two namespaces and one veth pair between them.

use crate::{End, Host, LabError};

/// What a [`Pair`] is built of.
#[derive(Clone, Copy, Debug)]
pub struct PairConfig {
    /// The end under test. By default without any program, one queue.
    pub near: End,
    /// The other end. By default it carries the XDP pass program, so that it receives what `near` sends from XDP.
    pub far: End,
    /// The MTU of both ends. Native XDP refuses a veth whose peer's MTU is above about 3,500.
    pub mtu: u32,
}

impl Default for PairConfig {
    fn default() -> Self {
        Self { near: End::default(), far: End { xdp_pass: true, ..End::default() }, mtu: 1500 }
    }
}

/// Two namespaces, `near` and `far`, with one veth pair between `near0` and `far0`. Removed when dropped.
///
/// Addresses are `10.77.0.1` and `fd77::1` for `near`, `10.77.0.2` and `fd77::2` for `far`; each knows the other's
/// hardware address, so nothing waits for ARP or NDP.
#[derive(Debug)]
pub struct Pair {}

impl Pair {
    /// Builds the pair. It carries traffic when this returns.
    ///
    /// # Errors
    /// No privileges, or the kernel refuses a step; what was built until then is removed.
    pub fn up(config: &PairConfig) -> Result<Self, LabError> {
        let _ = config;
        todo!()
    }

    /// The end under test.
    #[must_use]
    pub fn near(&self) -> &Host {
        todo!()
    }

    /// The other end.
    #[must_use]
    pub fn far(&self) -> &Host {
        todo!()
    }

    /// Removes the pair and reports what failed, which dropping it does not.
    ///
    /// # Errors
    /// A removal that failed; the next [`crate::sweep`] tries again.
    pub fn down(self) -> Result<(), LabError> {
        todo!()
    }
}
