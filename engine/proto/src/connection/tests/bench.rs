//! One connection, and a peer whose segments are written by hand. Sequence numbers are relative to the first byte of each
//! direction; both directions cross the wrap within the first few hundred bytes.

use crate::connection::{CongestionAlgorithm, Connection, ConnectionConfig, Decision, Ecn, Phase, State, Terms};
use crate::half_open::{Clock, HalfOpen, Negotiated, Scales};
use crate::icmp::{IcmpError, IcmpKind};
use crate::segment::{DataOptions, Mss, SackBlock, SackBlocks, Timestamps, WindowScale};
use crate::wire::{ChecksumPolicy, parse};
use crate::{
    Codepoint, Counter, Counts, Endpoint, Fate, Flags, Head, Instant, Link, Marking, Options, Segment, SeqNum, Span,
    Tuple,
};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

pub(super) const ISS: SeqNum = SeqNum(u32::MAX - 500);
pub(super) const IRS: SeqNum = SeqNum(u32::MAX - 300);
pub(super) const MSS: u16 = 1000;
pub(super) const BUFFER: u32 = 60_000;

pub(in crate::connection) const TUPLE: Tuple = Tuple {
    local: Endpoint::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 80),
    remote: Endpoint::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), 40000),
};

pub(in crate::connection) const TUPLE_V6: Tuple = Tuple {
    local: Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 80),
    remote: Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)), 40000),
};

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(in crate::connection) fn mss(bytes: u16) -> Mss {
    Mss::announced(bytes).expect("not zero")
}

pub(super) fn config() -> ConnectionConfig {
    ConnectionConfig {
        receive_buffer: BUFFER,
        receive_buffer_max: BUFFER,
        send_buffer: 1 << 20,
        send_buffer_max: 1 << 20,
        mss: mss(MSS),
        keepalive: None,
        nagle: true,
        quick_acks: true,
        congestion: CongestionAlgorithm::NewReno,
        retries: 15,
        syn_retries: 6,
        user_timeout: None,
        time_wait: Duration::from_secs(60),
        fin_wait_2: Duration::from_secs(60),
        ecn: Ecn::WhenAsked,
        marking: Marking::DEFAULT,
    }
}

pub(super) fn negotiated() -> Negotiated {
    Negotiated { iss: ISS, irs: IRS, send_mss: mss(MSS), scales: None, sack: false, timestamps: None, ecn: false }
}

pub(super) fn scales(peer: u8, ours: u8) -> Option<Scales> {
    Some(Scales { peer: WindowScale::clamped(peer), ours: WindowScale::clamped(ours) })
}

/// A segment of the peer's.
#[derive(Clone, Debug)]
pub(super) struct Says {
    seq: u32,
    ack: u32,
    flags: Flags,
    window: u16,
    payload: Vec<u8>,
    timestamps: Option<Timestamps>,
    sack: SackBlocks,
    ecn: Codepoint,
}

/// An ACK with relative numbers and a window of 50,000.
pub(super) fn ack(seq: u32, ack: u32) -> Says {
    Says {
        seq,
        ack,
        flags: Flags::ACK,
        window: 50_000,
        payload: Vec::new(),
        timestamps: None,
        sack: SackBlocks::NONE,
        ecn: Codepoint::NotEct,
    }
}

/// The same with the `len` bytes of the peer's stream that begin at `seq`.
pub(super) fn data(seq: u32, ack_to: u32, len: u32) -> Says {
    Says { payload: stream(seq, len), ..ack(seq, ack_to) }
}

/// The bytes `[from, from + len)` of a stream in which each position has a value of its own, nearly.
pub(super) fn stream(from: u32, len: u32) -> Vec<u8> {
    (from..from.wrapping_add(len)).map(|position| (position ^ position >> 8) as u8).collect()
}

impl Says {
    pub(super) fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    pub(super) fn with(mut self, flags: Flags) -> Self {
        self.flags |= flags;
        self
    }

    pub(super) fn fin(self) -> Self {
        self.with(Flags::FIN)
    }

    pub(super) fn ecn(mut self, ecn: Codepoint) -> Self {
        self.ecn = ecn;
        self
    }

    pub(super) fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    pub(super) fn stamp(mut self, value: u32, echo: u32) -> Self {
        self.timestamps = Some(Timestamps { value, echo });
        self
    }

    /// Reports the bytes `[start, end)` of ours.
    pub(super) fn sack(mut self, start: u32, end: u32) -> Self {
        self.sack.push(SackBlock { start: ISS + 1 + start, end: ISS + 1 + end });
        self
    }

    pub(super) fn bytes(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// The segment, and the frame that its span names a part of.
    pub(super) fn segment(&self) -> (Segment, Vec<u8>) {
        const START: u16 = 54;
        let mut frame = vec![0; usize::from(START)];
        frame.extend_from_slice(&self.payload);
        let options = if self.flags.contains(Flags::SYN) {
            Options::Syn(Default::default())
        } else {
            Options::Data(DataOptions { timestamps: self.timestamps, sack: self.sack })
        };
        let segment = Segment {
            link: Link::default(),
            tuple: TUPLE,
            seq: IRS + 1 + self.seq,
            ack: if self.flags.contains(Flags::ACK) { ISS + 1 + self.ack } else { SeqNum(0) },
            flags: self.flags,
            window: self.window,
            ecn: self.ecn,
            options,
            payload: Span { start: START, len: self.payload.len() as u16 },
            unfinished_checksum: false,
        };
        (segment, frame)
    }
}

/// A segment of ours, with relative numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    pub seq: u32,
    pub ack: u32,
    pub flags: Flags,
    pub window: u16,
    pub len: u32,
    pub options: Options,
    pub ecn: Codepoint,
}

impl Sent {
    pub(super) fn of_head(head: &Head) -> Self {
        let Head { seq, ack, flags, window, options, marking, .. } = *head;
        Self::relative(seq, ack, flags, window, 0, options, marking.ecn)
    }

    fn relative(
        seq: SeqNum,
        ack: SeqNum,
        flags: Flags,
        window: u16,
        len: u32,
        options: Options,
        ecn: Codepoint,
    ) -> Self {
        let ack = if flags.contains(Flags::ACK) { ack.distance_from(IRS + 1) } else { 0 };
        Self { seq: seq.distance_from(ISS + 1), ack, flags, window, len, options, ecn }
    }

    pub(super) fn timestamps(&self) -> Option<Timestamps> {
        self.options.timestamps()
    }

    /// The SACK blocks, relative.
    pub(super) fn sack(&self) -> Vec<(u32, u32)> {
        let blocks = match self.options {
            Options::Data(DataOptions { sack, .. }) => sack,
            Options::Syn(_) => SackBlocks::NONE,
        };
        let relative = |SackBlock { start, end }| (start.distance_from(IRS + 1), end.distance_from(IRS + 1));
        blocks.as_slice().iter().copied().map(relative).collect()
    }
}

/// A connection under test.
pub(super) struct Bench {
    pub connection: Connection,
    pub now: Instant,
    /// All counters raised so far.
    pub counts: Vec<Counter>,
}

impl Bench {
    /// An established connection with the plainest options and a peer window of 50,000.
    pub(super) fn established() -> Self {
        Self::with(&config(), negotiated())
    }

    /// An established connection whose third segment came with timestamp 1, if it has timestamps.
    pub(super) fn with(config: &ConnectionConfig, negotiated: Negotiated) -> Self {
        let mut bench = Self::accepted(config, negotiated);
        let third = if negotiated.timestamps.is_some() { ack(0, 0).stamp(1, 0) } else { ack(0, 0) };
        let decision = bench.arrive(&third);
        assert_eq!((decision.verdict.fate, decision.verdict.reply), (Fate::Consumed, None));
        assert_eq!((bench.connection.state(), bench.sent()), (State::Established, vec![]));
        bench
    }

    /// A connection that has not seen its third segment, and whose handshake measured nothing: its RTO is 3 s.
    pub(super) fn accepted(config: &ConnectionConfig, negotiated: Negotiated) -> Self {
        let now = Instant::from_millis(1_000_000);
        let connection = Connection::accept(
            now,
            TUPLE,
            &HalfOpen { negotiated, timeouts: 0, round_trip: None },
            &Terms::from(config),
        );
        Self { connection, now, counts: Vec::new() }
    }

    /// Timestamps whose clock says `now` in milliseconds, with TS.Recent 1.
    pub(super) fn with_timestamps() -> Self {
        Self::with(&config(), Negotiated { timestamps: Some(Clock { recent: 1, offset: 0 }), ..negotiated() })
    }

    pub(super) fn with_sack() -> Self {
        Self::with(&config(), Negotiated { sack: true, ..negotiated() })
    }

    pub(super) fn wait(&mut self, span: Duration) {
        self.now += span;
    }

    pub(super) fn arrive(&mut self, says: &Says) -> Decision {
        let (segment, frame) = says.segment();
        let decision = self.connection.on_segment(self.now, &segment, &frame);
        self.note(decision.verdict.counts);
        decision
    }

    /// An ICMP error about the byte at `offset`.
    pub(super) fn told(&mut self, offset: u32, kind: IcmpKind) -> Decision {
        let error = IcmpError { link: Link::default(), tuple: TUPLE, seq: ISS + 1 + offset, kind };
        let decision = self.connection.on_icmp_error(self.now, &error);
        self.note(decision.verdict.counts);
        decision
    }

    /// The reply to `says`; there must be one.
    pub(super) fn reply_to(&mut self, says: &Says) -> Sent {
        let reply = self.arrive(says).verdict.reply.expect("a reply");
        Sent::of_head(&reply)
    }

    /// The timers that are due run.
    pub(super) fn tick(&mut self) -> Decision {
        let decision = self.connection.on_timer(self.now);
        self.note(decision.verdict.counts);
        decision
    }

    /// Time passes until the next timer, which runs; how long that took.
    pub(super) fn tick_next(&mut self) -> (Duration, Decision) {
        let deadline = self.connection.deadline().expect("a timer runs");
        let waited = deadline - self.now;
        self.now = self.now.max(deadline);
        (waited, self.tick())
    }

    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        self.connection.send(self.now, bytes);
    }

    /// What is sent once a delayed acknowledgment is due.
    pub(super) fn sent_after_delay(&mut self) -> Vec<Sent> {
        self.wait(crate::connection::acknowledge::DELAY);
        let _ = self.tick();
        self.sent()
    }

    /// The segments that are due, each with its payload checked against our stream.
    pub(super) fn sent(&mut self) -> Vec<Sent> {
        core::iter::from_fn(|| self.sent_one()).collect()
    }

    /// Sends whatever may go for `span`; where that ended.
    pub(super) fn drain(&mut self, span: Duration) -> u32 {
        let end = self.now + span;
        loop {
            self.sent();
            match self.connection.deadline() {
                Some(next) if next <= end => self.now = self.now.max(next),
                Some(_) | None => break,
            }
            let _ = self.tick();
        }
        self.now = end;
        self.nxt()
    }

    /// SND.NXT, relative.
    pub(super) fn nxt(&self) -> u32 {
        match &self.connection.phase {
            Phase::Synchronised(synchronised) => synchronised.sender.nxt().distance_from(ISS + 1),
            Phase::SynSent(_) | Phase::NeverOpened(_) => 0,
        }
    }

    /// Whether the send side holds anything on the heap.
    pub(super) fn has_flight(&self) -> bool {
        matches!(&self.connection.phase, Phase::Synchronised(synchronised) if synchronised.sender.has_flight())
    }

    pub(super) fn sent_one(&mut self) -> Option<Sent> {
        let mut frame = vec![0; 2048];
        let wanted = self.connection.wants_transmit(self.now);
        let len = self.connection.poll_transmit(self.now, &Link::default(), &mut frame);
        assert_eq!(wanted, len.is_some(), "wants_transmit and poll_transmit agree");
        frame.truncate(len?);
        let counts = self.connection.take_counts();
        self.note(counts);
        let segment = parse(&frame, ChecksumPolicy::Full).expect("what we send can be read");
        assert_eq!(segment.tuple, TUPLE.reversed());
        let Segment { seq, ack, flags, window, options, payload, ecn, .. } = segment;
        let sent = Sent::relative(seq, ack, flags, window, payload.len.into(), options, ecn);
        assert_eq!(payload.of(&frame), stream(sent.seq, sent.len), "payload of {sent:?}");
        Some(sent)
    }

    /// Position and length of each segment that is due.
    pub(super) fn sent_ranges(&mut self) -> Vec<(u32, u32)> {
        self.sent().iter().map(|sent| (sent.seq, sent.len)).collect()
    }

    pub(super) fn count_of(&self, counter: Counter) -> usize {
        self.counts.iter().filter(|&&seen| seen == counter).count()
    }

    pub(super) fn note(&mut self, counts: Counts) {
        self.counts.extend(counts.iter());
    }
}
