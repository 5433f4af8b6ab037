//! Which addresses are ours, and how others are reached.

use crate::address::Family;
use crate::errno::{Errno, Result};
use crate::interface::Program;
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
    /// What the kernel knows of an interface.
    Interface(Box<Program>),
}

impl Network {
    /// The network of one who brings and takes frames.
    pub(crate) fn given(addresses: Vec<IpAddr>, link: Link) -> Self {
        Self::Given { addresses, link }
    }

    /// The network of an interface.
    pub(crate) fn interface(program: Program) -> Self {
        Self::Interface(Box::new(program))
    }

    fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Given { addresses, .. } => addresses,
            Self::Interface(program) => program.addresses(),
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
        match self {
            Self::Given { addresses, link } => {
                let family = Family::of(&remote.addr);
                let source = addresses.iter().find(|address| Family::of(address) == family).copied();
                Ok(Way { source: source.ok_or(Errno(libc::ENETUNREACH))?, link: *link })
            }
            Self::Interface(program) => program.way_to(remote),
        }
    }

    /// Keeps a port that a socket was bound to from everybody else on this host.
    ///
    /// # Errors
    /// EADDRINUSE when somebody has it.
    pub(crate) fn reserve(&self, end: &Endpoint) -> Result<()> {
        match self {
            Self::Given { .. } => Ok(()),
            Self::Interface(program) => program.reserve(end),
        }
    }

    /// Has segments to a port come to the engine, from now on and for good.
    ///
    /// # Errors
    /// ENOBUFS when there are too many.
    pub(crate) fn own(&self, end: &Endpoint) -> Result<()> {
        match self {
            Self::Given { .. } => Ok(()),
            Self::Interface(program) => program.own(end),
        }
    }
}
