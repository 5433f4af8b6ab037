//! Network namespaces by name, as `ip netns` keeps them: a file in `/run/netns` with the namespace mounted on it.
//!
//! Unsafe code here defends one invariant: a namespace is only ever changed for a thread that this module started for the
//! purpose, or for a child between fork and exec; no thread of the caller finds itself somewhere else.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustix::fs::FlockOperation;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::LabError;

/// Where `ip netns` looks.
const DIRECTORY: &str = "/run/netns";

/// A named network namespace, kept open: the descriptor reaches it even after the name is gone.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    name: Arc<str>,
    file: Arc<OwnedFd>,
}

/// What tells one namespace from all others while it exists: device and inode of its file.
pub(crate) type Identity = (u64, u64);

impl Namespace {
    /// Creates a namespace and binds it to its name.
    pub(crate) fn create(name: &str) -> Result<Self, LabError> {
        let failed = |source: io::Error| LabError::system(format!("create network namespace {name}"), source);
        prepare_directory().map_err(failed)?;
        let path = path_of(name);
        OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
        on_fresh_thread(|| {
            unshare(UnshareFlags::NEWNET)?;
            rustix::mount::mount_bind("/proc/thread-self/ns/net", &path)
        })
        .map_err(|source| failed(source.into()))?;
        Self::open(name)
    }

    /// Opens a namespace by name.
    pub(crate) fn open(name: &str) -> Result<Self, LabError> {
        let file = File::open(path_of(name))
            .map_err(|source| LabError::system(format!("open network namespace {name}"), source))?;
        Ok(Self { name: name.into(), file: Arc::new(file.into()) })
    }

    /// The name, as `ip netns` shows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The descriptor, for handing to netlink.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Runs `work` on a fresh thread in this network namespace. The rest of its view (mounts, `/sys`) is the caller's.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.run_after(join_network, work)
    }

    /// Runs `work` on a fresh thread with the view that `ip netns exec` gives.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.run_after(join_view, work)
    }

    fn run_after<T: Send>(
        &self,
        join: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<()> + Send,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, LabError> {
        on_fresh_thread(|| join(self.fd()).map(|()| work()))
            .map_err(|source| LabError::system(format!("enter network namespace {}", self.name), source))
    }

    /// A command that will run with the view that `ip netns exec` gives.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let namespace = Arc::clone(&self.file);
        // SAFETY: between fork and exec the closure makes only system calls, on a descriptor that it owns and on string
        // constants: it neither allocates nor takes a lock, so it is sound in the child of a threaded process.
        unsafe {
            command.pre_exec(move || join_view(namespace.as_fd()).map_err(io::Error::from));
        }
        command
    }
}

/// Whether a namespace of this name is there, whole or half made.
pub(crate) fn exists(name: &str) -> bool {
    path_of(name).exists()
}

/// The identity of a named namespace; `None` when it is gone, or was never mounted on its name.
pub(crate) fn identity(name: &str) -> Option<Identity> {
    let directory = fs::metadata(DIRECTORY).ok()?;
    let file = fs::metadata(path_of(name)).ok()?;
    (file.dev() != directory.dev()).then_some((file.dev(), file.ino()))
}

/// The identity of the namespace that the main thread of a process is in.
pub(crate) fn identity_of_process(pid: u32) -> Option<Identity> {
    let file = fs::metadata(format!("/proc/{pid}/ns/net")).ok()?;
    Some((file.dev(), file.ino()))
}

/// Unmounts and unlinks a name. A name that is gone, or half made, is no error.
pub(crate) fn remove(name: &str) -> Result<(), LabError> {
    let path = path_of(name);
    let failed = |source: io::Error| LabError::system(format!("remove network namespace {name}"), source);
    match rustix::mount::unmount(&path, UnmountFlags::DETACH) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(source) => return Err(failed(source.into())),
    }
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed(source)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Makes the directory a shared mount, as `ip netns add` does, so that removing a name reaches the mount namespaces that
/// were made meanwhile and would otherwise keep the network namespace alive.
fn prepare_directory() -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    let lock = File::open(DIRECTORY)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let share = || rustix::mount::mount_change(DIRECTORY, MountPropagationFlags::SHARED | MountPropagationFlags::REC);
    match share() {
        Err(rustix::io::Errno::INVAL) => {
            rustix::mount::mount_bind_recursive(DIRECTORY, DIRECTORY)?;
            Ok(share()?)
        }
        outcome => Ok(outcome?),
    }
}

/// Runs `work` on a thread of its own, so that what it does to its namespaces ends with it. A panic continues in the caller.
fn on_fresh_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|payload| panic::resume_unwind(payload))
}

fn join_network(namespace: BorrowedFd<'_>) -> rustix::io::Result<()> {
    rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
}

/// Joins the network namespace, and gives the thread mounts of its own where `/sys` shows the devices of that namespace.
/// Mounts made outside stay visible inside, not the other way round.
fn join_view(namespace: BorrowedFd<'_>) -> rustix::io::Result<()> {
    join_network(namespace)?;
    unshare(UnshareFlags::NEWNS)?;
    rustix::mount::mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount(c"sysfs", c"/sys", c"sysfs", flags, None)
}

fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: the descriptor table stays shared, which is the one thing that the function may not be used to split.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}
