//! Any segments at a listener, at any time.

mod books;
mod happening;

use arbitrary::{Arbitrary, Unstructured};
use books::{Before, Books};
use happening::{Happening, Setting};
use std::cell::Cell;
use std::time::Duration;
use synward_proto::flood_guard::CookieTimestamps;
use synward_proto::isn::Secrets;
use synward_proto::listener::{AcceptRoom, HalfOpens, Listener, ListenerConfig, Outcome};
use synward_proto::syn_table::{Expired, SynTable, SynTableConfig};
use synward_proto::{Endpoint, Instant, Segment};

/// The most happenings of one input.
const MOST: usize = 100;

/// How long a key of cookies is in force: short, so that keys change within an input.
const KEY_LIFE: Duration = Duration::from_secs(48);

/// The longest wait of an entry, 64 s, and once more for a clock that has wrapped: an entry that nobody looked at for 49 days
/// may seem to be due in as long as it has waited.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 64);

/// What the seed of all secrets is.
const SEED: [u8; Secrets::SEED_LEN] = [7; Secrets::SEED_LEN];

/// The accept queue of a listener: more than `limit` are full.
struct Room {
    waiting: Cell<u32>,
    limit: Cell<u32>,
}

impl AcceptRoom for Room {
    fn is_full(&self) -> bool {
        self.waiting.get() > self.limit.get()
    }

    fn reserve(&self) -> bool {
        let free = !self.is_full();
        self.waiting.set(self.waiting.get() + u32::from(free));
        free
    }

    fn cookie_sent(&self, _now: Instant) {}

    fn awaits_cookies(&self, _now: Instant) -> bool {
        false
    }
}

/// A listener, what its shard shares, and the books that are kept about it.
struct Bed {
    now: Instant,
    shared: HalfOpens,
    listener: Listener,
    room: Room,
    setting: Setting,
    books: Books,
}

/// Whatever arrives, and whenever: half-open connections stay within their limits; a connection opens only for a handshake
/// that was begun with an answer of ours; an answer is at most one, and none of nobody's state is larger than what drew it;
/// cookies are sent and taken only when they are due; counters say what happened; and time empties the table.
pub fn listener(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(setting) = Setting::arbitrary(&mut bytes) else { return };
    let mut bed = Bed::new(setting);
    for _ in 0..MOST {
        if bytes.is_empty() {
            break;
        }
        let Ok(happening) = Happening::arbitrary(&mut bytes) else { break };
        bed.apply(&happening);
        bed.check();
    }
    bed.check_entries();
    bed.drain();
}

impl Bed {
    fn new(setting: Setting) -> Self {
        let table = SynTableConfig {
            capacity: 64,
            links: if setting.few_links { 2 } else { 64 },
            synack_retries: setting.synack_retries,
            per_prefix: None,
        };
        let mut shared = HalfOpens::new(&table, Secrets::from_seed(&SEED), KEY_LIFE);
        shared.table.watch();
        let listener = listen(&setting, &mut shared);
        let room = Room { waiting: Cell::new(0), limit: Cell::new(setting.accept_limit.into()) };
        Self { now: Instant::from_millis(5_000_000), shared, listener, room, setting, books: Books::new() }
    }

    fn apply(&mut self, happening: &Happening) {
        match happening {
            Happening::Pass(span) => self.pass(span.duration()),
            Happening::Accept => self.room.waiting.set(self.room.waiting.get().saturating_sub(1)),
            Happening::LimitAccept(limit) => self.room.limit.set((*limit).into()),
            Happening::Offer(offer) => self.shared.table.set_offer(self.listener.id(), &offer.offer()),
            Happening::Reopen(syncookies) => self.reopen(*syncookies),
            Happening::Icmp(icmp) => {
                let Some(error) = icmp.error(&self.books) else { return };
                let verdict = self.shared.on_icmp_error(&error);
                assert_eq!(verdict.reply, None, "nothing answers an ICMP error");
            }
            Happening::Foreign(arriving) => {
                if let Some(segment) = arriving.segment(&self.books, self.now) {
                    self.foreign(&segment);
                }
            }
            Happening::Arrive(arriving) => {
                if let Some(segment) = arriving.segment(&self.books, self.now) {
                    self.arrive(&segment);
                }
            }
        }
    }

    fn arrive(&mut self, segment: &Segment) {
        let before = self.before(segment);
        let outcome = self.listener.on_segment(self.now, segment, &mut self.shared, &self.room);
        let after = self.shared.table.queue(self.listener.id()).len;
        match outcome {
            Outcome::Open(half_open, counts) => {
                assert_eq!(self.room.waiting.get(), before.waiting + 1, "one place is taken");
                self.books.opened(&before, segment, &half_open, counts);
                assert_eq!(after, before.half_open - u32::from(before.entry.is_some()));
            }
            Outcome::Settled(verdict) => {
                assert_eq!(self.room.waiting.get(), before.waiting, "no place is taken");
                self.books.settled(&before, segment, &verdict, after);
            }
        }
    }

    /// A SYN whose state another shard will have: a cookie, or nothing, and never any state.
    fn foreign(&mut self, segment: &Segment) {
        let before = self.before(segment);
        let verdict = self.listener.on_foreign_syn(self.now, segment, &mut self.shared, &self.room);
        assert_eq!(self.shared.table.queue(self.listener.id()).len, before.half_open);
        let Some(verdict) = verdict else { return };
        assert!(before.sends_cookies && !before.accept_full);
        self.books.settled(&Before { is_foreign: true, ..before }, segment, &verdict, before.half_open);
    }

    fn before(&self, segment: &Segment) -> Before {
        let entry = self.shared.table.find(&segment.tuple).ok().map(|entry| self.shared.table.half_open(entry));
        let queue = self.shared.table.queue(self.listener.id());
        Before {
            now: self.now,
            syncookies: self.setting.syncookies(),
            stamps_required: self.setting.stamps_required,
            entry,
            half_open: queue.len,
            accept_full: self.room.is_full(),
            waiting: self.room.waiting.get(),
            sends_cookies: self.listener.sends_cookies(self.now, &self.shared),
            links_suffice: !self.setting.few_links,
            is_foreign: false,
            offer: *self.shared.table.offer(self.listener.id()),
        }
    }

    /// Time passes, and everything that is due happens: never more than there are entries, twice at most each.
    fn pass(&mut self, span: Duration) {
        self.now += span;
        let most = 1 + self.shared.table.len() * u32::from(SynTable::MAX_RETRIES + 2);
        for _ in 0..most {
            match self.shared.table.poll_expired(self.now) {
                None => return,
                Some(Expired::Resend { head, .. }) => self.books.resent(self.now, &head),
                Some(Expired::Forgotten { .. }) => {}
            }
        }
        panic!("more than {most} timers for {} entries", self.shared.table.len());
    }

    /// Closes the listener and opens another in its place.
    fn reopen(&mut self, syncookies: u8) {
        let held = self.shared.table.queue(self.listener.id()).len;
        self.setting.syncookies = syncookies;
        let fresh = listen(&self.setting, &mut self.shared);
        let old = std::mem::replace(&mut self.listener, fresh);
        assert_eq!(old.close(&mut self.shared), held, "every entry of the listener is forgotten");
        self.books.closed();
    }

    fn check(&mut self) {
        let table = &mut self.shared.table;
        let queue = table.queue(self.listener.id());
        assert!(queue.len <= queue.limit + 1, "full means more than the limit, and no more than one more");
        assert_eq!(queue.len, table.len(), "there is one listener");
        assert!(table.len() as usize <= table.capacity());
        assert!(
            self.room.waiting.get() <= self.room.limit.get().max(self.books.widest_accept_limit(&self.room.limit)) + 1
        );
        assert_eq!(table.deadline(self.now).is_some(), !table.is_empty(), "a timer runs as long as an entry waits");
    }

    /// The table has the entries that it said it has, and each is within its wait.
    fn check_entries(&mut self) {
        let table = &mut self.shared.table;
        self.books.watched(table.take_entered(), 1);
        let left: Vec<_> = table.take_left().collect();
        self.books.watched(left.into_iter(), -1);
        let there = table.iter(self.now).inspect(|entry| {
            assert!(entry.timeouts <= SynTable::MAX_RETRIES);
            assert!(entry.expires_in <= LONGEST_WAIT);
        });
        self.books.are_there(there.map(|entry| entry.tuple));
    }

    /// Left alone, every entry is sent its last SYN-ACK and forgotten.
    fn drain(&mut self) {
        let mut turns = 0;
        while let Some(deadline) = self.shared.table.deadline(self.now) {
            self.pass(deadline.since(self.now));
            turns += 1;
            assert!(turns <= 64 * 9, "the table never empties");
        }
        assert!(self.shared.table.is_empty());
        self.check_entries();
    }
}

fn listen(setting: &Setting, shared: &mut HalfOpens) -> Listener {
    let config = ListenerConfig {
        local: Endpoint::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 80),
        syn_queue_limit: setting.syn_limit.into(),
        max_syn_backlog: setting.max_syn_backlog.into(),
        syncookies: setting.syncookies(),
        cookie_timestamps: if setting.stamps_required {
            CookieTimestamps::Required
        } else {
            CookieTimestamps::Optional
        },
        abort_on_overflow: setting.abort_on_overflow,
        offer: setting.offer.offer(),
    };
    Listener::new(&config, shared).expect("65,536 listeners may exist")
}
