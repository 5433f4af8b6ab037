//! Bytes that both ends of a transfer can make, and their hash.

use anyhow::Result;
use sha2::{Digest, Sha256};
use std::io::Read;
use synward::app::Pattern;

/// The first `left` bytes of the pattern.
pub struct PatternReader {
    pattern: Pattern,
    left: u64,
}

impl PatternReader {
    pub fn new(left: u64) -> Self {
        Self { pattern: Pattern::default(), left }
    }
}

impl Read for PatternReader {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let len = room.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.pattern.fill(&mut room[..len]);
        self.left -= len as u64;
        Ok(len)
    }
}

/// Length and SHA-256 of all that comes.
pub fn hash_of(mut source: impl Read) -> Result<(u64, String)> {
    let (mut hash, mut room, mut count) = (Sha256::new(), vec![0; 256 * 1024], 0);
    loop {
        let len = source.read(&mut room)?;
        if len == 0 {
            let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok((count, digest));
        }
        hash.update(&room[..len]);
        count += len as u64;
    }
}
