//! Bytes in and out: what Linux's `tcp_recvmsg` and `tcp_sendmsg` do.

use crate::caller::{Bytes, raise_sigpipe};
use crate::descriptors::FileId;
use crate::engine::{Engine, Patience, State};
use crate::errno::{Errno, Result};
use crate::socket::Phase;
use std::ffi::c_int;
use synward_engine::{Progress, SocketId, Status};

/// Bytes thrown away per step under MSG_TRUNC.
const SCRATCH: usize = 16 * 1024;

/// What a call that receives is to do.
struct Reading<'a, 'call> {
    pieces: &'a mut [Bytes<'call>],
    flags: c_int,
    /// Bytes got so far.
    done: usize,
}

impl Reading<'_, '_> {
    fn has(&self, flag: c_int) -> bool {
        self.flags & flag != 0
    }

    fn room(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() - self.done
    }

    /// Moves what there is; how much that was.
    fn take(&mut self, state: &mut State, id: SocketId) -> Result<usize> {
        let (mut skip, mut taken) = (self.done, 0);
        for piece in self.pieces.iter_mut() {
            let start = skip.min(piece.len());
            skip -= start;
            if start == piece.len() {
                continue;
            }
            let count = match (self.flags & libc::MSG_PEEK != 0, self.flags & libc::MSG_TRUNC != 0) {
                (true, true) => state.core.status(id)?.unread.saturating_sub(taken).min(piece.len() - start),
                (true, false) => state.core.peek(id, taken, &mut piece.get_mut()?[start..])?,
                (false, true) => discard(state, id, piece.len() - start)?,
                (false, false) if state.core.status(id)?.unread == 0 => 0,
                (false, false) => state.core.recv(id, &mut piece.get_mut()?[start..])?,
            };
            taken += count;
            if count < piece.len() - start {
                break;
            }
        }
        Ok(taken)
    }
}

/// Throws bytes away as if they had been read.
fn discard(state: &mut State, id: SocketId, most: usize) -> Result<usize> {
    let (mut scratch, mut done) = ([0; SCRATCH], 0);
    while done < most && state.core.status(id)?.unread > 0 {
        let count = (most - done).min(SCRATCH);
        done += state.core.recv(id, &mut scratch[..count])?;
    }
    Ok(done)
}

/// What a call that sends is to do.
struct Writing<'a, 'call> {
    pieces: &'a [Bytes<'call>],
    /// Bytes queued so far.
    done: usize,
}

impl Writing<'_, '_> {
    fn left(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() - self.done
    }

    /// The next bytes.
    fn next(&self) -> Result<&[u8]> {
        let mut skip = self.done;
        for piece in self.pieces {
            if skip < piece.len() {
                return Ok(&piece.get()?[skip..]);
            }
            skip -= piece.len();
        }
        Ok(&[])
    }
}

impl Engine {
    /// Receives into `pieces`; 0 is the end of the stream.
    ///
    /// # Errors
    /// As recv(2).
    pub(crate) fn receive(&self, file: FileId, pieces: &mut [Bytes], flags: c_int) -> Result<usize> {
        if flags & (libc::MSG_OOB | libc::MSG_ERRQUEUE) != 0 {
            // No urgent byte is ever kept apart, and no error queue.
            return Err(if flags & libc::MSG_OOB != 0 { Errno::INVALID } else { Errno::AGAIN });
        }
        let patience = self.call(|state| Ok(state.socket(file)?.patience_in(flags)))?;
        let mut reading = Reading { pieces, flags, done: 0 };
        match self.wait(patience, |state| state.receive(file, &mut reading)) {
            Err(Errno::AGAIN) if reading.done > 0 => Ok(reading.done),
            outcome => outcome,
        }
    }

    /// Sends `pieces`: all of them, or as much as there is room for if the socket does not wait.
    ///
    /// # Errors
    /// As send(2). EPIPE comes with SIGPIPE, unless MSG_NOSIGNAL is set.
    pub(crate) fn send(&self, file: FileId, pieces: &[Bytes], flags: c_int) -> Result<usize> {
        if flags & (libc::MSG_OOB | libc::MSG_FASTOPEN) != 0 {
            return Err(Errno::NOT_SUPPORTED);
        }
        let patience = self.call(|state| Ok(state.socket(file)?.patience_out(flags)))?;
        let mut writing = Writing { pieces, done: 0 };
        let outcome = self.wait(patience, |state| state.send(file, &mut writing));
        match outcome {
            // What was queued counts; a failure stays to be told.
            Err(_) if writing.done > 0 => Ok(writing.done),
            Err(Errno::PIPE) if flags & libc::MSG_NOSIGNAL == 0 => {
                raise_sigpipe();
                Err(Errno::PIPE)
            }
            outcome => outcome,
        }
    }
}

impl State {
    fn receive(&mut self, file: FileId, reading: &mut Reading) -> Result<usize> {
        let least = self.socket(file)?.options.least_to_read();
        let (connection, status) = self.stream(file, Errno::NOT_CONNECTED)?;
        let peek = reading.has(libc::MSG_PEEK);
        let wanted = reading.room();
        let found = reading.take(self, connection.id)?;
        if !peek {
            reading.done += found;
        }
        let got = if peek { found } else { reading.done };
        let Status { failure, progress, end_of_stream, read_closed, .. } = status;
        let no_more = failure.is_some() || end_of_stream || read_closed || progress == Progress::Over;
        let whole = if reading.has(libc::MSG_WAITALL) { got + wanted - found } else { least.min(got + wanted - found) };
        if got >= whole.max(1) || (got > 0 && no_more) || (wanted == 0 && status.unread > 0) {
            return Ok(got);
        }
        if got == 0 && no_more {
            // Tells a failure once, then the end.
            return Ok(self.core.recv(connection.id, &mut [])?);
        }
        if peek && got > 0 && self.socket(file)?.patience_in(reading.flags) == Patience::None {
            return Ok(got);
        }
        Err(Errno::AGAIN)
    }

    fn send(&mut self, file: FileId, writing: &mut Writing) -> Result<usize> {
        let (connection, _) = self.stream(file, Errno::PIPE)?;
        loop {
            if writing.done > 0 && self.core.status(connection.id)?.failure.is_some() {
                return Ok(writing.done);
            }
            // Also nothing at all is sent only where something could be.
            let outcome = self.core.send(connection.id, writing.next()?);
            let count = match outcome {
                Ok(count) => count,
                Err(error) => {
                    self.socket(file)?.wants_space = true;
                    return Err(error.into());
                }
            };
            writing.done += count;
            if let Phase::Connection(connection) = &mut self.socket(file)?.phase {
                connection.sent += count as u64;
            }
            if writing.left() == 0 {
                return Ok(writing.done);
            }
        }
    }
}
