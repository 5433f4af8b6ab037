//! The command line's side of the control socket.

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Asks the running server at `socket` for the document at `path`.
///
/// # Errors
/// When nobody serves there, or the answer is not the document.
pub fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T> {
    ask(socket, Request::get(path).body(Full::default())?)
}

/// Sends an order to the running server at `socket`, and gives its answer.
///
/// # Errors
/// When nobody serves there, or it refuses: then why.
pub fn post<T: DeserializeOwned>(socket: &Path, path: &str, order: &impl Serialize) -> Result<T> {
    let request = Request::post(path).header("content-type", "application/json");
    ask(socket, request.body(Full::from(serde_json::to_vec(order)?))?)
}

fn ask<T: DeserializeOwned>(socket: &Path, request: Request<Full<Bytes>>) -> Result<T> {
    let path = request.uri().path().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = runtime.block_on(fetch(socket, request))?;
    serde_json::from_slice(&body)
        .with_context(|| format!("{}: unexpected answer to {path}: is it an older synward?", socket.display()))
}

async fn fetch(socket: &Path, mut request: Request<Full<Bytes>>) -> Result<Bytes> {
    let stream = tokio::net::UnixStream::connect(socket).await.with_context(|| {
        format!(
            "{}: cannot connect: is `synward run` or `synward serve` running, and its --control the same?",
            socket.display()
        )
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    request.headers_mut().insert(HOST, HeaderValue::from_static("synward"));
    let path = request.uri().path().to_owned();
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    if status == StatusCode::CONFLICT || status == StatusCode::BAD_REQUEST {
        bail!("{}", String::from_utf8_lossy(&body));
    }
    if !status.is_success() {
        bail!("{}: {path}: {status}: {}", socket.display(), String::from_utf8_lossy(&body));
    }
    Ok(body)
}
