//! `fcntl` and `ioctl`.

use crate::caller::Place;
use crate::descriptors::FileId;
use crate::engine::State;
use crate::errno::{Errno, Result};
use crate::socket::Phase;
use std::ffi::{c_int, c_long, c_ulong};
use synward_engine::Progress;

/// `SIOCOUTQ` (linux/sockios.h).
const SIOCOUTQ: c_ulong = libc::TIOCOUTQ;

impl State {
    /// fcntl(2), of a socket.
    ///
    /// # Errors
    /// EBADF, EINVAL.
    pub(crate) fn fcntl(&mut self, file: FileId, command: c_int, argument: c_long) -> Result<c_int> {
        let socket = self.socket(file)?;
        match command {
            libc::F_GETFL => Ok(libc::O_RDWR | if socket.nonblocking { libc::O_NONBLOCK } else { 0 }),
            libc::F_SETFL => {
                socket.nonblocking = argument & c_long::from(libc::O_NONBLOCK) != 0;
                Ok(0)
            }
            libc::F_GETFD => Ok(if socket.close_on_exec { libc::FD_CLOEXEC } else { 0 }),
            libc::F_SETFD => {
                socket.close_on_exec = argument & c_long::from(libc::FD_CLOEXEC) != 0;
                Ok(0)
            }
            _ => Err(Errno::INVALID),
        }
    }

    /// ioctl(2), of a socket.
    ///
    /// # Errors
    /// EBADF, EINVAL, EFAULT, ENOTTY.
    pub(crate) fn ioctl(&mut self, file: FileId, request: c_ulong, argument: &mut Place<c_int>) -> Result<()> {
        match request {
            libc::FIONBIO => {
                let on = argument.read()? != 0;
                self.socket(file)?.nonblocking = on;
                Ok(())
            }
            libc::FIONREAD => {
                let unread = self.unread(file)?;
                argument.write(unread)
            }
            SIOCOUTQ => {
                let queued = self.queued(file)?;
                argument.write(queued)
            }
            _ => {
                self.socket(file)?;
                Err(Errno(libc::ENOTTY))
            }
        }
    }

    /// Bytes that can be read (SIOCINQ).
    fn unread(&mut self, file: FileId) -> Result<c_int> {
        match self.socket(file)?.phase {
            Phase::Listening(_) => Err(Errno::INVALID),
            Phase::Fresh => Ok(0),
            Phase::Connection(connection) => {
                Ok(c_int::try_from(self.core.status(connection.id)?.unread).unwrap_or(c_int::MAX))
            }
        }
    }

    /// Bytes that the peer has not acknowledged (SIOCOUTQ). Of a connection that is over, none.
    fn queued(&mut self, file: FileId) -> Result<c_int> {
        match self.socket(file)?.phase {
            Phase::Listening(_) => Err(Errno::INVALID),
            Phase::Fresh => Ok(0),
            Phase::Connection(connection) => {
                let acknowledged = self.core.acknowledged(connection.id)?;
                let over = self.core.status(connection.id)?.progress == Progress::Over;
                let left = if over { 0 } else { connection.sent.saturating_sub(acknowledged) };
                Ok(c_int::try_from(left).unwrap_or(c_int::MAX))
            }
        }
    }
}
