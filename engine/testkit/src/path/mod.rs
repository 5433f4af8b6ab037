//! Flows that share a bottleneck, in virtual time: what congestion control makes of a path.
//!
//! Each flow is two connections of `synward-proto`, one that sends all the time and one that reads at once.
//! Data passes the [`Bottleneck`] and then a link of its own with a delay and a chance of loss; acknowledgments pass a link
//! with the same delay and are never lost or queued. Everything follows from the seed.

mod bottleneck;
mod flow;

pub use bottleneck::Bottleneck;
pub use flow::Buffers;

use crate::hostile::Rng;
use flow::Flow;
use std::time::Duration;
use synward_proto::connection::CongestionAlgorithm;

/// What the flows share.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Bits per second of the bottleneck, Ethernet headers included.
    pub rate: u64,
    /// Bytes that wait for it at most.
    pub queue: u64,
    /// Frames of data lost after it, in a thousand.
    pub loss: u32,
}

/// One flow.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How it avoids congestion.
    pub algorithm: CongestionAlgorithm,
    /// The round trip without a queue.
    pub round_trip: Duration,
    /// Buffers of its connections.
    pub buffers: Buffers,
    /// When its handshake begins.
    pub starts: Duration,
}

/// What became of one flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Bytes that the reader got from `from` to the end of the run.
    pub delivered: u64,
    /// Segments sent again, in all.
    pub retransmits: u32,
}

impl Outcome {
    /// Bits per second over `span`.
    pub fn goodput(&self, span: Duration) -> f64 {
        self.delivered as f64 * 8.0 / span.as_secs_f64()
    }
}

/// Runs `plans` over `path` until `until`, and says what each delivered from `from` on.
///
/// # Errors
/// When a connection fails, or sends what cannot be read: never on a path that loses and delays frames only.
pub fn run(seed: u64, path: &Path, plans: &[Plan], from: Duration, until: Duration) -> Result<Vec<Outcome>, String> {
    let mut rng = Rng::new(seed);
    let mut bottleneck = Bottleneck::new(path.rate, path.queue);
    let new = |(plan, number)| Flow::new(number, plan, path.loss, &mut rng);
    let mut flows = plans.iter().zip(0..).map(new).collect::<Result<Vec<_>, _>>()?;
    advance(&mut flows, &mut bottleneck, from)?;
    let before: Vec<u64> = flows.iter().map(Flow::delivered).collect();
    advance(&mut flows, &mut bottleneck, until)?;
    let outcome = |(flow, before): (&Flow, u64)| Outcome {
        delivered: flow.delivered() - before,
        retransmits: flow.retransmits(until),
    };
    Ok(flows.iter().zip(before).map(outcome).collect())
}

/// Lets everything happen that happens before `until`.
fn advance(flows: &mut [Flow], bottleneck: &mut Bottleneck, until: Duration) -> Result<(), String> {
    while let Some(now) = flows.iter().filter_map(Flow::next_event).min().filter(|now| *now < until) {
        for flow in flows.iter_mut().filter(|flow| flow.next_event() == Some(now)) {
            flow.turn(now, bottleneck)?;
        }
    }
    Ok(())
}
