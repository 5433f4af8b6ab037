//! From socket to shutdown.

use crate::address::{Family, Named, tell};
use crate::caller::{Answer, Bytes, answer, done};
use crate::descriptors::{self, FileId, Kind};
use crate::engine::Engine;
use crate::errno::{Errno, Result};
use crate::life::{Flags, kind};
use libc::{sockaddr, socklen_t};
use std::ffi::c_int;
use std::sync::Arc;
use synward_engine::Shutdown;

use super::engine::in_use;

/// socket(2), for AF_INET and AF_INET6 with SOCK_STREAM, of the engine in use (see sw_use).
///
/// Errors: EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EINVAL, EMFILE; ENETDOWN when no engine is open.
#[unsafe(no_mangle)]
pub extern "C" fn sw_socket(domain: c_int, r#type: c_int, protocol: c_int) -> c_int {
    answer(|| {
        let (family, flags) = kind(domain, r#type, protocol)?;
        let engine = in_use()?;
        let file = engine.call(|state| Ok(state.open_socket(family, flags)))?;
        give(&engine, file)
    })
}

/// Gives a socket its descriptor; without one it is closed again.
fn give(engine: &Arc<Engine>, file: FileId) -> Result<c_int> {
    let given = descriptors::give(engine, Kind::Socket(file));
    if given.is_err() {
        engine.call(|state| {
            state.discard(file);
            Ok(())
        })?;
    }
    given
}

/// bind(2). IPv6 sockets are IPv6 only.
///
/// Errors: EBADF, ENOTSOCK, EFAULT, EINVAL, EAFNOSUPPORT, EADDRINUSE, EADDRNOTAVAIL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_bind(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    done(|| {
        let (engine, file) = descriptors::socket(fd)?;
        // SAFETY: what C promised.
        let address = unsafe { named(address, len) };
        engine.bind(file, address)
    })
}

/// How the address that C gives is read.
unsafe fn named<'call>(address: *const sockaddr, len: socklen_t) -> impl Fn(Family) -> Result<Named> + 'call {
    // SAFETY: what C promised.
    let bytes = unsafe { Bytes::new(address, len as usize) };
    move |family: Family| family.read(&bytes)
}

/// listen(2). A second time changes nothing.
///
/// Errors: EBADF, ENOTSOCK, EINVAL, EADDRINUSE, ENOBUFS, ENETDOWN.
#[unsafe(no_mangle)]
pub extern "C" fn sw_listen(fd: c_int, backlog: c_int) -> c_int {
    done(|| {
        let (engine, file) = descriptors::socket(fd)?;
        engine.listen(file, backlog)
    })
}

/// accept(2).
///
/// Errors: EBADF, ENOTSOCK, EINVAL when it does not listen, EAGAIN, EFAULT, EMFILE, ENOBUFS, ENETDOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_accept(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: what C promised.
    unsafe { sw_accept4(fd, address, len, 0) }
}

/// accept4(2).
///
/// Errors: as sw_accept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_accept4(fd: c_int, address: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int {
    answer(|| {
        let flags = Flags::read(flags)?;
        let (engine, file) = descriptors::socket(fd)?;
        // SAFETY: what C promised.
        let mut peer_out = unsafe { Answer::new(address, len) };
        let patience = engine.call(|state| Ok(state.socket(file)?.patience_in(0)))?;
        let (new, peer) = engine.wait(patience, |state| state.accept(file, flags))?;
        if !peer_out.is_null()
            && let Err(error) = tell(&peer, &mut peer_out)
        {
            engine.close_socket(new)?;
            return Err(error);
        }
        give(&engine, new)
    })
}

/// connect(2). AF_UNSPEC takes the connection from the socket, with a reset.
///
/// Errors: EBADF, ENOTSOCK, EFAULT, EINVAL, EAFNOSUPPORT, EISCONN, EALREADY, EINPROGRESS, ECONNREFUSED, ETIMEDOUT,
/// EHOSTUNREACH, ENETUNREACH, EADDRINUSE, EADDRNOTAVAIL and others that ICMP brings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    done(|| {
        let (engine, file) = descriptors::socket(fd)?;
        // SAFETY: what C promised.
        let address = unsafe { named(address, len) };
        engine.connect(file, address)
    })
}

/// shutdown(2).
///
/// Errors: EBADF, ENOTSOCK, EINVAL, ENOTCONN.
#[unsafe(no_mangle)]
pub extern "C" fn sw_shutdown(fd: c_int, how: c_int) -> c_int {
    done(|| {
        let (engine, file) = descriptors::socket(fd)?;
        let how = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(Errno::INVALID),
        };
        engine.shut_down(file, how)
    })
}

/// getsockname(2).
///
/// Errors: EBADF, ENOTSOCK, EFAULT, EINVAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_getsockname(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int {
    done(|| {
        let (engine, file) = descriptors::socket(fd)?;
        // SAFETY: what C promised.
        let mut out = unsafe { Answer::new(address, len) };
        tell(&engine.call(|state| state.local_end(file))?, &mut out)
    })
}

/// getpeername(2).
///
/// Errors: EBADF, ENOTSOCK, ENOTCONN, EFAULT, EINVAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_getpeername(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int {
    done(|| {
        let (engine, file) = descriptors::socket(fd)?;
        // SAFETY: what C promised.
        let mut out = unsafe { Answer::new(address, len) };
        tell(&engine.call(|state| state.peer_end(file))?, &mut out)
    })
}
