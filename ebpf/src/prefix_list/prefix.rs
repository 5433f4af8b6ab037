//! Prefixes of addresses, as people write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// All addresses of a family that begin with the same bits: `10.0.0.0/8`, `2001:db8::/32`. One address alone is a prefix,
/// too, and may be written without its length.
///
/// Ordered by family, address and length, so that a prefix stands before those that it contains.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why something is no prefix.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PrefixError {
    /// It is not written like one.
    #[error(
        "{text:?} is no prefix; write an address (192.0.2.1, 2001:db8::1) or a network (10.0.0.0/8, 2001:db8::/32)"
    )]
    Syntax {
        /// What was written.
        text: String,
    },
    /// Longer than an address of the family.
    #[error("{address}/{length}: an address of this family has only {most} bits")]
    TooLong {
        /// The address.
        address: IpAddr,
        /// The length that was given.
        length: u8,
        /// The length of one address alone.
        most: u8,
    },
    /// Bits are set beyond the length, so either could be wrong.
    #[error("{address}/{network_length}: bits are set beyond the prefix; write {network} for the network, {address} for the \
             address alone", network_length = network.length)]
    HostBits {
        /// The address that was given.
        address: IpAddr,
        /// The network of this length in which it lies.
        network: Prefix,
    },
}

impl Prefix {
    /// The addresses that share their first `length` bits with `address`.
    ///
    /// # Errors
    /// [`PrefixError::TooLong`], [`PrefixError::HostBits`].
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let most = Self::from(address).length;
        if length > most {
            return Err(PrefixError::TooLong { address, length, most });
        }
        let network = Self { address: first_of(address, length), length };
        if network.address != address {
            return Err(PrefixError::HostBits { address, network });
        }
        Ok(network)
    }

    /// The prefix of this length in which `address` lies; its other bits do not matter. A longer one than the address
    /// is the address alone.
    pub fn of(address: IpAddr, length: u8) -> Self {
        let length = length.min(Self::from(address).length);
        Self { address: first_of(address, length), length }
    }

    /// The first of its addresses.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits its addresses share.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether `address` is one of its addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && first_of(address, self.length) == self.address
    }

    /// The last of its addresses, alone.
    pub(super) fn last(&self) -> Self {
        match self.address {
            IpAddr::V4(first) => Self::from(IpAddr::from(Ipv4Addr::from_bits(first.to_bits() | !mask4(self.length)))),
            IpAddr::V6(first) => Self::from(IpAddr::from(Ipv6Addr::from_bits(first.to_bits() | !mask6(self.length)))),
        }
    }
}

/// `address` without the bits beyond `length`.
fn first_of(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & mask4(length)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & mask6(length)).into(),
    }
}

fn mask4(length: u8) -> u32 {
    !u32::MAX.checked_shr(length.into()).unwrap_or(0)
}

fn mask6(length: u8) -> u128 {
    !u128::MAX.checked_shr(length.into()).unwrap_or(0)
}

/// The address alone.
impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let syntax = || PrefixError::Syntax { text: text.into() };
        let Some((address, length)) = text.split_once('/') else {
            return text.parse().map(IpAddr::into).map_err(|_| syntax());
        };
        // A sign is none of a length's, though a number may have one.
        if !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(syntax());
        }
        Self::new(address.parse().map_err(|_| syntax())?, length.parse().map_err(|_| syntax())?)
    }
}

/// With its length, even of one address alone.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::{Prefix, PrefixError};

    fn parsed(text: &str) -> Result<Prefix, PrefixError> {
        text.parse()
    }

    #[test]
    fn networks_and_addresses_are_read_and_written() {
        for (text, written) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("255.255.255.255/32", "255.255.255.255/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:DB8:0:0::1", "2001:db8::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parsed(text).unwrap().to_string(), written);
            assert_eq!(parsed(written), parsed(text));
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_the_fix() {
        for text in
            ["", "/", "10.0.0.0/", "/8", "10.0.0/8", "10.0.0.0/+8", "10.0.0.0/8/8", "host", "10.0.0.0/256", " ::/0"]
        {
            assert_eq!(parsed(text), Err(PrefixError::Syntax { text: text.into() }));
        }
        for (text, says) in [
            ("10.0.0.0/33", "10.0.0.0/33: an address of this family has only 32 bits"),
            ("::/129", "::/129: an address of this family has only 128 bits"),
            (
                "10.1.2.3/8",
                "10.1.2.3/8: bits are set beyond the prefix; write 10.0.0.0/8 for the network, 10.1.2.3 for the \
                            address alone",
            ),
            (
                "0.0.0.1/0",
                "0.0.0.1/0: bits are set beyond the prefix; write 0.0.0.0/0 for the network, 0.0.0.1 for the \
                           address alone",
            ),
            (
                "2001:db8::1/127",
                "2001:db8::1/127: bits are set beyond the prefix; write 2001:db8::/127 for the network, \
                                 2001:db8::1 for the address alone",
            ),
        ] {
            assert_eq!(parsed(text).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn contains_its_first_and_last_and_not_their_neighbours() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"][..], &["9.255.255.255", "11.0.0.0", "::a00:0"][..]),
            ("10.0.0.128/25", &["10.0.0.128", "10.0.0.255"], &["10.0.0.127", "10.0.1.0"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::"]),
            ("::1/128", &["::1"], &["::", "::2", "0.0.0.1"]),
            (
                "2001:db8::/33",
                &["2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"],
                &["2001:db8:8000::", "2001:db7::"],
            ),
        ] {
            let network = parsed(network).unwrap();
            for address in inside {
                assert!(network.contains(address.parse().unwrap()), "{address} in {network}");
            }
            for address in outside {
                assert!(!network.contains(address.parse().unwrap()), "{address} in {network}");
            }
            assert_eq!(network.last().address(), inside[inside.len() - 1].parse::<std::net::IpAddr>().unwrap());
        }
    }

    #[test]
    fn order_puts_networks_before_what_they_contain() {
        let mut sorted: Vec<_> = ["::/0", "10.0.0.0/24", "10.0.0.0/8", "9.0.0.0/8", "10.0.0.1", "2001:db8::/32"]
            .map(|text| parsed(text).unwrap())
            .into();
        sorted.sort();
        let texts: Vec<_> = sorted.iter().map(Prefix::to_string).collect();
        assert_eq!(texts, ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.1/32", "::/0", "2001:db8::/32"]);
    }
}
