//! `connect`: from its first call to the one that tells how it ended (Linux: `__inet_stream_connect`).

use crate::address::{Family, Named};
use crate::descriptors::FileId;
use crate::engine::{Engine, Patience, State};
use crate::errno::{Errno, Result};
use crate::network::Way;
use crate::socket::{ALL, Connection, Phase};
use synward_engine::{ConnectConfig, Progress, SocketError};
use synward_proto::Endpoint;

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
}

impl State {
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
}
