//! Attackers: whole engines on ports in memory, and frames crafted by hand. Each test shows from outside what an attack is to
//! achieve at most, and measures what it costs: bytes of state, bytes and frames of answer, work.

mod bed;
mod opening;

#[global_allocator]
static COUNTING: synward_testkit::heap::Counting = synward_testkit::heap::Counting;
