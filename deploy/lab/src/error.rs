//! What can go wrong while a lab is built, used or removed.

use std::io;

/// An error says what was attempted, on which name, and what the operator can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The kernel refused for want of a privilege.
    #[error("{attempt}: {source}; this needs CAP_NET_ADMIN and CAP_SYS_ADMIN: run as root or with sudo")]
    Privilege {
        /// What was attempted, with the name it was attempted on.
        attempt: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused for another reason.
    #[error("{attempt}: {source}{detail}")]
    Kernel {
        /// What was attempted, with the name it was attempted on.
        attempt: String,
        /// The kernel's answer.
        source: io::Error,
        /// What the kernel added in words, or what to do about it; empty, or starts with a separator.
        detail: String,
    },
    /// A link did not come up in time.
    #[error("{interface} in {namespace} did not come up within {seconds} s: look at `ip -n {namespace} link`")]
    NotReady {
        /// The interface.
        interface: String,
        /// The name of its namespace.
        namespace: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A program that the lab runs failed.
    #[error("{command}: {complaint}")]
    Tool {
        /// The command as one would type it.
        command: String,
        /// What it wrote to stderr, or why it could not be run.
        complaint: String,
    },
    /// The configuration cannot be built.
    #[error("{0}")]
    Config(String),
    /// No lab of this id is recorded.
    #[error("no lab {0}: `synward lab list` shows those that are up")]
    UnknownLab(String),
    /// The lab belongs to a process that still runs.
    #[error("lab {id} belongs to the running process {pid}, which removes it when it ends: stop that process instead")]
    Owned {
        /// The lab.
        id: String,
        /// Its owner.
        pid: u32,
    },
}
