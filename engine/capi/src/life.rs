//! From `socket` to `close`: what Linux's `inet_stream_ops` do, and in which order they look at things.

use crate::address::{Family, Named};
use crate::descriptors::FileId;
use crate::engine::{Engine, Patience, State};
use crate::errno::{Errno, Result};
use crate::network::Way;
use crate::options::Options;
use crate::ports::Claim;
use crate::socket::{ALL, Connection, Phase, Socket};
use crate::threaded::Known;
use std::ffi::c_int;
use std::time::Duration;
use synward_engine::{ConnectConfig, ListenConfig, Progress, Shutdown, SocketError, Status};
use synward_proto::Endpoint;

/// How a socket is made: the flags of `socket` and `accept4`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flags {
    pub(crate) nonblocking: bool,
    pub(crate) close_on_exec: bool,
}

impl Flags {
    /// Reads SOCK_NONBLOCK and SOCK_CLOEXEC.
    ///
    /// # Errors
    /// EINVAL when there are others.
    pub(crate) fn read(flags: c_int) -> Result<Self> {
        if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return Err(Errno::INVALID);
        }
        let (nonblocking, close_on_exec) = (flags & libc::SOCK_NONBLOCK != 0, flags & libc::SOCK_CLOEXEC != 0);
        Ok(Self { nonblocking, close_on_exec })
    }
}

/// Reads what `socket` is asked for.
///
/// # Errors
/// EAFNOSUPPORT, EINVAL, ESOCKTNOSUPPORT, EPROTONOSUPPORT.
pub(crate) fn kind(domain: c_int, kind: c_int, protocol: c_int) -> Result<(Family, Flags)> {
    /// `SOCK_TYPE_MASK` (linux/net.h).
    const TYPE: c_int = 0xf;
    let flags = Flags::read(kind & !TYPE)?;
    let family = match domain {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        _ => return Err(Errno::WRONG_FAMILY),
    };
    match (kind & TYPE, protocol) {
        (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Ok((family, flags)),
        (libc::SOCK_STREAM, _) => Err(Errno(libc::EPROTONOSUPPORT)),
        // The kernel's numbers of types end at 10 (SOCK_PACKET).
        (1..=10, _) => Err(Errno(libc::ESOCKTNOSUPPORT)),
        _ => Err(Errno::INVALID),
    }
}

/// What `connect` is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Connecting {
    /// Begin, from this end if the socket is bound.
    Begin,
    /// It has begun already.
    Wait,
    /// It is done.
    Done,
}

impl Engine {
    /// Gives a socket an address.
    ///
    /// # Errors
    /// As bind(2).
    pub(crate) fn bind(&self, file: FileId, to: impl Fn(Family) -> Result<Named>) -> Result<()> {
        self.call(|state| state.bind(file, to))
    }

    /// Has a socket listen.
    ///
    /// # Errors
    /// As listen(2).
    pub(crate) fn listen(&self, file: FileId, backlog: c_int) -> Result<()> {
        let local = self.call(|state| state.listen(file, backlog))?;
        // First it is known, then clients can reach it.
        self.await_listener(&local, Known::Everywhere)?;
        self.network().own(&local)
    }

    /// Connects a socket, or takes its connection from it.
    ///
    /// # Errors
    /// As connect(2).
    pub(crate) fn connect(&self, file: FileId, to: impl Fn(Family) -> Result<Named>) -> Result<()> {
        let family = self.call(|state| Ok(state.socket(file)?.family))?;
        let remote = match to(family)? {
            Named::Nobody => return self.call(|state| state.disconnect(file)),
            Named::At(remote) => remote,
        };
        let begun_before = match self.call(|state| state.connecting(file))? {
            Connecting::Done => return Ok(()),
            Connecting::Wait => true,
            Connecting::Begin => {
                let way = self.network().way_to(&remote)?;
                self.call(|state| state.begin_connect(file, remote, way))?;
                // The shard answers at once whether there is a port: no packet is waited for.
                self.wait(Patience::Endless, |state| state.is_connect_taken_up(file))?;
                false
            }
        };
        let patience = self.call(|state| Ok(state.socket(file)?.patience_out(0)))?;
        if patience == Patience::None && !begun_before {
            // Also where the peer has answered in the meantime: the answer is for the next call.
            return Err(Errno(libc::EINPROGRESS));
        }
        match self.wait(patience, |state| state.finish_connect(file)) {
            Err(Errno::AGAIN) if begun_before => Err(Errno(libc::EALREADY)),
            Err(Errno::AGAIN) => Err(Errno(libc::EINPROGRESS)),
            outcome => outcome,
        }
    }

    /// Closes a socket whose descriptor is taken back already; with SO_LINGER and a time, when the peer has acknowledged all
    /// that was sent, or that time has passed.
    ///
    /// # Errors
    /// EBADF when the engine is closed.
    pub(crate) fn close_socket(&self, file: FileId) -> Result<()> {
        let linger = self.call(|state| Ok(state.socket(file)?.options.linger))?;
        if let Some(linger) = linger.filter(|linger| !linger.is_zero()) {
            self.call(|state| state.shut_down(file, Shutdown::Write).or(Ok(())))?;
            // What is not acknowledged by then goes on without us.
            let _ = self.wait(Patience::lasting(Some(linger)), |state| state.is_acknowledged(file));
        }
        self.ending(file, |state| state.close(file, linger == Some(Duration::ZERO)))
    }

    /// Ends one direction of a connection or both.
    ///
    /// # Errors
    /// As shutdown(2).
    pub(crate) fn shut_down(&self, file: FileId, how: Shutdown) -> Result<()> {
        self.ending(file, |state| state.shut_down(file, how))
    }

    /// Does what may end a listener, and comes back when nobody takes a SYN for it any more.
    fn ending(&self, file: FileId, end: impl FnOnce(&mut State) -> Result<()>) -> Result<()> {
        let ended = self.call(|state| {
            let listened = state.listens_at(file);
            end(state)?;
            Ok(listened.filter(|_| state.listens_at(file).is_none()))
        })?;
        // Where the loops have ended, nobody takes anything.
        let _ = ended.map(|local| self.await_listener(&local, Known::Nowhere));
        Ok(())
    }
}

impl State {
    /// Makes a socket.
    pub(crate) fn open_socket(&mut self, family: Family, flags: Flags) -> FileId {
        let file = self.next_file();
        let options = Options::new(&self.config);
        self.sockets.insert(file, Socket::new(family, flags.nonblocking, flags.close_on_exec, options));
        file
    }

    /// Gives a socket an address.
    ///
    /// # Errors
    /// As bind(2).
    fn bind(&mut self, file: FileId, to: impl Fn(Family) -> Result<Named>) -> Result<()> {
        let socket = self.socket(file)?;
        let end = match to(socket.family)? {
            Named::At(end) => end,
            Named::Nobody => return Err(Errno::WRONG_FAMILY),
        };
        let taken = socket.bound.is_some() || socket.phase != Phase::Fresh;
        self.network.check_ours(&end.addr)?;
        if taken { Err(Errno::INVALID) } else { self.claim(file, end) }
    }

    fn claim(&mut self, file: FileId, end: Endpoint) -> Result<()> {
        let reuse = self.socket(file)?.options.reuse_address;
        let claim = Claim { file, address: end.addr, reuse, listens: false };
        let bound = self.ports.claim(claim, end.port)?;
        match self.network.reserve(&bound) {
            Ok(()) => self.socket(file)?.bound = Some(bound),
            Err(error) => {
                self.ports.release(file, bound.port);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Listens. A second time changes nothing.
    ///
    /// # Errors
    /// As listen(2).
    fn listen(&mut self, file: FileId, backlog: c_int) -> Result<Endpoint> {
        let socket = self.socket(file)?;
        match (socket.phase, socket.bound) {
            (Phase::Listening(_), Some(local)) => return Ok(local),
            (Phase::Connection(_) | Phase::Listening(_), _) => return Err(Errno::INVALID),
            (Phase::Fresh, _) => {}
        }
        if socket.bound.is_none() {
            let anywhere = socket.family.anywhere();
            self.claim(file, anywhere)?;
        }
        let local = self.socket(file)?.bound.ok_or(Errno::INVALID)?;
        self.ports.set_listening(file, local.port, true)?;
        // A negative backlog is a very large one, as in Linux.
        let options = self.socket(file)?.options.of_engine();
        let config = ListenConfig { backlog: backlog.cast_unsigned(), options, ..ListenConfig::new(local) };
        match self.core.listen(config) {
            Ok(listener) => {
                let socket = self.socket(file)?;
                (socket.phase, socket.backlog) = (Phase::Listening(listener), backlog.cast_unsigned());
                self.listening.insert(file, 0);
                self.wake(file, ALL);
                Ok(local)
            }
            Err(error) => {
                self.ports.set_listening(file, local.port, false)?;
                Err(error.into())
            }
        }
    }

    /// Takes a connection from a listener; its socket and the peer.
    ///
    /// # Errors
    /// EINVAL when it does not listen, EAGAIN when none waits, and those of the core.
    pub(crate) fn accept(&mut self, file: FileId, flags: Flags) -> Result<(FileId, Endpoint)> {
        let socket = self.socket(file)?;
        let (family, options) = (socket.family, socket.options.inherited());
        let Phase::Listening(listener) = socket.phase else { return Err(Errno::INVALID) };
        let accepted = self.core.accept(listener)?;
        let new = self.next_file();
        let mut socket = Socket::new(family, flags.nonblocking, flags.close_on_exec, options);
        let claim =
            Claim { file: new, address: accepted.local.addr, reuse: socket.options.reuse_address, listens: false };
        self.ports.join(claim, accepted.local.port);
        socket.bound = Some(accepted.local);
        let (id, peer, local) = (accepted.socket, accepted.peer, Some(accepted.local));
        socket.phase = Phase::Connection(Connection { id, peer, local, opening: false, sent: 0 });
        // Those that were set since `listen` go for it, too.
        for option in socket.options.of_engine() {
            self.core.set(id, option)?;
        }
        self.by_name.insert(id, new);
        self.sockets.insert(new, socket);
        Ok((new, peer))
    }

    /// What a socket that is to be connected needs.
    fn connecting(&mut self, file: FileId) -> Result<Connecting> {
        match self.socket(file)?.phase {
            Phase::Fresh => Ok(Connecting::Begin),
            Phase::Listening(_) | Phase::Connection(Connection { opening: false, .. }) => Err(Errno(libc::EISCONN)),
            Phase::Connection(_) => match self.finish_connect(file) {
                Ok(()) => Ok(Connecting::Done),
                Err(Errno::AGAIN) => Ok(Connecting::Wait),
                Err(error) => Err(error),
            },
        }
    }

    fn begin_connect(&mut self, file: FileId, remote: Endpoint, way: Way) -> Result<()> {
        let socket = self.socket(file)?;
        if socket.phase != Phase::Fresh {
            return Err(Errno(libc::EALREADY));
        }
        let mut local = socket.bound.unwrap_or(Endpoint::new(way.source, 0));
        if local.addr.is_unspecified() {
            local.addr = way.source;
        }
        let socket = self.socket(file)?;
        socket.failure = None;
        if local.port != 0 {
            self.network.own(&local)?;
        }
        let socket = self.socket(file)?;
        let options = socket.options.of_engine();
        let id = self.core.connect(ConnectConfig { options, ..ConnectConfig::new(local, remote, way.link) })?;
        self.socket(file)?.phase =
            Phase::Connection(Connection { id, peer: remote, local: None, opening: true, sent: 0 });
        self.by_name.insert(id, file);
        self.wake(file, ALL);
        Ok(())
    }

    fn is_connect_taken_up(&mut self, file: FileId) -> Result<()> {
        let (_, status) = self.connection(file, Errno::AGAIN)?;
        match (status.progress, status.failure) {
            (Progress::Asked, _) => Err(Errno::AGAIN),
            // That there is no port is the answer to the call itself, not to the SYN.
            (Progress::Over, Some(SocketError::AddressInUse | SocketError::AddressNotAvailable)) => {
                self.finish_connect(file)
            }
            (Progress::Opening | Progress::Open | Progress::Over, _) => Ok(()),
        }
    }

    /// Tells how `connect` ended, once. A socket that failed is as it was before.
    ///
    /// # Errors
    /// Why it failed; EAGAIN while it has not ended.
    fn finish_connect(&mut self, file: FileId) -> Result<()> {
        let (mut connection, status) = self.connection(file, Errno(libc::ECONNABORTED))?;
        match status.progress {
            Progress::Asked | Progress::Opening => Err(Errno::AGAIN),
            Progress::Over if connection.opening => {
                let failure = self.core.take_error(connection.id)?;
                self.disconnect(file)?;
                Err(failure.map_or(Errno(libc::ECONNABORTED), Errno::from))
            }
            Progress::Open | Progress::Over => {
                connection.opening = false;
                self.socket(file)?.phase = Phase::Connection(connection);
                Ok(())
            }
        }
    }

    /// Takes from a socket whatever it has, with a reset where there is a peer (Linux: `tcp_disconnect`).
    ///
    /// # Errors
    /// EBADF.
    fn disconnect(&mut self, file: FileId) -> Result<()> {
        match std::mem::replace(&mut self.socket(file)?.phase, Phase::Fresh) {
            Phase::Fresh => {}
            Phase::Listening(listener) => {
                self.core.unlisten(listener)?;
                self.listening.remove(&file);
                if let Some(bound) = self.socket(file)?.bound {
                    self.ports.set_listening(file, bound.port, false)?;
                }
            }
            Phase::Connection(connection) => {
                let over = self.core.status(connection.id)?.progress == Progress::Over;
                self.socket(file)?.failure = (!over).then_some(Errno(libc::ECONNRESET));
                self.by_name.remove(&connection.id);
                self.core.abort(connection.id)?;
            }
        }
        self.wake(file, ALL);
        Ok(())
    }

    /// Ends one direction of a connection or both (Linux: `inet_shutdown`).
    ///
    /// # Errors
    /// ENOTCONN, EBADF.
    fn shut_down(&mut self, file: FileId, how: Shutdown) -> Result<()> {
        if matches!(self.socket(file)?.phase, Phase::Listening(_)) {
            // Nobody sends at a listener; one that receives no more is none.
            return if how == Shutdown::Write { Ok(()) } else { self.disconnect(file) };
        }
        let (connection, status) = self.connection(file, Errno::NOT_CONNECTED)?;
        match status.progress {
            Progress::Asked | Progress::Opening => self.disconnect(file),
            Progress::Over => Err(Errno::NOT_CONNECTED),
            Progress::Open => {
                self.core.shutdown(connection.id, how)?;
                self.wake(file, ALL);
                Ok(())
            }
        }
    }

    fn listens_at(&self, file: FileId) -> Option<Endpoint> {
        let socket = self.sockets.get(&file)?;
        socket.bound.filter(|_| matches!(socket.phase, Phase::Listening(_)))
    }

    fn is_acknowledged(&mut self, file: FileId) -> Result<()> {
        let (connection, status) = self.connection(file, Errno::NOT_CONNECTED)?;
        let all = self.core.acknowledged(connection.id)? >= connection.sent;
        if all || status.progress == Progress::Over { Ok(()) } else { Err(Errno::AGAIN) }
    }

    /// Closes a socket, with a reset or in order.
    fn close(&mut self, file: FileId, reset: bool) -> Result<()> {
        self.socket(file)?;
        self.wake(file, 0);
        let Some(socket) = self.sockets.remove(&file) else { return Ok(()) };
        for watcher in &socket.watchers {
            if let Some(epoll) = self.epolls.get_mut(watcher) {
                epoll.forget(file);
            }
        }
        if let Some(bound) = socket.bound {
            self.ports.release(file, bound.port);
        }
        match socket.phase {
            Phase::Fresh => Ok(()),
            Phase::Listening(listener) => {
                self.listening.remove(&file);
                Ok(self.core.unlisten(listener)?)
            }
            Phase::Connection(connection) => {
                self.by_name.remove(&connection.id);
                let Connection { id, .. } = connection;
                Ok(if reset { self.core.abort(id) } else { self.core.close(id) }?)
            }
        }
    }

    /// Closes a socket with a reset, whatever it has.
    pub(crate) fn discard(&mut self, file: FileId) {
        // It fails only for sockets that are gone.
        let _ = self.close(file, true);
    }

    /// Our end of a socket (getsockname).
    ///
    /// # Errors
    /// EBADF.
    pub(crate) fn local_end(&mut self, file: FileId) -> Result<Endpoint> {
        let socket = self.socket(file)?;
        let unconnected = socket.bound.unwrap_or(socket.family.anywhere());
        match socket.phase {
            Phase::Connection(Connection { local: Some(local), .. }) => Ok(local),
            Phase::Connection(Connection { id, .. }) => Ok(self.core.local_of(id)?.unwrap_or(unconnected)),
            Phase::Fresh | Phase::Listening(_) => Ok(unconnected),
        }
    }

    /// The peer of a socket (getpeername).
    ///
    /// # Errors
    /// ENOTCONN, EBADF.
    pub(crate) fn peer_end(&mut self, file: FileId) -> Result<Endpoint> {
        match self.connection(file, Errno::NOT_CONNECTED)? {
            (connection, Status { progress: Progress::Open, .. }) => Ok(connection.peer),
            _ => Err(Errno::NOT_CONNECTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Flags, kind};
    use crate::address::Family;
    use crate::errno::Errno;

    #[test]
    fn what_kinds_of_sockets_there_are() {
        let flags = Flags { nonblocking: true, close_on_exec: false };
        assert_eq!(kind(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0), Ok((Family::V4, flags)));
        for (domain, wanted, protocol, errno) in [
            (libc::AF_UNIX, libc::SOCK_STREAM, 0, libc::EAFNOSUPPORT),
            (libc::AF_INET, libc::SOCK_DGRAM, 0, libc::ESOCKTNOSUPPORT),
            (libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_UDP, libc::EPROTONOSUPPORT),
            (libc::AF_INET, 11, 0, libc::EINVAL),
            (libc::AF_INET, libc::SOCK_STREAM | 1 << 20, 0, libc::EINVAL),
        ] {
            assert_eq!(kind(domain, wanted, protocol), Err(Errno(errno)), "{domain} {wanted} {protocol}");
        }
    }
}
