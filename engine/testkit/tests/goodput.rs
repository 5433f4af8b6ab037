//! What flows reach on a simulated path, as a table that is reviewed when it changes, and what theory says about it.
//!
//! `goodput.txt` beside this file is the table; its first lines say how to accept a new one.

mod goodput {
    pub mod fairness;
    pub mod single;
    pub mod table;
    pub mod theory;
}

use goodput::{fairness, single, table};

#[test]
fn the_table_is_as_it_was() {
    let cells = single::measure();
    let windows = single::measure_windows();
    let pairs = fairness::measure();
    let table = table::write(&[single::show(&cells), single::show_windows(&windows), fairness::show(&pairs)]);
    table::accept_if_asked(&table);
    single::check(&cells);
    single::check_windows(&windows);
    fairness::check(&pairs);
    table::compare(&table);
}
