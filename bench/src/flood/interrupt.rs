//! Interrupting a thread's system call with a signal: the only way to end a BPF test-run early.
//!
//! Invariant defended: the handler does nothing at all, so it is safe at any point of any thread; a signal is only sent to a
//! thread that has not been joined. SIGURG is used because it is ignored by default: a handler that does nothing changes
//! nothing for the rest of the process.

use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::sync::OnceLock;
use std::thread::JoinHandle;

const SIGNAL: libc::c_int = libc::SIGURG;

extern "C" fn do_nothing(_signal: libc::c_int) {}

fn install() -> Result<(), i32> {
    let handler: extern "C" fn(libc::c_int) = do_nothing;
    // SAFETY: all zero is a valid `sigaction` (no flags, empty mask); the handler is set right below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is initialised and outlives the call; the old action is not asked for.
    match unsafe { libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL)),
    }
}

/// Interrupts the system call that `thread` is in, if it is in one that can be interrupted.
pub(super) fn interrupt<T>(thread: &JoinHandle<T>) -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    (*INSTALLED.get_or_init(install)).map_err(io::Error::from_raw_os_error)?;
    // SAFETY: the handle borrowed here shows that the thread has been neither joined nor detached.
    match unsafe { libc::pthread_kill(thread.as_pthread_t(), SIGNAL) } {
        // ESRCH: it has ended by itself.
        0 | libc::ESRCH => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
