//! All queues of an interface at once.

use crate::ends::{BUDGET, Flow, attach, config, length, number_of, turn_around, until, write_packet};
use crate::wire::{Device, Wire};
use crate::{On, Test};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use synward_ebpf::{Attached, Shield};
use synward_nic::{Frame, Port, XskConfig, XskPort};

pub const TESTS: &[Test] = &[
    ("all_queues_carry_packets_both_ways", On::Anything, every_queue),
    ("all_queues_are_opened_again_one_by_one", On::Anything, opened_again),
];

/// Packets from each queue.
const PACKETS: u64 = 5_000;
/// Flows in which they go: enough that no queue of the receiver's is left out.
const FLOWS: u64 = 64;
/// Packets under way at once.
const WINDOW: u64 = 128;

/// One end, with a port on each of its queues.
struct Station {
    ports: Vec<XskPort>,
    device: Device,
    program: (Shield, Attached),
}

impl Station {
    fn open(device: &Device) -> Self {
        let ports: Vec<_> = (0..device.queues()).map(|queue| open(device, queue)).collect();
        let sockets: Vec<_> = (0..).zip(ports.iter().map(AsFd::as_fd)).collect();
        let program = attach(device, &sockets);
        Self { ports, device: device.clone(), program }
    }

    /// Closes the port of `queue` and opens another in its place.
    fn open_again(&mut self, queue: u32) {
        let Self { ports, device, program: (shield, _) } = self;
        drop(ports.remove(queue as usize));
        let port = open(device, queue);
        shield.set_socket(queue, &port).expect("put the socket into the XSKMAP");
        ports.insert(queue as usize, port);
    }

    /// What came on any queue; `each` gets the port and puts back into `answers` what is to be sent from it.
    fn receive(&mut self, mut each: impl FnMut(usize, Frame, &mut XskPort, &mut VecDeque<Frame>)) {
        let (mut received, mut answers) = (VecDeque::new(), VecDeque::new());
        for (queue, port) in self.ports.iter_mut().enumerate() {
            port.reclaim();
            port.rx_burst(&mut received, BUDGET.burst as usize);
            for frame in received.drain(..) {
                each(queue, frame, port, &mut answers);
            }
            port.tx_burst(&mut answers);
            assert!(answers.is_empty(), "the tx ring has more room than packets are under way");
            port.refill();
            assert!(port.ledger().is_balanced());
        }
    }
}

const _: () = assert!(WINDOW < BUDGET.tx_ring as u64);

fn open(device: &Device, queue: u32) -> XskPort {
    let config = XskConfig { queue, ..config(device.interface()) };
    let mut port = device.enter(|| XskPort::open(&config)).expect("open the port");
    port.refill();
    port
}

fn stations() -> (Station, Station, Wire) {
    let wire = Wire::with_queues(4);
    let (near, far) = (Station::open(wire.near()), Station::open(wire.far()));
    wire.await_carrier();
    (near, far, wire)
}

fn every_queue() {
    let (mut near, mut far, _wire) = stations();
    exchange(&mut near, &mut far);
}

fn opened_again() {
    let (mut near, mut far, wire) = stations();
    for queue in 0..near.ports.len() as u32 {
        near.open_again(queue);
        far.open_again(queue);
    }
    wire.await_carrier();
    exchange(&mut near, &mut far);
}

/// Near sends from all of its queues in turn, far answers from the queue that each packet came on; every one is back once.
fn exchange(near: &mut Station, far: &mut Station) {
    let queues = near.ports.len();
    let total = PACKETS * queues as u64;
    let (mut sent, mut back, mut seen) = (0, 0, vec![false; total as usize]);
    let mut came_on = vec![0_u64; far.ports.len()];
    until("every packet is back", || {
        while sent < total && sent - back < WINDOW {
            send(near, &far.device, sent);
            sent += 1;
        }
        far.receive(|queue, mut frame, _, answers| {
            came_on[queue] += 1;
            turn_around(frame.as_mut_slice());
            answers.push_back(frame);
        });
        near.receive(|_, frame, port, _| {
            let number = number_of(frame.as_slice()).expect("intact");
            assert_eq!(frame.len(), length(number));
            assert!(!std::mem::replace(&mut seen[number as usize], true), "{number} twice");
            back += 1;
            port.recycle(frame);
        });
        back == total
    });
    assert!(came_on.iter().all(|&count| count > 0), "every queue received some: {came_on:?}");
}

/// Sends packet `number`, from the queues in turn.
fn send(near: &mut Station, to: &Device, number: u64) {
    let queues = near.ports.len() as u64;
    let port = &mut near.ports[(number % queues) as usize];
    let mut frame = port.alloc().expect("a free frame");
    let flow = Flow { from: &near.device, to, source: (10_000 + number / queues % FLOWS) as u16 };
    write_packet(&mut frame, &flow, length(number), number);
    assert_eq!(port.tx_burst(&mut VecDeque::from([frame])), 1);
}
