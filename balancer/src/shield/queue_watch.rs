//! Receive queues that come while an interface is served.

use std::time::Duration;
use synward_nic::receive_queues;
use synward_proto::Instant;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Says when an interface has more receive queues than are served: a socket is bound to each of those that were there at the
/// start, and what the device spreads onto others does not come to us. (Fewer than that the kernel refuses.)
#[derive(Debug)]
pub(super) struct QueueWatch {
    interface: String,
    served: usize,
    /// How many there were at the last look.
    seen: usize,
    next_look: Instant,
}

impl QueueWatch {
    /// For an interface of whose queues so many are served: all that there are.
    pub(super) fn new(interface: String, served: usize) -> Self {
        Self { interface, served, seen: served, next_look: Instant::ZERO }
    }

    /// Looks, if it is time, and warns of what is new.
    pub(super) fn look(&mut self, now: Instant) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + INTERVAL;
        // An interface that is gone ends its poll loops, which say so.
        let Ok(queues) = receive_queues(&self.interface) else { return };
        if std::mem::replace(&mut self.seen, queues) == queues {
            return;
        }
        let (interface, served) = (&self.interface, self.served);
        if queues > served {
            tracing::warn!(
                interface,
                served,
                queues,
                "there are more receive queues than are served, and what arrives on the others does not reach us: start again to \
                 serve them, or take them away, as `ethtool -L {interface} rx {served}` does where the driver can"
            );
        } else {
            tracing::info!(interface, served, queues, "all receive queues are served again");
        }
    }
}
