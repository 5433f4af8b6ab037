//! A link that does to frames what networks do, all from one seed.

mod link;
mod rng;

pub use link::{Bursts, HostileLink, Weather};
pub use rng::Rng;
