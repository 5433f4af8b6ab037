//! A blocking rtnetlink socket in a namespace: one request, one answer.

use std::io;
use std::time::{Duration, Instant};

use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{self, Timeout};

use crate::LabError;
use crate::namespace::Namespace;

/// `NLMSGERR_ATTR_MSG`: the extended acknowledgement's words.
const NLMSGERR_ATTR_MSG: u16 = 1;
/// `sizeof(struct nlmsghdr)`, which `NLMSG_ERROR` quotes before the attributes of the extended acknowledgement.
const QUOTED_HEADER: usize = 16;
/// How long the kernel may take to finish what it does on work queues. Locally this is a matter of microseconds to a few
/// milliseconds; the limit is for a machine under heavy load.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A socket that stays in the namespace it was made in, whichever thread uses it.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
    namespace: Namespace,
}

impl Netlink {
    /// Opens a socket for requests.
    pub(crate) fn open(namespace: &Namespace) -> Result<Self, LabError> {
        let socket = namespace
            .run(open_for_requests)?
            .map_err(|source| LabError::system(format!("open a netlink socket in {}", namespace.name()), source))?;
        Ok(Self { socket, sequence: 0, namespace: namespace.clone() })
    }

    /// Sends one request with these flags beside `NLM_F_REQUEST` and waits until the kernel has done it, or refused.
    pub(crate) fn request(&mut self, message: RouteNetlinkMessage, flags: u16, attempt: &str) -> Result<(), LabError> {
        self.exchange(message, flags | NLM_F_ACK, attempt).map(|_answers| ())
    }

    /// Asks for objects and returns the kernel's answers: all objects with `NLM_F_DUMP`, else the one asked for.
    pub(crate) fn query(
        &mut self,
        message: RouteNetlinkMessage,
        extent: Extent,
        attempt: &str,
    ) -> Result<Vec<RouteNetlinkMessage>, LabError> {
        let flags = match extent {
            Extent::One => NLM_F_ACK,
            Extent::All => NLM_F_DUMP,
        };
        self.exchange(message, flags, attempt)
    }

    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        attempt: &str,
    ) -> Result<Vec<RouteNetlinkMessage>, LabError> {
        let failed = |source: io::Error, detail: String| {
            LabError::kernel(format!("{attempt} in {}", self.namespace.name()), source, detail)
        };
        self.sequence = self.sequence.wrapping_add(1);
        send(&self.socket, self.sequence, message, flags).map_err(|source| failed(source, String::new()))?;
        let mut answers = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full().map_err(|source| failed(source, String::new()))?;
            for message in messages(&datagram) {
                let message = message.map_err(|source| failed(source, String::new()))?;
                if message.header.sequence_number != self.sequence {
                    continue; // the rest of an answer that an error cut short
                }
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::Error(answer) => match answer.code {
                        None => return Ok(answers),
                        Some(_) => return Err(failed(answer.to_io(), words_of(&answer))),
                    },
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Noop => {}
                    NetlinkPayload::Overrun(_) => return Err(failed(io::ErrorKind::InvalidData.into(), String::new())),
                    _ => return Err(failed(io::ErrorKind::InvalidData.into(), "unknown kind of answer".into())),
                }
            }
        }
    }
}

/// How much a query asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// The object that the message names.
    One,
    /// Every object of its kind.
    All,
}

/// What to hear of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Group {
    /// Changes of links: `RTNLGRP_LINK`.
    Links = 1,
    /// Changes of IPv6 routes: `RTNLGRP_IPV6_ROUTE`.
    Ipv6Routes = 11,
}

/// Waits until something holds in a namespace, looking again after every change in a group. `name` is what is awaited.
pub(crate) fn await_change(
    namespace: &Namespace,
    group: Group,
    name: &str,
    mut holds: impl FnMut(&mut Netlink) -> Result<bool, LabError>,
) -> Result<(), LabError> {
    let mut netlink = Netlink::open(namespace)?;
    if holds(&mut netlink)? {
        return Ok(());
    }
    let failed = |source| LabError::system(format!("wait for {name} in {}", namespace.name()), source);
    let events = namespace.run(|| open_for_events(group))?.map_err(failed)?;
    let deadline = Instant::now() + LONGEST_WAIT;
    while !holds(&mut netlink)? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let (what, namespace) = (name.to_owned(), namespace.name().to_owned());
            return Err(LabError::NotReady { what, namespace, seconds: LONGEST_WAIT.as_secs() });
        }
        wait_for_event(&events, left).map_err(failed)?;
    }
    Ok(())
}

/// Blocks until something changed, but not longer than this; also returns when it is unsure.
fn wait_for_event(events: &Socket, longest: Duration) -> io::Result<()> {
    sockopt::set_socket_timeout(events, Timeout::Recv, Some(longest.max(Duration::from_millis(1))))?;
    match events.recv_from_full() {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            // Out of time; interrupted; so many changes that some were lost: the caller looks for itself in any case.
            Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS) => Ok(()),
            _ => Err(error),
        },
    }
}

fn open_for_requests() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

fn open_for_events(group: Group) -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.add_membership(group as u32)?;
    Ok(socket)
}

fn send(socket: &Socket, sequence: u32, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map(|_sent| ())
}

/// The messages of one datagram, each aligned to four bytes (`NLMSG_ALIGN`).
fn messages(datagram: &[u8]) -> impl Iterator<Item = io::Result<NetlinkMessage<RouteNetlinkMessage>>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let parsed = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest);
        let length = parsed.as_ref().map_or(rest.len(), |message| message.header.length as usize);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(parsed.map_err(io::Error::other))
    })
}

/// What the kernel added to an error in words, or nothing.
fn words_of(answer: &ErrorMessage) -> String {
    let attributes = answer.header.get(QUOTED_HEADER..).unwrap_or_default();
    let message = NlasIterator::new(attributes).flatten().find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG);
    message.map_or_else(String::new, |words| {
        String::from_utf8_lossy(words.value()).trim_end_matches('\0').trim_end_matches('.').to_owned()
    })
}
