//! The thread that carries frames.

use super::capture::Capture;
use super::inspector::Inspector;
use super::{EndReport, Steering, WireReport};
use crate::hostile::{HostileLink, Rng, Weather};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, ReadWriteFlags};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Frames that are read from one queue before others have their turn.
const BURST: usize = 64;
/// The longest frame there can be: an MTU of 65,521 and the Ethernet header.
const LONGEST_FRAME: usize = 65_535;
/// An offset that means none, as for read(2).
const NO_OFFSET: u64 = u64::MAX;

/// One of the two ends of a wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The first.
    Near,
    /// The second.
    Far,
}

impl End {
    const BOTH: [Self; 2] = [Self::Near, Self::Far];

    const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

/// How one end is plugged in.
#[derive(Debug)]
pub struct EndPlan {
    /// The descriptors of its queues, at least one, in their order.
    pub queues: Vec<OwnedFd>,
    /// On which of them it receives.
    pub steering: Steering,
    /// What becomes of the frames that it sends.
    pub weather: Weather,
    /// The MTU of its device in bytes.
    pub mtu: usize,
}

impl EndPlan {
    /// An end that receives by a hash, and whose frames all arrive at once.
    pub fn new(queues: Vec<OwnedFd>) -> Self {
        Self { queues, steering: Steering::Hash, weather: Weather::STILL, mtu: 1500 }
    }
}

/// A wire, for as long as the value lives; then both its ends are unplugged.
#[derive(Debug)]
pub struct Wire {
    orders: Sender<Order>,
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<WireReport>>,
}

/// What a running wire is told to do.
#[derive(Debug)]
enum Order {
    /// Frames arrive at this end on this queue, whoever sent them, and whatever the weather.
    Inject(End, usize, Vec<Vec<u8>>),
    Steering(End, Steering),
    Unplug(End),
    Count(End, Sender<u64>),
    /// Says that all before is done.
    Answer(Sender<()>),
}

impl Wire {
    /// Carries frames between two ends from now on, with accidents from this seed.
    ///
    /// # Errors
    /// When the thread or its wake-up cannot be had.
    pub fn start(seed: u64, near: EndPlan, far: EndPlan) -> io::Result<Self> {
        let (orders, inbox) = channel();
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let mut rng = Rng::new(seed);
        let ends = [near, far].map(|plan| Plugged::new(plan, &mut rng));
        let carrier = Carrier { ends, inbox, bell: Arc::clone(&bell), start: Instant::now() };
        let thread = std::thread::Builder::new().name("wire".to_owned()).spawn(move || carrier.run(seed))?;
        Ok(Self { orders, bell, thread: Some(thread) })
    }

    /// Frames of nobody's arrive at an end, on one of its queues, before this returns.
    pub fn inject(&self, to: End, queue: usize, frames: Vec<Vec<u8>>) {
        self.order(Order::Inject(to, queue, frames));
    }

    /// From now on, an end receives on other queues.
    pub fn set_steering(&self, of: End, steering: Steering) {
        self.order(Order::Steering(of, steering));
    }

    /// Frames that have reached an end so far.
    pub fn received(&self, end: End) -> u64 {
        let (answer, count) = channel();
        self.order(Order::Count(end, answer));
        count.recv().unwrap_or_default()
    }

    /// Closes the queues of an end: its device is gone when this returns.
    pub fn unplug(&self, end: End) {
        self.order(Order::Unplug(end));
    }

    /// Ends the wire, and tells what crossed it.
    ///
    /// # Panics
    /// When its thread has.
    pub fn end(mut self) -> WireReport {
        let thread = self.hang_up().expect("a wire ends once");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Has an order carried out. A thread that has panicked is told of when the wire ends.
    fn order(&self, order: Order) {
        let (answer, done) = channel();
        for order in [order, Order::Answer(answer)] {
            let _ = self.orders.send(order);
        }
        self.ring();
        let _ = done.recv();
    }

    fn ring(&self) {
        // A full counter rings as well.
        let _ = rustix::io::write(self.bell.as_fd(), &1u64.to_ne_bytes());
    }

    fn hang_up(&mut self) -> Option<JoinHandle<WireReport>> {
        self.orders = channel().0;
        self.ring();
        self.thread.take()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(thread) = self.hang_up() {
            let _ = thread.join();
        }
    }
}

/// An end while it is in use.
struct Plugged {
    queues: Vec<OwnedFd>,
    steering: Steering,
    rng: Rng,
    /// Where the frames are that it has sent.
    link: HostileLink,
    inspector: Inspector,
    capture: Capture,
    sent: u64,
    received: Vec<u64>,
    refused: u64,
}

impl Plugged {
    fn new(plan: EndPlan, rng: &mut Rng) -> Self {
        let EndPlan { queues, steering, weather, mtu } = plan;
        let received = vec![0; queues.len()];
        Self {
            queues,
            steering,
            rng: rng.fork(),
            link: HostileLink::new(weather, rng.fork()),
            inspector: Inspector::new(mtu),
            capture: Capture::default(),
            sent: 0,
            received,
            refused: 0,
        }
    }

    /// A frame arrives here.
    fn receive(&mut self, now: Duration, frame: &[u8]) {
        // Without any queue, none is right.
        let queue = self.steering.queue(frame, self.queues.len().max(1), &mut self.rng);
        self.receive_on(queue, now, frame);
    }

    fn receive_on(&mut self, queue: usize, now: Duration, frame: &[u8]) {
        let Some(device) = self.queues.get(queue) else { return self.refused += 1 };
        self.capture.keep(now, frame);
        match rustix::io::write(device, frame) {
            Ok(_) => self.received[queue] += 1,
            Err(_) => self.refused += 1,
        }
    }

    fn report(self) -> EndReport {
        EndReport::new(self.sent, self.received, self.refused, self.inspector, self.capture)
    }
}

/// What the thread has.
struct Carrier {
    /// Near, far.
    ends: [Plugged; 2],
    inbox: Receiver<Order>,
    bell: Arc<OwnedFd>,
    start: Instant,
}

impl Carrier {
    fn run(mut self, seed: u64) -> WireReport {
        let mut room = vec![0; LONGEST_FRAME];
        while self.obey() {
            for end in End::BOTH {
                for queue in 0..self.end(end).queues.len() {
                    self.read(end, queue, &mut room);
                }
            }
            self.deliver();
            self.sleep();
        }
        let [near, far] = self.ends.map(Plugged::report);
        WireReport { seed, near, far }
    }

    fn end(&mut self, end: End) -> &mut Plugged {
        &mut self.ends[end as usize]
    }

    /// Carries out what is ordered; false once nobody is left to order.
    fn obey(&mut self) -> bool {
        let _ = rustix::io::read(self.bell.as_fd(), &mut [0; 8]);
        loop {
            match self.inbox.try_recv() {
                Ok(order) => self.carry_out(order),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        let now = self.start.elapsed();
        match order {
            Order::Inject(end, queue, frames) => {
                for frame in &frames {
                    self.end(end).inspector.on_delivered(frame);
                    self.end(end).receive_on(queue, now, frame);
                }
            }
            Order::Steering(end, steering) => self.end(end).steering = steering,
            Order::Unplug(end) => self.end(end).queues.clear(),
            Order::Count(end, answer) => {
                let _ = answer.send(self.end(end).received.iter().sum());
            }
            Order::Answer(done) => {
                let _ = done.send(());
            }
        }
    }

    /// Takes what an end has sent from one of its queues.
    fn read(&mut self, end: End, queue: usize, room: &mut [u8]) {
        for _ in 0..BURST {
            let Some(device) = self.end(end).queues.get(queue) else { return };
            match read_now(device.as_fd(), room) {
                Ok(length @ 1..) => self.on_sent(end, &room[..length]),
                Err(Errno::AGAIN | Errno::INTR) => return,
                // The device is gone, as all its descriptors say from now on.
                Ok(0) | Err(_) => return self.end(end).queues.clear(),
            }
        }
    }

    fn on_sent(&mut self, end: End, frame: &[u8]) {
        let now = self.start.elapsed();
        let sender = self.end(end);
        sender.sent += 1;
        sender.capture.keep(now, frame);
        if sender.inspector.on_sent(frame) {
            sender.link.send(now, frame.to_vec());
        } else {
            self.deliver(); // lest it overtake what has arrived
            self.end(end.other()).receive(now, frame);
        }
    }

    /// Hands over what has arrived.
    fn deliver(&mut self) {
        let now = self.start.elapsed();
        for end in End::BOTH {
            while let Some(frame) = self.end(end).link.receive(now) {
                let receiver = self.end(end.other());
                receiver.inspector.on_delivered(&frame);
                receiver.receive(now, &frame);
            }
        }
    }

    /// Until an end has sent something, something arrives, or an order comes.
    fn sleep(&mut self) {
        let next = self.ends.iter().filter_map(|end| end.link.next_arrival()).min();
        let left = next.map(|at| at.saturating_sub(self.start.elapsed()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let queues = self.ends.iter().flat_map(|end| &end.queues);
        let mut all: Vec<_> = queues.chain([&*self.bell]).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        // Interrupted or not, the next turn looks for itself.
        let _ = poll(&mut all, timeout.as_ref());
    }
}

/// Reads one frame if there is one, though the descriptor blocks.
fn read_now(device: BorrowedFd<'_>, room: &mut [u8]) -> rustix::io::Result<usize> {
    rustix::io::preadv2(device, &mut [IoSliceMut::new(room)], NO_OFFSET, ReadWriteFlags::NOWAIT)
}

#[cfg(test)]
mod tests;
