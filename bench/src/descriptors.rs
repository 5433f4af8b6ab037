//! How many files and sockets a process may have open.

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of this process, and of what it starts later, to `wanted`, unless it is higher already.
///
/// # Errors
/// The hard limit is lower, and only root may raise that.
pub(crate) fn raise_limit(wanted: u64) -> Result<()> {
    let limit = raise_towards(wanted);
    ensure!(limit >= wanted, "{wanted} open files are more than the limit of {limit}: run as root or set `ulimit -n`");
    Ok(())
}

/// The same as far as it is allowed, and returns the limit that is in force then.
pub(crate) fn raise_towards(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if !enough(current) {
        let raised = Rlimit { current: Some(wanted), maximum: maximum.map(|maximum| maximum.max(wanted)) };
        if setrlimit(Resource::Nofile, raised).is_err() {
            // The hard limit stands in the way; going up to it takes no privilege.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_lowered_and_never_promised_in_vain() {
        let before = raise_towards(0);
        assert!(raise_towards(before) >= before && raise_towards(1) >= before);
        assert!(raise_limit(before).is_ok());
        // More than any kernel grants (`fs.nr_open` is at most 2^31).
        let refused = raise_limit(1 << 40).expect_err("too many").to_string();
        assert!(refused.contains("1099511627776 open files") && refused.contains("ulimit"), "{refused}");
    }
}
