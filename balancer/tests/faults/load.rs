//! Clients that echo all the while, each on a connection of its own, and count what came back as it was sent.

use anyhow::{Context, Result, anyhow, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use synward_lab::Host;

/// Bytes of one question.
const QUESTION: usize = 4096;
/// How long an answer may take: whatever happens to the server is over by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients that run until they are asked to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// So many clients in `host`, once all are connected.
    pub fn start(host: &Host, echo: SocketAddr, count: usize) -> Result<Self> {
        let mut load = Self { stop: Arc::default(), answers: Arc::default(), clients: Vec::new() };
        for _ in 0..count {
            let stream = host.enter(|| TcpStream::connect_timeout(&echo, PATIENCE))?.context("connecting")?;
            let (stop, answers) = (Arc::clone(&load.stop), Arc::clone(&load.answers));
            load.clients.push(std::thread::spawn(move || echo_until(stream, &stop, &answers)));
        }
        Ok(load)
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Ends all clients. Each must have had every answer, whole and in order.
    pub fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        Ok(self.answers.load(Ordering::Relaxed))
    }
}

fn echo_until(mut stream: TcpStream, stop: &AtomicBool, answers: &AtomicU64) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut number, mut answer) = (0_u64, [0; QUESTION]);
    while !stop.load(Ordering::Relaxed) {
        let question: Vec<u8> = number.to_be_bytes().into_iter().cycle().take(QUESTION).collect();
        stream.write_all(&question).context("asking")?;
        stream.read_exact(&mut answer).context("waiting for an answer")?;
        ensure!(answer[..] == question[..], "answer {number} is another");
        answers.fetch_add(1, Ordering::Relaxed);
        number += 1;
    }
    Ok(())
}
