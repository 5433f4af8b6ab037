//! The two systems that take the front's place, and what can be asked of both.

use super::bed::{Bed, HTTP};
use crate::control::report::{Drops, Stat};
use crate::served::Served;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use synward_bench::peers::Proxy;
use synward_lab::{Host, Offloads};

/// A front end between clients and web servers.
pub(super) trait Front {
    /// Half-open connections, now.
    fn half_open(&self) -> Result<u64>;

    /// What it has counted so far.
    fn counts(&self) -> Result<Counts>;
}

/// Counters that both systems keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    /// SYN-ACKs with a cookie.
    pub(super) cookies_sent: u64,
    /// Those of them that an XDP program sent.
    pub(super) cookies_in_xdp: u64,
    /// SYNs and SYN-ACKs that were sent again (`TCPSynRetrans`).
    pub(super) sent_again: u64,
}

/// Connections that may wait to be accepted, and that may be half-open: what HAProxy and its stand-in ask for, and Linux's own
/// limit (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// `synward run`.
pub(super) struct Synward {
    served: Served,
}

impl Synward {
    /// Starts it in the front's namespace, on all interfaces there.
    pub(super) fn start(bed: &Bed) -> Result<Self> {
        let program = std::env::current_exe().context("own path")?;
        Ok(Self { served: Served::front(&program, bed.lab.front(), &configuration(bed))? })
    }

    /// The modes in force.
    pub(super) fn modes(&self) -> Result<BTreeMap<String, String>> {
        Ok(self.stat()?.modes)
    }

    /// Frames dropped so far, by reason: by the engine, by the XDP program, and by the kernel before they reached the engine.
    pub(super) fn drops(&self) -> Result<BTreeMap<String, u64>> {
        // Loses nothing: the kernel was told to send what it had sent already.
        const NO_LOSS: &str = "tx_ring_empty";
        let Drops { mut drops, xdp, socket, .. } = self.served.ask("/v1/drops")?;
        let by_program = xdp.into_iter().filter(|(outcome, _)| outcome.starts_with("dropped"));
        let by_kernel = socket.into_iter().filter(|(cause, _)| cause != NO_LOSS);
        drops.extend(by_program.chain(by_kernel).filter(|(_, count)| *count > 0));
        Ok(drops)
    }

    fn stat(&self) -> Result<Stat> {
        self.served.ask("/v1/stat")
    }
}

impl Front for Synward {
    fn half_open(&self) -> Result<u64> {
        Ok(named(&self.stat()?.gauges, "half_open"))
    }

    fn counts(&self) -> Result<Counts> {
        let counters = self.stat()?.counters;
        let Drops { xdp, .. } = self.served.ask("/v1/drops")?;
        let cookies_in_xdp = named(&xdp, "answered_cookie");
        Ok(Counts {
            cookies_sent: named(&counters, "SyncookiesSent") + cookies_in_xdp,
            cookies_in_xdp,
            sent_again: named(&counters, "TCPSynRetrans"),
        })
    }
}

/// A front end as an operator would describe it.
fn configuration(bed: &Bed) -> String {
    let ([v4, v6], cores) = (bed.front(), &bed.cores.front);
    let cores = if cores.is_empty() { String::new() } else { format!("cores = {cores:?}") };
    let mut text = String::new();
    // Writing to a string cannot fail.
    for interface in bed.lab.front().interfaces() {
        let _ = writeln!(text, "[[interface]]\nname = {:?}\n{cores}", interface.name());
    }
    let _ = writeln!(text, "[[listener]]\nname = \"web\"\naddresses = [\"{v4}\", \"{v6}\"]\npool = \"web\"");
    let _ = writeln!(text, "backlog = {BACKLOG}");
    let _ = writeln!(text, "[[pool]]\nname = \"web\"");
    for backend in bed.backends() {
        let _ = writeln!(text, "[[pool.backend]]\naddress = \"{backend}\"");
    }
    // What is left of the clients when the demo is over need not be waited for.
    text + "[shutdown]\ndrain = \"0s\"\n"
}

/// HAProxy, or a small relay, on the kernel's TCP.
pub(super) struct KernelProxy {
    proxy: Proxy,
    host: Host,
}

/// Linux's own defaults where memory is plenty, set because they decide what is compared: cookies when the SYN queue
/// overflows, and queues as long as synward's.
const SYSCTLS: [(&str, &str); 3] =
    [("net.ipv4.tcp_syncookies", "1"), ("net.core.somaxconn", "4096"), ("net.ipv4.tcp_max_syn_backlog", "4096")];

impl KernelProxy {
    /// Starts it in the front's namespace.
    ///
    /// GRO makes the interfaces of the front poll themselves, as hardware does: each has a ring of its own then. Without, all
    /// would share the backlog of a core, where the flood crowds out the clients.
    pub(super) fn start(bed: &Bed) -> Result<Self> {
        let host = bed.lab.front();
        SYSCTLS.iter().try_for_each(|(name, value)| host.set_sysctl(name, value))?;
        for interface in host.interfaces() {
            interface.set_offloads(Offloads { gro: true, ..Offloads::default() })?;
        }
        let proxy = Proxy::start(host, HTTP, &bed.backends(), &bed.cores.front)?;
        Ok(Self { proxy, host: host.clone() })
    }

    /// What it is called.
    pub(super) fn system(&self) -> &'static str {
        self.proxy.system()
    }

    /// What it is, and how its TCP is set.
    pub(super) fn modes(&self) -> Result<String> {
        let names = SYSCTLS.iter().map(|(name, _)| *name).chain(["net.ipv4.tcp_congestion_control"]);
        let shown = names.map(|name| {
            let value = self.host.sysctl(name)?;
            Ok(format!("{} {value}", name.rsplit('.').next().unwrap_or(name)))
        });
        let (system, shown) = (self.proxy.system_and_version(), shown.collect::<Result<Vec<_>>>()?.join(", "));
        Ok(format!("{system}, one thread; {shown}, GRO on"))
    }

    /// Connections and SYNs lost so far, by the counter that says so.
    pub(super) fn drops(&self) -> Result<BTreeMap<String, u64>> {
        const LOSSES: [&str; 5] = [
            "TcpExtListenOverflows",
            "TcpExtListenDrops",
            "TcpExtTCPReqQFullDrop",
            "TcpExtTCPBacklogDrop",
            "TcpInErrs",
        ];
        let counters = self.host.netstat()?;
        let losses = LOSSES.iter().map(|name| ((*name).to_owned(), named(&counters, name)));
        let mut losses: BTreeMap<_, _> = losses.filter(|(_, count)| *count > 0).collect();
        for interface in self.host.interfaces() {
            let dropped = interface.stats()?.rx_dropped;
            if dropped > 0 {
                losses.insert(format!("{} rx_dropped", interface.name()), dropped);
            }
        }
        Ok(losses)
    }
}

impl Front for KernelProxy {
    fn half_open(&self) -> Result<u64> {
        let tables = self.host.enter(|| {
            // By way of `thread-self`: `/proc/net` shows the namespace of the main thread.
            ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")))
        })?;
        tables.into_iter().try_fold(0, |sum, table| Ok(sum + half_open_in(&table.context("the kernel's sockets")?)))
    }

    fn counts(&self) -> Result<Counts> {
        let counters = self.host.netstat()?;
        Ok(Counts {
            cookies_sent: named(&counters, "TcpExtSyncookiesSent"),
            cookies_in_xdp: 0,
            sent_again: named(&counters, "TcpExtTCPSynRetrans"),
        })
    }
}

/// Sockets in SYN-RECEIVED in `/proc/net/tcp` (proc_pid_net(5)).
fn half_open_in(table: &str) -> u64 {
    const SYN_RECEIVED: &str = "03";
    table.lines().filter(|line| line.split_whitespace().nth(3) == Some(SYN_RECEIVED)).count() as u64
}

fn named(counts: &BTreeMap<String, u64>, name: &str) -> u64 {
    counts.get(name).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::half_open_in;

    #[test]
    fn sockets_in_syn_received_are_half_open() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n   \
             1: 01004D0A:0050 0340800A:D431 03 00000000:00000000 01:00000064 00000000     0        0 0 1\n   \
             2: 01004D0A:0050 03408003:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n";
        assert_eq!(half_open_in(table), 1);
        assert_eq!(half_open_in(""), 0);
    }
}
