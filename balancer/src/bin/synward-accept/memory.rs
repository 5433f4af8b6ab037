//! The memory of a process while something goes on.

use crate::row::Row;
use anyhow::Result;
use std::thread::sleep;
use std::time::Duration;
use synward_bench::processes::resident;

const SAMPLE: Duration = Duration::from_millis(100);

/// What was in place at first, and the most since; bytes.
pub struct Memory {
    process: u32,
    pub before: u64,
    pub top: u64,
}

impl Memory {
    /// Of a process, from now on.
    pub fn of(process: u32) -> Result<Self> {
        let before = resident(process)?;
        Ok(Self { process, before, top: before })
    }

    /// Looks again and again until something is so.
    pub fn watch_until(&mut self, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        loop {
            self.top = self.top.max(resident(self.process)?);
            if is_so()? {
                return Ok(());
            }
            sleep(SAMPLE);
        }
    }

    /// How much more there was at the top, and that it was no more than `limit`.
    pub fn growth(&self, limit: u64) -> Row {
        let growth = self.top - self.before;
        Row::new(
            "growth of the front's resident memory",
            format!("at most {}", mebibytes(limit)),
            mebibytes(growth),
            growth <= limit,
        )
    }
}

pub fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / 1024.0 / 1024.0)
}
