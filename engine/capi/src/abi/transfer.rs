//! Bytes in and out.

use crate::caller::{Answer, Bytes, Place, answer, pieces};
use crate::descriptors;
use crate::errno::{Errno, Result};
use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};
use std::ffi::{c_int, c_void};

/// Receives into pieces; never more than half of memory.
fn receive(fd: c_int, pieces: &mut [Bytes], flags: c_int) -> Result<ssize_t> {
    let (engine, file) = descriptors::socket(fd)?;
    engine.receive(file, pieces, flags).map(|count| count as ssize_t)
}

/// Sends pieces.
fn send(fd: c_int, pieces: &[Bytes], flags: c_int) -> Result<ssize_t> {
    let (engine, file) = descriptors::socket(fd)?;
    engine.send(file, pieces, flags).map(|count| count as ssize_t)
}

/// read(2).
///
/// Errors: EBADF, ENOTSOCK, EFAULT, EAGAIN, ENOTCONN, and once the reason of a failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_read(fd: c_int, bytes: *mut c_void, len: size_t) -> ssize_t {
    answer(|| {
        descriptors::socket(fd)?;
        // SAFETY: what C promised.
        let bytes = unsafe { Bytes::new(bytes, len) };
        // Other than `recv`, `read` asks nobody for nothing.
        if len == 0 { Ok(0) } else { receive(fd, &mut [bytes], 0) }
    })
}

/// write(2). EPIPE comes with SIGPIPE.
///
/// Errors: EBADF, ENOTSOCK, EFAULT, EAGAIN, EPIPE, and once the reason of a failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_write(fd: c_int, bytes: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: what C promised.
    answer(|| send(fd, &[unsafe { Bytes::new(bytes, len) }], 0))
}

/// How many pieces `readv` and `writev` are given.
fn count(count: c_int) -> Result<usize> {
    usize::try_from(count).map_err(|_| Errno::INVALID)
}

/// readv(2).
///
/// Errors: as sw_read; EINVAL for more than 1024 pieces or too many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_readv(fd: c_int, vector: *const iovec, len: c_int) -> ssize_t {
    answer(|| {
        descriptors::socket(fd)?;
        // SAFETY: what C promised.
        let mut pieces = unsafe { pieces(vector, count(len)?)? };
        if pieces.iter().all(|piece| piece.len() == 0) { Ok(0) } else { receive(fd, &mut pieces, 0) }
    })
}

/// writev(2). EPIPE comes with SIGPIPE.
///
/// Errors: as sw_write; EINVAL for more than 1024 pieces or too many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_writev(fd: c_int, vector: *const iovec, len: c_int) -> ssize_t {
    answer(|| {
        descriptors::socket(fd)?;
        // SAFETY: what C promised.
        send(fd, &unsafe { pieces(vector, count(len)?)? }, 0)
    })
}

/// recv(2), with MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL and MSG_TRUNC.
///
/// Errors: as sw_read; EINVAL for MSG_OOB, since urgent bytes stay in line.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_recv(fd: c_int, bytes: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: what C promised.
    answer(|| receive(fd, &mut [unsafe { Bytes::new(bytes, len) }], flags))
}

/// send(2), with MSG_DONTWAIT and MSG_NOSIGNAL.
///
/// Errors: as sw_write; EOPNOTSUPP for MSG_OOB and MSG_FASTOPEN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_send(fd: c_int, bytes: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: what C promised.
    answer(|| send(fd, &[unsafe { Bytes::new(bytes, len) }], flags))
}

/// recvfrom(2). A stream has no addresses: `*address_len` is 0 afterwards.
///
/// Errors: as sw_recv.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_recvfrom(
    fd: c_int,
    bytes: *mut c_void,
    len: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> ssize_t {
    answer(|| {
        // SAFETY: what C promised.
        let (bytes, mut from) = unsafe { (Bytes::new(bytes, len), Answer::new(address, address_len)) };
        let received = receive(fd, &mut [bytes], flags)?;
        if !from.is_null() {
            from.put_nothing()?;
        }
        Ok(received)
    })
}

/// sendto(2). A stream goes to its peer, whatever `address` says.
///
/// Errors: as sw_send.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_sendto(
    fd: c_int,
    bytes: *const c_void,
    len: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_len: socklen_t,
) -> ssize_t {
    answer(|| {
        descriptors::socket(fd)?;
        if !address.is_null() && address_len as usize > size_of::<libc::sockaddr_storage>() {
            return Err(Errno::INVALID);
        }
        // SAFETY: what C promised.
        send(fd, &[unsafe { Bytes::new(bytes, len) }], flags)
    })
}

/// recvmsg(2). There are no addresses and no control messages: their lengths are 0 afterwards, and so is `msg_flags`.
///
/// Errors: as sw_recv; EMSGSIZE for more than 1024 pieces.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    answer(|| {
        descriptors::socket(fd)?;
        // SAFETY: what C promised.
        let (mut place, message, mut pieces) = unsafe { self::message(message)? };
        let received = receive(fd, &mut pieces, flags)?;
        place.write(msghdr { msg_namelen: 0, msg_controllen: 0, msg_flags: 0, ..message })?;
        Ok(received)
    })
}

/// sendmsg(2). Addresses and control messages are not looked at.
///
/// Errors: as sw_send; EMSGSIZE for more than 1024 pieces.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sw_sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    answer(|| {
        descriptors::socket(fd)?;
        // SAFETY: what C promised.
        let (_, _, pieces) = unsafe { self::message(message)? };
        send(fd, &pieces, flags)
    })
}

/// Where a message is, what it says, and the pieces that it names.
unsafe fn message<'call>(at: *const msghdr) -> Result<(Place<'call, msghdr>, msghdr, Vec<Bytes<'call>>)> {
    // SAFETY: what C promised.
    let place = unsafe { Place::new(at) };
    let message = place.read()?;
    if message.msg_iovlen > 1024 {
        return Err(Errno(libc::EMSGSIZE));
    }
    // SAFETY: what C promised.
    let pieces = unsafe { pieces(message.msg_iov, message.msg_iovlen)? };
    Ok((place, message, pieces))
}
