//! Cookies: what is minted comes home, and nothing else does.

use crate::samples;
use arbitrary::{Arbitrary, Unstructured};
use std::time::Duration;
use synward_proto::half_open::{Clock, HalfOpen, Negotiated, Offer, Scales};
use synward_proto::isn::Secrets;
use synward_proto::segment::{Mss, Timestamps, WindowScale};
use synward_proto::syn_cookie::{CookieJar, Echo, tick};
use synward_proto::{Instant, SeqNum, Tuple};

/// The bits of a sequence number, and those of a TSval, that are hash and mask nothing: with one of them changed, the same
/// options would need another hash.
const ISS_HASH_ONLY: std::ops::Range<u32> = 14..32;
const STAMP_HASH_ONLY: std::ops::Range<u32> = 10..32;

/// One cookie's life.
#[derive(Arbitrary, Debug)]
struct Life {
    peer: u16,
    is_v6: bool,
    irs: u32,
    mss: u16,
    scale: Option<u8>,
    sack: bool,
    stamp: Option<u32>,
    ecn: bool,
    key_life_seconds: u16,
    minted_millis: u32,
    /// Between minting and coming home.
    away_millis: u16,
    /// What the listener offers when it comes home.
    offers_scale: Option<u8>,
    offers_sack: bool,
    offers_stamps: bool,
    /// What is echoed, instead.
    spoilt: Spoilt,
}

/// How what comes home differs from what was sent.
#[derive(Arbitrary, Debug)]
enum Spoilt {
    Not,
    IssHash(u8),
    StampHash(u8),
    Anything { iss: u32, irs: u32, stamps: Option<(u32, u32)> },
    Iss(u32),
    Irs(u32),
    Port(u16),
    Stamps(Option<(u32, u32)>),
}

/// A cookie comes home in its own tick and in the next, with what it was minted for, if that is still offered; one whose hash
/// is changed never does; and whatever is taken at all is what the jar itself mints for what it was taken for.
pub fn cookie(data: &[u8]) {
    if let Ok(life) = Life::arbitrary(&mut Unstructured::new(data)) {
        live(&life);
    }
}

fn live(life: &Life) {
    let mut jar = CookieJar::new(
        Secrets::from_seed(&[7; Secrets::SEED_LEN]).cookie_keys(Duration::from_secs(life.key_life_seconds.into())),
    );
    let tuple = samples::peer(life.peer % 20_000, life.is_v6);
    let minted = Instant::from_millis(life.minted_millis.into());
    let home = minted + Duration::from_millis(life.away_millis.into());
    let sent = jar.encode(minted, &tuple, &agreed(life));
    let honest = echo(&sent, minted);
    let (tuple, echo) = spoil(life, tuple, &honest);
    let offer = offer(life);
    let taken = jar.decode(home, &tuple, &echo, &offer);

    if let Some(half_open) = taken {
        only_what_is_offered(&half_open, &offer);
        only_what_is_minted(&mut jar, home, &tuple, &echo, &half_open);
    }
    let ticks = tick(home) - tick(minted);
    match life.spoilt {
        Spoilt::Not => match expected(&sent, &echo, &offer, home).filter(|_| ticks <= 1) {
            Some(wanted) => assert_eq!(taken, Some(wanted)),
            // Without timestamps that it was minted with, a cookie is only as good as a guess.
            None if ticks <= 1 && sent.negotiated.timestamps.is_some() && !offer.timestamps => {}
            None => assert_eq!(taken.filter(|_| ticks <= 1), None, "{ticks} ticks later"),
        },
        Spoilt::IssHash(_) if ticks <= 1 && (offer.timestamps || life.stamp.is_none()) => assert_eq!(taken, None),
        Spoilt::StampHash(_) if life.stamp.is_some() && offer.timestamps => assert_eq!(taken, None),
        _ => {}
    }
}

fn agreed(life: &Life) -> Negotiated {
    Negotiated {
        iss: SeqNum(0),
        irs: SeqNum(life.irs),
        send_mss: Mss::announced(life.mss).unwrap_or(Mss::MIN),
        scales: life.scale.map(|peer| Scales { peer: WindowScale::clamped(peer), ours: WindowScale::clamped(7) }),
        sack: life.sack,
        timestamps: life.stamp.map(|recent| Clock { recent, offset: 0 }),
        ecn: life.ecn,
    }
}

fn offer(life: &Life) -> Offer {
    Offer {
        window_scale: life.offers_scale.map(WindowScale::clamped),
        sack: life.offers_sack,
        timestamps: life.offers_stamps,
        ..Offer::default()
    }
}

/// What an honest client sends home.
fn echo(sent: &HalfOpen, minted: Instant) -> Echo {
    let Negotiated { iss, irs, timestamps, .. } = sent.negotiated;
    let timestamps =
        timestamps.map(|clock| Timestamps { value: clock.recent.wrapping_add(5), echo: clock.stamp(minted).value });
    Echo { iss, irs, timestamps }
}

fn spoil(life: &Life, tuple: Tuple, honest: &Echo) -> (Tuple, Echo) {
    let stamps = |given: Option<(u32, u32)>| given.map(|(value, echo)| Timestamps { value, echo });
    let bit = |range: std::ops::Range<u32>, number: u8| 1 << (range.start + u32::from(number) % range.len() as u32);
    let Echo { iss, irs, timestamps } = *honest;
    let echo = match life.spoilt {
        Spoilt::Not => *honest,
        Spoilt::IssHash(number) => Echo { iss: SeqNum(iss.0 ^ bit(ISS_HASH_ONLY, number)), ..*honest },
        Spoilt::StampHash(number) => {
            let bit = bit(STAMP_HASH_ONLY, number);
            Echo { timestamps: timestamps.map(|ours| Timestamps { echo: ours.echo ^ bit, ..ours }), ..*honest }
        }
        Spoilt::Anything { iss, irs, stamps: given } => {
            Echo { iss: SeqNum(iss), irs: SeqNum(irs), timestamps: stamps(given) }
        }
        Spoilt::Iss(step) => Echo { iss: iss + step, ..*honest },
        Spoilt::Irs(step) => Echo { irs: irs + step, ..*honest },
        Spoilt::Port(port) => return (samples::peer(port % 20_000, life.is_v6), *honest),
        Spoilt::Stamps(given) => Echo { timestamps: stamps(given), ..*honest },
    };
    (tuple, echo)
}

/// What an honest echo is to be taken for; `None` where the offer has shrunk meanwhile.
fn expected(sent: &HalfOpen, echo: &Echo, offer: &Offer, home: Instant) -> Option<HalfOpen> {
    let Negotiated { scales, sack, timestamps, .. } = sent.negotiated;
    let refused = scales.is_some() && offer.window_scale.is_none()
        || sack && !offer.sack
        || timestamps.is_some() && !offer.timestamps;
    let clock = echo
        .timestamps
        .map(|theirs| Clock { recent: theirs.value, offset: theirs.echo.wrapping_sub(home.as_millis() as u32) });
    let scales = scales.zip(offer.window_scale).map(|(Scales { peer, .. }, ours)| Scales { peer, ours });
    let negotiated = Negotiated { scales, timestamps: timestamps.and(clock), ecn: false, ..sent.negotiated };
    (!refused).then_some(HalfOpen { negotiated, timeouts: 0, round_trip: None })
}

fn only_what_is_offered(half_open: &HalfOpen, offer: &Offer) {
    let HalfOpen { negotiated, timeouts, round_trip } = half_open;
    assert!(offer.sack || !negotiated.sack, "SACK is off");
    assert!(offer.timestamps || negotiated.timestamps.is_none(), "timestamps are off");
    assert!(offer.window_scale.is_some() || negotiated.scales.is_none(), "window scaling is off");
    assert!(negotiated.scales.is_none_or(|scales| Some(scales.ours) == offer.window_scale));
    assert!(negotiated.scales.is_none_or(|scales| scales.peer.shift() <= 14));
    assert!(!negotiated.ecn, "no cookie carries ECN");
    assert_eq!((*timeouts, *round_trip), (0, None));
}

/// There is one valid hash for each setting: what is taken is, to the bit, what this tick or the one before it mints for it.
fn only_what_is_minted(jar: &mut CookieJar, home: Instant, tuple: &Tuple, echo: &Echo, taken: &HalfOpen) {
    let before = Instant::from_nanos(home.as_nanos().saturating_sub(synward_proto::syn_cookie::TICK.as_nanos() as u64));
    let mints = [home, before].into_iter().any(|minted| {
        let again = jar.encode(minted, tuple, &taken.negotiated).negotiated;
        let stamp = again.timestamps.map(|clock| clock.stamp(minted).value);
        let echoed = taken.negotiated.timestamps.and(echo.timestamps).map(|stamps| stamps.echo);
        again.iss == echo.iss && stamp == echoed && again.irs == echo.irs
    });
    assert!(mints, "taken, and never minted: {echo:?} for {taken:?}");
}
