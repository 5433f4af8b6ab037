//! Frames on a wire: the kernel at the far end of a veth pair knocks at a port that is ours.

use std::io::ErrorKind;
use std::net::{SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use synward_ebpf::ShieldCounter::{DroppedNoSocket, Passed};
use synward_ebpf::{Attached, Owned, PassProgram, Protocol, Shield, ShieldConfig, ShieldCounter, XdpMode};

use crate::Test;
use crate::namespace::{enter_new, ip, isolated, veth_pair};
use crate::xdp_socket::xdp_socket;

pub const TESTS: &[Test] = &[
    ("failed_redirect_is_not_answered_native", || isolated(|| failed_redirect(XdpMode::Native))),
    ("failed_redirect_is_not_answered_generic", || isolated(|| failed_redirect(XdpMode::Generic))),
    ("icmp_errors_of_a_router_follow_their_ports", || isolated(icmp_errors_of_a_router)),
    ("replaced_under_load", || isolated(replaced_under_load)),
    ("everything_else_reaches_the_kernel", || isolated(everything_else)),
];

/// The far end sends without a pause while one program takes the place of the other a hundred times: each frame is counted by
/// one of them, and none by the kernel.
fn replaced_under_load() {
    let (mut first, mut attached, far) = bed(XdpMode::Native);
    first.own(owned()).unwrap();
    let mut second = Shield::load(&ShieldConfig { queues: 2, ..ShieldConfig::default() }).unwrap();
    assert!(second.replace(&mut attached).unwrap_err().to_string().starts_with("queue 0 has no socket yet"));
    for queue in 0..2 {
        second.set_socket(queue, xdp_socket()).unwrap();
    }
    second.own(owned()).unwrap();
    let ours = |shield: &Shield| shield.counters().unwrap().get(DroppedNoSocket);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    // Raw segments: the kernel's TCP would wait for answers. The socket's buffer is smaller than the ring of the veth, which
    // so cannot overflow.
    let (sent, total) = mpsc::channel();
    far.jobs
        .send(Box::new(move || {
            use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket, sockopt};
            let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::TCP)).unwrap();
            sockopt::set_socket_send_buffer_size(&socket, 0).unwrap();
            let mut segment = [0; 20];
            segment[3] = 80;
            let to: SocketAddrV4 = "192.0.2.1:0".parse().unwrap();
            let mut count = 0_u64;
            while !stopped.load(Ordering::Relaxed) {
                match sendto(&socket, &segment, SendFlags::empty(), &to) {
                    Ok(_) => count += 1,
                    // Not sent: the ring of the veth is full.
                    Err(error) => assert_eq!(error, rustix::io::Errno::NOBUFS),
                }
            }
            sent.send(count).unwrap();
        }))
        .unwrap();
    wait_for(&first, DroppedNoSocket, 100);
    for _ in 0..50 {
        let seen = ours(&second);
        second.replace(&mut attached).unwrap();
        wait_for(&second, DroppedNoSocket, seen + 20);
        let seen = ours(&first);
        first.replace(&mut attached).unwrap();
        wait_for(&first, DroppedNoSocket, seen + 20);
    }
    stop.store(true, Ordering::Relaxed);
    let sent = total.recv().unwrap();
    while ours(&first) + ours(&second) < sent {
        thread::yield_now();
    }
    assert_eq!(ours(&first) + ours(&second), sent);
}

const OWNED: &str = "192.0.2.1:80";

/// Moves `far` into a namespace with an address of its own, and runs there what it is sent.
struct FarEnd {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl FarEnd {
    fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (ready, entered) = mpsc::channel();
        thread::spawn(move || {
            enter_new();
            ready.send(rustix::thread::gettid()).unwrap();
            for job in queue {
                job();
            }
        });
        let thread = entered.recv().unwrap();
        ip(&format!("link set far netns {}", thread.as_raw_nonzero()));
        let far = Self { jobs };
        far.run(|| {
            ip("link set far up");
            ip("address add 192.0.2.2/24 dev far");
        });
        far
    }

    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::channel();
        let job = Box::new(move || drop(answer.send(job())));
        self.jobs.send(job).unwrap();
        answered.recv().expect("the job at the far end panicked")
    }
}

fn bed(mode: XdpMode) -> (Shield, Attached, FarEnd) {
    veth_pair();
    ip("address add 192.0.2.1/24 dev near");
    let far = FarEnd::new();
    let mut shield = Shield::load(&ShieldConfig { queues: 2, ..ShieldConfig::default() }).unwrap();
    for queue in 0..2 {
        shield.set_socket(queue, xdp_socket()).unwrap();
    }
    let attached = shield.attach("near", mode).unwrap();
    (shield, attached, far)
}

fn owned() -> Owned {
    Owned { protocol: Protocol::Tcp, address: "192.0.2.1".parse().unwrap(), port: 80 }
}

/// Waits until the counter has passed `above`; the test runner's patience is the limit.
fn wait_for(shield: &Shield, counter: ShieldCounter, above: u64) {
    while shield.counters().unwrap().get(counter) <= above {
        thread::yield_now();
    }
}

/// The sockets that `bed` gave the shield are closed: what is ours has nowhere to go, and the kernel must not answer it.
fn failed_redirect(mode: XdpMode) {
    let (mut shield, _attached, far) = bed(mode);
    let refused = |far: &FarEnd| far.run(|| TcpStream::connect(OWNED).unwrap_err().kind());
    assert_eq!(refused(&far), ErrorKind::ConnectionRefused, "not owned: the kernel answers");

    shield.own(owned()).unwrap();
    let (gave_up, outcome) = mpsc::channel();
    far.jobs
        .send(Box::new(move || {
            let _ = gave_up.send(TcpStream::connect(OWNED).map_err(|error| error.kind()));
        }))
        .unwrap();
    // The first SYN and two repetitions are lost in silence.
    wait_for(&shield, DroppedNoSocket, 2);
    assert!(outcome.try_recv().is_err(), "still knocking");

    shield.disown(owned()).unwrap();
    assert_eq!(outcome.recv().unwrap().unwrap_err(), ErrorKind::ConnectionRefused, "the kernel's again");
}

/// The far end as a router that has no way on, and the kernel of the near end in the engine's place: it learns of what it
/// sends from ports of its own, and not of what it sends from ports that are ours.
fn icmp_errors_of_a_router() {
    let (mut shield, _attached, far) = bed(XdpMode::Native);
    far.run(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        ip("route add unreachable 203.0.113.0/24");
    });
    ip("route add 203.0.113.0/24 via 192.0.2.2");
    let address = owned().address;
    shield.own_range(Protocol::Tcp, address, 20_000..=20_009).unwrap();
    let connect_from = |ports: &str| {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", ports).unwrap();
        let (gave_up, outcome) = mpsc::channel();
        thread::spawn(move || gave_up.send(TcpStream::connect("203.0.113.1:80").map_err(|error| error.kind())));
        outcome
    };

    let outcome = connect_from("30000 30009");
    assert_eq!(outcome.recv().unwrap().unwrap_err(), ErrorKind::HostUnreachable, "the kernel's own");
    assert_eq!(shield.counters().unwrap().get(DroppedNoSocket), 0);
    let outcome = connect_from("20000 20009");
    // The sockets that `bed` gave the shield are closed, so that taking it from the kernel is all that is seen.
    wait_for(&shield, DroppedNoSocket, 0);
    assert!(outcome.try_recv().is_err(), "still knocking");
    shield.disown_range(Protocol::Tcp, address).unwrap();
    assert_eq!(outcome.recv().unwrap().unwrap_err(), ErrorKind::HostUnreachable, "the kernel's again");
}

fn everything_else() {
    let (mut shield, _attached, far) = bed(XdpMode::Native);
    shield.own(owned()).unwrap();
    let _far_program = far.run(|| PassProgram::attach("far").unwrap());
    let listener = std::net::TcpListener::bind("192.0.2.1:8080").unwrap();
    far.run(|| drop(TcpStream::connect("192.0.2.1:8080").unwrap()));
    listener.accept().unwrap();
    let counters = shield.counters().unwrap();
    for (counter, frames) in counters.iter() {
        assert_eq!(frames > 0, counter == Passed, "{counter:?}: {frames}");
    }
}
