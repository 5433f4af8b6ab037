//! What crosses the rings.

use crate::ends::{BUDGET, Ends, length, number_of, turn_around, until};
use crate::wire;
use crate::{On, Test};
use std::collections::{HashSet, VecDeque};
use std::os::fd::AsFd;
use synward_nic::{BusyPoll, Frame, Mode, Port, XskConfig};

pub const TESTS: &[Test] = &[
    ("echo_returns_every_packet_intact_and_in_order", On::Anything, echo_as_configured),
    ("echo_without_need_wakeup_in_large_frames", On::Anything, echo_without_need_wakeup),
    ("echo_with_busy_polling", On::Anything, echo_with_busy_polling),
    ("an_answer_may_be_longer_than_its_question", On::Anything, longer_answer),
    ("trimmed_data_is_sent_from_where_it_starts", On::Anything, trimmed),
    ("one_burst_is_sent_whole_though_the_kernel_takes_32_at_a_time", On::Anything, whole_burst),
    ("a_full_tx_ring_leaves_the_rest_in_order", On::Anything, full_tx_ring),
    ("an_empty_fill_ring_loses_and_counts_and_recovers", On::Anything, starvation),
    ("wait_ends_with_a_packet_and_by_the_callers_descriptor", On::Anything, wait),
    ("wait_is_short_while_something_comes_unannounced", On::Anything, unannounced),
];

const PACKETS: u64 = 20_000;

fn echo_as_configured() {
    echo(&mut Ends::open(|config| config));
}

fn echo_without_need_wakeup() {
    echo(&mut Ends::open(|config| XskConfig { need_wakeup: false, frame_size: Some(4096), ..config }));
}

fn echo_with_busy_polling() {
    let busy_poll = Some(BusyPoll { microseconds: 20, budget: 64 });
    let mut ends = Ends::open(|config| XskConfig { busy_poll, ..config });
    assert!(ends.near.port.modes().busy_poll);
    echo(&mut ends);
}

/// Near sends packets of every length up to a full frame, far answers in the frame that asked.
fn echo(ends: &mut Ends) {
    let Ends { near, far, .. } = ends;
    let (mut sent, mut back) = (0, 0);
    let (mut to_send, mut answers, mut received) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
    until("every packet is back", || {
        near.port.reclaim();
        while sent < PACKETS && sent - back < 128 {
            to_send.push_back(near.packet(&far.device, length(sent), sent));
            sent += 1;
        }
        near.port.tx_burst(&mut to_send);

        far.port.reclaim();
        let before = answers.len();
        far.port.rx_burst(&mut answers, BUDGET.burst as usize);
        answers.iter_mut().skip(before).map(Frame::as_mut_slice).for_each(turn_around);
        far.port.tx_burst(&mut answers);
        far.port.refill();
        assert!(far.port.ledger().is_balanced());
        assert_eq!(far.port.ledger().in_hand as usize, answers.len());

        near.port.rx_burst(&mut received, BUDGET.burst as usize);
        for frame in received.drain(..) {
            assert_eq!((number_of(frame.as_slice()), frame.len()), (Some(back), length(back)));
            back += 1;
            near.port.recycle(frame);
        }
        near.port.refill();
        assert!(near.port.ledger().is_balanced());
        back == PACKETS
    });
    for port in [&near.port, &far.port] {
        let statistics = port.statistics();
        assert_eq!((statistics.bad_descriptors, statistics.rx_split, statistics.tx_invalid_descriptors), (0, 0, 0));
    }
}

fn longer_answer() {
    let mut ends = Ends::open(|config| config);
    ends.near.send_one(&ends.far.device, 1);
    let asked = ends.far.receive_one();
    // A frame's bytes less the 256 in front of the data.
    assert!(matches!((asked.len(), asked.capacity()), (60, 1792 | 3840)), "{asked:?}");
    ends.far.port.recycle(asked);
    let answer = ends.far.packet(&ends.near.device, 1514, 2);
    assert_eq!(ends.far.port.tx_burst(&mut VecDeque::from([answer])), 1);
    let answer = ends.near.receive_one();
    assert_eq!((answer.len(), number_of(answer.as_slice())), (1514, Some(2)));
    ends.near.port.recycle(answer);
}

fn trimmed() {
    let mut ends = Ends::open(|config| config);
    let Ends { near, far, .. } = &mut ends;
    let mut frame = near.packet(&far.device, 100, 3);
    frame.buffer_mut().copy_within(..100, 11);
    frame.set_len(111);
    frame.trim_front(11);
    assert_eq!(near.port.tx_burst(&mut VecDeque::from([frame])), 1);
    let got = far.receive_one();
    assert_eq!((got.len(), number_of(got.as_slice())), (100, Some(3)));
    far.port.recycle(got);
}

fn whole_burst() {
    const BURST: u64 = 200;
    let mut ends = Ends::open(|config| config);
    let Ends { near, far, .. } = &mut ends;
    let mut frames: VecDeque<_> = (0..BURST).map(|number| near.packet(&far.device, 60, number)).collect();
    assert_eq!(near.port.tx_burst(&mut frames), BURST as usize);
    for number in 0..BURST {
        let frame = far.receive_one();
        assert_eq!(number_of(frame.as_slice()), Some(number));
        far.port.recycle(frame);
    }
}

fn full_tx_ring() {
    const MORE: u64 = 600;
    const _: () = assert!(MORE > 2 * BUDGET.tx_ring as u64);
    let mut ends = Ends::open(|config| config);
    let Ends { near, far, .. } = &mut ends;
    // With the link down the kernel takes nothing out of the ring.
    near.device.link_down();
    let mut frames: VecDeque<_> = (0..MORE).map(|number| near.packet(&far.device, 60, number)).collect();
    assert_eq!(near.port.tx_burst(&mut frames), BUDGET.tx_ring as usize);
    assert_eq!(near.port.tx_burst(&mut frames), 0);
    assert_eq!(near.port.ledger().sending, BUDGET.tx_ring);
    assert_eq!(near.port.ledger().in_hand as usize, frames.len());
    assert!(near.port.ledger().is_balanced());

    near.device.link_up();
    let (mut received, mut seen, mut next, mut last) = (VecDeque::new(), HashSet::new(), 0, MORE);
    until("all of them have crossed", || {
        near.port.tx_burst(&mut frames);
        near.port.reclaim();
        far.port.rx_burst(&mut received, BUDGET.burst as usize);
        for frame in received.drain(..) {
            let number = number_of(frame.as_slice()).expect("intact");
            // A hub of QEMU's hands a frame over before one that has waited for the receiver to have room.
            assert!(number >= next || wire::is_real(), "{number} when {next} was due; veth may only lose some");
            assert!(seen.insert(number), "{number} twice");
            next = next.max(number + 1);
            far.port.recycle(frame);
        }
        far.port.refill();
        // One more, which finds every ring empty and so gets through.
        if frames.is_empty() && near.port.ledger().sending == 0 {
            frames.push_back(near.packet(&far.device, 60, last));
            last += 1;
        }
        next > MORE
    });
    assert!(near.port.ledger().is_balanced() && far.port.ledger().is_balanced());
}

fn starvation() {
    const SENT: u64 = 400;
    const _: () = assert!(SENT > (BUDGET.fill_ring + 64) as u64);
    let mut ends = Ends::open(|config| config);
    let mut frames = VecDeque::new();
    for number in 0..SENT {
        frames.push_back(ends.near.packet(&ends.far.device, 60, number));
        ends.near.port.tx_burst(&mut frames);
        // A virtual wire may hold it back while the receiver has no frame.
        until("it was sent", || {
            ends.near.port.reclaim() == 1
                || ends.near.port.ledger().sending == 0
                || ends.far.port.ledger().receiving == 0
        });
        // Taken out of the rx ring, but never given back to the fill ring.
        ends.far.port.rx_burst(&mut frames, usize::MAX);
        frames.drain(..).for_each(|frame| ends.far.port.recycle(frame));
    }
    // In zero-copy mode a device that has no frame drops packets unseen, and the kernel counts its own tries instead.
    let losses = match wire::best_mode() {
        Mode::ZeroCopy => 1,
        Mode::Copy | Mode::Memory => SENT - u64::from(BUDGET.fill_ring),
    };
    until("every frame of the fill ring was used, and the losses are counted", || {
        ends.far.port.rx_burst(&mut frames, usize::MAX);
        frames.drain(..).for_each(|frame| ends.far.port.recycle(frame));
        ends.far.port.statistics().fill_ring_empty >= losses && ends.far.port.ledger().receiving == 0
    });
    assert!(ends.far.port.ledger().is_balanced());
    assert_eq!(ends.far.port.refill(), BUDGET.fill_ring as usize);
    ends.near.send_one(&ends.far.device, SENT);
    until("one more comes through", || {
        let frame = ends.far.receive_one();
        let number = number_of(frame.as_slice());
        ends.far.port.recycle(frame);
        number == Some(SENT)
    });
}

fn wait() {
    let mut ends = Ends::open(|config| config);
    let (wake, waker) = std::os::unix::net::UnixStream::pair().expect("socket pair");
    ends.near.send_one(&ends.far.device, 5);
    ends.far.port.wait(None, None);
    let got = ends.far.receive_one();
    ends.far.port.recycle(got);
    drop(waker);
    ends.far.port.wait(Some(wake.as_fd()), None);
    assert!(ends.far.port.ledger().is_balanced());
}

/// None of these waits has a limit of its own: one that slept until a packet came would never end.
fn unannounced() {
    let mut ends = Ends::open(|config| config);
    let Ends { near, far, .. } = &mut ends;
    let lent: Vec<_> = std::iter::from_fn(|| near.port.alloc()).map(Frame::lend).collect();
    near.port.wait(None, None);
    drop(lent);
    assert!(near.port.reclaim() > 0);

    near.device.link_down();
    let mut frames = VecDeque::from([near.packet(&far.device, 60, 1)]);
    near.port.tx_burst(&mut frames);
    near.port.wait(None, None);
    assert!(near.port.ledger().is_balanced());
}
