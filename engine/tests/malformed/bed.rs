//! A connection that stands, and beside it one odd frame after another.

use crate::server::{Family, PSH_ACK, Peer, SYN_ACK, Server, config, frame, read};
use synward_engine::{EngineConfig, Snapshot, SocketId};
use synward_proto::{DropReason, Flags};
use synward_testkit::wire::{WireOption, WireSegment};

const RST_ACK: Flags = Flags::RST.union(Flags::ACK);

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Consumed,
    Answered,
    Delivered,
    Dropped(DropReason),
}

/// What the engine says to a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    Silence,
    /// SYN-ACK, with what it acknowledges.
    SynAck(u32),
    /// RST with this sequence number.
    Reset(u32),
    /// RST with sequence number zero, and what it acknowledges.
    ResetAck(u32),
    /// Nothing but what it acknowledges.
    Ack(u32),
}

impl Reply {
    fn of(answers: &[WireSegment]) -> Self {
        let [answer] = answers else {
            assert!(answers.is_empty(), "more than one answer: {answers:?}");
            return Self::Silence;
        };
        let WireSegment { flags, seq, ack, window, .. } = *answer;
        assert!(answer.payload.is_empty(), "{answer:?}");
        match flags - Flags::ECE {
            SYN_ACK => Self::SynAck(ack),
            Flags::RST if (ack, window) == (0, 0) => Self::Reset(seq),
            RST_ACK if (seq, window) == (0, 0) => Self::ResetAck(ack),
            Flags::ACK => Self::Ack(ack),
            _ => panic!("an odd answer: {answer:?}"),
        }
    }
}

/// The two good frames to deviate from: what comes of them when they are not broken cannot be missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// A stranger's SYN.
    Syn,
    /// The next bytes of the connection that stands.
    Data,
}

impl Base {
    pub const ALL: [Self; 2] = [Self::Syn, Self::Data];
}

/// What [`Base::Data`] carries.
pub const FORGED: &[u8] = b"nobody may ever read this!";

/// A server, and a connection that stands there while odd frames come.
pub struct Bed {
    pub server: Server,
    /// Its peer.
    pub live: Peer,
    /// Its socket.
    pub socket: SocketId,
    pings: u32,
}

impl Bed {
    pub fn new(family: Family) -> Self {
        Self::with(family, config())
    }

    pub fn with(family: Family, config: EngineConfig) -> Self {
        Self::opened(family, config, &[WireOption::Mss(1460)])
    }

    /// The SYN of the connection that stands has these options.
    pub fn opened(family: Family, config: EngineConfig, options: &[WireOption]) -> Self {
        let mut server = Server::new(family, config);
        let mut live = Peer::new(family, 1);
        let (socket, _) = server.open(&mut live, options);
        Self { server, live, socket, pings: 0 }
    }

    /// A peer that the engine has not met.
    pub fn stranger(&self) -> Peer {
        Peer::new(self.server.family, 2)
    }

    /// A good frame to deviate from.
    pub fn base(&self, base: Base) -> Vec<u8> {
        frame(&match base {
            Base::Syn => self.stranger().says(Flags::SYN, b""),
            Base::Data => self.live.says(PSH_ACK, FORGED),
        })
    }

    /// What becomes of one frame, and what is said to it: exactly one thing and at most one segment, which goes back to where it
    /// came from; and all frames are home again, but for what a reader has not read.
    pub fn judge(&mut self, frame: &[u8]) -> (Fate, Reply) {
        let before = self.server.snapshot();
        let mut answers = self.server.deliver(frame);
        let after = self.server.snapshot();
        for answer in &mut answers {
            assert_eq!(answer[..12], [&frame[6..12], &frame[..6]].concat(), "{answer:02x?}");
            let tags = tags(frame);
            assert_eq!(answer.drain(12..12 + tags.len()).as_slice(), tags);
        }
        let answers: Vec<_> = answers.iter().map(|answer| read(answer)).collect();
        (fate(&before, &after), Reply::of(&answers))
    }

    /// Bytes go both ways on the connection that stands: these, and none that came before.
    pub fn assert_undisturbed(&mut self) {
        let Self { server, live, socket, pings } = self;
        *pings += 1;
        let ping = pings.to_be_bytes();
        let mut answers = server.send(&live.says(PSH_ACK, &ping));
        assert_eq!(server.read(*socket), ping);
        live.seq = live.seq.wrapping_add(4);
        let (written, sent) = server.write(*socket, &ping);
        answers.extend(sent);
        let pong = answers.pop().expect("an answer");
        assert_eq!((written, pong.seq, pong.ack, pong.payload.as_slice()), (4, live.ack, live.seq, &ping[..]));
        let acknowledges = |answer: &WireSegment| (answer.seq, answer.ack) == (pong.seq, pong.ack);
        assert!(answers.iter().all(acknowledges), "{answers:?}");
        live.ack = live.ack.wrapping_add(4);
        assert_eq!(server.send(&live.says(Flags::ACK, b"")), []);
        server.assert_home();
    }

    /// Nothing has happened to the connection that stands, and when the application leaves, nothing is left.
    pub fn end(mut self) {
        self.assert_undisturbed();
        self.server.end();
    }
}

/// The VLAN tags of a frame that has an answer.
fn tags(frame: &[u8]) -> &[u8] {
    let is_tag = |tag: &&[u8]| tag[..2] == [0x81, 0] || tag[..2] == [0x88, 0xa8];
    &frame[12..12 + 4 * frame[12..].chunks(4).take_while(is_tag).count()]
}

/// The one thing that a frame became.
fn fate(before: &Snapshot, after: &Snapshot) -> Fate {
    let (old, new) = (before.outcomes, after.outcomes);
    let others = [
        (Fate::Consumed, new.consumed - old.consumed),
        (Fate::Answered, new.answered - old.answered),
        (Fate::Delivered, new.delivered - old.delivered),
    ];
    let drops = DropReason::ALL.iter().map(|&reason| {
        let count = |snapshot: &Snapshot| snapshot.drops[reason.name()];
        (Fate::Dropped(reason), count(after) - count(before))
    });
    let became: Vec<_> = others.into_iter().chain(drops).filter(|&(_, count)| count > 0).collect();
    assert_eq!((new.received - old.received, new.steered), (1, 0), "{new:?}");
    let [(fate, 1)] = became.as_slice() else { panic!("not one thing: {became:?}") };
    *fate
}

/// A frame that `break_it` makes of either good one is dropped for `reason`, without a word, and is not read by anybody.
pub fn assert_dropped(what: &str, family: Family, reason: DropReason, break_it: impl Fn(&mut Vec<u8>)) {
    for base in Base::ALL {
        let mut bed = Bed::new(family);
        let mut frame = bed.base(base);
        break_it(&mut frame);
        assert_eq!(bed.judge(&frame), (Fate::Dropped(reason), Reply::Silence), "{what} {family:?} {base:?}");
        bed.end();
    }
}

/// The same frames unbroken: one is answered, the other delivered.
#[test]
fn the_good_frames_are_not_dropped() {
    for family in Family::ALL {
        let mut bed = Bed::new(family);
        let (syn, data) = (bed.base(Base::Syn), bed.base(Base::Data));
        assert_eq!(bed.judge(&syn), (Fate::Answered, Reply::SynAck(bed.stranger().seq + 1)));
        bed.live.seq += FORGED.len() as u32;
        assert_eq!(bed.judge(&data), (Fate::Delivered, Reply::Ack(bed.live.seq)));
        assert_eq!(bed.server.read(bed.socket), FORGED);
        bed.end();
    }
}
