//! The one to beat: the same small server on the kernel's TCP.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

/// Serves `GET /` on `http` and echo on `echo` with this `backlog`, in the calling thread's network namespace, on one
/// thread, until the other end of `stop` says so or is dropped.
///
/// # Errors
/// When an address cannot be bound.
pub fn serve(http: SocketAddr, echo: SocketAddr, backlog: u32, stop: oneshot::Receiver<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("server runtime")?;
    runtime.block_on(async move {
        let (http, echo) = (listen(http, backlog)?, listen(echo, backlog)?);
        tokio::select! {
            () = accept(http, answer_http) => {}
            () = accept(echo, answer_echo) => {}
            _ = stop => {}
        }
        Ok(())
    })
}

/// A listener in the calling thread's network namespace.
pub(crate) fn listen(at: SocketAddr, backlog: u32) -> Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.context("socket")?;
    socket.set_reuseaddr(true).context("SO_REUSEADDR")?;
    socket.bind(at).with_context(|| format!("binding {at}"))?;
    socket.listen(backlog).with_context(|| format!("listening on {at}"))
}

/// Serves every connection in a task of its own, for ever.
pub(crate) async fn accept<F, S>(listener: TcpListener, serve: S)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
    S: Fn(TcpStream) -> F,
{
    loop {
        // EMFILE and its like are passing conditions: the connection stays in the queue.
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream))),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn answer_http(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(512);
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n").await
}

/// Sends back what comes in, until the other side has no more to say.
pub(crate) async fn answer_echo(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await.map(drop)
}
