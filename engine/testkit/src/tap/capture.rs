//! The last frames that an end sent and received.

use crate::pcap;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Bytes that are kept; what is older goes.
const ROOM: usize = 32 << 20;

/// Frames with their times, in the order in which they crossed the end.
#[derive(Debug, Default)]
pub(super) struct Capture {
    frames: VecDeque<(Duration, Vec<u8>)>,
    bytes: usize,
}

impl Capture {
    /// Keeps a copy of a frame.
    pub(super) fn keep(&mut self, at: Duration, frame: &[u8]) {
        self.frames.push_back((at, frame.to_vec()));
        self.bytes += frame.len();
        while self.bytes > ROOM {
            let Some((_, oldest)) = self.frames.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// Writes them to a new file.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        pcap::write(path, self.frames.iter().map(|(at, frame)| (*at, frame.as_slice())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frames_are_kept() {
        let mut capture = Capture::default();
        for byte in 0..3 {
            capture.keep(Duration::ZERO, &vec![byte; ROOM / 2]);
        }
        let kept: Vec<_> = capture.frames.iter().map(|(_, frame)| frame[0]).collect();
        assert_eq!(kept, [1, 2]);
        assert_eq!(capture.bytes, ROOM);
    }
}
