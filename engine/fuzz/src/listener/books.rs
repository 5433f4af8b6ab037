//! What a listener is known to have said, and what must follow from that.

use super::{KEY_LIFE, SEED};
use crate::samples;
use std::cell::Cell;
use std::collections::BTreeMap;
use synward_proto::flood_guard::{ResetLimit, Syncookies};
use synward_proto::half_open::{HalfOpen, Negotiated, Offer, Syn};
use synward_proto::isn::Secrets;
use synward_proto::segment::{SynOptions, Timestamps};
use synward_proto::syn_cookie::{CookieJar, LIFE, TICK, tick};
use synward_proto::wire::{HEADROOM, write_segment};
use synward_proto::{
    Counter, Counts, DropReason, Fate, Flags, Head, Instant, Options, Segment, SeqNum, Tuple, Verdict,
};

/// A peer: all of a family have one address.
type Key = (u16, bool);

fn key(tuple: &Tuple) -> Key {
    (tuple.remote.port, tuple.is_ipv6())
}

/// A SYN-ACK that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub iss: SeqNum,
    pub irs: SeqNum,
    /// What the SYN asked for that it answered.
    pub asked: SynOptions,
    pub stamps: Option<Timestamps>,
    negotiated: Negotiated,
    is_cookie: bool,
    at: Instant,
}

/// How things stood before a segment was taken.
pub struct Before {
    pub now: Instant,
    pub syncookies: Syncookies,
    pub stamps_required: bool,
    pub entry: Option<HalfOpen>,
    pub half_open: u32,
    pub accept_full: bool,
    pub waiting: u32,
    pub sends_cookies: bool,
    pub links_suffice: bool,
    pub is_foreign: bool,
    pub offer: Offer,
}

/// What was sent and counted so far.
pub struct Books {
    sent: BTreeMap<Key, Vec<Sent>>,
    last_cookie: Option<Instant>,
    /// RSTs for strays, for each family's one address, and since when.
    resets: [(u64, Instant); 2],
    /// Tuples that have entered the table, less those that left it.
    inside: BTreeMap<Key, i32>,
    accept_limit: Cell<u32>,
    jar: CookieJar,
}

impl Books {
    pub fn new() -> Self {
        Self {
            sent: BTreeMap::new(),
            last_cookie: None,
            resets: [(0, Instant::from_millis(5_000_000)); 2],
            inside: BTreeMap::new(),
            accept_limit: Cell::new(0),
            jar: CookieJar::new(Secrets::from_seed(&SEED).cookie_keys(KEY_LIFE)),
        }
    }

    /// One of the SYN-ACKs to this peer; the last is 0.
    pub fn sent_to(&self, tuple: &Tuple, which: u8) -> Option<&Sent> {
        let sent = self.sent.get(&key(tuple))?;
        sent.iter().rev().nth(usize::from(which) % sent.len().max(1))
    }

    /// The largest accept limit so far: who waits when it shrinks goes on waiting.
    pub fn widest_accept_limit(&self, limit: &Cell<u32>) -> u32 {
        self.accept_limit.set(self.accept_limit.get().max(limit.get()));
        self.accept_limit.get()
    }

    /// Another listener is there: what the old one's cookies said holds no longer for this one.
    pub fn closed(&mut self) {
        self.last_cookie = None;
    }

    /// A SYN-ACK was sent again by the timer.
    pub fn resent(&mut self, now: Instant, head: &Head) {
        let known = self.sent.get(&key(&head.tuple)).and_then(|sent| sent.iter().rev().find(|it| it.iss == head.seq));
        let Some(known) = known.copied() else { panic!("a SYN-ACK that was never sent is sent again: {head:?}") };
        assert_eq!(head.ack, known.irs + 1);
        self.note(&head.tuple, Sent { stamps: head.options.timestamps(), at: now, ..known });
    }

    fn note(&mut self, tuple: &Tuple, sent: Sent) {
        let all = self.sent.entry(key(tuple)).or_default();
        all.retain(|known| known.iss != sent.iss);
        all.push(sent);
    }

    /// A handshake is complete: somebody answered a SYN-ACK of ours, by the rules.
    pub fn opened(&mut self, before: &Before, segment: &Segment, half_open: &HalfOpen, counts: Counts) {
        let Negotiated { iss, irs, .. } = half_open.negotiated;
        assert!(!before.accept_full, "the accept queue is full");
        assert!(segment.flags.contains(Flags::ACK) && !segment.flags.intersects(Flags::SYN | Flags::RST));
        assert_eq!(segment.ack, iss + 1, "it acknowledges our SYN");
        assert!(counts.contains(Counter::PassiveOpens));
        if counts.contains(Counter::SyncookiesRecv) {
            assert_eq!(segment.seq, irs + 1, "a cookie comes home with the first byte");
            self.cookie_home(before, segment, half_open);
        } else {
            let entry = before.entry.expect("without a cookie, an entry");
            assert_eq!((entry.negotiated.iss, entry.negotiated.irs), (iss, irs));
            let sent = self.find(&segment.tuple, iss).expect("the entry's SYN-ACK was sent");
            assert!(!sent.is_cookie && sent.irs == irs);
            let Negotiated { send_mss, scales, sack, ecn, .. } = sent.negotiated;
            let agreed = half_open.negotiated;
            assert_eq!((agreed.send_mss, agreed.sack, agreed.ecn), (send_mss, sack, ecn));
            assert_eq!(agreed.scales.map(|it| it.peer), scales.map(|it| it.peer));
        }
    }

    fn find(&self, tuple: &Tuple, iss: SeqNum) -> Option<&Sent> {
        self.sent.get(&key(tuple))?.iter().rev().find(|sent| sent.iss == iss)
    }

    /// A cookie is taken while cookies are due, and it is one that was sent, or that the jar would have sent: a guess that hit.
    fn cookie_home(&mut self, before: &Before, segment: &Segment, half_open: &HalfOpen) {
        match before.syncookies {
            Syncookies::Never => panic!("a cookie, and cookies are off"),
            Syncookies::Always => {}
            Syncookies::Auto => {
                let sent = self.last_cookie.expect("a cookie, and none was ever sent");
                assert!(before.now.since(sent) <= LIFE, "a cookie, long after the last was sent");
            }
        }
        let agreed = &half_open.negotiated;
        assert!(!before.stamps_required || agreed.timestamps.is_some());
        assert!(before.offer.sack || !agreed.sack);
        assert!(before.offer.window_scale.is_some() || agreed.scales.is_none());
        assert!(before.offer.timestamps || agreed.timestamps.is_none());
        let ticks = |at: Instant| tick(before.now) - tick(at);
        let was_sent = self.find(&segment.tuple, agreed.iss).is_some_and(|sent| sent.is_cookie && ticks(sent.at) <= 1);
        assert!(was_sent || self.would_be_minted(before.now, segment, agreed), "a cookie that nobody made");
    }

    fn would_be_minted(&mut self, now: Instant, segment: &Segment, agreed: &Negotiated) -> bool {
        let before = Instant::from_nanos(now.as_nanos() - TICK.as_nanos() as u64);
        [now, before].into_iter().any(|minted| {
            let again = self.jar.encode(minted, &segment.tuple, agreed).negotiated;
            let stamp = again.timestamps.map(|clock| clock.stamp(minted).value);
            let echoed = agreed.timestamps.and(segment.options.timestamps()).map(|stamps| stamps.echo);
            again.iss == agreed.iss && stamp == echoed
        })
    }

    /// A segment is dealt with.
    pub fn settled(&mut self, before: &Before, segment: &Segment, verdict: &Verdict, half_open_after: u32) {
        let Verdict { fate, reply, counts } = verdict;
        assert!(!matches!(fate, Fate::Delivered(_)), "a listener reads nothing");
        assert!(!counts.contains(Counter::PassiveOpens));
        if let Some(head) = reply {
            self.replied(before, segment, head, *counts);
        } else {
            assert!(!counts.contains(Counter::SyncookiesSent));
        }
        let gone = before.half_open.saturating_sub(half_open_after);
        assert!(gone <= 1 && half_open_after <= before.half_open + 1, "a segment moves one entry");
        if *fate == Fate::Dropped(DropReason::CookieWithoutTimestamps) {
            // It gets none, but it came while they were due.
            self.last_cookie = Some(before.now);
        }
        if let Fate::Dropped(reason) = fate {
            self.dropped(before, segment, *reason, half_open_after);
        }
    }

    fn dropped(&self, before: &Before, segment: &Segment, reason: DropReason, half_open_after: u32) {
        match reason {
            DropReason::SynAcceptQueueFull => assert!(before.accept_full && is_syn(segment)),
            DropReason::AckAcceptQueueFull => assert!(before.accept_full),
            DropReason::SynQueueFull => assert_eq!(before.syncookies, Syncookies::Never),
            DropReason::BadCookie => assert!(before.entry.is_none() && segment.flags.contains(Flags::ACK)),
            DropReason::StrayRst => assert!(before.entry.is_none() && segment.flags.contains(Flags::RST)),
            DropReason::CookieWithoutTimestamps => assert!(before.stamps_required),
            _ => {}
        }
        assert!(half_open_after <= before.half_open, "what is dropped leaves no entry");
    }

    /// Every answer: to whom it is, what it may be, and how large.
    fn replied(&mut self, before: &Before, segment: &Segment, head: &Head, counts: Counts) {
        assert_eq!(head.tuple, segment.tuple, "the answer goes to who asked");
        let (asked, answer) = (request_len(segment), reply_len(head));
        if head.flags.contains(Flags::SYN) {
            assert!(is_syn(segment), "a SYN-ACK answers a SYN");
            assert_eq!(head.ack, segment.seq + 1, "the SYN alone is acknowledged");
            let more = self.syn_ack(before, segment, head, counts);
            assert!(answer <= asked + more, "{answer} bytes for {asked}");
        } else if head.flags.contains(Flags::RST) {
            assert!(!segment.flags.contains(Flags::RST), "no reset answers a reset");
            assert!(answer <= asked, "{answer} bytes for {asked}");
            self.reset(before, segment);
        } else {
            assert!(before.entry.is_some(), "only who has an entry is challenged");
            assert_eq!(head.flags - Flags::ECE, Flags::ACK);
            // Timestamps, if the segment came without.
            assert!(answer <= asked + 12, "{answer} bytes for {asked}");
        }
    }

    /// Notes a SYN-ACK; returns how many bytes more than the SYN it may have.
    fn syn_ack(&mut self, before: &Before, segment: &Segment, head: &Head, counts: Counts) -> usize {
        let (Options::Syn(asked), Options::Syn(said)) = (segment.options, head.options) else {
            panic!("SYN and SYN-ACK have options of their kind")
        };
        let is_cookie = counts.contains(Counter::SyncookiesSent);
        if is_cookie {
            self.cookie_due(before, counts);
            self.last_cookie = Some(before.now);
        }
        let again = before.entry.filter(|entry| !is_cookie && entry.negotiated.iss == head.seq);
        let (negotiated, asked) = match again {
            // What the first SYN asked for, whatever this one does.
            Some(entry) => (entry.negotiated, self.find(&segment.tuple, head.seq).expect("sent before").asked),
            None => {
                assert!(is_cookie || before.entry.is_none(), "another SYN-ACK for the same entry");
                assert!(is_cookie || !before.sends_cookies, "a new entry while cookies are due");
                let offset = said.timestamps.map_or(0, |ours| ours.value.wrapping_sub(before.now.as_millis() as u32));
                (Negotiated::new(&Syn::of(segment, &asked), &before.offer, head.seq, offset), asked)
            }
        };
        assert!(asked.window_scale.is_some() || said.window_scale.is_none(), "an option that was not asked for");
        assert!(asked.sack_permitted || !said.sack_permitted, "an option that was not asked for");
        assert!(asked.timestamps.is_some() || said.timestamps.is_none(), "an option that was not asked for");
        let (irs, at) = (segment.seq, before.now);
        let stamps = said.timestamps;
        self.note(&segment.tuple, Sent { iss: head.seq, irs, asked, stamps, negotiated, is_cookie, at });
        match again {
            // Twice a second at most, and no more than options and an MSS.
            Some(_) => 24,
            // An MSS is always announced, except in a cookie.
            None => {
                if is_cookie {
                    0
                } else {
                    4
                }
            }
        }
    }

    /// A cookie is sent while the queue is full or has been within the flood, or where the table has no links left.
    fn cookie_due(&self, before: &Before, counts: Counts) {
        assert!(before.syncookies != Syncookies::Never, "a cookie, and cookies are off");
        assert!(!before.accept_full, "a cookie, and the accept queue is full");
        assert!(before.sends_cookies || !before.links_suffice, "a cookie out of the blue");
        assert!(counts.contains(Counter::TCPReqQFullDoCookies));
        assert!(before.entry.is_none() || before.is_foreign, "a cookie for who has an entry");
    }

    /// Resets for strays: a burst, and then so many a second, from each address.
    fn reset(&mut self, before: &Before, segment: &Segment) {
        if before.entry.is_some() {
            return;
        }
        let (count, since) = &mut self.resets[usize::from(segment.tuple.is_ipv6())];
        *count += 1;
        let seconds = before.now.since(*since).as_millis() as u64 / 1000 + 1;
        let per_second = u64::from(ResetLimit::PER_SECOND);
        assert!(*count <= per_second * (1 + seconds), "{count} resets in {seconds} s");
    }

    /// Tuples that entered the table, or left it.
    pub fn watched(&mut self, tuples: impl Iterator<Item = Tuple>, by: i32) {
        for tuple in tuples {
            let count = self.inside.entry(key(&tuple)).or_default();
            *count += by;
            if *count == 0 {
                self.inside.remove(&key(&tuple));
            }
        }
    }

    /// The table holds each tuple once that entered and did not leave, and no other.
    pub fn are_there(&self, tuples: impl Iterator<Item = Tuple>) {
        let mut count = 0;
        for tuple in tuples {
            assert_eq!(self.inside.get(&key(&tuple)), Some(&1), "{tuple:?}");
            count += 1;
        }
        assert_eq!(count, self.inside.len());
    }
}

fn is_syn(segment: &Segment) -> bool {
    segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK)
}

/// Bytes of the frame that brought a segment.
fn request_len(segment: &Segment) -> usize {
    let Segment { tuple, flags, options, payload, .. } = *segment;
    reply_len(&Head { tuple, flags, options, ..samples::HEAD }) + usize::from(payload.len)
}

fn reply_len(head: &Head) -> usize {
    write_segment(&mut [0; HEADROOM], &samples::LINK, head)
}
