//! What devices do and do not.

use crate::ends::{End, Ends, config, number_of, until};
use crate::wire::{self, Wire};
use crate::{On, Test};
use std::collections::VecDeque;
use std::error::Error;
use synward_nic::{Mode, ModeDemand, Modes, Port, PortError, PortStatus, XskConfig, XskPort};

pub const TESTS: &[Test] = &[
    ("modes_are_what_the_kernel_says", On::Anything, modes),
    ("demanded_zero_copy_is_refused_where_there_is_none", On::CopyOnly, no_zero_copy),
    ("frames_that_would_split_packets_are_refused", On::ZeroCopy, small_frames),
    ("missing_interfaces_and_queues_are_named", On::Anything, missing),
    ("what_is_sent_before_the_program_is_attached_goes_out_after", On::Anything, early),
    ("the_link_goes_down_and_up", On::Anything, link),
    ("the_peers_link_goes_down_and_up", On::Veth, peer_link),
    ("a_deleted_peer_is_gone", On::Veth, peer_deleted),
    ("a_deleted_interface_is_gone", On::Anything, deleted),
];

/// Opens a port on the near end as `change` makes its configuration.
fn open(change: impl FnOnce(XskConfig) -> XskConfig) -> Result<XskPort, PortError> {
    let wire = Wire::up();
    let config = change(config(wire.near().interface()));
    wire.near().enter(|| XskPort::open(&config))
}

fn modes() {
    let best = Modes { mode: wire::best_mode(), need_wakeup: true, busy_poll: false };
    for (demand, modes) in [(ModeDemand::Any, best), (ModeDemand::Copy, Modes { mode: Mode::Copy, ..best })] {
        let port = open(|config| XskConfig { mode: demand, ..config }).expect("open the port");
        assert_eq!(port.modes(), modes, "{demand:?}");
    }
    let port = open(|config| XskConfig { need_wakeup: false, ..config }).expect("open the port");
    assert_eq!(port.modes(), Modes { need_wakeup: false, ..best });
}

fn no_zero_copy() {
    let refused = open(|config| XskConfig { mode: ModeDemand::ZeroCopy, ..config }).expect_err("it has no zero-copy");
    assert!(matches!(&refused, PortError::NoZeroCopy { .. }), "{refused}");
}

fn small_frames() {
    let capacity = open(|config| config).expect("open the port").alloc().map(|frame| frame.capacity());
    let needs_large_frames = capacity > Some(2048);
    match open(|config| XskConfig { frame_size: Some(2048), ..config }) {
        Ok(_) => assert!(!needs_large_frames),
        Err(PortError::FrameSizeForDriver { size: 2048, .. }) => assert!(needs_large_frames),
        Err(other) => panic!("{other}"),
    }
}

fn missing() {
    let refused = open(|config| XskConfig { interface: "absent0".into(), ..config }).expect_err("no such interface");
    assert_eq!(refused.to_string(), "interface absent0: no such device");
    let refused = open(|config| XskConfig { queue: 9, ..config }).expect_err("no such queue");
    assert!(matches!(refused, PortError::NoSuchQueue { queue: 9, .. }), "{refused} ({:?})", refused.source());
}

/// Some drivers refuse a kick while no program is attached; none of them loses what waits.
fn early() {
    let wire = Wire::up();
    let config = config(wire.near().interface());
    let mut far = End::open(wire.far(), XskConfig { interface: wire.far().interface().into(), ..config.clone() });
    let mut near = End::without_program(wire.near(), &config);
    wire.await_carrier();
    near.send_one(wire.far(), 1);
    assert_ne!(near.port.status(), PortStatus::Gone);
    near.attach_program();
    wire.await_carrier();
    until("it is sent", || {
        near.port.tx_burst(&mut VecDeque::new());
        near.port.reclaim();
        near.port.ledger().sending == 0
    });
    assert_eq!(near.port.status(), PortStatus::Up);
    near.send_one(wire.far(), 2);
    until("the last is there", || {
        let frame = far.receive_one();
        let number = number_of(frame.as_slice());
        far.port.recycle(frame);
        number == Some(2)
    });
}

fn link() {
    let mut ends = Ends::open(|config| config);
    assert_eq!(ends.near.port.status(), PortStatus::Up);
    ends.near.device.link_down();
    let mut frames = VecDeque::from([ends.near.packet(&ends.far.device, 60, 1)]);
    ends.near.port.tx_burst(&mut frames);
    assert_eq!(ends.near.port.status(), PortStatus::Down);
    assert!(ends.near.port.ledger().is_balanced());

    ends.near.device.link_up();
    assert_eq!(ends.near.port.status(), PortStatus::Up);
    until("what waited in the tx ring was sent", || {
        ends.near.port.tx_burst(&mut frames);
        ends.near.port.reclaim();
        ends.near.port.ledger().sending == 0
    });
    let waited = ends.far.receive_one();
    ends.far.port.recycle(waited);
    ends.pass_one(2);
    ends.far.send_one(&ends.near.device, 3);
    let back = ends.near.receive_one();
    assert_eq!(number_of(back.as_slice()), Some(3), "it receives again, too");
    ends.near.port.recycle(back);
}

fn peer_link() {
    let mut ends = Ends::open(|config| config);
    ends.far.device.link_down();
    ends.near.send_one(&ends.far.device, 1);
    assert_eq!(ends.near.port.status(), PortStatus::Up, "EBUSY is back-pressure");
    ends.far.device.link_up();
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
    ends.near.device.remove();
    gone(&mut ends);
}

fn peer_deleted() {
    let mut ends = Ends::open(|config| config);
    ends.pass_one(1);
    ends.far.device.remove();
    gone(&mut ends);
}

/// Near's device is gone, takes nothing, and its frames are still all accounted for.
fn gone(ends: &mut Ends) {
    until("the port knows", || ends.near.port.status() == PortStatus::Gone);
    let mut frames = VecDeque::from([ends.near.packet(&ends.far.device, 60, 2)]);
    assert_eq!(ends.near.port.tx_burst(&mut frames), 0);
    frames.drain(..).for_each(|frame| ends.near.port.recycle(frame));
    ends.near.port.reclaim();
    ends.near.port.refill();
    assert_eq!(ends.near.port.rx_burst(&mut frames, 64), 0);
    assert!(ends.near.port.ledger().is_balanced());
    assert_eq!(ends.near.port.status(), PortStatus::Gone, "it does not come back");
}
