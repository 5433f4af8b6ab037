//! Honest clients at a fixed pace: connect, one request, one answer, close.
//!
//! The clients are ordinary kernel sockets, so what they see is what any real client would see. The pace is open-loop: a
//! request starts when its time has come, whether or not earlier ones are done, so a stall cannot hide behind itself.

use crate::quantile::Quantiles;
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, MissedTickBehavior, timeout};

/// What a client asks, and how it knows that it was answered.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// `GET /`, answered by a status line and the close.
    Http,
    /// Sixty-four bytes, which must come back.
    Echo,
}

/// A run of paced requests.
#[derive(Clone, Copy, Debug)]
pub struct Paced {
    /// Whom to ask.
    pub target: SocketAddr,
    /// What to ask.
    pub request: Request,
    /// Requests in all.
    pub requests: u32,
    /// Requests that start each second.
    pub rate: u32,
    /// From connect to the last byte of the answer; a request that takes longer has failed.
    pub deadline: Duration,
}

/// How the requests fared.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Requests started.
    pub requests: u32,
    /// Requests answered within the deadline.
    pub ok: u32,
    /// Median time from connect to the end of the answer, of those answered.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
    /// The slowest of the same.
    pub max_ms: f64,
    /// The others, by what went wrong.
    pub failures: BTreeMap<String, u32>,
}

impl Outcome {
    /// Share of requests answered in time, 0 to 1.
    pub fn success(&self) -> f64 {
        f64::from(self.ok) / f64::from(self.requests.max(1))
    }
}

impl Paced {
    /// Runs from the calling thread's network namespace and returns when the last request has ended.
    ///
    /// # Errors
    /// When no runtime can be made; failed requests are part of the outcome.
    pub fn run(&self) -> Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("client runtime")?;
        Ok(runtime.block_on(self.drive()))
    }

    async fn drive(&self) -> Outcome {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / self.rate.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..self.requests {
            pace.tick().await;
            let plan = *self;
            running.spawn(async move {
                let start = Instant::now();
                let result = timeout(plan.deadline, plan.ask()).await;
                (start.elapsed(), result)
            });
        }
        let mut outcome = Outcome { requests: self.requests, ..Outcome::default() };
        let mut times = Quantiles::default();
        while let Some(ended) = running.join_next().await {
            let judged = match ended {
                Ok((elapsed, result)) => self.judge(elapsed, result),
                Err(panic) => Err(panic.to_string()),
            };
            match judged {
                Ok(elapsed) => {
                    outcome.ok += 1;
                    times.add(elapsed);
                }
                Err(failure) => *outcome.failures.entry(failure).or_default() += 1,
            }
        }
        outcome.p50_ms = times.millis(0.50);
        outcome.p99_ms = times.millis(0.99);
        outcome.max_ms = times.millis(1.0);
        outcome
    }

    /// The time of a request that was answered before the deadline, or what went wrong.
    fn judge(&self, elapsed: Duration, result: Result<io::Result<()>, Elapsed>) -> Result<Duration, String> {
        match result {
            // A runtime that comes too late sees the answer before it sees that the time is up.
            Ok(Ok(())) if elapsed <= self.deadline => Ok(elapsed),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(())) | Err(_) => Err(format!("no answer within {} ms", self.deadline.as_millis())),
        }
    }

    async fn ask(self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        match self.request {
            Request::Http => ask_http(&mut stream).await,
            Request::Echo => ask_echo(&mut stream).await,
        }
    }
}

async fn ask_http(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: front\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::with_capacity(512);
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { Err(io::Error::other("not an HTTP 200 answer")) }
}

async fn ask_echo(stream: &mut TcpStream) -> io::Result<()> {
    let question = [0x5a; 64];
    let mut answer = [0; 64];
    stream.write_all(&question).await?;
    stream.read_exact(&mut answer).await?;
    if answer == question { Ok(()) } else { Err(io::Error::other("the echo differs")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_after_the_deadline_is_none() {
        let deadline = Duration::from_secs(1);
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        let paced = Paced { target, request: Request::Http, requests: 1, rate: 1, deadline };
        assert_eq!(paced.judge(deadline, Ok(Ok(()))), Ok(deadline));
        let late = paced.judge(deadline + Duration::from_nanos(1), Ok(Ok(())));
        assert_eq!(late, Err("no answer within 1000 ms".to_owned()));
        let failed = paced.judge(Duration::ZERO, Ok(Err(io::Error::other("refused"))));
        assert_eq!(failed, Err("refused".to_owned()));
    }
}
