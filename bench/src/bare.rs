//! Bare systems to compare with: what the rig itself costs, where nobody knows TCP.

use crate::affinity::pin;
use crate::object::{program, take_map};
use anyhow::{Context, Result, anyhow};
use aya::maps::{MapData, XskMap};
use aya::programs::XdpMode;
use aya::{Ebpf, include_bytes_aligned};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use synward_lab::Host;
use synward_nic::{FrameBudget, Port, XskConfig, XskPort};

/// Frames that a forwarder takes at once, as a poll loop does.
const BURST: usize = 64;
/// The rings of a forwarder, as deep as those of a poll loop.
const RING: u32 = 8192;
/// How long a forwarder sleeps at most.
const SLEEP: Duration = Duration::from_millis(10);

/// What becomes of every frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// XDP_DROP.
    Drop,
    /// XDP_TX after the hardware addresses have been swapped.
    Reflect,
}

/// An XDP program that treats all frames alike. Detached when this is dropped.
pub struct Bare {
    _object: Ebpf,
}

impl Bare {
    /// Attaches the program to the interface called `interface`, in the network namespace of this thread.
    ///
    /// # Errors
    /// Missing privileges, no such interface, another program is attached, or the driver has no native XDP.
    pub fn attach(interface: &str, fate: Fate) -> Result<Self> {
        let name = match fate {
            Fate::Drop => "drop",
            Fate::Reflect => "reflect",
        };
        let (object, _) = load(interface, name)?;
        Ok(Self { _object: object })
    }
}

/// Loads the object and attaches one program of it.
fn load(interface: &str, name: &str) -> Result<(Ebpf, XskMap<MapData>)> {
    let mut object = Ebpf::load(include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bare.bpf.o")))
        .context("loading a bare system (it needs CAP_BPF and CAP_NET_ADMIN)")?;
    let sockets = take_map(&mut object, "sockets")?;
    let program = program(&mut object, name)?;
    program.load().with_context(|| format!("loading `{name}`"))?;
    program.attach(interface, XdpMode::Driver).with_context(|| format!("attaching `{name}` to {interface}"))?;
    Ok((object, sockets))
}

/// An AF_XDP socket whose frames all go back whence they came, from a thread that does nothing else: the least that an engine
/// in user space can cost. Ends when it is dropped.
pub struct Forwarder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Starts it on the first queue of `interface` in `host`, on `cores`.
    ///
    /// # Errors
    /// As [`Bare::attach`] and [`XskPort::open`].
    pub fn start(host: &Host, interface: &str, cores: &[usize]) -> Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let (report, started) = mpsc::channel();
        let run = {
            let (stop, host, interface, cores) =
                (Arc::clone(&stop), host.clone(), interface.to_owned(), cores.to_vec());
            move || {
                let entered = host.enter(|| match open(&interface, &cores) {
                    Ok((mut port, _object)) => {
                        let _ = report.send(Ok(()));
                        forward(&mut port, &stop);
                    }
                    Err(error) => drop(report.send(Err(error))),
                });
                // Who waits for the report hears nothing, and that says enough.
                drop(entered);
            }
        };
        let thread = thread::Builder::new().name("forwarder".into()).spawn(run).context("starting a forwarder")?;
        let forwarder = Self { stop, thread: Some(thread) };
        started.recv().map_err(|_| anyhow!("the forwarder could not enter {}", host.namespace()))??;
        Ok(forwarder)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}

fn open(interface: &str, cores: &[usize]) -> Result<(XskPort, Ebpf)> {
    pin(cores)?;
    let budget = FrameBudget { rx_ring: RING, fill_ring: RING, ..FrameBudget::default() };
    let mut port = XskPort::open(&XskConfig { budget, ..XskConfig::new(interface, 0) })?;
    port.refill();
    let (object, mut sockets) = load(interface, "to_socket")?;
    sockets.set(0, port.as_fd().as_raw_fd(), 0).context("giving the forwarder's socket to its program")?;
    Ok((port, object))
}

fn forward(port: &mut XskPort, stop: &AtomicBool) {
    let mut frames = VecDeque::with_capacity(2 * BURST);
    while !stop.load(Relaxed) {
        port.reclaim();
        let before = frames.len();
        let received = port.rx_burst(&mut frames, BURST - before.min(BURST));
        for frame in frames.iter_mut().skip(before) {
            swap_addresses(frame.as_mut_slice());
        }
        port.tx_burst(&mut frames);
        port.refill();
        if received == 0 && frames.is_empty() {
            port.wait(None, Some(SLEEP));
        }
    }
    frames.into_iter().for_each(|frame| port.recycle(frame));
}

fn swap_addresses(frame: &mut [u8]) {
    if let Some((addresses, _)) = frame.split_first_chunk_mut::<12>() {
        addresses.rotate_left(6);
    }
}

#[cfg(test)]
mod tests {
    use super::swap_addresses;

    #[test]
    fn addresses_change_places_and_nothing_else_does() {
        let mut frame = *b"abcdefABCDEF and the rest";
        swap_addresses(&mut frame);
        assert_eq!(&frame, b"ABCDEFabcdef and the rest");
        let mut short = *b"too short";
        swap_addresses(&mut short);
        assert_eq!(&short, b"too short");
    }
}
