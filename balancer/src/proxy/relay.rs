//! Bytes that the worker carries between two connections of different shards.
//!
//! It reads only what the other side has room for, so that a side which stalls fills the buffers of its own connection, then
//! closes the window of the other, and costs nothing here.

use crate::balance::BackendIndex;
use synward_engine::{Interest, Shutdown, SocketCore, SocketError, SocketId};
use synward_proto::Instant;

/// Steps in one direction of one relay before others have their turn.
const STEPS: usize = 4;

/// Two connections, the client's and the backend's, between which bytes are carried.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) backend: BackendIndex,
    /// When bytes last went either way.
    pub(super) moved: Instant,
    /// Bytes that both had acknowledged when that was last looked at.
    acknowledged: u64,
    sides: [Side; 2],
}

/// One of them, and what came from it.
#[derive(Clone, Copy, Debug)]
struct Side {
    socket: SocketId,
    bytes: u64,
    /// Its stream has ended, and the other was told.
    ended: bool,
    interest: Interest,
}

/// How a relay goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// More may come.
    Open,
    /// Both streams were carried to their ends.
    Over,
    /// One of the two has failed.
    Failed,
}

/// What a direction waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    /// Bytes of the one side.
    Bytes,
    /// Room of the other.
    Room,
    /// Nothing: the stream has ended.
    Nothing,
}

impl Relay {
    /// A relay between two connections that deliver what they receive.
    pub(super) fn new(now: Instant, client: SocketId, backend: (BackendIndex, SocketId)) -> Self {
        let side = |socket, interest| Side { socket, bytes: 0, ended: false, interest };
        // As they are before: the client was accepted, and the backend connected.
        let sides = [side(client, Interest::READ), side(backend.1, Interest::WRITE)];
        Self { backend: backend.0, moved: now, acknowledged: 0, sides }
    }

    /// The socket towards the backend.
    pub(super) fn backend_socket(&self) -> SocketId {
        self.sides[1].socket
    }

    /// Bytes carried so far, from the client and from the backend.
    pub(super) fn bytes(&self) -> [u64; 2] {
        self.sides.map(|side| side.bytes)
    }

    /// Whether bytes were acknowledged since this was last asked, or bytes were last carried.
    pub(super) fn was_read(&mut self, core: &mut SocketCore) -> bool {
        let before = self.acknowledged;
        self.acknowledged = self.count_acknowledged(core);
        before != self.acknowledged
    }

    fn count_acknowledged(&self, core: &mut SocketCore) -> u64 {
        self.sides.iter().filter_map(|side| core.acknowledged(side.socket).ok()).sum()
    }

    /// Carries across what has come and what there is room for, both ways.
    pub(super) fn pump(&mut self, core: &mut SocketCore, scratch: &mut [u8]) -> Progress {
        let waits = [0, 1].map(|from| self.carry(core, from, scratch));
        self.acknowledged = self.count_acknowledged(core);
        let [Ok(forward), Ok(backward)] = waits else { return Progress::Failed };
        if (forward, backward) == (Wait::Nothing, Wait::Nothing) {
            return Progress::Over;
        }
        let interest = |own, other| Interest { readable: own == Wait::Bytes, writable: other == Wait::Room };
        let told = self.sides[0].set_interest(core, interest(forward, backward));
        let told = told.and_then(|()| self.sides[1].set_interest(core, interest(backward, forward)));
        if told.is_ok() { Progress::Open } else { Progress::Failed }
    }

    /// Moves bytes, and then the end of the stream, from one side to the other.
    fn carry(&mut self, core: &mut SocketCore, from: usize, scratch: &mut [u8]) -> Result<Wait, SocketError> {
        let to = self.sides[1 - from].socket;
        let from = &mut self.sides[from];
        for _ in 0..STEPS {
            if from.ended {
                return Ok(Wait::Nothing);
            }
            let room = core.send_space(to)?.min(scratch.len());
            if room == 0 {
                return Ok(Wait::Room);
            }
            match core.recv(from.socket, &mut scratch[..room]) {
                Ok(0) => {
                    core.shutdown(to, Shutdown::Write)?;
                    from.ended = true;
                }
                Ok(count) => {
                    let sent = core.send(to, &scratch[..count])?;
                    debug_assert_eq!(sent, count, "there was room");
                    from.bytes += sent as u64;
                }
                Err(SocketError::WouldBlock) => return Ok(Wait::Bytes),
                Err(error) => return Err(error),
            }
        }
        Ok(Wait::Bytes)
    }
}

impl Side {
    fn set_interest(&mut self, core: &mut SocketCore, interest: Interest) -> Result<(), SocketError> {
        if self.interest != interest {
            core.set_interest(self.socket, interest)?;
            self.interest = interest;
        }
        Ok(())
    }
}
