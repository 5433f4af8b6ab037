//! `synward check`: whether a configuration could be run, without touching anything.

use crate::config::{Config, Summary, ThisHost};
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;

/// What to check.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration.
    file: PathBuf,
    /// Also check what it needs of this machine: interfaces, queues, cores, addresses.
    #[arg(long)]
    host: bool,
}

impl Check {
    /// Prints that the file is right, and what it says in short.
    ///
    /// # Errors
    /// All mistakes, as [`Mistakes`](crate::config::Mistakes).
    pub fn run(self) -> Result<()> {
        let config = if self.host {
            let host = ThisHost::look().context("looking at this machine")?;
            Config::load_for(&self.file, &host)?
        } else {
            Config::load(&self.file)?
        };
        print!("{}: ok\n{}", self.file.display(), Summary(&config));
        Ok(())
    }
}
