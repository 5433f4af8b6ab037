//! A small web server on the kernel's TCP: nginx's stand-in, with the routes of [`Site`].

use super::program::Folder;
use super::serving::Serving;
use super::site::{Site, is_plain};
use crate::kernel_server::accept;
use anyhow::Result;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use synward_lab::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A running web server.
#[derive(Debug)]
pub struct KernelHttp {
    // Ends before its folder goes.
    _serving: Serving,
    site: Arc<Site>,
    _folder: Folder,
}

impl KernelHttp {
    /// Starts it on `port` of `host`, on these `cores` (all, if there are none).
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(host: &Host, port: u16, cores: &[usize]) -> Result<Self> {
        let folder = Folder::new(host, "http", port)?;
        let site = Arc::new(Site::new(host.name(), folder.path())?);
        let served = Arc::clone(&site);
        let serve = move |listener| accept(listener, move |stream| converse(stream, Arc::clone(&served)));
        Ok(Self { _serving: Serving::start(host, port, cores, serve)?, site, _folder: folder })
    }

    /// What it serves.
    pub fn site(&self) -> &Site {
        &self.site
    }
}

/// The largest request head.
const HEAD_LIMIT: usize = 8 * 1024;
/// The most headers in it.
const HEADERS: usize = 64;
/// Bytes of a body that are moved at once.
const CHUNK: usize = 64 * 1024;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    route: Route,
    /// Bytes of its body.
    length: u64,
    keep_alive: bool,
    /// Whether the client waits for a word before it sends the body (RFC 9110, section 10.1.1).
    expects_continue: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Route {
    Greeting,
    Download(PathBuf),
    Upload(PathBuf),
    Unknown,
}

/// Answers requests until one of them asks for the end or makes no sense. Files are read and written in place, on a thread
/// that others share: they are in the page cache.
async fn converse(mut stream: TcpStream, site: Arc<Site>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::with_capacity(CHUNK);
    loop {
        let Some(end) = receive_head(&mut stream, &mut input).await? else { return Ok(()) };
        let Some(request) = Request::parse(&input[..end], site.root()) else {
            return stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                .await;
        };
        input.drain(..end);
        if request.expects_continue {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let keep = if request.keep_alive { "keep-alive" } else { "close" };
        match &request.route {
            Route::Greeting => {
                skip_body(&mut stream, &mut input, request.length).await?;
                let body = site.greeting();
                let answer = format!("{}{body}", head("200 OK", body.len() as u64, keep));
                stream.write_all(answer.as_bytes()).await?;
            }
            Route::Download(path) => {
                skip_body(&mut stream, &mut input, request.length).await?;
                send_file(&mut stream, path, keep).await?;
            }
            Route::Upload(path) => {
                let mut file = File::create(path)?;
                receive_body(&mut stream, &mut input, request.length, |bytes| file.write_all(bytes)).await?;
                stream.write_all(head("201 Created", 0, keep).as_bytes()).await?;
            }
            Route::Unknown => {
                skip_body(&mut stream, &mut input, request.length).await?;
                stream.write_all(head("404 Not Found", 0, keep).as_bytes()).await?;
            }
        }
        if !request.keep_alive {
            return Ok(());
        }
    }
}

impl Request {
    /// A request for what is under `root`; `None` for what is not HTTP, or not the part of it that is spoken here.
    fn parse(head: &[u8], root: &Path) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(head).ok()?;
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            str::from_utf8(found.value).ok()
        };
        if header("transfer-encoding").is_some() {
            return None;
        }
        let length = header("content-length").map_or(Ok(0), str::parse).ok()?;
        let connection = header("connection").unwrap_or_default();
        let keep_alive = match request.version? {
            0 => connection.eq_ignore_ascii_case("keep-alive"),
            _ => !connection.eq_ignore_ascii_case("close"),
        };
        let expects_continue = header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        Some(Self { route: Route::of(request.method?, request.path?, root), length, keep_alive, expects_continue })
    }
}

impl Route {
    fn of(method: &str, path: &str, root: &Path) -> Self {
        let file = |folder: &str| {
            let name = path.strip_prefix('/')?.strip_prefix(folder)?.strip_prefix('/')?;
            is_plain(name).then(|| root.join(folder).join(name))
        };
        match method {
            "GET" if path == "/" => Self::Greeting,
            "GET" => file(Site::BYTES).map_or(Self::Unknown, Self::Download),
            "PUT" => file(Site::UPLOADS).map_or(Self::Unknown, Self::Upload),
            _ => Self::Unknown,
        }
    }
}

fn head(status: &str, length: u64, connection: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: {connection}\r\n\r\n")
}

/// Receives until `input` begins with a whole request head, and returns its length; `None` when the client is done.
async fn receive_head(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Option<usize>> {
    loop {
        if let Some(at) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(Some(at + 4));
        }
        if input.len() > HEAD_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the head of a request is too long"));
        }
        if stream.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}

/// Receives a body, of which `input` may hold the beginning.
async fn receive_body(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    length: u64,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut left = length;
    loop {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        take(&input[..part])?;
        input.drain(..part);
        left -= part as u64;
        if left == 0 {
            return Ok(());
        }
        if stream.read_buf(input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn skip_body(stream: &mut TcpStream, input: &mut Vec<u8>, length: u64) -> io::Result<()> {
    receive_body(stream, input, length, |_| Ok(())).await
}

async fn send_file(stream: &mut TcpStream, path: &Path, keep: &str) -> io::Result<()> {
    let Ok(mut file) = File::open(path) else {
        return stream.write_all(head("404 Not Found", 0, keep).as_bytes()).await;
    };
    stream.write_all(head("200 OK", file.metadata()?.len(), keep).as_bytes()).await?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(()),
            len => stream.write_all(&chunk[..len]).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Option<Request> {
        Request::parse(head.as_bytes(), Path::new("/site"))
    }

    #[test]
    fn requests_are_what_they_say() {
        let get = parse("GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("a request");
        assert_eq!(get, Request { route: Route::Greeting, length: 0, keep_alive: true, expects_continue: false });
        let put = "PUT /uploads/a HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
        let put = parse(put).expect("a request");
        assert_eq!(put.route, Route::Upload("/site/uploads/a".into()));
        let get = parse("GET /bytes/1024 HTTP/1.1\r\n\r\n").expect("a request");
        assert_eq!(get.route, Route::Download("/site/bytes/1024".into()));
        assert_eq!((put.length, put.keep_alive, put.expects_continue), (5, false, true));
        assert!(!parse("GET / HTTP/1.0\r\n\r\n").expect("a request").keep_alive);
    }

    #[test]
    fn nothing_but_the_routes_is_served() {
        for path in ["/bytes", "/bytes/", "/bytes/../uploads/a", "/bytes/a/b", "//bytes/1", "/uploads/a", "bytes/1"] {
            let request = parse(&format!("GET {path} HTTP/1.1\r\n\r\n")).expect("a request");
            assert_eq!(request.route, Route::Unknown, "{path}");
        }
        let put = parse("PUT /bytes/1 HTTP/1.1\r\ncontent-length: 0\r\n\r\n").expect("a request");
        assert_eq!(put.route, Route::Unknown);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for head in [
            "\r\n\r\n",
            "GET /\r\n\r\n",
            "PUT /uploads/a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            "PUT /uploads/a HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        ] {
            assert_eq!(parse(head), None, "{head:?}");
        }
    }
}
