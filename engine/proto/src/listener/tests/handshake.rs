//! The handshake that everybody wants.

use super::*;
use crate::half_open::{Clock, Negotiated, Scales};
use crate::syn_table::Expired;
use proptest::prelude::*;

#[test]
fn syn_syn_ack_ack() {
    for tuple in [tuple(1), tuple_v6(1)] {
        let mut bed = Bed::new(Syncookies::Auto, 8);
        let (syn_ack, counts) = bed.syn_ack(&syn(tuple, usual_options(700)));
        assert!(counts.is_empty());
        assert_eq!(syn_ack.window, OFFER.window, "never scaled");
        let mss = if tuple.is_ipv6() { Mss::DEFAULT_V6 } else { Mss::DEFAULT_V4 };
        let Options::Syn(options) = syn_ack.options else { panic!("a SYN-ACK has the options of a SYN") };
        let stamp = options.timestamps.unwrap();
        assert_eq!(stamp.echo, 700);
        let timestamps = Some(stamp);
        let want = SynOptions { mss: Some(mss), window_scale: OFFER.window_scale, sack_permitted: true, timestamps };
        assert_eq!(options, want);
        assert_eq!(bed.half_open(), 1);

        bed.pass(25);
        let (half_open, counts) = bed.open(&third(&syn_ack, 20));
        assert_eq!(counts, Counts::of(&[Counter::PassiveOpens]));
        let negotiated = Negotiated {
            iss: syn_ack.seq,
            irs: IRS,
            send_mss: Mss::announced(1460).unwrap(),
            scales: Some(Scales { peer: WindowScale::clamped(7), ours: WindowScale::MAX }),
            sack: true,
            timestamps: Some(Clock { recent: 720, offset: stamp.value.wrapping_sub(5_000_000) }),
            ecn: false,
        };
        assert_eq!(half_open, HalfOpen { negotiated, timeouts: 0, round_trip: Some(Duration::from_millis(25)) });
        assert_eq!((bed.half_open(), bed.room.waiting.get()), (0, 1));
    }
}

#[test]
fn an_option_is_used_only_if_both_sides_have_it() {
    // MSS is announced in any case.
    for asked in 0..8u8 {
        for offered in 0..8u8 {
            let has = |set: u8, bit: u8| set & bit != 0;
            let offer = Offer {
                window_scale: OFFER.window_scale.filter(|_| has(offered, 1)),
                sack: has(offered, 2),
                timestamps: has(offered, 4),
                ..OFFER
            };
            let mut bed = Bed::with(&ListenerConfig { offer, ..config(Syncookies::Never, 8) }, 8);
            let usual = usual_options(1);
            let (syn_ack, _) = bed.syn_ack(&syn(
                tuple(1),
                SynOptions {
                    mss: None,
                    window_scale: usual.window_scale.filter(|_| has(asked, 1)),
                    sack_permitted: has(asked, 2),
                    timestamps: usual.timestamps.filter(|_| has(asked, 4)),
                },
            ));
            let Options::Syn(options) = syn_ack.options else { panic!() };
            let both = asked & offered;
            assert_eq!(options.mss, Some(Mss::DEFAULT_V4));
            assert_eq!(options.window_scale, OFFER.window_scale.filter(|_| has(both, 1)));
            assert_eq!((options.sack_permitted, options.timestamps.is_some()), (has(both, 2), has(both, 4)));
            let Negotiated { send_mss, scales, sack, timestamps, .. } = bed.open(&third(&syn_ack, 0)).0.negotiated;
            assert_eq!(send_mss, Mss::DEFAULT_V4, "MUST-15");
            assert_eq!((scales.is_some(), sack, timestamps.is_some()), (has(both, 1), has(both, 2), has(both, 4)));
        }
    }
}

#[test]
fn data_on_the_syn_is_left_to_be_sent_again() {
    for syncookies in [Syncookies::Never, Syncookies::Always] {
        let mut bed = Bed::new(syncookies, 8);
        let with_data = Segment { payload: Span { start: 54, len: 1400 }, ..plain_syn(1) };
        // `syn_ack` checks that the SYN alone is acknowledged.
        let (syn_ack, _) = bed.syn_ack(&with_data);
        assert_eq!(bed.open(&third(&syn_ack, 0)).0.negotiated.irs, IRS);
    }
}

/// RFC 3168, section 6.1.1: ECE and CWR together ask for ECN. No combination is refused, those of RFC 9768 (AE) neither, and a
/// cookie never agrees.
#[test]
fn every_combination_of_ecn_bits_on_a_syn_is_answered() {
    const CAPABLE: [Codepoint; 3] = [Codepoint::Ect0, Codepoint::Ect1, Codepoint::Ce];
    for bits in 0..1 << 5 {
        let asked = [Flags::ECE, Flags::CWR, Flags::AE, Flags::PSH, Flags::URG];
        let flags: Flags = (0..).zip(asked).filter(|(bit, _)| bits & 1 << bit != 0).map(|(_, flag)| flag).collect();
        let both = flags.contains(Flags::ECE | Flags::CWR);
        for ecn in [Codepoint::NotEct].into_iter().chain(CAPABLE) {
            let agrees = both && (ecn == Codepoint::NotEct || flags.contains(Flags::AE));
            for (syncookies, agrees) in [(Syncookies::Auto, agrees), (Syncookies::Always, false)] {
                let mut bed = Bed::new(syncookies, 8);
                let (syn_ack, _) = bed.syn_ack(&Segment { flags: Flags::SYN | flags, ecn, ..plain_syn(1) });
                let answered = if agrees { FLAGS_SA | Flags::ECE } else { FLAGS_SA };
                assert_eq!(syn_ack.flags, answered, "{flags:?}, {ecn:?}, {syncookies:?}");
                assert_eq!(syn_ack.marking.ecn, Codepoint::NotEct, "no SYN-ACK is ECN-capable");
                assert_eq!(bed.open(&third(&syn_ack, 0)).0.negotiated.ecn, agrees);
            }
        }
    }
}

#[test]
fn the_third_segment_may_carry_data_or_fin_or_be_lost() {
    // (flags, payload, bytes lost before it)
    for (flags, len, lost) in [
        (Flags::ACK | Flags::PSH, 100, 0),
        (FLAGS_FA, 0, 0),
        (FLAGS_FA, 100, 0),
        (Flags::ACK | Flags::PSH, 100, 1000),
        (Flags::ACK | Flags::ECE | Flags::CWR, 0, 0),
    ] {
        let mut bed = Bed::new(Syncookies::Auto, 8);
        let (syn_ack, _) = bed.syn_ack(&syn(tuple(1), usual_options(50)));
        let ack = third(&syn_ack, 9);
        let first = Segment { flags, payload: Span { start: 66, len }, seq: ack.seq + lost, ..ack };
        let clock = bed.open(&first).0.negotiated.timestamps.unwrap();
        assert_eq!(clock.recent, if lost == 0 { 59 } else { 50 }, "only a segment in order is echoed");
    }
}

#[test]
fn an_ack_without_the_agreed_timestamps_completes_as_in_linux() {
    let mut bed = Bed::new(Syncookies::Auto, 8);
    let (syn_ack, _) = bed.syn_ack(&syn(tuple(1), usual_options(50)));
    let half_open = bed.open(&Segment { options: Options::NONE, ..third(&syn_ack, 0) }).0;
    assert_eq!(half_open.negotiated.timestamps.map(|clock| clock.recent), Some(50));
}

#[test]
fn the_initial_sequence_number_and_the_timestamp_offset_come_from_the_secrets() {
    let mut bed = Bed::new(Syncookies::Auto, 8);
    let (first, _) = bed.syn_ack(&syn(tuple(1), usual_options(1)));
    assert_eq!(first.seq, bed.shared.secrets.isn(bed.now, &tuple(1)));
    let (second, _) = bed.syn_ack(&syn(tuple(2), usual_options(1)));
    let stamp = |head: &Head| head.options.timestamps().unwrap().value;
    assert_eq!(stamp(&first), stamp(&second), "one offset for a pair of addresses");
    bed.pass(250);
    let (third, _) = bed.syn_ack(&syn(tuple(3), usual_options(1)));
    assert_eq!(stamp(&third), stamp(&first).wrapping_add(250));
}

#[test]
fn a_syn_ack_that_timed_out_is_counted_in_the_half_open_connection() {
    let mut bed = Bed::new(Syncookies::Auto, 8);
    let (syn_ack, _) = bed.syn_ack(&plain_syn(1));
    bed.pass(1000);
    let Some(Expired::Resend { head, .. }) = bed.shared.table.poll_expired(bed.now) else { panic!("due") };
    assert_eq!(head, syn_ack);
    bed.pass(2000);
    assert!(matches!(bed.shared.table.poll_expired(bed.now), Some(Expired::Resend { .. })));
    assert_eq!(bed.open(&third(&syn_ack, 0)).0.timeouts, 2);
}

#[test]
fn closing_a_listener_forgets_its_half_open_connections() {
    let mut bed = Bed::new(Syncookies::Auto, 8);
    (0..5).for_each(|n| _ = bed.syn_ack(&plain_syn(n)));
    let other = Listener::new(&config(Syncookies::Never, 8), &mut bed.shared).unwrap();
    assert_eq!(bed.listener.close(&mut bed.shared), 5);
    assert!(bed.shared.table.is_empty());
    assert_eq!(other.close(&mut bed.shared), 0);
}

proptest! {
    /// From the third segment on nobody can tell table from cookie, where the cookie has a class for every option: the
    /// same SYN and the same third segment give the same half-open connection, apart from the numbers that we chose.
    #[test]
    fn table_and_cookie_yield_the_same(
        mss in prop::option::of(prop::sample::select(&[536u16, 1300, 1440, 1460][..])),
        scale in prop::option::of(0u8..=14),
        sack: bool,
        stamp in prop::option::of(any::<u32>()),
        delay in 0u32..15_000,
        payload in 0u16..1000,
    ) {
        let options = SynOptions {
            mss: mss.and_then(Mss::announced),
            window_scale: scale.map(WindowScale::clamped),
            sack_permitted: sack,
            timestamps: stamp.map(|value| Timestamps { value, echo: 0 }),
        };
        let classed = stamp.is_some() || scale.is_none_or(|shift| [0, 2, 4, 6, 7, 8, 10].contains(&shift));
        prop_assume!(classed);
        let shake = |syncookies| {
            let mut bed = Bed::new(syncookies, 8);
            let (syn_ack, _) = bed.syn_ack(&syn(tuple(1), options));
            bed.pass(u64::from(delay));
            let ack = Segment { payload: Span { start: 66, len: payload }, ..third(&syn_ack, delay) };
            let (half_open, _) = bed.open(&ack);
            // What the peer sees next must run on from what it has seen.
            let echoed = ack.options.timestamps().map(|stamps| stamps.echo);
            let next = half_open.negotiated.timestamps.map(|clock| clock.stamp(bed.now).value);
            let advance = next.zip(echoed).map(|(next, echoed)| next.wrapping_sub(echoed));
            assert!(advance.is_none_or(|millis| millis <= delay), "{advance:?}");
            let timestamps = half_open.negotiated.timestamps.map(|clock| Clock { offset: 0, ..clock });
            Negotiated { iss: SeqNum(0), timestamps, ..half_open.negotiated }
        };
        prop_assert_eq!(shake(Syncookies::Never), shake(Syncookies::Always));
    }
}

/// Karn's rule: what answers two SYN-ACKs measures neither, whether the timer or the peer's SYN asked for the second.
#[test]
fn only_a_syn_ack_that_was_sent_once_is_measured() {
    for (again, round_trip) in [(None, Some(40)), (Some(false), None), (Some(true), None)] {
        let mut bed = Bed::new(Syncookies::Never, 8);
        let (syn_ack, _) = bed.syn_ack(&plain_syn(1));
        match again {
            None => {}
            Some(false) => {
                bed.pass(1_000);
                let _ = bed.shared.table.poll_expired(bed.now).expect("the SYN-ACK is due again");
            }
            Some(true) => {
                bed.pass(600);
                let _ = bed.syn_ack(&plain_syn(1));
            }
        }
        bed.pass(40);
        let (half_open, _) = bed.open(&third(&syn_ack, 0));
        assert_eq!(half_open.round_trip, round_trip.map(Duration::from_millis), "{again:?}");
    }
}
