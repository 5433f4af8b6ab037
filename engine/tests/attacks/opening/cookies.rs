//! Cookies that are stolen, replayed and guessed.

use crate::bed::{Bed, SERVER, client, config, frame, read, segment, syn, third};
use std::time::Duration;
use synward_engine::EngineConfig;
use synward_proto::flood_guard::CookieTimestamps;
use synward_proto::{Counter, DropReason, Endpoint, Flags};
use synward_testkit::hostile::Rng;
use synward_testkit::wire::{WireOption, WireSegment};

/// How long a tick of the cookie clock lasts; here also a key.
const PERIOD: Duration = Duration::from_secs(16);

fn always() -> EngineConfig {
    EngineConfig { syncookies: 2, cookie_key_life: PERIOD, ..config() }
}

/// An engine at the beginning of a tick, and the third segment of a client that got a cookie then.
fn captured() -> (Bed, WireSegment) {
    let mut bed = Bed::new(always());
    // The clock of the bed begins at 1,000 s, half way through a tick.
    bed.pass(Duration::from_secs(8));
    let syn_ack = bed.syn_ack(&syn(client(0), 1_000));
    (bed, third(&syn_ack))
}

/// Whether a segment opens a connection; if not, it draws one reset.
fn opens(bed: &mut Bed, segment: &WireSegment) -> bool {
    let answers = bed.send(segment);
    let listener = bed.listener;
    let accepted = bed.sockets().accept(listener).is_ok();
    assert_eq!(
        answers.iter().map(|answer| answer.flags).collect::<Vec<_>>(),
        if accepted { vec![] } else { vec![Flags::RST] }
    );
    accepted
}

#[test]
fn a_replayed_cookie_is_good_in_its_tick_and_the_next() {
    let nanosecond = Duration::from_nanos(1);
    for (later, good) in [
        (Duration::ZERO, true),
        (PERIOD - nanosecond, true),
        (PERIOD, true),
        (2 * PERIOD - nanosecond, true),
        (2 * PERIOD, false),
        (3 * PERIOD, false),
        // The parity in the cookie is right again, and so would be the key of a clock of two.
        (4 * PERIOD, false),
    ] {
        let (mut bed, ack) = captured();
        bed.pass(later);
        assert_eq!(opens(&mut bed, &ack), good, "{later:?} later");
        assert_eq!(bed.count(Counter::SyncookiesFailed), u64::from(!good));
        bed.assert_drains();
    }
}

#[test]
fn a_stolen_cookie_is_good_nowhere_else() {
    let (mut bed, ack) = captured();
    let other_port = Endpoint { port: ack.source.port + 1, ..ack.source };
    let listener_of_other_port = Endpoint { port: 81, ..SERVER };
    bed.sockets().listen(synward_engine::ListenConfig::new(listener_of_other_port)).expect("listens");
    for stolen in [
        WireSegment { source: other_port, ..ack.clone() },
        WireSegment { source: client(1), ..ack.clone() },
        WireSegment { destination: listener_of_other_port, ..ack.clone() },
        WireSegment { seq: ack.seq + 1, ..ack.clone() },
        WireSegment { seq: ack.seq - 1, ..ack.clone() },
        WireSegment { ack: ack.ack + 1, ..ack.clone() },
        WireSegment { ack: ack.ack ^ 1 << 31, ..ack.clone() },
        // Its options in another form: a timestamp that nobody sent.
        WireSegment { options: vec![WireOption::Timestamps(1, 1)], ..ack.clone() },
    ] {
        assert!(!opens(&mut bed, &stolen), "{stolen:?}");
    }
    assert!(opens(&mut bed, &ack), "the original");
    bed.assert_drains();
}

/// Once it is established, its cookie is an old segment of the connection and opens no other.
#[test]
fn a_replayed_cookie_opens_one_connection() {
    let (mut bed, ack) = captured();
    assert!(opens(&mut bed, &ack));
    for _ in 0..100 {
        let answers = bed.send(&ack);
        assert!(answers.iter().all(|answer| answer.flags == Flags::ACK), "{answers:?}");
    }
    let listener = bed.listener;
    assert!(bed.sockets().accept(listener).is_err());
    assert_eq!((bed.count(Counter::PassiveOpens), bed.gauges().connections), (1, 1));
    bed.assert_drains();
}

/// Blind guesses at one tuple: of 2³² acknowledgment numbers 128 would do (the whole space is swept by `synward-accept` and, for one
/// setting, by the tests of `synward-proto`); a hundred thousand find one with a probability of 1 in 330.
#[test]
fn guesses_fail() {
    const GUESSES: u64 = 100_000;
    for required in [false, true] {
        let cookie_timestamps = if required { CookieTimestamps::Required } else { CookieTimestamps::Optional };
        let mut bed = Bed::new(EngineConfig { cookie_timestamps, ..always() });
        let mut random = Rng::new(7);
        let guess = |random: &mut Rng| {
            let plain = segment(client(0), Flags::ACK, 1_001, random.next() as u32);
            let options = vec![WireOption::Timestamps(5, random.next() as u32)];
            frame(&if required { WireSegment { options, ..plain } } else { plain })
        };
        for _ in 0..GUESSES / 64 {
            let guesses: Vec<_> = (0..64).map(|_| guess(&mut random)).collect();
            let answers = bed.exchange(&guesses);
            assert!(answers.iter().all(|answer| read(answer).flags == Flags::RST));
        }
        let sent = GUESSES / 64 * 64;
        assert_eq!((bed.drops(DropReason::BadCookie), bed.count(Counter::SyncookiesFailed)), (sent, sent));
        assert_eq!((bed.gauges().connections, bed.count(Counter::SyncookiesRecv)), (0, 0));
        bed.assert_drains();
    }
}
