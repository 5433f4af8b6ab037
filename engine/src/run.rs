//! The thread that turns a poll loop: polls while there is work, sleeps when there is none.

use crate::link_watch::{LinkChange, LinkWatch};
use crate::{PollLoop, SocketCore, affinity, clock};
use rustix::event::epoll;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;
use synward_nic::{Port, PortStatus};
use synward_proto::Instant;

/// How often a busy loop looks after its device.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// The longest sleep: how late the loss of a device can be noticed that nothing tells of.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// The longest sleep while frames wait for the tx ring, or connections for frames: nothing tells when there is room.
const CONGESTED_SLEEP: Duration = Duration::from_millis(1);
/// The same while the link is down.
const DOWN_SLEEP: Duration = Duration::from_millis(100);

/// Turns that a loop which was asked to end still makes, at most, for what was asked of it before.
const LAST_TURNS: u32 = 1_000;

/// Why a loop ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The interface was deleted or its device removed.
    #[error("the interface is gone")]
    DeviceGone,
    /// The thread could not be pinned.
    #[error("core {0}: no such core, or the kernel does not let us run there")]
    Core(usize),
    /// The link could not be watched.
    #[error("watching interface {interface}: {source}")]
    LinkWatch {
        /// The interface.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What ends a sleep: the bells of those on this thread, and news of the link.
struct Alarm {
    /// Readable when one of them is.
    any: OwnedFd,
    watch: Option<LinkWatch>,
}

impl Alarm {
    fn new<'a>(bells: impl IntoIterator<Item = BorrowedFd<'a>>, interface: Option<&str>) -> io::Result<Self> {
        let watch = interface.map(LinkWatch::open).transpose()?;
        let any = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        bells.into_iter().try_for_each(|bell| add(&any, bell))?;
        watch.as_ref().map_or(Ok(()), |watch| add(&any, watch.as_fd()))?;
        Ok(Self { any, watch })
    }
}

/// Whose descriptor it is does not matter: everything is looked at after a sleep.
fn add(any: &OwnedFd, fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(epoll::add(any, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?)
}

/// Stands for the application where there is none.
type NoApp = fn(&mut SocketCore, Instant) -> Option<Instant>;

/// A worker on the thread of a poll loop.
struct Worker<App> {
    core: SocketCore,
    app: App,
    /// When it has something to do even if nothing comes.
    due: Option<Instant>,
}

impl<App: FnMut(&mut SocketCore, Instant) -> Option<Instant>> Worker<App> {
    /// Does what is to do after a turn at `now` that was idle or not; true when it did something.
    fn ride(&mut self, now: Instant, idle: bool) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        let called = !idle || due || self.has_work();
        if called {
            self.due = (self.app)(&mut self.core, now);
        }
        called
    }

    /// Says that it is going to sleep; true when it cannot, for there is work.
    fn doze(&mut self) -> bool {
        self.core.shards.doze();
        self.has_work()
    }

    /// Says that it is awake.
    fn rise(&mut self) {
        self.core.shards.rise();
    }

    fn has_work(&mut self) -> bool {
        self.core.has_outside_work() || self.core.has_any_waiting() || self.core.has_ready()
    }
}

impl<P: Port> PollLoop<P> {
    /// Turns until asked to stop: polls while there is work, then sleeps until a frame, a request or a deadline. The thread
    /// is pinned, and the link watched, as the configuration says; it takes the highest ordinary priority where it may.
    ///
    /// # Errors
    /// [`RunError::DeviceGone`] when the device is lost for good; every socket then fails with
    /// [`NetworkDown`](crate::SocketError::NetworkDown). A link that goes down is waited for: connections keep their
    /// state, and their retransmissions resume with it.
    pub fn run(self) -> Result<(), RunError> {
        self.turn_with(&mut None::<Worker<NoApp>>)
    }

    /// As [`run`](Self::run), with a worker on the same thread: `app` is called after every turn that did something, when the worker has
    /// news, and when the time has come that it returned last. It polls the core itself, and must not block: the loop
    /// stands still meanwhile.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(
        self,
        core: SocketCore,
        app: impl FnMut(&mut SocketCore, Instant) -> Option<Instant>,
    ) -> Result<(), RunError> {
        self.turn_with(&mut Some(Worker { core, app, due: None }))
    }

    fn turn_with<App: FnMut(&mut SocketCore, Instant) -> Option<Instant>>(
        mut self,
        worker: &mut Option<Worker<App>>,
    ) -> Result<(), RunError> {
        if let Some(core) = self.shard.config.core
            && !affinity::pin_to(core)
        {
            return Err(RunError::Core(core));
        }
        if !affinity::run_before_others() {
            tracing::warn!("without CAP_SYS_NICE the poll loop waits for its core like any other thread");
        }
        let interface = self.shard.config.interface.clone();
        let bells =
            std::iter::once(self.shard.workers.as_fd()).chain(worker.as_ref().map(|worker| worker.core.shards.as_fd()));
        let mut alarm = Alarm::new(bells, interface.as_deref())
            .map_err(|source| RunError::LinkWatch { interface: interface.unwrap_or_default(), source })?;
        tracing::info!(shard = self.shard.id, modes = ?self.port.modes(), core = ?self.shard.config.core, "a poll loop begins");
        let (mut busy, mut checked, mut status) = (clock::monotonic(), Instant::ZERO, PortStatus::Up);
        while !self.stop.load(Ordering::Acquire) {
            let now = clock::monotonic();
            let idle = self.poll_once(now).is_idle();
            let rode = worker.as_mut().is_some_and(|worker| worker.ride(now, idle));
            if now.since(checked) >= CHECK_INTERVAL {
                (status, checked) = (self.check_device(&mut alarm)?, now);
            }
            if !idle || rode {
                busy = now;
            } else if now.since(busy) < self.shard.config.spin {
                std::hint::spin_loop();
            } else {
                self.sleep(now, status, &alarm, worker);
            }
        }
        self.finish_requests();
        Ok(())
    }

    /// Does what workers have asked for by now: resets of connections that they let go of, above all.
    fn finish_requests(&mut self) {
        for _ in 0..LAST_TURNS {
            let turn = self.poll_once(clock::monotonic());
            if turn.requests == 0 && !turn.unfinished {
                return;
            }
        }
    }

    /// Sleeps until something may have happened.
    fn sleep<App: FnMut(&mut SocketCore, Instant) -> Option<Instant>>(
        &mut self,
        now: Instant,
        status: PortStatus,
        alarm: &Alarm,
        worker: &mut Option<Worker<App>>,
    ) {
        let due = self.next_deadline(now).into_iter().chain(worker.as_ref().and_then(|worker| worker.due)).min();
        let Self { port, shard, stop, .. } = self;
        // The order matters: first say that they sleep, then look once more. See `Bell`.
        shard.workers.doze();
        let has_work = worker.as_mut().is_some_and(|worker| worker.doze()) || shard.has_outside_work();
        if !has_work && !stop.load(Ordering::Acquire) {
            let longest = match status {
                PortStatus::Up if shard.is_congested() => CONGESTED_SLEEP,
                PortStatus::Down if shard.is_congested() => DOWN_SLEEP,
                PortStatus::Up | PortStatus::Down | PortStatus::Gone => LONGEST_SLEEP,
            };
            let due = due.map_or(longest, |deadline| deadline.since(now));
            port.wait(Some(alarm.any.as_fd()), Some(due.min(longest)));
        }
        shard.workers.rise();
        if let Some(worker) = worker {
            worker.rise();
        }
    }

    /// Hears what became of the link and of the device.
    fn check_device(&mut self, alarm: &mut Alarm) -> Result<PortStatus, RunError> {
        self.shard.stats.set_port(&self.port.statistics());
        if let Some(watch) = &mut alarm.watch {
            while let Some(change) = watch.poll() {
                match change {
                    LinkChange::Up => tracing::info!("the link is up"),
                    LinkChange::Down => tracing::warn!("the link is down: connections wait for it"),
                    LinkChange::Mtu(mtu) => self.shard.set_mtu(mtu),
                    LinkChange::Gone => return Err(RunError::DeviceGone),
                }
            }
        }
        match self.port.status() {
            PortStatus::Gone => Err(RunError::DeviceGone),
            status @ (PortStatus::Up | PortStatus::Down) => Ok(status),
        }
    }
}
