//! Initial sequence numbers and timestamp offsets, and the keys that they and every other keyed choice hang on.

use crate::{Endpoint, Instant, SeqNum, Tuple};
use core::fmt;
use core::net::IpAddr;
use siphasher::sip::{SipHasher13, SipHasher24};

/// A 128-bit SipHash key.
pub type Key = [u8; 16];

/// The secrets of one running engine. All its shards share them: a pair of addresses keeps its timestamp offset, and a
/// cookie its meaning, whichever shard answers. Drawn once at the start and never written anywhere.
#[derive(Clone)]
pub struct Secrets {
    isn: SipHasher24,
    timestamps: SipHasher24,
    tables: SipHasher13,
    cookies: Key,
}

impl Secrets {
    /// Bytes of seed that [`from_seed`](Self::from_seed) takes: four keys.
    pub const SEED_LEN: usize = 64;

    /// Secrets from `seed`, which must come from the system's random source (or, in a test, from anywhere).
    pub fn from_seed(seed: &[u8; Self::SEED_LEN]) -> Self {
        let key = |index: usize| -> Key { core::array::from_fn(|byte| seed[16 * index + byte]) };
        Self {
            isn: SipHasher24::new_with_key(&key(0)),
            timestamps: SipHasher24::new_with_key(&key(1)),
            tables: SipHasher13::new_with_key(&key(2)),
            cookies: key(3),
        }
    }

    /// An initial sequence number (RFC 9293, section 3.4.1; RFC 6528): ISN = M + F(addresses, ports, secret), where M
    /// ticks every 4 µs (MUST-8) and F is a keyed hash (SHLD-1), so that numbers of one tuple rise with time and those
    /// of different tuples have nothing to do with each other.
    pub fn isn(&self, now: Instant, tuple: &Tuple) -> SeqNum {
        let ticks = now.as_nanos() / ISN_TICK_NANOS;
        SeqNum(self.isn.hash(Message::of(tuple).as_bytes()) as u32) + ticks as u32
    }

    /// What is added to the millisecond clock to make our TSval towards `remote`: a keyed hash of the address pair, the
    /// same for all its connections (RFC 7323, section 7.1; Linux: `secure_tcp_ts_off`).
    pub fn timestamp_offset(&self, local: IpAddr, remote: IpAddr) -> u32 {
        self.timestamps.hash(Message::of_pair(local, remote).as_bytes()) as u32
    }

    /// The hash of tables whose keys a peer chooses.
    pub(crate) const fn table_hasher(&self) -> SipHasher13 {
        self.tables
    }

    /// The first cookie key.
    pub(crate) const fn cookie_key(&self) -> Key {
        self.cookies
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// MUST-8: the clock that drives initial sequence numbers ticks about every 4 µs.
const ISN_TICK_NANOS: u64 = 4_000;

/// The bytes of addresses and ports that a keyed hash runs over, in network order: local address, remote address, then
/// local port and remote port. IPv4 takes 12 bytes and IPv6 36, so the families never meet and IPv4 pays for no padding.
pub(crate) struct Message {
    bytes: [u8; 36],
    len: usize,
}

impl Message {
    /// Addresses and ports.
    pub(crate) fn of(tuple: &Tuple) -> Self {
        let mut message = Self::of_pair(tuple.local.addr, tuple.remote.addr);
        let at = message.len;
        message.bytes[at..at + 2].copy_from_slice(&tuple.local.port.to_be_bytes());
        message.bytes[at + 2..at + 4].copy_from_slice(&tuple.remote.port.to_be_bytes());
        message.len += 4;
        message
    }

    /// Addresses only: 8 or 32 bytes.
    fn of_pair(local: IpAddr, remote: IpAddr) -> Self {
        let mut bytes = [0; 36];
        if let (IpAddr::V4(local), IpAddr::V4(remote)) = (local, remote) {
            bytes[..4].copy_from_slice(&local.octets());
            bytes[4..8].copy_from_slice(&remote.octets());
            return Self { bytes, len: 8 };
        }
        bytes[..16].copy_from_slice(&Endpoint::new(local, 0).addr_bytes());
        bytes[16..32].copy_from_slice(&Endpoint::new(remote, 0).addr_bytes());
        Self { bytes, len: 32 }
    }

    /// The message.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
