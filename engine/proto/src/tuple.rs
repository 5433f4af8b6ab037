//! Who talks to whom.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// An address and a port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The IP address.
    pub addr: IpAddr,
    /// The TCP port, in host order.
    pub port: u16,
}

impl Endpoint {
    /// Joins an address and a port.
    pub const fn new(addr: IpAddr, port: u16) -> Self {
        Self { addr, port }
    }

    /// The address as 16 bytes, IPv4 in its mapped form (RFC 4291, section 2.5.5.2), so that one key layout serves both
    /// families.
    pub const fn addr_bytes(&self) -> [u8; 16] {
        match self.addr {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(socket: SocketAddr) -> Self {
        Self::new(socket.ip(), socket.port())
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(end: Endpoint) -> Self {
        Self::new(end.addr, end.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The two ends of a connection, as seen from here. Both ends are of one address family.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Our end.
    pub local: Endpoint,
    /// The peer's end.
    pub remote: Endpoint,
}

impl Tuple {
    /// The bytes that a keyed hash runs over: local address, remote address, local port, remote port (network order).
    pub fn key(&self) -> [u8; 36] {
        let mut key = [0; 36];
        key[..16].copy_from_slice(&self.local.addr_bytes());
        key[16..32].copy_from_slice(&self.remote.addr_bytes());
        key[32..34].copy_from_slice(&self.local.port.to_be_bytes());
        key[34..].copy_from_slice(&self.remote.port.to_be_bytes());
        key
    }

    /// The same connection as the peer sees it.
    pub const fn reversed(self) -> Self {
        Self { local: self.remote, remote: self.local }
    }

    /// Whether the addresses are IPv6.
    pub const fn is_ipv6(&self) -> bool {
        self.local.addr.is_ipv6()
    }
}

impl fmt::Debug for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}<-{}", self.local, self.remote)
    }
}
