//! Level-triggered readiness, as epoll's users know it.

use crate::bed::{Bed, config, small_budget};
use synward_engine::{EngineConfig, Interest, Ready, Shutdown, SocketCore, Source};

const READABLE: Ready = Ready { readable: true, writable: false, hangup: false, error: false };
const WRITABLE: Ready = Ready { readable: false, writable: true, hangup: false, error: false };

fn round(sockets: &mut SocketCore) -> Vec<(Source, Ready)> {
    sockets.poll();
    std::iter::from_fn(|| sockets.next_ready()).collect()
}

#[test]
fn what_is_ready_is_told_once_a_round_for_as_long_as_it_is() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    assert_eq!(round(&mut bed.server.sockets), []);
    let (near, other) = (bed.dial(), bed.dial());
    bed.settle();
    for _ in 0..3 {
        assert_eq!(round(&mut bed.server.sockets), [(Source::Listener(listener), READABLE)]);
    }
    let far = bed.server.sockets.accept(listener).expect("accepted").socket;
    bed.server.sockets.accept(listener).expect("accepted");
    assert_eq!(round(&mut bed.server.sockets), [], "nobody waits, and writing is of no interest");

    bed.client.sockets.send(near, b"two reads").expect("sends");
    bed.settle();
    let mut half = [0; 5];
    for _ in 0..2 {
        assert_eq!(round(&mut bed.server.sockets), [(Source::Socket(far), READABLE)]);
        bed.server.sockets.recv(far, &mut half).expect("reads");
    }
    assert_eq!(round(&mut bed.server.sockets), []);

    bed.server.sockets.set_interest(far, Interest::BOTH).expect("set");
    for _ in 0..2 {
        assert_eq!(round(&mut bed.server.sockets), [(Source::Socket(far), WRITABLE)]);
    }
    bed.server.sockets.set_interest(far, Interest::NONE).expect("set");
    bed.client.sockets.send(near, b"unwanted").expect("sends");
    bed.settle();
    assert_eq!(round(&mut bed.server.sockets), []);
    bed.server.sockets.set_interest(far, Interest::READ).expect("set");
    assert_eq!(round(&mut bed.server.sockets), [(Source::Socket(far), READABLE)]);

    bed.client.sockets.abort(other).expect("aborts");
    bed.client.sockets.abort(near).expect("aborts");
    bed.settle();
    let told = round(&mut bed.server.sockets);
    let failed = Ready { readable: true, writable: false, hangup: true, error: true };
    assert_eq!(told.iter().map(|(_, ready)| *ready).collect::<Vec<_>>(), [failed; 2]);
    for (source, _) in told {
        let Source::Socket(socket) = source else { panic!("{source:?}") };
        bed.server.sockets.close(socket).expect("closes");
    }
    assert_eq!(round(&mut bed.server.sockets), []);
}

#[test]
fn a_full_send_buffer_becomes_writable_again() {
    let small = EngineConfig { send_buffer: 10_000, send_buffer_max: 10_000, ..config(1) };
    let mut bed = Bed::with(small, config(2), small_budget());
    let listener = bed.listen(8);
    let (near, far) = bed.connect(listener);
    bed.client.sockets.set_interest(near, Interest::WRITE).expect("set");
    assert_eq!(round(&mut bed.client.sockets), [(Source::Socket(near), WRITABLE)]);
    assert_eq!(bed.client.sockets.send(near, &[1; 20_000]), Ok(10_000));
    assert_eq!(round(&mut bed.client.sockets), []);
    bed.settle();
    assert_eq!(round(&mut bed.client.sockets), [(Source::Socket(near), WRITABLE)]);
    bed.server.sockets.shutdown(far, Shutdown::Write).expect("shuts down");
    bed.settle();
    bed.client.sockets.set_interest(near, Interest::READ).expect("set");
    for _ in 0..2 {
        assert_eq!(
            round(&mut bed.client.sockets),
            [(Source::Socket(near), READABLE)],
            "the end can be read again and again"
        );
        assert_eq!(bed.client.read(near), Ok(None));
    }
}

#[test]
fn a_connect_is_done_when_it_is_writable() {
    let mut bed = Bed::new();
    bed.listen(8);
    let near = bed.dial();
    bed.client.sockets.set_interest(near, Interest::BOTH).expect("set");
    bed.client.turn(bed.now);
    assert_eq!(round(&mut bed.client.sockets), []);
    bed.settle();
    assert_eq!(round(&mut bed.client.sockets), [(Source::Socket(near), WRITABLE)]);
}

/// A relay that has no room for what is left to read must not be woken again and again by the end that follows.
#[test]
fn who_wants_to_hear_of_nothing_is_not_told_that_all_is_over() {
    let mut bed = Bed::new();
    let listener = bed.listen(8);
    let (near, far) = bed.connect(listener);
    bed.client.sockets.send(near, b"unread").expect("sends");
    bed.client.sockets.shutdown(near, Shutdown::Write).expect("shuts down");
    bed.server.sockets.shutdown(far, Shutdown::Write).expect("shuts down");
    bed.settle();
    bed.server.sockets.set_interest(far, Interest::NONE).expect("set");
    assert_eq!(round(&mut bed.server.sockets), []);
    bed.server.sockets.set_interest(far, Interest::READ).expect("set");
    let over = Ready { hangup: true, ..READABLE };
    assert_eq!(round(&mut bed.server.sockets), [(Source::Socket(far), over)]);
    assert_eq!(bed.server.read(far), Ok(Some(b"unread".to_vec())));
    assert_eq!(bed.server.read(far), Ok(None));
}
