//! The page of assurance is that of its rows and of how their checks ended last.

use std::fs;
use std::path::Path;
use synward_testkit::assurance::{Page, Results, read_sections};

#[test]
fn the_page_is_made_of_its_rows_and_results() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let sections = read_sections(&docs.join("assurance")).expect("rows");
    let results = Results::read(&docs.join("assurance/results.json")).expect("results");
    let page = fs::read_to_string(docs.join("assurance.md")).expect("a page");
    let again = "make it again: cargo run --package synward-testkit --bin synward-assurance";
    assert!(page == Page::new(&sections, &results).text(), "docs/assurance.md is of other rows or results; {again}");
}
