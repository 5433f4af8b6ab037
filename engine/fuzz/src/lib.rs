//! What must hold for any bytes: one function for each part that takes what strangers say.
//!
//! Each function takes the bytes of one input and panics when a law is broken. libFuzzer looks for such inputs
//! (`engine/fuzz/libfuzzer`, `make fuzz`); those that it kept are played by the test `replay` with every other test. An oracle
//! here never asks the code under test what it should have done: it reads the bytes anew, in the plainest way, or keeps
//! books of its own.
//!
//! | target | drives | its laws |
//! | --- | --- | --- |
//! | [`wire_parse()`] | frames, TCP and ICMP | agrees with a plain reading to the field and to the reason; survives being written again |
//! | [`options()`] | the option walk and its writer | the same of options alone; limits of RFC 7323 and of 40 bytes |
//! | [`listener()`] | a listener, its table and its cookies | no half-open above the limit, no connection without a handshake, no large answers |
//! | [`connection()`] | a connection in every state | streams intact, windows kept, timers armed, an end in time |
//! | [`cookie()`] | cookies minted and taken | what is taken is what is minted, to the bit, and still offered |
//! | [`config()`] | the configuration | each mistake has its place; what is right is stable |
//! | [`control()`] | the server of the control socket | an answer or none, bounded, and the next client is served |
//! | [`bpf()`] | the XDP program, in the kernel | agrees with the parser and the listener |
//!
//! Inputs are kept in two folders: `corpus` has a small one for each way through the code that the fuzzers have found,
//! `regressions` those that broke a law once.

mod bpf;
mod config;
mod connection;
mod control;
mod cookie;
mod listener;
mod naive;
mod options;
mod packet;
mod samples;
mod wire_parse;

pub use bpf::bpf;
pub use config::config;
pub use connection::connection;
pub use control::control;
pub use cookie::cookie;
pub use listener::listener;
pub use options::options;
pub use wire_parse::wire_parse;
