//! LISTEN: RFC 9293, section 3.10.7.2.

use super::{AcceptRoom, Arrival, HalfOpens, Listener, Outcome};
use crate::flood_guard::{CookieTimestamps, Overflow};
use crate::half_open::{HalfOpen, Negotiated, Syn};
use crate::syn_cookie::Echo;
use crate::syn_table::{EntryId, Inserted, Newcomer, Refused, Vacancy};
use crate::{Counter, Counts, DropReason, Flags, Head, Options, SeqNum, Verdict};

impl Listener {
    /// A segment of a tuple that has no entry.
    pub(super) fn on_listen<Room: AcceptRoom>(&mut self, arrival: &mut Arrival<'_, Room>, vacancy: Vacancy) -> Outcome {
        // "First, check for a RST: An incoming RST segment could not be valid since it could not have been sent in
        // response to anything sent by this incarnation of the connection. An incoming RST should be ignored."
        if arrival.has(Flags::RST) {
            return Outcome::Settled(Verdict::dropped(DropReason::StrayRst));
        }
        // "Second, check for an ACK: Any acknowledgment is bad if it arrives on a connection still in the LISTEN state.
        // An acceptable reset segment should be formed for any arriving ACK-bearing segment." Unless it is a cookie.
        if arrival.has(Flags::ACK) {
            return match arrival.has(Flags::SYN) {
                true => arrival.refuse(DropReason::NotASyn, Counts::NONE),
                false => self.on_stray_ack(arrival, None),
            };
        }
        Outcome::Settled(match arrival.segment.options {
            // "Third, check for a SYN". One that ends what it begins is none (Linux: `tcp_rcv_state_process`).
            Options::Syn(_) if arrival.has(Flags::FIN) => Verdict::dropped(DropReason::TcpFlags),
            Options::Syn(options) => {
                let syn = Syn::of(arrival.segment, &options);
                self.on_syn(arrival, vacancy, &syn)
            }
            // "Fourth, other data or control: […] drop the segment, and return."
            Options::Data(_) => Verdict::dropped(DropReason::NotASyn),
        })
    }

    /// A new SYN. Whatever data came with it is left to be sent again (RFC 9293, section 3.10.7.2, third).
    fn on_syn<Room: AcceptRoom>(&mut self, arrival: &mut Arrival<'_, Room>, vacancy: Vacancy, syn: &Syn) -> Verdict {
        let queue = arrival.shared.table.queue(self.id);
        let overflow = match self.guard.admit(arrival.now, queue, arrival.room.is_full()) {
            Err(overflow) => overflow,
            Ok(()) => match self.remember(arrival, vacancy, syn) {
                Ok(verdict) => return verdict,
                Err(Refused::LinksExhausted) => self.guard.overflow(),
                Err(Refused::PrefixFull) => self.guard.prefix_full(),
            },
        };
        match overflow {
            Overflow::Cookie(counts) => {
                self.guard.cookie_sent(arrival.now);
                self.send_cookie(arrival, syn, counts)
            }
            Overflow::Drop(reason, counts) => Verdict::dropped(reason).counting(counts),
        }
    }

    /// Gives a SYN an entry and answers it.
    fn remember<Room>(&self, arrival: &mut Arrival<'_, Room>, vacancy: Vacancy, syn: &Syn) -> Result<Verdict, Refused> {
        let Arrival { now, segment, ref mut shared, .. } = *arrival;
        let iss = shared.secrets.isn(now, &syn.tuple);
        let offset = match syn.options.timestamps {
            Some(_) => shared.secrets.timestamp_offset(syn.tuple.local.addr, syn.tuple.remote.addr),
            None => 0,
        };
        let offer = shared.table.offer(self.id);
        let negotiated = Negotiated::new(syn, offer, iss, offset);
        let syn_ack = negotiated.syn_ack(now, &syn.tuple, offer);
        let verdict = Verdict::CONSUMED.reply(syn_ack);
        let newcomer = Newcomer { listener: self.id, tuple: &syn.tuple, link: &segment.link, negotiated: &negotiated };
        Ok(match shared.table.insert(now, vacancy, &newcomer)? {
            Inserted::Free => verdict,
            Inserted::Evicting => verdict.counting(Counts::of(&[Counter::HalfOpenEvicted])),
        })
    }

    /// Answers a SYN and forgets it.
    pub(super) fn send_cookie<Room: AcceptRoom>(
        &self,
        arrival: &mut Arrival<'_, Room>,
        syn: &Syn,
        counts: Counts,
    ) -> Verdict {
        let Arrival { now, shared: &mut HalfOpens { ref table, ref mut cookies, .. }, .. } = *arrival;
        let offer = table.offer(self.id);
        let agreed = Negotiated::new(syn, offer, SeqNum(0), 0);
        if self.cookie_timestamps == CookieTimestamps::Required && agreed.timestamps.is_none() {
            let counts = Counts::of(&[Counter::TCPReqQFullDrop, Counter::ListenDrops]);
            return Verdict::dropped(DropReason::CookieWithoutTimestamps).counting(counts);
        }
        let cookie = cookies.encode(now, &syn.tuple, &agreed);
        let mut syn_ack = cookie.negotiated.syn_ack(now, &syn.tuple, offer);
        keep_within(syn, &mut syn_ack);
        arrival.room.cookie_sent(now);
        Verdict::CONSUMED.reply(syn_ack).counting(counts.and(Counts::of(&[Counter::SyncookiesSent])))
    }

    /// An ACK that acknowledges nothing we remember, `entry` being what we do remember of its tuple: a cookie, or a
    /// reason for RST.
    pub(super) fn on_stray_ack<Room: AcceptRoom>(
        &mut self,
        arrival: &mut Arrival<'_, Room>,
        entry: Option<EntryId>,
    ) -> Outcome {
        let reason = match entry {
            Some(_) => DropReason::HalfOpenBadAck,
            None => DropReason::BadCookie,
        };
        if !self.guard.accepts_cookies(arrival.now, || arrival.room.awaits_cookies(arrival.now)) {
            return arrival.refuse(reason, Counts::NONE);
        }
        let Some(half_open) = self.cookie_of(arrival) else {
            return arrival.refuse(reason, Counts::of(&[Counter::SyncookiesFailed]));
        };
        self.guard.cookie_returned();
        let counts = Counts::of(&[Counter::SyncookiesRecv]);
        // The peer will send data, which brings the cookie again: no reason for RST.
        if !arrival.room.reserve() {
            let counts = counts.and(Counts::of(&[Counter::ListenOverflows, Counter::ListenDrops]));
            return Outcome::Settled(Verdict::dropped(DropReason::AckAcceptQueueFull).counting(counts));
        }
        if let Some(entry) = entry {
            arrival.shared.table.remove(entry);
        }
        Outcome::Open(half_open, counts.and(Counts::of(&[Counter::PassiveOpens])))
    }

    /// The handshake that a segment completes if its acknowledgment number is a valid cookie.
    fn cookie_of<Room>(&self, arrival: &mut Arrival<'_, Room>) -> Option<HalfOpen> {
        let Arrival { now, segment, shared: &mut HalfOpens { ref table, ref mut cookies, .. }, .. } = *arrival;
        let echo = Echo { iss: segment.ack - 1, irs: segment.seq - 1, timestamps: segment.options.timestamps() };
        let half_open = cookies.decode(now, &segment.tuple, &echo, table.offer(self.id))?;
        match self.cookie_timestamps {
            CookieTimestamps::Optional => Some(half_open),
            CookieTimestamps::Required => half_open.negotiated.timestamps.is_some().then_some(half_open),
        }
    }
}

/// A cookie must never be larger than the SYN that drew it, or we would amplify a forged flood.
/// Every other option stands on a SYN-ACK only if it stood on the SYN, but an MSS is always announced; here not, and the
/// peer falls back to its family's default (MUST-15).
fn keep_within(syn: &Syn, syn_ack: &mut Head) {
    if let Options::Syn(options) = &mut syn_ack.options {
        options.mss = options.mss.filter(|_| syn.options.mss.is_some());
    }
}
