//! Programs that step an engine themselves.

use crate::compiler::{compile, run};

#[test]
fn conversation_is_as_expected_and_the_same_every_time() {
    let program = compile("examples/conversation.c", "conversation", &[]);
    let first = run(&program);
    assert!(first.ends_with("as expected\n"), "{first}");
    assert_eq!(run(&program), first);
}
