//! The worker's side against a shard that is played by hand.

use super::{MAX_BACKLOG, SocketCore, WorkerLimits};
use crate::config::{EngineConfig, ListenConfig};
use crate::connections::ConnId;
use crate::handoff::tests::one_to_one;
use crate::handoff::{Action, Event, Request, ShardEnds};
use crate::received::Chunk;
use crate::registry::Registry;
use crate::socket::{ConnectConfig, SocketId};
use crate::steering::Steering;
use crate::{Interest, Progress, SocketError, Source};
use std::sync::Arc;
use synward_proto::connection::{Failure, SocketOption};
use synward_proto::{Endpoint, Link};

const LOCAL: Endpoint = Endpoint::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 7);
const REMOTE: Endpoint = Endpoint::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 2)), 40_000);
const CONN: ConnId = ConnId { index: 5, generation: 9 };
const BUFFER: u32 = 1_000;

fn pair(slots: usize) -> (ShardEnds, SocketCore) {
    let (shard, worker) = one_to_one(slots);
    let config = EngineConfig {
        receive_buffer: BUFFER,
        receive_buffer_max: BUFFER,
        frames_per_reader: 8,
        ..EngineConfig::default()
    };
    let steering = Arc::new([Arc::new(Steering::new(0..1, &[0; 16], None))]);
    (shard, SocketCore::new(WorkerLimits::of(&config), worker, Arc::new(Registry::new(Arc::default())), steering))
}

/// A socket whose connection is [`CONN`] and may send 100 bytes.
fn connected(shard: &mut ShardEnds, sockets: &mut SocketCore) -> SocketId {
    let socket = sockets.connect(ConnectConfig::new(LOCAL, REMOTE, Link::default())).expect("asks");
    assert!(matches!(shard.only().pop(), Some(Request::Connect { socket: asked, .. }) if asked == socket));
    for event in [Event::Opening { conn: CONN, local: LOCAL }, Event::Connected { send_space: 100 }] {
        shard.only().push((socket, event)).expect("room");
    }
    sockets.poll();
    socket
}

fn requests(shard: &mut ShardEnds) -> Vec<String> {
    std::iter::from_fn(|| shard.only().pop())
        .map(|request| match request {
            Request::On(CONN, action) => format!("{action:?}"),
            other => format!("{other:?}"),
        })
        .collect()
}

fn give(shard: &mut ShardEnds, sockets: &mut SocketCore, socket: SocketId, len: usize) {
    shard.only().push((socket, Event::Received(Chunk::on_heap(vec![1; len])))).expect("room");
    sockets.poll();
}

#[test]
fn credit_is_told_when_the_reader_has_caught_up_or_read_a_quarter() {
    let (mut shard, mut sockets) = pair(64);
    let socket = connected(&mut shard, &mut sockets);
    give(&mut shard, &mut sockets, socket, 900);
    let mut bytes = [0; 200];
    assert_eq!(sockets.recv(socket, &mut bytes), Ok(200));
    assert_eq!(requests(&mut shard), [""; 0], "more is there, and a quarter is not read");
    assert_eq!(sockets.recv(socket, &mut bytes), Ok(200));
    assert_eq!(requests(&mut shard), ["Consumed { bytes: 400, frames: 0 }"]);
    for _ in 0..3 {
        let _ = sockets.recv(socket, &mut bytes);
    }
    assert_eq!(requests(&mut shard), ["Consumed { bytes: 400, frames: 0 }", "Consumed { bytes: 100, frames: 0 }"]);
}

#[test]
fn a_shard_that_sleeps_is_not_woken_for_small_credit() {
    let (mut shard, mut sockets) = pair(64);
    let socket = connected(&mut shard, &mut sockets);
    requests(&mut shard);
    shard.publish();
    shard.doze();
    give(&mut shard, &mut sockets, socket, 249);
    sockets.recv(socket, &mut [0; 300]).expect("reads");
    assert!(!shard.rings());
    give(&mut shard, &mut sockets, socket, 1);
    sockets.recv(socket, &mut [0; 300]).expect("reads");
    assert!(shard.rings(), "a quarter of the window may not wait");
    shard.rise();
    shard.doze();
    sockets.send(socket, b"x").expect("sends");
    assert!(shard.rings());
}

#[test]
fn a_full_ring_loses_nothing_and_keeps_the_order() {
    let (mut shard, mut sockets) = pair(4);
    let socket = connected(&mut shard, &mut sockets);
    sockets.set_interest(socket, Interest::WRITE).expect("set");
    for _ in 0..4 {
        assert_eq!(sockets.send(socket, b"ab"), Ok(2));
    }
    assert_eq!(sockets.send(socket, b"ab"), Err(SocketError::WouldBlock));
    sockets.poll();
    assert_eq!(sockets.next_ready(), None, "no room, so not writable");
    give(&mut shard, &mut sockets, socket, 3);
    for _ in 0..3 {
        sockets.recv(socket, &mut [0]).expect("reads");
    }
    sockets.set(socket, SocketOption::NoDelay(true)).expect("set");
    sockets.poll();
    assert_eq!(requests(&mut shard), ["Send([97, 98])"; 4]);
    assert_eq!(sockets.send(socket, b"ab"), Err(SocketError::WouldBlock), "not before what waits");
    sockets.poll();
    assert!(matches!(sockets.next_ready(), Some((Source::Socket(ready), _)) if ready == socket));
    sockets.close(socket).expect("closes");
    sockets.poll();
    assert_eq!(requests(&mut shard), ["Set(NoDelay(true))", "Consumed { bytes: 3, frames: 0 }", "Close"]);
}

#[test]
fn what_waits_for_room_is_bounded() {
    let (mut shard, mut sockets) = pair(4);
    let socket = connected(&mut shard, &mut sockets);
    let set = (0..10_000).filter(|_| sockets.set(socket, SocketOption::Keepalive(None)).is_ok()).count();
    assert_eq!(set, 4 + MAX_BACKLOG);
    assert_eq!(sockets.set(socket, SocketOption::NoDelay(true)), Err(SocketError::NoBuffers));
    assert_eq!(sockets.listen(ListenConfig::new(LOCAL)), Err(SocketError::NoBuffers));
    for _ in 0..10_000 {
        give(&mut shard, &mut sockets, socket, 1);
        sockets.recv(socket, &mut [0; 8]).expect("reads");
    }
    assert_eq!(sockets.states[0].debtors.len(), 1);
    assert_eq!(sockets.close(socket), Ok(()), "closing is never refused");
}

/// Those who block never ask what is ready; their sockets must not pile up on the list.
#[test]
fn sockets_that_came_and_went_leave_no_names_behind() {
    let (mut shard, mut sockets) = pair(64);
    for _ in 0..1_000 {
        let socket = connected(&mut shard, &mut sockets);
        sockets.close(socket).expect("closes");
        requests(&mut shard);
        sockets.poll();
        assert!(sockets.maybe_ready.len() <= 70, "{}", sockets.maybe_ready.len());
    }
    assert_eq!((sockets.sockets.len(), sockets.states[0].debtors.len()), (0, 0));
}

#[test]
fn news_of_a_socket_that_was_given_back_come_to_nothing() {
    let (mut shard, mut sockets) = pair(64);
    let first = connected(&mut shard, &mut sockets);
    sockets.close(first).expect("closes");
    requests(&mut shard);
    let second = connected(&mut shard, &mut sockets);
    assert_eq!(first.index, second.index, "the place is used again");
    assert_ne!(first, second);
    give(&mut shard, &mut sockets, first, 10);
    assert_eq!(sockets.recv(second, &mut [0; 10]), Err(SocketError::WouldBlock));
    assert_eq!(sockets.recv(first, &mut [0; 10]), Err(SocketError::BadSocket));
    requests(&mut shard);

    let early = sockets.connect(ConnectConfig::new(LOCAL, REMOTE, Link::default())).expect("asks");
    sockets.abort(early).expect("aborts");
    requests(&mut shard);
    shard.only().push((early, Event::Opening { conn: CONN, local: LOCAL })).expect("room");
    sockets.poll();
    assert_eq!(requests(&mut shard), [format!("{:?}", Action::Abort)]);
}

#[test]
fn a_look_at_unread_bytes_leaves_them() {
    let (mut shard, mut sockets) = pair(16);
    let socket = connected(&mut shard, &mut sockets);
    give(&mut shard, &mut sockets, socket, 3);
    give(&mut shard, &mut sockets, socket, 4);
    let mut bytes = [0; 16];
    assert_eq!(sockets.peek(socket, 0, &mut bytes), Ok(7));
    assert_eq!(sockets.peek(socket, 5, &mut bytes), Ok(2));
    assert_eq!(sockets.peek(socket, 7, &mut bytes), Ok(0));
    assert_eq!(sockets.status(socket).map(|status| status.unread), Ok(7));
    assert!(requests(&mut shard).is_empty(), "nothing was read");
    assert_eq!(sockets.recv(socket, &mut bytes), Ok(7));
}

#[test]
fn news_are_passed_on_as_they_come_and_a_description_is_told_and_not_kept() {
    let (mut shard, mut sockets) = pair(16);
    let socket = sockets.connect(ConnectConfig::new(LOCAL, REMOTE, Link::default())).expect("asks");
    assert_eq!(sockets.describe(socket), Err(SocketError::NotConnected), "it has no name yet");
    assert_eq!(sockets.status(socket).map(|status| status.progress), Ok(Progress::Asked));
    shard.only().pop();
    let events = [
        Event::Opening { conn: CONN, local: LOCAL },
        Event::Connected { send_space: 100 },
        Event::Received(Chunk::on_heap(vec![1])),
        Event::Sent(1),
        Event::EndOfStream,
        Event::Failed(Failure::Reset),
        Event::Over,
    ];
    for event in events {
        shard.only().push((socket, event)).expect("room");
    }
    let mut told = Vec::new();
    sockets.poll_with(|of, news| told.push((of == socket, format!("{news:?}"))));
    let names = ["Named", "Connected", "Received", "Sent", "EndOfStream", "Failed", "Over"];
    assert_eq!(told, names.map(|name| (true, name.to_owned())));
    let status = sockets.status(socket).expect("it is still there");
    assert_eq!((status.progress, status.failure), (Progress::Over, Some(SocketError::ConnectionReset)));
    assert!(status.end_of_stream && status.unread == 1);
    assert_eq!(sockets.describe(socket), Err(SocketError::NotConnected), "there is nobody to ask");
}
