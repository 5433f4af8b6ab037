//! An application's end of one connection: sends so many bytes, expects so many, and closes.

use crate::hostile::Rng;
use std::fmt;
use std::time::Duration;
use synward_engine::{Interest, Progress, Shutdown, SocketCore, SocketError, SocketId};

/// What one direction of a connection carries.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Tells this flow's bytes from those of others.
    pub salt: u64,
    /// How many there are.
    pub length: u64,
    /// Its first bytes, where they say which plan it is of: its port does not.
    pub tag: Option<u32>,
}

impl Flow {
    /// None has more bytes.
    pub const LONGEST: u64 = 400_000;
    /// Bytes of a tag.
    pub const TAG: u64 = 4;

    /// The byte at `offset`. Its period is longer than any flow, so that no shift goes unnoticed.
    fn byte(self, offset: u64) -> u8 {
        if let Some(tag) = self.tag.filter(|_| offset < Self::TAG) {
            return tag.to_be_bytes()[offset as usize];
        }
        let mixed = (offset ^ self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as u8
    }
}

/// How a talker treats its socket.
#[derive(Clone, Copy, Debug)]
pub struct Temper {
    /// Between two looks at the socket; zero looks whenever anything happens.
    pub pause: Duration,
    /// Looks only when it is told that the socket is ready.
    pub when_told: bool,
    /// Bytes per call.
    pub mouthful: usize,
}

impl Temper {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        if rng.chance(600) {
            let mouthful = 1 + rng.below(8192) as usize;
            return Self { pause: Duration::ZERO, when_told: rng.chance(500), mouthful };
        }
        let pause = Duration::from_millis(20 + rng.below(300));
        Self { pause, when_told: false, mouthful: 500 + rng.below(7500) as usize }
    }
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Everything sent, everything received, closed.
    Complete,
    /// A call failed.
    Failed(SocketError),
    /// Its worker ended, or it was told to let go.
    Abandoned,
}

/// One end.
#[derive(Debug)]
pub(super) struct Talker {
    pub socket: SocketId,
    outgoing: Flow,
    incoming: Flow,
    temper: Temper,
    sent: u64,
    received: u64,
    at_eof: bool,
    is_shut: bool,
    /// It has been told that its socket is ready.
    told: bool,
    /// When it looks at its socket again.
    next_look: Duration,
    /// How it ended, once it has.
    pub end: Option<End>,
}

impl fmt::Display for Talker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket, outgoing, incoming, temper, sent, received, at_eof, is_shut, told, next_look, end } = self;
        let yes = |is: &bool, word: &'static str| if *is { word } else { "" };
        write!(f, "sent {sent}/{}{}, ", outgoing.length, yes(is_shut, " and shut"))?;
        write!(f, "received {received}/{}{}, ", incoming.length, yes(at_eof, " and the end"))?;
        write!(f, "{end:?}, {temper:?}, told {told}, next look {next_look:?}, {socket:?}")
    }
}

impl Talker {
    pub fn new(socket: SocketId, outgoing: Flow, incoming: Flow, temper: Temper) -> Self {
        Self {
            socket,
            outgoing,
            incoming,
            temper,
            sent: 0,
            received: 0,
            at_eof: false,
            is_shut: false,
            told: true,
            next_look: Duration::ZERO,
            end: None,
        }
    }

    /// One that has read the tag of what it is to receive.
    pub fn resume(socket: SocketId, outgoing: Flow, incoming: Flow, temper: Temper) -> Self {
        Self { received: Flow::TAG, ..Self::new(socket, outgoing, incoming, temper) }
    }

    /// Its socket is ready.
    pub fn tell(&mut self) {
        self.told = true;
    }

    /// When it looks again, if that is known.
    pub fn next_look(&self) -> Option<Duration> {
        (self.end.is_none() && !self.temper.pause.is_zero()).then_some(self.next_look)
    }

    /// How many bytes it is to receive.
    pub fn incoming_length(&self) -> u64 {
        self.incoming.length
    }

    /// Looks at the socket, when it is time to. An error is a broken promise of the engine.
    pub fn look(&mut self, now: Duration, sockets: &mut SocketCore) -> Result<(), String> {
        if self.end.is_some() || now < self.next_look || self.temper.when_told && !std::mem::take(&mut self.told) {
            return Ok(());
        }
        self.next_look = now + self.temper.pause;
        if let Err(error) = self.talk(sockets)? {
            self.end = Some(End::Failed(error));
            // The engine has ended the connection; giving back the name may find it gone already.
            let _ = sockets.close(self.socket);
        } else if self.temper.when_told {
            let interest = Interest { readable: !self.at_eof, writable: !self.is_shut };
            sockets.set_interest(self.socket, interest).map_err(|error| format!("interest: {error}"))?;
        }
        Ok(())
    }

    /// Whether it will receive no more.
    pub fn has_received(&self) -> bool {
        self.at_eof || self.end.is_some()
    }

    /// Closes, when it has sent and received everything.
    pub fn close(&mut self, sockets: &mut SocketCore) -> Result<(), String> {
        if self.end.is_none() && self.is_shut && self.at_eof {
            sockets.close(self.socket).map_err(|error| format!("close: {error}"))?;
            self.end = Some(End::Complete);
        }
        Ok(())
    }

    /// Sends and receives what can be. The inner error is the connection's end.
    fn talk(&mut self, sockets: &mut SocketCore) -> Result<Result<(), SocketError>, String> {
        Ok(match self.send(sockets) {
            Ok(()) => self.receive(sockets)?,
            Err(error) => Err(error),
        })
    }

    fn send(&mut self, sockets: &mut SocketCore) -> Result<(), SocketError> {
        while self.sent < self.outgoing.length {
            let end = self.outgoing.length.min(self.sent + self.temper.mouthful as u64);
            let bytes: Vec<u8> = (self.sent..end).map(|offset| self.outgoing.byte(offset)).collect();
            match sockets.send(self.socket, &bytes) {
                Ok(taken) => self.sent += taken as u64,
                Err(SocketError::WouldBlock) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if !self.is_shut {
            match sockets.shutdown(self.socket, Shutdown::Write) {
                Ok(()) => self.is_shut = true,
                // Not yet, or no more.
                Err(SocketError::NotConnected) if sockets.status(self.socket)?.progress != Progress::Over => {}
                Err(SocketError::NotConnected) => {
                    return Err(sockets.take_error(self.socket)?.unwrap_or(SocketError::BrokenPipe));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self, sockets: &mut SocketCore) -> Result<Result<(), SocketError>, String> {
        let mut bytes = vec![0; self.temper.mouthful];
        while !self.at_eof {
            let length = match sockets.recv(self.socket, &mut bytes) {
                Ok(length) => length,
                Err(SocketError::WouldBlock) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            };
            for byte in &bytes[..length] {
                if *byte != self.incoming.byte(self.received) {
                    return Err(format!("byte {} of {:?} is wrong", self.received, self.incoming));
                }
                self.received += 1;
            }
            if length == 0 {
                self.at_eof = true;
            }
            if self.received > self.incoming.length {
                return Err(format!("more bytes than {:?} has", self.incoming));
            }
            if self.at_eof && self.received < self.incoming.length {
                return Err(format!("end of file after {} bytes of {:?}", self.received, self.incoming));
            }
            if !self.temper.pause.is_zero() {
                break;
            }
        }
        Ok(Ok(()))
    }
}
