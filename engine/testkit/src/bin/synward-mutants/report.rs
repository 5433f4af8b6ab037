//! What is told of the mutants that were tested.

use crate::Fate;
use crate::sieve::{SIEVES, Seen};
use anyhow::{Error, Result};
use std::fmt;
use std::path::Path;
use synward_testkit::assurance::{Outcome, write_outcomes};

/// What came of all that were drawn.
#[derive(Debug, Default)]
pub struct Tested {
    fates: Vec<Fate>,
    /// By name.
    survivors: Vec<String>,
}

impl Tested {
    /// One more.
    pub fn note(&mut self, name: &str, fate: Fate) {
        self.fates.push(fate);
        if fate == Fate::Survived {
            self.survivors.push(name.to_owned());
        }
    }

    /// Those that could be compiled.
    pub fn viable(&self) -> usize {
        self.fates.len() - self.count(Fate::Unviable)
    }

    /// Whether at least so many of a hundred viable ones were killed.
    pub fn suffices(&self, percent: usize) -> bool {
        self.killed() * 100 >= self.viable() * percent
    }

    /// Writes the row of the assurance table.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path, seed: u64, percent: usize) -> Result<()> {
        let (killed, viable, unviable) = (self.killed(), self.viable(), self.count(Fate::Unviable));
        let seen = format!("{killed} of {viable} killed, seed {seed}; {unviable} more could not be compiled");
        let outcome = Outcome { check: "mutants".into(), ok: self.suffices(percent), seen, ..Outcome::default() };
        write_outcomes(&folder.join("mutants.json"), &[outcome]).map_err(Error::msg)
    }

    fn killed(&self) -> usize {
        self.viable() - self.survivors.len()
    }

    fn count(&self, fate: Fate) -> usize {
        self.fates.iter().filter(|&&other| other == fate).count()
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unviable => f.write_str("cannot be compiled"),
            Self::Survived => f.write_str("SURVIVED"),
            Self::Killed(by, Seen::Hang) => write!(f, "{by} never ended"),
            Self::Killed(by, _) => write!(f, "killed by {by}"),
        }
    }
}

impl fmt::Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |name| [Fate::Killed(name, Seen::Wrong), Fate::Killed(name, Seen::Hang)];
        let fates = SIEVES.iter().flat_map(|sieve| by(sieve.name)).chain([Fate::Survived, Fate::Unviable]);
        for fate in fates {
            writeln!(f, "{:<30}{:>5}", fate.to_string(), self.count(fate))?;
        }
        writeln!(f, "{:<30}{:>5} of {}", "killed", self.killed(), self.viable())?;
        self.survivors.iter().try_for_each(|name| writeln!(f, "survived: {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, Seen, Tested};

    #[test]
    fn enough_is_counted_among_those_that_compile() {
        let mut tested = Tested::default();
        let killed = [Fate::Killed("own tests", Seen::Wrong), Fate::Killed("whole engines", Seen::Hang)];
        for fate in [Fate::Unviable; 50].into_iter().chain([killed[0]; 16]).chain([killed[1]; 3]) {
            tested.note("any", fate);
        }
        tested.note("one", Fate::Survived);
        assert_eq!(tested.viable(), 20);
        assert!(tested.suffices(95) && !tested.suffices(96));
        let text = tested.to_string();
        assert!(text.contains("whole engines never ended         3\n"), "{text}");
        assert!(text.ends_with("killed                           19 of 20\nsurvived: one\n"), "{text}");
    }
}
