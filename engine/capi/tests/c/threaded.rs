//! Programs whose engines have threads of their own.

use crate::compiler::{compile, run};
use std::process::Command;

#[test]
fn whoever_waits_on_what_is_closed_fails() {
    let program = compile("tests/c/programs/closing.c", "closing", &[]);
    assert_eq!(run(Command::new(program)), "as expected\n");
}
