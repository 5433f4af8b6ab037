//! Processes: who owns a lab, and who still runs in a namespace that is to be removed.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::namespace::{Identity, identity_of_process};

/// How long a killed process may take to end.
const LONGEST_DEATH: Duration = Duration::from_secs(5);

/// A process, told from all that had its number before or will have it later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/<pid>/stat`).
    pub start_time: u64,
    /// Which boot.
    pub boot_id: String,
}

impl Owner {
    /// This process.
    pub(crate) fn this_process() -> Self {
        let pid = std::process::id();
        Self { pid, start_time: start_time(pid).unwrap_or_default(), boot_id: boot_id() }
    }

    /// Whether it still runs. A zombie does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.boot_id == boot_id() && start_time(self.pid) == Some(self.start_time)
    }

    /// Whether it is this process.
    pub(crate) fn is_this_process(&self) -> bool {
        self.pid == std::process::id() && self.is_alive()
    }

    /// Whether the machine was booted since it started.
    pub(crate) fn is_of_earlier_boot(&self) -> bool {
        self.boot_id != boot_id()
    }
}

/// Bits of `CapEff` in `/proc/<pid>/status` (`linux/capability.h`).
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;

/// Whether this process may build a lab: it holds `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`.
///
/// Tests that need the lab ask this and report themselves as skipped, by name, where it is false.
#[must_use]
pub fn root_available() -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    may_build(&status)
}

fn may_build(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default();
    [CAP_NET_ADMIN, CAP_SYS_ADMIN].iter().all(|capability| bits >> capability & 1 == 1)
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim_end().to_owned()
}

/// When a process started; `None` if there is none, or only a zombie.
fn start_time(pid: u32) -> Option<u64> {
    start_time_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/<pid>/stat`. The second field is the command in parentheses, which may itself contain anything.
fn start_time_in(stat: &str) -> Option<u64> {
    let (_, fields_from_third) = stat.rsplit_once(')')?;
    let mut fields = fields_from_third.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// Kills every process whose main thread is in one of these network namespaces, except this one, and waits for their end.
///
/// A process elsewhere that merely has a thread inside is left alone: it may be a test runner or another tool.
pub(crate) fn kill_inside(namespaces: &HashSet<Identity>) -> Result<(), LabError> {
    // A process may have forked between the listing and its death; its child is in the next listing.
    loop {
        let inside: Vec<u32> = processes().filter(|&pid| is_inside(pid, namespaces)).collect();
        if inside.is_empty() {
            return Ok(());
        }
        for pid in inside {
            kill(pid, namespaces)?;
        }
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| pid != std::process::id())
}

fn is_inside(pid: u32, namespaces: &HashSet<Identity>) -> bool {
    identity_of_process(pid).is_some_and(|identity| namespaces.contains(&identity)) && start_time(pid).is_some()
}

/// Kills one process that is inside. The descriptor pins the process, so the second look cannot be at another one that
/// got its number meanwhile.
fn kill(pid: u32, namespaces: &HashSet<Identity>) -> Result<(), LabError> {
    let failed = |source: rustix::io::Errno| LabError::system(format!("kill process {pid}"), source);
    let Some(number) = pid.try_into().ok().and_then(Pid::from_raw) else { return Ok(()) };
    let process = match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    if !is_inside(pid, namespaces) {
        return Ok(());
    }
    match rustix::process::pidfd_send_signal(&process, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        sent => sent.map_err(failed)?,
    }
    let longest = Timespec { tv_sec: LONGEST_DEATH.as_secs().cast_signed(), tv_nsec: 0 };
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    match rustix::event::poll(&mut ended, Some(&longest)).map_err(failed)? {
        0 => Err(LabError::Unkillable { pid }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_its_own_owner() {
        let owner = Owner::this_process();
        assert!(owner.is_alive() && !owner.is_of_earlier_boot());
        assert!(
            !Owner { start_time: owner.start_time + 1, ..owner.clone() }.is_alive(),
            "another process of this number"
        );
        let earlier = Owner { boot_id: "earlier".into(), ..owner };
        assert!(!earlier.is_alive() && earlier.is_of_earlier_boot());
    }

    #[test]
    fn both_capabilities_are_needed() {
        for (bits, enough) in [("000001ffffffffff", true), ("0000000000201000", true), ("0000000000200000", false)] {
            assert_eq!(may_build(&format!("Name:\tcat\nCapEff:\t{bits}\n")), enough, "{bits}");
        }
        assert!(!may_build(""));
    }

    #[test]
    fn the_command_may_contain_anything() {
        let tail = "S 1 2 3 0 -1 4194560 10 0 0 0 1 2 0 0 20 0 1 0 4711 1000 200";
        assert_eq!(start_time_in(&format!("12 (cat) {tail}")), Some(4711));
        assert_eq!(start_time_in(&format!("12 (a) S 9 (b)) {tail}")), Some(4711));
        assert_eq!(start_time_in(&format!("12 (cat) {}", tail.replacen('S', "Z", 1))), None, "a zombie");
        assert_eq!(start_time_in(""), None);
    }
}
