//! SYN cookies: a half-open connection that its peer carries for us (RFC 4987, section 3.6).
//!
//! Under a flood a SYN is answered without being remembered. What must be remembered travels in the initial sequence
//! number of the SYN-ACK, and with timestamps in its TSval too; the third segment brings both back. A keyed hash makes
//! sure that nobody else can make such numbers up.
//!
//! # Layout
//!
//! The hash is SipHash-2-4 over the bytes below, all in network order, so a program that has the packet's headers at hand
//! copies them as they are. *Local* is us: the destination of the SYN.
//!
//! | bytes, IPv4 | bytes, IPv6 | |
//! | --- | --- | --- |
//! | 0–3 | 0–15 | local address |
//! | 4–7 | 16–31 | remote address |
//! | 8–9 | 32–33 | local port |
//! | 10–11 | 34–35 | remote port |
//! | 12–15 | 36–39 | the peer's initial sequence number |
//! | 16–19 | 40–43 | the tick: seconds of the clock divided by 16 |
//! | 20–23 | 44–47 | the options word |
//!
//! The options word holds everything that the cookie encodes: bits 0–6 as in the sequence number below, before the mask;
//! and, in the form with timestamps only, bit 8 set and bits 16–20 as in the TSval below, before the mask.
//!
//! Of the 64 bits of the hash, bits 39–63 authenticate the sequence number and bits 0–26 the TSval.
//!
//! | bits of the sequence number | |
//! | --- | --- |
//! | 7–31 | 25 bits of the hash |
//! | 6 | parity: the lowest bit of the tick, and thereby which key |
//! | 4–5 | class of the peer's MSS |
//! | 1–3 | class of the peer's window scale |
//! | 0 | SACK permitted |
//!
//! | bits of the TSval | |
//! | --- | --- |
//! | 5–31 | 27 bits of the hash |
//! | 1–4 | the peer's window scale, 15 for none |
//! | 0 | ECN: zero, and refused otherwise, until the engine negotiates it |
//!
//! The low bits (7 and 5 of them) are masked: they stand XORed with as many of the hash bits right above them, so that
//! sequence numbers do not all end alike.
//!
//! # Strength
//!
//! A tick lasts 16 s and a cookie is valid in its own tick and in the next, 16 to 32 s. The parity names one of the two,
//! so each of the 2⁷ settings has exactly one valid hash: of the 2³² sequence numbers 128 are accepted, and a blind guess
//! succeeds with 2⁻²⁵. With timestamps a guess must also hit the TSval, 2⁻⁵³ in all, but an attacker is free to leave them
//! out unless the listener demands them ([`CookieTimestamps::Required`](crate::flood_guard::CookieTimestamps)).

mod key_schedule;
mod options;
#[cfg(test)]
mod tests;

use crate::half_open::{Clock, HalfOpen, Negotiated, Offer, Scales};
use crate::isn::Message;
use crate::segment::Timestamps;
use crate::{Instant, SeqNum, Tuple};
use core::fmt;
use core::time::Duration;
pub use key_schedule::KeySchedule;
use options::{ISS_OPTION_BITS, MssClass, Options, STAMP_OPTION_BITS, round_down};
use siphasher::sip::SipHasher24;

/// How long a tick lasts.
pub const TICK: Duration = Duration::from_secs(16);

/// The longest that a cookie lives: the rest of its own tick and the whole next one.
pub const LIFE: Duration = Duration::from_secs(32);

/// The hash bits in a sequence number, and those in a TSval.
const ISS_MAC_BITS: u32 = 25;
const STAMP_MAC_BITS: u32 = 27;

const _: () = assert!(ISS_MAC_BITS + STAMP_MAC_BITS <= 64);
const _: () = assert!(ISS_MAC_BITS + ISS_OPTION_BITS == 32 && STAMP_MAC_BITS + STAMP_OPTION_BITS == 32);
const _: () = assert!(TICK.as_secs() * 2 == LIFE.as_secs());

/// What a third segment brings back: what its peer wants us to believe we said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo {
    /// The acknowledgment number less one: our initial sequence number, if we sent it.
    pub iss: SeqNum,
    /// The sequence number less one: the peer's initial sequence number.
    pub irs: SeqNum,
    /// The timestamps, if it has them.
    pub timestamps: Option<Timestamps>,
}

/// Mints and checks cookies, each under the key of its tick: it does not matter who made it, nor when this jar was last used.
#[derive(Clone, Debug)]
pub struct CookieJar {
    schedule: KeySchedule,
    /// The first tick of the epoch whose keys are at hand.
    since: u32,
    keys: Keys,
}

/// The keys of an epoch and of the one before it: a cookie that is valid was minted in one of the two.
#[derive(Clone)]
struct Keys {
    current: SipHasher24,
    previous: SipHasher24,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Keys {
    fn of(schedule: &KeySchedule, epoch: u32) -> Self {
        let hasher = |epoch| SipHasher24::new_with_key(&schedule.key(epoch));
        Self { current: hasher(epoch), previous: hasher(epoch.wrapping_sub(1)) }
    }
}

impl CookieJar {
    /// A jar whose keys are those of `schedule`.
    pub fn new(schedule: KeySchedule) -> Self {
        let keys = Keys::of(&schedule, 0);
        Self { schedule, since: 0, keys }
    }

    /// Makes the cookie for what the SYNs agreed on: the same again with the cookie as initial sequence number, the
    /// timestamp offset that makes the SYN-ACK sent at `now` carry its second half, and everything else as
    /// [`decode`](Self::decode) will give it back.
    pub fn encode(&mut self, now: Instant, tuple: &Tuple, agreed: &Negotiated) -> HalfOpen {
        let tick = tick(now);
        self.turn_to(tick);
        // ECN finds no place in a cookie: who gets one goes without.
        let Negotiated { iss: _, irs, send_mss, scales, sack, timestamps, ecn: _ } = *agreed;
        let mss = MssClass::of(send_mss, tuple);
        let options = Options::new(tick, mss, scales.map(|both| both.peer), sack, timestamps.is_some());
        let [iss_mac, stamp_mac] = self.macs(tick, tuple, irs, &options);
        let kept = |scale| if timestamps.is_some() { scale } else { round_down(scale) };
        let negotiated = Negotiated {
            iss: SeqNum(masked(iss_mac, options.iss, ISS_OPTION_BITS)),
            irs,
            send_mss: mss.size(tuple),
            scales: scales.map(|Scales { peer, ours }| Scales { peer: kept(peer), ours }),
            sack,
            timestamps: timestamps.zip(options.stamp).map(|(Clock { recent, offset: _ }, bits)| Clock {
                recent,
                offset: offset(masked(stamp_mac, bits, STAMP_OPTION_BITS), now),
            }),
            ecn: false,
        };
        HalfOpen { negotiated, timeouts: 0, round_trip: None }
    }

    /// What the SYNs agreed on, if `echo` is a cookie that was made for this tuple and this peer's initial sequence
    /// number, in a tick and under a key that are still valid, and if what it says is still offered. Our clock runs on
    /// from the echoed TSval: a TSval behind it would be dropped as old (RFC 7323, section 5).
    pub fn decode(&mut self, now: Instant, tuple: &Tuple, echo: &Echo, offer: &Offer) -> Option<HalfOpen> {
        let tick = tick(now);
        self.turn_to(tick);
        let timestamps = echo.timestamps.filter(|_| offer.timestamps);
        let options = Options {
            iss: unmasked(echo.iss.0, ISS_OPTION_BITS),
            stamp: timestamps.map(|stamps| unmasked(stamps.echo, STAMP_OPTION_BITS)),
        };
        let [iss_mac, stamp_mac] = self.macs(options.minted(tick), tuple, echo.irs, &options);
        // One comparison of everything at once: its time says nothing about how much of it was right.
        let iss_error = iss_mac ^ echo.iss.0 >> ISS_OPTION_BITS;
        let stamp_error = timestamps.map_or(0, |stamps| stamp_mac ^ stamps.echo >> STAMP_OPTION_BITS);
        if iss_error | stamp_error != 0 {
            return None;
        }
        let negotiated = Negotiated {
            iss: echo.iss,
            irs: echo.irs,
            send_mss: options.mss_class().size(tuple),
            scales: match (options.peer_scale()?, offer.window_scale) {
                (None, _) => None,
                (Some(peer), Some(ours)) => Some(Scales { peer, ours }),
                (Some(_), None) => return None,
            },
            sack: options.sack(),
            timestamps: timestamps.map(|stamps| Clock { recent: stamps.value, offset: offset(stamps.echo, now) }),
            ecn: false,
        };
        (offer.sack || !negotiated.sack).then_some(HalfOpen { negotiated, timeouts: 0, round_trip: None })
    }

    /// Gets the keys for what is minted or checked in `tick`.
    fn turn_to(&mut self, tick: u32) {
        if !self.is_current(tick) {
            let epoch = self.schedule.epoch_of(tick);
            self.since = epoch * self.schedule.ticks_per_key();
            self.keys = Keys::of(&self.schedule, epoch);
        }
    }

    /// Whether the current key is that of `tick`.
    fn is_current(&self, tick: u32) -> bool {
        tick.wrapping_sub(self.since) < self.schedule.ticks_per_key()
    }

    /// The hash bits of the sequence number and of the TSval.
    fn macs(&self, tick: u32, tuple: &Tuple, irs: SeqNum, options: &Options) -> [u32; 2] {
        let hasher = if self.is_current(tick) { &self.keys.current } else { &self.keys.previous };
        let words = [irs.0, tick, options.word()];
        let hash = Message::of(tuple).hash_with(words, |bytes| hasher.hash(bytes));
        [(hash >> (64 - ISS_MAC_BITS)) as u32, hash as u32 & ((1 << STAMP_MAC_BITS) - 1)]
    }
}

/// The tick that `now` falls in: seconds of the clock divided by 16.
pub fn tick(now: Instant) -> u32 {
    (now.as_nanos() / TICK.as_nanos() as u64) as u32
}

/// The offset that makes our clock show `value` at `now`.
fn offset(value: u32, now: Instant) -> u32 {
    value.wrapping_sub(now.as_millis() as u32)
}

/// Joins hash bits and option bits.
fn masked(mac: u32, options: u32, option_bits: u32) -> u32 {
    let mask = mac & ((1 << option_bits) - 1);
    mac << option_bits | (options ^ mask)
}

/// The option bits of what [`masked`] joined.
fn unmasked(value: u32, option_bits: u32) -> u32 {
    (value ^ value >> option_bits) & ((1 << option_bits) - 1)
}
