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

mod cookie;
mod listener;
mod naive;
mod options;
mod packet;
mod samples;
mod wire_parse;

pub use cookie::cookie;
pub use listener::listener;
pub use options::options;
pub use wire_parse::wire_parse;
