//! An application's end of one connection: sends so many bytes, expects so many, and closes.

use super::rng::Rng;
use std::fmt;
use std::time::Duration;
use synward_engine::{Shutdown, SocketCore, SocketError, SocketId};

/// What one direction of a connection carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// Tells this flow's bytes from those of others.
    pub salt: u64,
    /// How many there are.
    pub length: u64,
}

impl Flow {
    /// The byte at `offset`. Its period is longer than any flow, so that no shift goes unnoticed.
    fn byte(self, offset: u64) -> u8 {
        let mixed = (offset ^ self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as u8
    }
}

/// How a talker treats its socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    /// Between two looks at the socket; zero looks whenever anything happens.
    pub pause: Duration,
    /// Bytes per call.
    pub mouthful: usize,
}

impl Temper {
    pub fn draw(rng: &mut Rng) -> Self {
        if rng.chance(600) {
            return Self { pause: Duration::ZERO, mouthful: 1 + rng.below(8192) as usize };
        }
        Self { pause: Duration::from_millis(20 + rng.below(300)), mouthful: 500 + rng.below(7500) as usize }
    }
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Everything sent, everything received, closed.
    Complete,
    /// A call failed.
    Failed(SocketError),
}

/// One end.
#[derive(Debug)]
pub(super) struct Talker {
    socket: SocketId,
    outgoing: Flow,
    incoming: Flow,
    temper: Temper,
    sent: u64,
    received: u64,
    at_eof: bool,
    is_shut: bool,
    /// When it looks at its socket again.
    pub next_look: Duration,
    /// How it ended, once it has.
    pub end: Option<End>,
}

impl fmt::Display for Talker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket: _, outgoing, incoming, temper, sent, received, at_eof, is_shut, next_look, end } = self;
        let yes = |is: &bool, word: &'static str| if *is { word } else { "" };
        write!(f, "sent {sent}/{}{}, ", outgoing.length, yes(is_shut, " and shut"))?;
        write!(f, "received {received}/{}{}, ", incoming.length, yes(at_eof, " and the end"))?;
        write!(f, "{end:?}, looks every {:?} (next {next_look:?}) for {} bytes", temper.pause, temper.mouthful)
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
            next_look: Duration::ZERO,
            end: None,
        }
    }

    /// How many bytes it is to receive.
    pub fn incoming_length(&self) -> u64 {
        self.incoming.length
    }

    /// Looks at the socket, when it is time to. An error is a broken promise of the engine.
    pub fn look(&mut self, now: Duration, sockets: &mut SocketCore) -> Result<(), String> {
        if self.end.is_some() || now < self.next_look {
            return Ok(());
        }
        self.next_look = now + self.temper.pause;
        if let Err(error) = self.talk(sockets)? {
            self.end = Some(End::Failed(error));
            // The engine has ended the connection; giving back the name may find it gone already.
            let _ = sockets.close(self.socket);
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
                Err(SocketError::NotConnected) => {}
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
