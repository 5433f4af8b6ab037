//! A connection, whatever arrives and whatever is asked of it, at any time.

mod books;
mod happening;

use crate::samples;
use arbitrary::{Arbitrary, Unstructured};
use books::Books;
use happening::{Happening, IRS, ISS, Says, Setting, SynAnswer, icmp_kind};
use std::time::Duration;
use synward_proto::connection::{Connection, Decision, Events, State, Terms, TimeWait, TimeWaitOutcome};
use synward_proto::half_open::HalfOpen;
use synward_proto::icmp::IcmpError;
use synward_proto::segment::{DataOptions, Mss, SackBlock, SackBlocks, SynOptions, Timestamps, WindowScale};
use synward_proto::wire::HEADROOM;
use synward_proto::{Codepoint, Fate, Flags, Head, Instant, Options, Segment, SeqNum, Span};

/// The most happenings of one input.
const MOST: usize = 120;

/// Where the payload of an arriving frame starts; what stands before it is never read.
const PAYLOAD_AT: u16 = 54;

/// After its application has left and with a silent peer, a connection is over by then: the longest series of retransmissions
/// or probes takes a quarter of an hour, one that follows another twice that, and what must be woken first two hours more.
const OVER_AFTER: Duration = Duration::from_secs(4 * 3_600);

/// A connection, its application, its peer, and the books about all of them.
struct Bed {
    now: Instant,
    connection: Connection,
    /// What is left of it once it waits for old duplicates to die.
    time_wait: Option<TimeWait>,
    terms: Terms,
    books: Books,
    /// Whether the application has closed.
    closed: bool,
}

/// Whatever happens: what is delivered is the peer's stream, in order, each byte once and its first copy; what is sent is the
/// application's stream, within the window that the peer has offered; what is acknowledged was delivered, and an offered
/// window is not taken back; something outstanding has a timer; transmitting ends; and so does a connection that its
/// application has left, whatever its peer does.
pub fn connection(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(setting) = Setting::arbitrary(&mut bytes) else { return };
    let mut bed = Bed::new(&setting);
    for _ in 0..MOST {
        if bytes.is_empty() || bed.is_gone() {
            break;
        }
        let Ok(happening) = Happening::arbitrary(&mut bytes) else { break };
        bed.apply(&happening);
        bed.check();
    }
    bed.leave();
}

impl Bed {
    fn new(setting: &Setting) -> Self {
        let now = Instant::from_millis(1_000_000);
        let config = setting.config();
        let terms = Terms::from(&config);
        let half_open = HalfOpen { negotiated: setting.negotiated(), timeouts: 0, round_trip: None };
        let mut connection = if setting.accepted {
            Connection::accept(now, TUPLE, &half_open, &terms)
        } else {
            Connection::connect(now, TUPLE, ISS, 7, &terms)
        };
        if let Some(mtu) = setting.path_mtu {
            connection.begin_with_path_mtu(now, mtu);
        }
        let books = Books::new(setting, &config);
        Self { now, connection, time_wait: None, terms, books, closed: false }
    }

    /// Nothing can happen to it any more.
    fn is_gone(&self) -> bool {
        self.time_wait.is_none() && self.connection.state() == State::Closed
    }

    fn apply(&mut self, happening: &Happening) {
        if self.closed && happening.is_of_application() {
            return;
        }
        match happening {
            Happening::Arrive(says) => self.says(says),
            Happening::Honest { payload, window, fin } => self.honest((*payload).into(), *window, *fin),
            Happening::Hole { skip, reported, window } => self.hole((*skip).into(), (*reported).into(), *window),
            Happening::Answer(answer) => self.answer(answer),
            Happening::Pass(span) => self.pass(span.duration()),
            Happening::Wait => {
                if let Some(deadline) = self.connection.deadline() {
                    self.pass(deadline.since(self.now));
                }
            }
            Happening::Send(len) => self.send((*len).into()),
            Happening::Read(len) => self.read((*len).into()),
            Happening::Transmit(most) => self.transmit((*most).into()),
            Happening::Shutdown => self.shut_down(),
            Happening::Close => self.close(),
            Happening::Abort => {
                let reset = self.connection.abort();
                self.books.replied(reset.as_ref());
            }
            Happening::AcknowledgeSyn => self.connection.acknowledge_syn(),
            Happening::Set(choice) => {
                self.books.window_may_shrink |= choice.shrinks();
                self.connection.set(self.now, choice.option());
            }
            Happening::Icmp { offset, kind, mtu } => self.icmp(*offset, *kind, *mtu),
            Happening::InterfaceMtu(mss) => self.interface_mtu(*mss),
        }
    }

    fn says(&mut self, says: &Says) {
        let Some(flags) = says.flags.flags() else { return };
        let books = &self.books;
        let (una, clock) = (books.una, self.now.as_millis() as u32);
        let timestamps = says.stamps.map(|(value, echo)| Timestamps {
            value: clock.wrapping_add_signed(value.into()),
            echo: books.stamp.wrapping_add_signed(echo.into()),
        });
        let mut sack = SackBlocks::NONE;
        for (skip, len) in says.sack.iter().flatten() {
            let start = una + u32::from(*skip);
            sack.push(SackBlock { start, end: start + u32::from(*len) });
        }
        let options = match flags.contains(Flags::SYN) {
            true => Options::Syn(SynOptions { timestamps, ..SynOptions::default() }),
            false => Options::Data(DataOptions { timestamps, sack }),
        };
        // Its first sequence number is the same in every SYN of the peer.
        let seq = if flags.contains(Flags::SYN) { IRS } else { says.seq.from(books.received_to()) };
        let payload = if flags.contains(Flags::SYN) { 0 } else { says.payload % 1_500 };
        let head = Head {
            tuple: TUPLE,
            seq,
            ack: if flags.contains(Flags::ACK) { says.ack.from(books.sent_to) } else { SeqNum(0) },
            flags,
            window: says.window.field(),
            options,
            ..samples::HEAD
        };
        self.arrive(&head, payload, Codepoint::of(says.ecn));
    }

    fn honest(&mut self, payload: u16, window: u16, fin: bool) {
        let flags = if fin { Flags::ACK | Flags::FIN } else { Flags::ACK };
        let (ack, sack) = (self.books.sent_to, SackBlocks::NONE);
        self.peer(flags, ack, window, sack, 4 * payload);
    }

    /// Everything up to a hole is acknowledged, and so much behind it is reported.
    fn hole(&mut self, skip: u32, reported: u32, window: u16) {
        let start = self.books.una + 4 * skip;
        let mut sack = SackBlocks::NONE;
        sack.push(SackBlock { start, end: start + 16 * reported });
        self.peer(Flags::ACK, self.books.una, window, sack, 0);
    }

    /// What the peer says at the place where its stream has come to.
    fn peer(&mut self, flags: Flags, ack: SeqNum, window: u16, sack: SackBlocks, payload: u16) {
        let stamps = Timestamps { value: self.now.as_millis() as u32, echo: self.books.stamp };
        let timestamps = self.books.stamped.then_some(stamps);
        let options = Options::Data(DataOptions { timestamps, sack });
        let seq = self.books.received_to();
        let head = Head { tuple: TUPLE, seq, ack, flags, window, options, ..samples::HEAD };
        self.arrive(&head, payload, Codepoint::NotEct);
    }

    /// A SYN-ACK, or a SYN that crosses ours.
    fn answer(&mut self, answer: &SynAnswer) {
        let mut flags = if answer.ack.is_some() { Flags::SYN | Flags::ACK } else { Flags::SYN };
        flags.set(Flags::ECE, answer.ecn);
        let echo = self.books.stamp;
        let head = Head {
            tuple: TUPLE,
            seq: IRS,
            ack: answer.ack.map_or(SeqNum(0), |off| SeqNum((ISS + 1).0.wrapping_add_signed((off / 32).into()))),
            flags,
            window: answer.window,
            options: Options::Syn(SynOptions {
                mss: Mss::announced(answer.mss),
                window_scale: answer.scale.map(WindowScale::clamped),
                sack_permitted: answer.sack,
                timestamps: answer.stamps.then_some(Timestamps { value: self.now.as_millis() as u32, echo }),
            }),
            ..samples::HEAD
        };
        self.arrive(&head, 0, Codepoint::NotEct);
    }

    fn arrive(&mut self, head: &Head, payload: u16, ecn: Codepoint) {
        let mut frame = vec![0; usize::from(PAYLOAD_AT)];
        self.books.payload(head.seq, payload, &mut frame);
        let Head { tuple, seq, ack, flags, window, options, marking: _ } = *head;
        let segment = Segment {
            link: samples::LINK,
            tuple,
            seq,
            ack,
            flags,
            window,
            ecn,
            options,
            payload: Span { start: PAYLOAD_AT, len: payload },
            unfinished_checksum: false,
        };
        if let Some(time_wait) = &mut self.time_wait {
            return self.books.waited(self.now, time_wait.on_segment(self.now, &segment));
        }
        let before = self.connection.state();
        let decision = self.connection.on_segment(self.now, &segment, &frame);
        // The segment that completes an open may have brought data already.
        if decision.events.contains(Events::CONNECTED) {
            self.books.connected(&self.connection.info(self.now));
        }
        self.books.arrived(&segment, &decision, before);
        if let Fate::Delivered(span) = decision.verdict.fate {
            assert_eq!(decision.verdict.reply, None, "the frame is the reader's");
            self.books.delivered(span.of(&frame));
        }
        self.decided(&decision);
    }

    /// Serves what a decision says, in the order that the connection asks for.
    fn decided(&mut self, decision: &Decision) {
        let events = decision.events;
        assert_eq!(
            events.contains(Events::FAILED),
            self.connection.failure().is_some() && events.contains(Events::CLOSED)
        );
        let mut reassembled = false;
        while let Some(bytes) = self.connection.take_reassembled() {
            reassembled = true;
            self.books.delivered(&bytes);
        }
        assert!(!reassembled || events.contains(Events::REASSEMBLED), "bytes that nobody was told of");
        if events.contains(Events::PEER_CLOSED) {
            self.books.peer_closed();
        }
        if events.contains(Events::SENT) {
            self.books.made_room(self.connection.take_acked());
        }
        self.books.replied(decision.verdict.reply.as_ref());
        if events.contains(Events::TIME_WAIT) {
            self.time_wait = Some(self.connection.time_wait(self.now));
        }
    }

    /// Time passes, and whatever is due runs: not for ever, at one time.
    fn pass(&mut self, span: Duration) {
        self.now += span;
        if self.time_wait.take_if(|waiting| waiting.deadline() <= self.now).is_some() {
            return;
        }
        for _ in 0..8 {
            let decision = self.connection.on_timer(self.now);
            assert!(!matches!(decision.verdict.fate, Fate::Delivered(_)));
            self.decided(&decision);
            if self.connection.deadline().is_none_or(|deadline| deadline > self.now) {
                return;
            }
            self.transmit(usize::MAX);
        }
        let left = self.connection.deadline().map(|deadline| deadline.since(self.now));
        assert!(left.is_none_or(|left| !left.is_zero()), "timers that never come to an end");
    }

    fn send(&mut self, len: u32) {
        let len = len.min(self.connection.send_space());
        let chunk = self.books.next_bytes(len);
        self.connection.send(self.now, chunk);
        let _ = self.connection.take_counts();
    }

    fn read(&mut self, len: u32) {
        let len = self.books.read(len);
        self.connection.consumed(self.now, len);
    }

    fn shut_down(&mut self) {
        let before = self.connection.state();
        self.connection.shutdown(self.now);
        self.books.shut(before);
    }

    fn close(&mut self) {
        let before = self.connection.state();
        let reset = self.connection.close(self.now);
        self.closed = true;
        self.books.shut(before);
        self.books.replied(reset.as_ref());
    }

    fn icmp(&mut self, offset: i16, kind: u8, mtu: u16) {
        let seq = SeqNum(self.books.una.0.wrapping_add_signed(offset.into()));
        let error = IcmpError { link: samples::LINK, tuple: TUPLE, seq, kind: icmp_kind(kind, mtu) };
        let decision = self.connection.on_icmp_error(self.now, &error);
        assert_eq!(decision.verdict.reply, None, "nothing answers an ICMP error");
        self.decided(&decision);
    }

    fn interface_mtu(&mut self, mss: u16) {
        let mss = Mss::announced(mss.clamp(88, 1_460)).unwrap_or(Mss::MIN);
        let config = synward_proto::connection::ConnectionConfig { mss, ..self.books.config.clone() };
        let new = Terms::from(&config);
        self.connection.on_interface_mtu(self.now, &self.terms, &new);
        self.terms = new;
    }

    /// Writes at most so many segments.
    fn transmit(&mut self, most: usize) {
        let mut frame = [0; HEADROOM + 1_500];
        let queued = self.connection.info(self.now).send_queue as usize;
        // Each byte twice, for a loss of everything, and some without any.
        let enough = 2 * queued + 16;
        for written in 0..most {
            let wanted = self.connection.wants_transmit(self.now);
            let len = self.connection.poll_transmit(self.now, &samples::LINK, &mut frame);
            assert_eq!(wanted, len.is_some(), "what is wanted is written");
            let Some(len) = len else { return };
            let _ = self.connection.take_counts();
            self.books.wrote(&frame[..len]);
            assert!(written < enough, "{written} segments for {queued} bytes");
        }
    }

    /// What holds at any time.
    fn check(&mut self) {
        let info = self.connection.info(self.now);
        if info.state == State::Closed {
            assert!(!self.connection.wants_transmit(self.now) && self.connection.deadline().is_none());
            return;
        }
        self.books.check(&info);
        let goes_on = self.connection.wants_transmit(self.now) || self.connection.deadline().is_some();
        let owes = match info.state {
            State::SynSent | State::FinWait1 | State::Closing | State::LastAck => true,
            State::FinWait2 => self.closed,
            State::Established | State::CloseWait => info.send_queue > 0,
            State::Closed => false,
        };
        assert!(goes_on || !owes, "something is outstanding, and nothing would send it: {info:?}");
    }

    /// The application leaves, and the peer is never heard again: the connection ends in its time.
    fn leave(&mut self) {
        self.close();
        let began = self.now;
        while !self.is_gone() {
            if self.time_wait.is_none() {
                self.transmit(usize::MAX);
            }
            let waiting = self.time_wait.as_ref().map(TimeWait::deadline);
            let Some(deadline) = waiting.or(self.connection.deadline()) else { break };
            self.pass(deadline.since(self.now));
            assert!(self.now.since(began) <= OVER_AFTER, "{:?}", self.connection.info(self.now));
        }
        assert!(self.is_gone(), "{:?}", self.connection.info(self.now));
    }
}

const TUPLE: synward_proto::Tuple = samples::peer(0, false);

/// What TIME-WAIT says of a segment, where it does not give way to a newer SYN.
fn settled(outcome: TimeWaitOutcome) -> Option<synward_proto::Verdict> {
    match outcome {
        TimeWaitOutcome::Settled(verdict) => Some(verdict),
        TimeWaitOutcome::Reopen => None,
    }
}
