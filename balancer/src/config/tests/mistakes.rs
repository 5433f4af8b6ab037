//! Every kind of mistake, as it is reported.

use super::{LEAST, mistakes};
use crate::config::{Config, Mistakes};

/// What `LEAST` becomes when `old` in it is replaced by `new`, and what is said of it.
fn changed(old: &str, new: &str) -> Vec<String> {
    assert!(LEAST.contains(old), "{old}");
    mistakes(&LEAST.replacen(old, new, 1))
}

#[track_caller]
fn says(old: &str, new: &str, wanted: &[&str]) {
    assert_eq!(changed(old, new), wanted);
}
