//! What goodput the models of the literature give, in Mbit/s of payload.

use synward_proto::connection::CongestionAlgorithm;

/// Payload bytes of a full segment with timestamps, and of the frame around it.
pub const SEGMENT: f64 = 1448.0;
const FRAME: f64 = 1514.0;

/// What a line of `megabits` carries when it is never idle.
pub fn capacity(megabits: f64) -> f64 {
    megabits * SEGMENT / FRAME
}

/// Mbit/s of a window of so many segments per round trip of so many milliseconds.
pub fn of_window(segments: f64, round_trip: u64) -> f64 {
    segments * SEGMENT * 8.0 / 1000.0 / round_trip as f64
}

/// The average window of NewReno, segments, where each segment is lost with the same chance: Mathis et al. (1997), with the
/// constant for an acknowledgment that opens the window by the bytes it covers.
fn mathis(loss: f64) -> f64 {
    (1.5 / loss).sqrt()
}

/// The average window of CUBIC, segments: RFC 9438, section 5.1, with the Reno-friendly region where that is larger.
fn cubic(loss: f64, round_trip: u64) -> f64 {
    (1.054 * (round_trip as f64 / 1000.0 / loss).powf(0.75)).max(mathis(loss))
}

/// Mbit/s with a chance of loss, below the line's capacity.
pub fn lossy(algorithm: CongestionAlgorithm, loss: f64, round_trip: u64) -> f64 {
    let window = match algorithm {
        CongestionAlgorithm::NewReno => mathis(loss),
        CongestionAlgorithm::Cubic => cubic(loss, round_trip),
    };
    of_window(window, round_trip)
}

/// Mbit/s of NewReno that waits for a timeout after most losses of a small window: Padhye et al. (1998), equation 30, with an
/// RTO of 200 ms and the round trip. RACK-TLP does better where timeouts are long.
pub fn with_timeouts(loss: f64, round_trip: u64) -> f64 {
    let round_trip = round_trip as f64 / 1000.0;
    let timeouts = (3.0 * (3.0 * loss / 8.0).sqrt()).min(1.0) * loss * (1.0 + 32.0 * loss * loss);
    SEGMENT * 8.0 / 1e6 / (round_trip * (2.0 * loss / 3.0).sqrt() + (0.2 + round_trip) * timeouts)
}

/// The share of its line that NewReno fills with a queue of `queue` BDP before it: its window climbs from half of `1 + queue`
/// BDP to the whole; below one BDP a round trip takes the same time, above it a BDP of data more takes one more.
pub fn reno_fills(queue: f64) -> f64 {
    let (least, most) = ((1.0 + queue) / 2.0, 1.0 + queue);
    if least >= 1.0 {
        return 1.0;
    }
    let sent = (most * most - least * least) / 2.0;
    let took = (1.0 - least) + (most * most - 1.0) / 2.0;
    sent / took
}
