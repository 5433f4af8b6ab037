//! What must happen, but at no particular time.

use anyhow::{Result, ensure};
use std::fmt::Debug;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long it may take.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again until `holds`; an error after [`PATIENCE`] carries what was seen last.
pub fn eventually<T: Debug>(ask: impl FnMut() -> Result<T>, holds: impl Fn(&T) -> bool) -> Result<T> {
    within(PATIENCE, ask, holds)
}

/// The same with other patience.
pub fn within<T: Debug>(
    patience: Duration,
    mut ask: impl FnMut() -> Result<T>,
    holds: impl Fn(&T) -> bool,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        let seen = ask()?;
        if holds(&seen) {
            return Ok(seen);
        }
        ensure!(Instant::now() < deadline, "still {seen:?} after {patience:?}");
        sleep(PAUSE);
    }
}
