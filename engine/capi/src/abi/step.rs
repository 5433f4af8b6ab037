//! Frames and time, where they are the caller's.

use crate::caller::{Bytes, Place, answer, done};
use crate::descriptors;
use crate::engine::Patience;
use crate::errno::{Errno, Result};
use libc::{size_t, ssize_t};
use std::ffi::{c_int, c_void};
use std::time::Duration;

/// Time as C has it.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The time of an engine, in nanoseconds since it was opened. It moves by sw_step_run alone.
///
/// Errors: EBADF; EINVAL unless the engine is SW_STEPPED; EFAULT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_step_now(engine: c_int, now: *mut u64) -> c_int {
    done(|| {
        // SAFETY: what C promised.
        let mut place = unsafe { Place::new(now) };
        descriptors::engine(engine)?.call(|state| place.write(nanos(state.stepper()?.now())))
    })
}

/// Lets the engine take the frames that arrived, then lets time pass until `until` nanoseconds and runs each timer at its
/// exact time on the way. With `until` as it is now, no time passes.
///
/// Errors: EBADF; EINVAL when that is in the past, or the engine is not SW_STEPPED.
#[unsafe(no_mangle)]
pub extern "C" fn sw_step_run(engine: c_int, until: u64) -> c_int {
    done(|| descriptors::engine(engine)?.call(|state| state.run_until(Duration::from_nanos(until))))
}

/// Before when no timer is due, in nanoseconds, however long the caller waits to run the engine. Returns 1, or 0 and leaves `due`
/// alone when no timer runs. Timers far ahead are known roughly: nothing may happen yet at that time, and then ask again.
///
/// Errors: EBADF; EINVAL unless the engine is SW_STEPPED; EFAULT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_step_deadline(engine: c_int, due: *mut u64) -> c_int {
    answer(|| {
        // SAFETY: what C promised.
        let mut place = unsafe { Place::new(due) };
        descriptors::engine(engine)?.call(|state| match state.stepper()?.deadline() {
            Some(deadline) => place.write(nanos(deadline)).map(|()| 1),
            None => Ok(0),
        })
    })
}

/// An Ethernet frame arrives. A stepped engine takes it at the next call on it; so several arrive at once if nothing is called
/// in between.
///
/// Errors: EBADF; EINVAL when frames are not the caller's; EFAULT; ENOBUFS when there is no room: the frame is lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_frame_inject(engine: c_int, frame: *const c_void, len: size_t) -> c_int {
    done(|| {
        // SAFETY: what C promised.
        let frame = unsafe { Bytes::new(frame, len) };
        let engine = descriptors::engine(engine)?;
        if let Some(frames) = engine.frames() {
            return frames.inject(frame.get()?);
        }
        engine.at_once(|state| match state.stepper()?.inject(frame.get()?) {
            true => Ok(()),
            false => Err(Errno(libc::ENOBUFS)),
        })
    })
}

/// Takes the next frame that the engine has sent, and returns its length. Unless `sent_at` is NULL, it is told when the frame
/// was sent, on the clock of a stepped engine; else it is told 0. An engine in real time waits for a frame, at most `timeout`
/// milliseconds, or for ever if that is negative.
///
/// Errors: EBADF; EINVAL when frames are not the caller's; EFAULT; EAGAIN when there is none; EMSGSIZE when it is longer than
/// `len`: it stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_frame_take(
    engine: c_int,
    frame: *mut c_void,
    len: size_t,
    sent_at: *mut u64,
    timeout: c_int,
) -> ssize_t {
    answer(|| {
        // SAFETY: what C promised.
        let (mut into, mut sent_at) = unsafe { (Bytes::new(frame, len), Place::new(sent_at)) };
        let mut put = |bytes: &[u8], at: u64| -> Result<ssize_t> {
            if bytes.len() > into.len() {
                return Err(Errno(libc::EMSGSIZE));
            }
            if !sent_at.is_null() {
                sent_at.write(at)?;
            }
            // No frame is longer than the room, which is at most half of memory.
            into.put(bytes).map(|count| count as ssize_t)
        };
        let engine = descriptors::engine(engine)?;
        if let Some(frames) = engine.frames() {
            return frames.take(Patience::of_millis(timeout), |bytes| put(bytes, 0));
        }
        engine.at_once(|state| {
            let stepper = state.stepper()?;
            let sent = stepper.next_sent().ok_or(Errno::AGAIN)?;
            let count = put(&sent.frame, nanos(sent.at))?;
            stepper.take_sent();
            Ok(count)
        })
    })
}
