//! `poll`: which of several descriptors have something to do.

use crate::descriptors::{FileId, Kind, Open, look_up};
use crate::engine::{Engine, Patience};
use crate::errno::{Errno, Result};
use std::ffi::{c_int, c_short};
use std::sync::Arc;

/// What is told whether it was asked for or not.
const ALWAYS: u32 = (libc::POLLERR | libc::POLLHUP) as u32;

/// What is asked of a descriptor.
enum Asked {
    /// Nothing: it is negative.
    Nothing,
    /// No descriptor of ours is open under this number.
    Unknown,
    /// What a socket can do.
    Socket(FileId),
    /// Whether an epoll instance has events.
    Epoll(FileId),
}

/// Fills in `revents` of each; how many are not zero. The descriptors that can wait must be of one engine.
///
/// # Errors
/// EINVAL when they are of several.
pub(crate) fn poll(fds: &mut [libc::pollfd], patience: Patience) -> Result<c_int> {
    let mut engine: Option<Arc<Engine>> = None;
    let mut asked = Vec::with_capacity(fds.len());
    for fd in fds.iter() {
        let (of, what) = match look_up(fd.fd) {
            _ if fd.fd < 0 => (None, Asked::Nothing),
            Ok(Open { engine, kind: Kind::Socket(file) }) => (Some(engine), Asked::Socket(file)),
            Ok(Open { engine, kind: Kind::Epoll(file) }) => (Some(engine), Asked::Epoll(file)),
            Ok(Open { kind: Kind::Engine, .. }) | Err(_) => (None, Asked::Unknown),
        };
        if let Some(of) = of {
            let first = engine.get_or_insert_with(|| Arc::clone(&of));
            if !Arc::ptr_eq(first, &of) {
                return Err(Errno::INVALID);
            }
        }
        asked.push(what);
    }
    let Some(engine) = engine else { return Ok(without_engine(fds, &asked)) };
    let outcome = engine.wait(patience, |state| {
        let mut ready = 0;
        for (fd, asked) in fds.iter_mut().zip(&asked) {
            let able = match asked {
                Asked::Nothing => 0,
                Asked::Unknown => libc::POLLNVAL as u32,
                // Closed since this call began.
                Asked::Socket(file) if state.socket(*file).is_err() => libc::POLLNVAL as u32,
                Asked::Socket(file) => state.events(*file) & (u32::from(fd.events.cast_unsigned()) | ALWAYS),
                Asked::Epoll(file) if state.has_events(*file) => u32::from(fd.events.cast_unsigned()) & EPOLL_HAS,
                Asked::Epoll(_) => 0,
            };
            // The bits of `poll` are the lower ones.
            fd.revents = able as c_short;
            ready += c_int::from(fd.revents != 0);
        }
        if ready > 0 { Ok(ready) } else { Err(Errno::AGAIN) }
    });
    match outcome {
        Err(Errno::AGAIN) => Ok(0),
        outcome => outcome,
    }
}

/// What an epoll instance with events can do.
const EPOLL_HAS: u32 = (libc::POLLIN | libc::POLLRDNORM) as u32;

/// Where nothing can ever happen, nothing is waited for.
fn without_engine(fds: &mut [libc::pollfd], asked: &[Asked]) -> c_int {
    let mut unknown = 0;
    for (fd, asked) in fds.iter_mut().zip(asked) {
        let is_unknown = matches!(asked, Asked::Unknown);
        fd.revents = if is_unknown { libc::POLLNVAL } else { 0 };
        unknown += c_int::from(is_unknown);
    }
    unknown
}
