//! The topology of a test bed as data: what is written to the state file and carried out by the assembler.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::End;

/// Everything there is to build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The hosts, each a namespace of its own.
    pub hosts: Vec<HostPlan>,
    /// The namespace with the bridges, where there is one.
    pub switch: Option<SwitchPlan>,
    /// The veth pairs.
    pub wires: Vec<Wire>,
    /// The links that are TAP devices: their wire is the process that builds the bed. What was built before there were any does not
    /// speak of them.
    #[serde(default)]
    pub taps: Vec<Plug>,
    /// Prefixes that attackers forge source addresses from; their packets' answers end at the first attacker.
    pub spoofed: Vec<Prefix>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    /// Its role, and its number where there may be several: `front`, `client0`, `attacker0`, `backend0`, `near`, `far`.
    pub name: String,
    /// Its interfaces, at least one; the first is *the* interface of [`crate::Host`].
    pub interfaces: Vec<InterfacePlan>,
    /// Destinations that it drops without an answer.
    pub blackholes: Vec<Prefix>,
}

/// An interface of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfacePlan {
    /// The link itself.
    pub link: LinkPlan,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address.
    pub ipv6: Ipv6Addr,
    /// How far its subnets reach around its addresses.
    pub subnet: SubnetLengths,
    /// Permanent neighbours.
    pub neighbours: Vec<Neighbour>,
    /// Routes through this interface beyond its own subnet.
    pub routes: Vec<Route>,
}

/// The lengths of the prefixes that are on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetLengths {
    /// Of the IPv4 subnet, at most 32.
    pub v4: u8,
    /// Of the IPv6 subnet, at most 128.
    pub v6: u8,
}

/// One end of a veth pair, or a TAP device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPlan {
    /// The name of the interface, at most 15 characters.
    pub name: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its MTU in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Its receive queues, and as many transmit queues.
    pub queues: u16,
    /// The rest of its configuration.
    pub end: End,
}

/// The namespace that holds the bridges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchPlan {
    /// The name of the node.
    pub name: String,
    /// The bridges; nothing passes from one to another.
    pub bridges: Vec<BridgePlan>,
}

/// One bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgePlan {
    /// The name of the bridge.
    pub name: String,
    /// Its ports.
    pub ports: Vec<PortPlan>,
}

/// One port of the bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPlan {
    /// The link itself.
    pub link: LinkPlan,
    /// The hardware addresses behind this port: static entries, since ports do not learn.
    pub stations: Vec<Mac>,
}

/// One veth pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// One end.
    pub a: Plug,
    /// The other end.
    pub b: Plug,
}

/// Where one end of a wire is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plug {
    /// The host or the switch.
    pub node: String,
    /// The name of the link there.
    pub link: String,
}

/// A permanent neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: Mac,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destinations.
    pub to: Prefix,
    /// The gateway, an address of the same family.
    pub via: IpAddr,
    /// The MTU of the path beyond, in bytes, where it is smaller than the link's.
    pub mtu: Option<u32>,
}

/// `10.77.0.0/16` and `fd77::/64`: the subnets of a bed where everybody is on one link.
pub const ONE_LINK: SubnetLengths = SubnetLengths { v4: 16, v6: 64 };

/// A hardware address, written as `02:53:59:01:00:00`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac(pub [u8; 6]);

/// An address and the length of its prefix, written as `10.128.0.0/9`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// How many leading bits count: at most 32 or 128.
    pub length: u8,
}

/// The text is not the kind of address that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseError {
    text: String,
    expected: &'static str,
}

impl Plan {
    /// The names of all nodes: the hosts, then the switch.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| host.name.as_str()).chain(self.switch.iter().map(|switch| switch.name.as_str()))
    }

    /// The link at one end of a wire.
    #[must_use]
    pub fn link(&self, plug: &Plug) -> Option<&LinkPlan> {
        let hosts = self.hosts.iter().filter(|host| host.name == plug.node);
        let links = hosts.flat_map(|host| host.interfaces.iter().map(|interface| &interface.link));
        let switches = self.switch.iter().filter(|switch| switch.name == plug.node);
        let ports = switches.flat_map(|switch| switch.ports().map(|port| &port.link));
        links.chain(ports).find(|link| link.name == plug.link)
    }

    /// The other end of the wire that ends here.
    #[must_use]
    pub fn peer(&self, node: &str, link: &str) -> Option<&Plug> {
        let here = |plug: &Plug| plug.node == node && plug.link == link;
        self.wires.iter().find_map(|wire| match wire {
            Wire { a, b } if here(a) => Some(b),
            Wire { a, b } if here(b) => Some(a),
            Wire { .. } => None,
        })
    }
}

impl SwitchPlan {
    /// The ports of all bridges.
    pub fn ports(&self) -> impl Iterator<Item = &PortPlan> {
        self.bridges.iter().flat_map(|bridge| &bridge.ports)
    }
}

impl InterfacePlan {
    /// Both addresses with the lengths of their subnets.
    #[must_use]
    pub fn addresses(&self) -> [Prefix; 2] {
        [
            Prefix { address: self.ipv4.into(), length: self.subnet.v4 },
            Prefix { address: self.ipv6.into(), length: self.subnet.v6 },
        ]
    }

    /// What another host must know to reach this interface without asking.
    #[must_use]
    pub fn as_neighbours(&self) -> [Neighbour; 2] {
        let mac = self.link.mac;
        [Neighbour { address: self.ipv4.into(), mac }, Neighbour { address: self.ipv6.into(), mac }]
    }
}

impl Prefix {
    /// The prefix of this one address.
    #[must_use]
    pub fn host(address: impl Into<IpAddr>) -> Self {
        let address = address.into();
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<Vec<_>, _>>();
        let mac = bytes.ok().and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
        mac.map(Self).ok_or_else(|| ParseError { text: text.into(), expected: "a hardware address" })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Prefix {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parsed = text.split_once('/').and_then(|(address, length)| {
            let prefix = Self { address: address.parse().ok()?, length: length.parse().ok()? };
            let longest = if prefix.address.is_ipv4() { 32 } else { 128 };
            (prefix.length <= longest).then_some(prefix)
        });
        parsed.ok_or_else(|| ParseError { text: text.into(), expected: "an address with a prefix length" })
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl TryFrom<String> for Prefix {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_what_they_write() {
        for mac in [Mac([2, 0x53, 0x59, 1, 0, 255]), Mac([0; 6])] {
            assert_eq!(mac.to_string().parse(), Ok(mac));
        }
        for text in ["10.128.0.0/9", "0.0.0.0/0", "fd77::/64", "::1/128"] {
            assert_eq!(text.parse::<Prefix>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn addresses_refuse_what_they_are_not() {
        for text in ["", "02:53", "02:53:59:01:00:00:00", "02:53:59:01:00:zz", "02:53:59:01:00:100"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        for text in ["", "10.0.0.0", "10.0.0.0/33", "fd77::/129", "10.0.0/8", "10.0.0.0/-1"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
