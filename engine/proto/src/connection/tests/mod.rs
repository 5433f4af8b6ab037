//! Connections as a whole: one alone against segments made by hand, and two against each other over a hostile link.

pub(super) mod bench;
mod blind;
mod close;
mod crossed;
mod ecn;
mod hostile;
mod icmp;
mod keepalive;
mod link;
mod open;
mod options;
mod receive;
mod recovery;
mod retransmit;
mod send;
mod simulation;
mod time_wait;
