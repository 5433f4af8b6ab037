//! What a connection has from the moment both SYNs are acknowledged, and how its application ends it.

use super::answer_limit::AnswerLimit;
use super::closing::Stage;
use super::config::{SMALL_MSS, SMALL_MSS_SEND_BUFFER, Settings};
use super::congestion::Congestion;
use super::ecn::EcnState;
use super::keepalive::KeepaliveState;
use super::path_mtu::PathMtu;
use super::persist::Persist;
use super::receiver::Receiver;
use super::rtt::Rtt;
use super::sender::{Patience, SendTimer, Sender};
use super::timers::{Timer, Timers};
use super::timestamps::TimestampClock;
use super::tuning::Tuning;
use super::{Decision, Events, Failure, TimeWait};
use crate::half_open::Negotiated;
use crate::segment::{DataOptions, SackBlocks};
use crate::{Counter, Counts, Flags, Head, Instant, Options, SeqNum, Tuple, Verdict};
use alloc::sync::Arc;
use core::mem;
use core::time::Duration;

/// Bytes that the timestamps option takes with its padding.
const TIMESTAMPS_LEN: u16 = 12;

/// How the handshake ended.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    /// What the SYNs agreed on.
    pub negotiated: Negotiated,
    /// The window of the peer's SYN-ACK; none yet for a connection that the peer opened.
    pub peer_window: u16,
    /// The window that our SYN or SYN-ACK offered.
    pub our_window: u16,
    /// What is known of the round trip.
    pub rtt: Rtt,
    /// How often our SYN or SYN-ACK timed out.
    pub syn_timeouts: u8,
    /// Whether the first segments are acknowledged at once.
    pub quick_acks: bool,
    /// The path's MTU, where it is known to be smaller than the interface's.
    pub path_mtu: Option<u16>,
}

/// Who is asked to act, on whose behalf: what every step needs and none changes.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub now: Instant,
    pub tuple: &'a Tuple,
    pub settings: &'a Settings,
}

/// A synchronised connection.
#[derive(Debug)]
pub(super) struct Synchronised {
    pub stage: Stage,
    /// Whether the application has closed: nobody reads any more.
    pub detached: bool,
    pub clock: Option<TimestampClock>,
    pub ecn: EcnState,
    pub sender: Sender,
    pub receiver: Receiver,
    pub timers: Timers,
    pub persist: Persist,
    pub keepalive: KeepaliveState,
    pub limit: AnswerLimit,
    pub path: PathMtu,
    /// What an ICMP error has said since the peer was last heard (Linux: `sk_err_soft`).
    pub soft_error: Option<Failure>,
    /// When the peer last sent something acceptable.
    pub heard: Instant,
    /// Counters not handed out yet.
    pub counts: Counts,
}

impl Synchronised {
    /// A connection in ESTABLISHED.
    pub fn new(now: Instant, tuple: &Tuple, opening: &Opening, settings: &mut Arc<Settings>) -> Self {
        let Opening { negotiated, peer_window, our_window, rtt, syn_timeouts, quick_acks, path_mtu } = opening;
        let Negotiated { iss, irs, send_mss, scales, sack, timestamps, ecn } = *negotiated;
        let path = PathMtu::new(now, send_mss, *path_mtu);
        let mss = path.mss(tuple, settings.mss);
        let mut counts = Counts::NONE;
        if mss < SMALL_MSS {
            let settings = Arc::make_mut(settings);
            settings.send_buffer = settings.send_buffer.min(SMALL_MSS_SEND_BUFFER);
            settings.send_buffer_max = settings.send_buffer;
            counts = Counts::of(&[Counter::SmallMss]);
        }
        let payload = if timestamps.is_some() { mss.saturating_sub(TIMESTAMPS_LEN) } else { mss };
        let (peer_scale, our_scale) = scales.map_or_else(Default::default, |scales| (scales.peer, scales.ours));
        let congestion = Congestion::new(settings.congestion, payload.into(), *syn_timeouts);
        let our_window = u32::from(*our_window);
        let tuning = Tuning::new(now, irs + 1, our_window, settings.receive_buffer, rtt.smoothed());
        let mut sender = Sender::new(iss + 1, payload, peer_scale, sack, rtt.clone(), congestion);
        sender.open_window(irs, u32::from(*peer_window));
        let mut connection = Self {
            stage: Stage::Established,
            detached: false,
            clock: timestamps.map(|clock| TimestampClock::new(now, clock)),
            ecn: EcnState::new(ecn),
            sender,
            receiver: Receiver::new(irs + 1, our_window, our_scale, tuning, settings.mss.get()),
            timers: Timers::OFF,
            persist: Persist::IDLE,
            keepalive: KeepaliveState::IDLE,
            limit: AnswerLimit::NEW,
            path,
            soft_error: None,
            heard: now,
            counts,
        };
        if !quick_acks {
            connection.receiver.acks.set_quick(false);
        }
        connection.start_keepalive(now, settings);
        connection
    }

    /// Raises counters.
    pub fn count(&mut self, counters: &[Counter]) {
        self.counts = self.counts.and(Counts::of(counters));
    }

    /// How short segments may be.
    pub fn patience(settings: &Settings) -> Patience {
        match settings {
            Settings { cork: true, .. } => Patience::Cork,
            Settings { nagle: true, .. } => Patience::Nagle,
            Settings { nagle: false, .. } => Patience::NoDelay,
        }
    }

    /// The head of a segment with ACK. Whatever it goes with, it acknowledges what is received and offers a window.
    pub fn head(&mut self, context: &Context<'_>, seq: SeqNum, flags: Flags) -> Head {
        let (window, counts) = self.receiver.advertise(context.settings);
        self.counts = self.counts.and(counts);
        self.timers.clear(Timer::DelayedAck);
        let timestamps = self.clock.map(|clock| clock.option(context.now));
        let options = Options::Data(DataOptions { timestamps, sack: self.sack_blocks() });
        self.receiver.blocks_reported();
        let (ack, mut flags) = (self.receiver.nxt(), flags | Flags::ACK);
        flags.set(Flags::ECE, self.ecn.is_echoing());
        Head { tuple: *context.tuple, seq, ack, flags, window, options, marking: context.settings.marking }
    }

    /// A bare acknowledgment.
    pub fn acknowledgment(&mut self, context: &Context<'_>) -> Head {
        self.head(context, self.sender.nxt(), Flags::empty())
    }

    /// A reset of our own accord (Linux: `tcp_send_active_reset`).
    pub fn reset(&mut self, context: &Context<'_>) -> Head {
        self.head(context, self.sender.nxt(), Flags::RST)
    }

    /// The SACK blocks that go on a segment sent now: as many as fit beside timestamps (RFC 2018, section 3).
    pub fn sack_blocks(&self) -> SackBlocks {
        match (self.sender.sack(), self.clock.is_some()) {
            (false, _) => SackBlocks::NONE,
            (true, true) => self.receiver.sack_blocks(3),
            (true, false) => self.receiver.sack_blocks(4),
        }
    }

    /// Applies what changed the largest segment. What is in flight stays as it is.
    pub fn resize_segments(&mut self, context: &Context<'_>) {
        let mss = self.path.mss(context.tuple, context.settings.mss);
        self.sender.resize(if self.clock.is_some() { mss.saturating_sub(TIMESTAMPS_LEN) } else { mss });
    }

    /// The largest segment, options included.
    pub fn mss(&self) -> u16 {
        self.sender.mss() + if self.clock.is_some() { TIMESTAMPS_LEN } else { 0 }
    }

    /// Leaves the synchronised states for `stage`: no timer runs any more.
    pub fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.timers.clear_all();
        self.persist = Persist::IDLE;
    }

    /// Starts and stops the timers that follow from the state, after whatever changed it.
    pub fn arm_timers(&mut self, now: Instant, settings: &Settings) {
        if self.stage.is_over() {
            return;
        }
        self.arm_send_timer(now, settings);
        if self.stage == Stage::FinWait2 && self.detached {
            self.timers
                .set_if_off(Timer::FinWait2, now + Duration::from(settings.linger.unwrap_or(settings.fin_wait_2)));
        }
    }

    fn arm_send_timer(&mut self, now: Instant, settings: &Settings) {
        let patience = Self::patience(settings);
        if self.sender.stuck(patience) {
            self.sender.stop_pacing();
            let interval = self.sender.rtt().backed_off(self.persist.backoff());
            return self.timers.set_if_off(Timer::Persist, now + interval);
        }
        self.persist = Persist::IDLE;
        match self.sender.send_timer(now, self.timers.running(Timer::SEND), patience) {
            SendTimer::Keep => {}
            SendTimer::Set(timer, at) => self.timers.set(timer, self.within_user_timeout(at, now, settings)),
            SendTimer::Off => self.timers.stop(Timer::SEND),
        }
    }

    /// The application sends no more (RFC 9293, section 3.10.4).
    pub fn shutdown(&mut self) {
        self.stage = self.stage.on_shutdown();
        self.sender.finish();
    }

    /// The application neither sends nor reads. The peer must learn of bytes that nobody will read (RFC 2525, section
    /// 2.17; Linux: `tcp_close`): then the reset is returned.
    pub fn close(&mut self, context: &Context<'_>) -> Option<Head> {
        if self.stage.is_over() || self.detached {
            return None;
        }
        if self.receiver.unread() > 0 {
            self.count(&[Counter::TCPAbortOnClose]);
            return self.end_with_reset(context);
        }
        self.detached = true;
        self.receiver.discard();
        self.shutdown();
        self.arm_timers(context.now, context.settings);
        None
    }

    /// Ends the connection at once, and counts why (RFC 9293, section 3.10.5).
    pub fn abort(&mut self, context: &Context<'_>, reason: Counter) -> Option<Head> {
        if self.stage.is_over() {
            return None;
        }
        self.count(&[reason]);
        self.end_with_reset(context)
    }

    /// Ends the connection at once for the room that it takes, which its application has not asked for.
    pub fn evict(&mut self, context: &Context<'_>) -> Decision {
        if self.stage.is_over() {
            return Decision::NOTHING;
        }
        let reply = self.abort(context, Counter::TCPAbortOnMemory);
        self.stage = Stage::Closed(Some(Failure::NoRoom));
        let verdict = Verdict { reply, ..Verdict::CONSUMED }.counting(mem::take(&mut self.counts));
        Decision { verdict, events: self.ending() }
    }

    /// TIME-WAIT's record of this connection.
    pub fn time_wait(&self, context: &Context<'_>) -> TimeWait {
        TimeWait {
            tuple: *context.tuple,
            snd_nxt: self.sender.nxt(),
            rcv_nxt: self.receiver.nxt(),
            window: self.receiver.window_field(),
            clock: self.clock,
            limit: AnswerLimit::NEW,
            length: context.settings.time_wait,
            expires: context.now + Duration::from(context.settings.time_wait),
        }
    }

    /// The events that say how the connection left the synchronised states, if it has.
    pub fn ending(&self) -> Events {
        match self.stage {
            Stage::TimeWait => Events::TIME_WAIT,
            Stage::Closed(None) => Events::CLOSED,
            Stage::Closed(Some(_)) => Events::CLOSED | Events::FAILED,
            Stage::Established
            | Stage::FinWait1
            | Stage::FinWait2
            | Stage::CloseWait
            | Stage::Closing
            | Stage::LastAck => Events::empty(),
        }
    }

    fn end_with_reset(&mut self, context: &Context<'_>) -> Option<Head> {
        let resets = self.stage.resets_on_abort(self.sender.has_unsent());
        if matches!(self.stage, Stage::Established | Stage::CloseWait) {
            self.count(&[Counter::EstabResets]);
        }
        let head = resets.then(|| self.reset(context));
        self.end(Stage::Closed(None));
        head
    }
}
