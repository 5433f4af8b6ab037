//! A connection after its handshake, or one that we open: RFC 9293, sections 3.10.7.3 and 3.10.7.4.
//!
//! The engine drives it from outside: [`Connection::on_segment`], [`Connection::on_timer`] and the application's calls
//! change state; [`Connection::poll_transmit`] then writes one segment at a time.
//!
//! Inside, `handshake` is SYN-SENT, `crossed` SYN-RECEIVED of an open of ours, and `synchronised` everything after it. `established` walks a segment through the
//! RFC's checks, `icmp` judges what is said about ours, `path_mtu` how large they may be, `timeouts` runs the timers, `transmit` finds the next segment; they act on a `sender` (with `send_queue`,
//! `rtt`, `recovery`, `congestion`), a `receiver` (with `reassembly`, `acknowledge`) and a `closing` stage.

mod acknowledge;
mod answer_limit;
mod closing;
mod config;
mod congestion;
mod crossed;
mod ecn;
mod established;
mod handshake;
mod icmp;
mod info;
mod keepalive;
mod options;
mod path_mtu;
mod persist;
mod rack;
mod reassembly;
mod receiver;
mod recovery;
mod rtt;
mod scoreboard;
mod send_queue;
mod sender;
mod synchronised;
mod time_wait;
mod timeouts;
mod timers;
mod timestamps;
mod transmit;
mod tuning;

#[cfg(test)]
mod tests;

pub use config::{ConnectionConfig, Keepalive, Terms};
pub use congestion::CongestionAlgorithm;
pub use ecn::Ecn;
pub use info::Info;
pub use options::{MAX_LINGER, MAX_SEGMENT, MIN_RECEIVE_BUFFER, MIN_SEND_BUFFER, SocketOption};
pub use recovery::CaState;
pub use time_wait::{Reuse, TimeWait, TimeWaitOutcome};

use crate::half_open::{Clock, HalfOpen};
use crate::{Counter, Counts, DropReason, Head, Instant, Link, Segment, SeqNum, Tuple, Verdict, reset};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use config::Settings;
use core::mem;
use established::Arrival;
use handshake::{Answer, Expiry, Leaving, SynSent};
use synchronised::{Context, Opening, Synchronised};
use timers::Timer;
use timestamps::TimestampClock;

/// The states of RFC 9293, figure 5, that a [`Connection`] can be in. LISTEN and SYN-RECEIVED belong to the listener,
/// TIME-WAIT to [`TimeWait`]. An open of ours that crosses one of the peer's counts as SYN-SENT until it is complete.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the RFC's own names")]
pub enum State {
    SynSent,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    /// Nothing more will happen: the engine removes it.
    Closed,
}

/// Why a connection ended other than by an orderly close. All but the first four and the last are what an ICMP error said about our
/// SYN, or about segments that nobody acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// The peer reset it (ECONNRESET).
    Reset,
    /// The peer reset it after its FIN (EPIPE).
    BrokenPipe,
    /// The peer refused our SYN (ECONNREFUSED).
    Refused,
    /// A timer gave it up (ETIMEDOUT).
    TimedOut,
    /// No way to the peer's network (ENETUNREACH).
    NetworkUnreachable,
    /// No way to the peer, or a filter on it (EHOSTUNREACH).
    HostUnreachable,
    /// There is no such host (EHOSTDOWN).
    HostUnknown,
    /// We are cut off ourselves (ENONET).
    Isolated,
    /// The peer has no TCP (ENOPROTOOPT).
    NoProtocol,
    /// A source route failed, though we ask for none (EOPNOTSUPP).
    SourceRoute,
    /// A filter forbids it; said by IPv6 only (EACCES).
    Prohibited,
    /// Somebody did not understand our SYN (EPROTO).
    NotUnderstood,
    /// We ended it for the room that it took, while its peer took nothing (ENOBUFS).
    NoRoom,
}

bitflags! {
    /// What the application or the engine should learn. More than one may be set.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Events: u8 {
        /// Our own SYN was answered: the connection is established.
        const CONNECTED = 0x01;
        /// Acknowledged bytes left the send buffer: [`Connection::take_acked`] says how many.
        const SENT = 0x02;
        /// Bytes that waited for a gap are in order now: [`Connection::take_reassembled`] gives them.
        const REASSEMBLED = 0x04;
        /// The peer's FIN is in order: after what was delivered comes end of file.
        const PEER_CLOSED = 0x08;
        /// The connection failed: [`Connection::failure`] says how.
        const FAILED = 0x10;
        /// TIME_WAIT begins: replace the connection by [`Connection::time_wait`].
        const TIME_WAIT = 0x20;
        /// The connection is over: remove it.
        const CLOSED = 0x40;
        /// The path's MTU is smaller than was known: [`Connection::path_mtu`] says it.
        const PATH_MTU = 0x80;
    }
}

/// What a connection decided about a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Decision {
    /// The frame, the immediate answer, the counters.
    pub verdict: Verdict,
    /// What to tell others.
    pub events: Events,
}

impl Decision {
    /// Nothing happened.
    const NOTHING: Self = Self { verdict: Verdict::CONSUMED, events: Events::empty() };

    /// Nothing but counters.
    fn counting(counters: &[Counter]) -> Self {
        Self { verdict: Verdict::CONSUMED.counting(Counts::of(counters)), events: Events::empty() }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    tuple: Tuple,
    settings: Arc<Settings>,
    phase: Phase,
}

/// Which facts a connection has.
#[derive(Debug)]
enum Phase {
    /// SYN-SENT.
    SynSent(SynSent),
    /// Both SYNs are acknowledged.
    Synchronised(Synchronised),
    /// CLOSED without ever having been synchronised.
    NeverOpened(Option<Failure>),
}

// Connections are many; what is rare (bytes in flight, disorder) is on the heap while it lasts.
const _: () = assert!(size_of::<Connection>() <= 336);

impl Connection {
    /// A connection from a completed handshake. It has not seen the third segment yet: give it to
    /// [`on_segment`](Self::on_segment) next.
    pub fn accept(now: Instant, tuple: Tuple, half_open: &HalfOpen, terms: &Terms) -> Self {
        let mut settings = Arc::clone(&terms.0);
        let opening = Opening {
            negotiated: half_open.negotiated,
            peer_window: 0,
            our_window: receiver::syn_window(settings.first_window()),
            rtt: rtt::Rtt::of_handshake(now, half_open.round_trip),
            syn_timeouts: half_open.timeouts,
            quick_acks: settings.quick_acks,
            path_mtu: None,
        };
        let synchronised = Synchronised::new(now, &tuple, &opening, &mut settings);
        Self { tuple, settings, phase: Phase::Synchronised(synchronised) }
    }

    /// A connection that opens from here: SYN-SENT, its SYN due at once.
    pub fn connect(now: Instant, tuple: Tuple, iss: SeqNum, timestamp_offset: u32, terms: &Terms) -> Self {
        let clock = TimestampClock::new(now, Clock { recent: 0, offset: timestamp_offset });
        Self { tuple, settings: Arc::clone(&terms.0), phase: Phase::SynSent(SynSent::new(now, iss, clock, &terms.0)) }
    }

    /// A connection that opens from here in place of one in TIME-WAIT, whose clock and sequence space it continues.
    pub fn reconnect(now: Instant, reuse: &Reuse, terms: &Terms) -> Self {
        let Reuse { tuple, iss, clock } = *reuse;
        let mut syn_sent = SynSent::new(now, iss, clock, &terms.0);
        syn_sent.counts = syn_sent.counts.and(Counts::of(&[Counter::TWRecycled]));
        Self { tuple, settings: Arc::clone(&terms.0), phase: Phase::SynSent(syn_sent) }
    }

    /// Takes a segment of this connection. `frame` is the frame it was parsed from.
    ///
    /// Of the events, [`Events::REASSEMBLED`] is to be served first: the next segment may deliver what follows.
    pub fn on_segment(&mut self, now: Instant, segment: &Segment, frame: &[u8]) -> Decision {
        let Self { tuple, settings, phase } = self;
        let context = Context { now, tuple, settings };
        match phase {
            Phase::Synchronised(synchronised) => synchronised.on_segment(&Arrival { context, segment, frame }),
            Phase::SynSent(syn_sent) => match syn_sent.on_segment(&context, segment) {
                Answer::Wait(verdict) => Decision { verdict, events: Events::empty() },
                Answer::Refused => self.fail_to_open(Failure::Refused, Counts::NONE),
                Answer::Open(opening) => {
                    let leaving = syn_sent.leaving;
                    let decision = self.open(now, &opening);
                    self.schedule_third_segment(now, opening.quick_acks);
                    self.leave(now, leaving);
                    decision
                }
                Answer::Complete(opening) => {
                    let leaving = syn_sent.leaving;
                    let opened = self.open(now, &opening);
                    self.leave(now, leaving);
                    let decision = self.on_segment(now, segment, frame);
                    let verdict = decision.verdict.counting(opened.verdict.counts);
                    Decision { verdict, events: opened.events | decision.events }
                }
            },
            Phase::NeverOpened(_) => {
                let verdict = Verdict { reply: reset::answer(segment), ..Verdict::dropped(DropReason::NoListener) };
                Decision { verdict, events: Events::CLOSED }
            }
        }
    }

    /// When [`on_timer`](Self::on_timer) is next due; `None` when nothing is running.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::SynSent(syn_sent) => syn_sent.deadline(),
            Phase::Synchronised(synchronised) => synchronised.deadline(),
            Phase::NeverOpened(_) => None,
        }
    }

    /// Runs whatever timer is due at `now`. Calling it early is harmless. A reply in the verdict is a reset to send.
    pub fn on_timer(&mut self, now: Instant) -> Decision {
        let Self { tuple, settings, phase } = self;
        match phase {
            Phase::Synchronised(synchronised) => synchronised.on_timer(&Context { now, tuple, settings }),
            Phase::SynSent(syn_sent) => match syn_sent.on_timer(now, settings.syn_retries) {
                Expiry::Early => Decision::NOTHING,
                Expiry::Again => Decision::counting(&[Counter::TCPTimeouts]),
                Expiry::GiveUp => self.fail_to_open(Failure::TimedOut, Counts::of(&[Counter::TCPAbortOnTimeout])),
            },
            Phase::NeverOpened(_) => Decision::NOTHING,
        }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) would write a segment now.
    pub fn wants_transmit(&self, now: Instant) -> bool {
        match &self.phase {
            Phase::SynSent(syn_sent) => syn_sent.wants_transmit(),
            Phase::Synchronised(synchronised) => synchronised.wants_transmit(&self.context(now)),
            Phase::NeverOpened(_) => false,
        }
    }

    /// Writes the next segment into `frame` and returns the frame's length; `None` when nothing is due. The frame must
    /// hold [`HEADROOM`](crate::wire::HEADROOM) bytes and a segment of the configured MSS. What it raises is in
    /// [`take_counts`](Self::take_counts).
    pub fn poll_transmit(&mut self, now: Instant, link: &Link, frame: &mut [u8]) -> Option<usize> {
        let Self { tuple, settings, phase } = self;
        let context = Context { now, tuple, settings };
        match phase {
            Phase::SynSent(syn_sent) => syn_sent.transmit(&context, link, frame),
            Phase::Synchronised(synchronised) => synchronised.transmit(&context, link, frame),
            Phase::NeverOpened(_) => None,
        }
    }

    /// Counters to raise by one for what [`poll_transmit`](Self::poll_transmit) wrote (whether it was a retransmission
    /// among them) and for what `close`, `abort` and `shutdown` did since the last call. The engine asks after each of
    /// them.
    pub fn take_counts(&mut self) -> Counts {
        match &mut self.phase {
            Phase::SynSent(syn_sent) => mem::take(&mut syn_sent.counts),
            Phase::Synchronised(synchronised) => mem::take(&mut synchronised.counts),
            Phase::NeverOpened(_) => Counts::NONE,
        }
    }

    /// Bytes that [`send`](Self::send) would take now.
    pub fn send_space(&self) -> u32 {
        match &self.phase {
            Phase::Synchronised(synchronised) if synchronised.sender.is_open() && !synchronised.stage.is_over() => {
                synchronised.sender.buffer(self.settings.send_buffer).saturating_sub(synchronised.sender.queued())
            }
            Phase::Synchronised(_) | Phase::SynSent(_) | Phase::NeverOpened(_) => 0,
        }
    }

    /// Queues bytes to send; the caller keeps within [`send_space`](Self::send_space). Ignored before the connection is
    /// established, after `shutdown` and once it is over.
    pub fn send(&mut self, now: Instant, chunk: Vec<u8>) {
        let Self { tuple, settings, phase } = self;
        if let Phase::Synchronised(synchronised) = phase
            && !synchronised.stage.is_over()
        {
            synchronised.expire_path(&Context { now, tuple, settings });
            synchronised.sender.push(now, chunk);
            synchronised.arm_timers(now, settings);
        }
    }

    /// Bytes by which the send buffer has more room since the last call: those that were acknowledged, and those by which it has
    /// grown meanwhile.
    pub fn take_acked(&mut self) -> u32 {
        self.synchronised().map_or(0, |synchronised| synchronised.sender.take_freed())
    }

    /// Bytes that have become in order after waiting for a gap; call until `None`.
    pub fn take_reassembled(&mut self) -> Option<Vec<u8>> {
        self.synchronised()?.receiver.take_reassembled()
    }

    /// The application has read `bytes` of what was delivered: the window may open.
    pub fn consumed(&mut self, now: Instant, bytes: u32) {
        if let Phase::Synchronised(synchronised) = &mut self.phase {
            let receiver = &mut synchronised.receiver;
            if receiver.consumed(now, bytes, &self.settings) {
                receiver.acks.due = true;
            }
        }
    }

    /// Sends the third segment of a handshake if it still waits for bytes to carry it: none will come soon.
    pub fn acknowledge_syn(&mut self) {
        if let Some(synchronised) = self.synchronised()
            && synchronised.timers.runs(Timer::DelayedAck)
            // Nothing but the SYN is owed an acknowledgment.
            && synchronised.receiver.nxt() == synchronised.receiver.acked()
        {
            synchronised.timers.clear(Timer::DelayedAck);
            synchronised.receiver.acks.due = true;
        }
    }

    /// The application sends no more: FIN follows the queued bytes. An open that is not answered yet ends; once the SYNs have
    /// crossed, the FIN follows the handshake.
    pub fn shutdown(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Synchronised(synchronised) => {
                synchronised.shutdown();
                synchronised.arm_timers(now, &self.settings);
            }
            Phase::SynSent(syn_sent) if syn_sent.crossed.is_some() => syn_sent.leaving = Leaving::Shutdown,
            Phase::SynSent(_) => self.phase = Phase::NeverOpened(None),
            Phase::NeverOpened(_) => {}
        }
    }

    /// The application neither sends nor reads any more. With unread bytes this resets (RFC 9293, section 3.6.1;
    /// RFC 2525, section 2.17): the reset to send is returned.
    pub fn close(&mut self, now: Instant) -> Option<Head> {
        let Self { tuple, settings, phase } = self;
        match phase {
            Phase::Synchronised(synchronised) => synchronised.close(&Context { now, tuple, settings }),
            Phase::SynSent(syn_sent) if syn_sent.crossed.is_some() => {
                syn_sent.leaving = Leaving::Close;
                None
            }
            Phase::SynSent(_) => {
                self.phase = Phase::NeverOpened(None);
                None
            }
            Phase::NeverOpened(_) => None,
        }
    }

    /// Ends the connection at once; the reset to send is returned, where the state sends one.
    pub fn abort(&mut self) -> Option<Head> {
        self.abort_for(Counter::TCPAbortOnLinger)
    }

    /// As [`abort`](Self::abort), instead of a close: too many closed connections wait for their peers (Linux:
    /// `tcp_check_oom`).
    pub fn abort_orphan(&mut self) -> Option<Head> {
        self.abort_for(Counter::TCPAbortOnMemory)
    }

    /// Bytes of payload that it holds: unsent, not acknowledged, unread, and what waits for a gap to close, with what that costs
    /// besides.
    pub fn held(&self) -> u32 {
        match &self.phase {
            Phase::Synchronised(Synchronised { sender, receiver, .. }) => {
                sender.queued().saturating_add(receiver.held())
            }
            Phase::SynSent(_) | Phase::NeverOpened(_) => 0,
        }
    }

    /// Drops what waits for a gap to close, to make room; true when there was something. The peer still has it (Linux:
    /// `tcp_prune_ofo_queue`).
    pub fn prune(&mut self) -> bool {
        self.synchronised().is_some_and(|synchronised| {
            let pruned = synchronised.receiver.prune();
            if pruned {
                synchronised.count(&[Counter::OfoPruned]);
            }
            pruned
        })
    }

    /// Ends the connection for the room that it takes, which an administrator may (RFC 9293, section 3.8.6.1). A reply in the
    /// verdict is a reset to send.
    pub fn evict(&mut self, now: Instant) -> Decision {
        let Self { tuple, settings, phase } = self;
        match phase {
            Phase::Synchronised(synchronised) => synchronised.evict(&Context { now, tuple, settings }),
            Phase::SynSent(_) | Phase::NeverOpened(_) => Decision::NOTHING,
        }
    }

    /// Lets go of what was queued to be sent, and of what waits for a gap: the connection is over, and only its reader is yet to
    /// learn it.
    pub fn discard(&mut self) {
        if let Some(synchronised) = self.synchronised() {
            debug_assert!(synchronised.stage.is_over(), "nothing more will happen to it");
            synchronised.sender.discard();
            synchronised.receiver.discard();
        }
    }

    fn abort_for(&mut self, reason: Counter) -> Option<Head> {
        let Self { tuple, settings, phase } = self;
        match phase {
            Phase::Synchronised(synchronised) => {
                // The latest time that this connection knows of is good enough for the timestamp of a reset.
                let now = synchronised.heard.max(synchronised.sender.last_sent());
                synchronised.abort(&Context { now, tuple, settings }, reason)
            }
            Phase::SynSent(syn_sent) => {
                let reset = syn_sent.reset(tuple);
                self.phase = Phase::NeverOpened(None);
                reset
            }
            Phase::NeverOpened(_) => None,
        }
    }

    /// Its two ends.
    pub fn tuple(&self) -> &Tuple {
        &self.tuple
    }

    /// The state.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::SynSent(_) => State::SynSent,
            Phase::Synchronised(synchronised) => synchronised.stage.state(),
            Phase::NeverOpened(_) => State::Closed,
        }
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        match &self.phase {
            Phase::SynSent(_) => None,
            Phase::Synchronised(synchronised) => synchronised.stage.failure(),
            Phase::NeverOpened(failure) => *failure,
        }
    }

    /// What remains once [`Events::TIME_WAIT`] was reported.
    pub fn time_wait(&self, now: Instant) -> TimeWait {
        let context = self.context(now);
        match &self.phase {
            Phase::Synchronised(synchronised) => synchronised.time_wait(&context),
            Phase::SynSent(_) | Phase::NeverOpened(_) => TimeWait::over(&context),
        }
    }

    /// The path's MTU, where it is known to be smaller than the interface's.
    pub fn path_mtu(&self) -> Option<u16> {
        match &self.phase {
            Phase::SynSent(syn_sent) => syn_sent.path_mtu,
            Phase::Synchronised(synchronised) => synchronised.path.limit(),
            Phase::NeverOpened(_) => None,
        }
    }

    /// Begins with a path that is known not to carry more than `mtu` bytes. The SYN announces the interface's MSS all the
    /// same: the way back may be wider.
    pub fn begin_with_path_mtu(&mut self, now: Instant, mtu: u16) {
        let Self { tuple, settings, phase } = self;
        match phase {
            Phase::SynSent(syn_sent) => syn_sent.path_mtu = Some(mtu),
            Phase::Synchronised(synchronised) => {
                synchronised.path.lower(now, mtu);
                synchronised.resize_segments(&Context { now, tuple, settings });
            }
            Phase::NeverOpened(_) => {}
        }
    }

    /// The interface's MTU has changed: `new` are the terms of connections made from now on, `old` those of connections
    /// made before. What is in flight stays as it is; if it does not arrive, it is sent again in segments of the new size.
    pub fn on_interface_mtu(&mut self, now: Instant, old: &Terms, new: &Terms) {
        if Arc::ptr_eq(&self.settings, &old.0) {
            self.settings = Arc::clone(&new.0);
        } else {
            // One that is smaller than the interface's is the application's.
            let limited = self.settings.mss < old.0.mss;
            let mss = if limited { self.settings.mss.min(new.0.mss) } else { new.0.mss };
            Arc::make_mut(&mut self.settings).mss = mss;
        }
        let Self { tuple, settings, phase } = self;
        if let Phase::Synchronised(synchronised) = phase {
            synchronised.path.resized();
            synchronised.resize_segments(&Context { now, tuple, settings });
            // What was a whole segment may be a short one now, which waits.
            synchronised.arm_timers(now, settings);
        }
    }

    /// What `ss -i` would show.
    pub fn info(&self, now: Instant) -> Info {
        match &self.phase {
            Phase::SynSent(syn_sent) => Info::of_open(now, syn_sent, &self.settings),
            Phase::Synchronised(synchronised) => Info::of_synchronised(now, synchronised),
            Phase::NeverOpened(_) => Info::of_closed(),
        }
    }

    /// Our SYN was answered (RFC 9293, section 3.10.7.3, fourth check).
    fn open(&mut self, now: Instant, opening: &Opening) -> Decision {
        let mut synchronised = Synchronised::new(now, &self.tuple, opening, &mut self.settings);
        let counts = mem::take(&mut synchronised.counts);
        self.phase = Phase::Synchronised(synchronised);
        Decision { verdict: Verdict::CONSUMED.counting(counts), events: Events::CONNECTED }
    }

    /// The connection is open, and its application may have left meanwhile.
    fn leave(&mut self, now: Instant, leaving: Leaving) {
        match leaving {
            Leaving::Stays => {}
            Leaving::Shutdown => self.shutdown(now),
            Leaving::Close => {
                let reset = self.close(now);
                debug_assert_eq!(reset, None, "nothing was received that it could have left unread");
            }
        }
    }

    /// At once; or, where the first bytes are about to follow, with them (Linux: `tcp_rcv_synsent_state_process`, with
    /// `sk_write_pending`).
    fn schedule_third_segment(&mut self, now: Instant, at_once: bool) {
        let Some(synchronised) = self.synchronised() else { return };
        if at_once {
            synchronised.receiver.acks.due = true;
        } else {
            synchronised.timers.set(Timer::DelayedAck, now + acknowledge::DELAY);
        }
    }

    fn fail_to_open(&mut self, failure: Failure, counts: Counts) -> Decision {
        self.phase = Phase::NeverOpened(Some(failure));
        let verdict = Verdict::CONSUMED.counting(counts).counting(Counts::of(&[Counter::AttemptFails]));
        Decision { verdict, events: Events::FAILED | Events::CLOSED }
    }

    fn synchronised(&mut self) -> Option<&mut Synchronised> {
        match &mut self.phase {
            Phase::Synchronised(synchronised) => Some(synchronised),
            Phase::SynSent(_) | Phase::NeverOpened(_) => None,
        }
    }

    fn context(&self, now: Instant) -> Context<'_> {
        Context { now, tuple: &self.tuple, settings: &self.settings }
    }
}
