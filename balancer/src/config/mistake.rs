//! What is wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One mistake in a file. `Display` adds nothing in front; [`Mistakes`] puts file, line and column there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The file: the configuration under the name it was given, or one that it names.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub text: String,
}

/// Why a configuration cannot be used.
#[derive(Debug)]
pub enum Mistakes {
    /// The file could not be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It was read, and these mistakes are in it: at least one, in the order of the file. Those in files that it names stand
    /// behind its own.
    Found(Vec<Mistake>),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Mistakes {
    /// One line for each, `file:line:column: text`, without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, source } => write!(f, "{}: {source}", file.display()),
            Self::Found(list) => {
                for (number, Mistake { file, line, column, text }) in list.iter().enumerate() {
                    let newline = if number == 0 { "" } else { "\n" };
                    write!(f, "{newline}{file}:{line}:{column}: {text}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Mistakes {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Display has said it already.
            Self::Unreadable { .. } | Self::Found(_) => None,
        }
    }
}
