//! Initial sequence numbers and timestamp offsets, and the keys that they and every other keyed choice hang on.

use crate::syn_cookie::KeySchedule;
use crate::{Endpoint, Instant, SeqNum, Tuple};
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
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
        SeqNum(Message::of(tuple).hash(|bytes| self.isn.hash(bytes)) as u32) + ticks as u32
    }

    /// What is added to the millisecond clock to make our TSval towards `remote`: a keyed hash of the address pair, the
    /// same for all its connections (RFC 7323, section 7.1; Linux: `secure_tcp_ts_off`).
    pub fn timestamp_offset(&self, local: IpAddr, remote: IpAddr) -> u32 {
        let pair = Tuple { local: Endpoint::new(local, 0), remote: Endpoint::new(remote, 0) };
        Message::of(&pair).hash(|bytes| self.timestamps.hash(bytes)) as u32
    }

    /// The hash of tables whose keys a peer chooses.
    pub(crate) const fn table_hasher(&self) -> SipHasher13 {
        self.tables
    }

    /// The cookie keys, each in force for [`life`](KeySchedule::new).
    pub fn cookie_keys(&self, life: Duration) -> KeySchedule {
        KeySchedule::new(&self.cookies, life)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// MUST-8: the clock that drives initial sequence numbers ticks about every 4 µs.
const ISN_TICK_NANOS: u64 = 4_000;

/// The bytes that a keyed hash runs over, in network order: local address, remote address, then local port and remote
/// port. The families never meet, for the lengths differ, and IPv4 pays for no padding.
#[derive(Clone, Copy)]
pub(crate) enum Message {
    V4([u8; 12]),
    V6([u8; 36]),
}

// The compiler unrolls a hash over a length that it knows: hence arrays, closures and `inline`.
impl Message {
    /// The addresses and ports of `tuple`.
    #[inline]
    pub(crate) fn of(tuple: &Tuple) -> Self {
        let (IpAddr::V4(local), IpAddr::V4(remote)) = (tuple.local.addr, tuple.remote.addr) else {
            return Self::V6(tuple.key());
        };
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&local.octets());
        bytes[4..8].copy_from_slice(&remote.octets());
        bytes[8..10].copy_from_slice(&tuple.local.port.to_be_bytes());
        bytes[10..].copy_from_slice(&tuple.remote.port.to_be_bytes());
        Self::V4(bytes)
    }

    /// The hash of it.
    #[inline]
    pub(crate) fn hash(&self, hash: impl Fn(&[u8]) -> u64) -> u64 {
        match self {
            Self::V4(bytes) => hash(bytes),
            Self::V6(bytes) => hash(bytes),
        }
    }

    /// The hash of it and of three words after it.
    #[inline]
    pub(crate) fn hash_with(&self, words: [u32; 3], hash: impl Fn(&[u8]) -> u64) -> u64 {
        match self {
            Self::V4(bytes) => hash(&joined::<12, 24>(bytes, words)),
            Self::V6(bytes) => hash(&joined::<36, 48>(bytes, words)),
        }
    }
}

/// `N` bytes and three words, in network order.
fn joined<const N: usize, const SUM: usize>(bytes: &[u8; N], words: [u32; 3]) -> [u8; SUM] {
    const { assert!(N + 12 == SUM) };
    let mut joined = [0; SUM];
    joined[..N].copy_from_slice(bytes);
    for (part, word) in joined[N..].chunks_exact_mut(4).zip(words) {
        part.copy_from_slice(&word.to_be_bytes());
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::{Message, Secrets};
    use crate::{Endpoint, Instant, Tuple};
    use alloc::vec::Vec;
    use core::cell::Cell;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use core::time::Duration;
    use proptest::prelude::*;

    fn secrets(seed: u8) -> Secrets {
        Secrets::from_seed(&core::array::from_fn(|byte| seed.wrapping_add(byte as u8)))
    }

    fn tuple(remote: u32, port: u16) -> Tuple {
        Tuple {
            local: Endpoint::new(Ipv4Addr::new(192, 0, 2, 1).into(), 80),
            remote: Endpoint::new(Ipv4Addr::from(remote).into(), port),
        }
    }

    proptest! {
        /// MUST-8: the numbers of one tuple advance by one every 4 µs, across every wrap.
        #[test]
        fn numbers_of_a_tuple_rise_with_the_clock(remote: u32, port: u16, now in 0u64..1 << 60, pause in 0u64..1 << 42) {
            let (secrets, tuple) = (secrets(0), tuple(remote, port));
            let now = Instant::from_nanos(now / 4000 * 4000);
            let later = now + Duration::from_nanos(pause);
            let advance = secrets.isn(later, &tuple).distance_from(secrets.isn(now, &tuple));
            prop_assert_eq!(advance, (pause / 4000) as u32);
        }
    }

    /// RFC 6528: numbers of different tuples, and of different secrets, have nothing to do with each other.
    #[test]
    fn numbers_of_other_tuples_are_independent() {
        let now = Instant::from_millis(5);
        // As many as there are pairs of neighbouring ports; an average of 16 of 32 bits differ.
        let differing = |other: &dyn Fn(u16) -> u32| -> u32 {
            (0..1000).map(|port| (secrets(0).isn(now, &tuple(1, port)).0 ^ other(port)).count_ones()).sum::<u32>()
        };
        let average = 15_000..17_000;
        assert!(average.contains(&differing(&|port| secrets(0).isn(now, &tuple(1, port + 1)).0)));
        assert!(average.contains(&differing(&|port| secrets(0).isn(now, &tuple(2, port)).0)));
        assert!(average.contains(&differing(&|port| secrets(1).isn(now, &tuple(1, port)).0)));
        assert!(average.contains(&differing(&|port| secrets(0).isn(now, &tuple(1, port).reversed()).0)));
    }

    #[test]
    fn the_timestamp_offset_belongs_to_the_pair_of_addresses() {
        let [a, b, c] = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]].map(IpAddr::from);
        let offset = |local, remote| secrets(0).timestamp_offset(local, remote);
        assert_eq!(offset(a, b), offset(a, b));
        assert!(offset(a, b) != offset(a, c) && offset(a, b) != offset(b, a));
        assert_ne!(offset(a, b), secrets(9).timestamp_offset(a, b));
    }

    /// The four keys come from four parts of the seed: changing one part changes one use.
    #[test]
    fn keys_are_separate() {
        let life = Duration::from_secs(600);
        let base = [5; Secrets::SEED_LEN];
        for part in 0..4 {
            let mut seed = base;
            seed[16 * part + 7] ^= 1;
            let (old, new) = (Secrets::from_seed(&base), Secrets::from_seed(&seed));
            let [a, b] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
            let same = [
                old.isn(Instant::ZERO, &tuple(1, 1)) == new.isn(Instant::ZERO, &tuple(1, 1)),
                old.timestamp_offset(a, b) == new.timestamp_offset(a, b),
                old.table_hasher().hash(&[1]) == new.table_hasher().hash(&[1]),
                old.cookie_keys(life).key(0) == new.cookie_keys(life).key(0),
            ];
            assert_eq!(same, core::array::from_fn(|use_| use_ != part));
        }
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(alloc::format!("{:?}", secrets(0)), "Secrets { .. }");
    }

    #[test]
    fn a_message_holds_addresses_and_ports_in_network_order() {
        let v4 = tuple(0x0102_0304, 0x0506);
        let v6 = Tuple {
            local: Endpoint::new(Ipv6Addr::from([1; 16]).into(), 80),
            remote: Endpoint::new(Ipv6Addr::from([2; 16]).into(), 81),
        };
        for (tuple, want) in [(v4, &[192, 0, 2, 1, 1, 2, 3, 4, 0, 80, 5, 6][..]), (v6, &v6.key())] {
            let seen = Cell::new(Vec::new());
            let keep = |bytes: &[u8]| {
                seen.set(bytes.to_vec());
                7
            };
            let message = Message::of(&tuple);
            assert_eq!((message.hash(keep), seen.take()), (7, want.to_vec()));
            let words = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
            assert_eq!((message.hash_with([1, 2, 3], keep), seen.take()), (7, [want, &words].concat()));
        }
    }
}
