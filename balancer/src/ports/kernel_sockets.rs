//! The TCP sockets of the kernel, over sock_diag(7).

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as KernelAddress};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// `TCP_BOUND_INACTIVE` (Linux 6.8): bound, and neither listening nor connected.
const BOUND_INACTIVE: u8 = 13;
const BOUND_INACTIVE_FLAG: StateFlags = StateFlags::from_bits_retain(1 << BOUND_INACTIVE);

/// A socket that has a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct KernelSocket {
    /// Its address, or the wildcard. An IPv6 socket that speaks IPv4 has an IPv4 address here.
    pub(super) local: SocketAddr,
    /// Whether it is only bound.
    pub(super) inactive: bool,
    /// Whether it takes no IPv4, where it is an IPv6 socket at the wildcard.
    only_v6: bool,
}

impl KernelSocket {
    /// Whether it would answer, or be answered, for one of these ports at one of these addresses.
    pub(super) fn holds(&self, addresses: &[IpAddr], ports: &RangeInclusive<u16>) -> bool {
        let ours = |address: &IpAddr| match self.local.ip() {
            IpAddr::V4(v4) if v4.is_unspecified() => address.is_ipv4(),
            IpAddr::V6(v6) if v6.is_unspecified() => address.is_ipv6() || !self.only_v6,
            bound => bound == *address,
        };
        ports.contains(&self.local.port()) && addresses.iter().any(ours)
    }

    fn of(response: &InetResponse) -> Self {
        let SocketId { source_address, source_port, .. } = response.header.socket_id;
        Self {
            local: SocketAddr::new(source_address.to_canonical(), source_port),
            inactive: response.header.state == BOUND_INACTIVE,
            only_v6: response.nlas.contains(&Nla::SkV6Only(true)),
        }
    }
}

/// Every TCP socket in the network namespace of the calling thread that has a port, except those in TIME-WAIT. Before Linux
/// 6.8 the kernel does not tell of sockets that are only bound.
pub(super) fn all() -> io::Result<Vec<KernelSocket>> {
    let mut sockets = dump(libc::AF_INET, SocketId::new_v4())?;
    sockets.extend(dump(libc::AF_INET6, SocketId::new_v6())?);
    Ok(sockets)
}

fn dump(family: i32, socket_id: SocketId) -> io::Result<Vec<KernelSocket>> {
    let request = InetRequest {
        family: family as u8,
        protocol: libc::IPPROTO_TCP as u8,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all().difference(StateFlags::TIME_WAIT) | BOUND_INACTIVE_FLAG,
        socket_id,
    };
    let socket = ask(SockDiagMessage::InetRequest(request))?;
    let mut sockets = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(sockets),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    sockets.push(KernelSocket::of(&response));
                }
                _ => {}
            }
            // Messages are aligned to four bytes.
            rest = rest.get((message.header.length as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn ask(request: SockDiagMessage) -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&KernelAddress::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::KernelSocket;
    use std::net::IpAddr;

    #[test]
    fn a_socket_holds_a_port_at_its_address_or_at_all_of_its_family() {
        let (v4, v6): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), "fd77::1".parse().expect("an address"));
        // Local address, IPv6 only; whether it is in the way of our IPv4 address, and of our IPv6 address.
        for (local, only_v6, holds_v4, holds_v6) in [
            ("10.0.0.1:40000", false, true, false),
            ("10.0.0.2:40000", false, false, false),
            ("[fd77::1]:40000", false, false, true),
            ("[fd77::2]:40000", false, false, false),
            ("0.0.0.0:40000", false, true, false),
            ("[::]:40000", false, true, true),
            ("[::]:40000", true, false, true),
            ("10.0.0.1:40010", false, true, false),
            ("10.0.0.1:39999", false, false, false),
            ("10.0.0.1:40011", false, false, false),
            ("0.0.0.0:40011", false, false, false),
        ] {
            let socket = KernelSocket { local: local.parse().expect(local), inactive: false, only_v6 };
            assert_eq!(socket.holds(&[v4], &(40_000..=40_010)), holds_v4, "{local} {only_v6} and IPv4");
            assert_eq!(socket.holds(&[v6], &(40_000..=40_010)), holds_v6, "{local} {only_v6} and IPv6");
            assert_eq!(socket.holds(&[v4, v6], &(40_000..=40_010)), holds_v4 || holds_v6, "{local} {only_v6}");
        }
    }
}
