//! Next hops: through which interface, from which address and to which hardware address a destination is reached.
//!
//! Everything comes from the kernel over rtnetlink. It speaks ARP and NDP; but it sees nothing of the connections made
//! here, so nothing would make it resolve their neighbours, or confirm them later. They are therefore installed with
//! `NTF_MANAGED` (Linux 5.16), which has the kernel resolve a neighbour and keep it resolved; an older kernel is asked by
//! `NTF_USE` every few seconds. Entries that an operator, a routing daemon or another program looks after are used as they
//! are and never touched.

mod heard;
mod kernel;
mod netlink;
mod objects;
#[cfg(test)]
mod tests;
mod watcher;

use crate::bell::Bell;
use crossbeam::sync::ShardedLock;
use heard::Heard;
use netlink::News;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use synward_proto::Link;
use watcher::{Outcome, Watcher};

/// How often everything is looked up without news: the kernel does not tell of redirects (RFC 1122, section 3.2.2.2), nor
/// of path MTUs that it learned or forgot.
const REREAD: Duration = Duration::from_secs(60);
/// How often a kernel without `NTF_MANAGED` is reminded of neighbours: as often as one with it would look
/// (`interval_probe_time_ms`).
const REMINDER: Duration = Duration::from_secs(5);

/// How a destination is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// The index of the interface (`RTA_OIF`).
    pub interface: u32,
    /// The name of the interface.
    pub name: Arc<str>,
    /// The address that the kernel would send from (`RTA_PREFSRC`).
    pub source: IpAddr,
    /// From the interface's hardware address to the neighbour's, without VLAN tags.
    pub link: Link,
    /// What a packet to the destination may measure, in bytes: the interface's MTU or the route's, whichever is less.
    pub mtu: u32,
}

/// Why a destination cannot be reached now.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoNextHop {
    /// The routing table has no way for a connection, as when connect(2) says `ENETUNREACH`, `EHOSTUNREACH` or `EACCES`.
    #[error("no route to {destination}: see `ip route get {destination}`")]
    NoRoute {
        /// Where to.
        destination: IpAddr,
    },
    /// The neighbour has not answered (yet).
    #[error("{destination}: {neighbour} on {interface} is not resolved: see `ip neighbour show {neighbour}`")]
    Unresolved {
        /// Where to.
        destination: IpAddr,
        /// The router, or the destination itself.
        neighbour: IpAddr,
        /// The name of the interface.
        interface: Arc<str>,
    },
    /// The destination is an address of this host, to which no frame goes.
    #[error("{destination} is an address of this host, and can only be reached through the kernel")]
    Local {
        /// Where to.
        destination: IpAddr,
    },
    /// The route leads over an interface that does not speak Ethernet.
    #[error("{destination}: the route leads over {interface}, which is not Ethernet")]
    NotEthernet {
        /// Where to.
        destination: IpAddr,
        /// The name of the interface.
        interface: Arc<str>,
    },
    /// Nobody asked to watch this destination.
    #[error("{destination} is not a destination that was named before")]
    NotWatched {
        /// Where to.
        destination: IpAddr,
    },
}

/// The next hops of some destinations, kept true by a thread of their own. Dropping it ends the thread, and the kernel no
/// longer keeps the neighbours resolved.
///
/// Not covered: VLAN sub-interfaces (the next hop is then on the sub-interface, where no engine serves), destinations of
/// IPv6's link-local scope (they need an interface beside the address), and policy rules that look at ports or users.
#[derive(Debug)]
pub struct NextHops {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the callers share.
#[derive(Debug)]
struct Shared {
    watcher: Mutex<Watcher>,
    /// Notified, under the watcher's lock, when an outcome changed.
    changed: Condvar,
    /// The watcher's outcomes, for those who must not wait while it talks with the kernel.
    outcomes: ShardedLock<HashMap<IpAddr, Outcome>>,
    stop: Bell,
}

impl NextHops {
    /// Begins to watch destinations, as the network namespace of the calling thread sees them. When this returns every
    /// route has been looked up and every neighbour asked for; answers take longer: see [`Self::wait_until_resolved`].
    ///
    /// # Errors
    /// No netlink socket or no thread can be had, or the kernel lets this process ask for no neighbours (`CAP_NET_ADMIN`).
    pub fn start(destinations: impl IntoIterator<Item = IpAddr>) -> io::Result<Self> {
        let news = News::open()?; // first, so that nothing changes unheard after it was looked up
        let shared = Arc::new(Shared {
            watcher: Mutex::new(Watcher::open()?),
            changed: Condvar::new(),
            outcomes: ShardedLock::default(),
            stop: Bell::new()?,
        });
        let mut next_hops = Self { shared, thread: None };
        for destination in destinations {
            next_hops.add(destination)?;
        }
        let shared = Arc::clone(&next_hops.shared);
        let thread = std::thread::Builder::new().name("next-hops".to_owned()).spawn(move || shared.listen(&news))?;
        next_hops.thread = Some(thread);
        Ok(next_hops)
    }

    /// Watches one destination more. Adding it twice is the same as once.
    ///
    /// # Errors
    /// The kernel cannot be asked, or refuses to resolve the neighbour for this process.
    pub fn add(&self, destination: IpAddr) -> io::Result<()> {
        let mut watcher = self.shared.lock();
        if let Some(outcome) = watcher.add(destination)? {
            self.shared.publish(destination, outcome);
        }
        Ok(())
    }

    /// Watches a destination no longer.
    pub fn remove(&self, destination: IpAddr) {
        let mut watcher = self.shared.lock();
        watcher.remove(destination);
        self.shared.outcomes.write().unwrap_or_else(PoisonError::into_inner).remove(&destination);
    }

    /// How a destination is reached, as last heard. Never waits for the kernel, and readers on different cores do not wait
    /// for each other.
    ///
    /// # Errors
    /// Why it cannot be reached now.
    pub fn lookup(&self, destination: IpAddr) -> Result<NextHop, NoNextHop> {
        let outcomes = self.shared.outcomes.read().unwrap_or_else(PoisonError::into_inner);
        outcomes.get(&destination).cloned().unwrap_or(Err(NoNextHop::NotWatched { destination }))
    }

    /// Waits until every destination has a next hop, but not longer than this.
    ///
    /// # Errors
    /// Those that had none in the end, in the order of their addresses.
    pub fn wait_until_resolved(&self, timeout: Duration) -> Result<(), Vec<NoNextHop>> {
        let unresolved = |watcher: &mut Watcher| watcher.missing().next().is_some();
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), timeout, unresolved);
        let (watcher, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<_> = watcher.missing().cloned().collect();
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }
}

impl Drop for NextHops {
    fn drop(&mut self) {
        self.shared.stop.force();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that watches next hops panicked");
        }
        self.shared.lock().clear();
    }
}

impl Shared {
    /// What the thread does until it is stopped.
    fn listen(&self, news: &News) {
        let mut last_read = Instant::now();
        loop {
            let patience = if self.lock().needs_reminders() { REMINDER } else { REREAD };
            if stopped_waiting(news, &self.stop, patience.saturating_sub(last_read.elapsed())) {
                return;
            }
            let mut heard = Heard::from(news);
            if last_read.elapsed() >= patience {
                (heard, last_read) = (Heard::everything(), Instant::now());
            }
            self.refresh(&heard);
        }
    }

    fn refresh(&self, heard: &Heard) {
        let mut watcher = self.lock();
        for (destination, outcome) in watcher.refresh(heard) {
            match &outcome {
                Ok(hop) => tracing::info!(%destination, interface = %hop.name, link = ?hop.link, "next hop"),
                Err(reason) => tracing::warn!("{reason}"),
            }
            self.publish(destination, outcome);
        }
    }

    /// Tells an outcome. The caller holds the watcher, so that outcomes are told in the order in which they were found.
    fn publish(&self, destination: IpAddr, outcome: Outcome) {
        self.outcomes.write().unwrap_or_else(PoisonError::into_inner).insert(destination, outcome);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Watcher> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sleeps until there is news, or the time is over, or the thread is to stop; says whether it is to stop.
fn stopped_waiting(news: &News, stop: &Bell, longest: Duration) -> bool {
    let (news, stop) = (news.as_fd(), stop.eventfd().as_fd());
    let mut fds = [PollFd::new(&stop, PollFlags::IN), PollFd::new(&news, PollFlags::IN)];
    let longest = Timespec::try_from(longest).ok();
    // Fails only when interrupted, and then nothing is marked as ready.
    let _ = poll(&mut fds, longest.as_ref());
    !fds[0].revents().is_empty()
}
