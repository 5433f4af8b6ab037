//! Acknowledgments made to be expensive: CVE-2019-11477, -11478 and -5599. How many records one of them touches is counted in
//! the scoreboard's own tests; here the whole engine is looked at from outside: its heap, its allocations, what it sends.

use crate::bed::{Bed, Peer, config};
use std::time::Duration;
use synward_engine::{EngineConfig, SocketId};
use synward_proto::connection::CongestionAlgorithm;
use synward_proto::{Counter, Flags};
use synward_testkit::heap;
use synward_testkit::wire::WireOption;

/// As many bytes as the send buffer takes, all that the window lets out sent.
fn fill(bed: &mut Bed, peer: &Peer, socket: SocketId) -> u32 {
    let mut written = 0;
    loop {
        let more = bed.write(socket, &vec![9; 64 * 1024]);
        if more == 0 {
            return written;
        }
        written += more as u32;
        bed.send(&peer.acks());
    }
}

/// What one acknowledgment cost.
#[derive(Clone, Copy, Default, Debug)]
struct Cost {
    allocations: u64,
    frames: usize,
}

/// So many acknowledgments of nothing with these blocks, relative to what is in flight; what each of the first and of the last
/// thousand cost at most, and how much the heap has grown between.
fn bombard(
    bed: &mut Bed,
    peer: &Peer,
    count: usize,
    mut blocks: impl FnMut(usize) -> Vec<(u32, u32)>,
) -> (Cost, Cost, isize) {
    let (mut first, mut last) = (Cost::default(), Cost::default());
    let mut before = 0;
    for number in 0..count {
        let blocks = blocks(number).into_iter();
        let blocks = blocks.map(|(start, end)| (peer.ack.wrapping_add(start), peer.ack.wrapping_add(end))).collect();
        let mut ack = peer.acks();
        ack.options.push(WireOption::SackBlocks(blocks));
        let frame = bed.prepare(&ack);
        let calls = heap::calls();
        bed.deliver(&frame);
        let allocations = heap::calls() - calls;
        let frames = bed.frames().len();
        let of = if number < 1_000 { &mut first } else { &mut last };
        of.allocations = of.allocations.max(allocations);
        of.frames = of.frames.max(frames);
        bed.now += Duration::from_micros(100);
        if number == 1_000 {
            before = heap::live();
        }
    }
    (first, last, heap::live() - before)
}

/// A small generator: the same seed, the same blocks.
fn xorshift(state: &mut u64, bound: u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % u64::from(bound)) as u32
}

/// The least segments there are, a full send queue, blocks of every eight bytes: where Linux's count of fragments overflowed.
#[test]
fn the_least_segments_and_the_smallest_blocks_cost_little() {
    let mut bed = Bed::new(config());
    let mss48 = [WireOption::Mss(48), WireOption::SackPermitted, WireOption::WindowScale(14)];
    let (mut peer, socket) = bed.open(0, &mss48);
    peer.window = 1_000;
    let queued = fill(&mut bed, &peer, socket);
    assert!(queued <= 16 * 1024 + 64, "a small send buffer for small segments: {queued}");
    let mut state = 0x5ac6;
    let (first, last, grown) = bombard(&mut bed, &peer, 20_000, |_| {
        let mut block = || {
            let start = 8 * xorshift(&mut state, queued / 8 - 1);
            (start, start + 8)
        };
        vec![block(), block(), block(), block()]
    });
    assert!(last.allocations <= first.allocations + 4 && last.allocations <= 64, "{first:?}, then {last:?}");
    assert!(last.frames <= 16, "{last:?}");
    assert!(grown < 16 * 1024, "{grown} bytes more");
    peer.ack = peer.ack.wrapping_add(queued);
    bed.pass(Duration::from_secs(1));
    bed.send(&peer.says(Flags::RST, b""));
    bed.end();
}

/// Thousands of segments in flight, and ten thousand acknowledgments a second that report every other one of them, in an order
/// that makes the list as long as it gets.
#[test]
fn a_flight_full_of_holes_costs_no_more_at_its_end_than_at_its_begin() {
    // HyStart would end slow start early: the time that this peer takes is not steady.
    let mut bed = Bed::new(EngineConfig { congestion: CongestionAlgorithm::NewReno, send_buffer: 4 << 20, ..config() });
    let options = [WireOption::Mss(536), WireOption::SackPermitted, WireOption::WindowScale(14)];
    let (mut peer, socket) = bed.open(0, &options);
    peer.window = 2_000;
    // Slow start until thousands of segments are out at once.
    let mut flight = 0;
    for _ in 0..14 {
        bed.write(socket, &vec![9; 4 << 20]);
        let sent: u32 = bed.send(&peer.acks()).iter().map(|segment| segment.payload.len() as u32).sum();
        let sent =
            sent + bed.pass(Duration::from_millis(20)).iter().map(|segment| segment.payload.len() as u32).sum::<u32>();
        flight = sent;
        if flight > 2_000 * 536 {
            break;
        }
        peer.ack = peer.ack.wrapping_add(sent);
    }
    let segments = flight / 536;
    assert!(segments >= 1_000, "{segments} segments in flight");
    let (first, last, grown) = bombard(&mut bed, &peer, 10_000, |number| {
        let at = |step: usize| (2 * ((number * 3 + step) as u32 * 7 % (segments / 2)) + 1) * 536;
        (0..3).map(|step| (at(step), at(step) + 536)).collect()
    });
    assert!(last.allocations <= first.allocations + 4, "{first:?}, then {last:?}");
    assert!(last.frames <= 32 && grown < 512 * 1024, "{last:?}, {grown} bytes more");
    assert!(bed.count(Counter::TCPSackRecovery) >= 1, "they are believed to be losses");
    bed.send(&peer.says(Flags::RST, b""));
    bed.end();
}
