//! What Linux and the engine agree on, by the table and by a cookie; and checksums, finished or not.

use crate::Test;
use crate::bed::{Bed, ECHO, HTTP};
use crate::eventually::eventually;
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use synward::control::report::Connection;
use synward_lab::{End, LabConfig, Offloads};

pub const TESTS: &[Test] = &[
    ("options::a_cookie_keeps_everything_when_timestamps_are_on", || cookie(true)),
    ("options::a_cookie_keeps_all_but_exact_scale_without_timestamps", || cookie(false)),
    ("options::a_cookie_of_the_shield_keeps_everything_when_timestamps_are_on", || shield(true)),
    ("options::a_cookie_of_the_shield_keeps_all_but_exact_scale_without_timestamps", || shield(false)),
    ("options::unfinished_checksums_are_taken_and_counted", unfinished),
    ("options::wrong_checksums_are_dropped_and_counted", wrong_checksums),
    ("options::a_client_gets_through_while_the_syn_queue_overflows", overflow),
];

/// What a Linux client announces, and what the engine keeps of it. Without timestamps a cookie has room for a class of
/// window scales, not for each, and rounds down, which is safe.
fn cookie(timestamps: bool) -> Result<()> {
    for (backlog, mode) in [("64", "auto"), ("64", "always")] {
        let bed = Bed::new(&["--syncookies", mode, "--backlog", backlog])?;
        bed.client().set_sysctl("net.ipv4.tcp_timestamps", if timestamps { "1" } else { "0" })?;
        keeps(&bed, timestamps, timestamps || mode == "auto")?;
        let cookies = bed.counter("SyncookiesRecv")?;
        ensure!(cookies == if mode == "always" { 2 } else { 0 }, "{cookies} connections by cookie");
    }
    Ok(())
}

/// The same of a cookie that the XDP program has minted and the engine takes.
fn shield(timestamps: bool) -> Result<()> {
    let bed = Bed::new(&["--shield", "always"])?;
    bed.client().set_sysctl("net.ipv4.tcp_timestamps", if timestamps { "1" } else { "0" })?;
    keeps(&bed, timestamps, timestamps)?;
    let (sent, taken) = (bed.counter("SyncookiesSent")?, bed.counter("SyncookiesRecv")?);
    ensure!((sent, taken) == (0, 2), "{sent} cookies of the engine, {taken} connections by cookie");
    bed.check_books()
}

/// Connections over both families keep what the client announces; the window scale exactly, or rounded down.
fn keeps(bed: &Bed, timestamps: bool, exact: bool) -> Result<()> {
    for address in bed.addresses() {
        let (stream, theirs) = connect(bed, address)?;
        let ours = seen_by_engine(bed, &stream)?;
        let info = ours.info.context("no inner state")?;
        ensure!(info.timestamps == timestamps && theirs.timestamps == timestamps, "{info:?}, {theirs:?}");
        ensure!(info.sack && theirs.sack, "{info:?}, {theirs:?}");
        ensure!(info.mss == theirs.advertised_mss, "announced {}, kept {}", theirs.advertised_mss, info.mss);
        let (announced, kept) = (theirs.receive_scale, info.peer_scale);
        ensure!(kept == announced || (!exact && kept < announced), "announced {announced}, kept {kept}");
    }
    Ok(())
}

/// What the kernel says of a connection (struct tcp_info).
#[derive(Debug)]
struct KernelInfo {
    timestamps: bool,
    sack: bool,
    receive_scale: u8,
    advertised_mss: u16,
}

fn connect(bed: &Bed, address: IpAddr) -> Result<(TcpStream, KernelInfo)> {
    let mut stream = bed.client().enter(|| TcpStream::connect((address, ECHO)))??;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])?;
    let local = stream.local_addr()?;
    // `ss` reads tcp_info for us, so that no test needs unsafe code.
    let output = bed.client().command("ss").args(["-tinoH", "sport", "=", &format!(":{}", local.port())]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let field = |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name));
    let scales = field("wscale:").with_context(|| format!("no wscale: {text}"))?;
    let info = KernelInfo {
        timestamps: text.split_whitespace().any(|word| word == "ts"),
        sack: text.split_whitespace().any(|word| word == "sack"),
        receive_scale: scales.split(',').nth(1).context("wscale")?.parse()?,
        advertised_mss: field("advmss:").with_context(|| format!("no advmss: {text}"))?.parse()?,
    };
    Ok((stream, info))
}

fn seen_by_engine(bed: &Bed, stream: &TcpStream) -> Result<Connection> {
    let peer = stream.local_addr()?.to_string();
    let sockets = bed.sockets()?;
    sockets.connections.into_iter().find(|row| row.peer == peer).with_context(|| format!("no connection of {peer}"))
}

fn unfinished() -> Result<()> {
    for (offloads, unfinished) in [(Offloads::default(), true), (Offloads::NONE, false)] {
        let far = End { offloads, ..LabConfig::default().far };
        let bed = Bed::in_lab(&LabConfig { far, ..LabConfig::default() }, &[])?;
        for address in bed.addresses() {
            drop(connect(&bed, address)?);
        }
        let counted = bed.counter("UnfinishedChecksums")?;
        ensure!((counted > 0) == unfinished, "{counted} unfinished checksums with {offloads:?}");
        ensure!(bed.counter("InCsumErrors")? == 0);
    }
    Ok(())
}

fn wrong_checksums() -> Result<()> {
    use synward_proto::segment::SynOptions;
    use synward_proto::wire::{HEADROOM, write_segment};
    use synward_proto::{Endpoint, Flags, Head, Link, MacAddr, Marking, Options, SeqNum, Tuple};
    let bed = Bed::new(&[])?;
    let (client, front) = (bed.client(), bed.lab.front());
    let head = Head {
        tuple: Tuple {
            local: Endpoint::new(client.ipv4().into(), 4242),
            remote: Endpoint::new(front.ipv4().into(), HTTP),
        },
        seq: SeqNum(1),
        ack: SeqNum(0),
        flags: Flags::SYN,
        window: 1000,
        options: Options::Syn(SynOptions::default()),
        marking: Marking::DEFAULT,
    };
    let link = Link { local: MacAddr(client.mac()), remote: MacAddr(front.mac()), outer: None, inner: None };
    let mut frame = [0; HEADROOM];
    let len = write_segment(&mut frame, &link, &head);
    let tcp_checksum = 14 + 20 + 16;
    frame[tcp_checksum] ^= 0x10;
    client.enter(|| send_raw(client.interface(), &frame[..len]))??;
    let drops = eventually(|| bed.drops(), |drops| drops.drops.contains_key("tcp_checksum"))?;
    ensure!(drops.drops.get("tcp_checksum") == Some(&1), "{drops:?}");
    ensure!(bed.counter("InCsumErrors")? == 1);
    bed.check_books()
}

/// Sends one frame as it is, through a packet socket.
fn send_raw(interface: &str, frame: &[u8]) -> Result<()> {
    synward_lab::send_frame(interface, frame).context("packet socket")
}

fn overflow() -> Result<()> {
    use synward_bench::flood::{Attack, Flood, FloodConfig};
    let bed = Bed::new(&["--backlog", "128"])?;
    let (attacker, front) = (&bed.lab.attackers()[0], bed.lab.front());
    let target: SocketAddr = bed.front(HTTP);
    let config = FloodConfig {
        rate: 20_000,
        attack: Attack::Syn,
        duration: std::time::Duration::from_secs(30),
        ..FloodConfig::new(attacker.interface(), front.mac(), target)
    };
    let flood = attacker.enter(|| Flood::start(&config))??;
    eventually(|| bed.counter("SyncookiesSent"), |sent| *sent > 10_000)?;
    for address in bed.addresses() {
        for _ in 0..20 {
            let url = match address {
                IpAddr::V4(v4) => format!("http://{v4}/"),
                IpAddr::V6(v6) => format!("http://[{v6}]/"),
            };
            bed.curl(&[&url])?;
        }
    }
    let sockets = bed.sockets()?;
    for listener in &sockets.listeners {
        // Full is more than the limit, as in Linux.
        ensure!(listener.syn_queue <= listener.syn_limit + 1, "{listener:?}");
    }
    flood.stop()?;
    bed.check_books()
}
