//! What devices do and do not.

use crate::Test;
use crate::ends::{Ends, config, pair, until};
use std::collections::VecDeque;
use std::error::Error;
use synward_nic::{Mode, ModeDemand, Modes, Port, PortError, PortStatus, XskConfig, XskPort};

pub const TESTS: &[Test] = &[
    ("modes_are_what_the_kernel_says", modes),
    ("demanded_zero_copy_is_refused_where_there_is_none", no_zero_copy),
    ("missing_interfaces_and_queues_are_named", missing),
    ("the_link_goes_down_and_up", link),
    ("the_peers_link_goes_down_and_up", peer_link),
    ("a_deleted_interface_is_gone", deleted),
    ("a_deleted_peer_is_gone", peer_deleted),
];

/// Opens a port on the near end as `change` makes its configuration.
fn open(change: impl FnOnce(XskConfig) -> XskConfig) -> Result<XskPort, PortError> {
    let pair = pair();
    let config = change(config(pair.near()));
    pair.near().enter(|| XskPort::open(&config)).expect("enter the namespace")
}

fn modes() {
    let copy = Modes { mode: Mode::Copy, need_wakeup: true, busy_poll: false };
    for demand in [ModeDemand::Any, ModeDemand::Copy] {
        let port = open(|config| XskConfig { mode: demand, ..config }).expect("open the port");
        assert_eq!(port.modes(), copy, "veth has no zero-copy");
    }
    let port = open(|config| XskConfig { need_wakeup: false, ..config }).expect("open the port");
    assert_eq!(port.modes(), Modes { need_wakeup: false, ..copy });
}

fn no_zero_copy() {
    let refused = open(|config| XskConfig { mode: ModeDemand::ZeroCopy, ..config }).expect_err("veth has no zero-copy");
    assert!(matches!(&refused, PortError::NoZeroCopy { interface, queue: 0 } if interface == "near0"), "{refused}");
}

fn missing() {
    let refused = open(|config| XskConfig { interface: "absent0".into(), ..config }).expect_err("no such interface");
    assert_eq!(refused.to_string(), "interface absent0: no such device");
    let refused = open(|config| XskConfig { queue: 9, ..config }).expect_err("no such queue");
    assert!(matches!(refused, PortError::NoSuchQueue { queue: 9, .. }), "{refused} ({:?})", refused.source());
}

fn link() {
    let mut ends = Ends::open(|config| config);
    assert_eq!(ends.near.port.status(), PortStatus::Up);
    ends.near.host.link_down().expect("link down");
    let mut frames = VecDeque::from([ends.near.packet(&ends.far.host, 60, 1)]);
    ends.near.port.tx_burst(&mut frames);
    assert_eq!(ends.near.port.status(), PortStatus::Down);
    assert!(ends.near.port.ledger().is_balanced());

    ends.near.host.link_up().expect("link up");
    assert_eq!(ends.near.port.status(), PortStatus::Up);
    until("what waited in the tx ring was sent", || {
        ends.near.port.tx_burst(&mut frames);
        ends.near.port.reclaim();
        ends.near.port.ledger().sending == 0
    });
    let waited = ends.far.receive_one();
    ends.far.port.recycle(waited);
    ends.pass_one(2);
}

fn peer_link() {
    let mut ends = Ends::open(|config| config);
    ends.far.host.link_down().expect("link down");
    ends.near.send_one(&ends.far.host, 1);
    assert_eq!(ends.near.port.status(), PortStatus::Up, "EBUSY is back-pressure");
    ends.far.host.link_up().expect("link up");
    until("what was sent into the void is reclaimed", || {
        ends.near.port.tx_burst(&mut VecDeque::new());
        ends.near.port.reclaim();
        ends.near.port.ledger().sending == 0
    });
    ends.pass_one(2);
}

fn deleted() {
    let mut ends = Ends::open(|config| config);
    ends.pass_one(1);
    ends.near.host.delete_interface().expect("delete the interface");
    gone(&mut ends);
}

fn peer_deleted() {
    let mut ends = Ends::open(|config| config);
    ends.pass_one(1);
    ends.far.host.delete_interface().expect("delete the interface");
    gone(&mut ends);
}

/// Near's device is gone, takes nothing, and its frames are still all accounted for.
fn gone(ends: &mut Ends) {
    until("the port knows", || ends.near.port.status() == PortStatus::Gone);
    let mut frames = VecDeque::from([ends.near.packet(&ends.far.host, 60, 2)]);
    assert_eq!(ends.near.port.tx_burst(&mut frames), 0);
    frames.drain(..).for_each(|frame| ends.near.port.recycle(frame));
    ends.near.port.reclaim();
    ends.near.port.refill();
    assert_eq!(ends.near.port.rx_burst(&mut frames, 64), 0);
    assert!(ends.near.port.ledger().is_balanced());
    assert_eq!(ends.near.port.status(), PortStatus::Gone, "it does not come back");
}
