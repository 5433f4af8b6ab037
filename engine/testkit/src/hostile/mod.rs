//! Two engines and a hostile link between them, all from one seed.

mod link;
mod rng;
mod simulation;
mod talker;

pub use link::{HostileLink, Weather};
pub use rng::Rng;
pub use simulation::{Outcome, record, simulate};
