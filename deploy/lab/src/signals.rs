//! Ctrl-C and SIGTERM.

use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::LabError;
use crate::bed::{stop_building, take_down_own};

/// From now on, SIGINT, SIGTERM and SIGHUP first take down every test bed that this process has, or will have, built, then
/// end the process as they would have done anyway.
///
/// For binaries, once, at the start. A binary that has more to put in order handles the signals itself and drops its
/// [`crate::Lab`] in the ordinary way. There is no guard process for kill -9: what that leaves behind is on record, and the
/// next start of anything that uses a lab removes it (see [`crate::sweep`]).
///
/// # Errors
/// The signals cannot be handled.
pub fn take_down_on_signals() -> Result<(), LabError> {
    let failed = |source| LabError::system("handle SIGINT, SIGTERM and SIGHUP", source);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let wait = move || {
        for signal in signals.forever() {
            let _until_the_end = stop_building();
            if let Err(error) = take_down_own() {
                eprintln!("synward lab: {error}");
            }
            // Fails only for signals that have no default action, unlike these.
            let _ = emulate_default_handler(signal);
        }
    };
    thread::Builder::new().name("lab-signals".into()).spawn(wait).map(drop).map_err(failed)
}
