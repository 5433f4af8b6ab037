//! Tuples chosen so that they collide: in a table whose hash has no key they would share one bucket.

use crate::bed::{Bed, SERVER, config, frame, syn};
use siphasher::sip::SipHasher13;
use std::net::Ipv4Addr;
use synward_engine::{EngineConfig, HashedFields, Rss};
use synward_proto::{Counter, Endpoint, Tuple};

/// Half-open connections: as many as make a full bucket rare in a table of four times as many slots.
const HALF_OPEN: usize = 1_024;
const SLOTS: u32 = 4_096;
/// Buckets of eight slots.
const BUCKETS: u64 = SLOTS as u64 / 8;

fn source(n: u32) -> Endpoint {
    Endpoint::new(Ipv4Addr::from(0x1400_0000 + (n << 4)).into(), 1_024 + (n % 60_000) as u16)
}

/// Entries that had to make room for others, when the chosen SYNs have come.
fn evicted(chosen: &[Endpoint]) -> u64 {
    let limits = EngineConfig { syn_table: SLOTS, somaxconn: 4_096, half_opens_per_prefix: None, ..config() };
    let mut bed = Bed::with_backlog(limits, 4_096);
    let frames: Vec<_> = chosen.iter().map(|&from| frame(&syn(from, 1))).collect();
    assert_eq!(bed.exchange(&frames).len(), chosen.len());
    let evicted = bed.count(Counter::HalfOpenEvicted);
    assert_eq!(bed.gauges().half_open + evicted, chosen.len() as u64);
    bed.assert_drains();
    evicted
}

/// The places of what collides under a hash that the attacker knows are as good as random: no more than a few entries meet a
/// full bucket, where a bucket that all of them shared would hold eight.
#[test]
fn what_collides_under_a_known_hash_does_not_collide_here() {
    let tuple = |remote| Tuple { local: SERVER, remote };
    let known = SipHasher13::new_with_key(&[0; 16]);
    let low_bits = |remote: &Endpoint| known.hash(&hashed(remote)).is_multiple_of(BUCKETS);
    let rss = Rss::new(&[0x6d; Rss::KEY_LEN], (0..128).collect(), FIELDS, FIELDS).expect("a device");
    let one_queue = |remote: &Endpoint| rss.queue_of(&tuple(*remote)) == 0;
    let sum = |remote: &Endpoint| (u32::from(remote.port) ^ address(remote)).is_multiple_of(BUCKETS as u32);

    let random = evicted(&(0..).map(source).take(HALF_OPEN).collect::<Vec<_>>());
    let attacks = [
        evicted(&(0..).map(source).filter(low_bits).take(HALF_OPEN).collect::<Vec<_>>()),
        evicted(&(0..).map(source).filter(one_queue).take(HALF_OPEN).collect::<Vec<_>>()),
        evicted(&(0..).map(source).filter(sum).take(HALF_OPEN).collect::<Vec<_>>()),
    ];
    assert!(random < 10 && attacks.iter().all(|&evicted| evicted < 10), "{random} by chance, {attacks:?} by choice");
}

/// What the table hashes of a tuple over IPv4: addresses and ports, ours first.
fn hashed(remote: &Endpoint) -> Vec<u8> {
    let ours = [192, 0, 2, 1];
    [&ours[..], &address(remote).to_be_bytes(), &SERVER.port.to_be_bytes(), &remote.port.to_be_bytes()].concat()
}

const FIELDS: HashedFields = HashedFields::AddressesAndPorts;

fn address(end: &Endpoint) -> u32 {
    match end.addr {
        std::net::IpAddr::V4(v4) => v4.to_bits(),
        std::net::IpAddr::V6(_) => 0,
    }
}
