//! What the program and its loader share: the layouts of bpf/maps.h, and the owned set in the terms of its users.
//!
//! Invariant defended (by the `Pod` implementations): every byte of a key or value is initialised, and any bytes are a
//! valid one.

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// A transport protocol of which ports can be owned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// TCP.
    Tcp,
}

impl Protocol {
    /// The number in the IP header (IANA protocol numbers).
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
        }
    }
}

/// One port that belongs to the engine instead of the kernel.
///
/// The unspecified address (`0.0.0.0`, `::`) is the wildcard of its own family: it owns the port at *every* destination
/// address of that family that arrives on the interface, whatever the VLAN, including addresses of hosts behind this one
/// if it routes or bridges. On an interface that forwards for others, name the addresses. To own a port in both
/// families, own it twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Owned {
    /// The protocol of the port.
    pub protocol: Protocol,
    /// The destination address, or the wildcard of its family.
    pub address: IpAddr,
    /// The destination port; never zero.
    pub port: u16,
}

/// What becomes of TCP fragments sent to an address at which some port is owned. The engine reassembles none, and only a
/// first fragment says for which port it is, so they are judged by address alone. (A packet with an IPv6 Fragment header
/// counts as one even if it is the only piece.)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fragments {
    /// Dropped and counted: a kernel that reassembled them would answer those for owned ports with RST.
    #[default]
    Drop,
    /// Left to the kernel. For hosts whose kernel serves fragmented TCP on other ports of an owned address.
    Pass,
}

/// `struct owned_address`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub(crate) struct AddressKey {
    bytes: [u8; 16],
    family: u8,
    protocol: u8,
    unused: u16,
}

/// `struct owned_port`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub(crate) struct PortKey {
    address: AddressKey,
    port: [u8; 2],
    unused: u16,
}

/// `struct port_range`: all zero for no port at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct PortRange {
    lo: u16,
    hi: u16,
}

/// What becomes of frames for a poll loop that has stalled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnStall {
    /// Dropped and counted: live connections wait.
    #[default]
    Drop,
    /// Left to the kernel, which answers those of live connections with RST.
    Pass,
}

/// `struct settings`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Settings {
    pub(crate) pass_fragments: u32,
    pub(crate) pass_stalled: u32,
    pub(crate) stall_limit: u64,
    pub(crate) owned_generation: u64,
}

/// `struct cookie_key`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct CookieKey {
    k0: u64,
    k1: u64,
    epoch: u32,
    valid: u32,
}

/// Places for cookie keys.
pub(crate) const COOKIE_KEYS: u32 = 4;

const _: () = assert!(size_of::<AddressKey>() == 20);
const _: () = assert!(size_of::<PortKey>() == 24);
const _: () = assert!(size_of::<PortRange>() == 4);
const _: () = assert!(size_of::<Settings>() == 24);
const _: () = assert!(size_of::<CookieKey>() == 24);

// SAFETY: integers only, and the sizes asserted above leave no padding.
unsafe impl aya::Pod for AddressKey {}
// SAFETY: as above.
unsafe impl aya::Pod for PortKey {}
// SAFETY: as above.
unsafe impl aya::Pod for PortRange {}
// SAFETY: as above.
unsafe impl aya::Pod for Settings {}
// SAFETY: as above.
unsafe impl aya::Pod for CookieKey {}

impl CookieKey {
    /// SipHash reads its key as two little-endian words.
    pub(crate) fn new(epoch: u32, key: &[u8; 16]) -> Self {
        let key = u128::from_le_bytes(*key);
        Self { k0: key as u64, k1: (key >> 64) as u64, epoch, valid: 1 }
    }
}

impl AddressKey {
    pub(crate) fn new(protocol: Protocol, address: IpAddr) -> Self {
        let mut bytes = [0; 16];
        let family = match address {
            IpAddr::V4(address) => {
                bytes[..4].copy_from_slice(&address.octets());
                4
            }
            IpAddr::V6(address) => {
                bytes = address.octets();
                6
            }
        };
        Self { bytes, family, protocol: protocol.number(), unused: 0 }
    }
}

impl Owned {
    pub(crate) fn address_key(&self) -> AddressKey {
        AddressKey::new(self.protocol, self.address)
    }

    pub(crate) fn port_key(&self) -> PortKey {
        PortKey { address: self.address_key(), port: self.port.to_be_bytes(), unused: 0 }
    }
}

impl PortRange {
    /// No port at all.
    pub(crate) const NONE: Self = Self { lo: 0, hi: 0 };

    /// These ports; the caller has seen to it that there are some, and that zero is none of them.
    pub(crate) const fn new(ports: &RangeInclusive<u16>) -> Self {
        Self { lo: *ports.start(), hi: *ports.end() }
    }
}
