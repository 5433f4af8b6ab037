//! `poll`: which of several descriptors have something to do.

use crate::descriptors::{FileId, Kind, Open, look_up};
use crate::engine::{Engine, Patience, State};
use crate::errno::{Errno, Result};
use std::ffi::{c_int, c_short};
use std::sync::Arc;

/// What is told whether it was asked for or not.
const ALWAYS: u32 = (libc::POLLERR | libc::POLLHUP) as u32;

/// What an epoll instance with events can do.
const EPOLL_HAS: u32 = (libc::POLLIN | libc::POLLRDNORM) as u32;

/// A descriptor that is asked about.
struct Asked {
    /// Whose it is, if anybody's.
    engine: Option<Arc<Engine>>,
    what: What,
}

/// What a descriptor stands for.
enum What {
    /// Nothing: it is negative.
    Nothing,
    /// No descriptor of ours that is open and can be asked.
    Unknown,
    /// A socket.
    Socket(FileId),
    /// An epoll instance.
    Epoll(FileId),
}

impl Asked {
    fn of(descriptor: c_int) -> Self {
        let (engine, what) = match look_up(descriptor) {
            _ if descriptor < 0 => (None, What::Nothing),
            Ok(Open { engine, kind: Kind::Socket(file) }) => (Some(engine), What::Socket(file)),
            Ok(Open { engine, kind: Kind::Epoll(file) }) => (Some(engine), What::Epoll(file)),
            Ok(Open { kind: Kind::Engine, .. }) | Err(_) => (None, What::Unknown),
        };
        Self { engine, what }
    }

    fn is_of(&self, engine: &Arc<Engine>) -> bool {
        self.engine.as_ref().is_some_and(|own| Arc::ptr_eq(own, engine))
    }

    /// What it can do of what was asked for.
    fn able(&self, state: &mut State, events: c_short) -> c_short {
        let events = u32::from(events.cast_unsigned());
        let able = match self.what {
            What::Nothing => 0,
            What::Unknown => libc::POLLNVAL as u32,
            // Closed since this call began.
            What::Socket(file) if state.socket(file).is_err() => libc::POLLNVAL as u32,
            What::Socket(file) => state.events(file) & (events | ALWAYS),
            What::Epoll(file) if state.has_events(file) => events & EPOLL_HAS,
            What::Epoll(_) => 0,
        };
        // The bits of `poll` are the lower ones.
        able as c_short
    }
}

/// Fills in `revents` of each; how many are not zero. Where the descriptors are of several engines, none is waited for.
///
/// # Errors
/// EINVAL when several engines would have to be waited for.
pub(crate) fn poll(fds: &mut [libc::pollfd], patience: Patience) -> Result<c_int> {
    let asked: Vec<_> = fds.iter().map(|fd| Asked::of(fd.fd)).collect();
    for (fd, asked) in fds.iter_mut().zip(&asked) {
        fd.revents = if matches!(asked.what, What::Unknown) { libc::POLLNVAL } else { 0 };
    }
    let mut engines: Vec<&Arc<Engine>> = Vec::new();
    for engine in asked.iter().filter_map(|asked| asked.engine.as_ref()) {
        if !engines.iter().any(|known| Arc::ptr_eq(known, engine)) {
            engines.push(engine);
        }
    }
    let could_wait = patience != Patience::None && engines.iter().any(|engine| !engine.is_stepped());
    if let [engine] = engines[..] {
        let outcome = engine.wait(patience, |state| match look(state, fds, &asked, engine) {
            0 => Err(Errno::AGAIN),
            ready => Ok(ready),
        });
        return if outcome == Err(Errno::AGAIN) { Ok(0) } else { outcome };
    }
    for engine in &engines {
        engine.call(|state| Ok(look(state, fds, &asked, engine)))?;
    }
    match count(fds) {
        0 if could_wait => Err(Errno::INVALID),
        ready => Ok(ready),
    }
}

/// Fills in `revents` of those that are of one engine; how many of all are not zero.
fn look(state: &mut State, fds: &mut [libc::pollfd], asked: &[Asked], engine: &Arc<Engine>) -> c_int {
    for (fd, asked) in fds.iter_mut().zip(asked).filter(|(_, asked)| asked.is_of(engine)) {
        fd.revents = asked.able(state, fd.events);
    }
    count(fds)
}

fn count(fds: &[libc::pollfd]) -> c_int {
    // Far fewer than an `int` can count.
    fds.iter().filter(|fd| fd.revents != 0).count() as c_int
}
