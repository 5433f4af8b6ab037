//! One flow alone.

use super::theory;
use std::thread;
use std::time::Duration;
use synward_proto::connection::CongestionAlgorithm::{self, Cubic, NewReno};
use synward_testkit::path::{Buffers, Path, Plan, run};

/// Frames of data lost at random, in a thousand.
const LOSSES: [u32; 5] = [0, 1, 10, 50, 100];
/// The bottleneck's queue, in BDP: a fourth is too little for NewReno, one is its rule of thumb, four is a bloated one. The
/// queue is what decides how a window-based sender does without random loss; socket buffers merely cap the window, and have
/// a table of their own.
const QUEUES: [f64; 3] = [0.25, 1.0, 4.0];
/// Round trip, ms, and Mbit/s: a rack, a region, an ocean. The BDP is 83 to 166 segments, so that the losses above cover both
/// what fills the line and what does not.
const PATHS: [(u64, u64); 3] = [(1, 1000), (20, 100), (100, 20)];
/// Buffers that never limit: the largest window is five BDP.
const LARGE: u32 = 4 << 20;

/// How long a run takes: at least 600 round trips and 100,000 segments of a full line. The first quarter is not counted: what
/// the first slow start has found is forgotten by then.
const fn span(round_trip: u64) -> Duration {
    match round_trip {
        0..10 => Duration::from_secs(2),
        10..50 => Duration::from_secs(12),
        _ => Duration::from_secs(60),
    }
}

/// Runs of each path that loses, with other losses each.
const RUNS: u64 = 3;

/// One figure.
pub struct Cell {
    algorithm: CongestionAlgorithm,
    round_trip: u64,
    megabits: u64,
    queue: f64,
    loss: u32,
    seen: f64,
}

impl Cell {
    fn capacity(&self) -> f64 {
        theory::capacity(self.megabits as f64)
    }

    fn lossy(&self) -> f64 {
        theory::lossy(self.algorithm, f64::from(self.loss) / 1000.0, self.round_trip)
    }

    fn with_timeouts(&self) -> f64 {
        theory::with_timeouts(f64::from(self.loss) / 1000.0, self.round_trip)
    }

    fn name(&self) -> String {
        let Self { algorithm, round_trip, queue, loss, seen, .. } = self;
        format!("{}, {round_trip} ms, {queue} BDP, {loss} ‰: {seen:.2} Mbit/s", algorithm.name())
    }
}

/// Every cell, in the order of the table.
pub fn measure() -> Vec<Cell> {
    let rows = [Cubic, NewReno].into_iter().flat_map(|algorithm| {
        PATHS.into_iter().flat_map(move |path| QUEUES.into_iter().map(move |queue| (algorithm, path, queue)))
    });
    let rows: Vec<_> = rows.collect();
    thread::scope(|scope| {
        let runs: Vec<_> = rows.into_iter().map(|row| scope.spawn(move || measure_row(row))).collect();
        runs.into_iter().flat_map(|row| row.join().expect("a row")).collect()
    })
}

fn measure_row((algorithm, (round_trip, megabits), queue): (CongestionAlgorithm, (u64, u64), f64)) -> Vec<Cell> {
    let cell = |loss| {
        let bdp = megabits * 1000 / 8 * round_trip;
        let path = Path { rate: megabits * 1_000_000, queue: (bdp as f64 * queue) as u64, loss };
        let plan = Plan {
            algorithm,
            round_trip: Duration::from_millis(round_trip),
            buffers: Buffers { send: LARGE, receive: LARGE, receive_max: LARGE },
            starts: Duration::ZERO,
        };
        Cell { algorithm, round_trip, megabits, queue, loss, seen: goodput(&path, &plan, span(round_trip)) }
    };
    LOSSES.map(cell).into()
}

/// The mean of several runs, where losses differ from one to the next.
fn goodput(path: &Path, plan: &Plan, span: Duration) -> f64 {
    let once = |seed| {
        let outcomes = run(seed, path, &[*plan], span / 4, span);
        outcomes.unwrap_or_else(|problem| panic!("{plan:?}: {problem}"))[0].goodput(span * 3 / 4) / 1e6
    };
    let runs = if path.loss == 0 { 1 } else { RUNS };
    (0..runs).map(once).sum::<f64>() / runs as f64
}

/// The laws of one flow.
pub fn check(cells: &[Cell]) {
    for cell in cells {
        let (capacity, name) = (cell.capacity(), cell.name());
        // What had waited behind a gap when counting began may come on top.
        assert!(cell.seen <= 1.01 * capacity, "{name}: more than the line carries");
        if cell.loss == 0 {
            let filled = if cell.algorithm == NewReno { theory::reno_fills(cell.queue) } else { 1.0 };
            assert!(
                cell.seen >= 0.95 * filled * capacity,
                "{name}: of {:.2} that {capacity:.2} allow",
                filled * capacity
            );
        }
        if cell.loss > 0 && cell.lossy() < 0.8 * capacity {
            // Where losses are random, what CUBIC gains in a long time without one is more than what it misses in a short one.
            let most = if cell.algorithm == NewReno { 1.3 } else { 1.5 };
            assert!(cell.seen <= most * cell.lossy(), "{name}: theory says {:.2}", cell.lossy());
            assert!(cell.seen >= 0.8 * cell.with_timeouts(), "{name}: theory says {:.2}", cell.with_timeouts());
        }
    }
}

/// The table of [`measure`], with a line of theory under each path.
pub fn show(cells: &[Cell]) -> String {
    let mut table = String::from("One flow, by frames lost after the bottleneck\n\n");
    let losses = LOSSES.map(|loss| format!("{:8} %", f64::from(loss) / 10.0)).concat();
    table += &format!("{:42}{losses}\n", "");
    for rows in cells.chunks(LOSSES.len() * QUEUES.len()) {
        for row in rows.chunks(LOSSES.len()) {
            let Cell { algorithm, round_trip, megabits, queue, .. } = row[0];
            table += &format!("{:5} {round_trip:4} ms {megabits:5} Mbit/s  queue {queue:4} BDP ", algorithm.name());
            table += &line(row.iter().map(|cell| cell.seen));
        }
        let theory = |of: fn(&Cell) -> f64| rows[..LOSSES.len()].iter().map(move |cell| of(cell).min(cell.capacity()));
        table += &format!("{:>42}", "theory ");
        table += &line(theory(|cell| if cell.loss == 0 { cell.capacity() } else { cell.lossy() }));
        table += &format!("{:>42}", "with timeouts ");
        table += &line(theory(Cell::with_timeouts));
    }
    table
}

fn line(figures: impl Iterator<Item = f64>) -> String {
    figures.map(|figure| format!("{figure:10.2}")).collect::<String>() + "\n"
}

/// Goodput where the reader's buffer limits the window.
pub struct Window {
    round_trip: u64,
    buffer: u32,
    seen: f64,
}

const WINDOW_MEGABITS: u64 = 100;

/// Receive buffers of 64 KiB and 1 MiB on a line of 100 Mbit/s that loses nothing.
pub fn measure_windows() -> Vec<Window> {
    let rows = [1, 20, 100].into_iter().flat_map(|round_trip| [64 << 10, 1 << 20].map(|buffer| (round_trip, buffer)));
    let measure = |(round_trip, buffer)| {
        let path = Path { rate: WINDOW_MEGABITS * 1_000_000, queue: 2 << 20, loss: 0 };
        let plan = Plan {
            algorithm: Cubic,
            round_trip: Duration::from_millis(round_trip),
            buffers: Buffers { send: LARGE, receive: buffer, receive_max: buffer },
            starts: Duration::ZERO,
        };
        Window { round_trip, buffer, seen: goodput(&path, &plan, Duration::from_secs(10)) }
    };
    thread::scope(|scope| {
        let runs: Vec<_> = rows.map(|row| scope.spawn(move || measure(row))).collect();
        runs.into_iter().map(|window| window.join().expect("a window")).collect()
    })
}

impl Window {
    /// What the window and the line allow.
    fn allowed(&self) -> f64 {
        let by_window = f64::from(self.buffer) * 8.0 / 1000.0 / self.round_trip as f64;
        by_window.min(theory::capacity(WINDOW_MEGABITS as f64))
    }
}

/// The laws of windows.
pub fn check_windows(windows: &[Window]) {
    for window in windows {
        let (allowed, Window { round_trip, buffer, seen }) = (window.allowed(), window);
        assert!(*seen <= allowed, "{round_trip} ms, {buffer} bytes: {seen:.2} of {allowed:.2} Mbit/s");
        assert!(*seen >= 0.95 * allowed, "{round_trip} ms, {buffer} bytes: {seen:.2} of {allowed:.2} Mbit/s");
    }
}

/// The table of [`measure_windows`].
pub fn show_windows(windows: &[Window]) -> String {
    let mut table = String::from("One flow of cubic, 100 Mbit/s, by the reader's buffer\n\n");
    table += "                                      64 KiB     1 MiB\n";
    for row in windows.chunks(2) {
        table += &format!("      {:4} ms                      ", row[0].round_trip);
        table += &line(row.iter().map(|window| window.seen));
        table += "                             theory";
        table += &line(row.iter().map(Window::allowed));
    }
    table
}
