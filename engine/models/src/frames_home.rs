//! Frames that come home from threads that read them: `nic/src/frame_return.rs`.

use crate::explore;
use crate::frame_return::{FrameReturn, Layout};
use crate::sync::atomic::{AtomicU32, Ordering};
use loom::thread::{self, JoinHandle};
use std::ptr::{NonNull, without_provenance_mut};
use std::sync::Arc;

const FRAMES: u32 = 3;
const LAYOUT: Layout = Layout { base: 1 << 12, total: FRAMES, shift: 4 };

/// A chunk by its number. Nobody looks into it.
fn chunk(number: u32) -> NonNull<u8> {
    let address = LAYOUT.base + ((number as usize) << LAYOUT.shift);
    NonNull::new(without_provenance_mut(address)).expect("no pool begins at zero")
}

/// Starts a reader of these frames, which sends each home.
fn reader(home: &Arc<FrameReturn>, frames: &'static [u32]) -> JoinHandle<()> {
    let home = Arc::clone(home);
    thread::spawn(move || frames.iter().for_each(|&frame| assert!(!home.send_home(chunk(frame)), "there is a pool")))
}

/// Two readers send frames home while the owner takes in what has come and lends it again: each frame comes home as often as
/// it was lent, also when a number is at the top of the stack again that was there before.
pub fn frames_come_home_once() {
    explore(|| {
        let home = Arc::new(FrameReturn::new(LAYOUT));
        (0..FRAMES).for_each(|_| home.note_lent());
        let readers = [reader(&home, &[0]), reader(&home, &[1, 2])];
        let owner = {
            let home = Arc::clone(&home);
            thread::spawn(move || {
                let mut again = Vec::new();
                home.take_home(|frame| again.push(frame));
                for &frame in &again {
                    home.note_lent();
                    assert!(!home.send_home(chunk(frame)));
                }
                again
            })
        };
        readers.into_iter().for_each(|reader| reader.join().expect("no reader panics"));
        let mut came = owner.join().expect("the owner does not panic");
        let mut lent: Vec<_> = came.iter().copied().chain(0..FRAMES).collect();
        home.take_home(|frame| came.push(frame));
        came.sort_unstable();
        lent.sort_unstable();
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
                let is_last = if frame == 2 { home.note_leaked() } else { home.send_home(chunk(frame)) };
                assert!(!is_last, "there is a pool");
            })
        };
        let readers = [reader(0), reader(1), reader(2)];
        let owner = thread::spawn(move || {
            home.take_home(|frame| {
                assert_eq!(read[frame as usize].load(Ordering::Relaxed), 1, "{frame} is still read")
            });
            if home.leaked() == 1 {
                assert_eq!(read[2].load(Ordering::Relaxed), 1, "the lost one is still read");
            }
        });
        readers.into_iter().chain([owner]).for_each(|thread| thread.join().expect("nobody panics"));
    });
}

/// A pool goes while frames are out. The last of them all, frame or pool, is one and knows it, and all that the others did lies
/// before.
pub fn the_last_to_go_is_one() {
    explore(|| {
        let home = Arc::new(FrameReturn::new(LAYOUT));
        let done = Arc::new([AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)]);
        (0..FRAMES - 1).for_each(|_| home.note_lent());
        let goes = |place: usize, go: fn(&FrameReturn) -> bool| {
            let (home, done) = (Arc::clone(&home), Arc::clone(&done));
            thread::spawn(move || {
                done[place].store(1, Ordering::Relaxed);
                let is_last = go(&home);
                if is_last {
                    let all = done.iter().all(|done| done.load(Ordering::Relaxed) == 1);
                    assert!(all, "somebody is still there");
                }
                is_last
            })
        };
        let frames = [goes(0, |home| home.send_home(chunk(0))), goes(1, FrameReturn::note_leaked)];
        let threads = frames.into_iter().chain([goes(2, |home| home.close(FRAMES - 1))]);
        let last: Vec<_> = threads.map(|thread| thread.join().expect("nobody panics")).collect();
        assert_eq!(last.iter().filter(|last| **last).count(), 1, "{last:?}");
    });
}
