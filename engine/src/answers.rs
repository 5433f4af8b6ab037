//! Questions about the tables, answered in slices so that ten thousand connections stall nobody.

use crate::bell::Bell;
use crate::connections::Entry;
use crate::handoff::Side;
use crate::observe::{ConnectionRow, ListenerRow};
use crate::shard::Shard;
use crate::time_waits::TimeWaitEntry;
use crossbeam::channel::{Sender, TrySendError};
use crossbeam::queue::ArrayQueue;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use synward_proto::Instant;
use synward_proto::connection::{Info, State};

/// Rows told per turn.
const ROWS_PER_TURN: usize = 64;
/// Places looked at per turn, rows or not.
const PLACES_PER_TURN: usize = 2048;
/// How long a part of an answer may lie there before the rest is given up: others wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions that may wait.
const QUESTIONS: usize = 16;

/// A question and where the answer goes.
#[derive(Debug)]
pub(crate) enum Question {
    /// All listeners.
    Listeners(Sender<Vec<ListenerRow>>),
    /// All connections, those in TIME-WAIT last.
    Connections(Sender<Vec<ConnectionRow>>),
}

/// Where questions wait for the shard.
#[derive(Debug)]
pub(crate) struct Mailbox {
    questions: ArrayQueue<Question>,
    closed: AtomicBool,
    shard: Arc<Side>,
}

impl Mailbox {
    /// An empty mailbox of a shard.
    pub(crate) fn new(shard: Arc<Side>) -> Arc<Self> {
        Arc::new(Self { questions: ArrayQueue::new(QUESTIONS), closed: AtomicBool::new(false), shard })
    }

    /// Leaves a question; false when too many wait.
    pub(crate) fn ask(&self, question: Question) -> bool {
        let asked = self.questions.push(question).is_ok();
        self.bell().ring();
        // Whoever closes the mailbox empties it afterwards, and so does whoever finds it closed: no question stays.
        if self.closed.load(Ordering::SeqCst) {
            self.empty();
        }
        asked
    }

    /// The shard's bell, to be rung after taking a part of an answer.
    pub(crate) fn bell(&self) -> &Bell {
        &self.shard.bell
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.empty();
    }

    fn empty(&self) {
        while self.questions.pop().is_some() {}
    }
}

/// The question being answered, and the places not looked at yet.
#[derive(Debug)]
struct Answer {
    question: Question,
    /// Indices of connections or listeners.
    places: Range<u32>,
    /// Indices of entries in TIME-WAIT.
    time_waits: Range<u32>,
    /// When a part of it was last taken.
    moved: Instant,
}

impl Answer {
    fn is_blocked(&self) -> bool {
        match &self.question {
            Question::Listeners(to) => to.is_full(),
            Question::Connections(to) => to.is_full(),
        }
    }
}

/// The shard's side of the mailbox.
#[derive(Debug)]
pub(crate) struct Answers {
    mailbox: Arc<Mailbox>,
    current: Option<Answer>,
}

impl Answers {
    /// Nothing asked yet.
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox, current: None }
    }

    /// Whether there is something to answer, and somebody who takes it now.
    pub(crate) fn has_work(&self) -> bool {
        match &self.current {
            Some(answer) => !answer.is_blocked(),
            None => !self.mailbox.questions.is_empty(),
        }
    }
}

impl Drop for Answers {
    /// Those who wait for an answer learn that none will come.
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

impl Shard {
    /// Answers a part of a question. True when something was done and more is left.
    pub(crate) fn answer_questions(&mut self, now: Instant) -> bool {
        self.answers.current.take_if(|answer| answer.is_blocked() && now.since(answer.moved) >= PATIENCE);
        if !self.answers.has_work() {
            return false;
        }
        let Some(mut answer) = self.answers.current.take().or_else(|| self.next_answer(now)) else { return false };
        answer.moved = now;
        let Answer { question, places, time_waits, moved: _ } = &mut answer;
        let goes_on = match question {
            Question::Listeners(to) => {
                let rows = self.listener_rows(now, places);
                tell(to, rows, places.len() + time_waits.len() == 0)
            }
            Question::Connections(to) => {
                let rows = self.connection_rows(now, places, time_waits);
                tell(to, rows, places.len() + time_waits.len() == 0)
            }
        };
        if goes_on {
            self.answers.current = Some(answer);
        }
        self.answers.has_work()
    }

    fn next_answer(&self, now: Instant) -> Option<Answer> {
        let question = self.answers.mailbox.questions.pop()?;
        let (places, time_waits) = match &question {
            Question::Listeners(_) => (self.listeners.slots(), 0),
            Question::Connections(_) => (self.connections.limit(), self.connections.time_waits().limit()),
        };
        // Both limits were 32-bit numbers when they were set.
        Some(Answer { question, places: 0..places as u32, time_waits: 0..time_waits as u32, moved: now })
    }

    fn listener_rows(&self, now: Instant, places: &mut Range<u32>) -> Vec<ListenerRow> {
        let row = |slot| {
            let entry = self.listeners.get(slot)?;
            let syn_queue = self.half_opens.table.queue(entry.listener.id());
            Some(ListenerRow {
                local: entry.listener.local().to_string(),
                accept_queue: entry.shared.len(),
                accept_queue_limit: entry.shared.limit(),
                syn_queue: syn_queue.len,
                syn_queue_limit: syn_queue.limit,
                cookies_active: entry.listener.sends_cookies(now, &self.half_opens),
            })
        };
        places.by_ref().take(PLACES_PER_TURN).filter_map(row).take(ROWS_PER_TURN).collect()
    }

    fn connection_rows(
        &self,
        now: Instant,
        places: &mut Range<u32>,
        time_waits: &mut Range<u32>,
    ) -> Vec<ConnectionRow> {
        let (mut rows, mut looked) = (Vec::new(), 0);
        while rows.len() < ROWS_PER_TURN && looked < PLACES_PER_TURN {
            looked += 1;
            if let Some(index) = places.next() {
                // One that is over is no connection any more; only its worker has not been told yet.
                let entry = self.connections.get(index).filter(|entry| !entry.outbox.over);
                rows.extend(entry.map(|entry| connection_row(entry, now)));
            } else if let Some(index) = time_waits.next() {
                let entry = self.connections.time_waits().get(index);
                rows.extend(entry.map(|entry| time_wait_row(entry, now)));
            } else {
                break;
            }
        }
        rows
    }
}

/// Passes rows on, and no rows as the sign that these were all; true when there is more to pass on. The caller has seen that there is
/// room for one message.
fn tell<Row>(to: &Sender<Vec<Row>>, rows: Vec<Row>, seen_all: bool) -> bool {
    if rows.is_empty() && !seen_all {
        return true;
    }
    let last = rows.is_empty();
    let heard = !matches!(to.try_send(rows), Err(TrySendError::Disconnected(_)));
    heard && !last
}

fn connection_row(entry: &Entry, now: Instant) -> ConnectionRow {
    let Info {
        state,
        recv_queue,
        send_queue,
        srtt,
        rttvar: _,
        rto,
        cwnd,
        ssthresh,
        send_window,
        receive_window,
        mss,
        timestamps,
        sack,
        scales,
        retransmits,
        timer,
        ..
    } = entry.connection.info(now);
    let tuple = entry.connection.tuple();
    ConnectionRow {
        state: state_name(state),
        local: tuple.local.to_string(),
        remote: tuple.remote.to_string(),
        recv_queue,
        send_queue,
        srtt_us: srtt.map(|span| span.as_micros() as u64),
        rto_ms: rto.as_millis() as u64,
        cwnd,
        ssthresh,
        send_window,
        receive_window,
        mss,
        timestamps,
        sack,
        peer_scale: scales.peer.shift(),
        our_scale: scales.ours.shift(),
        retransmits,
        timer: timer.map(|(name, _)| name),
        timer_ms: timer.map(|(_, left)| left.as_millis() as u64),
        frames_held: entry.frames_held,
    }
}

fn time_wait_row(entry: &TimeWaitEntry, now: Instant) -> ConnectionRow {
    ConnectionRow {
        state: "TIME-WAIT",
        local: entry.tuple.local.to_string(),
        remote: entry.tuple.remote.to_string(),
        timer: Some("timewait"),
        timer_ms: Some(entry.state.deadline().since(now).as_millis() as u64),
        ..ConnectionRow::default()
    }
}

/// The word that `ss` uses.
fn state_name(state: State) -> &'static str {
    match state {
        State::SynSent => "SYN-SENT",
        State::Established => "ESTAB",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::CloseWait => "CLOSE-WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST-ACK",
        State::Closed => "UNCONN",
    }
}
