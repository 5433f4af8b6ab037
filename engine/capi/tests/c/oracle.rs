//! The kernel as the oracle: each program is compiled with its calls and with those of the library, on engines that are stepped
//! and on engines in real time, and all must print the same, line by line.

use crate::compiler::{compile, run};
use std::process::Command;

/// On engines that the program steps.
const STEPPED: (&str, &[&str]) = ("stepped", &["-DSYNWARD"]);
/// On engines with threads of their own, between which the program carries frames.
const THREADED: (&str, &[&str]) = ("threaded", &["-DSYNWARD", "-DTHREADED"]);

fn agree(name: &str, ways: &[(&str, &[&str])]) {
    let source = format!("tests/c/programs/{name}.c");
    let kernel = run(Command::new(compile(&source, &format!("{name}-kernel"), &[])));
    assert!(kernel.lines().count() > 20, "{source} says hardly anything");
    for (way, options) in ways {
        let ours = run(Command::new(compile(&source, &format!("{name}-{way}"), options)));
        let differences: Vec<_> = kernel.lines().zip(ours.lines()).filter(|(kernel, ours)| kernel != ours).collect();
        assert!(differences.is_empty(), "{source}, {way}, kernel and ours: {differences:#?}");
        assert_eq!(kernel.lines().count(), ours.lines().count(), "{source}, {way}");
    }
}

#[test]
fn life_of_a_socket() {
    agree("life", &[STEPPED, THREADED]);
}

#[test]
fn transfer_of_bytes() {
    agree("transfer", &[STEPPED, THREADED]);
}

#[test]
fn options_of_a_socket() {
    agree("options", &[STEPPED, THREADED]);
}

#[test]
fn events_of_poll_and_epoll() {
    agree("events", &[STEPPED, THREADED]);
}

#[test]
fn calls_that_wait() {
    agree("blocking", &[THREADED]);
}
