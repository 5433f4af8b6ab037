//! The kernel as the oracle: each program is compiled twice, once with its own calls and once with those of the library, and
//! both must print the same, line by line.

use crate::compiler::{compile, run};

fn agree(name: &str) {
    let source = format!("tests/c/programs/{name}.c");
    let kernel = run(&compile(&source, &format!("{name}-kernel"), &[]));
    let ours = run(&compile(&source, &format!("{name}-synward"), &["-DSYNWARD"]));
    let differences: Vec<_> = kernel.lines().zip(ours.lines()).filter(|(kernel, ours)| kernel != ours).collect();
    assert!(differences.is_empty(), "{source}, kernel and ours: {differences:#?}");
    assert_eq!(kernel.lines().count(), ours.lines().count(), "{source}");
    assert!(kernel.lines().count() > 20, "{source} says hardly anything");
}

#[test]
fn life_of_a_socket() {
    agree("life");
}

#[test]
fn transfer_of_bytes() {
    agree("transfer");
}

#[test]
fn options_of_a_socket() {
    agree("options");
}

#[test]
fn events_of_poll_and_epoll() {
    agree("events");
}
