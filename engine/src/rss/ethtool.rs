//! What a driver says about receive-side scaling, by the ethtool ioctls. (Over netlink the fields can be asked for only
//! since Linux 6.17.)
//!
//! Unsafe code here defends one invariant: the kernel reads and writes only an `ifreq` on this thread's stack and a buffer
//! behind it that is as long as its own head says.

use super::HashedFields;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// `ETHTOOL_GRXFH`: the fields that are hashed, in a `struct ethtool_rxnfc`.
const GET_FIELDS: u32 = 0x29;
/// `ETHTOOL_GRSSH`: hash function, key and indirection table, in a `struct ethtool_rxfh`.
const GET_HASH: u32 = 0x46;
/// `TCP_V4_FLOW`.
const TCP_V4: u32 = 0x01;
/// `TCP_V6_FLOW`.
const TCP_V6: u32 = 0x05;
/// `ETH_RSS_HASH_TOP`.
const TOEPLITZ: u8 = 1;
/// `RXH_IP_SRC | RXH_IP_DST`.
const ADDRESSES: u64 = 1 << 4 | 1 << 5;
/// `RXH_L4_B_0_1 | RXH_L4_B_2_3`.
const PORTS: u64 = 1 << 6 | 1 << 7;

/// Words of `struct ethtool_rxfh` before the table: cmd, rss_context, indir_size, key_size, hash function and
/// transformation (a byte each), reserved.
const HEAD: usize = 6;
/// Words of `struct ethtool_rxnfc` that `ETHTOOL_GRXFH` uses: cmd, flow_type, and two of data.
const FIELDS: usize = 4;

/// What a driver says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) key: Vec<u8>,
    pub(super) indirection: Vec<u32>,
    pub(super) v4: HashedFields,
    pub(super) v6: HashedFields,
}

/// Asks a driver; `None` where it says nothing, or nothing that [`Said`] can hold.
pub(super) fn read(interface: &str) -> io::Result<Option<Said>> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let Some(hash) = supported(hash_of(&socket, interface))? else { return Ok(None) };
    let Some((key, indirection)) = key_and_table(&hash) else { return Ok(None) };
    let fields = |flow| Ok::<_, io::Error>(supported(fields_of(&socket, interface, flow))?.and_then(hashed_fields));
    let (Some(v4), Some(v6)) = (fields(TCP_V4)?, fields(TCP_V6)?) else { return Ok(None) };
    Ok(Some(Said { key, indirection, v4, v6 }))
}

/// A driver that cannot be asked such a thing says `EOPNOTSUPP`.
fn supported<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A whole `struct ethtool_rxfh` with its table and key.
fn hash_of(socket: &OwnedFd, interface: &str) -> io::Result<Vec<u32>> {
    let mut sizes = [GET_HASH, 0, 0, 0, 0, 0];
    // SAFETY: a head alone, which says that neither table nor key have room; the kernel then answers with their sizes.
    unsafe { ioctl(socket, interface, &mut sizes) }?;
    let [_, _, table, key, ..] = sizes;
    let mut hash = vec![0; HEAD + table as usize + key.div_ceil(4) as usize];
    hash[..4].copy_from_slice(&[GET_HASH, 0, table, key]);
    // SAFETY: a head, and behind it room for the table of words and the key of bytes whose sizes it says. The kernel
    // refuses sizes that are not the device's own.
    unsafe { ioctl(socket, interface, &mut hash) }?;
    Ok(hash)
}

/// The fields that the device hashes of a flow, as `RXH_` flags.
fn fields_of(socket: &OwnedFd, interface: &str, flow: u32) -> io::Result<u64> {
    let mut fields = [0; FIELDS];
    fields[..2].copy_from_slice(&[GET_FIELDS, flow]);
    // SAFETY: the part of `ethtool_rxnfc` that the kernel reads and writes for this command and a flow without `FLOW_RSS`
    // (`ethtool_rxnfc_copy_struct`).
    unsafe { ioctl(socket, interface, &mut fields) }?;
    let [_, _, low, high] = fields.map(u32::to_ne_bytes);
    let mut data = [0; 8];
    data[..4].copy_from_slice(&low);
    data[4..].copy_from_slice(&high);
    Ok(u64::from_ne_bytes(data))
}

/// Key and table of a `struct ethtool_rxfh`; `None` unless the hash is Toeplitz of the fields as they are.
fn key_and_table(hash: &[u32]) -> Option<(Vec<u8>, Vec<u32>)> {
    let (&[_, _, table, key, function, _], rest) = hash.split_first_chunk::<HEAD>()?;
    // A transformation (`RXH_XFRM_SYM_XOR`) would make the hash the same in both directions.
    let [function, transformation, ..] = function.to_ne_bytes();
    if function != TOEPLITZ || transformation != 0 {
        return None;
    }
    let (table, bytes) = rest.split_at_checked(table as usize)?;
    let bytes = bytes.iter().flat_map(|word| word.to_ne_bytes()).take(key as usize);
    Some((bytes.collect(), table.to_vec()))
}

fn hashed_fields(fields: u64) -> Option<HashedFields> {
    const BOTH: u64 = ADDRESSES | PORTS;
    match fields {
        ADDRESSES => Some(HashedFields::Addresses),
        BOTH => Some(HashedFields::AddressesAndPorts),
        _ => None,
    }
}

/// Has the kernel carry out the command in a buffer's first word.
///
/// # Safety
/// The buffer is the structure of `linux/ethtool.h` that its command takes, as long as the kernel takes it to be.
unsafe fn ioctl(socket: &OwnedFd, interface: &str, buffer: &mut [u32]) -> io::Result<()> {
    // SAFETY: all zeros is a valid `ifreq`: integers, and a union of integers and pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = buffer.as_mut_ptr().cast();
    // SAFETY: SIOCETHTOOL takes a pointer to an `ifreq` whose data points to the structure that its first word names, which
    // is the caller's promise. Both outlive the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::{ADDRESSES, GET_HASH, PORTS, hashed_fields, key_and_table};
    use crate::rss::HashedFields;

    /// As a device with a table of three and a key of six bytes answers.
    fn answer(function: [u8; 4]) -> Vec<u32> {
        let words = [*b"key ", *b"of\0\0"].map(u32::from_ne_bytes);
        [&[GET_HASH, 0, 3, 6, u32::from_ne_bytes(function), 0, 7, 8, 9], &words[..]].concat()
    }

    #[test]
    fn the_table_comes_before_the_key() {
        assert_eq!(key_and_table(&answer([1, 0, 0, 0])), Some((b"key of".to_vec(), vec![7, 8, 9])));
    }

    #[test]
    fn another_hash_than_plain_toeplitz_is_none() {
        for function in [[0, 0, 0, 0], [2, 0, 0, 0], [4, 0, 0, 0], [1, 1, 0, 0], [1, 2, 0, 0]] {
            assert_eq!(key_and_table(&answer(function)), None, "{function:?}");
        }
    }

    #[test]
    fn other_fields_than_addresses_with_or_without_ports_are_none() {
        for fields in 0..1024 {
            let wanted = match fields {
                ADDRESSES => Some(HashedFields::Addresses),
                0xf0 => Some(HashedFields::AddressesAndPorts),
                _ => None,
            };
            assert_eq!(hashed_fields(fields), wanted, "{fields:#x}");
        }
        assert_eq!(ADDRESSES | PORTS, 0xf0);
    }
}
