//! Source ports: reserved in the kernel, given back exactly, and refused where a socket is in the way.

use crate::Test;
use anyhow::{Context, Result, ensure};
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use synward::ports::{Reservation, ReservedRange, reserve_range};
use synward_lab::{Host, Pair, PairConfig};

pub const TESTS: &[Test] = &[
    ("ports::a_range_is_added_and_exactly_that_is_given_back", union),
    ("ports::a_long_list_is_kept_whole", long_list),
    ("ports::the_kernel_chooses_no_reserved_port", avoided),
    ("ports::a_range_that_leaves_the_kernel_nothing_is_refused", nothing_left),
    ("ports::listening_sockets_are_in_the_way", listening),
    ("ports::connected_sockets_are_in_the_way", connected),
    ("ports::a_socket_that_is_only_bound_is_in_the_way", bound),
    ("ports::time_wait_is_not_in_the_way", time_wait),
];

const LIST: &str = "net.ipv4.ip_local_reserved_ports";
const RANGE: RangeInclusive<u16> = 40_000..=40_007;

fn pair() -> Result<Pair> {
    Ok(Pair::up(&PairConfig::default())?)
}

fn v4(host: &Host) -> IpAddr {
    host.ipv4().into()
}

fn v6(host: &Host) -> IpAddr {
    host.ipv6().into()
}

fn reserve(host: &Host, addresses: &[IpAddr], ports: RangeInclusive<u16>) -> Result<ReservedRange> {
    host.enter(|| reserve_range(addresses, ports))?
}

/// The whole list, however long: the kernel gives no more than the first read asks for.
fn list(host: &Host) -> Result<String> {
    let arguments = ["if=/proc/sys/net/ipv4/ip_local_reserved_ports", "bs=1M", "count=1", "status=none"];
    let output = host.command("dd").args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// That [`RANGE`] is refused at these addresses because of this socket, and that nothing stays reserved.
fn refused(host: &Host, addresses: &[IpAddr], socket: &str) -> Result<()> {
    let error = reserve(host, addresses, RANGE).err().with_context(|| format!("{socket} was not noticed"))?;
    let error = format!("{error:#}");
    ensure!(error.starts_with(&format!("source ports 40000-40007: {socket} is in use")), "{error}");
    ensure!(error.contains("see `ss -"), "{error}");
    ensure!(list(host)?.is_empty(), "{}", list(host)?);
    Ok(())
}

fn union() -> Result<()> {
    let pair = pair()?;
    let near = pair.near();
    near.set_sysctl(LIST, "8080,40005-40010,50000")?;
    let first = reserve(near, &[v4(near)], RANGE)?;
    ensure!(list(near)? == "8080,40000-40010,50000", "{}", list(near)?);
    let second = reserve(near, &[v4(near)], 40_006..=40_012)?;
    ensure!(list(near)? == "8080,40000-40012,50000", "{}", list(near)?);
    near.set_sysctl(LIST, "8080,40000-40012,50000,60000-60001")?;
    drop(first);
    ensure!(list(near)? == "8080,40005-40012,50000,60000-60001", "{}", list(near)?);
    drop(second);
    ensure!(list(near)? == "8080,40005-40010,50000,60000-60001", "{}", list(near)?);
    ensure!(list(pair.far())?.is_empty(), "the other namespace was touched");
    near.set_sysctl(LIST, "\n")?;
    drop(reserve(near, &[v4(near)], RANGE)?);
    ensure!(list(near)?.is_empty(), "{}", list(near)?);
    Ok(())
}

fn long_list() -> Result<()> {
    let pair = pair()?;
    let near = pair.near();
    // Every second port: what the kernel takes and gives only in parts, a page at a time.
    let odd = |from: u16| (from..=u16::MAX).step_by(2).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
    let name = "/proc/sys/net/ipv4/ip_local_reserved_ports";
    near.enter(|| std::fs::write(name, odd(1)))?.context("writing a long list")?;
    ensure!(list(near)? == odd(1), "the test bed lost some");
    let reserved = reserve(near, &[v4(near)], 1..=4)?;
    ensure!(list(near)? == format!("1-5,{}", odd(7)), "{}", list(near)?);
    drop(reserved);
    ensure!(list(near)? == odd(1), "{}", list(near)?);
    Ok(())
}

fn avoided() -> Result<()> {
    let pair = pair()?;
    let near = pair.near();
    let listener = pair.far().enter(|| TcpListener::bind((v4(pair.far()), 80)))??;
    let address = listener.local_addr()?;
    near.set_sysctl("net.ipv4.ip_local_port_range", "40000 40003")?;
    let reserved = reserve(near, &[v4(near)], 40_000..=40_002)?;
    let stream = near.enter(|| TcpStream::connect(address))??;
    ensure!(stream.local_addr()?.port() == 40_003, "{stream:?}");
    near.enter(|| TcpStream::connect(address))?.err().context("the kernel chose a reserved port")?;
    drop(reserved);
    near.enter(|| TcpStream::connect(address))?.context("the ports were not given back")?;
    Ok(())
}

fn nothing_left() -> Result<()> {
    let pair = pair()?;
    let near = pair.near();
    near.set_sysctl("net.ipv4.ip_local_port_range", "40000 40009")?;
    near.set_sysctl(LIST, "40008-40009")?;
    let error = reserve(near, &[v4(near)], RANGE).err().context("the kernel has no port left")?;
    let error = format!("{error:#}");
    ensure!(error.contains("net.ipv4.ip_local_port_range is 40000-40009"), "{error}");
    ensure!(list(near)? == "40008-40009", "{}", list(near)?);
    reserve(near, &[v4(near)], 40_001..=40_007).map(drop)
}

fn listening() -> Result<()> {
    let pair = pair()?;
    let near = pair.near();
    let both = [v4(near), v6(near)];
    let listen = |address: &str| -> Result<TcpListener> {
        let address: SocketAddr = address.parse()?;
        near.enter(|| TcpListener::bind(address))?.with_context(|| address.to_string())
    };
    // At our addresses and at the wildcard, which takes IPv4 too where it is IPv6's.
    for socket in ["10.77.0.1:40000", "[fd77::1]:40007", "0.0.0.0:40003", "[::]:40003"] {
        let listener = listen(socket)?;
        refused(near, &both, socket)?;
        if socket == "[::]:40003" {
            refused(near, &both[..1], socket)?;
        }
        drop(listener);
        // A child that another test starts just now has the listener, too, until it becomes another program.
        until("the listener is gone", || reserve(near, &both, RANGE).is_ok())?;
    }
    // Elsewhere, or on other ports, or not for the family in question.
    let _elsewhere = [listen("127.0.0.1:40000")?, listen("10.77.0.1:39999")?, listen("0.0.0.0:40008")?];
    near.set_sysctl("net.ipv6.bindv6only", "1")?;
    let _only_v6 = listen("[::]:40005")?;
    reserve(near, &both[..1], RANGE)?;
    refused(near, &both, "[::]:40005")
}

/// A listener at a wildcard, and both ends of a connection to this address of the near end.
fn connection(pair: &Pair, wildcard: &str, address: IpAddr) -> Result<(TcpListener, TcpStream, TcpStream)> {
    let listener = pair.near().enter(|| TcpListener::bind((wildcard, 40_001)))??;
    let client = pair.far().enter(|| TcpStream::connect((address, 40_001)))??;
    let (accepted, _) = listener.accept()?;
    Ok((listener, accepted, client))
}

fn connected() -> Result<()> {
    let pair = pair()?;
    let (near, far) = (pair.near(), pair.far());
    // Accepted here, over IPv4, over IPv6, and over IPv4 by a socket of IPv6 whose address is a mapped one.
    for (wildcard, address) in [("0.0.0.0", v4(near)), ("::", v6(near)), ("::", v4(near))] {
        let (listener, accepted, client) = connection(&pair, wildcard, address)?;
        drop(listener);
        // A child that another test starts just now has the listener, too, until it becomes another program.
        let in_the_way = SocketAddr::new(address, 40_001).to_string();
        until("only the connection is in the way", || refused(near, &[address], &in_the_way).is_ok())?;
        drop(client); // first, so that no TIME-WAIT of ours is left
        drop(accepted);
        until("the connection is gone", || reserve(near, &[address], RANGE).is_ok())?;
    }
    // Opened here.
    let listener = far.enter(|| TcpListener::bind((v4(far), 80)))??;
    near.set_sysctl("net.ipv4.ip_local_port_range", "40000 40000")?;
    let stream = near.enter(|| TcpStream::connect(listener.local_addr()?))??;
    near.set_sysctl("net.ipv4.ip_local_port_range", "32768 60999")?;
    refused(near, &[v4(near)], &stream.local_addr()?.to_string())?;
    reserve(near, &[v6(near)], RANGE).map(drop)
}

fn bound() -> Result<()> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut version = release.split(['.', '-']).map(|number| number.trim().parse::<u32>().unwrap_or(0));
    if (version.next(), version.next()) < (Some(6), Some(8)) {
        return Ok(()); // such a kernel does not tell
    }
    let pair = pair()?;
    let near = pair.near();
    let endpoint: SocketAddr = "10.77.0.1:40002".parse()?;
    let reservation = near.enter(|| Reservation::take([endpoint.into()].into_iter()))??;
    refused(near, &[v4(near)], "10.77.0.1:40002")?;
    drop(reservation);
    until("the socket is gone", || reserve(near, &[v4(near)], RANGE).is_ok())
}

fn time_wait() -> Result<()> {
    let pair = pair()?;
    let near = pair.near();
    let (listener, accepted, mut client) = connection(&pair, "0.0.0.0", v4(near))?;
    drop((listener, accepted));
    ensure!(client.read(&mut [0])? == 0, "the near end closes first");
    drop(client);
    until("TIME-WAIT", || reserve(near, &[v4(near)], RANGE).is_ok())?;
    let output = near.command("ss").args(["-Htan", "state", "time-wait"]).output()?;
    let shown = String::from_utf8(output.stdout)?;
    ensure!(shown.contains("10.77.0.1:40001"), "not in TIME-WAIT: {shown}");
    Ok(())
}

/// Looks until it holds. Only a test that has failed waits that long.
fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let limit = Instant::now() + Duration::from_secs(20);
    while !holds() {
        ensure!(Instant::now() < limit, "waited in vain until {what}");
        std::thread::yield_now();
    }
    Ok(())
}
