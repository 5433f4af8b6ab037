//! What crossed a wire.

use super::capture::Capture;
use super::inspector::Inspector;
use std::fmt;
use std::io;
use std::path::Path;

/// What became of a wire.
#[derive(Debug)]
pub struct WireReport {
    /// Where its accidents came from.
    pub seed: u64,
    /// One end.
    pub near: EndReport,
    /// The other.
    pub far: EndReport,
}

impl WireReport {
    /// Whether both ends sent nothing that is wrong; else what was.
    ///
    /// # Errors
    /// The first few frames that were wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        for (name, end) in [("near", &self.near), ("far", &self.far)] {
            if end.wrong > 0 {
                let told = end.violations.join("\n  ");
                return Err(format!("{} frames of {name} were wrong:\n  {told}", end.wrong));
            }
        }
        Ok(())
    }
}

impl fmt::Display for WireReport {
    /// The seed, and what either end sent and received.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}; near {}; far {}", self.seed, self.near, self.far)
    }
}

/// What one end sent and received.
#[derive(Debug)]
pub struct EndReport {
    /// Frames that it sent.
    pub sent: u64,
    /// Frames that reached it, those that were put in among them, by queue.
    pub received: Vec<u64>,
    /// Of these, those with a wrong length or checksum.
    pub spoiled: u64,
    /// Frames for it that its device refused, because it was down or gone.
    pub refused: u64,
    /// Frames of its own that were wrong.
    pub wrong: u64,
    /// The first of these in words.
    pub violations: Vec<String>,
    capture: Capture,
}

impl EndReport {
    pub(super) fn new(sent: u64, received: Vec<u64>, refused: u64, inspector: Inspector, capture: Capture) -> Self {
        let Inspector { violations, wrong, spoiled, .. } = inspector;
        Self { sent, received, spoiled, refused, wrong, violations, capture }
    }

    /// Writes the last frames that it sent and received as a pcap file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        self.capture.save(path)
    }
}

impl fmt::Display for EndReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, received, spoiled, refused, .. } = self;
        write!(f, "sent {sent}, received {received:?} by queue, {spoiled} of them spoiled, refused {refused}")
    }
}
