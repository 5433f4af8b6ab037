//! The classic pcap format: enough of it for Wireshark and tcpdump.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Nanosecond timestamps, so that virtual time survives exactly.
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const SNAPSHOT_LENGTH: u32 = 65_535;
const LINKTYPE_ETHERNET: u32 = 1;

/// Writes `frames`, each with its time since the start, to a new file.
///
/// # Errors
/// When the file cannot be written.
pub fn write<'a>(path: &Path, frames: impl IntoIterator<Item = (Duration, &'a [u8])>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut out = io::BufWriter::new(std::fs::File::create(path)?);
    out.write_all(&encode(frames))?;
    out.flush()
}

fn encode<'a>(frames: impl IntoIterator<Item = (Duration, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    let word = |out: &mut Vec<u8>, value: u32| out.extend_from_slice(&value.to_le_bytes());
    word(&mut out, MAGIC_NANOSECONDS);
    word(&mut out, 2 | 4 << 16); // version 2.4
    word(&mut out, 0); // time zone
    word(&mut out, 0); // accuracy
    word(&mut out, SNAPSHOT_LENGTH);
    word(&mut out, LINKTYPE_ETHERNET);
    for (at, frame) in frames {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX).min(SNAPSHOT_LENGTH);
        word(&mut out, u32::try_from(at.as_secs()).unwrap_or(u32::MAX));
        word(&mut out, at.subsec_nanos());
        word(&mut out, length);
        word(&mut out, length);
        out.extend_from_slice(&frame[..length as usize]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::encode;
    use std::time::Duration;

    #[test]
    fn the_layout_is_that_of_the_format() {
        let bytes = encode([(Duration::from_millis(1500), [0xaa, 0xbb].as_slice())]);
        let header = [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
        assert_eq!(bytes[..24], header);
        assert_eq!(bytes[24..], [1, 0, 0, 0, 0, 0x65, 0xcd, 0x1d, 2, 0, 0, 0, 2, 0, 0, 0, 0xaa, 0xbb]);
    }
}
