//! Attacks on connections that stand, from outside: whole engines on ports in memory, in virtual time, and frames written by hand.
//! Where an attack is to cost no more than so much, the cost is counted: bytes on the heap, frames, connections.

mod bed;
mod blind;
mod channels;
mod disorder;
mod full_table;
mod hold;
mod icmp;
mod leaks;
mod optimistic;
mod scoreboard;
mod segment_size;
mod storm;
mod time_wait;
mod window;

#[global_allocator]
static COUNTING: synward_testkit::heap::Counting = synward_testkit::heap::Counting;
