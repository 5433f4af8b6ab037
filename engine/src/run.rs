//! The thread that turns a poll loop: polls while there is work, sleeps when there is none.

use crate::link_watch::{LinkChange, LinkWatch};
use crate::{PollLoop, affinity, clock};
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

/// What ends a sleep: the shard's bell, and news of the link.
struct Alarm {
    /// Readable when one of the others is; only when there is a link to watch.
    either: Option<(OwnedFd, LinkWatch)>,
}

impl Alarm {
    fn new(bell: BorrowedFd<'_>, interface: Option<&str>) -> io::Result<Self> {
        let Some(interface) = interface else { return Ok(Self { either: None }) };
        let watch = LinkWatch::open(interface)?;
        let either = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (fd, data) in [(bell, 0), (watch.as_fd(), 1)] {
            epoll::add(&either, fd, epoll::EventData::new_u64(data), epoll::EventFlags::IN)?;
        }
        Ok(Self { either: Some((either, watch)) })
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
    pub fn run(mut self) -> Result<(), RunError> {
        if let Some(core) = self.shard.config.core
            && !affinity::pin_to(core)
        {
            return Err(RunError::Core(core));
        }
        if !affinity::run_before_others() {
            tracing::warn!("without CAP_SYS_NICE the poll loop waits for its core like any other thread");
        }
        let interface = self.shard.config.interface.clone();
        let mut alarm = Alarm::new(self.shard.workers.as_fd(), interface.as_deref())
            .map_err(|source| RunError::LinkWatch { interface: interface.unwrap_or_default(), source })?;
        tracing::info!(modes = ?self.port.modes(), core = ?self.shard.config.core, "the poll loop begins");
        let (mut busy, mut checked, mut status) = (clock::monotonic(), Instant::ZERO, PortStatus::Up);
        while !self.stop.load(Ordering::Acquire) {
            let now = clock::monotonic();
            let turn = self.poll_once(now);
            if now.since(checked) >= CHECK_INTERVAL {
                (status, checked) = (self.check_device(&mut alarm)?, now);
            }
            if !turn.is_idle() {
                busy = now;
            } else if now.since(busy) < self.shard.config.spin {
                std::hint::spin_loop();
            } else {
                self.sleep(now, status, &alarm);
            }
        }
        Ok(())
    }

    /// Sleeps until something may have happened.
    fn sleep(&mut self, now: Instant, status: PortStatus, alarm: &Alarm) {
        let due = self.next_deadline(now);
        let Self { port, shard, stop, .. } = self;
        // The order matters: first say that the shard sleeps, then look once more. See `Bell`.
        shard.workers.doze();
        if !shard.has_outside_work() && !stop.load(Ordering::Acquire) {
            let longest = match status {
                PortStatus::Up if shard.is_congested() => CONGESTED_SLEEP,
                PortStatus::Down if shard.is_congested() => DOWN_SLEEP,
                PortStatus::Up | PortStatus::Down | PortStatus::Gone => LONGEST_SLEEP,
            };
            let due = due.map_or(longest, |deadline| deadline.since(now));
            let wake = alarm.either.as_ref().map_or(shard.workers.as_fd(), |(fd, _)| fd.as_fd());
            port.wait(Some(wake), Some(due.min(longest)));
        }
        shard.workers.rise();
    }

    /// Hears what became of the link and of the device.
    fn check_device(&mut self, alarm: &mut Alarm) -> Result<PortStatus, RunError> {
        self.shard.stats.set_port(&self.port.statistics());
        if let Some((_, watch)) = &mut alarm.either {
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
