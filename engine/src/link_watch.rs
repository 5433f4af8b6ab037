//! What the kernel says about the interface: an XSK's `poll` says nothing when its device goes.

use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// `RTMGRP_LINK`: the group that hears of links.
const LINK_GROUP: u32 = 1;

/// What happened to a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LinkChange {
    /// It has a carrier.
    Up,
    /// It has none, or was taken down.
    Down,
    /// Its packets are now at most so many bytes.
    Mtu(u32),
    /// It was deleted, or moved to another network namespace.
    Gone,
}

/// A netlink socket that hears of one interface, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct LinkWatch {
    socket: Socket,
    link: KnownLink,
    /// Heard, and not yet told.
    changes: VecDeque<LinkChange>,
}

impl LinkWatch {
    /// Begins to watch.
    ///
    /// # Errors
    /// When there is no such interface, or no socket can be had.
    pub(crate) fn open(interface: &str) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, LINK_GROUP))?;
        socket.set_non_blocking(true)?;
        // Only now: a link that goes from here on is heard of.
        let index = rustix::net::netdevice::name_to_index(&socket, interface)?;
        Ok(Self { socket, link: KnownLink { index, up: None, mtu: None }, changes: VecDeque::new() })
    }

    /// The next thing that happened; `None` when nothing more has.
    pub(crate) fn poll(&mut self) -> Option<LinkChange> {
        while self.changes.is_empty() {
            match self.socket.recv_from_full() {
                Ok((datagram, _)) => self.link.hear(&datagram, &mut self.changes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => {
                    tracing::warn!(%error, "news of links were lost");
                    let alive = rustix::net::netdevice::index_to_name(&self.socket, self.link.index).is_ok();
                    return (!alive).then_some(LinkChange::Gone);
                }
            }
        }
        self.changes.pop_front()
    }
}

impl AsFd for LinkWatch {
    /// Readable when there is news of some link.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A link, as last heard of.
#[derive(Debug)]
struct KnownLink {
    index: u32,
    up: Option<bool>,
    mtu: Option<u32>,
}

impl KnownLink {
    /// Adds what a datagram of netlink messages says about this link. Kernel and this process share the format; what
    /// cannot be read says nothing.
    fn hear(&mut self, datagram: &[u8], changes: &mut VecDeque<LinkChange>) {
        let mut rest = datagram;
        while let Some(length) = NetlinkBuffer::new_checked(rest).ok().map(|header| header.length() as usize) {
            if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
                self.hear_message(&message, changes);
            }
            // Messages are aligned to four bytes.
            let Some(next) = rest.get(length.next_multiple_of(4)..).filter(|_| length > 0) else { return };
            rest = next;
        }
    }

    fn hear_message(&mut self, message: &NetlinkMessage<RouteNetlinkMessage>, changes: &mut VecDeque<LinkChange>) {
        let NetlinkPayload::InnerMessage(message) = &message.payload else { return };
        match message {
            RouteNetlinkMessage::NewLink(link) if link.header.index == self.index => self.compare(link, changes),
            RouteNetlinkMessage::DelLink(link) if link.header.index == self.index => {
                changes.push_back(LinkChange::Gone);
            }
            _ => {}
        }
    }

    fn compare(&mut self, link: &LinkMessage, changes: &mut VecDeque<LinkChange>) {
        let up = link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
        // A link counts as up until the first that is heard of it.
        if self.up.replace(up).unwrap_or(true) != up {
            changes.push_back(if up { LinkChange::Up } else { LinkChange::Down });
        }
        for attribute in &link.attributes {
            if let LinkAttribute::Mtu(mtu) = *attribute
                && self.mtu.replace(mtu) != Some(mtu)
            {
                changes.push_back(LinkChange::Mtu(mtu));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KnownLink, LinkChange, LinkWatch};
    use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
    use std::collections::VecDeque;

    const UP: LinkFlags = LinkFlags::Up.union(LinkFlags::LowerUp);

    fn link(index: u32, flags: LinkFlags, mtu: u32) -> LinkMessage {
        let mut link = LinkMessage::default();
        (link.header.index, link.header.flags) = (index, flags);
        link.attributes.push(LinkAttribute::Mtu(mtu));
        link
    }

    fn datagram(messages: impl IntoIterator<Item = RouteNetlinkMessage>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
            message.finalize();
            let start = bytes.len();
            bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
            message.serialize(&mut bytes[start..]);
        }
        bytes
    }

    #[test]
    fn only_changes_of_this_link_are_told() {
        use RouteNetlinkMessage::{DelLink, NewLink};
        let (mut known, mut changes) = (KnownLink { index: 7, up: None, mtu: None }, VecDeque::new());
        known.hear(&datagram([NewLink(link(7, UP, 1500)), NewLink(link(8, LinkFlags::Up, 9000))]), &mut changes);
        known.hear(&datagram([NewLink(link(7, UP, 1500)), DelLink(link(8, UP, 9000))]), &mut changes);
        assert_eq!(changes.drain(..).collect::<Vec<_>>(), [LinkChange::Mtu(1500)]);

        let messages = [NewLink(link(7, LinkFlags::Up, 1500)), NewLink(link(7, UP, 3000)), DelLink(link(7, UP, 3000))];
        known.hear(&datagram(messages), &mut changes);
        let wanted = [LinkChange::Down, LinkChange::Up, LinkChange::Mtu(3000), LinkChange::Gone];
        assert_eq!(changes.drain(..).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let (mut known, mut changes) = (KnownLink { index: 7, up: None, mtu: None }, VecDeque::new());
        let whole = datagram([RouteNetlinkMessage::DelLink(link(7, UP, 1500))]);
        for len in 0..whole.len() {
            known.hear(&whole[..len], &mut changes);
        }
        known.hear(&[0; 64], &mut changes);
        assert!(changes.is_empty(), "{changes:?}");
    }

    #[test]
    fn the_loopback_interface_can_be_watched_and_a_missing_one_not() {
        let mut watch = LinkWatch::open("lo").expect("there is a loopback interface");
        assert_eq!(watch.poll(), None);
        assert!(LinkWatch::open("no-such-link").is_err());
    }
}
