//! What a thread sleeps on until another wakes it.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// An eventfd: signalled until it is cleared.
#[derive(Debug)]
pub(crate) struct Eventfd(OwnedFd);

impl Eventfd {
    /// One that is not signalled.
    ///
    /// # Errors
    /// As eventfd.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Wakes who waits, or will wait.
    pub(crate) fn signal(&self) {
        // Fails only when the counter would overflow, and then the descriptor is readable anyway.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Takes back the signals there have been.
    pub(crate) fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }

    /// Sleeps until it is signalled, or `timeout` has passed (`None`: no limit), or a signal comes to the thread: whatever ended
    /// it, the caller looks again.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)];
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let _ = poll(&mut fds, timeout.as_ref());
    }
}

impl AsFd for Eventfd {
    /// Readable while it is signalled.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
