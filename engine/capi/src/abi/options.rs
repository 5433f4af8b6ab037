//! Options and what else is known of a socket.

use crate::caller::{Answer, Bytes, Place, answer, done};
use crate::descriptors::{self, Kind, Open};
use crate::errno::{Errno, Result};
use libc::socklen_t;
use std::ffi::{c_int, c_long, c_ulong, c_void};

/// setsockopt(2). docs/c.md lists the options.
///
/// Errors: EBADF, ENOTSOCK, EFAULT, EINVAL, EDOM, ENOENT, ENOPROTOOPT, ENOBUFS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    done(|| {
        let (engine, file) = descriptors::socket(fd)?;
        let len = usize::try_from(len.cast_signed()).map_err(|_| Errno::INVALID)?;
        // SAFETY: what C promised.
        let value = unsafe { Bytes::new(value, len) };
        engine.call(|state| state.set_option(file, level, name, &value))
    })
}

/// getsockopt(2). docs/c.md lists the options. What is longer than `*len` is cut.
///
/// Errors: EBADF, ENOTSOCK, EFAULT, EINVAL, ENOPROTOOPT, ENOBUFS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    done(|| {
        let (engine, file) = descriptors::socket(fd)?;
        // SAFETY: what C promised.
        let mut out = unsafe { Answer::new(value, len) };
        let room = out.room()?;
        let told = match (level, name) {
            (libc::IPPROTO_TCP, libc::TCP_INFO) => engine.tcp_info(file)?,
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => match engine.info(file)? {
                Some(info) => c_int::from(info.mss).to_ne_bytes().to_vec(),
                None => engine.call(|state| state.option(file, level, name))?,
            },
            _ => engine.call(|state| state.option(file, level, name))?,
        };
        out.put(&told, told.len().min(room))
    })
}

/// fcntl(2), with F_GETFL, F_SETFL (O_NONBLOCK), F_GETFD and F_SETFD. The argument is always there; 0 where it says nothing.
///
/// Errors: EBADF, EINVAL.
#[unsafe(no_mangle)]
pub extern "C" fn sw_fcntl(fd: c_int, command: c_int, argument: c_long) -> c_int {
    answer(|| match descriptors::look_up(fd)? {
        Open { engine, kind: Kind::Socket(file) } => engine.call(|state| state.fcntl(file, command, argument)),
        Open { engine, kind: Kind::Epoll(file) } => engine.call(|state| {
            let close_on_exec = &mut state.epoll(file)?.close_on_exec;
            descriptor_flags(close_on_exec, command, argument)
        }),
        Open { kind: Kind::Engine, .. } => Err(Errno::INVALID),
    })
}

/// FD_CLOEXEC of what is no socket.
fn descriptor_flags(close_on_exec: &mut bool, command: c_int, argument: c_long) -> Result<c_int> {
    match command {
        libc::F_GETFL => Ok(libc::O_RDWR),
        libc::F_GETFD => Ok(if *close_on_exec { libc::FD_CLOEXEC } else { 0 }),
        libc::F_SETFD => {
            *close_on_exec = argument & c_long::from(libc::FD_CLOEXEC) != 0;
            Ok(0)
        }
        _ => Err(Errno::INVALID),
    }
}

/// ioctl(2), with FIONREAD (SIOCINQ), SIOCOUTQ and FIONBIO.
///
/// Errors: EBADF, EFAULT, EINVAL, ENOTTY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_ioctl(fd: c_int, request: c_ulong, argument: *mut c_int) -> c_int {
    done(|| {
        // SAFETY: what C promised.
        let mut place = unsafe { Place::new(argument) };
        match descriptors::look_up(fd)? {
            Open { engine, kind: Kind::Socket(file) } => engine.call(|state| state.ioctl(file, request, &mut place)),
            Open { kind: Kind::Epoll(_) | Kind::Engine, .. } => Err(Errno(libc::ENOTTY)),
        }
    })
}
