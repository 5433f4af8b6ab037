//! What the kernel says of a network interface: RTM_GETLINK over netlink.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoTun, LinkAttribute, LinkInfo, LinkMessage, LinkXdp};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::{AttachedMode, EbpfError};

/// Whether frames of a TUN or TAP device have a virtio header: one byte (`linux/if_link.h`).
const IFLA_TUN_VNET_HDR: u16 = 5;

/// An interface as the kernel described it when it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its index in its network namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MTU in bytes, without the Ethernet header; zero if the kernel does not say.
    pub mtu: u32,
    /// Its Ethernet address, if it has one.
    pub mac: Option<[u8; 6]>,
    /// What kind of virtual device it is (IFLA_INFO_KIND: `veth`, `bridge`, `tun` …); `None` for hardware and loopback.
    pub kind: Option<String>,
    /// Whether a frame may arrive whose checksum the kernel that sent it left unfinished: on virtual devices. On TUN and TAP only
    /// where each frame is written with a header that can say so (IFF_VNET_HDR): without one, the kernel finishes what it sends and
    /// takes what it receives for finished.
    pub unfinished_checksums: bool,
    /// Frames it has sent, by its own counter. On veth, what XDP sent counts once the far end has taken it in.
    pub tx_packets: u64,
    /// The XDP programs attached to it.
    pub xdp: Vec<XdpState>,
}

/// An XDP program attached to an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XdpState {
    /// Where it runs.
    pub mode: AttachedMode,
    /// The kernel's number of the program.
    pub program_id: u32,
}

impl Interface {
    /// Asks the kernel about the interface called `name` in the network namespace of this thread.
    ///
    /// # Errors
    /// [`EbpfError::NoSuchInterface`], or [`EbpfError::Netlink`] if the kernel could not be asked.
    pub fn by_name(name: &str) -> Result<Self, EbpfError> {
        // IFNAMSIZ: the kernel answers longer names with ERANGE, and they cannot exist.
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
            return Err(EbpfError::NoSuchInterface { interface: name.into() });
        }
        match get_link(name) {
            Ok(message) => Ok(Self::from_message(name, &message)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                Err(EbpfError::NoSuchInterface { interface: name.into() })
            }
            Err(source) => Err(EbpfError::Netlink { interface: name.into(), source }),
        }
    }

    fn from_message(name: &str, message: &LinkMessage) -> Self {
        let index = message.header.index;
        let name = name.to_owned();
        let mut interface = Self {
            index,
            name,
            mtu: 0,
            mac: None,
            kind: None,
            unfinished_checksums: false,
            tx_packets: 0,
            xdp: Vec::new(),
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
                LinkAttribute::Address(bytes) => interface.mac = bytes.as_slice().try_into().ok(),
                LinkAttribute::Stats64(stats) => interface.tx_packets = stats.tx_packets,
                LinkAttribute::LinkInfo(infos) => {
                    interface.kind = kind(infos);
                    interface.unfinished_checksums = infos.iter().any(admits_unfinished);
                }
                LinkAttribute::Xdp(attributes) => interface.xdp = attributes.iter().filter_map(xdp_state).collect(),
                _ => {}
            }
        }
        interface
    }
}

fn kind(infos: &[LinkInfo]) -> Option<String> {
    infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    })
}

/// Whether this says that checksums may be unfinished.
fn admits_unfinished(info: &LinkInfo) -> bool {
    match info {
        LinkInfo::Kind(kind) => *kind != InfoKind::Tun,
        LinkInfo::Data(InfoData::Tun(attributes)) => attributes.iter().any(is_virtio_header),
        _ => false,
    }
}

fn is_virtio_header(attribute: &InfoTun) -> bool {
    let mut value = [0];
    attribute.kind() == IFLA_TUN_VNET_HDR && attribute.value_len() == value.len() && {
        attribute.emit_value(&mut value);
        value == [1]
    }
}

/// The kernel names each attached program under the attribute of its mode.
fn xdp_state(attribute: &LinkXdp) -> Option<XdpState> {
    let (mode, program_id) = match attribute {
        LinkXdp::DrvProgId(id) => (AttachedMode::Native, *id),
        LinkXdp::SkbProgId(id) => (AttachedMode::Generic, *id),
        LinkXdp::HwProgId(id) => (AttachedMode::Hardware, *id),
        _ => return None,
    };
    Some(XdpState { mode, program_id })
}

fn get_link(name: &str) -> io::Result<LinkMessage> {
    let mut question = LinkMessage::default();
    question.attributes.push(LinkAttribute::IfName(name.into()));
    let mut packet =
        NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(RouteNetlinkMessage::GetLink(question)));
    packet.header.flags = NLM_F_REQUEST;
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);

    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => Ok(message),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        other => Err(io::Error::other(format!("unexpected answer to RTM_GETLINK: {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::DefaultNla;

    fn says(infos: Vec<LinkInfo>) -> bool {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::LinkInfo(infos)];
        Interface::from_message("any", &message).unfinished_checksums
    }

    fn tap(attribute: u16, value: u8) -> Vec<LinkInfo> {
        let attributes = vec![InfoTun::Other(DefaultNla::new(attribute, vec![value]))];
        vec![LinkInfo::Kind(InfoKind::Tun), LinkInfo::Data(InfoData::Tun(attributes))]
    }

    #[test]
    fn checksums_may_be_unfinished_on_virtual_devices_that_can_say_so() {
        assert!(says(vec![LinkInfo::Kind(InfoKind::Veth)]));
        assert!(!says(Vec::new()), "hardware");
        assert!(says(tap(IFLA_TUN_VNET_HDR, 1)));
        assert!(!says(tap(IFLA_TUN_VNET_HDR, 0)));
        assert!(!says(tap(IFLA_TUN_VNET_HDR + 1, 1)), "it persists");
    }
}
