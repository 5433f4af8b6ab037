//! What one can do with a host.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::panic;

use synward_lab::{End, Lab, LabConfig, LabError, Offloads, Pair, PairConfig};

use crate::frames::{SYN, Wiretap};
use crate::{Outcome, Tests, check};

pub fn tests() -> Tests {
    vec![
        ("entering_shows_the_devices_of_the_host_and_ends_with_the_call", entering),
        ("a_command_sees_what_entering_shows", command),
        ("a_panic_inside_continues_outside", panicking),
        ("sysctls_are_those_of_the_host", sysctls),
        ("counters_are_those_of_the_host", counters),
        ("checksum_offload_is_visible_on_the_wire", checksum_offload),
        ("offloads_read_back_as_set", offloads),
        ("queues_mtu_program_and_threads_are_as_asked", ends),
        ("connections_spread_over_the_queues_of_the_front", spread),
        ("a_link_that_went_down_and_up_carries_again", down_and_up),
        ("a_deleted_interface_takes_its_peer_along", deleted),
    ]
}

fn devices() -> std::io::Result<Vec<String>> {
    let entries = fs::read_dir("/sys/class/net")?.flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn entering() -> Outcome {
    let pair = Pair::up(&PairConfig::default())?;
    let before = devices()?;
    let inside = pair.near().enter(devices)??;
    check(inside == ["lo", "near0"], format!("{inside:?}"))?;
    check(devices()? == before, "the caller was moved")
}

fn command() -> Outcome {
    let pair = Pair::up(&PairConfig::default())?;
    let listed = pair.far().command("ls").arg("/sys/class/net").output()?;
    let text = String::from_utf8(listed.stdout)?;
    check(text.split_whitespace().eq(["far0", "lo"]), text)
}

fn panicking() -> Outcome {
    let pair = Pair::up(&PairConfig::default())?;
    let caught =
        panic::catch_unwind(panic::AssertUnwindSafe(|| pair.near().enter(|| panic::resume_unwind(Box::new(7)))));
    let payload =
        caught.map(|_: Result<(), LabError>| ()).err().and_then(|payload| payload.downcast_ref::<i32>().copied());
    check(payload == Some(7), format!("{payload:?}"))
}

fn sysctls() -> Outcome {
    let pair = Pair::up(&PairConfig::default())?;
    let name = "net.ipv4.tcp_syncookies";
    pair.near().set_sysctl(name, "2")?;
    pair.far().set_sysctl(name, "0")?;
    check(pair.near().sysctl(name)? == "2" && pair.far().sysctl(name)? == "0", "shared")?;
    let error = pair.near().sysctl("net.ipv4.no_such").err().ok_or("there is none")?;
    check(error.to_string().contains("net.ipv4.no_such"), error.to_string())
}

fn counters() -> Outcome {
    let pair = Pair::up(&PairConfig::default())?;
    let listener = pair.far().enter(|| TcpListener::bind((pair.far().ipv4(), 80)))??;
    let count = |host: &synward_lab::Host, name: &str| Ok::<_, LabError>(host.netstat()?.get(name).copied());
    check(count(pair.near(), "TcpActiveOpens")? == Some(0), "not fresh")?;
    let before = pair.near().stats()?;
    let stream = pair.near().enter(|| TcpStream::connect((pair.far().ipv4(), 80)))??;
    check(count(pair.near(), "TcpActiveOpens")? == Some(1), "the client's opens")?;
    check(count(pair.near(), "TcpPassiveOpens")? == Some(0), "the client's accepts")?;
    listener.accept()?;
    check(count(pair.far(), "TcpPassiveOpens")? == Some(1), "the server's accepts")?;
    check(count(pair.far(), "TcpExtSyncookiesSent")? == Some(0), "TcpExt")?;
    check(count(pair.far(), "Ip6InReceives")?.is_some(), "snmp6")?;
    let after = pair.near().stats()?;
    check(after.tx_packets >= before.tx_packets + 2, "the interface sent SYN and ACK")?;
    check(after.rx_packets > before.rx_packets, "the interface received SYN-ACK")?;
    drop(stream);
    Ok(())
}

/// What a listener at the front sees of the checksum in a client's SYN, behind the bridge.
fn checksum_offload() -> Outcome {
    for offloads in [Offloads::default(), Offloads::NONE] {
        let lab =
            Lab::up(&LabConfig { far: End { offloads, xdp_pass: true, ..End::default() }, ..LabConfig::default() })?;
        let [client, ..] = lab.clients() else { return Err("no client".into()) };
        for (address, what) in [(lab.front().ipv4().into(), "IPv4"), (std::net::IpAddr::V6(lab.front().ipv6()), "IPv6")]
        {
            let tap = Wiretap::on(lab.front())?;
            let _refused = client.enter(|| TcpStream::connect((address, 80)))?;
            let syn = tap.next_tcp(SYN)?;
            let unfinished = syn.checksum() == syn.pseudo_header_sum();
            check(unfinished == offloads.tx_checksum, format!("{what}: unfinished is {unfinished}"))?;
            check(syn.checksum_is_right() != offloads.tx_checksum, format!("{what}: right in spite of the offload"))?;
        }
    }
    Ok(())
}

fn offloads() -> Outcome {
    let plain = PairConfig { far: End::default(), ..PairConfig::default() };
    let pair = Pair::up(&plain)?;
    check(pair.near().offloads()? == Offloads::default(), format!("{:?}", pair.near().offloads()))?;
    let some = Offloads { tx_checksum: true, tso: false, gso: true, gro: true };
    for wanted in [Offloads::NONE, some, Offloads::default()] {
        pair.near().set_offloads(wanted)?;
        let found = pair.near().offloads()?;
        check(found == wanted, format!("wanted {wanted:?}, found {found:?}"))?;
    }
    // Towards an XDP program there is no TSO, whatever is asked for.
    let pair = Pair::up(&PairConfig::default())?;
    pair.near().set_offloads(Offloads::default())?;
    let found = pair.near().offloads()?;
    check(found == Offloads { tso: false, ..Offloads::default() }, format!("towards XDP: {found:?}"))
}

fn ends() -> Outcome {
    let near = End { threaded_napi: true, ..End::default() };
    let far = End { xdp_pass: true, threaded_napi: true, ..End::default() };
    let pair = Pair::up(&PairConfig { near, far, queues: 4, mtu: 9_000 })?;
    for host in [pair.near(), pair.far()] {
        let (queues, mtu) = host.enter(|| {
            let device = format!("/sys/class/net/{}", host.interface());
            let queues = fs::read_dir(format!("{device}/queues"))?.flatten().count();
            Ok::<_, std::io::Error>((queues, fs::read_to_string(format!("{device}/mtu"))?))
        })??;
        check(queues == 8, format!("{queues} queues, receive and transmit"))?;
        check(mtu.trim_end() == "9000", format!("MTU {mtu}"))?;
    }
    let threaded = pair.near().enter(|| fs::read_to_string("/sys/class/net/near0/threaded"))??;
    check(threaded.trim_end() == "1", "not threaded")?;
    check(pair.near().offloads()? == Offloads { tso: false, ..Offloads::default() }, "threading changed the offloads")?;
    check(is_running("napi/far0-"), "no thread polls the far end")?;
    let links = |host: &synward_lab::Host| host.command("ip").args(["-d", "link"]).output();
    check(String::from_utf8_lossy(&links(pair.far())?.stdout).contains("xdp"), "no program at the far end")?;
    check(!String::from_utf8_lossy(&links(pair.near())?.stdout).contains("xdp"), "a program at the near end")
}

/// The connections of one client arrive at the front on all of its queues, each segment of a connection on the same one.
fn spread() -> Outcome {
    let queues = 4;
    // The program makes the front poll itself, and thereby number its queues.
    let front = End { xdp_pass: true, ..End::default() };
    let lab = Lab::up(&LabConfig { front, queues, ..LabConfig::default() })?;
    let ([client, ..], front) = (lab.clients(), lab.front()) else { return Err("no client".into()) };
    let listener = front.enter(|| TcpListener::bind((front.ipv4(), 80)))??;
    let mut seen = HashSet::new();
    // That a queue stays empty has a probability of 4 x 0.75^100, or 10^-12.
    for _ in 0..100 {
        let mut stream = client.enter(|| TcpStream::connect((front.ipv4(), 80)))??;
        let (mut accepted, _) = listener.accept()?;
        let queue = incoming_napi(&accepted)?;
        stream.write_all(b"more")?;
        accepted.read_exact(&mut [0; 4])?;
        check(incoming_napi(&accepted)? == queue, "a connection moved to another queue")?;
        seen.insert(queue);
    }
    check(seen.len() == usize::from(queues), format!("{} of {queues} queues", seen.len()))
}

/// Which queue's NAPI brought the last packet of a socket: `SO_INCOMING_NAPI_ID`.
fn incoming_napi(socket: &TcpStream) -> std::io::Result<i32> {
    let (mut id, mut length) = (0i32, size_of::<i32>() as u32);
    // SAFETY: the pointers are to a live integer and its size, which the kernel overwrites with an integer and its size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_INCOMING_NAPI_ID,
            (&raw mut id).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(id) } else { Err(std::io::Error::last_os_error()) }
}

/// Whether a thread of the kernel has a name that begins like this.
fn is_running(prefix: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut names = processes.filter_map(|process| fs::read_to_string(process.path().join("comm")).ok());
    names.any(|name| name.starts_with(prefix))
}

fn down_and_up() -> Outcome {
    let lab = Lab::up(&LabConfig::default())?;
    let ([client, ..], front) = (lab.clients(), lab.front()) else { return Err("no client".into()) };
    let routes = || -> std::io::Result<Vec<u8>> {
        let v4 = front.command("ip").arg("route").output()?.stdout;
        let v6 = front.command("ip").args(["-6", "route"]).output()?.stdout;
        let neighbours = front.command("ip").args(["neigh", "show", "nud", "permanent"]).output()?.stdout;
        Ok([v4, v6, neighbours].concat())
    };
    let sorted = |text: Vec<u8>| {
        let mut lines: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = sorted(routes()?);
    front.link_down()?;
    check(sorted(routes()?) != before, "going down took nothing")?;
    front.link_up()?;
    check(sorted(routes()?) == before, format!("before {before:#?}, after {:#?}", sorted(routes()?)))?;
    for address in [std::net::IpAddr::V4(front.ipv4()), front.ipv6().into()] {
        let listener = front.enter(|| TcpListener::bind((address, 80)))??;
        client.enter(|| TcpStream::connect((address, 80)))??;
        listener.accept()?;
    }
    let retries = client.netstat()?.get("TcpRetransSegs").copied();
    check(retries == Some(0), format!("{retries:?} retries"))
}

fn deleted() -> Outcome {
    let lab = Lab::up(&LabConfig::default())?;
    lab.front().delete_interface()?;
    let error = lab.front().stats().err().ok_or("it is still there")?;
    check(error.errno() == Some(libc::ENODEV), error.to_string())?;
    check(error.to_string().contains("front0"), error.to_string())?;
    lab.down()?;
    Ok(())
}
