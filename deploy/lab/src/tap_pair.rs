//! Two namespaces whose wire is the caller.

use std::os::fd::OwnedFd;

use crate::bed::Bed;
use crate::pair::two_hosts;
use crate::plan::{Plan, Plug};
use crate::{End, Host, LabError, Offloads};

/// What a [`TapPair`] is built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapPairConfig {
    /// The queues of `near`, at most 256.
    pub near_queues: u16,
    /// The queues of `far`, at most 256.
    pub far_queues: u16,
    /// The MTU of both ends in bytes.
    pub mtu: u32,
}

impl Default for TapPairConfig {
    fn default() -> Self {
        Self { near_queues: 1, far_queues: 1, mtu: 1500 }
    }
}

/// The descriptors of a TAP device's queues, in their order, for each end. Reading from one takes a frame that the device sent
/// from this queue, writing to one is a frame that the device receives on it. A device is gone when its last descriptor is.
///
/// They block, without which the kernel would not run XDP programs in the driver: read with `RWF_NOWAIT`.
#[derive(Debug)]
pub struct TapQueues {
    /// Those of `near`.
    pub near: Vec<OwnedFd>,
    /// Those of `far`.
    pub far: Vec<OwnedFd>,
}

/// Two namespaces, `near` and `far`, with a TAP device in each, `near0` and `far0`. Nothing passes between them but what the
/// caller carries. Removed when dropped.
///
/// Addresses are those of a [`Pair`](crate::Pair), and all offloads are off: what is read is what TCP sent.
#[derive(Debug)]
pub struct TapPair {
    bed: Bed,
    near: Host,
    far: Host,
}

impl TapPair {
    /// Sweeps stale test beds, then builds the pair.
    ///
    /// # Errors
    /// No privileges, or the kernel refuses a step; what was built until then is removed.
    pub fn up(config: &TapPairConfig) -> Result<(Self, TapQueues), LabError> {
        let (plan, plugs) = plan(config);
        let mut bed = Bed::up(plan, false)?;
        let [near, far] = bed.hosts() else {
            return Err(LabError::Config(format!("a pair has two hosts, not {}", bed.hosts().len())));
        };
        let (near, far) = (near.clone(), far.clone());
        let [near_queues, far_queues] = plugs.map(|plug| bed.take_tap(&plug).unwrap_or_default());
        Ok((Self { bed, near, far }, TapQueues { near: near_queues, far: far_queues }))
    }

    /// The end under test.
    #[must_use]
    pub fn near(&self) -> &Host {
        &self.near
    }

    /// The other end.
    #[must_use]
    pub fn far(&self) -> &Host {
        &self.far
    }

    /// Removes the pair and reports what failed, which dropping it does not.
    ///
    /// # Errors
    /// A removal that failed; the next [`crate::sweep`] tries again.
    pub fn down(mut self) -> Result<(), LabError> {
        self.bed.take_down()
    }
}

fn plan(config: &TapPairConfig) -> (Plan, [Plug; 2]) {
    let &TapPairConfig { near_queues, far_queues, mtu } = config;
    let end = End { offloads: Offloads::NONE, ..End::default() };
    let [near, far] = two_hosts([(end, near_queues), (end, far_queues)], mtu);
    let taps = vec![near.1.clone(), far.1.clone()];
    (Plan { hosts: vec![near.0, far.0], taps, ..Plan::default() }, [near.1, far.1])
}
