//! Ports end, and others begin.

use crate::ends::{End, Ends, config, number_of};
use crate::wire::{Device, Wire};
use crate::{On, Test};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use synward_nic::{Frame, Port, PortError, XskPort};

pub const TESTS: &[Test] = &[
    ("a_queue_can_be_bound_again_right_after_a_close", On::Anything, rebind),
    ("a_busy_queue_is_waited_for_until_it_is_free", On::Anything, wait_for_queue),
    ("a_queue_that_stays_busy_is_an_error", On::Anything, busy),
    ("a_queue_is_free_again_after_kill_9", On::Anything, killed),
    ("a_child_process_does_not_keep_the_queue", On::Anything, child),
    ("lent_frames_outlive_the_port_and_not_its_queue", On::Anything, lent),
];

/// Names, for a child process, the interface of which it holds the queue until it is killed.
pub const HOLDER: &str = "SYNWARD_TEST_HOLDS_QUEUE_OF";

/// Holds the queue of these tests of `interface` until killed.
pub fn hold(interface: &OsStr) -> ExitCode {
    let _port = match XskPort::open(&config(&interface.to_string_lossy())) {
        Ok(port) => port,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("held");
    if std::io::stdout().flush().is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        thread::park();
    }
}

fn open(device: &Device) -> Result<XskPort, PortError> {
    device.enter(|| XskPort::open(&config(device.interface())))
}

fn rebind() {
    let wire = Wire::up();
    for _ in 0..50 {
        drop(open(wire.near()).expect("open the port"));
    }
}

fn wait_for_queue() {
    let wire = Wire::up();
    let first = open(wire.near()).expect("open the port");
    let (begun, begins) = mpsc::channel();
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            begun.send(()).expect("the other thread listens");
            open(wire.near())
        });
        begins.recv().expect("the other thread begins");
        drop(first);
        second.join().expect("no panic").expect("open the port");
    });
}

fn busy() {
    let wire = Wire::up();
    let _first = open(wire.near()).expect("open the port");
    let refused = open(wire.near()).expect_err("the queue is taken");
    assert!(
        matches!(&refused, PortError::QueueBusy { interface, .. } if interface == wire.near().interface()),
        "{refused}"
    );
}

fn killed() {
    let wire = Wire::up();
    let exe = std::env::current_exe().expect("our own path");
    let mut command: Command = wire.near().command(exe);
    let mut holder =
        command.env(HOLDER, wire.near().interface()).stdout(Stdio::piped()).spawn().expect("start the holder");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("read from the holder");
    assert_eq!(line, "held\n");
    holder.kill().expect("kill -9");
    holder.wait().expect("its end");
    open(wire.near()).expect("open the port");
}

fn child() {
    let wire = Wire::up();
    let port = open(wire.near()).expect("open the port");
    // Lives until its standard input is closed, with whatever descriptors it has inherited.
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("start a child");
    drop(port);
    let again = open(wire.near());
    drop(child.stdin.take());
    child.wait().expect("its end");
    again.expect("open the port");
}

fn lent() {
    let mut ends = Ends::open(|config| config);
    ends.near.send_one(&ends.far.device, 77);
    let lent = Frame::lend(ends.far.receive_one());
    assert_eq!((ends.far.port.ledger().lent, ends.far.port.ledger().missing()), (1, 0));
    let Ends { mut near, far, wire } = ends;
    drop(far);
    let mut far = End::open(wire.far(), config(wire.far().interface()));
    near.send_one(&far.device, 78);
    let next = far.receive_one();
    assert_eq!((number_of(next.as_slice()), number_of(&lent)), (Some(78), Some(77)));
    far.port.recycle(next);
    thread::spawn(move || assert_eq!(number_of(&lent), Some(77))).join().expect("readable from another thread");
}
