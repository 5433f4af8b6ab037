//! Two connections and the links between them.

use super::{Bottleneck, Plan};
use crate::engine::LINK;
use crate::hostile::{HostileLink, Rng, Weather};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use synward_proto::connection::{Connection, ConnectionConfig, Decision, Ecn, Events, Terms};
use synward_proto::half_open::{HalfOpen, Negotiated, Offer, Syn};
use synward_proto::segment::Marking;
use synward_proto::wire::{ChecksumPolicy, HEADROOM, parse, write_segment};
use synward_proto::{Endpoint, Fate, Head, Instant, Options, Segment, SeqNum, Tuple};

/// Virtual time does not begin at zero, where a forgotten field would look like a time.
const EPOCH: Instant = Instant::from_millis(1_000_000);
/// Bytes per call of `send`.
const CHUNK: u32 = 64 * 1024;
/// Room for a segment of an MTU of 1500 bytes.
const FRAME: usize = HEADROOM + 1500;

/// Buffers of a flow's connections, bytes.
#[derive(Clone, Copy, Debug)]
pub struct Buffers {
    /// Of the sender.
    pub send: u32,
    /// Of the reader, at first.
    pub receive: u32,
    /// What that may grow to.
    pub receive_max: u32,
}

/// One flow.
#[derive(Debug)]
pub(super) struct Flow {
    sender: Connection,
    reader: Reader,
    terms: Terms,
    data: HostileLink,
    acknowledgments: HostileLink,
    /// When the sender begins, until it has begun.
    opens: Option<Duration>,
    delivered: u64,
    frame: Vec<u8>,
}

/// The other end.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each flow")]
enum Reader {
    /// The first frame that arrives connects it.
    HalfOpen(HalfOpen),
    Connected(Connection),
}

impl Flow {
    /// The `number`th flow. Its handshake takes a round trip and loses nothing.
    pub fn new(number: u16, plan: &Plan, loss: u32, rng: &mut Rng) -> Result<Self, String> {
        let host = |n| IpAddr::from(Ipv4Addr::new(198, 18, 0, n));
        let tuple = Tuple { local: Endpoint::new(host(2), 40_000 + number), remote: Endpoint::new(host(1), 80) };
        let terms = Terms::from(&config(plan));
        let mut sender = Connection::connect(EPOCH + plan.starts, tuple, SeqNum(rng.next() as u32), 7, &terms);
        let mut frame = vec![0; FRAME];
        let half_open = shake_hands(plan, &mut sender, SeqNum(rng.next() as u32), &mut frame)?;
        let mut link = |loss| {
            let weather = Weather { delay: plan.round_trip / 2, loss, ..Weather::STILL };
            HostileLink::new(weather, rng.fork())
        };
        Ok(Self {
            sender,
            reader: Reader::HalfOpen(half_open),
            terms,
            data: link(loss),
            acknowledgments: link(0),
            opens: Some(plan.starts + plan.round_trip),
            delivered: 0,
            frame,
        })
    }

    /// Bytes that the reader got.
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Segments sent again.
    pub fn retransmits(&self, now: Duration) -> u32 {
        self.sender.info(EPOCH + now).retransmits
    }

    /// When anything happens next.
    pub fn next_event(&self) -> Option<Duration> {
        if self.opens.is_some() {
            return self.opens;
        }
        let reader = match &self.reader {
            Reader::HalfOpen(_) => None,
            Reader::Connected(connection) => connection.deadline(),
        };
        let timers = self.sender.deadline().into_iter().chain(reader).map(|at| at - EPOCH);
        timers.chain(self.data.next_arrival()).chain(self.acknowledgments.next_arrival()).min()
    }

    /// Whatever is due at `now` happens: frames arrive, timers fire, the applications act, frames depart.
    pub fn turn(&mut self, now: Duration, bottleneck: &mut Bottleneck) -> Result<(), String> {
        self.opens = None;
        while let Some(frame) = self.data.receive(now) {
            self.read(now, &frame)?;
        }
        while let Some(frame) = self.acknowledgments.receive(now) {
            let segment =
                parse(&frame, ChecksumPolicy::Full).map_err(|reason| format!("the reader sent {reason:?}"))?;
            let decision = self.sender.on_segment(EPOCH + now, &segment, &frame);
            self.send_reply(now, decision, bottleneck)?;
        }
        let decision = self.sender.on_timer(EPOCH + now);
        self.send_reply(now, decision, bottleneck)?;
        self.write(now);
        self.depart(now, bottleneck);
        Ok(())
    }

    /// A frame arrives at the reader, which reads what it delivers.
    fn read(&mut self, now: Duration, frame: &[u8]) -> Result<(), String> {
        let segment = understood(frame)?;
        if let Reader::HalfOpen(half_open) = &self.reader {
            let tuple = self.sender.tuple().reversed();
            self.reader = Reader::Connected(Connection::accept(EPOCH + now, tuple, half_open, &self.terms));
        }
        let Reader::Connected(reader) = &mut self.reader else { return Ok(()) };
        let Decision { verdict, events } = reader.on_segment(EPOCH + now, &segment, frame);
        let mut bytes = match verdict.fate {
            Fate::Delivered(span) => span.of(frame).len(),
            Fate::Consumed | Fate::Dropped(_) => 0,
        };
        if events.contains(Events::REASSEMBLED) {
            bytes += std::iter::from_fn(|| reader.take_reassembled()).map(|chunk| chunk.len()).sum::<usize>();
        }
        reader.consumed(EPOCH + now, bytes as u32);
        self.delivered += bytes as u64;
        if let Some(head) = verdict.reply {
            self.acknowledgments.send(now, written(&head));
        }
        if events.contains(Events::FAILED) { Err(format!("the reader failed: {:?}", reader.failure())) } else { Ok(()) }
    }

    fn send_reply(&mut self, now: Duration, decision: Decision, bottleneck: &mut Bottleneck) -> Result<(), String> {
        if decision.events.contains(Events::FAILED) {
            return Err(format!("the sender failed: {:?}", self.sender.failure()));
        }
        if let Some(head) = decision.verdict.reply {
            self.launch(now, written(&head), bottleneck);
        }
        Ok(())
    }

    /// The application fills the send buffer.
    fn write(&mut self, now: Duration) {
        let _ = self.sender.take_acked();
        while self.sender.send_space() >= CHUNK {
            self.sender.send(EPOCH + now, vec![0; CHUNK as usize]);
        }
    }

    fn depart(&mut self, now: Duration, bottleneck: &mut Bottleneck) {
        while let Some(length) = self.sender.poll_transmit(EPOCH + now, &LINK, &mut self.frame) {
            let frame = self.frame[..length].to_vec();
            self.launch(now, frame, bottleneck);
        }
        let Reader::Connected(reader) = &mut self.reader else { return };
        let _ = reader.on_timer(EPOCH + now);
        while let Some(length) = reader.poll_transmit(EPOCH + now, &LINK, &mut self.frame) {
            self.acknowledgments.send(now, self.frame[..length].to_vec());
        }
    }

    fn launch(&mut self, now: Duration, frame: Vec<u8>, bottleneck: &mut Bottleneck) {
        if let Some(leaves) = bottleneck.pass(now, frame.len()) {
            self.data.send(leaves, frame);
        }
    }
}

/// The handshake without accidents: `sender` is connected, its third segment is due, and the other end is what is returned.
fn shake_hands(plan: &Plan, sender: &mut Connection, iss: SeqNum, frame: &mut [u8]) -> Result<HalfOpen, String> {
    let (sent, heard) = (EPOCH + plan.starts, EPOCH + plan.starts + plan.round_trip);
    let length = sender.poll_transmit(sent, &LINK, frame).ok_or("the sender sent no SYN")?;
    let segment = understood(&frame[..length])?;
    let Options::Syn(options) = segment.options else { return Err("the sender began without SYN".into()) };
    let syn = Syn::of(&segment, &options);
    let offer = Offer::default();
    let negotiated = Negotiated::new(&syn, &offer, iss, 11);
    let answer = written(&negotiated.syn_ack(heard, &segment.tuple, &offer));
    let _ = sender.on_segment(heard, &understood(&answer)?, &answer);
    Ok(HalfOpen { negotiated, timeouts: 0, round_trip: None })
}

fn understood(frame: &[u8]) -> Result<Segment, String> {
    parse(frame, ChecksumPolicy::Full).map_err(|reason| format!("a frame that cannot be read: {reason:?}"))
}

fn written(head: &Head) -> Vec<u8> {
    let mut frame = vec![0; HEADROOM];
    let length = write_segment(&mut frame, &LINK, head);
    frame.truncate(length);
    frame
}

fn config(plan: &Plan) -> ConnectionConfig {
    ConnectionConfig {
        receive_buffer: plan.buffers.receive,
        receive_buffer_max: plan.buffers.receive_max,
        send_buffer: plan.buffers.send,
        send_buffer_max: plan.buffers.send,
        mss: Offer::default().mss_v4,
        keepalive: None,
        nagle: true,
        quick_acks: true,
        congestion: plan.algorithm,
        ecn: Ecn::Off,
        retries: 15,
        syn_retries: 6,
        user_timeout: None,
        time_wait: Duration::from_secs(60),
        fin_wait_2: Duration::from_secs(60),
        marking: Marking::DEFAULT,
    }
}
