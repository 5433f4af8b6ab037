//! Ports that the kernel must not use while they are ours: those of listeners, and a range of source ports.

mod kernel_sockets;
mod namespace;
mod range;
mod record;

pub use range::{ReservedRange, reserve_range};

use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use synward_proto::Endpoint;

/// Kernel sockets that are bound but never listen. While they exist no other program can bind these ports, and a port that
/// another program uses already is found out at the start instead of being silently taken from it. They go with the
/// process, however it ends.
pub struct Reservation {
    _sockets: Vec<OwnedFd>,
}

impl Reservation {
    /// Binds every endpoint.
    ///
    /// # Errors
    /// When a kernel socket is there already, or the address is not this host's.
    pub fn take(endpoints: impl Iterator<Item = Endpoint>) -> Result<Self> {
        let sockets = endpoints.map(reserve).collect::<Result<_>>()?;
        Ok(Self { _sockets: sockets })
    }
}

fn reserve(endpoint: Endpoint) -> Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
    let family = if endpoint.addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).context("socket")?;
    if endpoint.addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).context("IPV6_V6ONLY")?;
    }
    bind(&socket, &SocketAddr::from(endpoint))
        .map_err(std::io::Error::from)
        .with_context(|| format!("{endpoint}: reserving the port"))
        .map_err(|error| explain(error, endpoint))?;
    Ok(socket)
}

fn explain(error: anyhow::Error, endpoint: Endpoint) -> anyhow::Error {
    match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(ErrorKind::AddrInUse) => error.context(format!(
            "{endpoint} is in use by a program on the kernel's TCP: see `ss -tlnp 'sport = {}'`",
            endpoint.port
        )),
        Some(ErrorKind::AddrNotAvailable) => {
            error.context(format!("{} is not an address of this host: see `ip address`", endpoint.addr))
        }
        _ => error,
    }
}
