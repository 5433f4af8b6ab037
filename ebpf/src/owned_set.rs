//! What is ours, in the two maps that the program asks, and our own account of it.
//!
//! The program takes a port for ours only at an address that is. So an address enters its map before its first port and
//! leaves it after its last: at no moment does a fragment or a segment for something owned slip past to the kernel.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use aya::maps::{HashMap as BpfHashMap, MapData, MapError};

use crate::error::errno;
use crate::maps::{AddressKey, PortKey, PortRange};
use crate::{EbpfError, Owned, Protocol};

/// The owned ports, ranges and addresses.
pub(crate) struct OwnedSet {
    ports: BpfHashMap<MapData, PortKey, u32>,
    addresses: BpfHashMap<MapData, AddressKey, PortRange>,
    /// What is owned at each address.
    holdings: HashMap<AddressKey, Holding>,
    /// The size of each map.
    capacity: u32,
}

/// What is owned at one address: when nothing is left of it, the address goes.
#[derive(Default)]
struct Holding {
    ports: HashMap<PortKey, u32>,
    range: Option<RangeInclusive<u16>>,
}

impl Holding {
    fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.range.is_none()
    }
}

impl OwnedSet {
    /// Nothing is owned yet, and each map has room for `capacity` entries.
    pub(crate) fn new(
        ports: BpfHashMap<MapData, PortKey, u32>,
        addresses: BpfHashMap<MapData, AddressKey, PortRange>,
        capacity: u32,
    ) -> Self {
        Self { ports, addresses, holdings: HashMap::new(), capacity }
    }

    /// See [`Shield::own`](crate::Shield::own); `listener` is the place that the port leads to.
    pub(crate) fn own(&mut self, owned: Owned, listener: u32) -> Result<bool, EbpfError> {
        if owned.port == 0 {
            return Err(EbpfError::PortZero { address: owned.address });
        }
        let (address, port) = (owned.address_key(), owned.port_key());
        let holding = self.holdings.get(&address);
        if holding.is_some_and(|holding| holding.ports.contains_key(&port)) {
            return Ok(false);
        }
        let new_address = holding.is_none();
        if new_address {
            self.set_address(address, PortRange::NONE)?;
        }
        if let Err(error) = self.ports.insert(port, listener, 0) {
            if new_address {
                self.remove_address(&address)?;
            }
            return Err(self.refused("owned_ports", error));
        }
        self.holdings.entry(address).or_default().ports.insert(port, listener);
        Ok(true)
    }

    /// See [`Shield::disown`](crate::Shield::disown); returns the place that the port led to.
    pub(crate) fn disown(&mut self, owned: Owned) -> Result<Option<u32>, EbpfError> {
        let (address, port) = (owned.address_key(), owned.port_key());
        let Some(holding) = self.holdings.get_mut(&address) else { return Ok(None) };
        let Some(&listener) = holding.ports.get(&port) else { return Ok(None) };
        self.ports.remove(&port).map_err(|error| EbpfError::map("owned_ports", error))?;
        holding.ports.remove(&port);
        if holding.is_empty() {
            self.holdings.remove(&address);
            self.remove_address(&address)?;
        }
        Ok(Some(listener))
    }

    /// See [`Shield::own_range`](crate::Shield::own_range).
    pub(crate) fn own_range(
        &mut self,
        protocol: Protocol,
        address: IpAddr,
        ports: RangeInclusive<u16>,
    ) -> Result<bool, EbpfError> {
        let (first, last) = (*ports.start(), *ports.end());
        if ports.is_empty() {
            return Err(EbpfError::EmptyPortRange { address, first, last });
        }
        if first == 0 {
            return Err(EbpfError::PortZero { address });
        }
        let key = AddressKey::new(protocol, address);
        if let Some(taken) = self.holdings.get(&key).and_then(|holding| holding.range.as_ref()) {
            return if *taken == ports {
                Ok(false)
            } else {
                Err(EbpfError::PortRangeTaken { address, first: *taken.start(), last: *taken.end() })
            };
        }
        self.set_address(key, PortRange::new(&ports))?;
        self.holdings.entry(key).or_default().range = Some(ports);
        Ok(true)
    }

    /// See [`Shield::disown_range`](crate::Shield::disown_range).
    pub(crate) fn disown_range(&mut self, protocol: Protocol, address: IpAddr) -> Result<bool, EbpfError> {
        let key = AddressKey::new(protocol, address);
        let Some(holding) = self.holdings.get(&key).filter(|holding| holding.range.is_some()) else {
            return Ok(false);
        };
        if holding.ports.is_empty() {
            self.remove_address(&key)?;
            self.holdings.remove(&key);
        } else {
            self.set_address(key, PortRange::NONE)?;
            self.holdings.entry(key).or_default().range = None;
        }
        Ok(true)
    }

    /// Adds the address, or replaces its range at once: the program sees the old one or the new one.
    fn set_address(&mut self, address: AddressKey, range: PortRange) -> Result<(), EbpfError> {
        self.addresses.insert(address, range, 0).map_err(|error| self.refused("owned_addresses", error))
    }

    fn remove_address(&mut self, address: &AddressKey) -> Result<(), EbpfError> {
        self.addresses.remove(address).map_err(|error| EbpfError::map("owned_addresses", error))
    }

    fn refused(&self, map: &'static str, error: MapError) -> EbpfError {
        match errno(&error) {
            Some(libc::E2BIG) => EbpfError::OwnedSetFull { capacity: self.capacity },
            _ => EbpfError::map(map, error),
        }
    }
}
