//! SYN-RECEIVED: what a segment of a half-open connection does.
//!
//! The cases were played against Linux 6.18, which does the same but for three: it judges a RST by its timestamps (RFC
//! 7323, section 5.2, says not to), it takes an echo for impossible that is later than the last SYN-ACK although a
//! challenge ACK has a timestamp too, and it makes a connection of a crossed SYN-ACK that brings data.

use super::*;

/// A segment for the entry of peer 1, and what it should do to it.
struct Case {
    flags: Flags,
    /// Sequence number, relative to what is awaited: IRS + 1.
    seq: i32,
    /// Acknowledgment number, relative to the right one: ISS + 1.
    ack: i32,
    len: u16,
    /// TSval and TSecr, relative to the SYN's TSval and our SYN-ACK's.
    stamps: Option<(i32, i32)>,
    want: Want,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Want {
    /// The handshake is complete.
    Open,
    /// The same SYN-ACK again.
    SynAck,
    /// An ACK of what we have, and the segment is dropped.
    Ack(DropReason, &'static [Counter]),
    /// No answer, and the segment is dropped.
    Silence(DropReason),
    /// A RST, and the entry stays or goes.
    Reset(DropReason, &'static [Counter], Stays),
    /// No answer, and the entry is gone.
    Gone,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Stays {
    Yes,
    No,
}

const WINDOW: i32 = OFFER.window as i32;

fn case(flags: Flags, seq: i32, ack: i32, len: u16, want: Want) -> Case {
    Case { flags, seq, ack, len, stamps: Some((5, 0)), want }
}

fn cases() -> impl Iterator<Item = Case> {
    use Counter::{AttemptFails, EmbryonicRsts, PAWSEstab, TCPChallengeACK, TSEcrRejected};
    use DropReason::{
        BlindRst, HalfOpenBadAck, HalfOpenBadEcho, HalfOpenNoAck, HalfOpenOutOfWindow, HalfOpenSyn, Paws,
    };
    use Want::{Ack, Gone, Open, Reset, Silence, SynAck};
    let out_of_window = Ack(HalfOpenOutOfWindow, &[]);
    let bad_ack = Reset(HalfOpenBadAck, &[], Stays::Yes);
    let other_syn = Reset(HalfOpenSyn, &[AttemptFails, EmbryonicRsts], Stays::No);
    let (syn, ack, rst) = (Flags::SYN, Flags::ACK, Flags::RST);
    let by_flags = [
        case(ack, 0, 0, 0, Open),
        case(ack, 0, 0, 100, Open),
        case(FLAGS_FA, 0, 0, 0, Open),
        // The sequence number: RFC 9293, section 3.4, table 6.
        case(ack, -1, 0, 0, out_of_window),
        case(ack, -1, 0, 1, out_of_window),
        case(ack, -1, 0, 2, Open),
        case(ack, 1, 0, 0, Open),
        case(ack, WINDOW - 1, 0, 0, Open),
        case(ack, WINDOW - 1, 0, 9, Open),
        case(ack, WINDOW, 0, 0, Open),
        case(ack, WINDOW, 0, 1, out_of_window),
        case(ack, WINDOW + 1, 0, 0, out_of_window),
        case(ack, i32::MIN, 0, 0, out_of_window),
        // The acknowledgment number.
        case(ack, 0, -1, 0, bad_ack),
        case(ack, 0, 1, 0, bad_ack),
        case(ack, -1, 1, 0, bad_ack),
        case(ack, 0, i32::MIN, 100, bad_ack),
        // RST: RFC 5961, section 3, whatever it acknowledges.
        case(rst, 0, 0, 0, Gone),
        case(FLAGS_RA, 0, 0, 0, Gone),
        case(FLAGS_RA, 0, 77, 0, Gone),
        case(rst, 1, 0, 0, Ack(BlindRst, &[TCPChallengeACK])),
        case(FLAGS_RA, WINDOW - 1, 0, 0, Ack(BlindRst, &[TCPChallengeACK])),
        case(rst, WINDOW, 0, 0, Ack(BlindRst, &[TCPChallengeACK])),
        case(rst, WINDOW + 1, 0, 0, Silence(DropReason::RstOutOfWindow)),
        case(rst, -1, 0, 0, Silence(DropReason::RstOutOfWindow)),
        // SYN again, another SYN, a crossing SYN-ACK.
        case(syn, -1, 0, 0, SynAck),
        case(syn, -1, 0, 500, SynAck),
        case(syn | Flags::ECE | Flags::CWR, -1, 0, 0, SynAck),
        case(syn, 0, 0, 0, other_syn),
        case(syn, 1, 0, 0, other_syn),
        case(syn, WINDOW, 0, 0, out_of_window),
        case(syn, 1 << 20, 0, 0, out_of_window),
        case(syn, -2, 0, 0, out_of_window),
        case(FLAGS_SA, -1, 0, 0, out_of_window),
        case(FLAGS_SA, -1, 0, 100, out_of_window),
        case(FLAGS_SA, 0, 0, 0, other_syn),
        case(FLAGS_SA, 0, 1, 0, bad_ack),
        // No ACK at all.
        case(Flags::PSH, 0, 0, 10, Silence(HalfOpenNoAck)),
        case(Flags::FIN, 0, 0, 0, Silence(HalfOpenNoAck)),
        case(Flags::empty(), 0, 0, 0, Silence(HalfOpenNoAck)),
    ];
    let paws = Ack(Paws, &[PAWSEstab]);
    let bad_echo = Ack(HalfOpenBadEcho, &[TSEcrRejected]);
    // The segment arrives 40 ms after the SYN.
    let by_stamps = [
        (ack, 0, (0, 0), Open),
        (ack, 0, (-1, 0), paws),
        (ack, 0, (i32::MIN + 1, 0), paws),
        (ack, 0, (i32::MIN, 0), Open),
        (ack, 0, (i32::MAX, 0), Open),
        (ack, 0, (5, 40), Open),
        (ack, 0, (5, 41), bad_echo),
        (ack, 0, (5, -1), bad_echo),
        (syn, -1, (0, 0), SynAck),
        (syn, -1, (-1, 0), paws),
        // RFC 7323, section 5.2: a RST is not judged by its timestamps.
        (rst, 0, (-1, 1000), Gone),
    ];
    let by_stamps =
        by_stamps.map(|(flags, seq, stamps, want)| Case { flags, seq, ack: 0, len: 0, stamps: Some(stamps), want });
    by_flags.into_iter().chain(by_stamps).chain([Case { stamps: None, ..case(ack, 0, 0, 0, Open) }])
}

impl Case {
    /// The segment, in answer to `syn_ack`.
    fn segment(&self, syn_ack: &Head) -> Segment {
        let ours = syn_ack.options.timestamps().unwrap();
        let timestamps = self.stamps.map(|(value, echo)| Timestamps {
            value: ours.echo.wrapping_add_signed(value),
            echo: ours.value.wrapping_add_signed(echo),
        });
        let bare = segment(syn_ack.tuple, self.flags, SeqNum(syn_ack.ack.0.wrapping_add_signed(self.seq)));
        Segment {
            ack: SeqNum(syn_ack.seq.0.wrapping_add(1).wrapping_add_signed(self.ack)),
            payload: Span { start: 66, len: self.len },
            options: match bare.options {
                Options::Syn(options) => Options::Syn(SynOptions { timestamps, ..options }),
                Options::Data(options) => Options::Data(DataOptions { timestamps, ..options }),
            },
            ..bare
        }
    }
}

#[test]
fn segments_of_a_half_open_connection() {
    for (tuple, case) in cases().flat_map(|case| [tuple(1), tuple_v6(1)].map(move |tuple| (tuple, Case { ..case }))) {
        let mut bed = Bed::new(Syncookies::Auto, 8);
        let (syn_ack, _) = bed.syn_ack(&syn(tuple, usual_options(0xffff_fff0)));
        bed.pass(40);
        let segment = case.segment(&syn_ack);
        let label =
            alloc::format!("{:?} seq {} ack {} len {} {:?}", case.flags, case.seq, case.ack, case.len, case.stamps);
        let (verdict, remains) = match bed.give(&segment) {
            Outcome::Open(half_open, _) => {
                assert_eq!(case.want, Want::Open, "{label}");
                assert_eq!((half_open.negotiated.iss, bed.half_open()), (syn_ack.seq, 0), "{label}");
                continue;
            }
            Outcome::Settled(verdict) => (verdict, bed.half_open() == 1),
        };
        let (want, stays) = match case.want {
            Want::Open => panic!("{label} should complete the handshake, not {verdict:?}"),
            Want::SynAck => {
                let stamps = syn_ack.options.timestamps().unwrap();
                let later = Timestamps { value: stamps.value.wrapping_add(40), ..stamps };
                let Options::Syn(options) = syn_ack.options else { panic!() };
                let again = Options::Syn(SynOptions { timestamps: Some(later), ..options });
                let counts = Counts::of(&[Counter::RetransSegs, Counter::TCPSynRetrans]);
                (Verdict::CONSUMED.reply(Head { options: again, ..syn_ack }).counting(counts), true)
            }
            Want::Ack(reason, counters) => (dropped(reason, counters).reply(challenge(&syn_ack)), true),
            Want::Silence(reason) => (dropped(reason, &[]), true),
            Want::Reset(reason, counters, stays) => {
                let reply = crate::reset::answer(&segment);
                (Verdict { reply, ..dropped(reason, counters) }, stays == Stays::Yes)
            }
            Want::Gone => {
                let counts = Counts::of(&[Counter::AttemptFails, Counter::EmbryonicRsts]);
                (Verdict::CONSUMED.counting(counts), false)
            }
        };
        assert_eq!((verdict, remains), (want, stays), "{label}");
    }
}

/// The ACK that answers an unacceptable segment 40 ms after `syn_ack`: the window is scaled from now on.
fn challenge(syn_ack: &Head) -> Head {
    let stamps = syn_ack.options.timestamps().unwrap();
    let timestamps = Some(Timestamps { value: stamps.value.wrapping_add(40), ..stamps });
    Head {
        seq: syn_ack.seq + 1,
        flags: Flags::ACK,
        window: OFFER.window >> 14,
        options: Options::Data(DataOptions { timestamps, ..DataOptions::default() }),
        ..*syn_ack
    }
}

#[test]
fn an_echo_of_zero_is_none() {
    let mut bed = Bed::new(Syncookies::Auto, 8);
    let (syn_ack, _) = bed.syn_ack(&syn(tuple(1), usual_options(9)));
    let timestamps = Some(Timestamps { value: 9, echo: 0 });
    let options = Options::Data(DataOptions { timestamps, ..DataOptions::default() });
    assert_ne!(syn_ack.options.timestamps().unwrap().value, 0);
    bed.open(&Segment { options, ..third(&syn_ack, 0) });
}

/// What draws an answer draws one in 500 ms, whatever it is; another entry has a limit of its own.
#[test]
fn answers_to_invalid_segments_are_limited_per_entry() {
    let mut bed = Bed::new(Syncookies::Auto, 8);
    let (one, _) = bed.syn_ack(&plain_syn(1));
    let (two, _) = bed.syn_ack(&plain_syn(2));
    let stray = |syn_ack: &Head| Segment { seq: syn_ack.ack + 70_000, ..third(syn_ack, 0) };
    let blind = |syn_ack: &Head| segment(syn_ack.tuple, Flags::RST, syn_ack.ack + 1);
    let skipped = &[Counter::TCPACKSkippedSynRecv];
    assert!(bed.settle(&stray(&one)).reply.is_some());
    bed.pass(499);
    assert_eq!(bed.settle(&stray(&one)), dropped(DropReason::HalfOpenOutOfWindow, skipped));
    assert_eq!(bed.settle(&blind(&one)), dropped(DropReason::BlindRst, skipped));
    assert_eq!(bed.settle(&plain_syn(1)), dropped(DropReason::DuplicateSyn, skipped));
    assert!(bed.settle(&stray(&two)).reply.is_some());
    bed.pass(1);
    assert!(bed.settle(&plain_syn(1)).reply.is_some());
    assert!(bed.settle(&blind(&one)).reply.is_none());
    bed.open(&third(&one, 0));
}

/// Ten SYNs again, with other options and from another link address: one entry, and the SYN-ACK of the first.
#[test]
fn a_syn_again_changes_nothing() {
    let mut bed = Bed::new(Syncookies::Auto, 8);
    let (first, _) = bed.syn_ack(&syn(tuple(1), SynOptions { sack_permitted: true, ..SynOptions::default() }));
    for n in 0..10u8 {
        bed.pass(500);
        let again = syn(tuple(1), usual_options(u32::from(n)));
        let again = Segment { link: Link { remote: MacAddr([n; 6]), ..again.link }, ..again };
        assert_eq!(bed.syn_ack(&again).0, first);
        assert_eq!(bed.half_open(), 1);
    }
    assert_eq!(bed.shared.table.deadline(bed.now), Some(bed.now + Duration::from_secs(1)), "the wait started again");
    let negotiated = bed.open(&third(&first, 0)).0.negotiated;
    assert!(negotiated.sack && negotiated.scales.is_none() && negotiated.timestamps.is_none());
}

/// A peer that has restarted: its new SYN is out of window, the ACK draws its RST, and the next SYN finds nothing in its
/// way.
#[test]
fn a_peer_that_restarted_gets_through() {
    let mut bed = Bed::new(Syncookies::Auto, 8);
    bed.syn_ack(&plain_syn(1));
    let new_syn = Segment { seq: IRS + (1 << 30), ..plain_syn(1) };
    let ack = bed.settle(&new_syn).reply.unwrap();
    assert_eq!(ack.flags, Flags::ACK);
    assert_eq!(bed.settle(&segment(tuple(1), Flags::RST, ack.ack)).fate, Fate::Consumed);
    assert_eq!(bed.half_open(), 0);
    let (syn_ack, _) = bed.syn_ack(&new_syn);
    assert_eq!(bed.open(&third(&syn_ack, 0)).0.negotiated.irs, new_syn.seq);
}

#[test]
fn a_wrong_ack_for_an_entry_is_a_failed_cookie_only_while_cookies_are_sent() {
    let mut bed = Bed::new(Syncookies::Auto, 0);
    let (syn_ack, _) = bed.syn_ack(&plain_syn(1));
    let wrong = Segment { ack: syn_ack.seq + 2, ..third(&syn_ack, 0) };
    assert!(bed.settle(&wrong).counts.is_empty());
    bed.syn_ack(&plain_syn(2));
    let verdict = bed.settle(&wrong);
    assert_eq!(verdict.counts, Counts::of(&[Counter::SyncookiesFailed]));
    assert_eq!(verdict.fate, Fate::Dropped(DropReason::HalfOpenBadAck));
}
