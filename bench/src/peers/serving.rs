//! A server of our own on the kernel's TCP, on a thread in a host of the lab.

use crate::affinity::pin;
use crate::descriptors;
use crate::kernel_server::listen;
use crate::peers::MOST_DESCRIPTORS;
use anyhow::{Context, Result, anyhow};
use std::net::Ipv6Addr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use synward_lab::Host;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// As many connections wait in the accept queue as the others' servers allow.
const BACKLOG: u32 = 4096;

/// A running server. It ends with this value.
#[derive(Debug)]
pub(super) struct Serving {
    /// Dropped to end it.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Runs `serve` with a listener on `port` on a thread in `host` and on these `cores` (all, if there are none). It
    /// listens when this returns.
    pub(super) fn start<F>(
        host: &Host,
        port: u16,
        cores: &[usize],
        serve: impl FnOnce(TcpListener) -> F + Send + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = ()>,
    {
        descriptors::raise_towards(MOST_DESCRIPTORS);
        let (stop, stopped) = oneshot::channel();
        let (report, listening) = mpsc::channel();
        let (host, cores) = (host.clone(), cores.to_vec());
        let run = move || {
            let entered = host.enter(|| {
                let outcome = serve_until(port, &cores, serve, &report, stopped);
                // Nobody waits for the report of a server that did start.
                let _ = outcome.map_err(|error| report.send(Err(error)));
            });
            let _ = entered.map_err(|error| report.send(Err(error.into())));
        };
        let thread =
            thread::Builder::new().name("lab-server".into()).spawn(run).context("starting a server's thread")?;
        let serving = Self { stop: Some(stop), thread: Some(thread) };
        listening.recv().map_err(|_| anyhow!("the server's thread panicked"))??;
        Ok(serving)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}

fn serve_until<F: Future<Output = ()>>(
    port: u16,
    cores: &[usize],
    serve: impl FnOnce(TcpListener) -> F,
    report: &mpsc::Sender<Result<()>>,
    stopped: oneshot::Receiver<()>,
) -> Result<()> {
    pin(cores)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("server runtime")?;
    runtime.block_on(async move {
        // Takes IPv4 as well, from mapped addresses (net.ipv6.bindv6only is 0 in a fresh namespace).
        let listener = listen((Ipv6Addr::UNSPECIFIED, port).into(), BACKLOG)?;
        let _ = report.send(Ok(()));
        tokio::select! {
            () = serve(listener) => {}
            _ = stopped => {}
        }
        Ok(())
    })
}
