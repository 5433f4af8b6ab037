//! Many connections at once that are silent for a while and then each echo.

use crate::descriptors;
use anyhow::{Context, Result};
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A herd of idle connections.
#[derive(Clone, Copy, Debug)]
pub struct Herd {
    /// An echo server.
    pub target: SocketAddr,
    /// Connections open at once.
    pub size: u32,
    /// How long all of them say nothing.
    pub silence: Duration,
    /// How long connecting, and later the echo, may take for each.
    pub patience: Duration,
}

/// How the herd fared.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HerdOutcome {
    /// Connections that were open at the same time.
    pub connected: u32,
    /// Those of them that echoed after the silence.
    pub echoed: u32,
}

/// Connects in flight at once, so that opening the herd is not itself a flood.
const CONNECTING: usize = 64;

impl Herd {
    /// Runs from the calling thread's network namespace.
    ///
    /// # Errors
    /// When no runtime can be made or the limit of descriptors is below the herd's size.
    pub fn run(&self) -> Result<HerdOutcome> {
        descriptors::raise_limit(u64::from(self.size) + 256)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("client runtime")?;
        Ok(runtime.block_on(self.drive()))
    }

    async fn drive(&self) -> HerdOutcome {
        let mut open = Vec::with_capacity(self.size as usize);
        let mut connecting = JoinSet::new();
        for started in 0..self.size as usize + CONNECTING {
            if started < self.size as usize {
                let Self { target, patience, .. } = *self;
                connecting.spawn(async move { timeout(patience, TcpStream::connect(target)).await });
            }
            if started >= CONNECTING
                && let Some(Ok(Ok(Ok(stream)))) = connecting.join_next().await
            {
                open.push(stream);
            }
        }
        let connected = open.len() as u32;
        tokio::time::sleep(self.silence).await;
        let mut echoing = JoinSet::new();
        for (number, stream) in open.into_iter().enumerate() {
            let patience = self.patience;
            echoing.spawn(async move { timeout(patience, echo(stream, number as u64)).await });
        }
        let mut echoed = 0;
        while let Some(ended) = echoing.join_next().await {
            echoed += u32::from(matches!(ended, Ok(Ok(Ok(())))));
        }
        HerdOutcome { connected, echoed }
    }
}

async fn echo(mut stream: TcpStream, number: u64) -> io::Result<()> {
    let question = number.to_be_bytes();
    let mut answer = [0; 8];
    stream.write_all(&question).await?;
    stream.read_exact(&mut answer).await?;
    if answer == question { Ok(()) } else { Err(io::Error::other("the echo differs")) }
}
