//! The state files under `/run/synward/lab`: one for each test bed, written before anything is built and removed last, so
//! that whatever a killed owner left behind can be found by its names.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::plan::Plan;
use crate::process::Owner;

const DIRECTORY: &str = "/run/synward/lab";
const SUFFIX: &str = ".json";
/// Everybody may read what is up; only the owner's user changes it.
const STATE_FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// A test bed as its state file describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The id, which is part of the name of every namespace.
    pub id: String,
    /// Whether it stays when its owner ends.
    pub persistent: bool,
    /// The process that built it.
    pub owner: Owner,
    /// What it consists of.
    pub plan: Plan,
}

impl Record {
    /// A new test bed of this process, under an id that nobody uses, entered on disk. It is not persistent yet.
    pub(crate) fn enter(plan: Plan) -> Result<Self, LabError> {
        let owner = Owner::this_process();
        let mut record = Self { id: String::new(), persistent: false, owner, plan };
        loop {
            record.id = format!("{}-{:04x}", record.owner.pid, random_u16().map_err(|source| record.failed(source))?);
            match record.write_as(&path_of(&record.id)) {
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
                outcome => return outcome.map(|()| record.clone()).map_err(|source| record.failed(source)),
            }
        }
    }

    fn failed(&self, source: io::Error) -> LabError {
        LabError::system(format!("write the state file of lab {} in {DIRECTORY}", self.id), source)
    }

    /// Makes the test bed persistent, on disk too. For when it is built: half of one is of no use to anybody, and is swept.
    pub(crate) fn persist(&mut self) -> Result<(), LabError> {
        self.persistent = true;
        let aside = aside_of(&self.id);
        self.write_as(&aside).and_then(|()| fs::rename(&aside, path_of(&self.id))).map_err(|source| self.failed(source))
    }

    /// Writes the whole file before it gets its name, unless that is taken: a state file is never partial.
    fn write_as(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(DIRECTORY)?;
        let nameless =
            rustix::fs::open(DIRECTORY, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, STATE_FILE_MODE)?;
        let mut file = File::from(nameless);
        serde_json::to_writer_pretty(&mut file, self)?;
        file.flush()?;
        let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::linkat(CWD, descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
        Ok(())
    }

    /// The name of the namespace of a node.
    #[must_use]
    pub fn namespace_of(&self, node: &str) -> String {
        format!("synward-{}-{node}", self.id)
    }

    /// The names of all its namespaces.
    pub fn namespaces(&self) -> impl Iterator<Item = String> {
        self.plan.nodes().map(|node| self.namespace_of(node))
    }

    /// Whether nobody will ever remove it: its owner is dead, and either it was not meant to stay or the machine was
    /// booted since.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        !self.owner.is_alive() && (!self.persistent || self.owner.is_of_earlier_boot())
    }
}

/// Every test bed on record, in order of id. A file that is not a record is left alone and out.
///
/// # Errors
/// The directory cannot be read.
pub fn list() -> Result<Vec<Record>, LabError> {
    let entries = match fs::read_dir(DIRECTORY) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        outcome => outcome.map_err(|source| LabError::system(format!("read {DIRECTORY}"), source))?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut records: Vec<Record> = names.filter_map(|name| read(name.strip_suffix(SUFFIX)?)).collect();
    records.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(records)
}

/// The test bed of this id, if it is on record.
pub(crate) fn read(id: &str) -> Option<Record> {
    let record: Record = serde_json::from_slice(&fs::read(path_of(id)).ok()?).ok()?;
    (record.id == id).then_some(record)
}

/// Strikes a test bed from the record.
pub(crate) fn remove(id: &str) -> Result<(), LabError> {
    for path in [aside_of(id), path_of(id)] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(LabError::system(format!("remove {}", path.display()), source));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Held while stale test beds are removed, so that two processes that start at once do not remove the same one twice.
pub(crate) fn lock() -> Result<File, LabError> {
    let locked = || {
        fs::create_dir_all(DIRECTORY)?;
        let file = File::create(Path::new(DIRECTORY).join(".lock"))?;
        file.lock()?;
        Ok(file)
    };
    locked().map_err(|source: io::Error| LabError::system(format!("lock {DIRECTORY}"), source))
}

fn path_of(id: &str) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{id}{SUFFIX}"))
}

/// Where a state file is while it is about to replace the one of the same id.
fn aside_of(id: &str) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{id}.new"))
}

fn random_u16() -> io::Result<u16> {
    let mut bytes = [0; 2];
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes)?;
    Ok(u16::from_ne_bytes(bytes))
}
