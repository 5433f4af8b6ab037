//! poll and epoll.

use crate::caller::{Place, answer, done};
use crate::descriptors::{self, Kind};
use crate::engine::Patience;
use crate::epoll::{Epoll, Interest, control};
use crate::errno::{Errno, Result};
use crate::poll::poll;
use libc::{epoll_event, nfds_t, pollfd};
use std::ffi::c_int;

use super::engine::in_use;

/// The most descriptors that one call of poll takes.
const MOST_POLLED: usize = 1 << 20;

/// poll(2), for sockets and epoll instances. A stepped engine does not wait.
///
/// Errors: EFAULT; EINVAL for too many descriptors, and where several engines would have to be waited for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    answer(|| {
        let count = usize::try_from(count).ok().filter(|&count| count <= MOST_POLLED).ok_or(Errno::INVALID)?;
        // SAFETY: what C promised: each is within the array, if there is one.
        let place = |number| unsafe { Place::new(if fds.is_null() { fds } else { fds.add(number) }) };
        let mut asked = (0..count).map(|number| place(number).read()).collect::<Result<Vec<pollfd>>>()?;
        let ready = poll(&mut asked, Patience::of_millis(timeout))?;
        for (number, fd) in asked.into_iter().enumerate() {
            place(number).write(fd)?;
        }
        Ok(ready)
    })
}

/// epoll_create1(2), for sockets of the engine in use (see sw_use).
///
/// Errors: EINVAL, EMFILE; ENETDOWN when no engine is open.
#[unsafe(no_mangle)]
pub extern "C" fn sw_epoll_create1(flags: c_int) -> c_int {
    answer(|| {
        if flags & !libc::EPOLL_CLOEXEC != 0 {
            return Err(Errno::INVALID);
        }
        let engine = in_use()?;
        let file = engine.call(|state| {
            let file = state.next_file();
            state.epolls.insert(file, Epoll::new(flags != 0));
            Ok(file)
        })?;
        let given = descriptors::give(&engine, Kind::Epoll(file));
        if given.is_err() {
            engine.call(|state| {
                state.close_epoll(file);
                Ok(())
            })?;
        }
        given
    })
}

/// epoll_ctl(2), level-triggered or with EPOLLET, and EPOLLONESHOT.
///
/// Errors: EBADF, EEXIST, ENOENT, EFAULT; EINVAL, also where the socket is of another engine; EPERM for what is no socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_epoll_ctl(epoll: c_int, operation: c_int, fd: c_int, event: *mut epoll_event) -> c_int {
    done(|| {
        // SAFETY: what C promised.
        let place = unsafe { Place::new(event) };
        // As in Linux, the event is read before anything is looked up.
        let interest = match operation {
            libc::EPOLL_CTL_DEL => None,
            _ => Some(place.read().map(|event| Interest { events: event.events, data: event.u64 })?),
        };
        let of = descriptors::look_up(epoll)?;
        let target = descriptors::look_up(fd)?;
        let Kind::Socket(file) = target.kind else {
            return Err(if epoll == fd { Errno::INVALID } else { Errno(libc::EPERM) });
        };
        let Kind::Epoll(instance) = of.kind else { return Err(Errno::INVALID) };
        if !std::sync::Arc::ptr_eq(&of.engine, &target.engine) {
            return Err(Errno::INVALID);
        }
        let control = control(operation, interest)?;
        of.engine.call(|state| state.control(instance, file, control))
    })
}

/// epoll_wait(2). A stepped engine does not wait.
///
/// Errors: EBADF, EFAULT; EINVAL when it is no epoll instance, or `most` is not positive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_epoll_wait(epoll: c_int, events: *mut epoll_event, most: c_int, timeout: c_int) -> c_int {
    answer(|| {
        /// As many as Linux takes (`EP_MAX_EVENTS`).
        const MOST: usize = i32::MAX as usize / size_of::<epoll_event>();
        let most = usize::try_from(most).ok().filter(|most| (1..=MOST).contains(most)).ok_or(Errno::INVALID)?;
        let (engine, instance) = descriptors::epoll(epoll)?;
        if events.is_null() {
            return Err(Errno::FAULT);
        }
        let patience = Patience::of_millis(timeout);
        let found = match engine.wait(patience, |state| state.collect(instance, most)) {
            Err(Errno::AGAIN) => return Ok(0),
            found => found?,
        };
        for (number, found) in found.iter().enumerate() {
            // SAFETY: what C promised: there is room for `most`, and no more were found.
            let mut place = unsafe { Place::new(events.add(number)) };
            place.write(epoll_event { events: found.events, u64: found.data })?;
        }
        // No more than were asked for.
        Ok(found.len() as c_int)
    })
}
