//! Addresses and ranges of ports.

use super::forms::{Form, Hint};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use synward_proto::Endpoint;

/// The ports that a connection to a backend may come from: those that programs may bind without privileges.
pub(super) const SOURCE_PORTS: RangeInclusive<u16> = 1024..=65535;

/// Where a listener listens: one address, or all of a family.
pub(super) fn listen_address() -> Form<Endpoint> {
    Form::of_text(
        "an address and port such as \"10.0.0.1:80\", \"[fd00::1]:80\", \"0.0.0.0:80\" or \"[::]:80\"",
        |text| {
            let endpoint = endpoint(text)?;
            if endpoint.addr.is_unspecified() { Ok(endpoint) } else { host_address(endpoint.addr).map(|()| endpoint) }
        },
    )
}

/// Where a backend listens.
pub(super) fn backend_address() -> Form<Endpoint> {
    Form::of_text("an address and port such as \"10.0.0.1:80\" or \"[fd00::1]:80\"", |text| {
        let endpoint = endpoint(text)?;
        host_address(endpoint.addr).map(|()| endpoint)
    })
}

/// Where metrics are served by the kernel: an address of this host, loopback included, or all of a family.
pub(super) fn metrics_address() -> Form<SocketAddr> {
    Form::of_text("an address and port such as \"127.0.0.1:9090\" or \"[::1]:9090\"", |text| {
        let Endpoint { addr, port } = endpoint(text)?;
        if addr.is_multicast() { Err("it is a multicast address".to_owned()) } else { Ok(SocketAddr::new(addr, port)) }
    })
}

/// An address that connections to backends come from.
pub(super) fn source_address() -> Form<IpAddr> {
    Form::of_text("an address such as \"10.0.0.1\" or \"fd00::1\"", |text| {
        let address: IpAddr = text.parse().map_err(|_| match text.parse::<SocketAddr>() {
            Ok(_) => "ports are set by source_ports".to_owned(),
            Err(_) => Hint::new(),
        })?;
        host_address(address).map(|()| address)
    })
}

/// The ports that connections to backends come from.
pub(super) fn source_ports() -> Form<RangeInclusive<u16>> {
    let (least, most) = (SOURCE_PORTS.start(), SOURCE_PORTS.end());
    Form::of_text(format!("a range of ports within \"{least}-{most}\""), |text| {
        let (first, last) = text.split_once('-').ok_or_else(|| "a range is written \"first-last\"".to_owned())?;
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| Hint::new());
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(format!("it is empty, since {first} is more than {last}"));
        }
        if !SOURCE_PORTS.contains(&first) {
            return Err(format!("ports below {} are for services", SOURCE_PORTS.start()));
        }
        Ok(first..=last)
    })
}

fn endpoint(text: &str) -> Result<Endpoint, Hint> {
    let socket: SocketAddr = text.parse().map_err(|_| why_no_endpoint(text))?;
    match socket {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Err("an address with a zone is not routed".to_owned()),
        _ if socket.port() == 0 => Err("port 0 is no port".to_owned()),
        _ => Ok(socket.into()),
    }
}

/// What is probably missing in `text`.
fn why_no_endpoint(text: &str) -> Hint {
    if let Ok(address) = text.parse::<IpAddr>() {
        let example = SocketAddr::new(address, 80);
        return format!("the port is missing, as in \"{example}\"");
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => match host.parse::<Ipv6Addr>() {
            Ok(address) => format!("IPv6 addresses stand in brackets, as in \"[{address}]:{port}\""),
            Err(_) if host.contains(|c: char| c.is_ascii_alphabetic()) && !host.contains(':') => {
                "names are not looked up; give the address".to_owned()
            }
            Err(_) => Hint::new(),
        },
        _ => Hint::new(),
    }
}

/// Whether one host can have the address and be reached there through a network interface; else why not.
fn host_address(address: IpAddr) -> Result<(), Hint> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let why = match address {
        _ if address.is_unspecified() => "it is no host's address",
        _ if address.is_loopback() => "loopback addresses never cross a network interface",
        _ if address.is_multicast() => "it is a multicast address",
        _ if link_local => "link-local addresses are not routed",
        IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240 => "it is no host's address",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "write it as the IPv4 address that it is",
        _ => return Ok(()),
    };
    Err(why.to_owned())
}
