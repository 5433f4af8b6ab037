//! Every order of SYN, SYN again, ACK, ACK again and RST, up to six segments.

use super::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Syn,
    /// The same SYN, half a second later, so that it is answered.
    SynAgain,
    Ack,
    /// The same ACK, with data.
    AckAgain,
    Rst,
}

const STEPS: [Step; 5] = [Step::Syn, Step::SynAgain, Step::Ack, Step::AckAgain, Step::Rst];

/// What a peer has seen of us.
#[derive(Default)]
struct Peer {
    /// The SYN-ACK that its ACK answers.
    answered: Option<Head>,
    /// Whether a connection stands: then its segments no longer come to the listener.
    connected: bool,
    opened: u32,
}

fn segment_of(step: Step, tuple: Tuple, peer: &Peer) -> Segment {
    let unasked = || Segment { ack: SeqNum(77), ..segment(tuple, Flags::ACK, IRS + 1) };
    let ack = || peer.answered.as_ref().map_or_else(unasked, |syn_ack| third(syn_ack, 3));
    match step {
        Step::Syn | Step::SynAgain => syn(tuple, usual_options(9)),
        Step::Ack => ack(),
        Step::AckAgain => Segment { payload: Span { start: 66, len: 5 }, ..ack() },
        Step::Rst => segment(tuple, Flags::RST, IRS + 1),
    }
}

/// Plays one order, and checks each step against what RFC 9293 wants of it.
fn play(syncookies: Syncookies, tuple: Tuple, order: &[Step]) {
    let mut bed = Bed::new(syncookies, 8);
    let remembers = syncookies != Syncookies::Always;
    let mut peer = Peer::default();
    for (at, &step) in order.iter().enumerate() {
        let label = alloc::format!("step {at} of {order:?}, {tuple:?}");
        if step == Step::SynAgain {
            bed.pass(500);
        }
        if peer.connected {
            // The connection's now; a RST ends it.
            peer.connected = step != Step::Rst;
            continue;
        }
        let before = bed.half_open();
        let outcome = bed.give(&segment_of(step, tuple, &peer));
        assert!(bed.half_open() <= 1, "never two entries: {label}");
        match (step, outcome) {
            (Step::Syn | Step::SynAgain, Outcome::Settled(Verdict { fate: Fate::Consumed, reply: Some(head), .. })) => {
                assert_eq!((head.flags, head.ack), (FLAGS_SA, IRS + 1), "{label}");
                let same = peer.answered.is_none_or(|first| first.seq == head.seq);
                assert!(before == 0 || same, "an entry has one ISS: {label}");
                assert_eq!(bed.half_open(), u32::from(remembers), "{label}");
                peer.answered = Some(head);
            }
            (Step::Syn, Outcome::Settled(verdict)) => {
                assert_eq!(verdict, dropped(DropReason::DuplicateSyn, &[Counter::TCPACKSkippedSynRecv]), "{label}");
                assert_eq!((before, bed.half_open()), (1, 1), "{label}");
            }
            (Step::Ack | Step::AckAgain, Outcome::Open(half_open, _)) => {
                let answered = peer.answered.expect("no connection without a handshake");
                assert_eq!((half_open.negotiated.iss, half_open.negotiated.irs), (answered.seq, IRS), "{label}");
                assert_eq!((before, bed.half_open()), (u32::from(remembers), 0), "{label}");
                peer.connected = true;
                peer.opened += 1;
            }
            (Step::Ack | Step::AckAgain, Outcome::Settled(verdict)) => {
                // Nothing was awaited: there was no SYN, or its entry is gone.
                assert_eq!((before, bed.half_open()), (0, 0), "{label}");
                assert!(remembers || peer.answered.is_none(), "a cookie is good until it is too old: {label}");
                assert_eq!(verdict.fate, Fate::Dropped(DropReason::BadCookie), "{label}");
                assert_eq!(verdict.reply.map(|head| head.flags), Some(Flags::RST), "{label}");
            }
            (Step::Rst, Outcome::Settled(verdict)) => {
                let want = match before {
                    0 => Verdict::dropped(DropReason::StrayRst),
                    _ => Verdict::CONSUMED.counting(Counts::of(&[Counter::AttemptFails, Counter::EmbryonicRsts])),
                };
                assert_eq!((verdict, bed.half_open()), (want, 0), "{label}");
            }
            (_, outcome) => panic!("{outcome:?} at {label}"),
        }
    }
    assert_eq!(bed.room.waiting.get(), peer.opened, "one place for each connection: {order:?}");
}

fn orders(len: u32) -> impl Iterator<Item = alloc::vec::Vec<Step>> {
    (0..5usize.pow(len)).map(move |code| (0..len).map(|digit| STEPS[code / 5usize.pow(digit) % 5]).collect())
}

#[test]
fn every_order_up_to_six() {
    let mut played = 0;
    for syncookies in [Syncookies::Never, Syncookies::Auto, Syncookies::Always] {
        for (tuple, order) in
            (0..=6).flat_map(orders).flat_map(|order| [(tuple(1), order.clone()), (tuple_v6(1), order)])
        {
            play(syncookies, tuple, &order);
            played += 1;
        }
    }
    assert_eq!(played, 3 * 2 * 19_531);
}
