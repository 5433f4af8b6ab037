//! What is told of the mutants that were tested.

use anyhow::{Context, Result};
use serde_json::json;
use std::fmt;
use std::fs;
use std::path::Path;

/// What came of all that were drawn.
#[derive(Debug, Default)]
pub struct Tested {
    killed: Vec<Kills>,
    pub unviable: usize,
    /// By name.
    pub survivors: Vec<String>,
}

/// What some tests killed.
#[derive(Debug)]
struct Kills {
    by: &'static str,
    caught: usize,
    hung: usize,
}

impl Tested {
    /// Tests have failed for so many mutants, and not ended for so many.
    pub fn killed(&mut self, by: &'static str, caught: usize, hung: usize) {
        match self.killed.iter_mut().find(|kills| kills.by == by) {
            Some(kills) => (kills.caught, kills.hung) = (kills.caught + caught, kills.hung + hung),
            None => self.killed.push(Kills { by, caught, hung }),
        }
    }

    /// Those that could be compiled.
    pub fn viable(&self) -> usize {
        self.all_killed() + self.survivors.len()
    }

    /// Whether at least so many of a hundred viable ones were killed.
    pub fn suffices(&self, percent: usize) -> bool {
        self.all_killed() * 100 >= self.viable() * percent
    }

    /// Writes the row of the assurance table.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path, seed: u64, percent: usize) -> Result<()> {
        let (killed, viable) = (self.all_killed(), self.viable());
        let seen = format!("{killed} of {viable} killed, seed {seed}, {} unviable ones left out", self.unviable);
        let row =
            json!([{ "check": "mutants", "ok": self.suffices(percent), "seen": seen, "survivors": self.survivors }]);
        let path = folder.join("mutants.json");
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, format!("{row:#}\n")));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    fn all_killed(&self) -> usize {
        self.killed.iter().map(|kills| kills.caught + kills.hung).sum()
    }
}

impl fmt::Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<28}{:>8}", "mutants", "")?;
        for Kills { by, caught, hung } in &self.killed {
            writeln!(f, "{:<28}{caught:>8}", format!("killed by {by}"))?;
            writeln!(f, "{:<28}{hung:>8}", "  by never ending")?;
        }
        writeln!(f, "{:<28}{:>8}", "survived", self.survivors.len())?;
        writeln!(f, "{:<28}{:>8}", "viable", self.viable())?;
        writeln!(f, "{:<28}{:>8}", "cannot be compiled", self.unviable)?;
        self.survivors.iter().try_for_each(|name| writeln!(f, "survived: {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Tested;

    #[test]
    fn enough_is_counted_among_those_that_compile() {
        let mut tested = Tested { unviable: 50, ..Tested::default() };
        tested.killed("own tests", 10, 1);
        tested.killed("own tests", 6, 0);
        tested.killed("whole engines", 2, 0);
        tested.survivors.push("one".to_owned());
        assert_eq!(tested.viable(), 20);
        assert!(tested.suffices(95) && !tested.suffices(96));
        assert!(tested.to_string().ends_with("survived: one\n"));
    }
}
