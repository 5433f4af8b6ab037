//! What the engine is tested with: conversation scripts, the Linux kernel as oracle, a hostile link by seed, flows that
//! share a bottleneck, whole hosts in a hostile world.

pub mod engine;
pub mod hostile;
pub mod kernel;
pub mod path;
pub mod pcap;
pub mod play;
pub mod script;
pub mod simulator;
pub mod target;
pub mod wire;
