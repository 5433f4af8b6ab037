//! Clients and servers on the kernel's TCP.

use crate::bytes::{PatternReader, hash_of};
use anyhow::{Context, Result, anyhow, ensure};
use std::io::{self, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use synward_lab::Host;

/// For what must happen, but at no particular time. Where much is lost, TCP may wait two minutes from one try to the next.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// A connection from a host.
pub fn connect(host: &Host, to: SocketAddr) -> Result<TcpStream> {
    let stream =
        host.enter(|| TcpStream::connect_timeout(&to, PATIENCE))?.with_context(|| format!("connecting to {to}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends so many bytes, ends, and wants them back as they were, and the end.
pub fn echo(host: &Host, to: SocketAddr, bytes: u64) -> Result<()> {
    let stream = connect(host, to)?;
    let (count, seen) = thread::scope(|scope| -> Result<_> {
        let sent = scope.spawn(|| -> io::Result<()> {
            copy(&mut PatternReader::new(bytes), &mut &stream)?;
            stream.shutdown(Shutdown::Write)
        });
        let seen = hash_of(&stream).context("receiving")?;
        sent.join().map_err(|_| anyhow!("the sender panicked"))?.context("sending")?;
        Ok(seen)
    })?;
    ensure!(count == bytes, "{count} of {bytes} bytes came back");
    ensure!(seen == hash_of(PatternReader::new(bytes))?.1, "the bytes differ");
    Ok(())
}

/// Echoes whatever comes to a port of a host, for as long as its namespace is there to send to it.
pub fn start_echo_server(host: &Host, port: u16) -> Result<()> {
    let listener = host.enter(|| TcpListener::bind((host.ipv4(), port)))??;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // What becomes of a connection is the client's to judge.
            thread::spawn(move || copy(&mut &stream, &mut &stream).and_then(|_| stream.shutdown(Shutdown::Write)));
        }
    });
    Ok(())
}
