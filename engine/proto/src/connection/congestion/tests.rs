//! The laws of both algorithms through the interface that the sender uses.

use super::*;
use proptest::prelude::*;

const MSS: u32 = 1000;

fn full(bytes: u32) -> Acked {
    Acked {
        now: Instant::from_millis(1000),
        bytes,
        is_window_limited: true,
        is_paced: true,
        rtt: None,
        srtt: Some(Duration::from_millis(100)),
        una: SeqNum(0),
        nxt: SeqNum(100),
    }
}

fn start(algorithm: CongestionAlgorithm) -> (Congestion, Growth) {
    (Congestion::new(algorithm, MSS, 0), Growth::default())
}

fn reno(window: u32, threshold: u32) -> Congestion {
    Congestion { window, threshold, ..start(CongestionAlgorithm::NewReno).0 }
}

const BOTH: [CongestionAlgorithm; 2] = [CongestionAlgorithm::Cubic, CongestionAlgorithm::NewReno];

#[test]
fn algorithms_have_linuxs_names() {
    for algorithm in BOTH {
        assert_eq!(CongestionAlgorithm::named(algorithm.name()), Some(algorithm));
    }
    assert_eq!(CongestionAlgorithm::default().name(), "cubic");
    assert_eq!(CongestionAlgorithm::named("bbr"), None);
}

/// RFC 6928, section 2.
#[test]
fn the_initial_window_is_ten_segments_unless_the_syn_was_lost_twice() {
    let windows = [0, 1, 2].map(|timeouts| Congestion::new(CongestionAlgorithm::Cubic, MSS, timeouts).window());
    assert_eq!(windows, [10 * MSS, 10 * MSS, MSS]);
}

#[test]
fn slow_start_doubles_per_round_trip_and_what_is_left_at_the_threshold_counts_on() {
    for algorithm in BOTH {
        let (mut congestion, mut growth) = start(algorithm);
        for _ in 0..5 {
            congestion.on_ack(&mut growth, &full(2 * MSS), MSS);
        }
        assert_eq!(congestion.window(), 20 * MSS);
        congestion.threshold = 21 * MSS;
        congestion.on_ack(&mut growth, &full(20 * MSS), MSS);
        assert_eq!(congestion.window(), 21 * MSS, "a stretch ACK does not jump over the threshold");
        congestion.on_ack(&mut growth, &full(2 * MSS), MSS);
        assert_eq!(congestion.window(), 22 * MSS, "21 segments are acknowledged since");
    }
}

#[test]
fn congestion_avoidance_of_reno_adds_one_segment_per_window() {
    let (mut congestion, mut growth) = (reno(10 * MSS, 10 * MSS), Growth::default());
    for _ in 0..9 {
        congestion.on_ack(&mut growth, &full(MSS), MSS);
    }
    assert_eq!(congestion.window(), 10 * MSS);
    congestion.on_ack(&mut growth, &full(MSS), MSS);
    assert_eq!(congestion.window(), 11 * MSS);
}

#[test]
fn a_loss_forgets_what_was_acknowledged_towards_growth() {
    let (mut congestion, mut growth) = (reno(10 * MSS, 10 * MSS), Growth::default());
    congestion.on_ack(&mut growth, &full(9 * MSS), MSS);
    congestion.on_congestion(&mut growth, 10 * MSS, MSS);
    congestion.set_window(congestion.threshold(), MSS);
    congestion.on_ack(&mut growth, &full(4 * MSS), MSS);
    assert_eq!(congestion.window(), 5 * MSS);
}

#[test]
fn an_unused_window_does_not_grow() {
    let unused = Acked { is_window_limited: false, ..full(20 * MSS) };
    for algorithm in BOTH {
        let (mut slow, mut growth) = start(algorithm);
        slow.on_ack(&mut growth, &unused, MSS);
        assert_eq!(slow.window(), 10 * MSS);
        let mut avoiding = Congestion { threshold: MSS, ..slow };
        avoiding.on_ack(&mut growth, &unused, MSS);
        assert_eq!(avoiding.window(), 10 * MSS);
    }
}

/// RFC 9438, section 5.8: what CUBIC's curve has risen to meanwhile is not caught up with.
#[test]
fn a_window_that_was_unused_for_a_while_grows_on_from_where_it_was() {
    let window_after = |pause: u64| {
        let (mut congestion, mut growth) = start(CongestionAlgorithm::Cubic);
        congestion.set_window(1000 * MSS, MSS);
        congestion.on_congestion(&mut growth, 1000 * MSS, MSS);
        congestion.set_window(congestion.threshold(), MSS);
        for round in 1..=20 {
            let now = Instant::from_millis(1000 + 100 * round);
            congestion.on_ack(&mut growth, &Acked { now, ..full(700 * MSS) }, MSS);
        }
        for round in 21..=20 + pause {
            let now = Instant::from_millis(1000 + 100 * round);
            congestion.on_ack(&mut growth, &Acked { now, is_window_limited: false, ..full(MSS) }, MSS);
        }
        let now = Instant::from_millis(1000 + 100 * (21 + pause));
        congestion.on_ack(&mut growth, &Acked { now, ..full(700 * MSS) }, MSS);
        congestion.window()
    };
    assert_eq!(window_after(0), window_after(100));
}

/// RFC 5681, equation 4; RFC 9438, section 4.6.
#[test]
fn congestion_lowers_the_threshold_by_what_was_in_flight() {
    for (algorithm, wanted) in [(CongestionAlgorithm::NewReno, 5), (CongestionAlgorithm::Cubic, 7)] {
        let (mut congestion, mut growth) = start(algorithm);
        congestion.on_congestion(&mut growth, 12 * MSS, MSS);
        assert_eq!(congestion.threshold(), wanted * MSS, "limited transmit's two do not count");
        assert_eq!(congestion.window(), 10 * MSS, "the window comes down by PRR");
        congestion.on_congestion(&mut growth, MSS, MSS);
        assert_eq!(congestion.threshold(), 2 * MSS, "at least two segments");
    }
}

#[test]
fn a_timeout_leaves_one_segment_and_reduces_once() {
    for (algorithm, wanted) in [(CongestionAlgorithm::NewReno, 5), (CongestionAlgorithm::Cubic, 7)] {
        let (mut congestion, mut growth) = start(algorithm);
        congestion.on_timeout(&mut growth, Timeout::First, 10 * MSS, MSS);
        assert_eq!((congestion.threshold(), congestion.window()), (wanted * MSS, MSS));
        congestion.on_timeout(&mut growth, Timeout::Again, 10 * MSS, MSS);
        assert_eq!((congestion.threshold(), congestion.window()), (wanted * MSS, MSS));
        assert_eq!(congestion.last_max, 0, "CUBIC begins anew (RFC 9438, section 4.8)");
    }
}

/// The sequence number of the `ack`th acknowledgment of a round.
fn at(round: u32, ack: u32) -> SeqNum {
    SeqNum(u32::MAX - 300) + 100 * round + ack
}

/// RFC 9406, section 4.2: slow start ends where the round trip has stayed up for five rounds, without a loss.
#[test]
fn hystart_finds_the_threshold() {
    for algorithm in BOTH {
        let (mut congestion, mut growth) = start(algorithm);
        let mut windows = [0; 8];
        for (round, window) in (0..).zip(&mut windows) {
            let rtt = Some(Duration::from_millis(if round == 0 { 20 } else { 30 }));
            for ack in 0..8 {
                let sample = Acked { rtt, una: at(round, ack), nxt: at(round + 1, ack), ..full(MSS) };
                congestion.on_ack(&mut growth, &sample, MSS);
            }
            *window = congestion.window();
        }
        assert_eq!(windows[..2], [18_000, 25_250], "seven at full speed, the eighth in conservative slow start");
        assert_eq!(windows[2..6], [27_250, 29_250, 31_250, 33_250], "a quarter of a segment for each");
        assert_eq!((congestion.threshold(), congestion.in_slow_start()), (33_250, false));
    }
}

#[test]
fn hystart_is_for_the_first_slow_start() {
    let (mut congestion, mut growth) = start(CongestionAlgorithm::NewReno);
    congestion.on_timeout(&mut growth, Timeout::First, 100 * MSS, MSS);
    congestion.threshold = 1000 * MSS;
    for round in 0..8 {
        for ack in 0..8 {
            let rtt = Some(Duration::from_millis(20 + 20 * u64::from(round)));
            congestion.on_ack(
                &mut growth,
                &Acked { rtt, una: at(round, ack), nxt: at(round + 1, ack), ..full(MSS) },
                MSS,
            );
        }
    }
    assert_eq!((congestion.window(), congestion.threshold()), (65 * MSS, 1000 * MSS));
}

#[test]
fn idleness_decays_to_the_initial_window() {
    let rto = Duration::from_millis(200);
    let mut congestion = reno(100 * MSS, 10 * MSS);
    congestion.on_restart(Duration::from_millis(450), rto, MSS);
    assert_eq!((congestion.window(), congestion.threshold()), (25 * MSS, 75 * MSS));
    congestion.on_restart(Duration::from_secs(3600), rto, MSS);
    assert_eq!(congestion.window(), 10 * MSS);
    let mut whole = reno(100 * MSS, 10 * MSS);
    whole.on_restart(2 * rto, rto, MSS);
    assert_eq!(whole.window(), 50 * MSS, "the second RTO is not over yet");
    let mut small = reno(2 * MSS, 10 * MSS);
    small.on_restart(Duration::from_secs(3600), rto, MSS);
    assert_eq!(small.window(), 2 * MSS, "idleness never opens the window");
}

#[test]
fn a_reduction_that_proves_wrong_is_taken_back() {
    for algorithm in BOTH {
        let (mut congestion, mut growth) = start(algorithm);
        congestion.threshold = 10 * MSS;
        congestion.last_max = 12 * MSS;
        congestion.on_ack(&mut growth, &full(4 * MSS), MSS);
        let before = (congestion, growth);
        let snapshot = congestion.snapshot(&growth);
        congestion.on_timeout(&mut growth, Timeout::First, 10 * MSS, MSS);
        congestion.undo(&mut growth, &snapshot, MSS);
        assert_eq!((congestion, growth), before);
        let snapshot = congestion.snapshot(&growth);
        congestion.on_congestion(&mut growth, 10 * MSS, MSS);
        congestion.set_window(20 * MSS, MSS);
        congestion.undo(&mut growth, &snapshot, MSS);
        assert_eq!(congestion.window(), 20 * MSS, "what was gained since is kept");
    }
}

#[test]
fn another_algorithm_goes_on_from_the_same_window() {
    let (mut congestion, mut growth) = start(CongestionAlgorithm::Cubic);
    congestion.on_congestion(&mut growth, 10 * MSS, MSS);
    congestion.set_window(congestion.threshold(), MSS);
    congestion.on_ack(&mut growth, &full(MSS), MSS);
    congestion.set_algorithm(CongestionAlgorithm::NewReno, Some(&mut growth));
    assert_eq!((congestion.window(), congestion.algorithm()), (7 * MSS, CongestionAlgorithm::NewReno));
    congestion.on_ack(&mut growth, &full(7 * MSS), MSS);
    assert_eq!(congestion.window(), 8 * MSS);
}

/// The average window, segments, of a flow with a round trip of `rtt` that loses each `every`th segment.
fn average_window(algorithm: CongestionAlgorithm, rtt: Duration, every: u32) -> u32 {
    let (mut congestion, mut growth) = start(algorithm);
    congestion.threshold = congestion.window;
    let (mut now, mut until_loss, mut segments, mut rounds) = (Instant::ZERO, every, 0u64, 0u64);
    let mut losses = 0;
    while losses < 60 {
        now += rtt;
        let round = congestion.window() / MSS;
        for _ in 0..round.min(until_loss) {
            congestion.on_ack(&mut growth, &Acked { now, srtt: Some(rtt), ..full(MSS) }, MSS);
        }
        if losses >= 20 {
            segments += u64::from(round);
            rounds += 1;
        }
        if round >= until_loss {
            losses += 1;
            congestion.on_congestion(&mut growth, round * MSS, MSS);
            congestion.set_window(congestion.threshold(), MSS);
            until_loss += every;
        }
        until_loss -= round;
    }
    (segments / rounds) as u32
}

/// RFC 9438, section 5.1, tables 1 and 2 (C = 0.4): the average window where each 1/p th segment is lost. The tables come from
/// the closed forms 1.2 / √p for Reno and 1.054 · (RTT / p)^0.75 for CUBIC, of which the larger one holds for CUBIC.
#[test]
fn average_windows_are_those_of_the_rfcs_tables() {
    let tables = [
        (100, [(1_000, 38, 38), (10_000, 120, 187), (100_000, 379, 1054)]),
        (10, [(1_000, 38, 38), (10_000, 120, 120), (100_000, 379, 379)]),
    ];
    for (rtt, rows) in tables {
        for (every, by_reno, by_cubic) in rows {
            for (algorithm, wanted) in [(CongestionAlgorithm::NewReno, by_reno), (CongestionAlgorithm::Cubic, by_cubic)]
            {
                let seen = average_window(algorithm, Duration::from_millis(rtt), every);
                assert!(
                    seen.abs_diff(wanted) <= wanted / 10,
                    "{algorithm:?}, {rtt} ms, one of {every} lost: {seen} segments, not {wanted}"
                );
            }
        }
    }
}

/// What may happen to congestion control.
#[derive(Clone, Copy, Debug)]
enum Event {
    Ack { bytes: u32, limited: bool, rtt: u64, una: u32, paced: bool },
    Congestion { flight: u32 },
    Timeout { flight: u32, again: bool },
    Restart { idle: u64, rto: u64 },
    Window(u32),
    Undo,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (any::<u32>(), any::<bool>(), any::<u64>(), any::<u32>(), any::<bool>())
            .prop_map(|(bytes, limited, rtt, una, paced)| Event::Ack { bytes, limited, rtt, una, paced }),
        1 => any::<u32>().prop_map(|flight| Event::Congestion { flight }),
        1 => (any::<u32>(), any::<bool>()).prop_map(|(flight, again)| Event::Timeout { flight, again }),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(idle, rto)| Event::Restart { idle, rto }),
        1 => any::<u32>().prop_map(Event::Window),
        1 => Just(Event::Undo),
    ]
}

proptest! {
    /// Whatever happens at whatever time, the window stays within one segment and half of sequence space.
    #[test]
    fn no_arithmetic_leaves_the_bounds(
        mss in 1u32..=65_535, cubic: bool, events in proptest::collection::vec((any::<u64>(), event()), 1..60),
    ) {
        let algorithm = BOTH[usize::from(cubic)];
        let (mut congestion, mut growth) = (Congestion::new(algorithm, mss, 2), Growth::default());
        let mut snapshot = congestion.snapshot(&growth);
        for (at, event) in events {
            let now = Instant::from_nanos(at);
            match event {
                Event::Ack { bytes, limited, rtt, una, paced } => {
                    let rtt = Some(Duration::from_nanos(rtt));
                    let acked = Acked {
                        now, bytes, is_window_limited: limited, is_paced: paced, rtt, srtt: rtt, una: SeqNum(una), nxt: SeqNum(bytes),
                    };
                    congestion.on_ack(&mut growth, &acked, mss);
                }
                Event::Congestion { flight } => {
                    snapshot = congestion.snapshot(&growth);
                    congestion.on_congestion(&mut growth, flight, mss);
                }
                Event::Timeout { flight, again } => {
                    let timeout = if again { Timeout::Again } else { Timeout::First };
                    congestion.on_timeout(&mut growth, timeout, flight, mss);
                }
                Event::Restart { idle, rto } => {
                    congestion.on_restart(Duration::from_nanos(idle), Duration::from_nanos(rto), mss);
                }
                Event::Window(bytes) => congestion.set_window(bytes, mss),
                Event::Undo => congestion.undo(&mut growth, &snapshot, mss),
            }
            prop_assert!((mss..=MAX_WINDOW).contains(&congestion.window()), "{congestion:?}");
            prop_assert!(congestion.threshold() <= INFINITE && congestion.last_max <= MAX_WINDOW);
        }
    }
}
