//! What a process has reserved, on record for whoever comes after it: a killed process gives nothing back.
//!
//! A record is a file that is locked for as long as its owner lives; the kernel lets go of the lock however that ends. So a record
//! that can be locked is of a process that is gone.

use super::namespace;
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the records of all network namespaces are.
pub(super) const FOLDER: &str = "/run/synward/source-ports";

/// A record of this process; it goes with this value.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Record {
    /// Puts ports on record in `folder`, for the network namespace of the calling thread; `list` is how the kernel writes them.
    pub(super) fn write(folder: &Path, list: &str) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(folder)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}-{number}", prefix()?, std::process::id());
        let path = folder.join(&name);
        // Nobody looks at this name, so that it is locked by its owner before anybody could take it over. A killed process may
        // have had the same number.
        let unnamed = folder.join(format!(".{name}"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&unnamed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(list.as_bytes())?;
        fs::rename(&unnamed, &path)?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes over what processes that are gone had reserved in the network namespace of the calling thread: their lists. There are
/// none where there is no folder.
pub(super) fn take_over(folder: &Path) -> io::Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let prefix = prefix()?;
    let mut lists = BTreeSet::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix));
        // One that is gone meanwhile was taken over by another process, or given back by its owner.
        let Some(mut file) = ours.then(|| File::open(&path).ok()).flatten() else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let mut list = String::new();
        file.read_to_string(&mut list)?;
        fs::remove_file(&path)?;
        lists.insert(list);
    }
    Ok(lists.into_iter().collect())
}

/// How the names of records begin in this namespace.
fn prefix() -> io::Result<String> {
    Ok(format!("{}-", namespace::cookie()?))
}

#[cfg(test)]
mod tests {
    use super::{Record, namespace, take_over};
    use std::fs;
    use std::path::PathBuf;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("synward-record-{}-{name}", std::process::id())))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_record_is_taken_over_once_its_owner_is_gone_and_only_once() {
        let folder = Folder::new("owner");
        let record = Record::write(&folder.0, "40000-40007\n").expect("a record");
        assert!(take_over(&folder.0).expect("a folder").is_empty(), "its owner lives");
        // As a kill leaves it: the file, without the lock.
        let copy = folder.0.join(format!("{}1-0", super::prefix().expect("a namespace")));
        fs::write(&copy, "50000\n").expect("a file");
        assert_eq!(take_over(&folder.0).expect("a folder"), ["50000\n"]);
        assert!(!copy.exists() && take_over(&folder.0).expect("a folder").is_empty());
        drop(record);
        assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 0);
    }

    #[test]
    fn records_of_other_namespaces_are_left_alone() {
        let folder = Folder::new("others");
        fs::create_dir_all(&folder.0).expect("a folder");
        let other = folder.0.join(format!("{}-2-0", namespace::cookie().expect("a cookie") + 1));
        fs::write(&other, "40000\n").expect("a file");
        assert!(take_over(&folder.0).expect("a folder").is_empty());
        assert!(other.exists());
        assert!(take_over(&folder.0.join("missing")).expect("none").is_empty());
    }
}
