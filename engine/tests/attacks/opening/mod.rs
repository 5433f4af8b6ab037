//! Attacks on the handshake and on what is half-open.

mod answers;
mod cookies;
mod entries;
mod flood;
mod hashing;
mod queues;
