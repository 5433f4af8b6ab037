//! Frames on a wire: the kernel at the far end of a veth pair knocks at a port that is ours.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::mpsc;
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
    ("everything_else_reaches_the_kernel", || isolated(everything_else)),
];

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
