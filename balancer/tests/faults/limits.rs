//! A machine that gives too little: memory by a control group, and descriptors.

use crate::Test;
use crate::bed::{Bed, ECHO};
use crate::books;
use crate::eventually::eventually;
use crate::front::program;
use crate::load::Load;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use synward::control::report::Stat;
use synward::served::Served;
use synward_ebpf::Interface;
use synward_lab::{Host, Lab, LabConfig};

pub const TESTS: &[Test] = &[
    ("limits::too_few_descriptors_refuse_the_start_and_what_it_asks_for_is_enough", descriptors),
    ("limits::a_control_socket_without_descriptors_costs_no_client_and_recovers", control_socket),
    ("limits::too_little_memory_refuses_the_start_and_what_it_asks_for_is_enough", memory),
];

/// A command that becomes the program under test, with so many open files at most.
fn with_files(host: &Host, files: u64) -> Command {
    let mut command = host.command("prlimit");
    command.arg(format!("--nofile={files}:{files}")).arg(program());
    command
}

/// The number before these words.
fn number_before(text: &str, words: &str) -> Result<u64> {
    let before = text.split(words).next().filter(|before| before.len() < text.len());
    let number = before.and_then(|before| before.split_whitespace().last()?.parse().ok());
    number.with_context(|| format!("no number before {words:?}: {text}"))
}

/// What keeps a server from starting by this command; the interface is as it was.
fn refused(lab: &Lab, command: Command) -> Result<String> {
    let error = Served::start_by(command, lab.front(), &[]).err().context("it started")?;
    let front = lab.front();
    ensure!(front.enter(|| Interface::by_name(front.interface()))??.xdp.is_empty(), "the interface was touched");
    Ok(error.to_string())
}

/// The server of a bed echoes, and its books are right.
fn serves(lab: &Lab, server: &Served, clients: usize) -> Result<()> {
    let load = Load::start(&lab.clients()[0], SocketAddr::new(lab.front().ipv4().into(), ECHO), clients)?;
    eventually(|| Ok(load.answers()), |answers| *answers >= 10 * clients as u64)?;
    load.stop()?;
    books::check(server)
}

fn descriptors() -> Result<()> {
    let lab = Lab::up(&LabConfig::default())?;
    for files in [8, 16, 24, 32, 48] {
        let error = refused(&lab, with_files(lab.front(), files))?;
        ensure!(!error.contains("panicked"), "{files} files: {error}");
    }
    let error = refused(&lab, with_files(lab.front(), 40))?;
    let needed = number_before(&error, "open files are needed")?;
    ensure!(error.contains("the limit is 40"), "{error}");
    let server = Served::start_by(with_files(lab.front(), needed), lab.front(), &[])?;
    serves(&lab, &server, 4)
}

fn control_socket() -> Result<()> {
    let lab = Lab::up(&LabConfig::default())?;
    let server = Served::start_by(with_files(lab.front(), 128), lab.front(), &[])?;
    let bed = Bed { server, lab };
    let load = Load::start(bed.client(), bed.front(ECHO), 4)?;
    // More than it has descriptors; those that it cannot accept wait in the kernel.
    let idle: Vec<_> = (0..120).map(|_| UnixStream::connect(bed.server.control())).collect::<Result<_, _>>()?;
    let answers = load.answers();
    eventually(|| Ok(load.answers()), |now| *now >= answers + 200)?;
    drop(idle);
    eventually(|| Ok(bed.server.ask::<Stat>("/v1/stat").is_ok()), |answers| *answers)?;
    load.stop()?;
    bed.check_books()
}

/// A control group of version 1 or 2 with a limit on memory, and how a process in a host of the lab gets into it: there `/sys` is the
/// namespace's own, without groups.
struct Group {
    folder: PathBuf,
    limit: &'static str,
    mount: &'static str,
}

impl Group {
    const V1: &str = "mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && cd /sys/fs/cgroup/memory && \
                      mount -t cgroup -o memory none .";
    const V2: &str = "cd /sys/fs/cgroup && mount -t cgroup2 none .";

    fn new(bytes: u64) -> Result<Self> {
        let name = format!("synward-faults-{}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (root, limit, mount) = match v1.join("cgroup.procs").exists() {
            true => (v1, "memory.limit_in_bytes", Self::V1),
            false => (Path::new("/sys/fs/cgroup"), "memory.max", Self::V2),
        };
        let group = Self { folder: root.join(name), limit, mount };
        fs::create_dir(&group.folder).with_context(|| group.folder.display().to_string())?;
        group.set(bytes)?;
        Ok(group)
    }

    fn set(&self, bytes: u64) -> Result<()> {
        let path = self.folder.join(self.limit);
        fs::write(&path, bytes.to_string()).with_context(|| path.display().to_string())
    }

    /// A command that becomes the program under test, in this group.
    fn command(&self, host: &Host) -> Command {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let script = format!("{} && echo $$ > \"$PWD/{name}/cgroup.procs\" && exec \"$0\" \"$@\"", self.mount);
        let mut command = host.command("sh");
        command.args(["-c", &script]).arg(program());
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its process has ended by now.
        let _ = fs::remove_dir(&self.folder);
    }
}

fn memory() -> Result<()> {
    const MIB: u64 = 1 << 20;
    let lab = Lab::up(&LabConfig::default())?;
    let group = Group::new(32 * MIB)?;
    let error = refused(&lab, group.command(lab.front()))?;
    let needed = number_before(&error, "MiB of memory are needed")?;
    ensure!(error.contains("the control group may have 32 MiB") && error.contains("MemoryMax="), "{error}");
    group.set(needed * MIB)?;
    let mut server = Served::start_by(group.command(lab.front()), lab.front(), &[])?;
    serves(&lab, &server, 64)?;
    ensure!(server.process().try_wait()?.is_none(), "it ended: {}", server.log());
    Ok(())
}
