//! What others' processes and the kernel's threads use, and where they run: read from and told by their ids.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, kill_process, setpriority_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::fs;
use std::process::Child;
use std::time::Duration;

pub use rustix::process::Signal;

/// The processes, kernel threads among them, whose name begins with this, in the order of their ids.
///
/// # Errors
/// `/proc` cannot be read.
pub fn named(prefix: &str) -> Result<Vec<u32>> {
    let mut found = all()?;
    found.retain(|id| name_of(*id).is_some_and(|name| name.starts_with(prefix)));
    Ok(found)
}

/// What a process is called (proc_pid_comm(5)); `None` when it has ended.
pub fn name_of(id: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{id}/comm")).ok()?.trim_end().to_owned())
}

/// What the threads of these processes are called, each name once.
///
/// # Errors
/// One of them has ended.
pub fn thread_names(ids: &[u32]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for id in ids {
        for thread in threads(*id)? {
            names.extend(name_of(thread));
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// A process and all that it has started, directly or not, as far as they run.
///
/// # Errors
/// `/proc` cannot be read.
pub fn family(id: u32) -> Result<Vec<u32>> {
    let parents: Vec<_> = all()?.into_iter().filter_map(|child| Some((child, parent_of(child)?))).collect();
    let (mut family, mut next) = (vec![id], 0);
    while let Some(&member) = family.get(next) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(child, _)| *child));
        next += 1;
    }
    Ok(family)
}

/// How long all threads of these processes have run so far, as the scheduler accounts for it (`/proc/PID/schedstat`). What the
/// kernel did in an interrupt is charged to whomever it interrupted.
///
/// # Errors
/// One has ended; the kernel lacks `CONFIG_SCHED_INFO`.
pub fn run_time(ids: &[u32]) -> Result<Duration> {
    let of_thread = |path: String| -> Result<u64> {
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).with_context(|| format!("{path}: {text:?}"))
    };
    let mut nanos = 0;
    for id in ids {
        for thread in threads(*id)? {
            nanos += of_thread(format!("/proc/{id}/task/{thread}/schedstat"))?;
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// Memory of a process that is in place now, bytes (`VmRSS`, proc_pid_status(5)).
///
/// # Errors
/// It has ended.
pub fn resident(id: u32) -> Result<u64> {
    let path = format!("/proc/{id}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).with_context(|| format!("{path}: no VmRSS"))?;
    let kibibytes = line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
    Ok(kibibytes.with_context(|| format!("{path}: {line:?}"))? * 1024)
}

/// Keeps all threads of these processes on these cores.
///
/// # Errors
/// There is no such core, one of the processes has ended, or the kernel refuses.
pub fn keep_on(ids: &[u32], cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
        set.set(core);
    }
    each_thread(ids, |thread| sched_setaffinity(Some(thread), &set))
        .with_context(|| format!("moving processes to cores {cores:?}"))
}

/// Gives all threads of these processes the highest of the ordinary priorities, which a poll loop gives itself: then
/// priorities decide nothing between them, and strangers disturb them least.
///
/// # Errors
/// One of them has ended, or the kernel refuses.
pub fn run_before_others(ids: &[u32]) -> Result<()> {
    each_thread(ids, |thread| setpriority_process(Some(thread), -20)).context("raising priorities")
}

/// Gives the calling thread less priority than those that [`run_before_others`] was called for, and still more than strangers have.
///
/// # Errors
/// The kernel refuses.
pub fn run_behind_those() -> Result<()> {
    setpriority_process(None, -10).context("lowering a priority")
}

/// Sends a signal to each of these processes.
///
/// # Errors
/// One of them has ended, or the kernel refuses.
pub fn signal(ids: &[u32], signal: Signal) -> Result<()> {
    ids.iter().try_for_each(|id| {
        let pid = Pid::from_raw(id.cast_signed()).context("a process has an id")?;
        kill_process(pid, signal).with_context(|| format!("a signal to process {id}"))
    })
}

/// Asks a process that we have started to end (SIGTERM), and waits until it has.
pub fn terminate(child: &mut Child) {
    // One that has ended, and was waited for, may have left its number to another process.
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    // It may end by itself now: that is as good.
    let _ = signal(&[child.id()], Signal::TERM);
    let _ = child.wait();
}

fn each_thread(ids: &[u32], act: impl Fn(Pid) -> rustix::io::Result<()>) -> Result<()> {
    for id in ids {
        for thread in threads(*id)? {
            let pid = Pid::from_raw(thread.cast_signed()).context("a thread has an id")?;
            act(pid).with_context(|| format!("thread {thread} of {}", name_of(*id).unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn all() -> Result<Vec<u32>> {
    numbers("/proc")
}

fn threads(id: u32) -> Result<Vec<u32>> {
    numbers(&format!("/proc/{id}/task"))
}

/// The entries of a folder whose names are numbers, in their order.
fn numbers(folder: &str) -> Result<Vec<u32>> {
    let entries = fs::read_dir(folder).with_context(|| folder.to_owned())?;
    let mut found: Vec<u32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    found.sort_unstable();
    Ok(found)
}

/// `None` when it has ended.
fn parent_of(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the state is the first field behind it, the parent the second.
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    #[test]
    fn a_process_is_found_with_what_it_started_and_nothing_else() {
        let mut child = Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().expect("sh");
        let deadline = Instant::now() + Duration::from_secs(10);
        let (mut found, mut names) = (Vec::new(), Vec::new());
        // A child is a copy of the shell until it becomes another program.
        while names != ["sh", "sleep"] && Instant::now() < deadline {
            found = family(child.id()).expect("/proc");
            names = found.iter().filter_map(|id| name_of(*id)).collect();
        }
        let ours = family(std::process::id()).expect("/proc");
        assert!(found.iter().all(|id| ours.contains(id)) && named("sh").expect("/proc").contains(&found[0]));
        signal(&found, Signal::KILL).expect("they run");
        child.wait().expect("it was killed");
        assert_eq!(names, ["sh", "sleep"]);
    }

    #[test]
    fn this_process_has_run_and_has_memory() {
        let own = [std::process::id()];
        let before = run_time(&own).expect("own times");
        // Threads of other tests end meanwhile, and their time with them; this one's does not.
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {}
        assert!(before > Duration::ZERO && resident(own[0]).expect("own memory") > 100_000);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = format!("{:#}", keep_on(&[std::process::id()], &[usize::MAX]).expect_err("no such core"));
        assert!(error.contains("there is no core"), "{error}");
        assert!(run_time(&[u32::MAX]).is_err() && resident(u32::MAX).is_err() && name_of(u32::MAX).is_none());
    }
}
