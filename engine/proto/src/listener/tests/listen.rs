//! LISTEN: segments of peers that we know nothing of.

use super::*;

/// Everything that is not a SYN, in every cookie mode while no cookie was sent.
#[test]
fn strangers() {
    use DropReason::{BadCookie, NotASyn, StrayRst, TcpFlags};
    for (flags, reason, resets) in [
        (Flags::RST, StrayRst, false),
        (FLAGS_RA, StrayRst, false),
        (Flags::ACK, BadCookie, true),
        (FLAGS_FA, BadCookie, true),
        (Flags::ACK | Flags::PSH, BadCookie, true),
        (FLAGS_SA, NotASyn, true),
        (FLAGS_SA | Flags::FIN, NotASyn, true),
        (Flags::SYN | Flags::FIN, TcpFlags, false),
        (Flags::SYN | Flags::FIN | Flags::PSH | Flags::URG, TcpFlags, false),
        (Flags::FIN, NotASyn, false),
        (Flags::PSH, NotASyn, false),
        (Flags::empty(), NotASyn, false),
    ] {
        for syncookies in [Syncookies::Never, Syncookies::Auto] {
            let mut bed = Bed::new(syncookies, 8);
            let stranger = Segment { ack: SeqNum(123_456), ..segment(tuple(1), flags, SeqNum(5)) };
            let want = Verdict { reply: resets.then(|| reset_for(&stranger)), ..dropped(reason, &[]) };
            assert_eq!(bed.settle(&stranger), want, "{flags:?} {syncookies:?}");
            assert_eq!(bed.half_open(), 0);
        }
    }
}

#[test]
fn a_wrong_cookie_fails_and_draws_a_reset() {
    let mut bed = Bed::new(Syncookies::Always, 8);
    let (cookie, _) = bed.syn_ack(&plain_syn(1));
    let wrong = Segment { ack: cookie.seq + 2, ..third(&cookie, 0) };
    let want =
        Verdict { reply: Some(reset_for(&wrong)), ..dropped(DropReason::BadCookie, &[Counter::SyncookiesFailed]) };
    assert_eq!(bed.settle(&wrong), want);
    // The same number from elsewhere, or to elsewhere, is as wrong.
    for tuple in [tuple(2), Tuple { local: Endpoint { port: 81, ..tuple(1).local }, ..tuple(1) }] {
        let stolen = Segment { tuple, ..third(&cookie, 0) };
        assert_eq!(bed.settle(&stolen).fate, Fate::Dropped(DropReason::BadCookie));
    }
    assert_eq!(bed.settle(&Segment { seq: IRS + 2, ..third(&cookie, 0) }).fate, want.fate, "another client ISN");
    bed.open(&third(&cookie, 0));
}

#[test]
fn resets_are_limited_and_the_limit_is_counted() {
    let mut bed = Bed::new(Syncookies::Auto, 8);
    let stray = Segment { ack: SeqNum(1), ..segment(tuple(1), Flags::ACK, SeqNum(5)) };
    let resets = (0..1000).filter(|_| bed.settle(&stray).reply.is_some()).count();
    assert_eq!(resets, 50);
    assert_eq!(bed.settle(&stray), dropped(DropReason::BadCookie, &[Counter::RstsLimited]));
    let crossed = Segment { options: Options::Syn(SynOptions::default()), flags: FLAGS_SA, ..stray };
    assert_eq!(bed.settle(&crossed), dropped(DropReason::NotASyn, &[Counter::RstsLimited]));
    bed.pass(1000);
    assert!(bed.settle(&stray).reply.is_some());
}

/// A million forged ACKs while cookies are accepted: no state, a bounded number of resets.
#[test]
fn a_flood_of_forged_acks_leaves_no_trace() {
    let mut bed = Bed::new(Syncookies::Always, 8);
    let mut resets = 0;
    for n in 0..1_000_000u32 {
        let remote = Endpoint::new(Ipv4Addr::from(0x0a00_0000 | n & 0xffff).into(), n as u16 | 1);
        let forged = Tuple { remote, ..tuple(1) };
        let ack = Segment { ack: SeqNum(n.wrapping_mul(0x9e37_79b9)), ..segment(forged, Flags::ACK, SeqNum(n)) };
        resets += u32::from(bed.settle(&ack).reply.is_some());
        bed.now += Duration::from_micros(1);
    }
    // 256 classes of peers, each with a burst of 50 and 50 more in the second that this takes.
    assert!((12_800..=25_600).contains(&resets), "{resets}");
    assert_eq!((bed.half_open(), bed.room.waiting.get()), (0, 0));
}

#[test]
fn a_cookie_is_accepted_only_while_cookies_are_being_sent() {
    let mut bed = Bed::new(Syncookies::Auto, 0);
    bed.syn_ack(&plain_syn(1));
    let (cookie, counts) = bed.syn_ack(&plain_syn(2));
    assert_eq!(counts, Counts::of(&[Counter::SyncookiesSent, Counter::TCPReqQFullDoCookies]));
    bed.now = Instant::from_millis(bed.now.as_millis() / 16_000 * 16_000);
    let (fresh, _) = bed.syn_ack(&plain_syn(2));
    assert_ne!(fresh.seq, SeqNum(0));
    bed.pass(31_999);
    bed.open(&third(&fresh, 0));
    bed.pass(2);
    // Too late by the guard's clock as well as by its own: nothing is even computed, so nothing has failed.
    let late = third(&cookie, 0);
    let want = Verdict { reply: Some(reset_for(&late)), ..dropped(DropReason::BadCookie, &[]) };
    assert_eq!(bed.settle(&late), want);
}

#[test]
fn a_cookie_too_old_has_failed_while_others_are_being_sent() {
    let mut bed = Bed::new(Syncookies::Always, 8);
    let (cookie, _) = bed.syn_ack(&plain_syn(1));
    bed.pass(32_000);
    let late = bed.settle(&third(&cookie, 0));
    assert_eq!(late.counts, Counts::of(&[Counter::SyncookiesFailed]));
}

#[test]
fn required_timestamps_leave_no_other_way_in() {
    let required = ListenerConfig { cookie_timestamps: CookieTimestamps::Required, ..config(Syncookies::Always, 8) };
    let mut bed = Bed::with(&required, 8);
    let refused = dropped(DropReason::CookieWithoutTimestamps, &[Counter::TCPReqQFullDrop, Counter::ListenDrops]);
    assert_eq!(bed.settle(&plain_syn(1)), refused);
    let (stamped, _) = bed.syn_ack(&syn(tuple(2), usual_options(4)));
    bed.open(&third(&stamped, 1));

    // A cookie of the plain form, minted by the same jar: valid elsewhere, but not here.
    let mut lenient = Bed::with(&config(Syncookies::Always, 8), 8);
    let (plain, _) = lenient.syn_ack(&plain_syn(3));
    assert_eq!(bed.settle(&third(&plain, 0)).fate, Fate::Dropped(DropReason::BadCookie));
    lenient.open(&third(&plain, 0));

    // Not even when timestamps are switched off, and a stamp on the ACK is all there is.
    let offer = Offer { timestamps: false, ..OFFER };
    let mut bed = Bed::with(&ListenerConfig { offer, ..required }, 8);
    let stamps = Some(Timestamps { value: 1, echo: 1 });
    let options = Options::Data(DataOptions { timestamps: stamps, ..DataOptions::default() });
    let stamped_ack = Segment { options, ..third(&plain, 0) };
    assert_eq!(bed.settle(&stamped_ack).fate, Fate::Dropped(DropReason::BadCookie));
}

/// The header and option bytes of a SYN or SYN-ACK, in Linux's padding.
fn tcp_len(options: &Options) -> u32 {
    let Options::Syn(SynOptions { mss, window_scale, sack_permitted, timestamps }) = options else { panic!() };
    let stamps_and_sack = match (timestamps, sack_permitted) {
        (Some(_), _) => 12,
        (None, true) => 4,
        (None, false) => 0,
    };
    20 + 4 * u32::from(mss.is_some()) + stamps_and_sack + 4 * u32::from(window_scale.is_some())
}

/// The same with no more padding than it takes to make it a multiple of four.
fn tightest_len(options: &SynOptions) -> u32 {
    let SynOptions { mss, window_scale, sack_permitted, timestamps } = options;
    let bytes = [(mss.is_some(), 4), (window_scale.is_some(), 3), (*sack_permitted, 2), (timestamps.is_some(), 10)];
    20 + bytes.iter().map(|(has, len)| u32::from(*has) * len).sum::<u32>().next_multiple_of(4)
}

/// Amplification: a cookie is never larger than the SYN that drew it, and an entry's SYN-ACK by
/// no more than the MSS option.
#[test]
fn answers_to_a_syn_are_no_larger_than_the_syn() {
    for set in 0..16u8 {
        let usual = usual_options(1);
        let options = SynOptions {
            mss: usual.mss.filter(|_| set & 1 != 0),
            window_scale: usual.window_scale.filter(|_| set & 2 != 0),
            sack_permitted: set & 4 != 0,
            timestamps: usual.timestamps.filter(|_| set & 8 != 0),
        };
        let asked = tightest_len(&options);
        let (cookie, _) = Bed::new(Syncookies::Always, 8).syn_ack(&syn(tuple(1), options));
        assert!(tcp_len(&cookie.options) <= asked, "cookie for {options:?}");
        let (syn_ack, _) = Bed::new(Syncookies::Never, 8).syn_ack(&syn(tuple(1), options));
        let slack = if options.mss.is_none() { 4 } else { 0 };
        assert!(tcp_len(&syn_ack.options) <= asked + slack, "SYN-ACK for {options:?}");
    }
}
