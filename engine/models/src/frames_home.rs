//! Frames that come home from threads that read them: `nic/src/frame_return.rs`.

use crate::explore;
use crate::frame_return::{FrameReturn, Layout};
use crate::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use std::ptr::{NonNull, without_provenance_mut};
use std::sync::Arc;

const FRAMES: u32 = 3;
const LAYOUT: Layout = Layout { base: 1 << 12, total: FRAMES, shift: 4 };

/// A chunk by its number. Nobody looks into it.
fn chunk(number: u32) -> NonNull<u8> {
    let address = LAYOUT.base + ((number as usize) << LAYOUT.shift);
    NonNull::new(without_provenance_mut(address)).expect("no pool begins at zero")
}

/// Two readers send frames home while the owner takes in what has come and lends it again: each frame comes home as often as
/// it was lent, also when a number is at the top of the stack again that was there before.
pub fn frames_come_home_once() {
    explore(|| {
        let home = Arc::new(FrameReturn::new(LAYOUT));
        (0..FRAMES).for_each(|_| home.note_lent());
        let readers: Vec<_> = [vec![0], vec![1, 2]]
            .into_iter()
            .map(|frames| {
                let home = Arc::clone(&home);
                thread::spawn(move || frames.into_iter().for_each(|frame| home.send_home(chunk(frame))))
            })
            .collect();
        let mut lent = [1; FRAMES as usize];
        let mut came = [0; FRAMES as usize];
        let mut again = Vec::new();
        home.take_home(|frame| again.push(frame));
        for &frame in &again {
            came[frame as usize] += 1;
            lent[frame as usize] += 1;
            home.note_lent();
            home.send_home(chunk(frame));
        }
        readers.into_iter().for_each(|reader| reader.join().expect("no reader panics"));
        home.take_home(|frame| came[frame as usize] += 1);
        assert_eq!((came, home.lent()), (lent, 0));
    });
}

/// What a reader did with a frame lies before what its owner does with it, once it has come home or is known to be lost.
pub fn a_frame_is_left_by_its_reader_before_it_is_used_again() {
    explore(|| {
        let home = Arc::new(FrameReturn::new(LAYOUT));
        let read = Arc::new([AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)]);
        (0..FRAMES).for_each(|_| home.note_lent());
        let reader = |frame: u32| {
            let (home, read) = (Arc::clone(&home), Arc::clone(&read));
            thread::spawn(move || {
                read[frame as usize].store(1, Ordering::Relaxed);
                if frame == 2 { home.note_leaked() } else { home.send_home(chunk(frame)) }
            })
        };
        let readers = [reader(0), reader(1), reader(2)];
        home.take_home(|frame| assert_eq!(read[frame as usize].load(Ordering::Relaxed), 1, "{frame} is still read"));
        if home.leaked() == 1 {
            assert_eq!(read[2].load(Ordering::Relaxed), 1, "the lost one is still read");
        }
        readers.into_iter().for_each(|reader| reader.join().expect("no reader panics"));
    });
}
