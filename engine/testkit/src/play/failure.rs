//! A failure, as it is shown.

use crate::pcap;
use crate::script::TargetKind;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first line that did not happen as written.
#[derive(Debug)]
pub struct Failure {
    /// Who was talked to.
    pub target: TargetKind,
    /// The script.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The line as written.
    pub text: String,
    /// What was wanted.
    pub wanted: String,
    /// What came instead.
    pub came: String,
    /// Everything that happened before.
    pub conversation: Vec<String>,
    pub(super) frames: Vec<(Duration, Vec<u8>)>,
    pcap: Option<PathBuf>,
}

impl Failure {
    pub(super) fn new(target: TargetKind, path: PathBuf, line: usize, text: String) -> Self {
        Self {
            target,
            path,
            line,
            text,
            wanted: String::new(),
            came: String::new(),
            conversation: Vec::new(),
            frames: Vec::new(),
            pcap: None,
        }
    }

    /// Writes all frames of the conversation to `path`, which the message then names.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&mut self, path: &Path) -> io::Result<()> {
        pcap::write(path, self.frames.iter().map(|(at, frame)| (*at, frame.as_slice())))?;
        self.pcap = Some(path.to_owned());
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, path, line, text, wanted, came, conversation, frames: _, pcap } = self;
        writeln!(f, "{target}: {}:{line}", path.display())?;
        writeln!(f, "  line    {text}")?;
        writeln!(f, "  wanted  {}", wanted.replace('\n', "\n          "))?;
        writeln!(f, "  came    {}", came.replace('\n', "\n          "))?;
        writeln!(f, "  so far")?;
        conversation.iter().try_for_each(|entry| writeln!(f, "    {entry}"))?;
        match pcap {
            Some(pcap) => write!(f, "  pcap    {}", pcap.display()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// A time as a transcript shows it: `1.250000s`.
pub(super) fn clock(at: Duration) -> String {
    format!("{}.{:06}s", at.as_secs(), at.subsec_micros())
}
