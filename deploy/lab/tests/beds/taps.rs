//! Two hosts with the test as their wire.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use libtest_mimic::Failed;
use rustix::event::{PollFd, PollFlags, Timespec};
use synward_lab::{TapPair, TapPairConfig};

use crate::traffic::ANY;
use crate::{Outcome, Tests, check, until};

pub fn tests() -> Tests {
    vec![("a_tap_pair_carries_what_the_caller_carries", carried), ("a_tap_device_is_gone_with_its_last_queue", gone)]
}

const IPV4: [u8; 2] = [0x08, 0x00];

/// The next IPv4 frame that the device sends; kernels announce their memberships of IPv6 groups whenever they like.
fn next_ipv4(queues: &[OwnedFd]) -> Result<Vec<u8>, Failed> {
    loop {
        let mut readable: Vec<_> = queues.iter().map(|queue| PollFd::new(queue, PollFlags::IN)).collect();
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        check(rustix::event::poll(&mut readable, Some(&limit))? > 0, "no frame came")?;
        let ready = readable.iter().position(|poll| poll.revents().contains(PollFlags::IN)).ok_or("not readable")?;
        let mut frame = vec![0; 2048];
        let length = rustix::io::read(queues[ready].as_fd(), frame.as_mut_slice())?;
        frame.truncate(length);
        if frame.get(12..14) == Some(&IPV4) {
            return Ok(frame);
        }
    }
}

/// A datagram arrives if its frame is carried over, on whichever queue, and a second one does not, if it is not.
fn carried() -> Outcome {
    let (pair, queues) = TapPair::up(&TapPairConfig { far_queues: 2, ..TapPairConfig::default() })?;
    check(queues.near.len() == 1 && queues.far.len() == 2, format!("{queues:?}"))?;
    let receiver = pair.far().enter(|| UdpSocket::bind((pair.far().ipv4(), ANY)))??;
    let sender = pair.near().enter(|| UdpSocket::bind((pair.near().ipv4(), ANY)))??;
    sender.connect(receiver.local_addr()?)?;
    let mut datagram = [0; 16];
    for queue in &queues.far {
        sender.send(b"carried")?;
        rustix::io::write(queue, &next_ipv4(&queues.near)?)?;
        receiver.set_read_timeout(Some(Duration::from_secs(10)))?;
        check(receiver.recv(&mut datagram)? == b"carried".len(), "another datagram")?;
    }
    sender.send(b"lost")?;
    next_ipv4(&queues.near)?;
    receiver.set_nonblocking(true)?;
    let nothing = receiver.recv(&mut datagram).map_err(|error| error.kind());
    check(nothing == Err(ErrorKind::WouldBlock), format!("{nothing:?}"))
}

fn gone() -> Outcome {
    let (pair, mut queues) = TapPair::up(&TapPairConfig { near_queues: 2, ..TapPairConfig::default() })?;
    queues.near.pop();
    pair.near().stats()?;
    queues.near.clear();
    until("the device is gone", || pair.near().stats().is_err())?;
    pair.down().map_err(Into::into)
}
