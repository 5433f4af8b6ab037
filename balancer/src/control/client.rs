//! The command line's side of the control socket.

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Asks the running server at `socket` for the document at `path`.
///
/// # Errors
/// When nobody serves there, or the answer is not the document.
pub fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = runtime.block_on(fetch(socket, path))?;
    serde_json::from_slice(&body)
        .with_context(|| format!("{}: unexpected answer to {path}: is it an older synward?", socket.display()))
}

async fn fetch(socket: &Path, path: &str) -> Result<Bytes> {
    let stream = tokio::net::UnixStream::connect(socket).await.with_context(|| {
        format!("{}: cannot connect: is `synward serve` running, and its --control the same?", socket.display())
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", "synward").body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("{}: {path}: {status}: {}", socket.display(), String::from_utf8_lossy(&body));
    }
    Ok(body)
}
