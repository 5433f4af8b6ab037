//! One socket, as its worker sees it.

use crate::connections::ConnId;
use crate::handoff::Event;
use crate::orphans::Parting;
use crate::received::{Received, Taken};
use crate::splice::{SpliceEnd, SpliceReport};
use crate::{Interest, Ready, SocketError};
use synward_proto::connection::SocketOption;
use synward_proto::{Endpoint, Link};

/// A connection as its worker names it. Never reused for another connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SocketId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A listener as its worker names it. Never reused for another listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListenerId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A connection got from a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Its name from now on.
    pub socket: SocketId,
    /// The address the peer connected to.
    pub local: Endpoint,
    /// The peer.
    pub peer: Endpoint,
}

/// One of the engine's poll loops, and with it a queue of an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub(crate) u16);

/// What becomes of received bytes while nobody has decided who is to read them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Delivery {
    /// They go to the socket.
    #[default]
    AtOnce,
    /// They stay with the connection, within its receive buffer, until [`SocketCore::deliver`](crate::SocketCore::deliver) or
    /// [`SocketCore::splice`](crate::SocketCore::splice). A failure is told all the same; the end of the stream is not.
    Held,
}

/// What an active open is told. Finding the next hop is the caller's part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectConfig {
    /// Our end. With port zero, the shard chooses one of [`source_ports`](crate::EngineConfig::source_ports).
    pub local: Endpoint,
    /// The peer's end.
    pub remote: Endpoint,
    /// The way to the next hop.
    pub link: Link,
    /// Which shard is to have the connection. `None`: the owner of its two ends among the first interface's shards, or, where the
    /// port is yet to be chosen, these shards in turn.
    pub shard: Option<ShardId>,
    /// Whether received bytes wait.
    pub delivery: Delivery,
    /// Options that it begins with.
    pub options: Vec<SocketOption>,
}

impl ConnectConfig {
    /// A connection of whichever shard, delivered at once.
    pub fn new(local: Endpoint, remote: Endpoint, link: Link) -> Self {
        Self { local, remote, link, shard: None, delivery: Delivery::AtOnce, options: Vec::new() }
    }
}

/// Which direction `shutdown` ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shutdown {
    /// Receiving: what comes later is thrown away (SHUT_RD).
    Read,
    /// Sending: FIN follows what was queued (SHUT_WR).
    Write,
    /// Both (SHUT_RDWR).
    Both,
}

/// What there is on the shard's side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Nothing known yet: a connect is on its way.
    Opening,
    /// As before, but the application has given the socket back meanwhile.
    Discarded(Parting),
    /// A connection whose SYN is not answered.
    Connecting(ConnId),
    /// A connection.
    Open(ConnId),
    /// A connection whose bytes go to another one without coming here.
    Spliced(ConnId),
    /// Nothing any more.
    Over,
}

/// A socket. An application may have very many, nearly all of them idle: what an idle one does not have takes no room.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) generation: u32,
    /// The shard of its connection.
    pub(crate) shard: u16,
    pub(crate) phase: Phase,
    /// What only few sockets have.
    rare: Option<Box<Rare>>,
    /// Unread bytes, while there are any.
    received: Option<Box<Received>>,
    /// Read, and not told to the shard yet.
    pub(crate) uncredited: Taken,
    /// Whether it is on the list of those whose credit waits for room in the ring.
    pub(crate) in_debt: bool,
    /// Bytes told to the shard without waking it.
    pub(crate) whispered: u32,
    /// Bytes that may be sent now.
    pub(crate) send_space: u32,
    /// Bytes that the peer has acknowledged.
    pub(crate) acknowledged: u64,
    /// The peer sends no more.
    pub(crate) end_of_stream: bool,
    /// Why the connection failed, until somebody is told.
    pub(crate) failure: Option<SocketError>,
    /// Nothing more will be read.
    pub(crate) read_closed: bool,
    /// Nothing more will be sent.
    pub(crate) write_closed: bool,
    pub(crate) interest: Interest,
    /// Whether it is on the list of those that may be ready.
    pub(crate) listed: bool,
}

const _: () = assert!(size_of::<Socket>() <= 72);

/// What only few sockets have.
#[derive(Debug, Default)]
struct Rare {
    /// Our end of an open of ours, once it is known.
    local: Option<Endpoint>,
    /// What came of a splice.
    report: Option<SpliceReport>,
}

impl Socket {
    /// A socket without news.
    pub(crate) fn new(generation: u32, shard: u16, phase: Phase, send_space: u32) -> Self {
        Self {
            generation,
            shard,
            phase,
            rare: None,
            received: None,
            uncredited: Taken::default(),
            in_debt: false,
            whispered: 0,
            send_space,
            acknowledged: 0,
            end_of_stream: false,
            failure: None,
            read_closed: false,
            write_closed: false,
            interest: Interest::READ,
            listed: false,
        }
    }

    /// Its connection, if there is one.
    pub(crate) fn conn(&self) -> Option<ConnId> {
        match self.phase {
            Phase::Connecting(conn) | Phase::Open(conn) | Phase::Spliced(conn) => Some(conn),
            Phase::Opening | Phase::Discarded(_) | Phase::Over => None,
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Our end of an open of ours, once it is known.
    pub(crate) fn local(&self) -> Option<Endpoint> {
        self.rare.as_ref()?.local
    }

    /// What came of a splice, once.
    pub(crate) fn take_report(&mut self) -> Option<SpliceReport> {
        self.rare.as_mut()?.report.take()
    }

    /// Whether there are unread bytes.
    pub(crate) fn has_unread(&self) -> bool {
        self.received.is_some()
    }

    /// Reads as many bytes as there are and fit; the shard is yet to be told of them.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> usize {
        let Some(received) = &mut self.received else { return 0 };
        let taken = received.read(bytes);
        if received.is_empty() {
            self.received = None;
        }
        self.uncredited += taken;
        taken.bytes as usize
    }

    /// How many unread bytes there are.
    pub(crate) fn unread(&self) -> usize {
        self.received.as_ref().map_or(0, |received| received.len())
    }

    /// Copies unread bytes from the `skip`th on, and leaves them all.
    pub(crate) fn peek(&self, skip: usize, bytes: &mut [u8]) -> usize {
        self.received.as_ref().map_or(0, |received| received.peek(skip, bytes))
    }

    /// Throws unread bytes away; the shard is yet to be told of them.
    pub(crate) fn discard(&mut self) {
        if let Some(mut received) = self.received.take() {
            self.uncredited += received.discard();
        }
    }

    /// Takes news from the shard.
    pub(crate) fn hear(&mut self, event: Event) {
        if matches!(self.phase, Phase::Spliced(_)) && !matches!(event, Event::Spliced(_)) {
            // Said before the shard took up the splice, whose report will tell.
            return;
        }
        match event {
            Event::Opening { conn, local } => {
                self.phase = Phase::Connecting(conn);
                self.rare().local = Some(local);
            }
            Event::Refused(error) => self.fail(error),
            Event::Connected { send_space } => {
                if let Phase::Connecting(conn) = self.phase {
                    self.phase = Phase::Open(conn);
                }
                self.send_space = send_space;
            }
            Event::Received(chunk) => {
                self.received.get_or_insert_default().push(chunk);
                if self.read_closed {
                    self.discard();
                }
            }
            Event::Sent(bytes) => {
                self.send_space = self.send_space.saturating_add(bytes);
                self.acknowledged += u64::from(bytes);
            }
            Event::EndOfStream => self.end_of_stream = true,
            Event::Failed(failure) => self.failure = Some(failure.into()),
            Event::Over => self.phase = Phase::Over,
            // Told to whoever asked, and kept nowhere.
            Event::Described(_) => {}
            Event::Spliced(report) => {
                self.rare().report = Some(report);
                self.phase = match (self.phase, report.end) {
                    (Phase::Spliced(conn), SpliceEnd::Unused(_)) => Phase::Open(conn),
                    _ => Phase::Over,
                };
            }
        }
    }

    /// Ends for a reason that somebody is still to be told, unless there is an earlier one.
    pub(crate) fn fail(&mut self, error: SocketError) {
        if self.phase != Phase::Over {
            self.failure.get_or_insert(error);
        }
        self.phase = Phase::Over;
    }

    /// What it can do now; `room` says whether the ring to the shard has any.
    pub(crate) fn ready(&self, room: bool) -> Ready {
        let error = self.failure.is_some();
        let over = self.phase == Phase::Over;
        let told = self.rare.as_ref().is_some_and(|rare| rare.report.is_some());
        let can_read = told || self.has_unread() || self.end_of_stream || self.read_closed || over || error;
        let can_send = matches!(self.phase, Phase::Open(_)) && self.send_space > 0 && room;
        let can_write = can_send || self.write_closed || over || error;
        Ready {
            readable: self.interest.readable && can_read,
            writable: self.interest.writable && can_write,
            // Whoever wants to hear of nothing has bytes to read that he has no room for: an end that he cannot come to yet
            // must not keep him awake.
            hangup: self.interest != Interest::NONE && (over || (self.end_of_stream && self.write_closed)),
            error,
        }
    }
}
