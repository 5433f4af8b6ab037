//! Which addresses are ours, and how others are reached.

use crate::address::Family;
use crate::errno::{Errno, Result};
use std::net::IpAddr;
use synward_proto::{Endpoint, Link};

/// How a destination is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    /// Where from, unless the socket is bound to another address.
    pub(crate) source: IpAddr,
    /// Over which wire.
    pub(crate) link: Link,
}

/// What an engine knows of the network.
pub(crate) enum Network {
    /// What the caller has told: its addresses, and one way to everybody.
    Given { addresses: Vec<IpAddr>, link: Link },
}

impl Network {
    /// The network of one who brings and takes frames.
    pub(crate) fn given(addresses: Vec<IpAddr>, link: Link) -> Self {
        Self::Given { addresses, link }
    }

    fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Given { addresses, .. } => addresses,
        }
    }

    /// Whether a socket can be bound there.
    ///
    /// # Errors
    /// EADDRNOTAVAIL.
    pub(crate) fn check_ours(&self, address: &IpAddr) -> Result<()> {
        let ours = address.is_unspecified() || self.addresses().contains(address);
        if ours { Ok(()) } else { Err(Errno::ADDRESS_NOT_AVAILABLE) }
    }

    /// How a destination is reached.
    ///
    /// # Errors
    /// ENETUNREACH, EHOSTUNREACH.
    pub(crate) fn way_to(&self, remote: &Endpoint) -> Result<Way> {
        let family = Family::of(&remote.addr);
        let source = self.addresses().iter().find(|address| Family::of(address) == family).copied();
        let source = source.ok_or(Errno(libc::ENETUNREACH))?;
        match self {
            Self::Given { link, .. } => Ok(Way { source, link: *link }),
        }
    }
}
