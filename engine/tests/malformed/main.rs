//! Frames that nobody should send, one at a time at a whole engine, from outside: each becomes exactly one thing, for exactly one
//! reason, is answered as the table beside it says or not at all, and a connection beside it notices nothing.

mod addresses;
mod bed;
mod checksums;
mod ecn;
mod flags;
mod frames;
mod lengths;
mod link;
mod network;
mod numbers;
mod options;
mod server;
mod urgent;
