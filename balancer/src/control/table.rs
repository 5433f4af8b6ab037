//! Plain text tables, as `ss` and `nstat` print them.

use super::report::{Connection, Drops, Info, ListSizes, ListedPrefix, PrefixChange, ShieldReport, Sockets, Stat};
use crate::config::show_duration;
use crate::proxy::ProxyReport;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Columns padded to their widest cell; the last is not padded.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading.
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0))
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                write!(line, "{cell:width$}  ")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// `synward ss`: listeners with both queues, then connections.
pub fn sockets(sockets: &Sockets, with_info: bool) -> String {
    let mut listeners = Table::new(["State", "Accept-Q", "Limit", "Syn-Q", "Limit", "Cookies", "Local Address:Port"]);
    for l in &sockets.listeners {
        let cookies = if l.sending_cookies { format!("{}, sending", l.syncookies) } else { l.syncookies.clone() };
        listeners.row([
            "LISTEN".to_owned(),
            l.accept_queue.to_string(),
            l.accept_limit.to_string(),
            l.syn_queue.to_string(),
            l.syn_limit.to_string(),
            cookies,
            l.local.clone(),
        ]);
    }
    let mut connections = Table::new(["State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port", "Timer"]);
    for c in &sockets.connections {
        connections.row([
            c.state.clone(),
            c.recv_queue.to_string(),
            c.send_queue.to_string(),
            c.local.clone(),
            c.peer.clone(),
            timer(c) + &c.info.as_ref().filter(|_| with_info).map(info).unwrap_or_default(),
        ]);
    }
    format!("{listeners}\n{connections}")
}

fn timer(connection: &Connection) -> String {
    connection.timer.as_ref().map(|t| format!("{},{:.1}s", t.name, t.expires_ms as f64 / 1e3)).unwrap_or_default()
}

fn info(info: &Info) -> String {
    let rtt = info.rtt_ms.map(|rtt| format!(" rtt:{rtt:.3}")).unwrap_or_default();
    let agreed = [(info.timestamps, " ts"), (info.sack, " sack")];
    let agreed: String = agreed.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect();
    format!(
        "{agreed} wscale:{},{}{rtt} rto:{} mss:{} cwnd:{} ssthresh:{} snd_wnd:{} rcv_wnd:{} retrans:{}",
        info.peer_scale,
        info.our_scale,
        info.rto_ms,
        info.mss,
        info.cwnd,
        info.ssthresh,
        info.snd_wnd,
        info.rcv_wnd,
        info.retrans
    )
}

/// `synward stat`: counters that are not zero (all with `all`), gauges, modes.
pub fn stat(stat: &Stat, all: bool) -> String {
    let counters = stat.counters.iter().filter(|(_, count)| all || **count > 0);
    format!(
        "{}\n{}\n{}",
        named("Counter", counters),
        named("Now", stat.gauges.iter()),
        named("Mode", stat.modes.iter())
    )
}

/// `synward drops`: reasons, outcomes, frames and what XDP and the kernel counted.
pub fn drops(drops: &Drops) -> String {
    let sections: [(&str, &BTreeMap<String, u64>); 5] = [
        ("Dropped because", &drops.drops),
        ("Other outcomes", &drops.outcomes),
        ("Frames", &drops.frames),
        ("XDP program", &drops.xdp),
        ("AF_XDP socket", &drops.socket),
    ];
    let mut text = format!("Received frames  {}\n", drops.received);
    for (heading, rows) in sections {
        text += &format!("\n{}", named(heading, rows.iter()));
    }
    text
}

/// `synward pools`: listeners with their clients, then every backend of every pool.
pub fn pools(report: &ProxyReport) -> String {
    let mut listeners = Table::new(["Listener", "Clients", "Accepted", "No backend", "Client gone"]);
    for l in &report.listeners {
        let counts = [l.clients, l.accepted, l.no_backend, l.client_gone].map(|count| count.to_string());
        let [clients, accepted, no_backend, client_gone] = counts;
        listeners.row([l.name.clone(), clients, accepted, no_backend, client_gone]);
    }
    let heading =
        ["Pool", "Backend", "Address", "State", "Now", "Total", "Refused", "Timed out", "Bytes to", "Bytes from"];
    let mut backends = Table::new(heading);
    for (pool, b) in report.pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend))) {
        let counts = [b.connections, b.total, b.refused, b.timed_out, b.bytes_to, b.bytes_from];
        let [now, total, refused, timed_out, to, from] = counts.map(|count| count.to_string());
        let (pool, name, address, state) = (pool.name.clone(), b.name.clone(), b.address.clone(), b.state.clone());
        backends.row([pool, name, address, state, now, total, refused, timed_out, to, from]);
    }
    let ProxyReport { spliced, relayed, idle, no_source_port, no_room, .. } = report;
    format!(
        "{listeners}\n{backends}\nspliced {spliced}, relayed {relayed}, idle {idle}, without a source port \
         {no_source_port}, without room {no_room}\n"
    )
}

/// `synward shield`: every listener, then what the programs did with frames, then who sends what they refuse.
pub fn shield(report: &ShieldReport) -> String {
    let heading = [
        "Listener",
        "Address",
        "Shield",
        "State",
        "Since",
        "Raised",
        "SYN/s",
        "Cookies/s",
        "Valid/s",
        "Refused/s",
        "Passed/s",
    ];
    let mut listeners = Table::new(heading);
    for l in &report.listeners {
        let rates = [l.syns, l.cookies_sent, l.cookies_valid, l.refused, l.passed];
        let [syns, sent, valid, refused, passed] = rates.map(|rate| rate.per_second.to_string());
        let (name, local, mode) = (l.listener.clone(), l.local.clone(), l.mode.clone());
        let state = if l.up { "up" } else { "down" }.to_owned();
        let (since, raised) = (show_duration(Duration::from_secs(l.seconds)), l.raised.to_string());
        listeners.row([name, local, mode, state, since, raised, syns, sent, valid, refused, passed]);
    }
    let mut verdicts = Table::new(["XDP program", "Total", "Now/s"]);
    for (name, rate) in report.verdicts.iter().filter(|(_, rate)| rate.total > 0) {
        verdicts.row([name.clone(), rate.total.to_string(), rate.per_second.to_string()]);
    }
    let mut sources = Table::new(["Top sources", "Unproven/s", "Proven/s"]);
    for it in &report.top_sources {
        sources.row([it.source.clone(), it.unproven_per_second.to_string(), it.proven_per_second.to_string()]);
    }
    let ListSizes { dropped, allowed, hopeless, limit } = report.lists;
    let ShieldReport { known_flows, known_flow_overflows, .. } = report;
    format!(
        "{listeners}\n{verdicts}\n{sources}\nprefixes dropped {dropped} (hopeless {hopeless}), allowed {allowed}, at most {limit}\n\
         known flows {known_flows}, without a place {known_flow_overflows}\n"
    )
}

/// `synward shield --lists`: all prefixes that are listed.
pub fn prefixes(prefixes: &[ListedPrefix]) -> String {
    let mut table = Table::new(["Prefix", "Verdict", "By", "Expires in"]);
    for ListedPrefix { prefix, verdict, by, expires_seconds } in prefixes {
        let expires = expires_seconds.map_or("never".to_owned(), |it| show_duration(Duration::from_secs(it)));
        table.row([prefix.clone(), verdict.clone(), by.clone(), expires]);
    }
    table.to_string()
}

/// `synward block`, `allow` and `unblock`: what became of a prefix.
pub fn change(change: &PrefixChange) -> String {
    let as_listed = |listed: &ListedPrefix| match listed.verdict.as_str() {
        "drop" => "blocked",
        _ => "allowed",
    };
    match change {
        PrefixChange { now: Some(now), before } => {
            let state = as_listed(now);
            let time = match now.expires_seconds {
                Some(seconds) => format!("for {}", show_duration(Duration::from_secs(seconds))),
                None => "until the server ends".to_owned(),
            };
            let was = before.as_ref().map(as_listed).filter(|was| *was != state);
            let was = was.map_or(String::new(), |was| format!("; it was {was}"));
            format!("{} is {state} {time}{was}\n", now.prefix)
        }
        PrefixChange { now: None, before: Some(before) } => {
            format!("{} is no longer {}\n", before.prefix, as_listed(before))
        }
        PrefixChange { now: None, before: None } => "nothing has changed\n".to_owned(),
    }
}

fn named<'a>(heading: &str, rows: impl Iterator<Item = (&'a String, impl ToString)>) -> Table {
    let mut table = Table::new([heading, ""]);
    for (name, value) in rows {
        table.row([name.clone(), value.to_string()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_space() {
        let mut table = Table::new(["a", "bb", "c"]);
        table.row(["long".to_owned(), "x".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "a     bb  c\nlong  x\n");
    }
}
