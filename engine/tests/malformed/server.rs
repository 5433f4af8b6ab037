//! An engine that listens on every address, and peers made by hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use synward_engine::{ConnectionRow, EngineConfig, ListenConfig, ListenerId, Secrets, Snapshot, SocketError, SocketId};
use synward_nic::Port;
use synward_proto::{Counter, Endpoint, Flags};
use synward_testkit::engine::Host;
use synward_testkit::play::MACS;
use synward_testkit::wire::{IpFields, WireOption, WireSegment, decode, encode};

pub const PSH_ACK: Flags = Flags::PSH.union(Flags::ACK);
pub const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

/// The port that the engine listens on.
pub const PORT: u16 = 80;

/// Whose packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

pub use Family::{V4, V6};

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [V4, V6];

    /// The engine's end.
    pub fn server(self) -> Endpoint {
        match self {
            V4 => Endpoint::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), PORT),
            V6 => Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), PORT),
        }
    }

    /// The end of the peer with this number.
    pub fn client(self, n: u8) -> Endpoint {
        match self {
            V4 => Endpoint::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, n)), 40_000),
            V6 => Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 9, 0, 0, 0, n.into())), 40_000),
        }
    }

    /// Where TCP starts in a frame without tags and options.
    pub const fn tcp(self) -> usize {
        match self {
            V4 => super::frames::TCP4,
            V6 => super::frames::TCP6,
        }
    }
}

/// A peer of the engine: what it sends and what it expects next.
#[derive(Clone, Debug)]
pub struct Peer {
    pub local: Endpoint,
    pub remote: Endpoint,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
}

impl Peer {
    pub fn new(family: Family, n: u8) -> Self {
        Self { local: family.client(n), remote: family.server(), seq: 1_000_000, ack: 0, window: 64_240 }
    }

    /// A segment as it would send it now.
    pub fn says(&self, flags: Flags, payload: &[u8]) -> WireSegment {
        WireSegment {
            source: self.local,
            destination: self.remote,
            flags,
            seq: self.seq,
            ack: if flags.contains(Flags::ACK) { self.ack } else { 0 },
            window: self.window,
            urgent: 0,
            options: Vec::new(),
            payload: payload.to_vec(),
            ip: IpFields::default(),
            vlans: Vec::new(),
        }
    }

    /// Its SYN with these options.
    pub fn syn(&self, options: &[WireOption]) -> WireSegment {
        WireSegment { options: options.to_vec(), ..self.says(Flags::SYN, b"") }
    }
}

/// The frame of a segment.
pub fn frame(segment: &WireSegment) -> Vec<u8> {
    encode(MACS, segment, false)
}

/// An engine that listens on every address of a family.
pub struct Server {
    host: Host,
    listener: ListenerId,
    pub family: Family,
    pub now: Duration,
}

/// A small engine whose secrets are known.
pub fn config() -> EngineConfig {
    EngineConfig {
        max_connections: 64,
        max_time_waits: 64,
        syn_table: 64,
        secrets: Some(Secrets::from_seed(14)),
        ..EngineConfig::default()
    }
}

impl Server {
    pub fn new(family: Family, config: EngineConfig) -> Self {
        let mut host = Host::new(config).expect("the engine is built");
        let everywhere = match family {
            V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let sockets = host.sockets().expect("it has sockets");
        let listener = sockets.listen(ListenConfig::new(Endpoint::new(everywhere, PORT))).expect("it listens");
        host.rest(Duration::ZERO);
        Self { host, listener, family, now: Duration::ZERO }
    }

    /// A frame arrives, and the engine does all that it has to do; the frames that it sends.
    pub fn deliver(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        assert!(self.host.receive(frame), "there is room for a frame");
        self.sent()
    }

    /// Sends one segment; what comes back at once.
    pub fn send(&mut self, segment: &WireSegment) -> Vec<WireSegment> {
        self.deliver(&frame(segment)).iter().map(|frame| read(frame)).collect()
    }

    /// A frame arrives that the port does not take; what the port has lost so far, by its length.
    pub fn lose(&mut self, frame: &[u8]) -> u64 {
        assert!(!self.host.receive(frame), "{} bytes are taken", frame.len());
        assert!(self.sent().is_empty());
        self.host.poll_loop.port().statistics().rx_dropped
    }

    /// What the engine sends now.
    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        self.host.rest(self.now);
        std::iter::from_fn(|| self.host.take_sent()).collect()
    }

    /// Lets time pass, stopping at every deadline on the way; what the engine sends meanwhile.
    pub fn pass(&mut self, span: Duration) -> Vec<WireSegment> {
        let (end, mut sent) = (self.now + span, self.sent());
        while let Some(next) = self.host.next_deadline(self.now).filter(|&next| next <= end) {
            self.now = next.max(self.now + Duration::from_nanos(1));
            sent.extend(self.sent());
        }
        self.now = end;
        sent.extend(self.sent());
        sent.iter().map(|frame| read(frame)).collect()
    }

    /// A handshake, and the accepted socket. The SYN carries these options; the SYN-ACK, too, is given.
    pub fn open(&mut self, peer: &mut Peer, options: &[WireOption]) -> (SocketId, WireSegment) {
        let mut answers = self.send(&peer.syn(options));
        let syn_ack = answers.pop().expect("a SYN-ACK");
        assert_eq!((answers.len(), syn_ack.flags - Flags::ECE, syn_ack.ack), (0, SYN_ACK, peer.seq.wrapping_add(1)));
        (peer.seq, peer.ack) = (syn_ack.ack, syn_ack.seq.wrapping_add(1));
        assert_eq!(self.send(&peer.says(Flags::ACK, b"")), []);
        (self.accept(), syn_ack)
    }

    pub fn accept(&mut self) -> SocketId {
        let (host, listener) = (&mut self.host, self.listener);
        let accepted = host.sockets().expect("it has sockets").accept(listener).expect("a connection waits");
        self.sent();
        accepted.socket
    }

    /// What there is to read.
    pub fn read(&mut self, socket: SocketId) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 16];
        let len = match self.host.sockets().expect("it has sockets").recv(socket, &mut bytes) {
            Err(SocketError::WouldBlock) => 0,
            read => read.expect("the connection stands"),
        };
        bytes.truncate(len);
        bytes
    }

    /// Writes; how much of it went, and the segments that leave at once.
    pub fn write(&mut self, socket: SocketId, bytes: &[u8]) -> (usize, Vec<WireSegment>) {
        let written = self.host.sockets().expect("it has sockets").send(socket, bytes).unwrap_or(0);
        (written, self.sent().iter().map(|frame| read(frame)).collect())
    }

    /// What the engine shows of the connection with `peer`.
    pub fn row(&mut self, peer: &Peer) -> Option<ConnectionRow> {
        let mut listing = self.host.observer().connections().expect("few ask");
        self.host.rest(self.now);
        let mut rows = Vec::new();
        while let Some(more) = listing.try_next().expect("the shard answers") {
            rows.extend(more);
            self.host.rest(self.now);
        }
        rows.into_iter().find(|row| row.remote == peer.local.to_string())
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.host.observer().counter(counter)
    }

    pub fn snapshot(&self) -> Snapshot {
        self.host.observer().snapshot()
    }

    /// Every frame is in its place, and none of them anywhere but at home or waiting to be filled.
    pub fn assert_home(&mut self) {
        let ledger = self.host.poll_loop.port().ledger();
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!((ledger.sending, ledger.in_hand, ledger.lent), (0, 0, 0), "{ledger:?}");
    }

    /// The application leaves; within an hour nothing is left of any connection, and all frames are home.
    pub fn end(mut self) {
        assert_eq!(self.host.drain(self.now), Ok(()));
    }
}

/// What a frame of the engine says; it goes back to where all frames come from.
pub fn read(frame: &[u8]) -> WireSegment {
    let (macs, segment) = decode(frame).expect("the engine sends what can be read");
    assert_eq!(macs, MACS.reversed());
    segment
}
