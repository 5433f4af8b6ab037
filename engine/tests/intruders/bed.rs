//! An engine that listens, and peers made by hand.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use synward_engine::{EngineConfig, Gauges, ListenConfig, ListenerId, Secrets, SocketCore, SocketError, SocketId};
use synward_proto::{Counter, DropReason, Endpoint, Flags};
use synward_testkit::engine::Host;
use synward_testkit::play::MACS;
use synward_testkit::wire::{IcmpError, IpFields, WireOption, WireSegment, decode, encode, encode_icmp};

/// Where the engine listens.
pub const SERVER: Endpoint = Endpoint::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 80);
/// The same over IPv6.
pub const SERVER_V6: Endpoint = Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 80);

/// Options of an ordinary SYN, without timestamps and without scaling.
pub const PLAIN: &[WireOption] = &[WireOption::Mss(1460), WireOption::SackPermitted];

/// The client's end with number `n`: every 50,000 of them have one address.
pub fn client(n: u32) -> Endpoint {
    let [_, a, b, c] = (n / 50_000 + 1).to_be_bytes();
    Endpoint::new(IpAddr::V4(Ipv4Addr::new(10, a, b, c)), (n % 50_000) as u16 + 10_000)
}

/// A small engine whose secrets are known.
pub fn config() -> EngineConfig {
    EngineConfig {
        max_connections: 1024,
        max_time_waits: 1024,
        secrets: Some(Secrets::from_seed(6)),
        ..EngineConfig::default()
    }
}

/// A peer: where it is in both directions.
#[derive(Clone, Debug)]
pub struct Peer {
    pub local: Endpoint,
    pub remote: Endpoint,
    /// What it sends next.
    pub seq: u32,
    /// What it expects next.
    pub ack: u32,
    pub window: u16,
    /// The value and the echo that it sends, where both SYNs had timestamps.
    pub timestamps: Option<(u32, u32)>,
}

impl Peer {
    /// One that has said nothing yet.
    pub fn new(n: u32) -> Self {
        let seq = n.wrapping_mul(0x9e37_79b9);
        Self { local: client(n), remote: SERVER, seq, ack: 0, window: 64_240, timestamps: None }
    }

    /// A segment of its own, as it would send it now.
    pub fn says(&self, flags: Flags, payload: &[u8]) -> WireSegment {
        let timestamps = self.timestamps.map(|(value, echo)| WireOption::Timestamps(value, echo));
        WireSegment {
            source: self.local,
            destination: self.remote,
            flags,
            seq: self.seq,
            ack: if flags.contains(Flags::ACK) { self.ack } else { 0 },
            window: self.window,
            urgent: 0,
            options: timestamps.into_iter().collect(),
            payload: payload.to_vec(),
            ip: IpFields::default(),
            vlans: Vec::new(),
        }
    }

    /// Its SYN.
    pub fn syn(&self, options: &[WireOption]) -> WireSegment {
        WireSegment { options: options.to_vec(), ..self.says(Flags::SYN, b"") }
    }

    /// A bare acknowledgment.
    pub fn acks(&self) -> WireSegment {
        self.says(Flags::ACK, b"")
    }

    /// The same segment somebody else might forge, `offset` away in sequence space.
    pub fn forges(&self, flags: Flags, offset: u32, payload: &[u8]) -> WireSegment {
        Self { seq: self.seq.wrapping_add(offset), ..self.clone() }.says(flags, payload)
    }
}

/// An engine with a listener.
pub struct Bed {
    host: Host,
    listener: ListenerId,
    pub now: Duration,
}

impl Bed {
    pub fn new(config: EngineConfig) -> Self {
        Self::listening(config, SERVER)
    }

    pub fn listening(config: EngineConfig, local: Endpoint) -> Self {
        let mut host = Host::new(config).expect("the engine is built");
        let sockets = host.sockets().expect("it has sockets");
        let listener = sockets.listen(ListenConfig::new(local)).expect("it listens");
        host.rest(Duration::ZERO);
        Self { host, listener, now: Duration::ZERO }
    }

    pub fn sockets(&mut self) -> &mut SocketCore {
        self.host.sockets().expect("it has sockets")
    }

    /// Sends one segment; what its source gets at once.
    pub fn send(&mut self, segment: &WireSegment) -> Vec<WireSegment> {
        self.deliver(&encode(MACS, segment, false));
        self.taken_by(segment.source)
    }

    /// Sends an ICMP error; what the peer of the segment that it is about gets at once.
    pub fn send_icmp(&mut self, error: &IcmpError) -> Vec<WireSegment> {
        self.deliver(&encode_icmp(MACS, error, false));
        self.taken_by(error.about.destination)
    }

    fn taken_by(&mut self, peer: Endpoint) -> Vec<WireSegment> {
        let mut taken = self.taken();
        taken.retain(|segment| segment.destination == peer);
        taken
    }

    /// The frame of a segment, for [`deliver`](Self::deliver): what that costs is the engine's alone.
    pub fn prepare(&mut self, segment: &WireSegment) -> Vec<u8> {
        encode(MACS, segment, false)
    }

    /// A frame arrives, and the engine does all that it has to do.
    pub fn deliver(&mut self, frame: &[u8]) {
        assert!(self.host.receive(frame), "there is room for a frame");
        self.host.rest(self.now);
    }

    /// What the engine has sent since the last time, as it came.
    pub fn frames(&mut self) -> Vec<Vec<u8>> {
        self.host.rest(self.now);
        std::iter::from_fn(|| self.host.take_sent()).collect()
    }

    /// What the engine has sent since the last time.
    pub fn taken(&mut self) -> Vec<WireSegment> {
        self.frames().iter().map(|frame| decode(frame).expect("the engine sends what can be read").1).collect()
    }

    /// Lets time pass, stopping at every deadline on the way; what the engine sends meanwhile.
    pub fn pass(&mut self, span: Duration) -> Vec<WireSegment> {
        let (end, mut sent) = (self.now + span, self.taken());
        while let Some(next) = self.host.next_deadline(self.now).filter(|&next| next <= end) {
            self.now = next.max(self.now + Duration::from_nanos(1));
            sent.extend(self.taken());
        }
        self.now = end;
        sent.extend(self.taken());
        sent
    }

    /// A handshake with these options in the SYN.
    pub fn shake(&mut self, peer: &mut Peer, options: &[WireOption]) {
        let answers = self.send(&peer.syn(options));
        let [syn_ack] = answers.as_slice() else { panic!("one SYN-ACK, not {answers:?}") };
        assert_eq!(syn_ack.flags, Flags::SYN | Flags::ACK);
        (peer.seq, peer.ack) = (syn_ack.ack, syn_ack.seq.wrapping_add(1));
        peer.timestamps = syn_ack.options.iter().find_map(|option| match *option {
            WireOption::Timestamps(value, echo) => Some((echo + 1, value)),
            _ => None,
        });
        let answers = self.send(&peer.acks());
        assert!(answers.is_empty(), "{answers:?}");
    }

    /// A connection with the peer of this number, accepted.
    pub fn open(&mut self, n: u32, options: &[WireOption]) -> (Peer, SocketId) {
        let mut peer = Peer::new(n);
        self.shake(&mut peer, options);
        let socket = self.accept();
        (peer, socket)
    }

    pub fn accept(&mut self) -> SocketId {
        let listener = self.listener;
        let accepted = self.sockets().accept(listener).expect("a connection waits");
        self.host.rest(self.now);
        accepted.socket
    }

    /// Writes as much as goes; how much that was.
    pub fn write(&mut self, socket: SocketId, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Ok(more @ 1..) = self.sockets().send(socket, &bytes[written..]) {
            written += more;
            self.host.rest(self.now);
        }
        written
    }

    /// Reads what there is.
    pub fn read(&mut self, socket: SocketId) -> Result<Vec<u8>, SocketError> {
        let mut bytes = vec![0; 1 << 16];
        let length = match self.sockets().recv(socket, &mut bytes) {
            Err(SocketError::WouldBlock) => 0,
            other => other?,
        };
        bytes.truncate(length);
        self.host.rest(self.now);
        Ok(bytes)
    }

    pub fn close(&mut self, socket: SocketId) {
        self.sockets().close(socket).expect("closes");
        self.host.rest(self.now);
    }

    pub fn abort(&mut self, socket: SocketId) {
        self.sockets().abort(socket).expect("aborts");
        self.host.rest(self.now);
    }

    /// Whether the peer's bytes still arrive: sends some, reads them, takes the acknowledgment.
    pub fn is_alive(&mut self, peer: &mut Peer, socket: SocketId) -> bool {
        let answers = self.send(&peer.says(Flags::ACK | Flags::PSH, b"alive?"));
        let read = self.read(socket);
        let answers: Vec<_> = answers.into_iter().chain(self.pass(Duration::from_millis(50))).collect();
        peer.seq = peer.seq.wrapping_add(6);
        let is_acked = answers.iter().any(|answer| answer.source == peer.remote && answer.ack == peer.seq);
        read.as_deref() == Ok(b"alive?") && is_acked
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.host.observer().counter(counter)
    }

    pub fn drops(&self, reason: DropReason) -> u64 {
        self.host.observer().drops(reason)
    }

    pub fn drops_by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.host.observer().snapshot().drops.into_iter().filter(|&(_, count)| count > 0).collect()
    }

    pub fn gauges(&self) -> Gauges {
        self.host.observer().snapshot().gauges
    }

    /// The application leaves; within an hour nothing is left of any connection, and all frames are home.
    pub fn end(mut self) {
        assert_eq!(self.host.drain(self.now), Ok(()));
        assert_eq!(self.gauges().buffered, 0);
    }
}
