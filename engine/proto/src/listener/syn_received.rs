//! SYN-RECEIVED: RFC 9293, section 3.10.7.4, as far as it speaks of that state (Linux: `tcp_check_req`).

use super::{AcceptRoom, Arrival, Listener, Outcome};
use crate::half_open::{Clock, Negotiated};
use crate::segment::Timestamps;
use crate::syn_table::EntryId;
use crate::{Counter, Counts, DropReason, Flags, Segment, SeqNum, Verdict, reset};

impl Listener {
    /// A segment of a tuple that has an entry.
    pub(super) fn on_half_open<Room: AcceptRoom>(
        &mut self,
        arrival: &mut Arrival<'_, Room>,
        entry: EntryId,
    ) -> Outcome {
        let segment = arrival.segment;
        let table = &arrival.shared.table;
        let agreed = table.half_open(entry).negotiated;
        let window = table.offer(table.listener(entry)).window;

        // "Second, check the RST bit", before the acknowledgment: a RST need not carry one.
        if arrival.has(Flags::RST) {
            return Outcome::Settled(arrival.on_rst(entry, &agreed, window));
        }
        // The same SYN again: our SYN-ACK was lost, or is late.
        if is_bare_syn(segment) && segment.seq == agreed.irs && !is_old(segment, &agreed) {
            return Outcome::Settled(arrival.on_duplicate_syn(entry, &agreed));
        }
        // "Fifth, check the ACK field", before the sequence number, as RFC 9293 has it for every state that is not
        // synchronised (section 3.5.2, group 2): "If […] the incoming segment acknowledges something not yet sent […],
        // a reset is sent."
        if arrival.has(Flags::ACK) && segment.ack != agreed.iss + 1 {
            return self.on_stray_ack(arrival, Some(entry));
        }
        if let Some((reason, counts)) = arrival.unacceptable(entry, &agreed, window) {
            return Outcome::Settled(arrival.challenge(entry, &agreed, reason, counts));
        }
        // "Fourth, check the SYN bit: […] If the connection was initiated with a passive OPEN, then return this
        // connection to the LISTEN state". Linux says so to the peer.
        if arrival.has(Flags::SYN) {
            arrival.shared.table.remove(entry);
            let counts = Counts::of(&[Counter::AttemptFails, Counter::EmbryonicRsts]);
            return Outcome::Settled(Verdict {
                reply: reset::answer(segment),
                ..Verdict::dropped(DropReason::HalfOpenSyn).counting(counts)
            });
        }
        // "If the ACK bit is off, drop the segment and return."
        if !arrival.has(Flags::ACK) {
            return Outcome::Settled(Verdict::dropped(DropReason::HalfOpenNoAck));
        }
        self.complete(arrival, entry)
    }

    /// The third segment: "If SND.UNA < SEG.ACK =< SND.NXT, then enter ESTABLISHED state".
    fn complete<Room: AcceptRoom>(&self, arrival: &mut Arrival<'_, Room>, entry: EntryId) -> Outcome {
        let segment = arrival.segment;
        if !arrival.room.reserve() {
            let counts = Counts::of(&[Counter::ListenOverflows, Counter::ListenDrops]);
            let verdict = Verdict::dropped(DropReason::AckAcceptQueueFull).counting(counts);
            if !self.abort_on_overflow {
                return Outcome::Settled(verdict);
            }
            arrival.shared.table.remove(entry);
            let verdict = verdict.counting(Counts::of(&[Counter::EmbryonicRsts]));
            return Outcome::Settled(Verdict { reply: reset::answer(segment), ..verdict });
        }
        let mut half_open = arrival.shared.table.complete(entry, arrival.now);
        // RFC 7323, section 4.3: TS.Recent follows segments that begin at or before what was last acknowledged.
        let in_order = !segment.seq.after(half_open.negotiated.irs + 1);
        if let (Some(clock), Some(theirs), true) =
            (&mut half_open.negotiated.timestamps, segment.options.timestamps(), in_order)
        {
            clock.recent = theirs.value;
        }
        Outcome::Open(half_open, Counts::of(&[Counter::PassiveOpens]))
    }
}

impl<Room> Arrival<'_, Room> {
    /// RFC 5961, section 3, in SYN-RECEIVED: only a RST exactly where the next segment is awaited ends the handshake.
    fn on_rst(&mut self, entry: EntryId, agreed: &Negotiated, window: u16) -> Verdict {
        let next = agreed.irs + 1;
        if self.segment.seq == next {
            self.shared.table.remove(entry);
            return Verdict::CONSUMED.counting(Counts::of(&[Counter::AttemptFails, Counter::EmbryonicRsts]));
        }
        if !is_acceptable(self.segment, next, window) {
            return Verdict::dropped(DropReason::RstOutOfWindow);
        }
        let verdict = self.challenge(entry, agreed, DropReason::BlindRst, Counts::NONE);
        match verdict.reply {
            Some(_) => verdict.counting(Counts::of(&[Counter::TCPChallengeACK])),
            None => verdict,
        }
    }

    /// Sends the same SYN-ACK again, and waits as long as after its last sending.
    fn on_duplicate_syn(&mut self, entry: EntryId, agreed: &Negotiated) -> Verdict {
        let table = &mut self.shared.table;
        if !table.may_answer(entry, self.now) {
            return Verdict::dropped(DropReason::DuplicateSyn).counting(Counts::of(&[Counter::TCPACKSkippedSynRecv]));
        }
        table.restart_wait(entry, self.now);
        let offer = table.offer(table.listener(entry));
        Verdict::CONSUMED
            .reply(agreed.syn_ack(self.now, &self.segment.tuple, offer))
            .counting(Counts::of(&[Counter::RetransSegs, Counter::TCPSynRetrans]))
    }

    /// Drops an unacceptable segment, and answers it with an ACK unless the entry has answered one just before.
    fn challenge(&mut self, entry: EntryId, agreed: &Negotiated, reason: DropReason, counts: Counts) -> Verdict {
        let verdict = Verdict::dropped(reason).counting(counts);
        let table = &mut self.shared.table;
        if !table.may_answer(entry, self.now) {
            return verdict.counting(Counts::of(&[Counter::TCPACKSkippedSynRecv]));
        }
        let offer = table.offer(table.listener(entry));
        verdict.reply(agreed.challenge_ack(self.now, &self.segment.tuple, offer))
    }

    /// "First, check sequence number: […] If an incoming segment is not acceptable, an acknowledgment should be sent in
    /// reply"; and before that the timestamps (RFC 7323, section 5.3, R1). The reason, if it is not acceptable.
    fn unacceptable(&self, entry: EntryId, agreed: &Negotiated, window: u16) -> Option<(DropReason, Counts)> {
        let segment = self.segment;
        let stamps = agreed.timestamps.zip(segment.options.timestamps());
        if is_old(segment, agreed) {
            return Some((DropReason::Paws, Counts::of(&[Counter::PAWSEstab])));
        }
        if stamps.is_some_and(|(clock, theirs)| !self.could_echo(entry, &clock, &theirs)) {
            return Some((DropReason::HalfOpenBadEcho, Counts::of(&[Counter::TSEcrRejected])));
        }
        // A SYN-ACK that begins with the peer's SYN crossed ours: an old duplicate, whatever follows the SYN in it.
        let is_crossed = self.has(Flags::SYN) && segment.seq == agreed.irs;
        (is_crossed || !is_acceptable(segment, agreed.irs + 1, window))
            .then_some((DropReason::HalfOpenOutOfWindow, Counts::NONE))
    }

    /// Whether the peer can have seen the TSval that it echoes: one that we sent between our first SYN-ACK and now
    /// (Linux 6.15 and later: `tsecr_reject`). Zero is no echo.
    fn could_echo(&self, entry: EntryId, clock: &Clock, theirs: &Timestamps) -> bool {
        let first = self.shared.table.first_sent_millis(entry);
        let since_first = |millis: u32| millis.wrapping_sub(first);
        theirs.echo == 0
            || since_first(theirs.echo.wrapping_sub(clock.offset)) <= since_first(self.now.as_millis() as u32)
    }
}

/// SYN, without ACK.
fn is_bare_syn(segment: &Segment) -> bool {
    segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK)
}

/// Whether a segment carries an older timestamp than the SYN; as Linux has it, exactly 2³¹ is not older
/// (`tcp_paws_check`).
fn is_old(segment: &Segment, agreed: &Negotiated) -> bool {
    let stamps = agreed.timestamps.zip(segment.options.timestamps());
    stamps.is_some_and(|(clock, theirs)| clock.recent.wrapping_sub(theirs.value) as i32 > 0)
}

/// RFC 9293, section 3.4, table 6 (Linux: `tcp_in_window`, which also takes an empty segment at the far edge).
fn is_acceptable(segment: &Segment, next: SeqNum, window: u16) -> bool {
    let (start, end) = (segment.seq, segment.seq + segment.seq_len());
    let edge = next + u32::from(window);
    start == next || (end.after(next) && start.before(edge)) || (start == edge && end == edge)
}
