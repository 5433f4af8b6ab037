//! What both ends of a connection have said so far, and what must follow from that.

use super::happening::{IRS, ISS, Setting};
use super::{TUPLE, settled};
use synward_proto::connection::{ConnectionConfig, Decision, Info, State, TimeWaitOutcome};
use synward_proto::wire::{ChecksumPolicy, parse};
use synward_proto::{DropReason, Fate, Flags, Head, Instant, Options, Segment, SeqNum};

/// A part of the peer's stream that has arrived.
struct Copy {
    start: SeqNum,
    len: u32,
    /// What every byte of it is, where copies may differ.
    mark: u8,
    /// Whether all of it lay in the window, and was taken: no later copy may take its place.
    taken: bool,
}

/// The books.
pub struct Books {
    pub config: ConnectionConfig,
    consistent: bool,
    /// Whether both ends use timestamps.
    pub stamped: bool,
    /// The last TSval that we sent.
    pub stamp: u32,
    /// The shifts of the windows that the peer sends, and of ours.
    shifts: [u8; 2],
    is_open: bool,
    copies: Vec<Copy>,
    /// Bytes delivered, and those of them that the application has read.
    delivered: u32,
    read: u32,
    peer_closed: bool,
    /// The right edge of the window that we have offered.
    offered: SeqNum,
    /// Whether the application has asked for less room than it had.
    pub window_may_shrink: bool,
    /// Bytes that the application gave us, and whether it gives more.
    given: u32,
    shut: bool,
    /// The right edge of the window that the peer has offered at most.
    allowed: SeqNum,
    /// The highest acknowledgment that counts, and the end of what was sent.
    pub una: SeqNum,
    pub sent_to: SeqNum,
    /// Room that the send buffer was said to have won.
    room: u32,
    time_wait_replies: u32,
}

impl Books {
    pub fn new(setting: &Setting, config: &ConnectionConfig) -> Self {
        let negotiated = setting.negotiated();
        let shifts = negotiated.scales.map_or([0; 2], |scales| [scales.peer.shift(), scales.ours.shift()]);
        let start = if setting.accepted { ISS + 1 } else { ISS };
        Self {
            config: config.clone(),
            consistent: setting.consistent,
            stamped: setting.accepted && setting.stamps,
            stamp: 0,
            shifts: if setting.accepted { shifts } else { [0; 2] },
            is_open: setting.accepted,
            copies: Vec::new(),
            delivered: 0,
            read: 0,
            peer_closed: false,
            offered: IRS + 1 + config.receive_buffer.min(65_535),
            window_may_shrink: false,
            given: 0,
            shut: false,
            allowed: ISS + 1,
            una: start,
            sent_to: start,
            room: 0,
            time_wait_replies: 0,
        }
    }

    /// Where the peer's stream has come to, its FIN included.
    pub fn received_to(&self) -> SeqNum {
        IRS + 1 + self.delivered + u32::from(self.peer_closed)
    }

    /// Appends the peer's bytes from `seq` on to a frame.
    pub fn payload(&self, seq: SeqNum, len: u16, frame: &mut Vec<u8>) {
        let at = seq.distance_from(IRS + 1);
        let mark = self.copies.len() as u8;
        let consistent = self.consistent;
        frame.extend((0..u32::from(len)).map(|step| if consistent { byte(at.wrapping_add(step)) } else { mark }));
    }

    /// Notes a segment, and what became of it.
    pub fn arrived(&mut self, segment: &Segment, decision: &Decision, before: State) {
        let Segment { seq, ack, flags, window, payload, .. } = *segment;
        let fate = decision.verdict.fate;
        let taken = matches!(fate, Fate::Consumed | Fate::Delivered(_));
        let (len, end) = (u32::from(payload.len), seq + u32::from(payload.len));
        let in_window = !seq.before(self.received_to()) && !end.after(self.offered) && !self.peer_closed;
        self.copies.push(Copy {
            start: seq,
            len,
            mark: self.copies.len() as u8,
            taken: taken && in_window && self.is_open,
        });
        // What acknowledges something that was never sent offers nothing.
        let is_ack = flags.contains(Flags::ACK) && self.sent_to.distance_from(ack) < 1 << 30;
        if before != State::SynSent && is_ack && counts(fate) && !flags.contains(Flags::RST) {
            let edge = ack + (u32::from(window) << self.shifts[0]);
            self.allowed = self.allowed.latest(edge);
            self.una = self.una.latest(ack);
        } else if before == State::SynSent && flags.contains(Flags::SYN) {
            self.allowed = self.allowed.latest(ISS + 1 + u32::from(window));
        } else if before == State::SynSent && flags.contains(Flags::ACK) {
            // It may complete a crossed open, under a scale that is known only then.
            self.allowed = self.allowed.latest(ISS + 1 + (u32::from(window) << 14));
        }
    }

    /// Both SYNs are acknowledged.
    pub fn connected(&mut self, info: &Info) {
        assert!(!self.is_open, "open twice");
        self.is_open = true;
        self.shifts = [info.scales.peer.shift(), info.scales.ours.shift()];
        self.stamped = info.timestamps;
        self.una = self.una.latest(ISS + 1);
    }

    /// The next bytes of the peer's stream.
    pub fn delivered(&mut self, bytes: &[u8]) {
        assert!(!self.peer_closed, "bytes behind the end of the stream");
        assert!(self.is_open && !bytes.is_empty());
        if self.consistent {
            for (step, seen) in bytes.iter().enumerate() {
                assert_eq!(*seen, byte(self.delivered + step as u32), "byte {} of the stream", self.delivered);
            }
        }
        let mut at = IRS + 1 + self.delivered;
        for run in bytes.chunk_by(|a, b| self.consistent || a == b) {
            self.has_come(at, run[0]);
            self.has_come(at + (run.len() as u32 - 1), run[0]);
            at += run.len() as u32;
        }
        self.delivered += bytes.len() as u32;
        assert!(!self.received_to().after(self.offered), "more is taken than was offered room for");
    }

    /// The byte at `seq` has come as part of a copy of this mark, and of none that came later than one that was taken.
    fn has_come(&self, seq: SeqNum, mark: u8) {
        let mut copies = self.copies.iter().filter(|copy| seq.in_window(copy.start, copy.len));
        let fits = |copy: &Copy| self.consistent || copy.mark == mark;
        let known = copies.find(|copy| fits(copy) || copy.taken);
        assert!(known.is_some_and(fits), "the byte at {seq:?} is of copy {mark}, which is not the first");
    }

    pub fn peer_closed(&mut self) {
        assert!(!self.peer_closed, "the stream ends once");
        self.peer_closed = true;
    }

    /// The send buffer has so much more room: what was acknowledged, and what it has grown by.
    pub fn made_room(&mut self, bytes: u32) {
        self.room += bytes;
        let grown = self.config.send_buffer_max - self.config.send_buffer;
        assert!(self.room <= self.una.distance_from(ISS + 1) + grown, "more than the peer has acknowledged");
    }

    /// The next bytes that the application sends.
    pub fn next_bytes(&mut self, len: u32) -> Vec<u8> {
        assert!(len == 0 || !self.shut, "there is no room behind the end of the stream");
        let chunk = (self.given..self.given + len).map(byte).collect();
        self.given += len;
        chunk
    }

    /// The application reads at most so much of what it has.
    pub fn read(&mut self, len: u32) -> u32 {
        let len = len.min(self.delivered - self.read);
        self.read += len;
        len
    }

    /// The application sends no more, if it could before.
    pub fn shut(&mut self, before: State) {
        self.shut |= before != State::Closed;
    }

    /// A segment that was written: it can be read, and says nothing but the truth.
    pub fn wrote(&mut self, frame: &[u8]) {
        let sent = parse(frame, ChecksumPolicy::Full).expect("what is sent can be read");
        assert_eq!(sent.tuple, TUPLE.reversed());
        let payload = sent.payload.of(frame);
        if sent.flags.contains(Flags::SYN) {
            assert!(!self.is_open && payload.is_empty() && sent.seq == ISS);
            self.sent_to = self.sent_to.latest(ISS + 1);
        } else {
            self.data(&sent, payload);
            self.says(sent.flags, sent.ack, sent.window, &sent.options);
        }
        self.stamp = sent.options.timestamps().map_or(self.stamp, |stamps| stamps.value);
    }

    /// The application's bytes, within what it gave and the peer lets through.
    fn data(&mut self, sent: &Segment, payload: &[u8]) {
        let at = sent.seq.distance_from(ISS + 1);
        let end = sent.seq + sent.seq_len();
        if !payload.is_empty() {
            assert!(at <= self.given && self.given - at >= payload.len() as u32, "bytes that nobody gave");
            for (step, seen) in payload.iter().enumerate() {
                assert_eq!(*seen, byte(at + step as u32), "byte {at} of what the application sends");
            }
        }
        if sent.flags.contains(Flags::FIN) {
            assert!(self.shut && at + payload.len() as u32 == self.given, "FIN before the end of the stream");
        }
        // What was sent before may be sent again when the window was taken back: then it is the probe.
        if sent.seq_len() > 0 && end.after(self.sent_to) {
            assert!(!end.after(self.allowed), "new bytes beyond the peer's window");
        }
        self.sent_to = self.sent_to.latest(end);
    }

    /// An immediate answer, or a reset.
    pub fn replied(&mut self, reply: Option<&Head>) {
        let Some(head) = reply else { return };
        assert_eq!(head.tuple, TUPLE, "the answer goes to who asked");
        assert!(!head.flags.intersects(Flags::FIN | Flags::PSH));
        // A reset that answers a stray speaks of that, and not of the connection.
        if self.is_open && head.flags.contains(Flags::ACK) && !head.flags.intersects(Flags::RST | Flags::SYN) {
            self.says(head.flags, head.ack, head.window, &head.options);
            self.stamp = head.options.timestamps().map_or(self.stamp, |stamps| stamps.value);
        }
    }

    /// What every segment of an open connection says of the peer's stream.
    fn says(&mut self, flags: Flags, ack: SeqNum, window: u16, options: &Options) {
        assert!(flags.contains(Flags::ACK));
        assert_eq!(ack, self.received_to(), "what is delivered is acknowledged, and nothing else");
        if flags.contains(Flags::RST) {
            return;
        }
        let edge = ack + (u32::from(window) << self.shifts[1]);
        // By less than the field can say.
        let kept = edge + (1 << self.shifts[1]) - 1;
        assert!(self.window_may_shrink || !kept.before(self.offered), "a window is taken back");
        self.offered = self.offered.latest(edge);
        let Options::Data(options) = options else { return };
        for block in options.sack.as_slice() {
            assert!(block.start.before(block.end));
            let has_come = |seq: SeqNum| {
                let covers = |copy: &Copy| seq.in_window(copy.start, copy.len + 1);
                seq.before(ack) || self.copies.iter().any(covers)
            };
            assert!(has_come(block.start) && has_come(block.end - 1), "{block:?} is reported, and never came");
        }
    }

    /// What holds of memory at any time.
    pub fn check(&self, info: &Info) {
        let room = self.config.receive_buffer_max.max(65_535);
        let held = self.offered.distance_from(IRS + 1 + self.read);
        let most = room + room / 8 + (2 << self.shifts[1]);
        assert!(held <= most || self.received_to().after(self.offered), "room for {held} is offered, of {most}");
        assert!(info.send_queue <= self.given, "more waits than was given");
    }

    /// What TIME-WAIT answers is little.
    pub fn waited(&mut self, _now: Instant, outcome: TimeWaitOutcome) {
        let Some(verdict) = settled(outcome) else { return };
        assert!(!matches!(verdict.fate, Fate::Delivered(_)));
        if let Some(head) = verdict.reply {
            assert!(!head.flags.intersects(Flags::RST | Flags::SYN | Flags::FIN));
            assert_eq!(head.ack, self.received_to());
            self.time_wait_replies += 1;
        }
    }
}

/// Whether a segment of this fate was heard at all, so that its acknowledgment and window count.
fn counts(fate: Fate) -> bool {
    use DropReason as D;
    match fate {
        Fate::Consumed | Fate::Delivered(_) => true,
        Fate::Dropped(reason) => !matches!(
            reason,
            D::Paws | D::NoAck | D::AckUnsent | D::AckTooOld | D::BlindRst | D::BlindSyn | D::NoListener
        ),
    }
}

/// The byte at a place of either stream: nearly each place has a value of its own.
fn byte(at: u32) -> u8 {
    (at ^ at >> 8) as u8
}
