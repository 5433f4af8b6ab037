//! What the engine is tested with: conversation scripts, the Linux kernel as oracle, a hostile link by seed, flows that
//! share a bottleneck.

pub mod engine;
pub mod heap;
pub mod hostile;
pub mod kernel;
pub mod path;
pub mod pcap;
pub mod play;
pub mod script;
pub mod target;
pub mod wire;
