//! nginx with one worker, as a backend.

use super::program::{Folder, Installed, Program, find};
use super::site::Site;
use crate::descriptors;
use crate::peers::MOST_DESCRIPTORS;
use anyhow::Result;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use synward_lab::Host;

pub(super) const NGINX: Installed = Installed { name: "nginx", package: "nginx-light" };

/// How long the answer to one attempt may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether this machine has nginx.
pub fn is_installed() -> bool {
    find(NGINX.name).is_some()
}

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    // Ends before its folder goes.
    program: Program,
    site: Site,
    _folder: Folder,
}

impl Nginx {
    /// Starts it on `port` of `host`, on these `cores` (all, if there are none), and waits until it answers.
    ///
    /// # Errors
    /// It is not installed, does not start, or does not answer; the error carries what it logged.
    pub fn start(host: &Host, port: u16, cores: &[usize]) -> Result<Self> {
        let folder = Folder::new(host, NGINX.name, port)?;
        let site = Site::new(host.name(), folder.path())?;
        let descriptors = descriptors::raise_towards(MOST_DESCRIPTORS);
        let config = folder.write("nginx.conf", &config(&folder, &site, port, descriptors))?;
        let (config, prefix) = (config.to_string_lossy(), folder.path().to_string_lossy());
        let arguments = ["-e", "stderr", "-p", &prefix, "-c", &config];
        let greets = || greets(host, port, &site);
        let program = Program::start(NGINX, host, cores, &folder, &arguments, greets)?;
        Ok(Self { program, site, _folder: folder })
    }

    /// The id of its first process, which has started the others.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// What it serves.
    pub fn site(&self) -> &Site {
        &self.site
    }
}

/// Connections are as many as descriptors allow and live as long as clients want, and nothing is written to disk for a request but an upload.
fn config(folder: &Folder, site: &Site, port: u16, descriptors: u64) -> String {
    let (folder, root) = (folder.path().display(), site.root().display());
    let (greeting, bytes, uploads) = (site.greeting().trim_end().to_owned(), Site::BYTES, Site::UPLOADS);
    format!(
        "daemon off;
user root;
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections {descriptors}; }}
http {{
    access_log off;
    default_type application/octet-stream;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 0.0.0.0:{port} backlog=4096;
        listen [::]:{port} backlog=4096;
        root {root};
        location = / {{ return 200 \"{greeting}\\n\"; }}
        location /{bytes}/ {{ }}
        location /{uploads}/ {{ dav_methods PUT; }}
    }}
}}
"
    )
}

/// Whether a web server on this port greets as `site` does. Its worker answers, which starts after the port is open.
pub(super) fn greets(host: &Host, port: u16, site: &Site) -> Result<bool> {
    let address = SocketAddr::new(host.ipv4().into(), port);
    let answer = host.enter(|| {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    })?;
    Ok(answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&site.greeting())))
}
