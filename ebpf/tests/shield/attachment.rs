//! Attaching: in which mode, refused by whom, and gone with its process.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use synward_ebpf::{
    Attached, AttachedMode, EbpfError, Interface, PassProgram, Shield, ShieldConfig, XdpMode, XdpState,
};

use crate::namespace::{ip, isolated, veth_pair};
use crate::xdp_socket::xdp_socket;
use crate::{ROLE, Test};

pub const TESTS: &[Test] = &[
    ("attach_needs_every_socket", || isolated(attach_needs_every_socket)),
    ("mode_is_read_back", || isolated(mode_is_read_back)),
    ("any_falls_back_to_generic_and_says_why", || isolated(any_falls_back)),
    ("large_mtu_is_named", || isolated(large_mtu_is_named)),
    ("too_few_queues_are_named", || isolated(too_few_queues_are_named)),
    ("foreign_program_is_named", || isolated(foreign_program_is_named)),
    ("no_such_interface", || isolated(no_such_interface)),
    ("interface_is_described", || isolated(interface_is_described)),
    ("detached_with_its_guard_only", || isolated(detached_with_its_guard_only)),
    ("killed_process_leaves_nothing_behind", || isolated(killed_process_leaves_nothing_behind)),
    ("not_permitted_is_named", || isolated(not_permitted_is_named)),
];

/// The role of a child that attaches to `near` and waits to be killed.
pub const HOLDER: &str = "holder";
/// The role of a child that gives up root and tries to load.
pub const UNPRIVILEGED: &str = "unprivileged";

fn shield(queues: u32) -> Shield {
    let mut shield = Shield::load(&ShieldConfig { queues, ..ShieldConfig::default() }).unwrap();
    for queue in 0..queues {
        // The kernel takes the socket out again as soon as it is closed; attaching is all that is tested here.
        shield.set_socket(queue, xdp_socket()).unwrap();
    }
    shield
}

fn attached_to(name: &str) -> Vec<XdpState> {
    Interface::by_name(name).unwrap().xdp
}

fn attach_needs_every_socket() {
    veth_pair();
    let mut shield = Shield::load(&ShieldConfig { queues: 2, ..ShieldConfig::default() }).unwrap();
    let refusal = |shield: &mut Shield| match shield.attach("near", XdpMode::Any) {
        Err(EbpfError::QueueWithoutSocket { queue }) => queue,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(&mut shield), 0);
    shield.set_socket(0, xdp_socket()).unwrap();
    assert_eq!(refusal(&mut shield), 1);
    assert_eq!(attached_to("near"), []);
    shield.set_socket(1, xdp_socket()).unwrap();
    shield.attach("near", XdpMode::Any).unwrap();
}

fn mode_is_read_back() {
    veth_pair();
    for (wanted, mode) in [
        (XdpMode::Any, AttachedMode::Native),
        (XdpMode::Native, AttachedMode::Native),
        (XdpMode::Generic, AttachedMode::Generic),
    ] {
        let attached = shield(2).attach("near", wanted).unwrap();
        assert_eq!(attached.mode(), mode, "{wanted:?}");
        assert!(attached.native_refused().is_none());
        let program_id = attached.program_id();
        assert_eq!(attached_to("near"), [XdpState { mode, program_id }], "{wanted:?}");
        attached.detach();
        assert_eq!(attached_to("near"), []);
    }
}

fn any_falls_back() {
    ip("link add bridge type bridge");
    let attached = shield(1).attach("bridge", XdpMode::Any).unwrap();
    assert_eq!(attached.mode(), AttachedMode::Generic);
    let why = attached.native_refused().unwrap().to_string();
    assert!(why.contains("the driver has no native XDP"), "{why}");
    drop(attached);
    let demanded = shield(1).attach("bridge", XdpMode::Native).unwrap_err();
    assert!(matches!(demanded, EbpfError::NativeRefused { .. }), "{demanded}");
    assert_eq!(attached_to("bridge"), []);
}

fn large_mtu_is_named() {
    veth_pair();
    ip("link set far mtu 9000");
    let refused = shield(2).attach("near", XdpMode::Native).unwrap_err();
    assert!(matches!(refused, EbpfError::NativeRefused { .. }));
    assert!(refused.to_string().contains("MTU"), "{refused}");
    // What the message advises works.
    ip("link set far mtu 3500");
    shield(2).attach("near", XdpMode::Native).unwrap();
}

fn too_few_queues_are_named() {
    ip("link add near numrxqueues 1 numtxqueues 1 type veth peer name far numrxqueues 2 numtxqueues 2");
    let refused = shield(1).attach("near", XdpMode::Native).unwrap_err();
    assert!(refused.to_string().contains("receive queues"), "{refused}");
}

fn foreign_program_is_named() {
    veth_pair();
    let foreign = PassProgram::attach("near").unwrap();
    assert_eq!(foreign.attached().mode(), AttachedMode::Native);
    for mode in [XdpMode::Any, XdpMode::Native, XdpMode::Generic] {
        let refused = shield(2).attach("near", mode).unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("interface near"), "{message}");
        assert!(message.contains(&format!("id {}, native", foreign.attached().program_id())), "{message}");
        assert!(message.contains("ip link show dev near"), "{message}");
        assert!(message.contains("ip link set dev near xdpdrv off"), "{message}");
    }
    let program_id = foreign.attached().program_id();
    assert_eq!(attached_to("near"), [XdpState { mode: AttachedMode::Native, program_id }]);
    drop(foreign);
    shield(2).attach("near", XdpMode::Any).unwrap();
}

fn no_such_interface() {
    for name in ["absent", "", "a_name_of_seventeen", "near\0"] {
        let refused = shield(1).attach(name, XdpMode::Any).unwrap_err();
        assert!(matches!(&refused, EbpfError::NoSuchInterface { interface } if interface == name), "{refused}");
        let refused = PassProgram::attach(name).err().unwrap();
        assert!(matches!(refused, EbpfError::NoSuchInterface { .. }), "{refused}");
    }
}

fn interface_is_described() {
    veth_pair();
    ip("link set near mtu 1400 address 02:00:00:00:00:07");
    let near = Interface::by_name("near").unwrap();
    assert_eq!((near.mtu, near.mac), (1400, Some([2, 0, 0, 0, 0, 7])));
    assert_eq!((near.name.as_str(), near.kind.as_deref()), ("near", Some("veth")));
    let loopback = Interface::by_name("lo").unwrap();
    assert_eq!((loopback.index, loopback.kind), (1, None));
}

fn detached_with_its_guard_only() {
    veth_pair();
    let mut shield = shield(2);
    let near: Attached = shield.attach("near", XdpMode::Native).unwrap();
    drop(shield);
    assert_eq!(attached_to("near").len(), 1);
    drop(near);
    assert_eq!(attached_to("near"), []);
}

/// This test binary again, in the namespace of this thread.
fn child(role: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn killed_process_leaves_nothing_behind() {
    veth_pair();
    for _ in 0..3 {
        let mut holder = child(HOLDER);
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let program_id = line.trim().parse().expect("the holder prints its program's number");
        assert_eq!(attached_to("near"), [XdpState { mode: AttachedMode::Native, program_id }]);
        let pid = rustix::process::Pid::from_child(&holder);
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        let status = holder.wait().unwrap();
        assert_eq!(status.code(), None, "killed, not exited");
        assert_eq!(attached_to("near"), [], "the interface is the kernel's at once");
    }
    let attached = shield(2).attach("near", XdpMode::Native).unwrap();
    assert_eq!(attached.mode(), AttachedMode::Native);
}

/// The child's part: attaches, prints the number of its program, and waits for the end of standard input.
pub fn hold() -> ! {
    let attached = shield(2).attach("near", XdpMode::Native).unwrap();
    println!("{}", attached.program_id());
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(attached);
    std::process::exit(0)
}

fn not_permitted_is_named() {
    let mut unprivileged = child(UNPRIVILEGED);
    let mut said = String::new();
    unprivileged.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
    assert!(unprivileged.wait().unwrap().success());
    assert!(said.contains("CAP_BPF and CAP_NET_ADMIN"), "{said}");
}

/// The child's part: gives up root, tries to load, and prints what it was told.
pub fn unprivileged() -> ! {
    let nobody = rustix::process::Uid::from_raw(65_534);
    rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
    match Shield::load(&ShieldConfig::default()) {
        Err(refused @ EbpfError::NotPermitted { .. }) => println!("{refused}"),
        Err(other) => println!("another error: {other:?}"),
        Ok(_) => println!("loaded"),
    }
    std::process::exit(0)
}
