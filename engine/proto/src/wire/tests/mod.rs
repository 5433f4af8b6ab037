//! What the door lets in, what it refuses, and that reading undoes writing.

mod drops;
mod frames;
mod hostile;
mod icmp;
mod layout;
mod roundtrip;
