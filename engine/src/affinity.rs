//! Which core a thread runs on, and before whom.

use core_affinity::CoreId;

/// The highest of the ordinary priorities (setpriority(2)).
const HIGHEST: i32 = -20;

/// Lets the calling thread run before all others of ordinary priority; false when the process may not (CAP_SYS_NICE). A
/// poll loop that waits for its core while a flood arrives loses what its rings cannot hold. A real-time policy would go
/// further, and starve the kernel's own threads.
pub(crate) fn run_before_others() -> bool {
    // On Linux this is the thread, not the process.
    rustix::process::setpriority_process(None, HIGHEST).is_ok()
}

/// Pins the calling thread to a core; false when there is no such core or the kernel refuses.
pub(crate) fn pin_to(core: usize) -> bool {
    core_affinity::get_core_ids().is_some_and(|cores| cores.contains(&CoreId { id: core }))
        && core_affinity::set_for_current(CoreId { id: core })
}

#[cfg(test)]
mod tests {
    use super::pin_to;

    #[test]
    fn pins_to_a_core_that_exists_and_to_no_other() {
        let cores = core_affinity::get_core_ids().expect("the kernel lists the cores");
        let last = cores.last().expect("there is a core").id;
        std::thread::spawn(move || {
            assert!(!pin_to(usize::MAX));
            assert!(pin_to(last));
            assert_eq!(core_affinity::get_core_ids().map(|cores| cores.len()), Some(1));
        })
        .join()
        .expect("the pinned thread ends");
    }
}
