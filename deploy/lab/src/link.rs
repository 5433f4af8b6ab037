//! Links: made, joined, brought up and awaited.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgePortState, BridgeStpState, InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind,
    InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp, State, Stats64,
};

use crate::LabError;
use crate::namespace::Namespace;
use crate::netlink::{Extent, Group, Netlink, await_change};
use crate::plan::LinkPlan;

/// `XDP_FLAGS_DRV_MODE`: native, or an error.
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// What the kernel says of a link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) loopback: bool,
    pub(crate) stats: Stats64,
    carries: bool,
    port_state: Option<BridgePortState>,
}

impl Link {
    fn from_message(message: &LinkMessage) -> Self {
        let mut link = Self {
            name: String::new(),
            index: message.header.index,
            loopback: message.header.flags.contains(LinkFlags::Loopback),
            stats: Stats64::default(),
            carries: false,
            port_state: None,
        };
        let up = message.header.flags.contains(LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp);
        let (mut state_says, mut is_tap) = (None, false);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::OperState(state) => state_says = Some(*state),
                LinkAttribute::Stats64(stats) => link.stats = *stats,
                LinkAttribute::LinkInfo(infos) => {
                    link.port_state = infos.iter().find_map(port_state);
                    is_tap = infos.contains(&LinkInfo::Kind(InfoKind::Tun));
                }
                _ => {}
            }
        }
        // The carrier of a TAP device is there from the start, and its driver never says so (RFC 2863: "unknown").
        link.carries = up && (state_says == Some(State::Up) || is_tap && state_says == Some(State::Unknown));
        link
    }

    /// Whether frames pass: the link has carrier and, if it is a port of a bridge, the bridge forwards on it.
    fn passes_frames(&self) -> bool {
        self.carries && self.port_state.is_none_or(|state| state == BridgePortState::Forwarding)
    }
}

fn port_state(info: &LinkInfo) -> Option<BridgePortState> {
    let LinkInfo::PortData(InfoPortData::BridgePort(attributes)) = info else { return None };
    attributes.iter().find_map(|attribute| match attribute {
        InfoBridgePort::State(state) => Some(*state),
        _ => None,
    })
}

/// Makes a veth pair: `near` in the namespace of the socket, `far` in another.
pub(crate) fn create_pair(
    netlink: &mut Netlink,
    near: &LinkPlan,
    far: &LinkPlan,
    far_namespace: BorrowedFd<'_>,
) -> Result<(), LabError> {
    let mut peer = LinkMessage::default();
    peer.attributes = ends_attributes(far);
    peer.attributes.push(LinkAttribute::NetNsFd(far_namespace.as_raw_fd()));
    let mut message = LinkMessage::default();
    message.attributes = ends_attributes(near);
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    let attempt = format!("create the veth pair {} - {}", near.name, far.name);
    netlink.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, &attempt)
}

fn ends_attributes(link: &LinkPlan) -> Vec<LinkAttribute> {
    vec![
        LinkAttribute::IfName(link.name.clone()),
        LinkAttribute::Address(link.mac.0.to_vec()),
        LinkAttribute::Mtu(link.mtu),
        LinkAttribute::NumTxQueues(link.queues.into()),
        LinkAttribute::NumRxQueues(link.queues.into()),
    ]
}

/// Gives a TAP device its hardware address, its MTU, and this length of its queues in frames.
pub(crate) fn configure_tap(netlink: &mut Netlink, link: &LinkPlan, queue_length: u32) -> Result<(), LabError> {
    let attributes = vec![
        LinkAttribute::Address(link.mac.0.to_vec()),
        LinkAttribute::Mtu(link.mtu),
        LinkAttribute::TxQueueLen(queue_length),
    ];
    set(netlink, &link.name, attributes, &format!("configure {}", link.name))
}

/// Makes a bridge that forwards at once: no spanning tree, no delay, no multicast snooping.
pub(crate) fn create_bridge(netlink: &mut Netlink, name: &str) -> Result<(), LabError> {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![
                InfoBridge::StpState(BridgeStpState::Disabled),
                InfoBridge::ForwardDelay(0),
                InfoBridge::MulticastSnooping(false),
            ])),
        ]),
    ];
    let attempt = format!("create the bridge {name}");
    netlink.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, &attempt)
}

/// Makes a link a port of a bridge. The port does not learn: hardware addresses that a flood forges do not fill its table.
pub(crate) fn join_bridge(netlink: &mut Netlink, port: &str, bridge: &str) -> Result<(), LabError> {
    let attempt = format!("join {port} to the bridge {bridge}");
    let controller = find(netlink, bridge)?.index;
    set(netlink, port, vec![LinkAttribute::Controller(controller)], &attempt)?;
    let options = LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::Learning(false)])),
    ]);
    let message = addressed(find(netlink, port)?.index, vec![options]);
    netlink.request(RouteNetlinkMessage::NewLink(message), 0, &attempt)
}

/// Attaches a program natively, for as long as the link lives.
pub(crate) fn attach_xdp(netlink: &mut Netlink, name: &str, program: BorrowedFd<'_>) -> Result<(), LabError> {
    let xdp = vec![LinkXdp::Fd(program.as_raw_fd()), LinkXdp::Flags(XDP_FLAGS_DRV_MODE)];
    set(netlink, name, vec![LinkAttribute::Xdp(xdp)], &format!("attach the XDP pass program to {name}"))
}

/// Brings a link up, without waiting for its carrier.
pub(crate) fn set_up(netlink: &mut Netlink, name: &str) -> Result<(), LabError> {
    set_flags(netlink, name, LinkFlags::Up, &format!("bring {name} up"))
}

/// Takes a link down.
pub(crate) fn set_down(netlink: &mut Netlink, name: &str) -> Result<(), LabError> {
    set_flags(netlink, name, LinkFlags::empty(), &format!("take {name} down"))
}

/// Deletes a link, and with a veth its peer.
pub(crate) fn delete(netlink: &mut Netlink, index: u32, name: &str) -> Result<(), LabError> {
    let message = addressed(index, Vec::new());
    netlink.request(RouteNetlinkMessage::DelLink(message), 0, &format!("delete {name}"))
}

/// The link of this name.
pub(crate) fn find(netlink: &mut Netlink, name: &str) -> Result<Link, LabError> {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    let attempt = format!("look up {name}");
    let answers = netlink.query(RouteNetlinkMessage::GetLink(message), Extent::One, &attempt)?;
    links(&answers).next().ok_or_else(|| LabError::system(attempt, std::io::Error::from_raw_os_error(libc::ENODEV)))
}

/// Every link of the namespace.
pub(crate) fn all(netlink: &mut Netlink) -> Result<Vec<Link>, LabError> {
    let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
    Ok(links(&netlink.query(message, Extent::All, "list the links")?).collect())
}

/// Waits until frames pass a link: its carrier is on and, if it is a port of a bridge, the bridge forwards on it.
///
/// The kernel turns a carrier into a working queue on a work queue of its own; a frame sent before that is dropped.
pub(crate) fn await_ready(namespace: &Namespace, name: &str) -> Result<(), LabError> {
    await_change(namespace, Group::Links, name, |netlink| Ok(find(netlink, name)?.passes_frames()))
}

fn set(netlink: &mut Netlink, name: &str, attributes: Vec<LinkAttribute>, attempt: &str) -> Result<(), LabError> {
    let message = addressed(find(netlink, name)?.index, attributes);
    netlink.request(RouteNetlinkMessage::SetLink(message), 0, attempt)
}

fn set_flags(netlink: &mut Netlink, name: &str, flags: LinkFlags, attempt: &str) -> Result<(), LabError> {
    let mut message = addressed(find(netlink, name)?.index, Vec::new());
    message.header.flags = flags;
    message.header.change_mask = LinkFlags::Up;
    netlink.request(RouteNetlinkMessage::SetLink(message), 0, attempt)
}

fn addressed(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

fn links(answers: &[RouteNetlinkMessage]) -> impl Iterator<Item = Link> {
    answers.iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(message) => Some(Link::from_message(message)),
        _ => None,
    })
}
