//! What a stream reaches in virtual time, as a table to be reviewed when it changes.

use super::bench::ms;
use super::link::{Pair, Quality, config, sends};
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// Mbit/s of 8 MiB over 100 Mbit/s, loss in both directions. At 10 ‰ the model of Mathis et al. (1997), MSS / RTT · 1.22 /
/// √loss, says 70.7 (more than half of the line: not reached), 7.1 and 1.4.
const TABLE: &str = "\
round trip   loss ‰:    0      1     10     30
      2 ms             95.1   94.5   53.6   24.9
     20 ms             84.0   31.8    5.9    3.2
    100 ms             45.5   21.4    1.2    0.7
";

#[test]
fn loss_costs_what_it_did() {
    let mut table = String::from("round trip   loss ‰:    0      1     10     30\n");
    for delay in [1, 10, 50] {
        let mut line = format!("{:7} ms          ", 2 * delay);
        for loss in [0, 1, 10, 30] {
            line += &format!("{:7.1}", megabits(delay, loss));
        }
        table += &format!("{line}\n");
    }
    assert_eq!(table, TABLE, "as seen:\n{table}");
}

fn megabits(delay: u64, loss: u64) -> f64 {
    const BYTES: u32 = 8 << 20;
    let quality = Quality { delay: ms(delay), loss, rate: 100_000_000, ..Quality::PERFECT };
    let mut pair = Pair::new(7, quality, [sends(BYTES), sends(0)], &config());
    let start = pair.now;
    pair.run(Duration::from_secs(3600), |ends| ends[1].received == BYTES);
    assert_eq!(pair.ends[1].received, BYTES);
    f64::from(BYTES) * 8.0 / (pair.now - start).as_secs_f64() / 1e6
}
