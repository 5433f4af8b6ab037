//! A `synward serve` or `synward run` of our own in a namespace of the lab, for the demo, the tests and the acceptance run.

use crate::control::client;
use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use synward_bench::processes;
use synward_lab::Host;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// The `synward` that stands beside the program that asks.
///
/// # Errors
/// When there is none.
pub fn program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("own path")?;
    let program = own.with_file_name("synward");
    ensure!(program.exists(), "{} is missing: build the whole package first", program.display());
    Ok(program)
}

/// A running server; it ends with this value.
pub struct Served {
    command: Command,
    child: Child,
    control: PathBuf,
    log: PathBuf,
}

impl Served {
    /// Starts `program serve` with `arguments` on the interface of `host`, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start; the error carries what it logged.
    pub fn start(program: &Path, host: &Host, arguments: &[&str]) -> Result<Self> {
        Self::start_by(host.command(program), host, arguments)
    }

    /// The same by a command that ends in the program: that of another one, which becomes it (`prlimit --nofile=64 synward`).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_by(mut command: Command, host: &Host, arguments: &[&str]) -> Result<Self> {
        let folder = Self::folder(host)?;
        let control = folder.join("control.sock");
        command.arg("serve").args(["--interface", host.interface()]).arg("--control").arg(&control).args(arguments);
        Self::spawn(command, control)
    }

    /// Starts `program run` in `host` with a configuration, which is to say nothing of the control socket, and waits until it
    /// answers.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn front(program: &Path, host: &Host, config: &str) -> Result<Self> {
        let folder = Self::folder(host)?;
        let (control, file) = (folder.join("control.sock"), folder.join("front.toml"));
        let table = format!("control = {:?}\n", control.display().to_string());
        let text = match config.split_once("[engine]\n") {
            Some((before, after)) => format!("{before}[engine]\n{table}{after}"),
            None => format!("[engine]\n{table}{config}"),
        };
        std::fs::write(&file, text)?;
        let mut command = host.command(program);
        command.arg("run").arg("--config").arg(&file);
        Self::spawn(command, control)
    }

    fn folder(host: &Host) -> Result<PathBuf> {
        let folder = std::env::temp_dir().join(format!("synward-{}", host.namespace()));
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn spawn(mut command: Command, control: PathBuf) -> Result<Self> {
        let log = control.with_file_name("log");
        let child = spawn(&mut command, &log)?;
        let mut served = Self { command, child, control, log };
        served.wait_until_ready()?;
        Ok(served)
    }

    /// Starts it anew, in place of one that has ended or is to end now, and waits until it answers.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_again(&mut self) -> Result<()> {
        processes::terminate(&mut self.child);
        self.child = spawn(&mut self.command, &self.log)?;
        self.wait_until_ready()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Where its control socket is.
    pub fn control(&self) -> &Path {
        &self.control
    }

    /// Asks its control socket.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        client::get(&self.control, path)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(&self.control).is_err() {
            let ended = self.child.try_wait()?.is_some();
            if ended || Instant::now() > deadline {
                bail!("synward did not start:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(log)?);
    command.spawn().context("starting synward")
}

impl Drop for Served {
    fn drop(&mut self) {
        processes::terminate(&mut self.child);
        if let Some(folder) = self.control.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
