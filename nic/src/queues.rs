//! The queues of a device, by the word of sysfs; it shows another namespace's devices where it was not mounted anew in this one.

use std::fs;
use std::io;
use std::path::PathBuf;

fn folder(interface: &str) -> PathBuf {
    PathBuf::from(format!("/sys/class/net/{interface}/queues"))
}

/// How many receive queues an interface has.
///
/// # Errors
/// When sysfs does not show it.
pub fn receive_queues(interface: &str) -> io::Result<usize> {
    let entries = fs::read_dir(folder(interface))?.flatten();
    Ok(entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-")).count())
}

/// Whether `interface` has no receive queue `queue`; `false` where sysfs shows no queues at all.
pub(crate) fn lacks_queue(interface: &str, queue: u32) -> bool {
    let folder = folder(interface);
    folder.exists() && !folder.join(format!("rx-{queue}")).exists()
}
