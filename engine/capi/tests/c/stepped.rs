//! Programs that step an engine themselves.

use crate::compiler::{compile, run};
use std::process::Command;

#[test]
fn conversation_is_as_expected_and_the_same_every_time() {
    let program = compile("examples/conversation.c", "conversation", &[]);
    let first = run(Command::new(&program));
    assert!(first.ends_with("as expected\n"), "{first}");
    assert_eq!(run(Command::new(program)), first);
}

#[test]
fn nonsense_gets_an_answer() {
    let program = compile("tests/c/programs/odd.c", "odd", &[]);
    assert_eq!(run(Command::new(program)), "as expected\n");
}
