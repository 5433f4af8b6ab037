//! How far a connection has come, as the kernel's TCP counts it.
//!
//! The one unsafe call has the kernel write into an array of ours, whose length it is told.

use anyhow::{Context, Result, ensure};
use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// `tcpi_bytes_acked` (RFC 4898, tcpEStatsAppHCThruOctetsAcked): behind 8 fields of a byte, 24 of four and 2 of eight in
/// `struct tcp_info` of `linux/tcp.h`, which only ever grows at its end.
const BYTES_ACKED: std::ops::Range<usize> = 120..128;

/// Bytes that the peer has acknowledged, since the connection was opened.
///
/// # Errors
/// The kernel is older than 4.1.
pub(super) fn acknowledged(stream: &TcpStream) -> Result<u64> {
    let mut info = [0_u8; BYTES_ACKED.end];
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as the stream is borrowed; the kernel writes at most `len` bytes, the array's.
    let result = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut len)
    };
    if result != 0 {
        return Err(std::io::Error::last_os_error()).context("TCP_INFO");
    }
    ensure!(len as usize == info.len(), "TCP_INFO has only {len} bytes");
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&info[BYTES_ACKED]);
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::acknowledged;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_was_read_has_been_acknowledged() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let mut stream = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        let (mut accepted, _) = listener.accept().expect("accepted");
        let before = acknowledged(&stream).expect("a count");
        stream.write_all(&[1; 1000]).expect("sent");
        accepted.read_exact(&mut [0; 1000]).expect("received");
        // An ACK may wait; one that carries an answer does not.
        accepted.write_all(b"!").expect("answered");
        stream.read_exact(&mut [0]).expect("heard");
        assert_eq!(acknowledged(&stream).expect("a count") - before, 1000);
    }
}
