//! The header that is kept for readers and for `make library`.

use crate::compiler::root;
use std::process::{Command, Stdio};

/// Written by `build.rs` from the declarations.
const WRITTEN: &str = include_str!(concat!(env!("OUT_DIR"), "/synward.h"));

#[test]
fn header_is_what_the_declarations_say() {
    let kept = root().join("include/synward.h");
    if std::env::var_os("SYNWARD_BLESS").is_some() {
        std::fs::write(&kept, WRITTEN).expect("the header is written");
    }
    let kept = std::fs::read_to_string(&kept).expect("the header is there");
    assert!(
        kept == WRITTEN,
        "include/synward.h is out of date: SYNWARD_BLESS=1 cargo test -p synward-c writes it anew"
    );
}

#[test]
fn header_stands_alone_in_c_and_in_cpp() {
    let header = root().join("include/synward.h");
    for language in [["c", "-std=c11"], ["c++", "-std=c++11"]] {
        let [name, standard] = language;
        let mut cc = Command::new("cc");
        cc.args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-pedantic", "-x", name, standard]).arg(&header);
        let output = cc.stdin(Stdio::null()).output().expect("cc runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
