//! Socket addresses as C programs write them: `struct sockaddr_in` and `struct sockaddr_in6`.

use crate::caller::{Answer, Bytes};
use crate::errno::{Errno, Result};
use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use synward_proto::Endpoint;

/// What an address says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Named {
    /// `AF_UNSPEC`: nobody.
    Nobody,
    /// An address and a port.
    At(Endpoint),
}

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

/// Bytes of a `struct sockaddr_in`.
const LEN_V4: usize = size_of::<libc::sockaddr_in>();
/// Bytes of a `struct sockaddr_in6`.
const LEN_V6: usize = size_of::<libc::sockaddr_in6>();
/// The least that Linux takes of the latter (`SIN6_LEN_RFC2133`): without the scope.
const LEAST_V6: usize = 24;

impl Family {
    /// The family of an address.
    pub(crate) fn of(address: &IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Its number.
    pub(crate) fn number(self) -> c_int {
        match self {
            Self::V4 => libc::AF_INET,
            Self::V6 => libc::AF_INET6,
        }
    }

    /// Its wildcard, with port zero.
    pub(crate) fn anywhere(self) -> Endpoint {
        match self {
            Self::V4 => Endpoint::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            Self::V6 => Endpoint::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        }
    }

    fn least_len(self) -> usize {
        match self {
            Self::V4 => LEN_V4,
            Self::V6 => LEAST_V6,
        }
    }

    /// Reads the address that a socket of this family is given.
    ///
    /// # Errors
    /// EINVAL when it is too short or too long, EFAULT, EAFNOSUPPORT when it is of another family.
    pub(crate) fn read(self, address: &Bytes) -> Result<Named> {
        if address.len() > size_of::<libc::sockaddr_storage>() {
            return Err(Errno::INVALID);
        }
        let bytes = address.get()?;
        let family = bytes.first_chunk().map(|family| c_int::from(u16::from_ne_bytes(*family)));
        match family.ok_or(Errno::INVALID)? {
            libc::AF_UNSPEC => Ok(Named::Nobody),
            _ if bytes.len() < self.least_len() => Err(Errno::INVALID),
            family if family == self.number() => Ok(Named::At(endpoint(self, bytes))),
            _ => Err(Errno::WRONG_FAMILY),
        }
    }
}

/// The end that the bytes say, which are as many as the family needs.
fn endpoint(family: Family, bytes: &[u8]) -> Endpoint {
    let port = u16::from_be_bytes(bytes_at(bytes, 2));
    let addr = match family {
        Family::V4 => IpAddr::from(bytes_at::<4>(bytes, 4)),
        Family::V6 => IpAddr::from(bytes_at::<16>(bytes, 8)),
    };
    Endpoint::new(addr, port)
}

fn bytes_at<const COUNT: usize>(bytes: &[u8], start: usize) -> [u8; COUNT] {
    std::array::from_fn(|index| bytes.get(start + index).copied().unwrap_or(0))
}

/// The bytes of an address.
fn encode(end: &Endpoint) -> Vec<u8> {
    let family = Family::of(&end.addr);
    let len = match family {
        Family::V4 => LEN_V4,
        Family::V6 => LEN_V6,
    };
    let mut bytes = vec![0; len];
    bytes[..2].copy_from_slice(&(family.number() as u16).to_ne_bytes());
    bytes[2..4].copy_from_slice(&end.port.to_be_bytes());
    match end.addr {
        IpAddr::V4(v4) => bytes[4..8].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => bytes[8..24].copy_from_slice(&v6.octets()),
    }
    bytes
}

/// Tells an address, as `accept` and `getsockname` do: as much of it as there is room for, and how long it was.
///
/// # Errors
/// EFAULT, and EINVAL when the room is negative.
pub(crate) fn tell(end: &Endpoint, to: &mut Answer) -> Result<()> {
    let bytes = encode(end);
    to.put(&bytes, bytes.len())
}

#[cfg(test)]
mod tests {
    use super::{Family, LEAST_V6, LEN_V4, LEN_V6, Named, encode};
    use crate::caller::Bytes;
    use crate::errno::{Errno, Result};
    use synward_proto::Endpoint;

    fn read(family: Family, bytes: &[u8]) -> Result<Named> {
        // SAFETY: they are there.
        family.read(&unsafe { Bytes::new(bytes.as_ptr(), bytes.len()) })
    }

    #[test]
    fn addresses_come_back_as_they_were_written() {
        let v4 = Endpoint::new([192, 0, 2, 1].into(), 80);
        let v6 = Endpoint::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into(), 443);
        assert_eq!(read(Family::V4, &encode(&v4)), Ok(Named::At(v4)));
        assert_eq!(read(Family::V6, &encode(&v6)), Ok(Named::At(v6)));
        assert_eq!((encode(&v4).len(), encode(&v6).len()), (LEN_V4, LEN_V6));
        assert_eq!(read(Family::V6, &encode(&v6)[..LEAST_V6]), Ok(Named::At(v6)));
        assert_eq!(read(Family::V4, &encode(&v6)), Err(Errno::WRONG_FAMILY));
        assert_eq!(read(Family::V4, &[0, 0]), Ok(Named::Nobody));
        for short in [&encode(&v4)[..LEN_V4 - 1], &encode(&v4)[..1], &[]] {
            assert_eq!(read(Family::V4, short), Err(Errno::INVALID));
        }
        assert_eq!(read(Family::V4, &[2; 129]), Err(Errno::INVALID));
    }
}
