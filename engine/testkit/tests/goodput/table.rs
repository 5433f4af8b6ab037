//! The table as a text.

use std::path::{Path, PathBuf};

/// Says what the table is and how to accept a new one.
const HEAD: &str = "\
What flows reach on a simulated path, in virtual time: goodput and fairness.

engine/testkit/tests/goodput.rs makes this table again and fails when it differs. Review the difference, and accept it by

    SYNWARD_ACCEPT=1 cargo test -p synward-testkit --test goodput

Every flow is two connections of synward-proto. One sends all the time in segments of 1448 bytes (1514 on the line), the other
reads at once; nothing of the handshake or of acknowledgments is lost. Goodput is what the reader gets after a quarter of the
time, in Mbit/s. The test also holds the figures against theory: see the laws in engine/testkit/tests/goodput/.
";

/// The table with these parts.
pub fn write(parts: &[String]) -> String {
    format!("{HEAD}\n{}", parts.join("\n"))
}

/// Puts `table` in the place of the one that is kept, when `SYNWARD_ACCEPT` is set.
pub fn accept_if_asked(table: &str) {
    if std::env::var_os("SYNWARD_ACCEPT").is_some() {
        std::fs::write(path(), table).expect("the table can be written");
    }
}

/// Compares `table` with the one that is kept.
///
/// # Panics
/// When they differ; with each line that does.
pub fn compare(table: &str) {
    let wanted = std::fs::read_to_string(path()).unwrap_or_default();
    let difference = difference(&wanted, table);
    assert!(difference.is_empty(), "the table has changed (how to accept it stands in its head):\n{difference}");
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goodput.txt")
}

/// The lines that are not the same in both.
fn difference(wanted: &str, seen: &str) -> String {
    let (mut wanted, mut seen) = (wanted.lines(), seen.lines());
    let mut difference = String::new();
    loop {
        let (was, is) = (wanted.next(), seen.next());
        if was.is_none() && is.is_none() {
            return difference;
        }
        if was != is {
            let line = |sign, text: Option<&str>| text.map_or(String::new(), |text| format!("{sign} {text}\n"));
            difference += &(line('-', was) + &line('+', is));
        }
    }
}
