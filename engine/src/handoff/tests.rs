//! Both ends at once, awake and asleep.

use super::{Action, End, Ends, Request, ShardEnds, Side, WorkerEnds, mesh};
use crate::connections::ConnId;
use rtrb::RingBuffer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd;

/// A shard and a worker.
pub(crate) fn one_to_one(slots: usize) -> (ShardEnds, WorkerEnds) {
    let sides = [Side::new().expect("eventfd"), Side::new().expect("eventfd")];
    let (shards, workers) = mesh(slots, &sides[..1], &sides[1..]);
    (shards.into_iter().next().expect("a shard"), workers.into_iter().next().expect("a worker"))
}

impl<Said, Heard> Ends<Said, Heard> {
    /// The only end.
    pub(crate) fn only(&mut self) -> &mut End<Said, Heard> {
        assert_eq!(self.len(), 1);
        self.end(0)
    }

    /// Whether this side's bell rings.
    pub(crate) fn rings(&self) -> bool {
        self.wait(0)
    }

    fn wait(&self, seconds: i64) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).expect("poll") > 0
    }
}

fn request(number: u32) -> Request {
    Request::On(ConnId { index: number, generation: 0 }, Action::Shutdown)
}

fn number(request: Option<Request>) -> Option<u32> {
    request.map(|request| match request {
        Request::On(conn, _) => conn.index,
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_ring_that_was_full_rings_when_there_is_room() {
    let (mut shard, mut worker) = one_to_one(2);
    assert!(worker.only().push(request(0)).is_ok());
    worker.doze();
    assert_eq!(number(shard.only().pop()), Some(0));
    shard.publish();
    assert!(!worker.rings(), "it waits for news, not for room");
    worker.rise();

    // A ring that the last push filled is as one that had no room: the next push would have none.
    assert!(worker.only().push(request(1)).is_ok() && worker.only().push(request(2)).is_ok());
    worker.doze();
    assert!(!worker.has_room_again());
    assert_eq!(number(shard.only().pop()), Some(1));
    shard.publish();
    assert!(worker.rings());
    worker.rise();
    assert!(worker.has_room_again() && !worker.has_room_again());
}

#[test]
fn room_that_came_before_the_sleep_is_not_slept_through() {
    let (mut shard, mut worker) = one_to_one(1);
    assert!(worker.only().push(request(0)).is_ok() && worker.only().push(request(1)).is_err());
    assert_eq!(number(shard.only().pop()), Some(0));
    shard.publish();
    worker.doze();
    assert!(!worker.rings() && worker.has_room_again(), "nobody rings for room that is there already");
    worker.rise();
}

#[test]
fn an_end_that_goes_wakes_the_other_and_is_still_heard() {
    let (mut shard, mut worker) = one_to_one(2);
    worker.only().push(request(7)).expect("room");
    shard.doze();
    assert!(!shard.only().is_far_gone());
    drop(worker);
    assert!(shard.rings() && shard.only().is_far_gone());
    assert_eq!(number(shard.only().pop()), Some(7));
}

/// A producer that sleeps when the ring is full and a consumer that sleeps when it is empty. Lose one wake-up, and both
/// sleep; the limit of the sleep is far beyond any scheduling delay, and reaching it is the failure.
#[test]
fn full_and_empty_rings_lose_no_wake_up() {
    const MESSAGES: u32 = 200_000;
    let (there, here) = RingBuffer::<u32>::new(4);
    let (back, forth) = RingBuffer::<u32>::new(4);
    let (one, other) = (Side::new().expect("eventfd"), Side::new().expect("eventfd"));
    let mut producer = Ends::new(one.clone(), vec![End::new(there, forth, &one, &other)]);
    let mut consumer = Ends::new(other.clone(), vec![End::new(back, here, &other, &one)]);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for message in 0..MESSAGES {
                let mut left = producer.only().push(message);
                producer.publish();
                while let Err(message) = left {
                    producer.doze();
                    if !producer.has_room_again() {
                        assert!(producer.wait(60), "room for {message} was never told of");
                    }
                    producer.rise();
                    left = producer.only().push(message);
                    producer.publish();
                }
            }
        });
        scope.spawn(move || {
            for message in 0..MESSAGES {
                let mut heard = consumer.only().pop();
                consumer.publish();
                while heard.is_none() {
                    consumer.doze();
                    if consumer.only().peek().is_none() {
                        assert!(consumer.wait(60), "message {message} was never told of");
                    }
                    consumer.rise();
                    heard = consumer.only().pop();
                    consumer.publish();
                }
                assert_eq!(heard, Some(message));
            }
        });
    });
}
