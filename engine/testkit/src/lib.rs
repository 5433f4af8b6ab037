//! What the engine is tested with: conversation scripts, the Linux kernel as oracle, a hostile link by seed, flows that
//! share a bottleneck, whole hosts in a hostile world, TAP devices whose wire is the test; and the page that says what all of this has shown.

pub mod assurance;
pub mod engine;
pub mod heap;
pub mod hostile;
pub mod kernel;
pub mod path;
pub mod pcap;
pub mod play;
pub mod script;
pub mod simulator;
pub mod tap;
pub mod target;
pub mod wire;
