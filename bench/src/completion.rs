//! Handshakes completed in the name of forged sources, one for each sampled SYN-ACK, and beside each a forged one.
//!
//! A cookie that is worth something lets its bearer in: an ACK that brings it back, with data, must be answered by that data. One
//! that brings it back from another port, or that guesses, must not. What is sent carries a token that says which it was, so that an
//! echo gives it away. A genuine connection is reset as soon as it has echoed, so that it takes no room.
//!
//! Nothing here does I/O: frames and times go in, frames come out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};
use synward_proto::segment::{DataOptions, Timestamps};
use synward_proto::wire::{ChecksumPolicy, HEADROOM, SegmentWriter, parse};
use synward_proto::{Endpoint, Flags, Head, Link, Marking, Options, Segment, SeqNum, Tuple};

/// How long a genuine connection may take to echo.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// When what was lost on the way is sent again.
const RETRY: Duration = Duration::from_millis(200);
/// Of all segments; room enough for an echo.
const WINDOW: u16 = 1024;

/// How handshakes fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Completions {
    /// Sampled SYN-ACKs that were answered by an ACK with data.
    pub completed: u64,
    /// Those whose data came back in time.
    pub echoed: u64,
    /// Those whose data did not.
    pub silent: u64,
    /// Forged ACKs sent, with data.
    pub forged: u64,
    /// Those whose data came back: none, or a cookie is worth nothing.
    pub forged_echoed: u64,
}

impl Completions {
    /// What has happened since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            completed: self.completed - before.completed,
            echoed: self.echoed - before.echoed,
            silent: self.silent - before.silent,
            forged: self.forged - before.forged,
            forged_echoed: self.forged_echoed - before.forged_echoed,
        }
    }
}

/// What a segment of ours carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    Genuine(u64),
    Forged,
}

impl Token {
    const FORGED: [u8; 16] = *b"forged, no entry";

    fn bytes(self) -> [u8; 16] {
        match self {
            Self::Genuine(number) => {
                let mut bytes = *b"genuine 01234567";
                bytes[8..].copy_from_slice(&number.to_be_bytes());
                bytes
            }
            Self::Forged => Self::FORGED,
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        let number = bytes.last_chunk().copied().map(u64::from_be_bytes)?;
        [Self::Genuine(number), Self::Forged].into_iter().find(|token| token.bytes() == bytes)
    }
}

/// A connection that has not echoed yet.
#[derive(Debug)]
struct Waiting {
    number: u64,
    frame: Vec<u8>,
    since: Instant,
    sent: Instant,
}

/// The handshakes of one attacker.
#[derive(Debug)]
pub struct Completion {
    link: Link,
    target: Endpoint,
    waiting: HashMap<Endpoint, Waiting>,
    completions: Completions,
    random: u64,
}

impl Completion {
    /// Handshakes with `target` over `link`.
    pub fn new(link: Link, target: SocketAddrV4) -> Self {
        let target = Endpoint::new((*target.ip()).into(), target.port());
        Self { link, target, waiting: HashMap::new(), completions: Completions::default(), random: 0 }
    }

    /// How they fared so far.
    pub fn completions(&self) -> Completions {
        self.completions
    }

    /// Takes a frame that the validator has handed over, and adds to `send` what is to be sent for it.
    pub fn on_frame(&mut self, frame: &[u8], now: Instant, send: &mut Vec<Vec<u8>>) {
        // The validator has checked what it could; a kernel leaves the checksums of its data unfinished.
        let Ok(segment) = parse(frame, ChecksumPolicy::AllowUnfinished) else { return };
        if segment.tuple.remote != self.target {
            return;
        }
        if segment.flags.contains(Flags::SYN) {
            self.complete(&segment, now, send);
        } else {
            self.on_data(&segment, segment.payload.of(frame), send);
        }
    }

    /// Brings a cookie back, and the same cookie from the port beside.
    fn complete(&mut self, syn_ack: &Segment, now: Instant, send: &mut Vec<Vec<u8>>) {
        let number = self.draw();
        let head = ack_of(syn_ack);
        let frame = self.write(&head, &Token::Genuine(number).bytes());
        send.push(frame.clone());
        self.completions.completed += 1;
        let waiting = Waiting { number, frame, since: now, sent: now };
        if self.waiting.insert(syn_ack.tuple.local, waiting).is_some() {
            // The same source was drawn twice within a second; the former is nobody's any more.
            self.completions.silent += 1;
        }
        let Endpoint { addr, port } = head.tuple.local;
        let beside = Tuple { local: Endpoint::new(addr, port ^ 1), ..head.tuple };
        self.forge_as(&Head { tuple: beside, ..head }, send);
    }

    /// Guesses a cookie, from a source within the free bits of `sources`.
    pub fn forge(&mut self, sources: (Ipv4Addr, u8), send: &mut Vec<Vec<u8>>) {
        let (network, length) = sources;
        let free = u32::MAX.checked_shr(length.into()).unwrap_or(0);
        let (drawn, rest) = (self.draw(), self.draw());
        let source = Ipv4Addr::from_bits(network.to_bits() & !free | drawn as u32 & free);
        let local = Endpoint::new(IpAddr::V4(source), (drawn >> 48) as u16 | 1024);
        let head = Head {
            tuple: Tuple { local, remote: self.target },
            seq: SeqNum(rest as u32),
            ack: SeqNum((rest >> 32) as u32),
            flags: Flags::ACK | Flags::PSH,
            window: WINDOW,
            options: Options::NONE,
            marking: Marking::DEFAULT,
        };
        self.forge_as(&head, send);
    }

    fn forge_as(&mut self, head: &Head, send: &mut Vec<Vec<u8>>) {
        self.completions.forged += 1;
        send.push(self.write(head, &Token::Forged.bytes()));
    }

    fn on_data(&mut self, segment: &Segment, payload: &[u8], send: &mut Vec<Vec<u8>>) {
        match Token::read(payload) {
            Some(Token::Forged) => self.completions.forged_echoed += 1,
            Some(Token::Genuine(number)) => {
                let local = segment.tuple.local;
                // Else it is the echo of what was sent twice.
                if self.waiting.get(&local).is_some_and(|waiting| waiting.number == number) {
                    self.waiting.remove(&local);
                    self.completions.echoed += 1;
                }
            }
            None => return,
        }
        send.push(self.write(&reset_of(segment), &[]));
    }

    /// Sends again what may have been lost, and gives up what is hopeless. Returns how many still wait.
    pub fn on_time(&mut self, now: Instant, send: &mut Vec<Vec<u8>>) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|_, waiting| now - waiting.since < PATIENCE);
        self.completions.silent += (before - self.waiting.len()) as u64;
        for waiting in self.waiting.values_mut().filter(|waiting| now - waiting.sent >= RETRY) {
            waiting.sent = now;
            send.push(waiting.frame.clone());
        }
        self.waiting.len()
    }

    fn write(&self, head: &Head, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; HEADROOM + payload.len()];
        let mut writer = SegmentWriter::new(&mut frame, &self.link, head);
        writer.append(payload);
        let length = writer.finish();
        frame.truncate(length);
        frame
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }
}

/// The third segment of a handshake, with data.
fn ack_of(syn_ack: &Segment) -> Head {
    let timestamps = syn_ack.options.timestamps().map(|Timestamps { value, echo }| {
        // Its clock has gone on a little since the SYN.
        Timestamps { value: echo.wrapping_add(1), echo: value }
    });
    Head {
        tuple: syn_ack.tuple,
        seq: syn_ack.ack,
        ack: SeqNum(syn_ack.seq.0.wrapping_add(1)),
        flags: Flags::ACK | Flags::PSH,
        window: WINDOW,
        options: Options::Data(DataOptions { timestamps, ..DataOptions::default() }),
        marking: Marking::DEFAULT,
    }
}

/// A reset that the other side takes, right after it has echoed.
fn reset_of(data: &Segment) -> Head {
    Head {
        tuple: data.tuple,
        seq: data.ack,
        ack: SeqNum(data.seq.0.wrapping_add(data.seq_len())),
        flags: Flags::RST | Flags::ACK,
        window: 0,
        options: Options::NONE,
        marking: Marking::DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synward_proto::segment::{Mss, SynOptions};

    const TARGET: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 7);
    const SOURCE: Endpoint = Endpoint { addr: IpAddr::V4(Ipv4Addr::new(10, 128, 3, 4)), port: 5000 };

    /// What the target sends.
    fn from_target(to: Endpoint, flags: Flags, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
        let mut completion = Completion::new(Link::default(), TARGET);
        let remote = std::mem::replace(&mut completion.target, to);
        let options = match flags.contains(Flags::SYN) {
            true => Options::Syn(SynOptions { mss: Mss::announced(1460), ..SynOptions::default() }),
            false => Options::NONE,
        };
        let (seq, ack) = (SeqNum(numbers.0), SeqNum(numbers.1));
        let tuple = Tuple { local: remote, remote: to };
        let head = Head { tuple, seq, ack, flags, window: 1, options, marking: Marking::DEFAULT };
        completion.write(&head, payload)
    }

    fn sent(frame: &[u8]) -> (Segment, Vec<u8>) {
        let segment = parse(frame, ChecksumPolicy::Full).expect("a sound frame");
        (segment, segment.payload.of(frame).to_vec())
    }

    /// A completion that has been shown a SYN-ACK, and what it sent.
    fn completed(now: Instant) -> (Completion, Vec<Vec<u8>>) {
        let (mut completion, mut send) = (Completion::new(Link::default(), TARGET), Vec::new());
        completion.on_frame(&from_target(SOURCE, Flags::SYN | Flags::ACK, (900, 51), &[]), now, &mut send);
        (completion, send)
    }

    #[test]
    fn a_cookie_is_brought_back_once_rightly_and_once_from_the_port_beside() {
        let (completion, send) = completed(Instant::now());
        let [genuine, forged] = [sent(&send[0]), sent(&send[1])];
        assert_eq!((genuine.0.tuple.remote, genuine.0.seq, genuine.0.ack), (SOURCE, SeqNum(51), SeqNum(901)));
        assert_eq!((forged.0.tuple.remote.port, forged.0.seq, forged.0.ack), (5001, SeqNum(51), SeqNum(901)));
        assert_eq!(Token::read(&forged.1), Some(Token::Forged));
        let expected = Completions { completed: 1, forged: 1, ..Completions::default() };
        assert_eq!((completion.completions(), send.len()), (expected, 2));
    }

    #[test]
    fn an_echo_counts_once_and_is_answered_by_a_reset() {
        let now = Instant::now();
        let (mut completion, send) = completed(now);
        let echo = from_target(SOURCE, Flags::ACK, (901, 67), &sent(&send[0]).1);
        for _ in 0..2 {
            let mut send = Vec::new();
            completion.on_frame(&echo, now, &mut send);
            let (reset, _) = sent(&send[0]);
            assert!(reset.flags.contains(Flags::RST) && reset.seq == SeqNum(67) && reset.ack == SeqNum(917));
        }
        assert_eq!(completion.completions().echoed, 1);
        assert_eq!(completion.on_time(now + PATIENCE, &mut Vec::new()), 0);
        assert_eq!(completion.completions().silent, 0);
    }

    #[test]
    fn an_echo_of_what_was_forged_is_seen() {
        let now = Instant::now();
        let (mut completion, mut send) = (Completion::new(Link::default(), TARGET), Vec::new());
        completion.forge((Ipv4Addr::new(10, 128, 0, 0), 9), &mut send);
        let (segment, payload) = sent(&send[0]);
        let IpAddr::V4(source) = segment.tuple.remote.addr else { panic!("IPv4 was asked for") };
        assert_eq!(source.to_bits() >> 23, Ipv4Addr::new(10, 128, 0, 0).to_bits() >> 23);
        completion.on_frame(&from_target(segment.tuple.remote, Flags::ACK, (1, 2), &payload), now, &mut send);
        assert_eq!(completion.completions(), Completions { forged: 1, forged_echoed: 1, ..Completions::default() });
    }

    #[test]
    fn what_stays_silent_is_sent_again_and_then_given_up() {
        let start = Instant::now();
        let (mut completion, first) = completed(start);
        let mut send = Vec::new();
        assert_eq!(completion.on_time(start + RETRY / 2, &mut send), 1);
        assert!(send.is_empty());
        assert_eq!(completion.on_time(start + RETRY, &mut send), 1);
        assert_eq!(send, [first[0].clone()]);
        assert_eq!(completion.on_time(start + PATIENCE, &mut send), 0);
        assert_eq!((completion.completions().silent, send.len()), (1, 1));
    }
}
