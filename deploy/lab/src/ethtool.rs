//! Offloads of an interface by the ethtool ioctls.
//!
//! Unsafe code here defends one invariant: the kernel reads and writes only an `ifreq` and an `ethtool_value` that live on
//! this thread's stack for the whole call.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::namespace::Namespace;
use crate::{LabError, Offloads};

/// One offload: the commands of `linux/ethtool.h` that read and write it.
struct Feature {
    name: &'static str,
    get: u32,
    set: u32,
}

const TX_CHECKSUM: Feature = Feature { name: "tx-checksumming", get: 0x16, set: 0x17 };
const TSO: Feature = Feature { name: "tcp-segmentation-offload", get: 0x1e, set: 0x1f };
const GSO: Feature = Feature { name: "generic-segmentation-offload", get: 0x23, set: 0x24 };
const GRO: Feature = Feature { name: "generic-receive-offload", get: 0x2b, set: 0x2c };

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

/// Sets the offloads of an interface. One that the device cannot have now stays off: [`offloads`] tells.
pub(crate) fn set_offloads(namespace: &Namespace, interface: &str, offloads: Offloads) -> Result<(), LabError> {
    let socket = open(namespace)?;
    let Offloads { tx_checksum, tso, gso, gro } = offloads;
    // Checksums first: the kernel takes TSO away with them, and gives it only where they are on.
    for (feature, wanted) in [(TX_CHECKSUM, tx_checksum), (TSO, tso), (GSO, gso), (GRO, gro)] {
        let outcome = feature.read(&socket, interface).and_then(|now| match now == wanted {
            true => Ok(()),
            false => feature.write(&socket, interface, wanted),
        });
        match outcome {
            // The device has no such feature now: veth has no TSO while its peer carries an XDP program.
            Err(source) if wanted && source.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            outcome => outcome.map_err(|source| {
                let state = if wanted { "on" } else { "off" };
                LabError::system(
                    format!("turn {} {state} on {interface} in {}", feature.name, namespace.name()),
                    source,
                )
            })?,
        }
    }
    Ok(())
}

/// The offloads of an interface as they are now.
pub(crate) fn offloads(namespace: &Namespace, interface: &str) -> Result<Offloads, LabError> {
    let socket = open(namespace)?;
    let read = |feature: &Feature| {
        feature.read(&socket, interface).map_err(|source| {
            LabError::system(format!("read {} of {interface} in {}", feature.name, namespace.name()), source)
        })
    };
    Ok(Offloads { tx_checksum: read(&TX_CHECKSUM)?, tso: read(&TSO)?, gso: read(&GSO)?, gro: read(&GRO)? })
}

impl Feature {
    fn read(&self, socket: &OwnedFd, interface: &str) -> io::Result<bool> {
        let mut value = EthtoolValue { cmd: self.get, data: 0 };
        ioctl(socket, interface, &mut value).map(|()| value.data != 0)
    }

    fn write(&self, socket: &OwnedFd, interface: &str, on: bool) -> io::Result<()> {
        ioctl(socket, interface, &mut EthtoolValue { cmd: self.set, data: on.into() })
    }
}

fn open(namespace: &Namespace) -> Result<OwnedFd, LabError> {
    let socket = || rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    namespace.run(socket)?.map_err(|source| LabError::system(format!("open a socket in {}", namespace.name()), source))
}

fn ioctl(socket: &OwnedFd, interface: &str, value: &mut EthtoolValue) -> io::Result<()> {
    // SAFETY: all zeros is a valid `ifreq`: integers, and a union of integers and pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(value).cast();
    // SAFETY: SIOCETHTOOL takes a pointer to an `ifreq` whose data points to the structure that its first word, the
    // command, names; for the four pairs of commands above that is `ethtool_value`. Both outlive the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
