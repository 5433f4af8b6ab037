//! A socket: what it is besides a connection, and what can be done with it now.

use crate::address::Family;
use crate::descriptors::FileId;
use crate::engine::{Patience, State};
use crate::errno::{Errno, Result};
use crate::options::Options;
use std::ffi::c_int;
use synward_engine::{ListenerId, News, Progress, SocketId, Status};
use synward_proto::Endpoint;
use synward_proto::connection::Info;

/// A socket.
pub(crate) struct Socket {
    pub(crate) family: Family,
    /// O_NONBLOCK.
    pub(crate) nonblocking: bool,
    /// FD_CLOEXEC: kept, and without effect, since a new program has no engine.
    pub(crate) close_on_exec: bool,
    /// Its end, by `bind` or since it listens or was accepted.
    pub(crate) bound: Option<Endpoint>,
    pub(crate) phase: Phase,
    pub(crate) options: Options,
    /// What `listen` was told.
    pub(crate) backlog: u32,
    /// The epoll instances that look at it.
    pub(crate) watchers: Vec<FileId>,
    /// Somebody wanted to send and could not: EPOLLOUT is an edge when there is room again (Linux: SOCK_NOSPACE).
    pub(crate) wants_space: bool,
    /// What is to be told once of a connection that was taken from it.
    pub(crate) failure: Option<Errno>,
    /// What the shard answered when it was last asked.
    pub(crate) described: Option<Box<Info>>,
}

/// What a socket has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Nothing yet, or nothing any more.
    Fresh,
    /// A listener.
    Listening(ListenerId),
    /// A connection.
    Connection(Connection),
}

/// The connection of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Connection {
    pub(crate) id: SocketId,
    pub(crate) peer: Endpoint,
    /// Our end; of a connect it is the core that knows.
    pub(crate) local: Option<Endpoint>,
    /// Nobody has been told how `connect` ended (Linux: SS_CONNECTING).
    pub(crate) opening: bool,
    /// Bytes queued so far.
    pub(crate) sent: u64,
}

/// EPOLLIN and what Linux says with it.
const IN: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM) as u32;
/// EPOLLOUT and what Linux says with it.
const OUT: u32 = (libc::EPOLLOUT | libc::EPOLLWRNORM) as u32;
const HUP: u32 = libc::EPOLLHUP as u32;
const RDHUP: u32 = libc::EPOLLRDHUP as u32;
const ERR: u32 = libc::EPOLLERR as u32;
/// A change that may be about anything.
pub(crate) const ALL: u32 = u32::MAX;

/// What a connection can do now (Linux: `tcp_poll`).
fn events(status: &Status, least: usize) -> u32 {
    let Status { progress, unread, end_of_stream, read_closed, write_closed, send_space, failure } = *status;
    let over = progress == Progress::Over;
    let mut events = 0;
    let (no_more_in, no_more_out) = (over || end_of_stream || read_closed, over || write_closed);
    if no_more_in && no_more_out {
        events |= HUP;
    }
    if no_more_in {
        events |= IN | RDHUP;
    }
    if unread >= least {
        events |= IN;
    }
    if no_more_out || (progress == Progress::Open && send_space > 0) {
        events |= OUT;
    }
    if failure.is_some() {
        events |= ERR;
    }
    events
}

impl Socket {
    /// A socket without an address.
    pub(crate) fn new(family: Family, nonblocking: bool, close_on_exec: bool, options: Options) -> Self {
        Self {
            family,
            nonblocking,
            close_on_exec,
            bound: None,
            phase: Phase::Fresh,
            options,
            backlog: 0,
            watchers: Vec::new(),
            wants_space: false,
            failure: None,
            described: None,
        }
    }

    /// Its connection.
    ///
    /// # Errors
    /// `without`, where it has none.
    pub(crate) fn connection(&self, without: Errno) -> Result<Connection> {
        match self.phase {
            Phase::Connection(connection) => Ok(connection),
            Phase::Fresh | Phase::Listening(_) => Err(without),
        }
    }

    /// How long a call that receives may wait, or one that accepts.
    pub(crate) fn patience_in(&self, flags: c_int) -> Patience {
        self.patience(flags, self.options.receive_timeout)
    }

    /// How long a call that sends may wait, or one that connects.
    pub(crate) fn patience_out(&self, flags: c_int) -> Patience {
        self.patience(flags, self.options.send_timeout)
    }

    fn patience(&self, flags: c_int, timeout: Option<std::time::Duration>) -> Patience {
        let waits = !self.nonblocking && flags & libc::MSG_DONTWAIT == 0;
        if waits { Patience::lasting(timeout) } else { Patience::None }
    }
}

impl State {
    /// A socket.
    ///
    /// # Errors
    /// EBADF when it was closed meanwhile.
    pub(crate) fn socket(&mut self, file: FileId) -> Result<&mut Socket> {
        self.sockets.get_mut(&file).ok_or(Errno::BAD_DESCRIPTOR)
    }

    /// The connection of a socket that is to receive or to send, and how it stands.
    ///
    /// # Errors
    /// EBADF; `without`, where it has none, but first why.
    pub(crate) fn stream(&mut self, file: FileId, without: Errno) -> Result<(Connection, Status)> {
        let socket = self.socket(file)?;
        match socket.phase {
            Phase::Fresh => Err(socket.failure.take().unwrap_or(without)),
            Phase::Listening(_) | Phase::Connection(_) => self.connection(file, without),
        }
    }

    /// The connection of a socket, and how it stands.
    ///
    /// # Errors
    /// EBADF; `without`, where it has none.
    pub(crate) fn connection(&mut self, file: FileId, without: Errno) -> Result<(Connection, Status)> {
        let connection = self.socket(file)?.connection(without)?;
        Ok((connection, self.core.status(connection.id)?))
    }

    /// What can be done with a socket now, as bits of `epoll`, which are those of `poll` too.
    pub(crate) fn events(&mut self, file: FileId) -> u32 {
        let Some(socket) = self.sockets.get_mut(&file) else { return 0 };
        let least = socket.options.least_to_read();
        let events = match socket.phase {
            Phase::Fresh if socket.failure.is_some() => OUT | HUP | ERR,
            Phase::Fresh => OUT | HUP,
            Phase::Listening(listener) if self.core.waiting(listener).is_ok_and(|waiting| waiting > 0) => IN,
            Phase::Listening(_) => 0,
            Phase::Connection(connection) => {
                self.core.status(connection.id).map_or(OUT | HUP, |status| events(&status, least))
            }
        };
        if let Some(socket) = self.sockets.get_mut(&file) {
            socket.wants_space |= events & OUT == 0;
        }
        events
    }

    /// Takes what the shard says of a connection.
    pub(crate) fn take_news(&mut self, name: SocketId, news: News) {
        let Some(&file) = self.by_name.get(&name) else { return };
        let Some(socket) = self.sockets.get_mut(&file) else { return };
        let about = match news {
            News::Received => IN,
            News::Sent if socket.wants_space => {
                socket.wants_space = false;
                OUT
            }
            // Those who wait for acknowledgments look again; it is no edge.
            News::Sent | News::Named => 0,
            News::Connected | News::EndOfStream | News::Failed | News::Over => ALL,
            News::Described(info) => {
                socket.described = Some(info);
                0
            }
        };
        self.wake(file, about);
    }

    /// Looks whether connections have come to listeners; whether there were any.
    pub(crate) fn look_for_arrivals(&mut self) -> bool {
        let mut came = Vec::new();
        for (&file, seen) in &mut self.listening {
            let Some(Phase::Listening(listener)) = self.sockets.get(&file).map(|socket| socket.phase) else { continue };
            let arrivals = self.core.arrivals(listener).unwrap_or(*seen);
            if std::mem::replace(seen, arrivals) != arrivals {
                came.push(file);
            }
        }
        came.iter().for_each(|&file| self.wake(file, IN));
        !came.is_empty()
    }

    /// Something about a socket has changed: those who wait look again, and epoll instances hear of it.
    pub(crate) fn wake(&mut self, file: FileId, about: u32) {
        self.news = true;
        let Some(socket) = self.sockets.get(&file) else { return };
        for watcher in &socket.watchers {
            if let Some(epoll) = self.epolls.get_mut(watcher) {
                epoll.wake(file, about);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ERR, HUP, IN, OUT, RDHUP, events};
    use synward_engine::{Progress, SocketError, Status};

    const OPEN: Status = Status {
        progress: Progress::Open,
        unread: 0,
        end_of_stream: false,
        read_closed: false,
        write_closed: false,
        send_space: 1,
        failure: None,
    };

    /// As `tcp_poll` has it.
    #[test]
    fn what_can_be_done() {
        for (status, expected) in [
            (OPEN, OUT),
            (Status { send_space: 0, ..OPEN }, 0),
            (Status { unread: 1, ..OPEN }, IN | OUT),
            (Status { end_of_stream: true, ..OPEN }, IN | RDHUP | OUT),
            (Status { read_closed: true, ..OPEN }, IN | RDHUP | OUT),
            (Status { write_closed: true, send_space: 0, ..OPEN }, OUT),
            (Status { end_of_stream: true, write_closed: true, ..OPEN }, IN | RDHUP | OUT | HUP),
            (Status { progress: Progress::Opening, ..OPEN }, 0),
            (
                Status { progress: Progress::Over, failure: Some(SocketError::ConnectionReset), ..OPEN },
                IN | RDHUP | OUT | HUP | ERR,
            ),
        ] {
            assert_eq!(events(&status, 1), expected, "{status:?}");
        }
        assert_eq!(events(&Status { unread: 9, ..OPEN }, 10), OUT, "SO_RCVLOWAT");
    }
}
