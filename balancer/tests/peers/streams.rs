//! The kernel's ends of connections to the engine: each knows what bytes must come.

use crate::bed::PATIENCE;
use crate::bytes::{PatternReader, hash_of};
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Write, copy};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use synward_lab::Host;

pub const HTTP: u16 = 80;
pub const ECHO: u16 = 7;

/// Which way the bytes go, seen from the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the engine (`GET`).
    Out,
    /// To the engine (`PUT`).
    In,
    /// Both at once (echo).
    Both,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Out, Self::In, Self::Both];
}

/// Connections from `peer` to the engine's `address`, all at once: so many bytes on each.
pub fn run(peer: &Host, address: IpAddr, way: Way, streams: usize, bytes: u64) -> Result<()> {
    let wanted = hash_of(PatternReader::new(bytes))?.1;
    peer.enter(|| {
        thread::scope(|scope| {
            let stream = || stream(address, way, bytes, &wanted).with_context(|| format!("{way:?}, {address}"));
            let running: Vec<_> = (0..streams).map(|_| scope.spawn(stream)).collect();
            running.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("panicked"))?)
        })
    })?
}

fn stream(address: IpAddr, way: Way, bytes: u64, wanted: &str) -> Result<()> {
    match way {
        Way::Out => fetch(connect(address, HTTP)?, bytes, wanted),
        Way::In => send(connect(address, HTTP)?, bytes, wanted),
        Way::Both => echo(connect(address, ECHO)?, bytes, wanted),
    }
}

fn connect(address: IpAddr, port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), PATIENCE).context("connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn fetch(mut stream: TcpStream, bytes: u64, wanted: &str) -> Result<()> {
    write!(stream, "GET /bytes/{bytes} HTTP/1.0\r\n\r\n")?;
    let mut answer = BufReader::new(stream);
    skip_head(&mut answer)?;
    let (count, seen) = hash_of(answer)?;
    ensure!(count == bytes && seen == wanted, "{count} of {bytes} bytes came: {seen}, not {wanted}");
    Ok(())
}

fn send(mut stream: TcpStream, bytes: u64, wanted: &str) -> Result<()> {
    write!(stream, "PUT / HTTP/1.0\r\ncontent-length: {bytes}\r\n\r\n")?;
    copy(&mut PatternReader::new(bytes), &mut stream).context("sending")?;
    let mut answer = BufReader::new(stream);
    skip_head(&mut answer)?;
    let seen: serde_json::Value = serde_json::from_reader(answer).context("the answer")?;
    ensure!(seen["bytes"] == bytes && seen["sha256"] == wanted, "wanted {bytes} bytes, {wanted}, got {seen}");
    Ok(())
}

/// Reads to the end of an answer's head.
fn skip_head(answer: &mut impl BufRead) -> Result<()> {
    let mut status = String::new();
    answer.read_line(&mut status)?;
    ensure!(status.contains(" 200 "), "answered by {status:?}");
    let mut line = status;
    while line.trim_end() != "" {
        line.clear();
        ensure!(answer.read_line(&mut line)? > 0, "the answer ends within its head");
    }
    Ok(())
}

fn echo(stream: TcpStream, bytes: u64, wanted: &str) -> Result<()> {
    let mut sending = stream.try_clone()?;
    let (count, seen) = thread::scope(|scope| -> Result<_> {
        let sender = scope.spawn(move || -> std::io::Result<()> {
            copy(&mut PatternReader::new(bytes), &mut sending)?;
            sending.shutdown(Shutdown::Write)
        });
        let heard = hash_of(&stream);
        sender.join().map_err(|_| anyhow::anyhow!("panicked"))?.context("sending")?;
        heard.context("receiving")
    })?;
    ensure!(count == bytes && seen == wanted, "{count} of {bytes} bytes came back: {seen}, not {wanted}");
    Ok(())
}
