//! Two flows on one bottleneck.

use super::theory;
use std::thread;
use std::time::Duration;
use synward_proto::connection::CongestionAlgorithm::{self, Cubic, NewReno};
use synward_testkit::path::{Buffers, Path, Plan, run};

const MEGABITS: u64 = 20;
/// One BDP of the shorter round trip, 20 ms.
const QUEUE: u64 = 50_000;
const BUFFER: u32 = 4 << 20;
/// The second flow comes while the first fills the line; from then on they are given time to find their shares.
const SECOND: Duration = Duration::from_secs(3);
const FROM: Duration = Duration::from_secs(20);
const UNTIL: Duration = Duration::from_secs(60);
/// A drop-tail queue and two flows in step can lock into one pattern: the second flow begins a little later in each run.
const RUNS: u64 = 2;

/// Two flows and what each got of the line.
pub struct Pair {
    algorithms: [CongestionAlgorithm; 2],
    round_trips: [u64; 2],
    seen: [f64; 2],
}

impl Pair {
    /// Jain's index: one when both get the same, a half when one gets all.
    fn jain(&self) -> f64 {
        let [first, second] = self.seen;
        (first + second).powi(2) / (2.0 * (first * first + second * second))
    }

    /// The share of the line that both have together.
    fn filled(&self) -> f64 {
        self.seen.iter().sum::<f64>() / theory::capacity(MEGABITS as f64)
    }

    /// The first flow's share of both.
    fn share(&self) -> f64 {
        self.seen[0] / self.seen.iter().sum::<f64>()
    }

    fn name(&self) -> String {
        let [first, second] = self.algorithms.map(CongestionAlgorithm::name);
        format!("{first} {} ms beside {second} {} ms", self.round_trips[0], self.round_trips[1])
    }
}

/// Every pair, in the order of the table.
pub fn measure() -> Vec<Pair> {
    let pairs = [
        ([Cubic, Cubic], [20, 20]),
        ([NewReno, NewReno], [20, 20]),
        ([Cubic, NewReno], [20, 20]),
        ([NewReno, Cubic], [20, 20]),
        ([Cubic, Cubic], [100, 100]),
        ([Cubic, NewReno], [100, 100]),
        ([Cubic, Cubic], [20, 100]),
        ([NewReno, NewReno], [20, 100]),
        ([Cubic, NewReno], [20, 100]),
        ([NewReno, Cubic], [20, 100]),
    ];
    thread::scope(|scope| {
        let runs = pairs.map(|(algorithms, round_trips)| scope.spawn(move || measure_pair(algorithms, round_trips)));
        runs.into_iter().map(|pair| pair.join().expect("a pair")).collect()
    })
}

fn measure_pair(algorithms: [CongestionAlgorithm; 2], round_trips: [u64; 2]) -> Pair {
    let path = Path { rate: MEGABITS * 1_000_000, queue: QUEUE, loss: 0 };
    let plan = |flow: usize, starts| Plan {
        algorithm: algorithms[flow],
        round_trip: Duration::from_millis(round_trips[flow]),
        buffers: Buffers { send: BUFFER, receive: BUFFER, receive_max: BUFFER },
        starts,
    };
    let mut seen = [0.0; 2];
    for seed in 0..RUNS {
        let plans = [plan(0, Duration::ZERO), plan(1, SECOND + Duration::from_micros(337 * seed))];
        let outcomes = run(seed, &path, &plans, FROM, UNTIL).unwrap_or_else(|problem| panic!("{plans:?}: {problem}"));
        for (seen, outcome) in seen.iter_mut().zip(outcomes) {
            *seen += outcome.goodput(UNTIL - FROM) / 1e6 / RUNS as f64;
        }
    }
    Pair { algorithms, round_trips, seen }
}

/// The laws of two flows.
pub fn check(pairs: &[Pair]) {
    for pair in pairs {
        let name = pair.name();
        let alike = pair.algorithms[0] == pair.algorithms[1] && pair.round_trips[0] == pair.round_trips[1];
        // What had waited behind a gap when counting began may come on top.
        assert!((0.95..=1.01).contains(&pair.filled()), "{name} fill {:.3} of the line", pair.filled());
        assert!(!alike || pair.jain() >= 0.9, "{name}: equals get equal shares, not {:?}", pair.seen);
    }
}

/// The table of [`measure`].
pub fn show(pairs: &[Pair]) -> String {
    let mut table =
        String::from("Two flows on 20 Mbit/s with a queue of 50,000 bytes, seconds 20 to 60 of two runs\n\n");
    table += "                                        first    second   share    Jain  of line\n";
    for pair in pairs {
        let [first, second] = pair.algorithms.map(CongestionAlgorithm::name);
        let [near, far] = pair.round_trips;
        table += &format!("{first:5} {near:3} ms beside {second:5} {far:3} ms   ");
        table += &format!("{:10.2}{:10.2}", pair.seen[0], pair.seen[1]);
        table += &format!("{:6.1} %  {:.3}  {:5.1} %\n", pair.share() * 100.0, pair.jain(), pair.filled() * 100.0);
    }
    table
}
