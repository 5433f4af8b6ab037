//! One entry of the table: everything that one SYN costs us, in one cache line.

use crate::half_open::{Clock, HalfOpen, Negotiated, Scales};
use crate::segment::{Mss, WindowScale};
use crate::{Endpoint, Instant, SeqNum, Tuple};
use bitflags::bitflags;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

/// What no two scales of at most 14 make.
const NO_SCALES: u8 = 0xff;

/// The index of no slot.
pub(super) const NIL: u32 = u32::MAX;

/// A half-open connection, packed. The local address, the neighbour and the VLAN tags are interned under `way`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Slot {
    /// The peer's address, IPv4 in its mapped form.
    remote_addr: [u8; 16],
    iss: SeqNum,
    irs: SeqNum,
    /// TS.Recent and the offset of our clock, when [`Facts::TIMESTAMPS`].
    recent: u32,
    offset: u32,
    /// Milliseconds: when the SYN-ACK was first sent.
    pub(super) created: u32,
    /// Milliseconds: when the wait for the third segment is over.
    pub(super) due: u32,
    /// Milliseconds: when an invalid segment was last answered, when [`Facts::ANSWERED`].
    answered: u32,
    /// The neighbours in the queue of the entries that wait equally long.
    pub(super) next: u32,
    pub(super) prev: u32,
    remote_port: u16,
    local_port: u16,
    send_mss: u16,
    /// The interned rest of the addresses.
    pub(super) way: u16,
    /// The listener that it belongs to.
    pub(super) listener: u16,
    /// The window scales, or [`NO_SCALES`]: the peer's in the low half, ours in the high half.
    scales: u8,
    facts: Facts,
}

/// A SYN costs one small fixed record. This one is counted with everything that the table
/// keeps per entry, except the two bytes of its tag.
const _: () = assert!(size_of::<Slot>() == 64 && align_of::<Slot>() == 64);

bitflags! {
    /// Which fields mean something, and how often the SYN-ACK timed out.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    struct Facts: u8 {
        /// The number of timeouts.
        const TIMEOUTS = 0x07;
        const SACK = 0x08;
        const TIMESTAMPS = 0x10;
        const ECN = 0x20;
        const ANSWERED = 0x40;
        /// The SYN-ACK was sent again because the SYN came again.
        const REPEATED = 0x80;
    }
}

/// No more than one answer to invalid segments of an entry in this many milliseconds (Linux: `tcp_invalid_ratelimit`).
pub(super) const INVALID_RATE_LIMIT: u32 = 500;

/// The millisecond clock of the table; it wraps after 49.7 days, and every comparison allows for that.
pub(super) const fn millis(now: Instant) -> u32 {
    now.as_millis() as u32
}

impl Slot {
    /// A slot that holds nothing.
    pub(super) const EMPTY: Self = Self {
        remote_addr: [0; 16],
        iss: SeqNum(0),
        irs: SeqNum(0),
        recent: 0,
        offset: 0,
        created: 0,
        due: 0,
        answered: 0,
        next: NIL,
        prev: NIL,
        remote_port: 0,
        local_port: 0,
        send_mss: 0,
        way: 0,
        listener: 0,
        scales: NO_SCALES,
        facts: Facts::empty(),
    };

    /// Packs an entry whose SYN-ACK is sent now; its links are the table's to set.
    #[inline]
    pub(super) fn pack(now: Instant, tuple: &Tuple, negotiated: &Negotiated, way: u16, listener: u16) -> Self {
        let Negotiated { iss, irs, send_mss, scales, sack, timestamps, ecn } = *negotiated;
        let mut facts = Facts::empty();
        facts.set(Facts::SACK, sack);
        facts.set(Facts::TIMESTAMPS, timestamps.is_some());
        facts.set(Facts::ECN, ecn);
        let clock = timestamps.unwrap_or(Clock { recent: 0, offset: 0 });
        Self {
            remote_addr: tuple.remote.addr_bytes(),
            remote_port: tuple.remote.port,
            local_port: tuple.local.port,
            iss,
            irs,
            recent: clock.recent,
            offset: clock.offset,
            created: millis(now),
            send_mss: send_mss.get(),
            scales: scales.map_or(NO_SCALES, |both| both.peer.shift() | both.ours.shift() << 4),
            facts,
            way,
            listener,
            ..Self::EMPTY
        }
    }

    /// What was packed.
    pub(super) fn half_open(&self) -> HalfOpen {
        let has = |fact| self.facts.contains(fact);
        HalfOpen {
            negotiated: Negotiated {
                iss: self.iss,
                irs: self.irs,
                send_mss: Mss::announced(self.send_mss).unwrap_or(Mss::MIN),
                scales: (self.scales != NO_SCALES).then(|| Scales {
                    peer: WindowScale::clamped(self.scales & 0x0f),
                    ours: WindowScale::clamped(self.scales >> 4),
                }),
                sack: has(Facts::SACK),
                timestamps: has(Facts::TIMESTAMPS).then_some(Clock { recent: self.recent, offset: self.offset }),
                ecn: has(Facts::ECN),
            },
            timeouts: self.timeouts(),
            round_trip: None,
        }
    }

    /// How often the SYN-ACK timed out.
    pub(super) fn timeouts(&self) -> u8 {
        (self.facts & Facts::TIMEOUTS).bits()
    }

    /// How long ago the SYN-ACK was sent, if it was sent only once.
    pub(super) fn round_trip(&self, now: u32) -> Option<Duration> {
        let is_unambiguous = self.timeouts() == 0 && !self.facts.contains(Facts::REPEATED);
        is_unambiguous.then(|| Duration::from_millis(now.wrapping_sub(self.created).into()))
    }

    /// The SYN-ACK was sent again out of turn.
    pub(super) fn repeated(&mut self) {
        self.facts.insert(Facts::REPEATED);
    }

    /// Counts one more timeout.
    pub(super) fn count_timeout(&mut self) {
        let timeouts = Facts::from_bits_retain(self.timeouts() + 1) & Facts::TIMEOUTS;
        self.facts = (self.facts - Facts::TIMEOUTS) | timeouts;
    }

    /// Whether this is the entry of `tuple`, given that its local address is.
    pub(super) fn is_of(&self, tuple: &Tuple) -> bool {
        self.remote_addr == tuple.remote.addr_bytes()
            && self.remote_port == tuple.remote.port
            && self.local_port == tuple.local.port
    }

    /// The tuple, given its local address.
    pub(super) fn tuple(&self, local: IpAddr) -> Tuple {
        let mapped = Ipv6Addr::from(self.remote_addr);
        let remote = match local {
            IpAddr::V4(_) => mapped.to_canonical(),
            IpAddr::V6(_) => IpAddr::V6(mapped),
        };
        Tuple { local: Endpoint::new(local, self.local_port), remote: Endpoint::new(remote, self.remote_port) }
    }

    /// Whether an invalid segment may be answered at `now`; if so, the next one has to wait.
    pub(super) fn may_answer(&mut self, now: u32) -> bool {
        let since = now.wrapping_sub(self.answered);
        if self.facts.contains(Facts::ANSWERED) && since < INVALID_RATE_LIMIT {
            return false;
        }
        self.facts.insert(Facts::ANSWERED);
        self.answered = now;
        true
    }
}
