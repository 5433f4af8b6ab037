//! What a web server of the lab serves.

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The folder of a web server, and its content:
///
/// | request | answer |
/// | --- | --- |
/// | `GET /` | the name of the host and a line feed |
/// | `GET /bytes/N` | N bytes, once [`offer`](Self::offer)ed |
/// | `PUT /uploads/NAME` | 201, and the body is kept for [`digest_of_upload`](Self::digest_of_upload) |
///
/// Removed when dropped.
#[derive(Debug)]
pub struct Site {
    name: String,
    root: PathBuf,
}

/// Bytes that are copied at once.
const CHUNK: usize = 64 * 1024;

impl Site {
    /// Makes the folder under `folder`.
    pub(super) fn new(name: &str, folder: &Path) -> Result<Self> {
        let root = folder.join("site");
        for part in [Self::BYTES, Self::UPLOADS] {
            let path = root.join(part);
            fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        }
        Ok(Self { name: name.to_owned(), root })
    }

    pub(super) const BYTES: &str = "bytes";
    pub(super) const UPLOADS: &str = "uploads";

    /// What `GET /` answers.
    pub fn greeting(&self) -> String {
        format!("{}\n", self.name)
    }

    /// The folder that the paths of requests are in.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Puts so many random bytes at `/bytes/N`, and returns their SHA-256 in hex.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn offer(&self, bytes: u64) -> Result<String> {
        let path = self.root.join(Self::BYTES).join(bytes.to_string());
        let write = || {
            let mut file = File::create(&path)?;
            digest(File::open("/dev/urandom")?.take(bytes), |chunk| file.write_all(chunk))
        };
        write().with_context(|| format!("writing {}", path.display()))
    }

    /// The SHA-256, in hex, of what was last uploaded under this name.
    ///
    /// # Errors
    /// When nothing was.
    pub fn digest_of_upload(&self, name: &str) -> Result<String> {
        ensure!(is_plain(name), "{name:?} is no name of an upload");
        let path = self.root.join(Self::UPLOADS).join(name);
        let read = || digest(File::open(&path)?, |_| Ok(()));
        read().with_context(|| format!("reading {}", path.display()))
    }
}

/// Whether it names a file and no other place: letters, digits, `-` and `_`.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Reads to the end, shows every piece to `each`, and returns the SHA-256 in hex.
fn digest(mut from: impl Read, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let len = from.read(&mut chunk)?;
        if len == 0 {
            return Ok(format!("{:x}", hash.finalize()));
        }
        hash.update(&chunk[..len]);
        each(&chunk[..len])?;
    }
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn a_name_leads_nowhere_else() {
        assert!(["1024", "a-b_C"].into_iter().all(is_plain));
        assert!(!["", ".", "..", "../x", "a/b", "a\0", "%2e%2e"].into_iter().any(is_plain));
    }
}
