//! What is measured.

use crate::bed::Bed;
use anyhow::{Context, Result};
use std::fmt::Write;
use synward::control::report::Stat;
use synward::served::{self, Served};
use synward_bench::peers::Proxy;
use synward_bench::processes;

/// A front end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum System {
    /// `synward run` with so many workers; none means that the proxy runs on the poll loops.
    Synward { workers: u16 },
    /// HAProxy in TCP mode with one thread.
    Haproxy,
}

impl System {
    pub fn name(self) -> String {
        match self {
            Self::Synward { workers } => format!("synward, workers = {workers}"),
            Self::Haproxy => "HAProxy".to_owned(),
        }
    }
}

/// A running front end. Ends before its lab.
pub struct Front {
    running: Running,
    pub processes: Vec<u32>,
}

enum Running {
    Synward(Served),
    Haproxy(Proxy),
}

impl Front {
    /// Starts it in a lab, on these cores: as many as its interface has queues.
    pub fn start(system: System, bed: &Bed, cores: &[usize]) -> Result<Self> {
        let front = bed.lab.front();
        let (running, process) = match system {
            System::Synward { workers } => {
                let mut served = Served::front(&served::program()?, front, &config(bed, workers, cores))?;
                let process = served.process().id();
                (Running::Synward(served), process)
            }
            System::Haproxy => {
                let proxy = Proxy::start(front, crate::bed::HTTP, &bed.backends(), cores)?;
                let process =
                    proxy.process().context("a stand-in has no process of its own: apt-get install haproxy")?;
                (Running::Haproxy(proxy), process)
            }
        };
        let processes = processes::family(process)?;
        if cores.len() == 1 {
            // The poll loops have pinned themselves; this takes the others along.
            processes::keep_on(&processes, cores)?;
        }
        Ok(Self { running, processes })
    }

    /// What it is, with its version, and how it works.
    pub fn description(&self) -> Result<String> {
        match &self.running {
            Running::Haproxy(proxy) => Ok(format!("{}, TCP mode, one thread", proxy.system_and_version())),
            Running::Synward(served) => {
                let stat: Stat = served.ask("/v1/stat")?;
                let modes: Vec<_> = stat.modes.iter().map(|(mode, value)| format!("{mode} {value}")).collect();
                Ok(format!("synward {}, {}", env!("CARGO_PKG_VERSION"), modes.join(", ")))
            }
        }
    }
}

/// As an operator would write it, but for the source ports: nearly as many as HAProxy has. The kernel insists on some of its own.
fn config(bed: &Bed, workers: u16, cores: &[usize]) -> String {
    let mut text = format!(
        "[engine]\nworkers = {workers}\n[[interface]]\nname = {:?}\ncores = {cores:?}\nsource_ports = \"4096-65535\"\n\
         [[listener]]\nname = \"web\"\naddress = \"{}\"\npool = \"web\"\nbacklog = 4096\n\
         [[pool]]\nname = \"web\"\nconnect_timeout = \"5s\"\n",
        bed.lab.front().interface(),
        bed.address(),
    );
    for backend in bed.backends() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[[pool.backend]]\naddress = \"{backend}\"");
    }
    text + "[shutdown]\ndrain = \"0s\"\n"
}
