//! The application at one end of a connection.

use crate::bed::Host;
use std::fmt;
use synward_engine::{Shutdown, SocketError, SocketId};
use synward_testkit::hostile::Rng;

/// Bytes that no other seed gives.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Rng::new(seed);
    (0..len).map(|_| random.next() as u8).collect()
}

/// What an end does: sends, perhaps shuts down, and reads unless it stalls.
pub struct End {
    pub socket: SocketId,
    to_send: Vec<u8>,
    pub sent: usize,
    /// Whether FIN follows what is to be sent.
    ends: bool,
    has_ended: bool,
    pub reads: bool,
    pub received: Vec<u8>,
    /// The peer's stream has ended.
    pub eof: bool,
    pub error: Option<SocketError>,
}

impl End {
    /// One that reads all it is sent, and sends nothing.
    pub fn new(socket: SocketId) -> Self {
        Self {
            socket,
            to_send: Vec::new(),
            sent: 0,
            ends: false,
            has_ended: false,
            reads: true,
            received: Vec::new(),
            eof: false,
            error: None,
        }
    }

    /// Sends these bytes, too.
    pub fn sends(mut self, bytes: Vec<u8>) -> Self {
        self.to_send.extend(bytes);
        self
    }

    /// Shuts down when everything is sent.
    pub fn ends(mut self) -> Self {
        self.ends = true;
        self
    }

    /// Sends these bytes and shuts down then.
    pub fn say(&mut self, bytes: Vec<u8>) {
        self.to_send.extend(bytes);
        self.ends = true;
    }

    /// Whether both streams have ended.
    pub fn is_done(&self) -> bool {
        self.eof && self.has_ended
    }

    /// Does not read.
    pub fn stalls(mut self) -> Self {
        self.reads = false;
        self
    }

    /// Reads this much, which is there.
    pub fn read_some(&mut self, host: &mut Host, count: usize) {
        let mut bytes = vec![0; count];
        let mut done = 0;
        while done < count {
            done += host.sockets.recv(self.socket, &mut bytes[done..]).expect("bytes are there");
        }
        self.received.extend(bytes);
    }

    /// Does what can be done; true when that was something.
    pub fn drive(&mut self, host: &mut Host) -> bool {
        let sent = self.send(host);
        let read = self.reads && self.read(host);
        sent || read
    }

    fn send(&mut self, host: &mut Host) -> bool {
        let mut any = false;
        while self.sent < self.to_send.len() && self.error.is_none() {
            match host.sockets.send(self.socket, &self.to_send[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(SocketError::WouldBlock) => return any,
                Err(error) => self.error = Some(error),
            }
            any = true;
        }
        if self.ends && !self.has_ended && self.error.is_none() && self.sent == self.to_send.len() {
            match host.sockets.shutdown(self.socket, Shutdown::Write) {
                Ok(()) => self.has_ended = true,
                // The connection has failed since.
                Err(error) if self.eof => self.error = Some(error),
                // It is not established yet.
                Err(_) => {}
            }
            any |= self.has_ended;
        }
        any
    }

    fn read(&mut self, host: &mut Host) -> bool {
        let (mut any, mut bytes) = (false, vec![0; 1 << 16]);
        while !self.eof && self.error.is_none() {
            match host.sockets.recv(self.socket, &mut bytes) {
                Ok(0) => self.eof = true,
                Ok(count) => self.received.extend(&bytes[..count]),
                Err(SocketError::WouldBlock) => return any,
                Err(error) => self.error = Some(error),
            }
            any = true;
        }
        any
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to_send, sent, has_ended, received, eof, error, .. } = self;
        let (all, received) = (to_send.len(), received.len());
        write!(f, "sent {sent} of {all}, ended {has_ended}, received {received}, eof {eof}, error {error:?}")
    }
}
