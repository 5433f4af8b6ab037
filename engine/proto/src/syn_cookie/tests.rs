use super::options::{MssClass, Options};
use super::{CookieJar, Echo, KeySchedule, Keys, LIFE, TICK, masked, tick, unmasked};
use crate::half_open::{Clock, HalfOpen, Negotiated, Offer, Syn};
use crate::segment::{Mss, SynOptions, Timestamps, WindowScale};
use crate::{Endpoint, Instant, Marking, SeqNum, Tuple};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use proptest::prelude::*;
use siphasher::sip::SipHasher24;

const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

const V4: Tuple = Tuple {
    local: Endpoint::new(core::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 443),
    remote: Endpoint::new(core::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 77)), 51234),
};

const V6: Tuple = Tuple {
    local: Endpoint::new(core::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 443),
    remote: Endpoint::new(core::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 9, 8, 7, 6, 5, 4)), 51234),
};

const OFFER: Offer = Offer {
    mss_v4: Mss::DEFAULT_V4,
    mss_v6: Mss::DEFAULT_V6,
    window: u16::MAX,
    window_scale: Some(WindowScale::MAX),
    sack: true,
    timestamps: true,
    ecn: true,
    marking: Marking::DEFAULT,
};

/// A jar with one key for ever.
fn jar() -> CookieJar {
    under(&KEY)
}

fn under(key: &[u8; 16]) -> CookieJar {
    let hasher = SipHasher24::new_with_key(key);
    let keys = Keys { current: hasher, previous: hasher };
    CookieJar { schedule: KeySchedule::new(key, Duration::MAX), since: 0, keys }
}

/// A jar whose keys are in force for so many ticks each.
fn changing(ticks_per_key: u32) -> CookieJar {
    CookieJar::new(KeySchedule::new(&KEY, TICK * ticks_per_key))
}

fn secs(seconds: u64) -> Instant {
    Instant::from_millis(1000 * seconds)
}

/// What a SYN with these options agrees on with [`OFFER`].
fn agreed(tuple: &Tuple, mss: Option<u16>, scale: Option<u8>, sack: bool, stamp: Option<u32>) -> Negotiated {
    let options = SynOptions {
        mss: mss.and_then(Mss::announced),
        window_scale: scale.map(WindowScale::clamped),
        sack_permitted: sack,
        timestamps: stamp.map(|value| Timestamps { value, echo: 0 }),
    };
    Negotiated::new(&Syn { tuple: *tuple, irs: SeqNum(0xdead_beef), options, ecn: true }, &OFFER, SeqNum(0), 0)
}

/// The echo of a third segment sent at `later` by a peer that got `cookie` at `now`.
fn echo(cookie: &HalfOpen, now: Instant, their_clock: u32) -> Echo {
    let Negotiated { iss, irs, timestamps, .. } = cookie.negotiated;
    let timestamps = timestamps.map(|clock| Timestamps { value: their_clock, echo: clock.stamp(now).value });
    Echo { iss, irs, timestamps }
}

fn any_agreed() -> impl Strategy<Value = (Tuple, Negotiated)> {
    let tuple = prop_oneof![
        any::<(u32, u32)>().prop_map(|(a, b)| (Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into())),
        any::<(u128, u128)>().prop_map(|(a, b)| (Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into())),
    ];
    let options = (
        prop::option::of(any::<u16>()),
        prop::option::of(0u8..=14),
        any::<bool>(),
        prop::option::of(any::<u32>()),
        any::<u32>(),
    );
    (tuple, any::<(u16, u16)>(), options).prop_map(|((local, remote), ports, (mss, scale, sack, stamp, irs))| {
        let tuple = Tuple { local: Endpoint::new(local, ports.0), remote: Endpoint::new(remote, ports.1) };
        (tuple, Negotiated { irs: SeqNum(irs), ..agreed(&tuple, mss, scale, sack, stamp) })
    })
}

proptest! {
    /// Table and cookie yield the same half-open connection: a cookie gives back what its encoder says, and that is what
    /// the table would have kept, except that the MSS and, without timestamps, the peer's scale are rounded down.
    #[test]
    fn a_cookie_gives_back_what_the_table_would_keep(
        (tuple, agreed) in any_agreed(),
        minted in 0u64..1 << 62,
        age in 0u64..16_000_000_000,
        their_clock: u32,
    ) {
        let (mut jar, minted) = (jar(), Instant::from_nanos(minted));
        let now = minted + Duration::from_nanos(age);
        let cookie = jar.encode(minted, &tuple, &agreed);
        let back = jar.decode(now, &tuple, &echo(&cookie, minted, their_clock), &OFFER);

        let sent = cookie.negotiated.timestamps.map(|clock| clock.stamp(minted).value);
        let timestamps = sent.map(|value| Clock {
            recent: their_clock,
            // Our TSval runs on from the one that was echoed.
            offset: value.wrapping_sub(now.as_millis() as u32),
        });
        let negotiated = Negotiated { timestamps, ..cookie.negotiated };
        prop_assert_eq!(back, Some(HalfOpen { negotiated, timeouts: 0, round_trip: None }));

        prop_assert!(cookie.negotiated.send_mss <= agreed.send_mss || agreed.send_mss < default_mss(&tuple));
        prop_assert!(peer_scale(&cookie.negotiated) <= peer_scale(&agreed));
        let exact = Negotiated {
            iss: agreed.iss,
            send_mss: agreed.send_mss,
            scales: if agreed.timestamps.is_some() { cookie.negotiated.scales } else { agreed.scales },
            timestamps: agreed.timestamps,
            ecn: agreed.ecn,
            ..cookie.negotiated
        };
        prop_assert_eq!(exact, agreed);
        prop_assert!(!cookie.negotiated.ecn);
    }

    /// Nothing but the very cookie is accepted: no bit of anything that it is bound to may differ.
    #[test]
    fn a_cookie_is_bound_to_everything((tuple, agreed) in any_agreed(), now in 0u64..1 << 60, bit in 0u32..32) {
        let (mut jar, now) = (jar(), Instant::from_nanos(now));
        let cookie = jar.encode(now, &tuple, &agreed);
        let good = echo(&cookie, now, 7);
        let flip = |value: u32| value ^ 1 << bit;
        let flip_port = |end: Endpoint| Endpoint { port: end.port ^ 1 << (bit % 16), ..end };
        let moved = [
            tuple.reversed(),
            Tuple { local: flip_port(tuple.local), ..tuple },
            Tuple { remote: flip_port(tuple.remote), ..tuple },
            Tuple { local: tuple.remote, ..tuple },
            Tuple { remote: tuple.local, ..tuple },
        ];
        for other in moved.iter().filter(|other| **other != tuple) {
            prop_assert_eq!(jar.decode(now, other, &good, &OFFER), None);
        }
        let mut forged = Vec::from([
            Echo { iss: SeqNum(flip(good.iss.0)), ..good },
            Echo { irs: SeqNum(flip(good.irs.0)), ..good },
        ]);
        match good.timestamps {
            Some(stamps) => forged.extend([
                Echo { timestamps: None, ..good },
                Echo { timestamps: Some(Timestamps { echo: flip(stamps.echo), ..stamps }), ..good },
            ]),
            None => forged.push(Echo { timestamps: Some(Timestamps { value: 1, echo: flip(0) }), ..good }),
        }
        for echo in forged {
            prop_assert_eq!(jar.decode(now, &tuple, &echo, &OFFER), None, "{:?}", echo);
        }
        prop_assert_eq!(under(&[9; 16]).decode(now, &tuple, &good, &OFFER), None);
    }

    #[test]
    fn masking_is_undone(mac in 0u32..1 << 25, options in 0u32..1 << 7) {
        prop_assert_eq!(unmasked(masked(mac, options, 7), 7), options);
        prop_assert_eq!(masked(mac, options, 7) >> 7, mac);
    }
}

fn peer_scale(negotiated: &Negotiated) -> Option<WindowScale> {
    negotiated.scales.map(|scales| scales.peer)
}

fn default_mss(tuple: &Tuple) -> Mss {
    if tuple.is_ipv6() { Mss::DEFAULT_V6 } else { Mss::DEFAULT_V4 }
}

/// The layout of the module's documentation, byte by byte, and numbers that another implementation can be held against.
#[test]
fn the_layout_is_as_documented() {
    let now = secs(16 * 1001 + 3);
    let sip = SipHasher24::new_with_key(&KEY);
    for (tuple, stamp, want) in [
        (&V4, None, [0x6e73_7a98, 0x0000_0000]),
        (&V4, Some(0x0102_0304), [0xb44a_5dd6, 0x41ce_b1ff]),
        (&V6, None, [0xfaf1_24a4, 0x0000_0000]),
        (&V6, Some(0x0102_0304), [0x6a7e_0af8, 0xbd41_ecb5]),
    ] {
        let mut bytes: Vec<u8> = Vec::new();
        match (tuple.local.addr, tuple.remote.addr) {
            (core::net::IpAddr::V4(local), core::net::IpAddr::V4(remote)) => {
                bytes.extend(local.octets());
                bytes.extend(remote.octets());
            }
            (core::net::IpAddr::V6(local), core::net::IpAddr::V6(remote)) => {
                bytes.extend(local.octets());
                bytes.extend(remote.octets());
            }
            _ => unreachable!(),
        }
        bytes.extend(443u16.to_be_bytes());
        bytes.extend(51234u16.to_be_bytes());
        bytes.extend(0xdead_beef_u32.to_be_bytes());
        bytes.extend(1001u32.to_be_bytes());
        // An odd tick, an MSS of 1,440 (class 2 of both families), window scale 8 (class 6), SACK.
        let low = 1 << 6 | 2 << 4 | 6 << 1 | 1;
        let high = 8 << 1;
        let word: u32 = if stamp.is_some() { low | 1 << 8 | high << 16 } else { low };
        bytes.extend(word.to_be_bytes());
        let hash = sip.hash(&bytes);
        let iss = (hash >> 39 << 7) as u32 | (low ^ (hash >> 39) as u32 & 0x7f);
        let tsval = (hash << 5) as u32 | (high ^ hash as u32 & 0x1f);

        let cookie = jar().encode(now, tuple, &agreed(tuple, Some(1440), Some(8), true, stamp)).negotiated;
        assert_eq!(cookie.iss.0, iss, "{tuple:?} {stamp:?}");
        let sent = cookie.timestamps.map(|clock| clock.stamp(now).value);
        assert_eq!(sent, stamp.map(|_| tsval), "{tuple:?} {stamp:?}");
        assert_eq!([iss, sent.unwrap_or(0)], want, "{tuple:?} {stamp:?}: {:#010x} {:#010x}", iss, sent.unwrap_or(0));
    }
}

#[test]
fn a_cookie_lives_16_to_32_seconds() {
    let mut jar = jar();
    assert_eq!((TICK, LIFE), (Duration::from_secs(16), Duration::from_secs(32)));
    for (minted, last_valid) in [(0, 31_999), (15_999, 31_999), (16_000, 47_999), (160_001, 191_999)] {
        let minted = Instant::from_millis(minted);
        let cookie = jar.encode(minted, &V4, &agreed(&V4, None, None, false, None));
        let mut valid =
            |millis| jar.decode(Instant::from_millis(millis), &V4, &echo(&cookie, minted, 0), &OFFER).is_some();
        assert!(valid(minted.as_millis()) && valid(last_valid));
        assert!(!valid(last_valid + 1), "minted at {minted:?}");
        assert!((1..6).all(|ticks| !valid(last_valid + 1 + 16_000 * ticks)), "nor ever again");
        if minted.as_millis() >= 16_000 {
            assert!(!valid(minted.as_millis() - 16_000), "nor before its time");
        }
    }
}

/// One value of the 2²⁵ is valid for each of the 128 settings. The hash depends on the setting and not on the guess, so
/// all guesses for one setting, and guesses close to the valid one for the others, speak for the whole space.
/// [`all_sequence_numbers`] counts without that argument.
#[test]
fn exactly_128_sequence_numbers_are_valid() {
    let (mut jar, now) = (jar(), secs(1_000_000));
    let valid: BTreeSet<u32> = (0..128)
        .map(|setting| {
            let options = Options { iss: setting, stamp: None };
            let [mac, _] = jar.macs(options.minted(tick(now)), &V4, SeqNum(0xdead_beef), &options);
            masked(mac, setting, 7)
        })
        .collect();
    let mut decode = |iss: u32| {
        let echo = Echo { iss: SeqNum(iss), irs: SeqNum(0xdead_beef), timestamps: None };
        jar.decode(now, &V4, &echo, &OFFER)
    };
    assert_eq!(valid.len(), 128);
    assert!(valid.iter().all(|&iss| decode(iss).is_some()));
    let exhaustive = (0..1 << 25).map(|mac| masked(mac, 0x2d, 7));
    let near = valid.iter().flat_map(|&iss| (0..32).map(move |bit| iss ^ 1 << bit));
    assert!(exhaustive.chain(near).all(|iss| decode(iss).is_some() == valid.contains(&iss)));
}

/// The same over the whole space: about two minutes in a release build.
#[test]
#[ignore = "counts 2^32 sequence numbers; run in a release build"]
fn all_sequence_numbers() {
    let (mut jar, now) = (jar(), secs(1_000_000));
    let valid = (0..=u32::MAX).filter(|&iss| {
        let echo = Echo { iss: SeqNum(iss), irs: SeqNum(0xdead_beef), timestamps: None };
        jar.decode(now, &V4, &echo, &OFFER).is_some()
    });
    assert_eq!(valid.count(), 128);
}

/// With timestamps there is one valid TSval per window scale for each of the 128 sequence numbers, and so 2⁷ · 2⁴ valid
/// pairs of 2⁶⁴: a blind guess succeeds with 2⁻⁵³.
#[test]
fn with_timestamps_one_pair_is_valid_per_setting() {
    let (mut jar, now) = (jar(), secs(1_000_000));
    let mut pairs = BTreeSet::new();
    for (setting, stamp) in (0..128).flat_map(|setting| (0..32).map(move |stamp| (setting, stamp))) {
        let options = Options { iss: setting, stamp: Some(stamp) };
        let [mac, stamp_mac] = jar.macs(options.minted(tick(now)), &V4, SeqNum(1), &options);
        let (iss, value) = (masked(mac, setting, 7), masked(stamp_mac, stamp, 5));
        let mut decode = |iss, value| {
            let timestamps = Some(Timestamps { value: 0, echo: value });
            jar.decode(now, &V4, &Echo { iss: SeqNum(iss), irs: SeqNum(1), timestamps }, &OFFER)
        };
        assert_eq!(decode(iss, value).is_some(), stamp & 1 == 0, "ECN is refused, everything else accepted");
        assert!((0..32).all(|bit| decode(iss ^ 1 << bit, value).is_none() && decode(iss, value ^ 1 << bit).is_none()));
        pairs.insert((iss, value));
    }
    assert_eq!(pairs.len(), 1 << (7 + 5));
}

proptest! {
    /// Whatever moments they are called at, also after a long sleep or when the clock steps back: whoever has the schedule
    /// mints the same cookies, and checks those of all others until their life is over, keys changing meanwhile.
    #[test]
    fn jars_of_one_schedule_agree(
        ticks_per_key in 1u32..5,
        calls in prop::collection::vec((0u64..2_000_000, any::<bool>()), 1..20),
        age in 0u64..100_000,
    ) {
        let mut busy = changing(ticks_per_key);
        let agreed = agreed(&V4, None, None, false, None);
        for (millis, minted_here) in calls {
            let (minted, now) = (Instant::from_millis(millis), Instant::from_millis(millis + age));
            let mut fresh = changing(ticks_per_key);
            let cookie = if minted_here { busy.encode(minted, &V4, &agreed) } else { fresh.encode(minted, &V4, &agreed) };
            prop_assert_eq!(fresh.encode(minted, &V4, &agreed), cookie);
            let is_alive = tick(now) - tick(minted) <= 1;
            prop_assert_eq!(busy.decode(now, &V4, &echo(&cookie, minted, 0), &OFFER).is_some(), is_alive);
            prop_assert_eq!(fresh.decode(now, &V4, &echo(&cookie, minted, 0), &OFFER).is_some(), is_alive);
        }
    }
}

/// The cookie of a tick is made under the key that the schedule gives its epoch: what another implementation is told.
#[test]
fn the_key_of_a_tick_is_that_of_its_epoch() {
    let agreed = agreed(&V4, Some(1460), Some(7), true, Some(1));
    let mut jar = changing(3);
    let schedule = jar.schedule.clone();
    for second in (0..16 * 20).chain([16 * 3 * 1_000_000 - 1, 16 * 3 * 1_000_000]) {
        let key = schedule.key(tick(secs(second)) / 3);
        assert_eq!(jar.encode(secs(second), &V4, &agreed), under(&key).encode(secs(second), &V4, &agreed), "{second}");
    }
}

#[test]
fn a_new_key_makes_new_cookies() {
    let mint = |mut jar: CookieJar, second| jar.encode(secs(second), &V4, &agreed(&V4, None, None, false, None));
    assert_eq!(mint(changing(2), 31), mint(changing(3), 31), "both are in their first epoch");
    assert_ne!(mint(changing(2), 32), mint(changing(3), 32));
    assert_ne!(mint(changing(1), 32), mint(changing(2), 32));
}

#[test]
fn what_is_not_offered_is_refused() {
    let (mut jar, now) = (jar(), secs(50));
    for stamp in [None, Some(9)] {
        let cookie = jar.encode(now, &V4, &agreed(&V4, None, Some(7), true, stamp));
        let mut taken = |offer: Offer| jar.decode(now, &V4, &echo(&cookie, now, 0), &offer).is_some();
        assert!(taken(OFFER));
        assert!(!taken(Offer { sack: false, ..OFFER }));
        assert!(!taken(Offer { window_scale: None, ..OFFER }));
        assert_eq!(taken(Offer { timestamps: false, ..OFFER }), stamp.is_none());
    }
}

#[test]
fn mss_classes_round_down_to_what_linux_has() {
    for (tuple, announced, want) in [
        (&V4, &[1, 535, 536, 1299][..], 536),
        (&V4, &[1300, 1439], 1300),
        (&V4, &[1440, 1459], 1440),
        (&V4, &[1460, 8960, 65535], 1460),
        (&V6, &[1, 1220, 1419], 1220),
        (&V6, &[1420, 1439], 1420),
        (&V6, &[1440, 1460, 8939], 1440),
        (&V6, &[8940, 65535], 8940),
    ] {
        for &announced in announced {
            let class = MssClass::of(Mss::announced(announced).unwrap(), tuple);
            assert_eq!(class.size(tuple).get(), want, "{announced} over {tuple:?}");
        }
    }
}

#[test]
fn window_scales_are_kept_with_timestamps_and_rounded_down_without() {
    let (mut jar, now) = (jar(), secs(77));
    let mut kept = |scale, stamp| {
        let cookie = jar.encode(now, &V6, &agreed(&V6, None, scale, false, stamp));
        let back = jar.decode(now, &V6, &echo(&cookie, now, 0), &OFFER).unwrap();
        assert_eq!(back.negotiated.scales, cookie.negotiated.scales);
        back.negotiated.scales.map(|scales| scales.peer.shift())
    };
    assert_eq!((kept(None, None), kept(None, Some(1))), (None, None));
    let rounded: Vec<_> = (0..=14).map(|scale| kept(Some(scale), None).unwrap()).collect();
    assert_eq!(rounded, [0, 0, 2, 2, 4, 4, 6, 7, 8, 8, 10, 10, 10, 10, 10]);
    let exact: Vec<_> = (0..=14).map(|scale| kept(Some(scale), Some(1)).unwrap()).collect();
    assert_eq!(exact, (0..=14).collect::<Vec<_>>());
}

/// Every class of MSS, met and missed by one, with every scale and none, SACK and timestamps or not, minted in ticks of either
/// parity and brought back in each tick until it is too old: it says what it was made of, rounded down where it must be.
#[test]
fn all_settings_come_back() {
    let (sizes_v4, sizes_v6) = ([536, 1300, 1440, 1460], [1220, 1420, 1440, 8940]);
    let scales = || (0..=14).map(Some).chain([None]);
    for (tuple, sizes) in [(&V4, sizes_v4), (&V6, sizes_v6)] {
        let announced = sizes.into_iter().flat_map(|size| [size - 1, size, size + 1]).chain([48, u16::MAX]);
        for (mss, scale) in announced.flat_map(|mss| scales().map(move |scale| (mss, scale))) {
            for (setting, minted) in (0..4).flat_map(|setting| [6, 7].map(|tick| (setting, tick))) {
                let (sack, stamp) = (setting & 1 == 1, (setting & 2 == 2).then_some(9));
                let (mut jar, sent) = (changing(1), secs(16 * minted + 3));
                let cookie = jar.encode(sent, tuple, &agreed(tuple, Some(mss), scale, sack, stamp));
                let heard = echo(&cookie, sent, 10);
                for later in 0..2 {
                    let back = jar.decode(sent + TICK * later, tuple, &heard, &OFFER).expect("valid").negotiated;
                    let size = sizes.into_iter().rfind(|&size| size <= mss).unwrap_or(sizes[0]);
                    assert_eq!((back.send_mss.get(), back.sack), (size, sack), "{mss} {scale:?}");
                    let rounded =
                        scale.map(|scale| [0, 0, 2, 2, 4, 4, 6, 7, 8, 8, 10, 10, 10, 10, 10][usize::from(scale)]);
                    let kept = if stamp.is_some() { scale } else { rounded };
                    assert_eq!(peer_scale(&back).map(WindowScale::shift), kept);
                    assert_eq!(back.timestamps.map(|clock| clock.recent), stamp.map(|_| 10));
                }
                assert_eq!(jar.decode(sent + TICK * 2, tuple, &heard, &OFFER), None, "too old");
            }
        }
    }
}

/// Each of the 2⁷ codes of a sequence number, alone and with each of the 2⁵ of a TSval, has a word of its own, and says what it
/// was made of.
#[test]
fn all_codes_are_told_apart() {
    let stamps = || (0..32).map(Some).chain([None]);
    let words: BTreeSet<_> =
        (0..128).flat_map(|iss| stamps().map(move |stamp| Options { iss, stamp }.word())).collect();
    assert_eq!(words.len(), 128 * 33);
    for (iss, tick) in (0..128).flat_map(|iss| [40, 41].map(|tick| (iss, tick))) {
        let code = Options { iss, stamp: None };
        let again = Options::new(
            code.minted(tick),
            code.mss_class(),
            code.peer_scale().expect("any class"),
            code.sack(),
            false,
        );
        assert_eq!((again.iss, again.stamp), (iss, None));
        assert!((tick - 1..=tick).contains(&code.minted(tick)));
        for mac in [0, 1, 0x55_5555, 0x1ff_ffff] {
            assert_eq!(unmasked(masked(mac, iss, 7), 7), iss);
        }
    }
}

#[test]
fn the_option_bits_do_not_show() {
    let mut jar = jar();
    let ends: BTreeSet<_> = (0..4096u16)
        .map(|port| {
            let tuple = Tuple { remote: Endpoint { port, ..V4.remote }, ..V4 };
            let cookie = jar.encode(secs(5), &tuple, &agreed(&tuple, Some(1460), Some(7), true, Some(1)));
            let stamp = cookie.negotiated.timestamps.unwrap().stamp(secs(5)).value;
            (cookie.negotiated.iss.0 & 0x7f, stamp & 0x1f)
        })
        .collect();
    // 4,096 draws of 4,096 pairs: about 63 % of them turn up.
    assert!(ends.len() > 2400, "{}", ends.len());
}
