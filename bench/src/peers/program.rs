//! A program of others that runs in a host of the lab.

use crate::processes;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use synward_lab::Host;

/// How long a program may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where an executable may be although it is not in the path of an ordinary user.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Where a program is installed.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// What `system` is called with the version that its program tells.
pub(super) fn with_version(system: &str, program: Installed) -> String {
    let output = find(program.name).and_then(|path| Command::new(path).arg("-v").output().ok());
    // nginx speaks on standard error.
    let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    match version_in(&String::from_utf8_lossy(&text)) {
        Some(version) => format!("{system} {version}"),
        None => system.to_owned(),
    }
}

/// The first word that begins with a digit: `nginx version: nginx/1.22.1`, `HAProxy version 2.6.12-1+deb12u3 2025/10/17`.
fn version_in(text: &str) -> Option<&str> {
    text.split(|c: char| c.is_whitespace() || c == '/').find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

/// A temporary folder. Removed when dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A folder of the service on this port of `host`: there is no other service on the same port.
    pub(super) fn new(host: &Host, service: &str, port: u16) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("{}-{service}-{port}", host.namespace()));
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into the folder and returns its path.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary folder of the system, which others clean.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A running program. It ends with this value.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts the program `name` of Debian's `package` in `host`, on these `cores` (all, if there are none), and waits until
    /// it `answers`.
    pub(super) fn start(
        Installed { name, package }: Installed,
        host: &Host,
        cores: &[usize],
        folder: &Folder,
        arguments: &[&str],
        answers: impl Fn() -> Result<bool>,
    ) -> Result<Self> {
        let path = find(name).with_context(|| format!("{name} is not installed: apt-get install {package}"))?;
        let mut command = if cores.is_empty() { host.command(&path) } else { host.command("taskset") };
        if !cores.is_empty() {
            command.arg("--cpu-list").arg(list(cores)).arg(&path);
        }
        let log = folder.path().join("log");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        let mut program = Self { name, child, log };
        program.wait_until(answers)?;
        Ok(program)
    }

    /// The id of its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn wait_until(&mut self, answers: impl Fn() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !answers()? {
            let log = || fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", self.name, log());
            }
            if Instant::now() > deadline {
                bail!("{} does not answer after {PATIENCE:?}:\n{}", self.name, log());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        processes::terminate(&mut self.child);
    }
}

/// A program, and what to install where it is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Installed {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
}

/// As `taskset` takes it: `0,1`.
fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_found_in_what_programs_say_of_themselves() {
        assert_eq!(version_in("nginx version: nginx/1.22.1\n"), Some("1.22.1"));
        let haproxy = "HAProxy version 2.6.12-1+deb12u3 2025/10/17 - https://haproxy.org/\nStatus: ...\n";
        assert_eq!(version_in(haproxy), Some("2.6.12-1+deb12u3"));
        assert_eq!(version_in("unknown option"), None);
    }
}
