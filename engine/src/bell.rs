//! Waking a thread that sleeps, and costing nothing while it does not.

use crate::eventfd::Eventfd;
use crate::sync::atomic::{AtomicBool, Ordering, fence};
use std::io;

/// An eventfd and a flag that says whether its owner sleeps on it.
///
/// No wake-up is lost (Dekker's argument): the owner raises the flag, *then* looks for work once more, then sleeps; whoever
/// has work for it publishes the work, *then* looks at the flag. With a full fence between the two steps on either
/// side, at least one of them sees what the other did.
#[derive(Debug)]
pub(crate) struct Bell {
    eventfd: Eventfd,
    asleep: AtomicBool,
}

impl Bell {
    /// A bell whose owner is awake.
    ///
    /// # Errors
    /// As eventfd.
    pub(crate) fn new() -> io::Result<Self> {
        let eventfd = Eventfd::new()?;
        Ok(Self { eventfd, asleep: AtomicBool::new(false) })
    }

    /// For those who have just published work: wakes the owner if it sleeps or is about to.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.force();
        }
    }

    /// Ends the owner's sleep, or its next one, whether there is work or not.
    pub(crate) fn force(&self) {
        self.eventfd.signal();
    }

    /// For the owner: says that it is going to sleep. It must look for work once more before it does.
    pub(crate) fn doze(&self) {
        // A swap, which comes after those of `ring` in every order of this flag, costs little beside the fence; loom would let a
        // store come between such a swap and the value that it read, which no processor does.
        self.asleep.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// For the owner: says that it is awake, and silences the bell.
    pub(crate) fn rise(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        self.eventfd.clear();
    }

    /// What the owner sleeps on: signalled while the bell rings.
    pub(crate) fn eventfd(&self) -> &Eventfd {
        &self.eventfd
    }
}

#[cfg(test)]
mod tests {
    use super::Bell;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn rings(bell: &Bell) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(bell.eventfd().as_fd(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("poll") > 0
    }

    #[test]
    fn rings_only_for_an_owner_that_dozes() {
        let bell = Bell::new().expect("eventfd");
        bell.ring();
        assert!(!rings(&bell), "awake: no system call is spent");
        bell.doze();
        bell.ring();
        bell.ring();
        assert!(rings(&bell));
        bell.rise();
        assert!(!rings(&bell));
        bell.force();
        assert!(rings(&bell));
    }

    /// Two threads take turns, each sleeping without a limit until the other has worked. One lost wake-up and both sleep
    /// for ever, so the poll has a limit far beyond any scheduling delay, and reaching it is the failure.
    #[test]
    fn no_wake_up_is_lost() {
        const ROUNDS: u32 = 100_000;
        let bells = [Bell::new().expect("eventfd"), Bell::new().expect("eventfd")];
        let work = [AtomicU32::new(0), AtomicU32::new(0)];
        let play = |me: usize| {
            for round in 1..=ROUNDS {
                if me == 0 {
                    work[1].store(round, Ordering::Relaxed);
                    bells[1].ring();
                }
                while work[me].load(Ordering::Relaxed) != round {
                    bells[me].doze();
                    if work[me].load(Ordering::Relaxed) != round {
                        let mut fds = [PollFd::from_borrowed_fd(bells[me].eventfd().as_fd(), PollFlags::IN)];
                        let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
                        assert_eq!(poll(&mut fds, Some(&limit)).expect("poll"), 1, "lost in round {round}");
                    }
                    bells[me].rise();
                }
                if me == 1 {
                    work[0].store(round, Ordering::Relaxed);
                    bells[0].ring();
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| play(0));
            scope.spawn(|| play(1));
        });
    }
}
