//! Laws of owned frames, the ledger and the rings, on ports in memory.

use proptest::prelude::*;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;
use synward_nic::{
    Frame, FrameBudget, Ledger, LentFrame, MemoryFaults, MemoryPort, MemoryPortConfig, Port, PortError, PortStatus,
};

/// So small that every line of it is reached within a few operations: 32 frames of 256 bytes of room.
const SMALL: MemoryPortConfig = MemoryPortConfig {
    frame_size: 512,
    budget: FrameBudget {
        fill_ring: 8,
        rx_ring: 4,
        burst: 4,
        tx_ring: 4,
        completion_ring: 4,
        transmit_backlog: 2,
        readers: 4,
        reply_reserve: 2,
    },
};

const TOTAL: u32 = 32;

fn pair() -> (MemoryPort, MemoryPort) {
    MemoryPort::pair(SMALL, SMALL).unwrap()
}

fn packet(port: &mut MemoryPort, bytes: &[u8]) -> Frame {
    let mut frame = port.alloc().unwrap();
    frame.buffer_mut()[..bytes.len()].copy_from_slice(bytes);
    frame.set_len(bytes.len());
    frame
}

fn send(port: &mut MemoryPort, bytes: &[u8]) {
    let mut frames = VecDeque::from([packet(port, bytes)]);
    assert_eq!(port.tx_burst(&mut frames), 1);
}

fn receive(port: &mut MemoryPort) -> Vec<Frame> {
    let mut frames = VecDeque::new();
    port.rx_burst(&mut frames, usize::MAX);
    frames.into()
}

/// One end, and what its frames must be by the rules.
struct Side {
    port: MemoryPort,
    faults: MemoryFaults,
    in_hand: VecDeque<Frame>,
    lent: VecDeque<LentFrame>,
    leaked: u32,
    /// Frames in the fill ring.
    fill: usize,
    /// Packets in the rx ring.
    arriving: VecDeque<Vec<u8>>,
    lost_fill_empty: u64,
    lost_rx_full: u64,
    lost_too_long: u64,
    sending: u32,
    /// Lent frames that were dropped and not yet reclaimed.
    returning: u32,
    refuse_transmit: bool,
    refuse_refill: bool,
    hold_completions: bool,
}

impl Side {
    fn new(port: MemoryPort) -> Self {
        Self {
            faults: port.faults(),
            port,
            in_hand: VecDeque::new(),
            lent: VecDeque::new(),
            leaked: 0,
            fill: 0,
            arriving: VecDeque::new(),
            lost_fill_empty: 0,
            lost_rx_full: 0,
            lost_too_long: 0,
            sending: 0,
            returning: 0,
            refuse_transmit: false,
            refuse_refill: false,
            hold_completions: false,
        }
    }

    /// What a packet from the other end meets here.
    fn arrive(&mut self, bytes: Vec<u8>) {
        if self.fill == 0 {
            self.lost_fill_empty += 1;
        } else if bytes.len() > 256 {
            self.lost_too_long += 1;
        } else if self.arriving.len() == SMALL.budget.rx_ring as usize {
            self.lost_rx_full += 1;
        } else {
            self.fill -= 1;
            self.arriving.push_back(bytes);
        }
    }

    fn expected(&self) -> Ledger {
        let receiving = (self.fill + self.arriving.len()) as u32;
        let in_hand = self.in_hand.len() as u32;
        let lent = self.lent.len() as u32 + self.returning;
        let free = TOTAL - receiving - self.sending - in_hand - lent - self.leaked;
        Ledger { total: TOTAL, free, receiving, sending: self.sending, in_hand, lent }
    }

    fn check(&self) {
        let ledger = self.port.ledger();
        assert_eq!(ledger, self.expected());
        assert_eq!(ledger.missing(), i64::from(self.leaked));
        assert_eq!(ledger.is_balanced(), self.leaked == 0);
        let statistics = self.port.statistics();
        assert_eq!(statistics.fill_ring_empty, self.lost_fill_empty);
        assert_eq!(statistics.rx_ring_full, self.lost_rx_full);
        assert_eq!(statistics.rx_dropped, self.lost_too_long);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Alloc(u8, usize),
    Transmit,
    Receive(usize),
    Answer(u8),
    Recycle,
    Lend,
    ReturnLent,
    Leak,
    Reclaim,
    Refill,
    RefuseTransmit(bool),
    RefuseRefill(bool),
    HoldCompletions(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any::<u8>(), 1_usize..=256).prop_map(|(fill, len)| Op::Alloc(fill, len)),
        4 => Just(Op::Transmit),
        4 => (0_usize..6).prop_map(Op::Receive),
        2 => any::<u8>().prop_map(Op::Answer),
        2 => Just(Op::Recycle),
        2 => Just(Op::Lend),
        2 => Just(Op::ReturnLent),
        3 => Just(Op::Reclaim),
        4 => Just(Op::Refill),
        1 => any::<bool>().prop_map(Op::RefuseTransmit),
        1 => any::<bool>().prop_map(Op::RefuseRefill),
        1 => any::<bool>().prop_map(Op::HoldCompletions),
    ]
}

fn apply(op: &Op, side: &mut Side, other: &mut Side) {
    match *op {
        Op::Alloc(fill, len) => match side.port.alloc() {
            Some(mut frame) => {
                assert_eq!((frame.len(), frame.capacity()), (0, 256), "a fresh frame is empty and has all its room");
                frame.set_len(len);
                frame.as_mut_slice().fill(fill);
                side.in_hand.push_back(frame);
            }
            None => assert_eq!(side.expected().free, 0),
        },
        Op::Transmit => {
            let contents: Vec<_> = side.in_hand.iter().map(|frame| frame.as_slice().to_vec()).collect();
            let room = (SMALL.budget.tx_ring - side.sending) as usize;
            let want = if side.refuse_transmit { 0 } else { room.min(contents.len()) };
            assert_eq!(side.port.tx_burst(&mut side.in_hand), want);
            side.sending += want as u32;
            contents.into_iter().take(want).for_each(|bytes| other.arrive(bytes));
        }
        Op::Receive(max) => {
            let want = max.min(side.arriving.len());
            let before = side.in_hand.len();
            assert_eq!(side.port.rx_burst(&mut side.in_hand, max), want);
            for (frame, bytes) in side.in_hand.iter().skip(before).zip(side.arriving.drain(..want)) {
                assert_eq!(frame.as_slice(), bytes, "packets arrive intact and in order");
            }
        }
        Op::Answer(fill) => {
            if let Some(frame) = side.in_hand.front_mut() {
                let room = frame.capacity();
                frame.buffer_mut().fill(fill);
                frame.set_len(room);
            }
        }
        Op::Recycle => {
            if let Some(frame) = side.in_hand.pop_front() {
                side.port.recycle(frame);
            }
        }
        Op::Lend => side.lent.extend(side.in_hand.pop_front().map(Frame::lend)),
        Op::ReturnLent => side.returning += u32::from(side.lent.pop_front().is_some()),
        Op::Leak => side.leaked += u32::from(side.in_hand.pop_front().is_some()),
        Op::Reclaim => {
            let completed = if side.hold_completions { 0 } else { std::mem::take(&mut side.sending) };
            let home = std::mem::take(&mut side.returning);
            assert_eq!(side.port.reclaim(), (completed + home) as usize);
        }
        Op::Refill => {
            let FrameBudget { fill_ring, rx_ring, reply_reserve, .. } = SMALL.budget;
            let Ledger { free, receiving, .. } = side.expected();
            let want = (fill_ring - side.fill as u32)
                .min(free.saturating_sub(reply_reserve))
                .min(fill_ring + rx_ring - receiving);
            let want = if side.refuse_refill { 0 } else { want as usize };
            assert_eq!(side.port.refill(), want);
            side.fill += want;
        }
        Op::RefuseTransmit(on) => {
            side.faults.refuse_transmit(on);
            side.refuse_transmit = on;
        }
        Op::RefuseRefill(on) => {
            side.faults.refuse_refill(on);
            side.refuse_refill = on;
        }
        Op::HoldCompletions(on) => {
            side.faults.hold_completions(on);
            side.hold_completions = on;
        }
    }
}

fn run(ops: &[(bool, Op)]) {
    let (a, b) = pair();
    let (mut a, mut b) = (Side::new(a), Side::new(b));
    for (first, op) in ops {
        let (side, other) = if *first { (&mut a, &mut b) } else { (&mut b, &mut a) };
        apply(op, side, other);
        a.check();
        b.check();
    }
}

proptest! {
    #[test]
    fn the_ledger_balances_after_every_operation_and_packets_arrive_intact(
        ops in prop::collection::vec((any::<bool>(), op()), 0..400)
    ) {
        run(&ops);
    }

    #[test]
    fn the_ledger_tells_exactly_how_many_frames_were_lost(
        ops in prop::collection::vec((any::<bool>(), prop_oneof![8 => op(), 1 => Just(Op::Leak)]), 0..200)
    ) {
        run(&ops);
    }
}

#[test]
fn an_answer_in_the_frame_that_asked_has_the_whole_frame_behind_its_start() {
    let (mut a, mut b) = pair();
    b.refill();
    send(&mut a, b"ask");
    let mut frames = VecDeque::from(receive(&mut b));
    let asked = &mut frames[0];
    assert_eq!((asked.as_slice(), asked.capacity()), (&b"ask"[..], 256));
    asked.buffer_mut().fill(7);
    asked.set_len(256);
    a.refill();
    assert_eq!(b.tx_burst(&mut frames), 1);
    let answer = receive(&mut a);
    assert_eq!(answer[0].as_slice(), [7; 256]);
    answer.into_iter().for_each(|frame| a.recycle(frame));
}

#[test]
fn an_empty_fill_ring_loses_and_counts_and_recovers() {
    let (mut port, mut wire) = MemoryPort::with_wire(SMALL).unwrap();
    assert!(!wire.push(b"nothing to put it in"));
    assert_eq!(port.refill(), 8);
    let delivered = (0..12_u8).filter(|&n| wire.push(&[n])).count();
    assert_eq!(
        (delivered, port.statistics().rx_ring_full),
        (4, 8),
        "the rx ring is full before the fill ring is empty"
    );
    for frame in receive(&mut port) {
        port.recycle(frame);
    }
    port.faults().refuse_refill(true);
    assert_eq!(port.refill(), 0);
    let delivered = (0..12_u8).filter(|&n| wire.push(&[n])).count();
    assert_eq!((delivered, port.statistics().fill_ring_empty), (4, 1 + 8), "no more than the fill ring still had");
    for frame in receive(&mut port) {
        port.recycle(frame);
    }
    assert!(!wire.push(b"starved"));
    port.faults().refuse_refill(false);
    port.refill();
    assert!(wire.push(b"well again"));
    assert!(port.ledger().is_balanced());
}

#[test]
fn a_full_tx_ring_leaves_the_rest_in_order_until_completions_come() {
    let (mut port, mut wire) = MemoryPort::with_wire(SMALL).unwrap();
    port.faults().hold_completions(true);
    let mut frames: VecDeque<_> = (0..6_u8).map(|n| packet(&mut port, &[n])).collect();
    assert_eq!(port.tx_burst(&mut frames), 4, "as many as the tx ring has places");
    assert_eq!((port.reclaim(), port.tx_burst(&mut frames)), (0, 0));
    let mut taken: Vec<_> = std::iter::from_fn(|| wire.take()).flatten().collect();
    port.faults().hold_completions(false);
    assert_eq!((port.reclaim(), port.tx_burst(&mut frames)), (4, 2));
    assert!(frames.is_empty());
    taken.extend(std::iter::from_fn(|| wire.take()).flatten());
    assert_eq!(taken, [0, 1, 2, 3, 4, 5]);
    assert_eq!(port.reclaim(), 2);
    assert!(port.ledger().is_balanced());
}

#[test]
fn refill_keeps_back_the_reserve() {
    let (mut port, _wire) = MemoryPort::with_wire(SMALL).unwrap();
    let held: Vec<_> = std::iter::from_fn(|| port.alloc()).take(TOTAL as usize - 5).collect();
    assert_eq!(port.ledger().free, 5);
    assert_eq!(port.refill(), 3, "five are free and two are reserved");
    assert_eq!(port.refill(), 0);
    let reserve = [port.alloc().unwrap(), port.alloc().unwrap()];
    assert!(port.alloc().is_none());
    held.into_iter().chain(reserve).for_each(|frame| port.recycle(frame));
    assert!(port.ledger().is_balanced());
}

#[test]
fn packets_longer_than_a_frame_are_lost_and_counted() {
    let (mut port, mut wire) = MemoryPort::with_wire(SMALL).unwrap();
    port.refill();
    assert!(wire.push(&[0; 256]));
    assert!(!wire.push(&[0; 257]));
    assert_eq!(port.statistics().rx_dropped, 1);
    assert_eq!(receive(&mut port).len(), 1);
}

#[test]
fn lent_frames_come_home_from_other_threads_also_when_a_reader_panics() {
    let (mut port, mut wire) = MemoryPort::with_wire(SMALL).unwrap();
    port.refill();
    (0..3_u8).for_each(|n| assert!(wire.push(&[n, n])));
    let mut lent = receive(&mut port).into_iter().map(Frame::lend);
    let [first, mut second, third] = [lent.next().unwrap(), lent.next().unwrap(), lent.next().unwrap()];
    assert_eq!((port.ledger().lent, port.ledger().in_hand), (3, 0));

    thread::spawn(move || assert_eq!(&first[..], [0, 0])).join().unwrap();
    second.consume(1);
    let reader = thread::spawn(move || {
        assert_eq!(&second[..], [1]);
        std::panic::resume_unwind(Box::new("a reader fails"));
    });
    assert!(reader.join().is_err());
    assert_eq!((port.ledger().lent, port.ledger().missing()), (3, 0), "lent until it is reclaimed");
    assert_eq!(port.reclaim(), 2);
    assert_eq!(port.ledger().lent, 1);

    drop(third);
    assert_eq!(port.reclaim(), 1);
    assert_eq!((port.ledger().lent, port.ledger().missing()), (0, 0));
}

#[test]
fn many_readers_return_every_frame_exactly_once() {
    let config = MemoryPortConfig { budget: FrameBudget { readers: 400, ..SMALL.budget }, ..SMALL };
    let (mut port, _wire) = MemoryPort::with_wire(config).unwrap();
    let total = port.ledger().total;
    let (to_readers, readers): (Vec<_>, Vec<_>) = (0..4)
        .map(|_| {
            let (sender, receiver) = std::sync::mpsc::channel::<(LentFrame, u32)>();
            let reader = thread::spawn(move || {
                for (frame, number) in receiver {
                    assert_eq!(frame[..], number.to_le_bytes(), "nobody else has this frame");
                }
            });
            (sender, reader)
        })
        .unzip();
    for number in 0..40_000_u32 {
        let mut frame = loop {
            match port.alloc() {
                Some(frame) => break frame,
                None => _ = port.reclaim(),
            }
        };
        frame.set_len(4);
        frame.as_mut_slice().copy_from_slice(&number.to_le_bytes());
        to_readers[number as usize % 4].send((frame.lend(), number)).unwrap();
        assert!(port.ledger().is_balanced());
    }
    drop(to_readers);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    port.reclaim();
    assert_eq!((port.ledger().free, port.ledger().lent), (total, 0));
}

/// Two frames of a port that is gone, with "lent" and "kept" in them.
fn left_by_a_port(config: MemoryPortConfig) -> (LentFrame, Frame) {
    let (mut port, mut wire) = MemoryPort::with_wire(config).unwrap();
    port.refill();
    assert!(wire.push(b"lent") && wire.push(b"kept"));
    let mut frames = receive(&mut port);
    let kept = frames.pop().unwrap();
    let lent = frames.pop().unwrap().lend();
    (lent, kept)
}

#[test]
fn frames_outlive_their_port() {
    let (lent, kept) = left_by_a_port(SMALL);
    assert_eq!(kept.as_slice(), b"kept");
    let reader = thread::spawn(move || assert_eq!(&lent[..], b"lent"));
    reader.join().unwrap();
    drop(kept);
}

/// Bytes of address space that this process has.
fn address_space() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

#[test]
fn what_frames_share_goes_with_the_last_of_them() {
    const FRAMES: u32 = 1 << 17;
    const PORTS: usize = 64;
    let budget = FrameBudget { readers: FRAMES, ..SMALL.budget };
    let config = MemoryPortConfig { budget, ..SMALL };
    let bytes = FRAMES as usize * usize::from(config.frame_size);
    let before = address_space();
    for number in 0..PORTS {
        let (lent, kept) = left_by_a_port(config);
        let reader = thread::spawn(move || assert_eq!(&lent[..], b"lent"));
        if number % 2 == 0 {
            reader.join().unwrap();
            drop(kept);
        } else {
            drop(kept);
            reader.join().unwrap();
        }
    }
    // Other tests have ports meanwhile, of a few frames each; and threads that they start get 64 MiB for their heaps, eight for
    // each core at most.
    let grown = address_space().saturating_sub(before);
    assert!(grown < PORTS / 2 * bytes, "{grown} bytes more, {bytes} for each port");
}

#[test]
fn a_port_dropped_with_its_rings_full_leaves_the_other_end_without_a_device() {
    let (mut a, mut b) = pair();
    b.refill();
    send(&mut a, b"unread");
    assert_eq!(a.status(), PortStatus::Up);
    drop(b);
    assert_eq!(a.status(), PortStatus::Gone);
    let mut frames = VecDeque::from([packet(&mut a, b"to nobody")]);
    assert_eq!(a.tx_burst(&mut frames), 0);
    frames.into_iter().for_each(|frame| a.recycle(frame));
    a.reclaim();
    assert!(a.ledger().is_balanced());
}

#[test]
fn a_link_goes_down_and_up_and_a_device_only_goes() {
    let (mut port, mut wire) = MemoryPort::with_wire(SMALL).unwrap();
    let faults = port.faults();
    let mut frames = VecDeque::from([packet(&mut port, b"late")]);
    faults.link_down(true);
    assert_eq!((port.status(), port.tx_burst(&mut frames)), (PortStatus::Down, 0));
    faults.link_down(false);
    assert_eq!((port.status(), port.tx_burst(&mut frames)), (PortStatus::Up, 1));
    assert_eq!(wire.take().as_deref(), Some(&b"late"[..]));
    faults.remove_device();
    faults.link_down(false);
    assert_eq!(port.status(), PortStatus::Gone);
}

#[test]
fn wait_returns_at_once_when_something_is_there_and_when_something_comes() {
    let (mut port, mut wire) = MemoryPort::with_wire(SMALL).unwrap();
    port.refill();
    assert!(wire.push(b"there"));
    port.wait(None, None);
    assert_eq!(receive(&mut port).len(), 1);

    // Whichever comes first, the wait or the packet: it must end, though it has no limit.
    for _ in 0..200 {
        thread::scope(|scope| {
            scope.spawn(|| assert!(wire.push(b"comes")));
            port.wait(None, None);
        });
        for frame in receive(&mut port) {
            port.recycle(frame);
        }
        port.refill();
    }
}

#[test]
fn wait_ends_by_the_callers_own_descriptor_and_by_time() {
    let (mut port, _wire) = MemoryPort::with_wire(SMALL).unwrap();
    let (wake, waker) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(waker);
    port.wait(Some(wake.as_fd()), None);
    port.wait(None, Some(Duration::from_millis(1)));
    port.wait(None, Some(Duration::ZERO));
}

#[test]
fn two_threads_echo_every_packet_in_order() {
    const PACKETS: u32 = 20_000;
    let (mut here, mut there) = MemoryPort::pair(MemoryPortConfig::default(), MemoryPortConfig::default()).unwrap();
    here.refill();
    there.refill();
    let echo = thread::spawn(move || {
        let (mut frames, mut seen) = (VecDeque::new(), 0);
        while seen < PACKETS {
            there.reclaim();
            there.wait(None, None);
            seen += there.rx_burst(&mut frames, 64) as u32;
            while !frames.is_empty() {
                there.tx_burst(&mut frames);
                there.reclaim();
            }
            there.refill();
            assert!(there.ledger().is_balanced());
        }
        there.statistics()
    });
    let (mut sent, mut back) = (0, 0);
    let mut queue = VecDeque::new();
    while back < PACKETS {
        here.reclaim();
        while sent < PACKETS && sent - back < 256 {
            send(&mut here, &sent.to_le_bytes());
            sent += 1;
        }
        here.wait(None, None);
        here.rx_burst(&mut queue, 64);
        for frame in queue.drain(..) {
            assert_eq!(frame.as_slice(), back.to_le_bytes());
            back += 1;
            here.recycle(frame);
        }
        here.refill();
        assert!(here.ledger().is_balanced());
    }
    assert_eq!(echo.join().unwrap(), here.statistics(), "nothing was lost on either side");
}

#[test]
fn configurations_that_cannot_be_are_refused() {
    let with_frames = |frame_size| MemoryPortConfig { frame_size, ..SMALL };
    for frame_size in [0, 256, 1000] {
        let refused = MemoryPort::pair(with_frames(frame_size), SMALL);
        assert!(matches!(refused, Err(PortError::FrameSize { size }) if size == frame_size));
    }
    let endless = MemoryPortConfig { budget: FrameBudget { readers: u32::MAX, ..SMALL.budget }, ..SMALL };
    assert!(matches!(MemoryPort::pair(SMALL, endless), Err(PortError::Budget)));
    assert_eq!(SMALL.budget.total(), Some(TOTAL));
}
