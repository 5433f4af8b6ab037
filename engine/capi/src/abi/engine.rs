//! Engines.

use crate::caller::{Place, answer, complain, complaint, done, text};
use crate::config::{Config, Words, sw_config};
use crate::descriptors::{self, Kind, Open};
use crate::engine::Engine;
use crate::errno::{Errno, Result};
use std::cell::Cell;
use std::ffi::{c_char, c_int};
use std::sync::Arc;

thread_local! {
    /// The descriptor that `sw_use` named in this thread; 0 is the engine that was opened first.
    static IN_USE: Cell<c_int> = const { Cell::new(0) };
}

/// The engine that new sockets of this thread belong to.
///
/// # Errors
/// ENETDOWN when none is open.
pub(super) fn in_use() -> Result<Arc<Engine>> {
    match IN_USE.get() {
        0 => descriptors::first_engine().map(|open| open.engine).ok_or(Errno(libc::ENETDOWN)),
        descriptor => descriptors::engine(descriptor),
    }
}

/// Opens an engine, and returns its descriptor. sw_close closes it: all of its sockets are closed with resets, and calls that
/// wait fail with EBADF.
///
/// Errors: EINVAL for a setting that cannot be used, EFAULT, and those of the system; sw_error tells more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_open(config: *const sw_config) -> c_int {
    answer(|| {
        // SAFETY: what C promised.
        let config = unsafe { Place::new(config) }.read()?;
        // SAFETY: the same of the texts that it names.
        let text = |at| unsafe { text(at) };
        let words = Words {
            mode: config.mode,
            interface: text(config.interface)?,
            addresses: text(config.addresses)?,
            mac: config.mac,
            peer_mac: config.peer_mac,
            seed: config.seed,
            settings: text(config.settings)?,
        };
        let opened = Config::read(&words).map_err(|problem| (Errno::INVALID, problem)).and_then(Engine::open);
        let engine = opened.map_err(|(errno, problem)| {
            complain(&problem);
            errno
        })?;
        descriptors::give(&engine, Kind::Engine)
    })
}

/// Why the last sw_open of this thread failed, as a sentence in English. The text stays until the next sw_open of this thread.
#[unsafe(no_mangle)]
pub extern "C" fn sw_error() -> *const c_char {
    complaint()
}

/// From now on, sw_socket and sw_epoll_create1 of this thread belong to this engine; 0 stands for the engine that was opened
/// first, which is what every thread begins with. Returns what was in use before.
///
/// Errors: EBADF; EINVAL when it is no engine.
#[unsafe(no_mangle)]
pub extern "C" fn sw_use(engine: c_int) -> c_int {
    answer(|| {
        if engine != 0 {
            descriptors::engine(engine)?;
        }
        Ok(IN_USE.replace(engine))
    })
}

/// Closes a socket, an epoll instance or an engine.
///
/// A socket with unread bytes, or with SO_LINGER and no time, resets its connection; another ends it in order, after what was
/// sent. Calls on it that wait in other threads fail with EBADF.
///
/// Errors: EBADF.
#[unsafe(no_mangle)]
pub extern "C" fn sw_close(fd: c_int) -> c_int {
    done(|| match descriptors::take(fd)? {
        Open { engine, kind: Kind::Socket(file) } => engine.close_socket(file),
        Open { engine, kind: Kind::Epoll(file) } => engine.call(|state| {
            state.close_epoll(file);
            Ok(())
        }),
        Open { engine, kind: Kind::Engine } => {
            descriptors::take_all_of(&engine);
            engine.close();
            Ok(())
        }
    })
}
