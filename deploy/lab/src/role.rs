//! Who is in a lab, and at which addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::plan::{Mac, Prefix, SubnetLengths};

/// IPv4 sources that attackers forge.
pub const SPOOFED_V4: Prefix = Prefix { address: IpAddr::V4(Ipv4Addr::new(10, 128, 0, 0)), length: 9 };
/// IPv6 sources that attackers forge.
pub const SPOOFED_V6: Prefix =
    Prefix { address: IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0xbad, 0, 0, 0, 0)), length: 64 };

/// Clients, attackers and backends together: a Linux bridge has at most 1,024 ports (`BR_MAX_PORTS`), numbered from 1, and
/// one leads to the front.
pub const MOST_FAR_HOSTS: u16 = 1_000;

/// What a host of the lab is to the front. Each role has a range of hardware and network addresses of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Connects in good faith.
    Client,
    /// Floods, from forged sources.
    Attacker,
    /// Serves what the front hands on.
    Backend,
}

impl Role {
    /// All roles, in the order in which a lab lists its hosts and the front numbers its interfaces.
    pub const ALL: [Self; 3] = [Self::Client, Self::Attacker, Self::Backend];

    /// `client`, `attacker` or `backend`: the names of its hosts without their numbers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Attacker => "attacker",
            Self::Backend => "backend",
        }
    }

    /// The addresses of host `number`.
    pub(crate) fn host(self, number: u16) -> Addresses {
        let (byte, v4, v6) = match self {
            Self::Client => (2, Ipv4Addr::new(10, 77, 64, 0), 1),
            Self::Attacker => (3, Ipv4Addr::new(10, 77, 128, 0), 2),
            Self::Backend => (5, Ipv4Addr::new(10, 77, 192, 0), 3),
        };
        let nth = u32::from(number) + 1;
        let v6 = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, v6, 0);
        Addresses {
            mac: mac(byte, number),
            ipv4: Ipv4Addr::from_bits(v4.to_bits() + nth),
            ipv6: Ipv6Addr::from_bits(v6.to_bits() + u128::from(nth)),
        }
    }

    /// What all hardware addresses of the role have in common: a value, and the mask of the bits that count.
    pub(crate) fn macs(self) -> (Mac, Mac) {
        let Mac([a, b, c, byte, ..]) = self.host(0).mac;
        (Mac([a, b, c, byte, 0, 0]), Mac([0xff, 0xff, 0xff, 0xff, 0, 0]))
    }

    /// The subnet of the role where each has its own. That of the clients takes in the front's address, so that they
    /// find it where it always is.
    pub(crate) fn subnet(self) -> SubnetLengths {
        match self {
            Self::Client => SubnetLengths { v4: 17, v6: 111 },
            Self::Attacker | Self::Backend => SubnetLengths { v4: 18, v6: 112 },
        }
    }

    /// The addresses of the front in that subnet.
    pub(crate) fn front(self) -> Addresses {
        match self {
            Self::Client => FRONT,
            Self::Attacker => Addresses {
                mac: mac(FRONT_MAC_BYTE, 1),
                ipv4: Ipv4Addr::new(10, 77, 191, 254),
                ipv6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 2, 0xfffe),
            },
            Self::Backend => Addresses {
                mac: mac(FRONT_MAC_BYTE, 2),
                ipv4: Ipv4Addr::new(10, 77, 255, 254),
                ipv6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 3, 0xfffe),
            },
        }
    }
}

/// The addresses of one interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Addresses {
    pub(crate) mac: Mac,
    pub(crate) ipv4: Ipv4Addr,
    pub(crate) ipv6: Ipv6Addr,
}

/// Those of the front's first interface, however it is wired.
pub(crate) const FRONT: Addresses = Addresses {
    mac: mac(FRONT_MAC_BYTE, 0),
    ipv4: Ipv4Addr::new(10, 77, 0, 1),
    ipv6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1),
};

/// The fourth byte of the front's hardware addresses; those of the other roles are in [`Role::host`].
const FRONT_MAC_BYTE: u8 = 1;
/// The fourth byte of the hardware addresses of bridge ports.
const PORT_MAC_BYTE: u8 = 4;

/// The hardware address of a port of a bridge.
pub(crate) const fn port_mac(number: u16) -> Mac {
    mac(PORT_MAC_BYTE, number)
}

const fn mac(byte: u8, number: u16) -> Mac {
    let [high, low] = number.to_be_bytes();
    Mac([0x02, 0x53, 0x59, byte, high, low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ONE_LINK;

    /// Whether both are in one subnet of these lengths.
    fn share(a: Addresses, b: Addresses, SubnetLengths { v4, v6 }: SubnetLengths) -> [bool; 2] {
        [
            (a.ipv4.to_bits() ^ b.ipv4.to_bits()).leading_zeros() >= v4.into(),
            (a.ipv6.to_bits() ^ b.ipv6.to_bits()).leading_zeros() >= v6.into(),
        ]
    }

    #[test]
    fn all_are_on_one_link() {
        for role in Role::ALL {
            for number in [0, MOST_FAR_HOSTS - 1] {
                assert_eq!(share(role.host(number), FRONT, ONE_LINK), [true; 2], "{role:?} {number}");
            }
        }
    }

    #[test]
    fn the_subnet_of_a_role_holds_its_hosts_and_one_interface_of_the_front() {
        for (role, number) in Role::ALL.into_iter().flat_map(|role| [(role, 0), (role, MOST_FAR_HOSTS - 1)]) {
            for other in Role::ALL {
                let wanted = [role == other; 2];
                assert_eq!(share(role.front(), other.host(number), role.subnet()), wanted, "{role:?} {other:?}");
                assert_eq!(share(role.host(number), other.front(), role.subnet()), wanted, "{role:?} {other:?}");
            }
        }
    }

    #[test]
    fn hardware_addresses_tell_the_roles_apart() {
        let masked = |mac: Mac, mask: Mac| Mac(std::array::from_fn(|byte| mac.0[byte] & mask.0[byte]));
        for role in Role::ALL {
            let (base, mask) = role.macs();
            for other in Role::ALL {
                let alike = masked(other.host(MOST_FAR_HOSTS - 1).mac, mask) == base;
                assert_eq!(alike, role == other, "{role:?} {other:?}");
                assert_ne!(masked(other.front().mac, mask), base);
                assert_ne!(masked(port_mac(7), mask), base);
            }
        }
    }
}
