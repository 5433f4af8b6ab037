//! Cookies guessed: every sequence number there is, for one tuple.

use crate::Options;
use crate::row::Row;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, Ipv6Addr};
use synward_engine::{EngineConfig, Secrets};
use synward_proto::half_open::Offer;
use synward_proto::segment::Timestamps;
use synward_proto::syn_cookie::{CookieJar, Echo};
use synward_proto::{Endpoint, Instant, SeqNum, Tuple};

/// Sequence numbers and timestamps tried together: of 2⁶⁴ pairs 2,048 would do.
const PAIRS: u32 = 1 << 26;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let v4 = tuple(Endpoint::new(Ipv4Addr::new(192, 0, 2, 1).into(), 80), Ipv4Addr::new(198, 51, 100, 2).into());
    let local_v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let v6 = tuple(Endpoint::new(local_v6.into(), 80), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).into());
    let (half, rest) = (0..1 << 31, 1 << 31..1 << 32);
    // Both halves at once, and then a sample with timestamps.
    let valid = std::thread::scope(|scope| {
        let other = scope.spawn(|| accepted(&v4, half.map(|n: u64| (n as u32, None))));
        let one = accepted(&v4, rest.map(|n: u64| (n as u32, None)));
        Ok::<_, anyhow::Error>(one + other.join().ok().context("a sweep panicked")?)
    })?;
    let pairs = |n: u32| (n.wrapping_mul(0x9e37_79b9), Some(n.wrapping_mul(0x85eb_ca6b) ^ n >> 7));
    let with_timestamps = [v4, v6].iter().map(|tuple| accepted(tuple, (0..PAIRS).map(pairs))).sum::<u64>();
    Ok(vec![
        Row::new("cookies among all 2^32 acknowledgments of a tuple", "128", valid.to_string(), valid == 128),
        Row::new(
            &format!("with timestamps, among {} pairs", 2 * u64::from(PAIRS)),
            "0",
            with_timestamps.to_string(),
            with_timestamps == 0,
        ),
    ])
}

fn tuple(local: Endpoint, remote: std::net::IpAddr) -> Tuple {
    Tuple { local, remote: Endpoint::new(remote, 40_000) }
}

/// How many of these sequence numbers, each with a timestamp or without, are taken for a cookie.
fn accepted(tuple: &Tuple, guesses: impl Iterator<Item = (u32, Option<u32>)>) -> u64 {
    let keys = Secrets::from_seed(1).cookie_keys(EngineConfig::default().cookie_key_life);
    let (mut jar, now, offer) = (CookieJar::new(keys), Instant::from_millis(1_000_000_000), Offer::default());
    let good = guesses.filter(|&(iss, stamp)| {
        let timestamps = stamp.map(|echo| Timestamps { value: 1, echo });
        jar.decode(now, tuple, &Echo { iss: SeqNum(iss), irs: SeqNum(0xdead_beef), timestamps }, &offer).is_some()
    });
    good.count() as u64
}
