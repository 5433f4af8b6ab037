//! What can go wrong while a lab is built, used or removed.

use std::io;

/// An error says what was attempted, on which name, and what the operator can do about it. The kernel's answer is part of
/// the text, and therefore no `source` that would be printed again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The kernel refused for want of a privilege.
    #[error("{attempt}: {answer}; this needs CAP_NET_ADMIN and CAP_SYS_ADMIN: run as root or with sudo")]
    Privilege {
        /// What was attempted, with the name it was attempted on.
        attempt: String,
        /// The kernel's answer.
        answer: io::Error,
    },
    /// The kernel refused for another reason.
    #[error("{attempt}: {answer}{}{detail}", if detail.is_empty() { "" } else { "; " })]
    Kernel {
        /// What was attempted, with the name it was attempted on.
        attempt: String,
        /// The kernel's answer.
        answer: io::Error,
        /// What the kernel added in words, or what to do about it; may be empty.
        detail: String,
    },
    /// A link did not come up, or an address did not become usable, in time.
    #[error("{what} in {namespace} was not ready within {seconds} s: look at `ip -n {namespace} -d address`")]
    NotReady {
        /// The interface or the address.
        what: String,
        /// The name of its namespace.
        namespace: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A process in a namespace that is to be removed does not end, although it was killed.
    #[error("process {pid} in a namespace of the lab does not end: it hangs in the kernel, see /proc/{pid}/stack")]
    Unkillable {
        /// The process.
        pid: u32,
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
    #[error("no lab {0:?}: `synward lab list` shows those that are up")]
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

impl LabError {
    /// The kernel's answer to `attempt`.
    pub(crate) fn system(attempt: impl Into<String>, answer: impl Into<io::Error>) -> Self {
        Self::kernel(attempt, answer, "")
    }

    /// The kernel's answer to `attempt`, with more to say about it.
    pub(crate) fn kernel(attempt: impl Into<String>, answer: impl Into<io::Error>, detail: impl Into<String>) -> Self {
        let (attempt, answer) = (attempt.into(), answer.into());
        match answer.kind() {
            io::ErrorKind::PermissionDenied => Self::Privilege { attempt, answer },
            _ => Self::Kernel { attempt, answer, detail: detail.into() },
        }
    }

    /// The kernel's error number, where the kernel refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Privilege { answer, .. } | Self::Kernel { answer, .. } => answer.raw_os_error(),
            Self::NotReady { .. }
            | Self::Unkillable { .. }
            | Self::Tool { .. }
            | Self::Config(_)
            | Self::UnknownLab(_)
            | Self::Owned { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_attempt_and_the_remedy() {
        let refused = LabError::system("create namespace synward-1-near", io::Error::from_raw_os_error(libc::EPERM));
        let text = refused.to_string();
        assert!(text.starts_with("create namespace synward-1-near: Operation not permitted"), "{text}");
        assert!(text.contains("CAP_NET_ADMIN and CAP_SYS_ADMIN") && text.contains("sudo"), "{text}");

        let plain = LabError::system("delete front0", io::Error::from_raw_os_error(libc::ENODEV));
        assert_eq!(plain.to_string(), "delete front0: No such device (os error 19)");
        assert_eq!(plain.errno(), Some(libc::ENODEV));

        let worded = LabError::kernel("attach", io::Error::from_raw_os_error(libc::ERANGE), "Peer MTU is too large");
        assert!(worded.to_string().ends_with("; Peer MTU is too large"), "{worded}");
    }
}
