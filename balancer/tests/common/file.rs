//! Files of bytes to send.

use crate::bytes::PatternReader;
use anyhow::Result;

/// A file that goes with this value.
pub struct File(pub std::path::PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file of so many bytes of the pattern.
pub fn tempfile(bytes: u64) -> Result<File> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let file = File(std::env::temp_dir().join(format!("synward-upload-{}-{number}", std::process::id())));
    std::io::copy(&mut PatternReader::new(bytes), &mut std::fs::File::create(&file.0)?)?;
    Ok(file)
}
